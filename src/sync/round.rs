//! One site's round: what each of its connections does next.
//!
//! ```text
//!            listed ──► to fetch ──next──► in flight ──staged──► committing ──committed──► to delete ──► gone
//!                          ▲                  │ dropped                                       │
//!                          └──────────────────┘◄──────────── changed (once a round) ──────────┘
//! ```
//!
//! A file that was committed in an earlier round and is still listed may be another one by now: it is fetched again, and
//! deleted if it is the same. Deletions go before fetches: what is safe here should stop waiting there.
//!
//! A round that has deleted files ends with another listing, which shows what the site has deleted. What that lists for the
//! first time is left to the next round.

mod outcomes;

use std::collections::{HashSet, VecDeque};

use super::assignment::{Assignment, DeleteAssignment, FetchAssignment, ListAssignment, Step, WorkCounts};
use super::order::Rank;
use super::plan::Plan;
use super::queue::{ConnectionKey, Queue};
use super::{Delivery, FetchOrder, Selection, SiteHistory, Tally};
use crate::proto::{FileName, Fingerprint};

/// Files a second connection should find waiting before it is worth opening.
const FILES_PER_CONNECTION: usize = 8;

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
    order: FetchOrder,
    phase: Phase,
    /// The most files staged, but not committed; where none is asked for ahead, asked for as well.
    window: usize,
    /// So many more may be asked for, as they come one after the other.
    ahead: usize,
    queue: Queue,
    deletes: VecDeque<DeleteAssignment>,
    refetched: HashSet<FileName>,
    covers: Covers,
    /// Whether anything was committed, or deleted for the first time.
    has_progressed: bool,
    /// Whether the site has deleted files since the listing.
    has_deleted: bool,
    /// Assignments handed out and not given back.
    in_flight: usize,
    /// Of those, files to be fetched.
    fetching: usize,
    committing: usize,
    tally: Tally,
}

impl Round {
    /// A round that has not asked for the listing yet; `window` bounds how many files may be on their way to the disk.
    pub fn new(delivery: Delivery, window: usize) -> Self {
        Self {
            delivery,
            order: FetchOrder::Oldest,
            phase: Phase::Unlisted,
            window,
            ahead: 0,
            queue: Queue::default(),
            deletes: VecDeque::new(),
            refetched: HashSet::new(),
            covers: Covers::Unknown,
            has_progressed: false,
            has_deleted: false,
            in_flight: 0,
            fetching: 0,
            committing: 0,
            tally: Tally::default(),
        }
    }

    /// The same, whose files come in this order.
    #[must_use]
    pub fn in_order(self, order: FetchOrder) -> Self {
        Self { order, ..self }
    }

    /// What a connection does next: one without work, or one that brings what it is asked for in that order, and has room for
    /// more.
    pub fn next_step(&mut self, connection: ConnectionKey) -> Step {
        if let Some(assignment) = self.assign(connection) {
            self.in_flight += 1;
            Step::Do(assignment)
        } else if self.is_complete() {
            Step::Leave
        } else {
            Step::Wait
        }
    }

    /// Published files go first: what is safe here should stop waiting there.
    fn assign(&mut self, connection: ConnectionKey) -> Option<Assignment> {
        match self.phase {
            Phase::Unlisted => {
                self.phase = Phase::Listing;
                return Some(Assignment::List(ListAssignment::new()));
            }
            Phase::Collecting if self.is_unconfirmed() => {
                self.phase = Phase::Confirming;
                // Its memory is of more use for the listing.
                self.queue.clear();
                return Some(Assignment::List(ListAssignment::new()));
            }
            Phase::Listing | Phase::Confirming => return None,
            Phase::Collecting | Phase::Confirmed | Phase::WindingUp => {}
        }
        if let Some(delete) = self.deletes.pop_front() {
            return Some(Assignment::Delete(delete));
        }
        let name = if self.has_window() { self.queue.take(connection)? } else { return None };
        self.fetching += 1;
        Some(Assignment::Fetch(FetchAssignment::new(name, self.delivery == Delivery::Move)))
    }

    /// Whether another file may be asked for.
    fn has_window(&self) -> bool {
        !self.is_behind() && self.fetching + self.committing < self.window + self.ahead
    }

    /// Whether so many files are on their way to the disk that no more should come.
    pub fn is_behind(&self) -> bool {
        self.committing >= self.window
    }

    /// So many `files` may be on their way from the site, whatever the disk has to do.
    pub fn ask_ahead(&mut self, files: usize) {
        self.ahead = files;
    }

    /// Whether all is done but to see what the site has deleted. Where the next round follows at once, its listing shows
    /// that.
    fn is_unconfirmed(&self) -> bool {
        matches!(self.phase, Phase::Collecting) && self.is_idle() && self.has_deleted && self.tally.left == 0
    }

    /// A listing has come whole, and the `selection` has judged all of its names. Returns the committed files that are gone
    /// there.
    pub fn listed(
        &mut self,
        ListAssignment { .. }: ListAssignment,
        selection: Selection,
        history: &mut SiteHistory,
    ) -> Vec<(FileName, Fingerprint)> {
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
        let Plan { queue, put_off, without_room, end } = Plan::new(selection, self.order, history);
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
                let receives = self.queue.len() > 0 && self.has_window();
                receives || !self.deletes.is_empty() || self.is_unconfirmed()
            }
        }
    }

    /// How many connections are of use, of at most `most`.
    pub fn connections_wanted(&self, most: usize) -> usize {
        let waiting = self.queue.len() + self.deletes.len();
        (1 + waiting / FILES_PER_CONNECTION).min(most)
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
        self.in_flight == 0 && self.committing == 0 && self.deletes.is_empty() && self.queue.len() == 0
    }

    /// Whether it got anywhere: committed a file, or saw one deleted.
    pub fn has_progressed(&self) -> bool {
        self.has_progressed
    }

    /// What a connection that waits for something to do goes by.
    pub fn outlook(&self) -> WorkCounts {
        let Self { in_flight, committing, .. } = *self;
        WorkCounts { receive: self.queue.len(), deletes: self.deletes.len(), in_flight, committing }
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
