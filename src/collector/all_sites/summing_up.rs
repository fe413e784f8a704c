//! What the service manager shows of the sites.

use std::time::{Duration, Instant};

use super::Collector;
use crate::obs::service_manager;

/// It is told so soon after a change, with all others meanwhile: where thousands of sites fail, each is one.
const DELAY: Duration = Duration::from_secs(1);

impl Collector {
    /// A site fails from now on, or no longer.
    pub(super) fn summary_changes(&mut self) {
        let due = self.net.now() + DELAY;
        self.summary_due.get_or_insert(due);
    }

    pub(super) fn summary_due(&self) -> Option<Instant> {
        self.summary_due
    }

    /// Tells it, if it is time.
    pub(super) fn tell_summary(&mut self) {
        if self.summary_due.is_some_and(|due| self.net.now() >= due) {
            self.summary_due = None;
            service_manager::status(&self.summary());
        }
    }
}
