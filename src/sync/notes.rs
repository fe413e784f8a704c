//! What is noted of names that a site lists, for as long as it lists them.

use std::collections::{HashMap, HashSet};

use crate::budget::Share;
use crate::proto::FileName;

/// The most names remembered of which something was logged, so that it is logged once: of more, nothing is logged.
const MAX_REPORTED: usize = 10_000;

/// What such a name takes.
const BYTES_REPORTED: u64 = 32;

/// What a note takes beside its name.
const BYTES_NOTED: u64 = 112;

/// What else is known of a listed name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Note {
    /// How often it did not come: connections that died over it, and refusals.
    pub(super) failures: Failures,
    pub(super) is_skipped: bool,
    /// Its last deletion was not certain, though the site deletes.
    pub(super) is_doubted: bool,
    /// The last listing that it is in, or that came after it was noted.
    listing: u32,
}

/// How often a file did not come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u32,
    /// In how many periods that was, of which this is the last.
    pub(super) periods: u32,
    last: u32,
}

impl Failures {
    /// Once more, in this period.
    pub(super) fn add(&mut self, period: u32) {
        self.count = self.count.saturating_add(1);
        if self.periods == 0 || self.last != period {
            self.periods = self.periods.saturating_add(1);
            self.last = period;
        }
    }
}

impl Note {
    fn is_worth_keeping(&self) -> bool {
        self.failures.count > 0 || self.is_skipped || self.is_doubted
    }
}

/// A site's notes, as far as there is room for them.
#[derive(Debug)]
pub(super) struct Notes {
    by_name: HashMap<FileName, Note>,
    /// Hashes of the names of which something was logged.
    reported: HashSet<u64>,
    share: Share,
}

impl Notes {
    /// None yet; `share` is for what they take.
    pub(super) fn new(share: Share) -> Self {
        Self { by_name: HashMap::new(), reported: HashSet::new(), share }
    }

    /// What is noted of `name`.
    pub(super) fn of(&self, name: &[u8]) -> Note {
        self.by_name.get(name).copied().unwrap_or_default()
    }

    /// `name` is in the listing of this number.
    pub(super) fn saw(&mut self, name: &[u8], listing: u32) {
        if let Some(note) = self.by_name.get_mut(name) {
            note.listing = listing;
        }
    }

    /// The listing of this number has come whole: what is noted of other names is forgotten, and doubts about names of
    /// which nothing is committed.
    pub(super) fn end_listing(&mut self, listing: u32, is_committed: impl Fn(&FileName) -> bool) {
        let Self { by_name, share, .. } = self;
        by_name.retain(|name, note| {
            note.is_doubted &= is_committed(name);
            let is_kept = note.listing == listing && note.is_worth_keeping();
            if !is_kept {
                share.shrink(cost(name.as_bytes()));
            }
            is_kept
        });
    }

    /// Changes what is noted of `name`, if anything is.
    pub(super) fn change(&mut self, name: &FileName, change: impl FnOnce(&mut Note)) {
        if let Some(note) = self.by_name.get_mut(name) {
            change(note);
            if !note.is_worth_keeping() {
                self.by_name.remove(name);
                self.share.shrink(cost(name.as_bytes()));
            }
        }
    }

    /// Notes something of `name`, if there is room; `listing` is the number of the last one.
    pub(super) fn add<T>(&mut self, name: &FileName, listing: u32, change: impl FnOnce(&mut Note) -> T) -> Option<T> {
        if !self.by_name.contains_key(name) {
            if !self.share.grow(cost(name.as_bytes())) {
                return None;
            }
            self.by_name.insert(name.clone(), Note { listing, ..Note::default() });
        }
        self.by_name.get_mut(name).map(change)
    }

    /// Nothing is skipped any more, and all is logged again.
    pub(super) fn reset_skips(&mut self) {
        self.by_name.values_mut().for_each(|note| note.is_skipped = false);
        self.share.shrink(BYTES_REPORTED * self.reported.len() as u64);
        self.reported.clear();
    }

    /// Whether this is the first time that something is to be logged of the name that has this hash.
    pub(super) fn report_once(&mut self, hash: u64) -> bool {
        let is_new = self.reported.len() < MAX_REPORTED && !self.reported.contains(&hash);
        is_new && self.share.grow(BYTES_REPORTED) && self.reported.insert(hash)
    }
}

fn cost(name: &[u8]) -> u64 {
    name.len() as u64 + BYTES_NOTED
}
