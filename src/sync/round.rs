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

use std::collections::{HashSet, VecDeque};

use super::assignment::{
    Assignment, DeleteAssignment, DeleteResult, FetchAssignment, ListAssignment, NotStaged, PendingCommit, Step,
    WorkCounts,
};
use super::order::Rank;
use super::plan::Plan;
use super::queue::{ConnectionKey, HeldBack, Queue};
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

    /// The file is staged whole. What is returned goes with it to its commit.
    pub fn staged(&mut self, fetch: FetchAssignment, history: &mut SiteHistory) -> PendingCommit {
        let name = self.fetched(fetch);
        history.clear_failures(&name);
        self.committing += 1;
        PendingCommit::fetched(name)
    }

    /// The file is not staged.
    pub fn not_staged(&mut self, fetch: FetchAssignment, why: NotStaged, history: &mut SiteHistory) {
        let name = self.fetched(fetch);
        match why {
            NotStaged::Unstored => self.block(&name),
            NotStaged::Overtaking => self.held_back(&name),
            NotStaged::Missing => {
                history.clear_failures(&name);
                self.tally.missing += 1;
            }
            NotStaged::Withheld => {
                self.tally.missing += 1;
                self.did_not_come(&name, history);
            }
            NotStaged::Skipped => {
                history.skip(&name);
                self.tally.skipped += 1;
            }
            NotStaged::AlreadyPublished { fingerprint, was_deleted } => {
                if was_deleted {
                    self.tally.refused += 1;
                    history.deletion_refused();
                }
                history.clear_failures(&name);
                self.published(name, fingerprint, history);
            }
        }
    }

    /// The fetch is over: its agent's next file may be fetched.
    fn fetched(&mut self, fetch: FetchAssignment) -> FileName {
        self.in_flight -= 1;
        self.fetching -= 1;
        let name = fetch.into_name();
        self.queue.landed(&name);
        name
    }

    /// Whether the file must not be staged, as one that its agent wrote before did not come or could not be stored. What the
    /// site has deleted is the only copy, and is not left.
    pub fn is_blocked(&self, fetch: &FetchAssignment) -> bool {
        !fetch.deletes() && self.queue.held_back(fetch.name()).is_some()
    }

    /// What its agent wrote later must not overtake it.
    fn block(&mut self, name: &FileName) {
        self.tally.unstored += 1 + self.queue.hold_back(name, HeldBack::Unstored);
    }

    /// The site has the file, or may have it: unless there is little hope left, what its agent wrote later must not overtake it.
    fn did_not_come(&mut self, name: &FileName, history: &mut SiteHistory) {
        history.failed(name);
        if !history.is_hopeless(name) {
            self.tally.left += self.queue.hold_back(name, HeldBack::Withheld);
        }
    }

    /// The file stays at the site, for what became of an earlier one.
    fn held_back(&mut self, name: &FileName) {
        match self.queue.held_back(name) {
            Some(HeldBack::Unstored) => self.tally.unstored += 1,
            Some(HeldBack::Withheld) | None => self.tally.left += 1,
        }
    }

    /// The file is durable here: the site's copy may go.
    fn published(&mut self, name: FileName, fingerprint: Fingerprint, history: &mut SiteHistory) {
        match self.delivery {
            Delivery::Safe => self.deletes.push_back(DeleteAssignment::new(name, fingerprint)),
            Delivery::Move => self.gone(&name, history),
        }
    }

    /// The site has deleted `name`, as far as its answers show.
    fn gone(&mut self, name: &FileName, history: &mut SiteHistory) {
        self.has_progressed |= history.deleted(name);
        self.tally.moved += 1;
        self.has_deleted = true;
    }

    /// The file is durable here.
    pub fn committed(&mut self, commit: PendingCommit, fingerprint: Fingerprint, history: &mut SiteHistory) {
        self.committing -= 1;
        self.tally.collected += 1;
        self.tally.bytes += fingerprint.size;
        self.has_progressed = true;
        let (name, is_rescue) = commit.into_parts();
        history.committed(name.clone(), fingerprint);
        if is_rescue {
            // The site has deleted it before.
            history.deleted(&name);
        } else {
            self.published(name, fingerprint, history);
        }
    }

    /// The file was staged but could not be committed. What was rescued is lost.
    pub fn uncommitted(&mut self, commit: PendingCommit) {
        self.committing -= 1;
        let (name, is_rescue) = commit.into_parts();
        if !is_rescue {
            self.block(&name);
        }
    }

    /// A deletion has ended.
    pub fn deleted(&mut self, delete: DeleteAssignment, result: DeleteResult, history: &mut SiteHistory) {
        self.in_flight -= 1;
        let was_asked = delete.was_asked();
        let name = delete.into_name();
        match result {
            DeleteResult::Gone => self.gone(&name, history),
            DeleteResult::Acknowledged => {
                history.forget(&name);
                self.has_progressed = true;
                self.tally.moved += 1;
            }
            DeleteResult::Changed => {
                history.forget(&name);
                self.fetch_again(&name);
            }
            DeleteResult::Postponed => self.has_deleted = true,
            // So a site answers that does not have the file: it has done what it was asked before.
            DeleteResult::Refused if was_asked => self.gone(&name, history),
            DeleteResult::Refused => {
                self.has_deleted = true;
                self.tally.refused += 1;
                history.deletion_refused();
            }
        }
    }

    /// At once, and once only: who keeps writing must neither hold the round nor be followed.
    fn fetch_again(&mut self, name: &FileName) {
        if self.queue.held_back(name).is_some() {
            self.held_back(name);
        } else if !self.is_collecting() {
            self.tally.left += 1;
        } else if self.refetched.insert(name.clone()) {
            self.queue.put_back(name);
        } else {
            self.tally.skipped += 1;
        }
    }

    /// The site deleted other bytes under the published name, which are staged by now. What is returned goes with them to
    /// their commit.
    pub fn rescued(&mut self, delete: DeleteAssignment, history: &mut SiteHistory) -> PendingCommit {
        let name = delete.name().clone();
        self.deleted(delete, DeleteResult::Gone, history);
        self.rescued_longer(name)
    }

    /// What was rescued turned out longer: it is staged whole, as another file.
    pub fn rescued_longer(&mut self, name: FileName) -> PendingCommit {
        self.committing += 1;
        PendingCommit::rescued(name)
    }

    /// The connection died with this under way; a file it was about may be at fault.
    pub fn dropped(&mut self, assignment: Assignment, history: &mut SiteHistory) {
        match assignment {
            Assignment::List(list) => self.list_again(list),
            Assignment::Fetch(fetch) => {
                let name = self.fetched(fetch);
                self.tally.left += 1;
                self.did_not_come(&name, history);
            }
            Assignment::Delete(delete) => {
                self.in_flight -= 1;
                history.failed(delete.name());
            }
        }
    }

    /// The connection ended before the site can have begun with this. What is given back of several goes from the last to the
    /// first, so that an agent's files keep their order.
    pub fn returned(&mut self, assignment: Assignment) {
        match assignment {
            Assignment::List(list) => self.list_again(list),
            Assignment::Fetch(fetch) => {
                let name = self.fetched(fetch);
                if self.is_collecting() { self.queue.put_back(&name) } else { self.tally.left += 1 }
            }
            Assignment::Delete(delete) => {
                self.in_flight -= 1;
                self.deletes.push_front(delete);
            }
        }
    }

    fn list_again(&mut self, ListAssignment { .. }: ListAssignment) {
        self.in_flight -= 1;
        match self.phase {
            Phase::Listing => self.phase = Phase::Unlisted,
            Phase::Confirming => self.phase = Phase::Collecting,
            _ => {}
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
