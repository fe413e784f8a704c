//! What is known of a site's files from one round to the next: which copies it may still have of what is committed here.
//!
//! A name, a size or bytes seen before do not make a file one seen before: some senders use one name for ever, and send
//! equal bytes for hours. What is remembered of a name ends with the deletion of its file, and the next file there is
//! another one. A deletion is certain once the site has not listed the file, or has answered that it does not have it,
//! after it had answered the `MV`: the last byte of that answer alone proves nothing, since a server may die, or not be
//! able to delete. Until then a file of this name is fetched, and counts as the one committed if its bytes are the
//! same.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant};

use super::notes::{Failures, Note, Notes};
use super::order::Rank;
use super::plan::HOPELESS_AFTER;
use crate::budget::{Budget, Share};
use crate::proto::{FileName, Fingerprint};

/// What a committed file takes in memory beside its name: here, and in the state of the journal, which has it too.
const BYTES_HELD: u64 = 336;

/// What fails again within this time fails for the same cause, such as a dead connection that its server still takes for a
/// live one.
const PERIOD: Duration = Duration::from_secs(20);

/// How a fetched file compares with the committed one of its name.
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
    /// The last listing that it is in, or that came after it was committed.
    listing: u32,
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

#[cfg(test)]
impl Default for SiteHistory {
    /// With room for anything.
    fn default() -> Self {
        Self::new(&Budget::new(u64::MAX), 0)
    }
}

/// What is known of a site between rounds; the part that must survive this process is in the journal as well.
///
/// It has its share of a budget for all sites. What has no room in it is asked for once more, if it is a note; a file
/// that is committed is always remembered, or it would be collected again and again. So there has to be room for it
/// first.
#[derive(Debug)]
pub struct SiteHistory {
    held: HashMap<FileName, Held>,
    held_share: Share,
    /// What of that is for files that are still to be committed.
    reserved: u64,
    notes: Notes,
    /// The number of the listing that is on its way, or was the last.
    listing: u32,
    /// The number of the [period](PERIOD) that the last round began in, and when that began.
    period: (u32, Option<Instant>),
    /// What the site does when it is to delete a file.
    deletion: Deletion,
    /// What the hashes are keyed with.
    key: u64,
    /// Where the next round begins.
    start: Option<Rank>,
    /// Rounds in a row that began there, had room for a part of the listing only, and got nowhere.
    stalled: u32,
}

impl SiteHistory {
    /// Of a site of which nothing is known. `key` decides which of the names without a time come first where there is no
    /// room for all: a random one, so that nobody can choose names that do.
    pub(crate) fn new(budget: &Budget, key: u64) -> Self {
        Self {
            held: HashMap::new(),
            held_share: budget.share(),
            reserved: 0,
            notes: Notes::new(budget.share()),
            listing: 0,
            period: (0, None),
            deletion: Deletion::default(),
            key,
            start: None,
            stalled: 0,
        }
    }

    /// A round begins.
    pub fn begin_round(&mut self, now: Instant) {
        let (number, began) = self.period;
        if began.is_none_or(|began| now.saturating_duration_since(began) >= PERIOD) {
            self.period = (number.wrapping_add(1), Some(now));
        }
    }

    /// Whether the site has no copy of anything that is committed, as far as is known.
    pub fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// Makes room for `name`, should it be committed in this round. Whether there is any.
    pub(super) fn reserve(&mut self, name: &[u8]) -> bool {
        let cost = cost_of_held(name);
        let has_room = self.held_share.grow(cost);
        self.reserved += if has_room { cost } else { 0 };
        has_room
    }

    /// Whether most of the room is for files that are committed.
    pub(super) fn is_mostly_held(&self) -> bool {
        self.held_share.amount() > self.reserved.saturating_mul(2)
    }

    /// The round is over.
    pub fn release(&mut self) {
        self.held_share.shrink(std::mem::take(&mut self.reserved));
    }

    /// `name` is committed here; the site may have its copy.
    pub fn committed(&mut self, name: FileName, fingerprint: Fingerprint) {
        let cost = cost_of_held(name.as_bytes());
        if self.held.insert(name, Held { fingerprint, was_deleted: false, listing: self.listing }).is_none() {
            match self.reserved.checked_sub(cost) {
                Some(rest) => self.reserved = rest,
                None => self.held_share.take(cost),
            }
        }
    }

