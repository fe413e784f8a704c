//! What `systemctl status` shows of the daemon.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::collector::RoundReport;
use crate::config::Settings;
use crate::obs::service_manager;
use crate::proto::{Count, quoted};

/// The most sites that the line names.
const SITES_NAMED: usize = 5;

/// How many sites there are, and which of them fail.
pub(super) struct Status {
    sites: BTreeSet<String>,
    failing: BTreeSet<Arc<str>>,
}

impl Status {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { sites: names(settings), failing: BTreeSet::new() }
    }

    /// Other sites, from now on.
    pub(super) fn reloaded(&mut self, settings: &Settings) {
        self.sites = names(settings);
        self.failing.retain(|site| self.sites.contains(&**site));
    }

    /// Tells the service manager where this report changes anything.
    pub(super) fn note(&mut self, report: &RoundReport) {
        let is_news = match report.failure {
            // The last round of a site that has been taken out.
            _ if !self.sites.contains(&*report.site) => false,
            Some(_) => self.failing.insert(Arc::clone(&report.site)),
            None => self.failing.remove(&report.site),
        };
        if is_news {
            service_manager::status(&self.line());
        }
    }

    pub(super) fn line(&self) -> String {
        let (sites, failing) = (self.sites.len(), self.failing.len());
        let sites = Count(sites, "site");
        if failing == 0 {
            return format!("collecting from {sites}");
        }
        let named: Vec<String> =
            self.failing.iter().take(SITES_NAMED).map(|site| quoted(&**site).to_string()).collect();
        let more = if failing > SITES_NAMED { ", …" } else { "" };
        format!("collecting from {sites}, {failing} of which fail ({}{more})", named.join(", "))
    }
}

fn names(settings: &Settings) -> BTreeSet<String> {
    settings.sites.iter().filter(|site| site.enabled).map(|site| site.name.clone()).collect()
}
