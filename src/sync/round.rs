//! One site's round: what each of its connections does next.
//!
//! ```text
//!            listed ──► to receive ──next──► in flight ──staged──► committing ──committed──► to move ──► gone
//!                          ▲                    │ dropped                                       │
//!                          └────────────────────┘◄──────────── changed (once a round) ──────────┘
//! ```
//!
//! A file that was committed in an earlier round and is still listed may be another one by now: it is received again,
//! and moved if it is the same. Moves go before receives: what is safe here should stop waiting there.
//!
//! A round that has moved files ends with another listing, which shows what the site has deleted. What that lists for the
//! first time is left to the next round.

use std::collections::{HashSet, VecDeque};

use super::order::Rank;
use super::plan::{HOPELESS_AFTER, Plan};
use super::queue::Queue;
use super::{Delivery, Selection, SiteHistory};
use crate::proto::{FileName, Fingerprint};

/// Files a second connection should find waiting before it is worth opening.
const FILES_PER_LANE: usize = 8;

/// What a connection is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the listing. [`Round::listed`] or [`Round::dropped`] ends it.
    List,
    /// Fetch a copy.
    Receive(FileName),
    /// Fetch and let the site delete it: [`Delivery::Move`].
    FetchAndDelete(FileName),
    /// Let the site delete what is published here, and compare what it sends.
    Delete(FileName, Fingerprint),
    /// Nothing just now; there will be when something else is done.
    Wait,
    /// Nothing more in this round.
    Leave,
}

/// How asking the site to let a published file go ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteResult {
    /// The site's copy is gone, and was the one published, or is published as well by now.
    Gone,
    /// The site has another file under that name: declined, nothing was deleted.
    Changed,
}

/// What a round came to, in files unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Names listed that are collected from this site.
    pub listed: usize,
    /// Published in the spool.
    pub collected: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// Gone at the site.
    pub moved: usize,
    /// Committed, and not deleted by the site, which was asked to.
    pub refused: usize,
    /// Listed, but gone by the time they were asked for.
    pub missing: usize,
    /// Not taken for a reason of their own, such as their size, or being written over again and again.
    pub skipped: usize,
    /// Left for the next round, which follows at once where this one got anywhere.
    pub left: usize,
    /// Of those, new ones for which there is no room, as what is committed and still there has it.
    pub without_room: usize,
    /// Not stored for want of a working disk; still at the site.
    pub unstored: usize,
}

/// How much a round has to do and under way: a connection without work finds some only after this has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkCounts {
    receive: usize,
    moves: usize,
    in_flight: usize,
    committing: usize,
}

#[derive(Debug)]
enum Phase {
    Unlisted,
    Listing,
    Collecting,
    /// All is collected; a listing is to show what the site has deleted.
    Confirming,
    /// It has shown that, or need not.
    Confirmed,
    /// No new files.
    WindingUp,
}

/// How much of the listing there was room for.
#[derive(Clone, Copy, Debug)]
enum Covers {
    /// It has not come.
    Unknown,
    All,
    /// The names before this one.
    Before(Rank),
}

/// One round of one site.
#[derive(Debug)]
pub struct Round {
    delivery: Delivery,
    phase: Phase,
    /// The most files staged but not committed.
    window: usize,
    queue: Queue,
    moves: VecDeque<(FileName, Fingerprint)>,
    refetched: HashSet<FileName>,
    covers: Covers,
    /// Whether anything was committed, or deleted for the first time.
    has_progressed: bool,
    /// Whether the site has deleted files since the listing.
    has_deleted: bool,
    in_flight: usize,
    committing: usize,
    tally: Tally,
}

impl Round {
    /// A round that has not asked for the listing yet; `window` bounds how many files may wait for the disk.
    pub fn new(delivery: Delivery, window: usize) -> Self {
        Self {
            delivery,
            phase: Phase::Unlisted,
            window,
            queue: Queue::default(),
            moves: VecDeque::new(),
            refetched: HashSet::new(),
            covers: Covers::Unknown,
            has_progressed: false,
            has_deleted: false,
            in_flight: 0,
            committing: 0,
            tally: Tally::default(),
        }
    }