    /// The site has sent what it had under `name`, and deletes it. Whether it is the first time.
    pub fn deleted(&mut self, name: &FileName) -> bool {
        self.held.get_mut(name).is_some_and(|held| !std::mem::replace(&mut held.was_deleted, true))
    }

    /// What is known of `name` ends: the site has another file there, or none. What was committed.
    pub fn forget(&mut self, name: &FileName) -> Option<Fingerprint> {
        let held = self.held.remove(name)?;
        self.held_share.shrink(cost_of_held(name.as_bytes()));
        Some(held.fingerprint)
    }

    /// Asked for after its deletion, `name` is not there. What was committed.
    pub fn deletion_confirmed(&mut self, name: &FileName) -> Option<Fingerprint> {
        self.deletion = Deletion::Done;
        self.notes.change(name, |note| note.is_doubted = false);
        self.forget(name)
    }

    /// Asked for after its deletion, `name` is there. At a site that deletes it is a new file, unless it was so the last
    /// time, too: then this one file is not deleted. What was committed, if that is forgotten.
    pub fn deletion_doubted(&mut self, name: &FileName) -> Option<Fingerprint> {
        let deletes = self.deletion == Deletion::Done;
        let is_new = deletes && self.held.contains_key(name) && self.note_uncertain(name);
        if is_new { self.forget(name) } else { None }
    }

    /// Whether this deletion is not certain, and the last one was. Where that cannot be noted, it is as if neither were.
    fn note_uncertain(&mut self, name: &FileName) -> bool {
        let doubt = |note: &mut Note| !std::mem::replace(&mut note.is_doubted, true);
        self.notes.add(name, self.listing, doubt).unwrap_or(false)
    }

    /// The site would not delete a file, or has one again that it was to delete.
    pub fn deletion_refused(&mut self) {
        self.deletion = Deletion::Refused;
    }

    /// The site has said that it has deleted a file.
    pub fn deletion_acknowledged(&mut self) {
        self.deletion = Deletion::Done;
    }

    /// Whether the site did not delete the last file that it was to delete.
    pub fn refuses_deletion(&self) -> bool {
        self.deletion == Deletion::Refused
    }

    /// What is committed under this name, and may still be at the site.
    pub fn fingerprint(&self, name: &(impl Borrow<[u8]> + ?Sized)) -> Option<Fingerprint> {
        self.held.get(name.borrow()).map(|held| held.fingerprint)
    }

    /// Whether a file of this name is committed that may still be at the site.
    pub(super) fn is_committed(&self, name: &[u8]) -> bool {
        self.held.contains_key(name)
    }

    /// Classifies a file that was fetched.
    pub fn classify(&self, name: &FileName, fingerprint: Fingerprint) -> Match {
        match self.held.get(name) {
            None => Match::New,
            Some(held) if held.fingerprint == fingerprint => Match::Same { was_deleted: held.was_deleted },
            Some(held) => Match::Changed(held.fingerprint),
        }
    }

    /// A listing begins; one that was cut counts for nothing.
    pub(super) fn begin_listing(&mut self) {
        self.listing = self.listing.wrapping_add(1);
    }

    /// `name` is in the listing. Whether a file of this name is committed.
    pub(super) fn saw(&mut self, name: &[u8]) -> bool {
        self.notes.saw(name, self.listing);
        let held = self.held.get_mut(name);
        held.map(|held| held.listing = self.listing).is_some()
    }

    /// The listing has come whole. Returns the committed files that are not in it, by name: they are gone there, by
    /// whatever hand.
    pub(super) fn end_listing(&mut self) -> Vec<(FileName, Fingerprint)> {
        let listing = self.listing;
        let mut gone: Vec<(FileName, Held)> = self.held.extract_if(|_, held| held.listing != listing).collect();
        gone.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if gone.iter().any(|(_, held)| held.was_deleted) {
            self.deletion = Deletion::Done;
        }
        for (name, _) in &gone {
            self.held_share.shrink(cost_of_held(name.as_bytes()));
        }
        self.notes.end_listing(listing, |name| self.held.contains_key(name));
        gone.into_iter().map(|(name, held)| (name, held.fingerprint)).collect()
    }

