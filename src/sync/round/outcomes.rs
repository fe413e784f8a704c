//! What came of a round's assignments, each of which ends in one of these.

use super::{Phase, Round};
use crate::proto::{FileName, Fingerprint};
use crate::sync::assignment::{
    Assignment, DeleteAssignment, DeleteResult, FetchAssignment, ListAssignment, NotStaged, PendingCommit,
};
use crate::sync::queue::HeldBack;
use crate::sync::{Delivery, SiteHistory};

impl Round {
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
}