    /// What a connection without work does next.
    pub fn next_step(&mut self) -> Step {
        match self.phase {
            Phase::Unlisted => {
                self.phase = Phase::Listing;
                self.in_flight += 1;
                return Step::List;
            }
            Phase::Collecting if self.is_unconfirmed() => {
                self.phase = Phase::Confirming;
                self.in_flight += 1;
                // Its memory is of more use for the listing.
                self.queue.clear();
                return Step::List;
            }
            Phase::Listing | Phase::Confirming => return Step::Wait,
            Phase::Collecting | Phase::Confirmed | Phase::WindingUp => {}
        }
        if let Some((name, fingerprint)) = self.moves.pop_front() {
            self.in_flight += 1;
            return Step::Delete(name, fingerprint);
        }
        if self.committing < self.window
            && let Some(name) = self.queue.take()
        {
            self.in_flight += 1;
            return match self.delivery {
                Delivery::Safe => Step::Receive(name),
                Delivery::Move => Step::FetchAndDelete(name),
            };
        }
        if self.is_complete() { Step::Leave } else { Step::Wait }
    }

    /// Whether all is done but to see what the site has deleted. Where the next round follows at once, its listing shows
    /// that.
    fn is_unconfirmed(&self) -> bool {
        matches!(self.phase, Phase::Collecting) && self.is_idle() && self.has_deleted && self.tally.left == 0
    }

    /// A listing has come whole, and the `selection` has judged all of its names. Returns the committed files that are gone
    /// there.
    pub fn listed(&mut self, selection: Selection, history: &mut SiteHistory) -> Vec<(FileName, Fingerprint)> {
        self.in_flight -= 1;
        let gone = history.end_listing();
        self.has_progressed |= !gone.is_empty();
        match self.phase {
            Phase::Confirming | Phase::Confirmed => self.phase = Phase::Confirmed,
            Phase::WindingUp => {
                self.tally.listed = selection.listed();
                self.tally.left += selection.wanted();
            }
            _ => {
                self.phase = Phase::Collecting;
                self.plan(selection, history);
            }
        }
        gone
    }

    /// What is to be done about the listed names.
    fn plan(&mut self, selection: Selection, history: &mut SiteHistory) {
        self.tally.listed = selection.listed();
        self.tally.skipped += selection.skipped;
        self.tally.refused += selection.refused;
        self.tally.left += selection.left_out;
        let left_out_from = selection.end;
        let Plan { queue, put_off, without_room, end } = Plan::new(selection, history);
        self.tally.skipped += put_off;
        self.tally.left += without_room;
        // Where what is there already takes the room, names further on have none either.
        let is_full = history.is_mostly_held();
        self.tally.without_room += if is_full { without_room } else { 0 };
        self.covers = match end.or(left_out_from) {
            Some(end) if !is_full => Covers::Before(end),
            _ => Covers::All,
        };
        self.queue = queue;
    }

    /// The round is over; `is_stalled`: nothing kept it from going on, and it got nowhere.
    pub fn end(&self, is_stalled: bool, history: &mut SiteHistory) {
        history.release();
        match self.covers {
            Covers::Unknown => {}
            Covers::All => history.round_ended(None, is_stalled),
            Covers::Before(end) => history.round_ended(Some(end), is_stalled),
        }
    }

    /// `name` is staged whole and waits for its commit.
    pub fn staged(&mut self, name: &FileName, history: &mut SiteHistory) {
        self.finish(name);
        history.clear_failures(name);
        self.committing += 1;
    }

