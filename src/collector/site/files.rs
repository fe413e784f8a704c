//! Records the result of each file of a round: in the round, in the site's history, and in the log.

use std::fmt::Display;

use log::{Level, debug, error, log};

use super::Site;
use crate::collector::Reason;
use crate::collector::commit_queue::CommitQueue;
use crate::collector::report::NotTaken;
use crate::obs::repeated;
use crate::proto::{Count, FileName, Fingerprint};
use crate::store::{ClosedHashedTemp, StoreError};
use crate::sync::{
    Assignment, DeleteAssignment, DeleteResult, Delivery, FetchAssignment, Match, NotStaged, PendingCommit,
};

impl Site {
    /// Gives back to the round what is left of the work that a connection has had.
    pub(in crate::collector) fn dropped(&mut self, assignment: Assignment) {
        if let Some((round, history)) = self.round() {
            round.dropped(assignment, history);
        }
    }

    /// Gives back to the round what a connection was asked for, and whose site cannot have begun with it when it ended.
    pub(in crate::collector) fn returned(&mut self, assignment: Assignment) {
        if let Some((round, _)) = self.round() {
            round.returned(assignment);
        }
    }

    /// A fetched file is staged: on to its commit with it, unless it is committed already, and the site has it all the
    /// same. Then the site is asked once more to delete it.
    pub(in crate::collector) fn staged(
        &mut self,
        fetch: FetchAssignment,
        staged: ClosedHashedTemp,
        commit_queue: &mut CommitQueue,
    ) {
        let (name, fingerprint) = (fetch.name(), staged.fingerprint());
        if self.running.as_ref().is_some_and(|running| running.round.is_blocked(&fetch)) {
            debug!(
                "site={} file={name} stays at the site: an earlier one of its agent did not come, or could not be stored",
                self.shown()
            );
            return self.not_staged(fetch, NotStaged::Overtaking);
        }
        let known = self.history.fingerprint(name).filter(|known| staged.is(*known));
        match self.history.classify(name, known.unwrap_or(fingerprint)) {
            Match::New => {}
            Match::Changed(_) => self.forget(name, commit_queue),
            Match::Same { was_deleted } => {
                debug!("site={} file={name} is committed already, and still there", self.shown());
                return self.not_staged(fetch, NotStaged::AlreadyPublished { fingerprint, was_deleted });
            }
        }
        let is_safe = self.settings.delivery == Delivery::Safe;
        let Some(running) = &mut self.running else { return };
        let order = is_safe.then(|| running.agent_order.of(name));
        let commit = running.round.staged(fetch, &mut self.history);
        commit_queue.publish(self.id(), commit, staged, order);
    }

    fn not_staged(&mut self, fetch: FetchAssignment, why: NotStaged) {
        if let Some((round, history)) = self.round() {
            round.not_staged(fetch, why, history);
        }
    }

    /// Logs something of one file: at `level` of the first few within ten minutes, of others at `debug`.
    pub(super) fn log_file(&mut self, level: Level, name: impl Display, text: &str) {
        let now = self.running.as_ref().map(|running| running.since);
        let times = now.and_then(|now| self.files_log.failed(&format!("{name} {text}"), now));
        let (level, counter) = times.map_or((Level::Debug, String::new()), |times| (level, repeated(times)));
        let end = if counter.is_empty() { "" } else { ";" };
        log!(level, "site={} file={name} {text}{end}{counter}", self.shown());
    }

    /// A staged file is committed.
    pub(in crate::collector) fn committed(
        &mut self,
        commit: PendingCommit,
        fingerprint: Fingerprint,
        commit_queue: &mut CommitQueue,
    ) {
        let (name, is_rescue) = (commit.name().clone(), commit.is_rescue());
        debug!("site={} file={name} size={} collected", self.shown(), fingerprint.size);
        if is_rescue {
            // Its beginning may have been kept before.
            self.forget(&name, commit_queue);
        }
        if let Some(waiting) = self.waiting.as_mut().filter(|_| !is_rescue) {
            waiting.collected(fingerprint.size);
        }
        let Some(running) = &mut self.running else { return };
        if !is_rescue {
            running.agent_order.published(&name);
        }
        running.round.committed(commit, fingerprint, &mut self.history);
        if !is_rescue && running.deleted.remove(&name) {
            self.deletion_confirmed(name, commit_queue);
        }
    }

