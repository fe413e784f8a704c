//! What comes of finding that something does not hold.

use std::collections::BTreeSet;
use std::fmt;

use super::scheduler::Scheduler;
use crate::proto::Fingerprint;

/// What becomes of a life in which something does not hold.
#[derive(Debug, Default)]
pub(super) enum Verdict {
    /// It ends.
    #[default]
    Fatal,
    /// It goes on, and is held against it: these versions were lost, and these contents came too often.
    Counted { lost: BTreeSet<usize>, doubled: BTreeSet<Fingerprint> },
}

impl Verdict {
    pub(super) fn counted() -> Self {
        Self::Counted { lost: BTreeSet::new(), doubled: BTreeSet::new() }
    }

    pub(super) fn is_lost(&mut self, number: usize, scheduler: &Scheduler, what: fmt::Arguments<'_>) {
        match self {
            Self::Fatal => scheduler.fail(what),
            Self::Counted { lost, .. } => {
                scheduler.note(|| format!("LOST: {what}"));
                lost.insert(number);
            }
        }
    }

    pub(super) fn is_doubled(&mut self, bytes: &Fingerprint, scheduler: &Scheduler, what: fmt::Arguments<'_>) {
        match self {
            Self::Fatal => scheduler.fail(what),
            Self::Counted { doubled, .. } => {
                scheduler.note(|| format!("DOUBLED: {what}"));
                doubled.insert(*bytes);
            }
        }
    }
}
