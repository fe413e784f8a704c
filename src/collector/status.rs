//! What is known of a site, also between its rounds.

mod clock;
mod rates;
mod seen;

use std::sync::Arc;
use std::time::Instant;

pub(super) use self::clock::{Difference, SeenClock};
pub use self::rates::{Collected, Rates};
pub(super) use self::seen::{Protocol, SeenTls, SeenWaiting};
use super::report::RoundReport;
use crate::proto::{Count, quoted};

/// The most sites that a summary names.
const SITES_NAMED: usize = 5;

/// What is known of a site since the start, or since it was added.
#[derive(Debug)]
pub struct SiteStatus {
    /// The site's name.
    pub name: Arc<str>,
    /// When its last round that went well has ended.
    pub last_success: Option<Instant>,
    /// When its last round has ended, and how.
    pub last_round: Option<(Instant, RoundReport)>,
    /// Files collected, and how fast.
    pub rates: Rates,
    /// Since when that is known.
    pub(super) since: Instant,
    /// How many rounds have failed one after the other, and when the first of them has ended.
    pub(super) failing: Option<(u64, Instant)>,
    /// Since when no more rounds begin, where somebody has asked for that.
    pub(super) paused: Option<Instant>,
    /// How its last connection was encrypted; unknown before the first.
    pub(super) tls: Option<SeenTls>,
}

impl SiteStatus {
    pub(super) fn new(name: Arc<str>, now: Instant) -> Self {
        let (last_success, last_round, failing, paused) = (None, None, None, None);
        let rates = Rates::new(now);
        Self { name, last_success, last_round, rates, since: now, failing, paused, tls: None }
    }

    /// A round has ended. Whether the site fails from now on, or no longer.
    pub(super) fn round_ended(&mut self, report: RoundReport, now: Instant) -> bool {
        let was_failing = self.is_failing();
        if report.failure.is_none() {
            self.last_success = Some(now);
            self.failing = None;
        } else {
            let (failures, since) = self.failing.unwrap_or((0, now));
            self.failing = Some((failures + 1, since));
        }
        self.last_round = Some((now, report));
        was_failing != self.is_failing()
    }

    /// Whether its last round has failed.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

/// How many sites there are, and which of them fail.
pub(super) fn summary<'a>(sites: impl Iterator<Item = &'a SiteStatus>) -> String {
    let (mut count, mut failing) = (0, Vec::new());
    for site in sites {
        count += 1;
        if site.is_failing() {
            failing.push(&*site.name);
        }
    }
    let sites = Count(count, "site");
    if failing.is_empty() {
        return format!("collecting from {sites}");
    }
    failing.sort_unstable();
    let named: Vec<String> = failing.iter().take(SITES_NAMED).map(|site| quoted(*site).to_string()).collect();
    let more = if failing.len() > SITES_NAMED { ", …" } else { "" };
    format!("collecting from {sites}, {} of which fail ({}{more})", failing.len(), named.join(", "))
}
