//! Sites of which something cannot be opened: a certificate, a key, the incoming directory. Each is tried again when its
//! round is due, and is collected from as soon as all can be opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use log::{error, info};

use super::{Collector, Mode};
use crate::collector::Reason;
use crate::collector::report::{NotTaken, RoundReport};
use crate::collector::resources::{SiteResources, Unusable, open, open_spool, warn_of_certificates};
use crate::config::SiteSettings;
use crate::obs::{LogThrottle, repeated};
use crate::proto::quoted;
use crate::sync::{Ending, PollPolicy, Tally};
use crate::tls::Connectors;

/// A site of which something cannot be opened.
pub(super) struct Unopened {
    settings: SiteSettings,
    log: LogThrottle,
}

impl Unopened {
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn settings(&self) -> &SiteSettings {
        &self.settings
    }
}

impl Collector {
    /// Leaves a site out until it can be opened. `key` is the site's, if it has been left out before.
    pub(super) fn leave_out(&mut self, key: Option<usize>, settings: SiteSettings, reason: Reason) {
        let key = key.unwrap_or_else(|| self.new_key(&settings.name));
        let (interval, now) = (settings.interval, self.net.now());
        let log = self.unopened.remove(&key).map(|before| before.log).unwrap_or_default();
        self.unopened.insert(key, Unopened { settings, log });
        self.report_unopened(key, reason);
        if self.mode == Mode::Forever {
            // A file is not mended within seconds: no quick retries.
            self.schedule.set(key, PollPolicy { interval, retries: 0 }, now, interval);
        }
    }

    /// The round of `key` is due: opens the site, if it is one that could not be opened before. Whether it is open.
    pub(super) fn is_open(&mut self, key: usize) -> bool {
        let Some(Unopened { settings, log }) = self.unopened.remove(&key) else { return true };
        let spool = |incoming: &Path| open_spool(incoming, &self.state_dir, &mut self.spools);
        match open(settings, &mut Connectors::default(), spool) {
            Ok(resources) => {
                let pace = resources.pace();
                warn_of_certificates(std::iter::once((resources.settings.name.as_str(), &*resources.target)));
                self.open_at_last(key, resources);
                self.watch_certificates();
                self.take_in_spools();
                self.schedule.set(key, pace, self.net.now(), Duration::ZERO);
                true
            }
            Err(unusable) => {
                let Unusable { settings, reason } = *unusable;
                self.unopened.insert(key, Unopened { settings, log });
                self.schedule.finished(key, self.net.now(), Ending::Failed);
                self.report_unopened(key, reason);
                false
            }
        }
    }

    /// The site that could not be opened is one like the others from now on.
    pub(super) fn open_at_last(&mut self, key: usize, resources: SiteResources) {
        self.unopened.remove(&key);
        info!("site={} can be opened again: collecting from it", quoted(&resources.settings.name));
        self.add(key, resources);
        self.adopt_configuration_of(key);
    }

    fn report_unopened(&mut self, key: usize, reason: Reason) {
        let Some(site) = self.unopened.get_mut(&key) else { return };
        let (name, word, interval) = (&site.settings.name, reason.code(), site.settings.interval.as_secs());
        if let Some(suppressed) = site.log.failed(&reason.log_key(), self.net.now()) {
            let (site, counter) = (quoted(name), repeated(suppressed));
            let end = if counter.is_empty() { "" } else { ";" };
            error!("site={site} reason={word} left out, and tried again every {interval} s: {reason}{end}{counter}");
        }
        let report = RoundReport {
            site: Arc::from(name.as_str()),
            tally: Tally::default(),
            took: Duration::ZERO,
            late: Duration::ZERO,
            ending: Ending::Failed,
            failure: Some(reason),
            not_taken: NotTaken::default(),
            is_final: self.mode != Mode::Forever,
        };
        self.report(key, report);
    }
}
