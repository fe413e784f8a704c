//! What becomes of each file of a round: it is told to the round, to what is remembered of the site, and to the log.

use std::fmt::Display;

use log::{Level, debug, error, log};

use super::Site;
use crate::obs::repeated;
use crate::proto::{Count, FileName, Fingerprint};
use crate::role::collect::Reason;
use crate::role::collect::commit_queue::CommitQueue;
use crate::role::collect::report::NotTaken;
use crate::store::{PublishOrder, StoreError};
use crate::sync::{DeleteResult, Delivery, Match};

impl Site {
    pub(in crate::role::collect) fn staged(&mut self, name: &FileName) {
        if let Some((round, history)) = self.round() {
            round.staged(name, history);
        }
    }

    /// Says something of one file: at `level` of the first few within ten minutes, of others at `debug`.
    pub(super) fn log_file(&mut self, level: Level, name: impl Display, text: &str) {
        let now = self.running.as_ref().map(|running| running.since);
        let times = now.and_then(|now| self.files_log.failed(&format!("{name} {text}"), now));
        let (level, counter) = times.map_or((Level::Debug, String::new()), |times| (level, repeated(times)));
        let end = if counter.is_empty() { "" } else { ";" };
        log!(level, "site={} file={name} {text}{end}{counter}", self.shown());
    }

    /// What the fetched file `name` must not overtake.
    pub(in crate::role::collect) fn chain(&mut self, name: &FileName) -> Option<PublishOrder> {
        let running = self.running.as_mut().filter(|_| self.settings.delivery == Delivery::Safe);
        Some(running?.agent_order.of(name))
    }

    /// A fetched file is committed.
    pub(in crate::role::collect) fn committed(
        &mut self,
        name: FileName,
        fingerprint: Fingerprint,
        commit_queue: &mut CommitQueue,
    ) {
        debug!("site={} file={name} size={} collected", self.shown(), fingerprint.size);
        let Some(running) = &mut self.running else { return };
        running.agent_order.published(&name);
        running.round.committed(name.clone(), fingerprint, &mut self.history);
        if running.deleted.remove(&name) {
            self.deletion_confirmed(name, commit_queue);
        }
    }

    /// Asked for after its deletion, the site says that it does not have the file.
    pub(in crate::role::collect) fn deletion_confirmed(&mut self, name: FileName, commit_queue: &mut CommitQueue) {
        match (self.history.deletion_confirmed(&name), &mut self.running) {
            (Some(fingerprint), _) => commit_queue.forget(&self.name, name, fingerprint),
            // It was moved, and is not committed yet.
            (None, Some(running)) => drop(running.deleted.insert(name)),
            (None, None) => {}
        }
    }

    /// Asked for after its deletion, the site has a file of this name: a new one, or it does not delete.
    pub(in crate::role::collect) fn deletion_doubted(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        if let Some(fingerprint) = self.history.deletion_doubted(name) {
            commit_queue.forget(&self.name, name.clone(), fingerprint);
        }
    }

    /// Whether what was fetched is committed already, and the site has it all the same. Then the site is asked once more to
    /// let it go.
    pub(in crate::role::collect) fn recognises(
        &mut self,
        name: &FileName,
        fingerprint: Fingerprint,
        commit_queue: &mut CommitQueue,
    ) -> bool {
        let was_deleted = match self.history.classify(name, fingerprint) {
            Match::New => return false,
            Match::Changed(before) => {
                self.history.forget(name);
                commit_queue.forget(&self.name, name.clone(), before);
                return false;
            }
            Match::Same { was_deleted } => was_deleted,
        };
        debug!("site={} file={name} is committed already, and still there", self.shown());
        if let Some((round, history)) = self.round() {
            round.already_published(name.clone(), fingerprint, was_deleted, history);
        }
        true
    }

    pub(in crate::role::collect) fn uncommitted(&mut self, name: &FileName, error: StoreError) {
        if let Some((round, _)) = self.round() {
            round.uncommitted(name);
        }
        self.not_stored(name, error);
    }