    /// A staged file could not be committed. A fetched one is still at the site, a rescued one is lost.
    pub(in crate::collector) fn uncommitted(&mut self, commit: PendingCommit, error: StoreError) {
        let (name, is_rescue) = (commit.name().clone(), commit.is_rescue());
        if let Some((round, _)) = self.round() {
            round.uncommitted(commit);
        }
        if is_rescue {
            self.lost(&name, &error);
            self.store_failed(error);
        } else {
            self.not_stored(&name, error);
        }
    }

    /// Asked for after its deletion, the site answers that it does not have the file.
    pub(in crate::collector) fn deletion_confirmed(&mut self, name: FileName, commit_queue: &mut CommitQueue) {
        match (self.history.deletion_confirmed(&name), &mut self.running) {
            (Some(fingerprint), _) => commit_queue.forget(&self.name, name, fingerprint),
            // It was moved, and is not committed yet.
            (None, Some(running)) => drop(running.deleted.insert(name)),
            (None, None) => {}
        }
    }

    /// Asked for after its deletion, the site has a file of this name: a new one, or it does not delete.
    pub(in crate::collector) fn deletion_doubted(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        if let Some(fingerprint) = self.history.deletion_doubted(name) {
            commit_queue.forget(&self.name, name.clone(), fingerprint);
        }
    }

    /// The file's bytes could not be stored; it stays at the site.
    pub(in crate::collector) fn unstored(&mut self, fetch: FetchAssignment, error: StoreError) {
        let name = fetch.name().clone();
        self.not_staged(fetch, NotStaged::Unstored);
        self.not_stored(&name, error);
    }

    /// A disk that fails one file may well take the next, unless it takes none at all. The round reports the first
    /// failure.
    fn not_stored(&mut self, name: &FileName, error: StoreError) {
        debug!("site={} file={name} reason=store stays at the site: {error}", self.shown());
        self.store_failed(error);
    }

    fn store_failed(&mut self, error: StoreError) {
        if let Some(running) = &mut self.running {
            if error.concerns_all() {
                running.round.stop_fetching();
            }
            running.failure.get_or_insert(error.into());
        }
    }

    /// The site's disk does not give the file: it may do so later.
    pub(in crate::collector) fn unreadable(&mut self, fetch: FetchAssignment) {
        let name = fetch.name().clone();
        self.not_staged(fetch, NotStaged::Unstored);
        if let Some(running) = &mut self.running {
            running.failure.get_or_insert(Reason::Unreadable(name));
        }
    }

    /// The site does not give the file, and gives no reason.
    pub(in crate::collector) fn withheld(&mut self, fetch: FetchAssignment) {
        debug!(
            "site={} file={} could not be moved: gone, or in the hands of another client?",
            self.shown(),
            fetch.name()
        );
        self.not_staged(fetch, NotStaged::Withheld);
    }

    /// The site does not have the file any more: what is known of the name ends.
    pub(in crate::collector) fn missing(&mut self, fetch: FetchAssignment, commit_queue: &mut CommitQueue) {
        let name = fetch.name();
        debug!("site={} file={name} was gone before it was fetched", self.shown());
        self.forget(name, commit_queue);
        self.not_staged(fetch, NotStaged::Missing);
    }

    /// What is known of the name ends.
    fn forget(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        if let Some(fingerprint) = self.history.forget(name) {
            commit_queue.forget(&self.name, name.clone(), fingerprint);
        }
    }

    /// The site lists the file, and answers otherwise than with it.
    pub(in crate::collector) fn not_given(&mut self, fetch: FetchAssignment, why: &str) {
        self.skipped(fetch, why, |not_taken| &mut not_taken.not_given);
    }

    pub(in crate::collector) fn too_large(&mut self, fetch: FetchAssignment, size: u64) {
        let why = self.why_too_large(size);
        self.skipped(fetch, &why, |not_taken| &mut not_taken.too_large);
    }

    /// The site lists a file that is too large, and says so.
    pub(super) fn listed_too_large(&mut self, name: &FileName, size: u64) {
        let why = self.why_too_large(size);
        self.left_there(name, &why, |not_taken| &mut not_taken.too_large);
    }

    fn why_too_large(&self, size: u64) -> String {
        let (size, most) = (Count(size, "byte"), self.settings.max_file_size);
        format!("it has {size}, max_file_size is {most}: raise that, or remove the file there")
    }

    fn skipped(&mut self, fetch: FetchAssignment, why: &str, counter: fn(&mut NotTaken) -> &mut u64) {
        self.left_there(fetch.name(), why, counter);
        self.not_staged(fetch, NotStaged::Skipped);
    }