    /// What came as `name` is committed already, and the site has it still; `was_deleted`: after it was to delete it.
    pub fn already_published(
        &mut self,
        name: FileName,
        fingerprint: Fingerprint,
        was_deleted: bool,
        history: &mut SiteHistory,
    ) {
        if was_deleted {
            self.tally.refused += 1;
            history.deletion_refused();
        }
        self.finish(&name);
        history.clear_failures(&name);
        match self.delivery {
            Delivery::Safe => self.moves.push_back((name, fingerprint)),
            Delivery::Move => self.gone(&name, history),
        }
    }

    /// The site has deleted `name`, as far as it says.
    fn gone(&mut self, name: &FileName, history: &mut SiteHistory) {
        self.has_progressed |= history.deleted(name);
        self.tally.moved += 1;
        self.has_deleted = true;
    }

    /// `name` is durable here: the site's copy may go.
    pub fn committed(&mut self, name: FileName, fingerprint: Fingerprint, history: &mut SiteHistory) {
        self.committing -= 1;
        self.tally.collected += 1;
        self.tally.bytes += fingerprint.size;
        self.has_progressed = true;
        history.committed(name.clone(), fingerprint);
        match self.delivery {
            Delivery::Safe => self.moves.push_back((name, fingerprint)),
            Delivery::Move => self.gone(&name, history),
        }
    }

    /// `name` was staged but could not be committed.
    pub fn uncommitted(&mut self, name: &FileName) {
        self.committing -= 1;
        self.block(name);
    }

    /// The bytes of `name` could not be read there, or not be stored here; it stays at the site.
    pub fn unstored(&mut self, name: &FileName) {
        self.finish(name);
        self.block(name);
    }

    /// What its agent wrote later must not overtake it.
    fn block(&mut self, name: &FileName) {
        self.tally.unstored += 1 + self.queue.block(name);
    }

    /// `name` was listed but is not there any more.
    pub fn missing(&mut self, name: &FileName, history: &mut SiteHistory) {
        self.finish(name);
        history.clear_failures(name);
        self.tally.missing += 1;
    }

    /// The site does not give `name`, and may have it: what its agent wrote later waits for the next round, unless that was
    /// so for many rounds.
    pub fn withheld(&mut self, name: &FileName, history: &mut SiteHistory) {
        self.finish(name);
        history.failed(name);
        self.tally.missing += 1;
        if history.failures(name) < HOPELESS_AFTER {
            self.tally.left += self.queue.hold_back(name);
        }
    }

    /// `name` is not taken, for a reason of its own, and not asked for again while it is listed.
    pub fn skipped(&mut self, name: &FileName, history: &mut SiteHistory) {
        self.finish(name);
        history.skip(name);
        self.tally.skipped += 1;
    }

    /// The move of `name` has ended.
    pub fn moved(&mut self, name: &FileName, end: DeleteResult, history: &mut SiteHistory) {
        self.in_flight -= 1;
        if end == DeleteResult::Changed {
            history.forget(name);
        }
        match end {
            DeleteResult::Gone => self.gone(name, history),
            DeleteResult::Changed if self.queue.is_blocked(name) => self.tally.unstored += 1,
            DeleteResult::Changed if !self.is_collecting() => self.tally.left += 1,
            // Fetched again at once, and once only: who keeps writing must neither hold the round nor be followed.
            DeleteResult::Changed if self.refetched.insert(name.clone()) => self.queue.put_back(name),
            DeleteResult::Changed => self.tally.skipped += 1,
        }
    }

    /// We would not have a published file moved now, or do not know whether it was: the next listing says what became
    /// of it.
    pub fn move_postponed(&mut self) {
        self.in_flight -= 1;
        self.has_deleted = true;
    }

    /// The site would not move a published file: the next listing says whether it is there at all.
    pub fn move_refused(&mut self, history: &mut SiteHistory) {
        self.in_flight -= 1;
        self.has_deleted = true;
        self.tally.refused += 1;
        history.deletion_refused();
    }

