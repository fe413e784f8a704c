//! What is known of a site's files from one round to the next: which copies it may still have of what is committed here.
//!
//! A name, a size or bytes seen before do not make a file one seen before: some senders use one name for ever, and send
//! equal bytes for hours. What is known of a name ends with the deletion of its file, and the next file there is another
//! one. A deletion is certain once the site has not listed the file, or not known its name, after it had answered the
//! `MV`: its last byte alone does not tell, since a server may die, or not be able to delete. Until then a file of this
//! name is fetched, and counts as the one committed if its bytes are the same.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};

use crate::proto::{FileName, Fingerprint};

/// The most refused names remembered, so that each is reported once.
const MAX_REPORTED: usize = 10_000;

/// The most names remembered that a connection died over.
const MAX_FAILED: usize = 10_000;

/// The most names remembered that are not taken.
const MAX_SKIPPED: usize = 10_000;

/// What a file that was fetched turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// One that was not committed.
    New,
    /// Another one than that which was committed under its name: this one.
    Changed(Fingerprint),
    /// The one that is committed.
    Same {
        /// Whether the site has already been asked to delete it, and has sent it.
        was_deleted: bool,
    },
}

/// A committed file that the site may still have.
#[derive(Clone, Copy, Debug)]
struct Held {
    fingerprint: Fingerprint,
    /// Whether the site has been asked to delete it, and has sent it.
    was_deleted: bool,
}

/// What a site does when it is to delete a file, as far as it has been seen since this process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Deletion {
    #[default]
    Unknown,
    Done,
    /// It refuses, or has the file again.
    Refused,
}

/// What is known of a site between rounds; the part that must survive this process is in the journal as well.
#[derive(Debug, Default)]
pub struct SiteHistory {
    held: HashMap<FileName, Held>,
    /// What the site does when it is to delete a file.
    deletion: Deletion,
    /// Names whose last deletion was not certain, though the site deletes.
    doubted: HashSet<FileName>,
    failures: HashMap<FileName, u32>,
    skipped: HashSet<FileName>,
    reported: HashSet<Box<[u8]>>,
}

impl SiteHistory {
    /// `name` is committed here; the site may have its copy.
    pub fn committed(&mut self, name: FileName, fingerprint: Fingerprint) {
        self.held.insert(name, Held { fingerprint, was_deleted: false });
    }

    /// The site has sent what it had under `name`, and deletes it.
    pub fn deleted(&mut self, name: &FileName) {
        if let Some(held) = self.held.get_mut(name) {
            held.was_deleted = true;
        }
    }

    /// What is known of `name` ends: the site has another file there, or none. What was committed.
    pub fn forget(&mut self, name: &FileName) -> Option<Fingerprint> {
        self.held.remove(name).map(|held| held.fingerprint)
    }

    /// Asked for after its deletion, `name` is not there. What was committed.
    pub fn deletion_confirmed(&mut self, name: &FileName) -> Option<Fingerprint> {
        self.deletion = Deletion::Done;
        self.doubted.remove(name);
        self.forget(name)
    }

    /// Asked for after its deletion, `name` is there. At a site that deletes it is a new file, unless it was so the last
    /// time, too: then this one file is not deleted. What was committed, if that is forgotten.
    pub fn deletion_doubted(&mut self, name: &FileName) -> Option<Fingerprint> {
        let deletes = self.deletion == Deletion::Done;
        let is_new = deletes && self.held.contains_key(name) && self.doubted.insert(name.clone());
        if is_new { self.forget(name) } else { None }
    }

    /// The site would not delete a file, or has one again that it was to delete.
    pub fn deletion_refused(&mut self) {
        self.deletion = Deletion::Refused;
    }

    /// Whether the site did not delete the last file that it was to delete.
    pub fn refuses_deletion(&self) -> bool {
        self.deletion == Deletion::Refused
    }

    /// What is committed under this name, and may still be at the site.
    pub fn fingerprint(&self, name: &(impl Borrow<[u8]> + ?Sized)) -> Option<Fingerprint> {
        self.held.get(name.borrow()).map(|held| held.fingerprint)
    }

    /// Classifies a file that was fetched.
    pub fn classify(&self, name: &FileName, fingerprint: Fingerprint) -> Match {
        match self.held.get(name) {
            None => Match::New,
            Some(held) if held.fingerprint == fingerprint => Match::Same { was_deleted: held.was_deleted },
            Some(held) => Match::Changed(held.fingerprint),
        }
    }

    /// Takes note of a listing: of the `held` names that are in it, and of the other `names`, unless there are more.
    /// Returns the committed files that are gone there, by whatever hand.
    pub fn listed(&mut self, held: &HashSet<FileName>, names: Option<&[FileName]>) -> Vec<(FileName, Fingerprint)> {
        let gone: Vec<(FileName, Held)> = self.held.extract_if(|name, _| !held.contains(name)).collect();
        if gone.iter().any(|(_, held)| held.was_deleted) {
            self.deletion = Deletion::Done;
        }
        self.doubted.retain(|name| held.contains(name));
        if let Some(names) = names.filter(|_| !self.failures.is_empty() || !self.skipped.is_empty()) {
            let names: HashSet<_> = names.iter().collect();
            self.failures.retain(|name, _| names.contains(name));
            self.skipped.retain(|name| names.contains(name));
        }
        gone.into_iter().map(|(name, held)| (name, held.fingerprint)).collect()
    }

