//! When it is saved what a site has, while a round goes on.

use std::time::{Duration, Instant};

/// From one time to the next: a kill forgets no more than what so long has brought.
const EVERY: Duration = Duration::from_secs(3);

/// What is saved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saving {
    last: Instant,
    ownership: Ownership,
}

/// Whether it is saved what the site owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    Saved,
    Unsaved,
}

impl Saving {
    /// All is saved now.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, ownership: Ownership::Saved }
    }

    /// The site owns a configuration that it did not own before.
    pub(super) fn claimed(&mut self) {
        self.ownership = Ownership::Unsaved;
    }

    /// Whether what is in step is to be saved, as that was long ago.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= EVERY
    }

    /// Whether it is to be saved what the site owns, before anything is sent there: without that, nobody knows after a kill whose
    /// that is, as the two sides differ.
    pub(super) fn is_due_before_sending(&self) -> bool {
        self.ownership == Ownership::Unsaved
    }

    /// Whether it was saved after this time.
    pub(super) fn was_after(&self, time: Instant) -> bool {
        self.last > time
    }
}