    /// The site deleted other bytes under the published `name`, which are staged by now.
    pub fn kept_both(&mut self, name: &FileName, history: &mut SiteHistory) {
        self.moved(name, DeleteResult::Gone, history);
        self.committing += 1;
    }

    /// What was rescued turned out longer: it is staged whole, as another file.
    pub fn rescued_longer(&mut self) {
        self.committing += 1;
    }

    /// What was rescued is committed: the site has deleted it.
    pub fn rescue_committed(&mut self, name: &FileName, fingerprint: Fingerprint, history: &mut SiteHistory) {
        history.committed(name.clone(), fingerprint);
        history.deleted(name);
        self.has_progressed = true;
        self.committing -= 1;
        self.tally.collected += 1;
        self.tally.bytes += fingerprint.size;
    }

    /// What was rescued could not be committed, and is lost.
    pub fn rescue_uncommitted(&mut self) {
        self.committing -= 1;
    }

    /// The connection died with `step` under way; a file it was about may be at fault.
    pub fn dropped(&mut self, step: Step, history: &mut SiteHistory) {
        match step {
            Step::List => {
                self.in_flight -= 1;
                match self.phase {
                    Phase::Listing => self.phase = Phase::Unlisted,
                    Phase::Confirming => self.phase = Phase::Collecting,
                    _ => {}
                }
            }
            Step::Receive(name) | Step::FetchAndDelete(name) => {
                self.finish(&name);
                history.failed(&name);
                self.tally.left += 1;
            }
            Step::Delete(name, _) => {
                self.in_flight -= 1;
                history.failed(&name);
            }
            Step::Wait | Step::Leave => {}
        }
    }

    fn finish(&mut self, name: &FileName) {
        self.in_flight -= 1;
        self.queue.landed(name);
    }

    /// Takes no new files from now on; what is under way is brought to its end.
    pub fn stop_fetching(&mut self) {
        self.phase = match self.phase {
            Phase::Confirming | Phase::Confirmed => Phase::Confirmed,
            _ => Phase::WindingUp,
        };
        self.tally.left += self.queue.clear();
    }

    /// Whether the listing has come, and new files are taken.
    pub fn is_collecting(&self) -> bool {
        matches!(self.phase, Phase::Collecting)
    }

    /// Whether a connection would find something to do just now.
    pub fn has_work(&self) -> bool {
        match self.phase {
            Phase::Unlisted => true,
            Phase::Listing | Phase::Confirming | Phase::Confirmed => false,
            Phase::Collecting | Phase::WindingUp => {
                let receives = self.queue.len() > 0 && self.committing < self.window;
                receives || !self.moves.is_empty() || self.is_unconfirmed()
            }
        }
    }

    /// How many connections are of use, of at most `most`.
    pub fn connections_wanted(&self, most: usize) -> usize {
        let waiting = self.queue.len() + self.moves.len();
        (1 + waiting / FILES_PER_LANE).min(most)
    }

    /// Whether all that this round will do is done.
    pub fn is_complete(&self) -> bool {
        match self.phase {
            Phase::Collecting => self.is_idle() && !self.is_unconfirmed(),
            Phase::Confirmed | Phase::WindingUp => self.is_idle(),
            Phase::Unlisted | Phase::Listing | Phase::Confirming => false,
        }
    }

    /// Whether nothing is under way, and nothing to be begun but perhaps a listing.
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.committing == 0 && self.moves.is_empty() && self.queue.len() == 0
    }

    /// Whether it got anywhere: committed a file, or saw one deleted.
    pub fn has_progressed(&self) -> bool {
        self.has_progressed
    }

    /// What a connection that waits for something to do goes by.
    pub fn outlook(&self) -> WorkCounts {
        let Self { in_flight, committing, .. } = *self;
        WorkCounts { receive: self.queue.len(), moves: self.moves.len(), in_flight, committing }
    }

    /// Files handed to the committer whose commit is awaited.
    pub fn committing(&self) -> usize {
        self.committing
    }

    /// What it has come to so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}