    /// The file's bytes could not be stored; it stays at the site.
    pub(in crate::role::collect) fn unstored(&mut self, name: &FileName, error: StoreError) {
        if let Some((round, _)) = self.round() {
            round.unstored(name);
        }
        self.not_stored(name, error);
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
    pub(in crate::role::collect) fn unreadable(&mut self, name: &FileName) {
        if let Some(running) = &mut self.running {
            running.round.unstored(name);
            running.failure.get_or_insert(Reason::Unreadable(name.clone()));
        }
    }

    /// The site does not have the file: what is known of the name ends.
    pub(in crate::role::collect) fn forget(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        if let Some(fingerprint) = self.history.forget(name) {
            commit_queue.forget(&self.name, name.clone(), fingerprint);
        }
    }

    /// The site does not give the file, and does not say why.
    pub(in crate::role::collect) fn withheld(&mut self, name: &FileName) {
        debug!("site={} file={name} could not be moved: gone, or in the hands of another client?", self.shown());
        if let Some((round, history)) = self.round() {
            round.withheld(name, history);
        }
    }

    pub(in crate::role::collect) fn missing(&mut self, name: &FileName) {
        debug!("site={} file={name} was gone before it was fetched", self.shown());
        if let Some((round, history)) = self.round() {
            round.missing(name, history);
        }
    }

    /// The site lists the file, and answers otherwise than with it.
    pub(in crate::role::collect) fn not_given(&mut self, name: &FileName, why: &str) {
        self.skipped(name, why, |not_taken| &mut not_taken.not_given);
    }

    pub(in crate::role::collect) fn too_large(&mut self, name: &FileName, size: u64) {
        let (size, most) = (Count(size, "byte"), self.settings.max_file_size);
        let why = format!("it has {size}, max_file_size is {most}: raise that, or remove the file there");
        self.skipped(name, &why, |not_taken| &mut not_taken.too_large);
    }

    fn skipped(&mut self, name: &FileName, why: &str, counter: fn(&mut NotTaken) -> &mut u64) {
        if self.history.report_once(name.as_bytes()) {
            self.log_file(Level::Warn, name, &format!("left there: {why}"));
        }
        if let Some(running) = &mut self.running {
            *counter(&mut running.not_taken) += 1;
            running.round.skipped(name, &mut self.history);
        }
    }

    pub(in crate::role::collect) fn moved(&mut self, name: &FileName, end: DeleteResult) {
        if let Some((round, history)) = self.round() {
            round.moved(name, end, history);
        }
    }

    /// The site has a newer file under the published name.
    pub(in crate::role::collect) fn changed(&mut self, name: &FileName) {
        self.log_file(Level::Info, name, "was overwritten there since it was fetched: fetching it again");
        self.moved(name, DeleteResult::Changed);
    }

    /// An empty file's move: the site says nothing when it is done.
    pub(in crate::role::collect) fn move_unconfirmed(&mut self) {
        if let Some((round, _)) = self.round() {
            round.move_postponed();
        }
    }

    /// `MV ERR`: most often somebody else took the file away. If it is still listed, it is asked for again.
    pub(in crate::role::collect) fn move_refused(&mut self, name: &FileName) {
        debug!("site={} file={name} could not be moved: not there any more?", self.shown());
        if let Some((round, history)) = self.round() {
            round.move_refused(history);
        }
    }

    pub(in crate::role::collect) fn move_postponed(&mut self, name: &FileName, error: StoreError) {
        if let Some((round, _)) = self.round() {
            round.move_postponed();
        }
        self.not_stored(name, error);
    }

    /// The site deleted other bytes than those committed: they are staged by now.
    pub(in crate::role::collect) fn rescued(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        self.log_file(Level::Warn, name, "was overwritten there while it was moved: keeping both");
        if let Some(before) = self.history.forget(name) {
            commit_queue.forget(&self.name, name.clone(), before);
        }
        if let Some((round, history)) = self.round() {
            round.kept_both(name, history);
        }
    }

    /// What was rescued turns out longer than it was announced: the whole of it is staged.
    pub(in crate::role::collect) fn rescued_longer(&mut self, name: &FileName) {
        let text = "was longer than announced: its beginning is kept as a file of its own";
        self.log_file(Level::Warn, name, text);
        if let Some((round, _)) = self.round() {
            round.rescued_longer();
        }
    }

    /// What was rescued is committed.
    pub(in crate::role::collect) fn rescue_committed(
        &mut self,
        name: &FileName,
        fingerprint: Fingerprint,
        commit_queue: &mut CommitQueue,
    ) {
        if let Some(beginning) = self.history.forget(name) {
            commit_queue.forget(&self.name, name.clone(), beginning);
        }
        if let Some((round, history)) = self.round() {
            round.rescue_committed(name, fingerprint, history);
        }
    }

    pub(in crate::role::collect) fn rescue_uncommitted(&mut self, name: &FileName, error: StoreError) {
        if let Some((round, _)) = self.round() {
            round.rescue_uncommitted();
        }
        self.lost(name, &error);
        self.store_failed(error);
    }

    /// The one way a measurement can get lost: overwritten at the site in the very moment it was moved, on a full disk.
    pub(in crate::role::collect) fn lost(&self, name: &FileName, error: &StoreError) {
        error!("site={} file={name} reason=lost overwritten while it was moved, and not stored: {error}", self.shown());
    }
}