    fn left_there(&mut self, name: &FileName, why: &str, counter: fn(&mut NotTaken) -> &mut u64) {
        self.not_taken.add(name.as_bytes(), why);
        if self.history.report_once(name.as_bytes()) {
            self.log_file(Level::Warn, name, &format!("left there: {why}"));
        }
        if let Some(running) = &mut self.running {
            *counter(&mut running.not_taken) += 1;
        }
    }

    /// A deletion has ended.
    pub(in crate::collector) fn deleted(&mut self, delete: DeleteAssignment, result: DeleteResult) {
        let name = delete.name();
        match result {
            DeleteResult::Changed => {
                self.log_file(Level::Info, name, "was overwritten there since it was fetched: fetching it again");
            }
            // `MV ERR`: most often somebody else took the file away.
            DeleteResult::Refused => {
                debug!("site={} file={name} could not be moved: not there any more?", self.shown());
            }
            DeleteResult::Gone | DeleteResult::Acknowledged | DeleteResult::Postponed => {}
        }
        if let Some((round, history)) = self.round() {
            round.deleted(delete, result, history);
        }
    }

    /// The site has deleted the committed file, for certain: what is known of the name ends.
    pub(in crate::collector) fn deletion_acknowledged(
        &mut self,
        delete: DeleteAssignment,
        commit_queue: &mut CommitQueue,
    ) {
        let (name, published) = (delete.name(), delete.published());
        commit_queue.same_server.deleted(self.id(), name, published);
        self.forget(name, commit_queue);
        self.history.deletion_acknowledged();
        self.deleted(delete, DeleteResult::Acknowledged);
    }

    /// The site does not have the committed file any more: somebody else took it away, or an answer was lost.
    pub(in crate::collector) fn was_gone(&mut self, delete: DeleteAssignment, commit_queue: &mut CommitQueue) {
        if let Some(fingerprint) = self.history.forget(delete.name()) {
            self.is_gone(delete.name().clone(), fingerprint, commit_queue);
        }
        self.deleted(delete, DeleteResult::Acknowledged);
    }

    /// The site has other bytes under the name than those committed, and has kept them.
    pub(in crate::collector) fn was_changed(&mut self, delete: DeleteAssignment, commit_queue: &mut CommitQueue) {
        // Or a next start would not know which of the two is there.
        self.forget(delete.name(), commit_queue);
        self.deleted(delete, DeleteResult::Changed);
    }

    /// The site is not asked to delete the file now.
    pub(in crate::collector) fn deletion_postponed(&mut self, delete: DeleteAssignment) {
        self.deleted(delete, DeleteResult::Postponed);
    }

    /// The site does not delete the file.
    pub(in crate::collector) fn deletion_refused(&mut self, delete: DeleteAssignment) {
        self.deleted(delete, DeleteResult::Refused);
    }

    /// We could not keep what the site would send while it deletes the file: it is not asked to.
    pub(in crate::collector) fn delete_postponed(&mut self, delete: DeleteAssignment, error: StoreError) {
        let name = delete.name().clone();
        self.deleted(delete, DeleteResult::Postponed);
        self.not_stored(&name, error);
    }

    /// The site deleted other bytes than those committed: they are staged, and both are kept.
    pub(in crate::collector) fn rescued(
        &mut self,
        delete: DeleteAssignment,
        staged: ClosedHashedTemp,
        commit_queue: &mut CommitQueue,
    ) {
        let name = delete.name();
        self.log_file(Level::Warn, name, "was overwritten there while it was moved: keeping both");
        self.forget(name, commit_queue);
        let Some(running) = &mut self.running else { return };
        let commit = running.round.rescued(delete, &mut self.history);
        commit_queue.publish(self.id(), commit, staged, None);
    }

    /// What was rescued turns out longer than it was announced: the whole of it is staged.
    pub(in crate::collector) fn rescued_longer(
        &mut self,
        name: FileName,
        staged: ClosedHashedTemp,
        commit_queue: &mut CommitQueue,
    ) {
        self.log_file(Level::Warn, &name, "was longer than announced: its beginning is kept as a file of its own");
        let Some(running) = &mut self.running else { return };
        let commit = running.round.rescued_longer(name);
        commit_queue.publish(self.id(), commit, staged, None);
    }

    /// The one way a measurement can get lost: overwritten at the site in the very moment it was moved, on a full disk.
    pub(in crate::collector) fn lost(&self, name: &FileName, error: &StoreError) {
        error!("site={} file={name} reason=lost overwritten while it was moved, and not stored: {error}", self.shown());
    }
}
