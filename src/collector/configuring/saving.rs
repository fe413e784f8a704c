//! When it is saved what a site has, while a round goes on.

use std::time::{Duration, Instant};

use crate::sync::remote_config::{CentreStep, ItemKind};

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

    /// Whether it is to be saved what is in step before this step, with which the sending of something begins: what the site owns,
    /// as without that nobody knows after a kill whose it is, as the two sides differ; and that a collection is sent, as without
    /// that nobody knows after a kill that agents get a part of it.
    pub(super) fn is_due_before(&self, step: &CentreStep) -> bool {
        match step {
            CentreStep::Read { item } => self.ownership == Ownership::Unsaved || item.kind() == ItemKind::Collection,
            CentreStep::Owner { .. }
            | CentreStep::Claim { .. }
            | CentreStep::Publish { .. }
            | CentreStep::Confirm { .. } => false,
        }
    }

    /// Whether it was saved after this time.
    pub(super) fn was_after(&self, time: Instant) -> bool {
        self.last > time
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;
    use crate::sync::remote_config::Item;

    #[test]
    fn ownership_and_collections_are_saved_before_what_is_sent_is_read() {
        let (configuration, collection) = (Item::named("a"), Item::collection("fc_1").unwrap());
        let read = |item: &Item| CentreStep::Read { item: item.clone() };
        let mut saving = Saving::new(Instant::now());
        let is_due = |saving: &Saving, step| saving.is_due_before(&step);
        assert_eq!([&configuration, &collection].map(|item| is_due(&saving, read(item))), [false, true]);
        saving.claimed();
        assert!(is_due(&saving, read(&configuration)));
        assert!(!is_due(&saving, CentreStep::Owner { item: configuration }));
    }
}