    /// A connection died while `name` was asked for.
    pub fn failed(&mut self, name: &FileName) {
        if self.failures.len() < MAX_FAILED || self.failures.contains_key(name) {
            *self.failures.entry(name.clone()).or_default() += 1;
        }
    }

    /// `name` did come after all, or is gone.
    pub fn clear_failures(&mut self, name: &FileName) {
        self.failures.remove(name);
    }

    /// How many connections have died over `name`.
    pub fn failures(&self, name: &FileName) -> u32 {
        self.failures.get(name).copied().unwrap_or(0)
    }

    /// `name` is not to be asked for again while it is listed, or until the next [reset](Self::reset_skips).
    pub fn skip(&mut self, name: FileName) {
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.insert(name);
        }
    }

    /// Whether `name` is not to be asked for.
    pub fn is_skipped(&self, name: &FileName) -> bool {
        self.skipped.contains(name)
    }

    /// What was skipped is to be asked for again, and logged again where it still is not taken.
    pub fn reset_skips(&mut self) {
        self.skipped.clear();
        self.reported.clear();
    }

    /// Whether this is the first time that something is to be said about the listed `name`.
    pub fn report_once(&mut self, name: &[u8]) -> bool {
        self.reported.len() < MAX_REPORTED && self.reported.insert(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FileName {
        text.parse().unwrap()
    }

    const A: &[u8] = b"a";

    #[test]
    fn a_refused_name_is_reported_once() {
        let mut history = SiteHistory::default();
        assert!(history.report_once(b"a/b"));
        assert!(!history.report_once(b"a/b"));
    }

    #[test]
    fn what_was_skipped_is_asked_for_and_reported_again_and_nothing_else_is_forgotten() {
        let mut history = SiteHistory::default();
        let [held, large, deadly] = ["a.1.data", "c.1.data", "d.1.data"].map(name);
        history.committed(held.clone(), Fingerprint::of(A));
        history.skip(large.clone());
        history.report_once(b"c.1.data");
        history.failed(&deadly);
        history.reset_skips();
        assert!(!history.is_skipped(&large) && history.report_once(b"c.1.data"));
        assert_eq!((history.failures(&deadly), history.fingerprint(&held)), (1, Some(Fingerprint::of(A))));
    }

    #[test]
    fn what_is_no_longer_listed_is_gone_and_the_next_file_of_its_name_is_new() {
        let mut history = SiteHistory::default();
        let [here, gone] = ["a.1.data", "b.1.data"].map(name);
        for name in [&here, &gone] {
            history.committed(name.clone(), Fingerprint::of(A));
            history.deleted(name);
        }
        let listed = HashSet::from([here.clone()]);
        assert_eq!(history.listed(&listed, None), [(gone.clone(), Fingerprint::of(A))]);
        assert_eq!(history.classify(&here, Fingerprint::of(A)), Match::Same { was_deleted: true });
        assert_eq!(history.classify(&gone, Fingerprint::of(A)), Match::New);
    }

    #[test]
    fn what_is_held_is_known_by_its_bytes() {
        let mut history = SiteHistory::default();
        let file = name("nas.123456.data");
        history.committed(file.clone(), Fingerprint::of(A));
        assert_eq!(history.classify(&file, Fingerprint::of(A)), Match::Same { was_deleted: false });
        assert_eq!(history.classify(&file, Fingerprint::of(b"b")), Match::Changed(Fingerprint::of(A)));
        history.forget(&file);
        assert_eq!(history.classify(&file, Fingerprint::of(A)), Match::New);
    }

    #[test]
    fn a_file_that_is_there_after_its_deletion_is_new_once_where_the_site_deletes() {
        let mut history = SiteHistory::default();
        let file = name("nas.123456.data");
        let delete = |history: &mut SiteHistory| {
            history.committed(file.clone(), Fingerprint::of(A));
            history.deleted(&file);
        };
        delete(&mut history);
        assert_eq!(history.deletion_doubted(&file), None, "nobody has seen that site delete");
        assert_eq!(history.deletion_confirmed(&file), Some(Fingerprint::of(A)));
        delete(&mut history);
        assert_eq!(history.deletion_doubted(&file), Some(Fingerprint::of(A)));
        delete(&mut history);
        assert_eq!(history.deletion_doubted(&file), None, "that one is not deleted");
        history.deletion_confirmed(&file);
        delete(&mut history);
        assert_eq!(history.deletion_doubted(&file), Some(Fingerprint::of(A)));
    }
}