    /// `name` was asked for, and did not come: the connection died, or the site does not give it now.
    pub fn failed(&mut self, name: &FileName) {
        let (period, _) = self.period;
        self.notes.add(name, self.listing, |note| note.failures.add(period));
    }

    /// `name` did come after all, or is gone.
    pub fn clear_failures(&mut self, name: &FileName) {
        self.notes.change(name, |note| note.failures = Failures::default());
    }

    /// How often `name` did not come.
    pub fn failures(&self, name: &(impl Borrow<[u8]> + ?Sized)) -> u32 {
        self.notes.of(name.borrow()).failures.count
    }

    /// Whether `name` has not come for so long that what its agent wrote later goes ahead.
    pub fn is_hopeless(&self, name: &(impl Borrow<[u8]> + ?Sized)) -> bool {
        self.notes.of(name.borrow()).failures.periods >= HOPELESS_AFTER
    }

    /// `name` is not to be asked for again while it is listed, or until the next [reset](Self::reset_skips). Whether it can
    /// be remembered.
    pub fn skip(&mut self, name: &FileName) -> bool {
        self.notes.add(name, self.listing, |note| note.is_skipped = true).is_some()
    }

    /// Whether `name` is not to be asked for.
    pub fn is_skipped(&self, name: &(impl Borrow<[u8]> + ?Sized)) -> bool {
        self.notes.of(name.borrow()).is_skipped
    }

    /// `name` is to be asked for again.
    pub fn unskip(&mut self, name: &FileName) {
        self.notes.change(name, |note| note.is_skipped = false);
    }

    /// What was skipped is to be asked for again, and logged again where it still is not taken.
    pub fn reset_skips(&mut self) {
        self.notes.reset_skips();
    }

    /// Whether this is the first time that something is to be logged about the listed `name`.
    pub fn report_once(&mut self, name: &[u8]) -> bool {
        let name = self.hash(name);
        self.notes.report_once(name)
    }

    /// A hash that only who has the key can foresee.
    pub(super) fn hash(&self, name: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key);
        hasher.write(name);
        hasher.finish()
    }

    /// Where the next round begins: names before that are such as rounds have not got rid of.
    pub(super) fn start(&self) -> Option<Rank> {
        self.start
    }

    /// A round has ended that had room for the names before `end`, where there were more, and got somewhere or not.
    /// After some that got nowhere, the next begins where they have ended, for what comes after to be collected, too.
    pub(super) fn round_ended(&mut self, end: Option<Rank>, is_stalled: bool) {
        self.stalled = if end.is_some() && is_stalled { self.stalled + 1 } else { 0 };
        if end.is_none() {
            self.start = None;
        } else if self.stalled >= HOPELESS_AFTER {
            (self.start, self.stalled) = (end, 0);
        }
    }
}

/// Two times the name: the journal's state has one of its own.
fn cost_of_held(name: &[u8]) -> u64 {
    2 * name.len() as u64 + BYTES_HELD
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
        history.skip(&large);
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
        history.begin_listing();
        assert!(history.saw(here.as_bytes()) && !history.saw(b"c.1.data"));
        assert_eq!(history.end_listing(), [(gone.clone(), Fingerprint::of(A))]);
        assert_eq!(history.classify(&here, Fingerprint::of(A)), Match::Same { was_deleted: true });
        assert_eq!(history.classify(&gone, Fingerprint::of(A)), Match::New);
    }

    #[test]
    fn what_is_noted_lasts_as_long_as_its_name_is_listed_and_gives_its_room_back() {
        let budget = Budget::new(0).with_least(300);
        let mut history = SiteHistory::new(&budget, 0);
        let [first, second, third] = ["a.1.data", "b.1.data", "c.1.data"].map(name);
        history.failed(&first);
        assert!(history.skip(&second) && !history.skip(&third), "there is no more room");
        history.begin_listing();
        history.saw(second.as_bytes());
        assert_eq!(history.end_listing(), []);
        assert_eq!((history.failures(&first), history.is_skipped(&second)), (0, true));
        assert!(history.skip(&third));
    }

    #[test]
    fn what_is_committed_while_a_listing_comes_is_not_taken_for_gone() {
        let mut history = SiteHistory::default();
        history.begin_listing();
        history.committed(name("a.1.data"), Fingerprint::of(A));
        assert_eq!(history.end_listing(), []);
        history.begin_listing();
        assert_eq!(history.end_listing().len(), 1);
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
