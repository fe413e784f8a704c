//! A site while the daemon runs: its settings, what is remembered of it, and the round under way.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use log::{Level, debug, error, info, log, warn};

use super::Reason;
use super::agent_order::AgentOrder;
use super::commit_queue::{CommitQueue, SpoolShare};
use super::report::NotTaken;
use super::resources::SiteResources;
use crate::budget::Budget;
use crate::config::SiteSettings;
use crate::net::{ConnId, Target};
use crate::obs::{LogThrottle, repeated};
use crate::proto::{Count, Error, FileName, Fingerprint, Listing, Quoted, RefusedEntry, quoted};
use crate::store::{PublishOrder, Spool, StoreError, Waiting};
use crate::sync::{DeleteResult, Delivery, Match, Round, Selection, SiteHistory, Step, WorkCounts};
use crate::tls::ClientCertPolicy;

/// Files of one site that may wait for the disk at a time.
const COMMIT_WINDOW: usize = 512;

/// What becomes of a site when its round has ended.
pub(super) enum AfterRound {
    /// It goes on.
    Same,
    /// It goes on with what a reload has brought.
    Changed(Box<SiteResources>),
    /// It has been taken out of the configuration.
    Gone,
}

/// The round under way.
pub(super) struct ActiveRound {
    pub(super) round: Round,
    /// Its connections.
    pub(super) connections: Vec<ConnId>,
    /// Those of them that wait for something to do.
    pub(super) waiting: Vec<ConnId>,
    chains: AgentOrder,
    /// Files moved and not committed yet, whose deletion is confirmed.
    deleted: HashSet<FileName>,
    pub(super) since: Instant,
    pub(super) failure: Option<Reason>,
    pub(super) not_taken: NotTaken,
    pub(super) after_round: AfterRound,
}

impl ActiveRound {
    pub(super) fn drop_lane(&mut self, id: ConnId) {
        self.connections.retain(|connection| *connection != id);
        self.waiting.retain(|connection| *connection != id);
    }
}

/// A site.
pub(super) struct Site {
    key: usize,
    name: Arc<str>,
    pub(super) settings: SiteSettings,
    pub(super) target: Arc<Target>,
    pub(super) spool: Spool,
    pub(super) history: SiteHistory,
    /// For what its listings name, and those of all sites.
    names: Budget,
    /// The site has refused our certificate: [`ClientCertPolicy::Auto`] goes on without.
    certificate_refused: bool,
    pub(super) running: Option<ActiveRound>,
    /// A connection kept open between two rounds.
    pub(super) parked: Option<ConnId>,
    pub(super) log: LogThrottle,
    /// Whether so much of its files is here that the rest of the spool is left to the other sites.
    has_its_share: bool,
    share_log: LogThrottle,
    /// Of single files, of which a site may have any number.
    files_log: LogThrottle,
}

impl Site {
    /// What is known of it is in `history`; what its listings name goes into `names`.
    pub(super) fn new(key: usize, resources: SiteResources, history: SiteHistory, names: Budget) -> Self {
        let SiteResources { settings, target, spool } = resources;
        Self {
            key,
            name: settings.name.as_str().into(),
            settings,
            target,
            spool,
            history,
            names,
            certificate_refused: false,
            running: None,
            parked: None,
            log: LogThrottle::default(),
            has_its_share: false,
            share_log: LogThrottle::default(),
            files_log: LogThrottle::default(),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The name as it stands in log lines.
    fn shown(&self) -> Quoted<'_> {
        quoted(&*self.name)
    }

    pub(super) fn key(&self) -> usize {
        self.key
    }

    pub(super) fn id(&self) -> (usize, &Arc<str>) {
        (self.key, &self.name)
    }

    /// New settings: at once where no round runs, else when it has ended.
    pub(super) fn replace_resources(&mut self, resources: SiteResources) {
        if let Some(running) = &mut self.running {
            running.after_round = AfterRound::Changed(Box::new(resources));
            return;
        }
        SiteResources { settings: self.settings, target: self.target, spool: self.spool } = resources;
        self.certificate_refused = false;
        self.history.reset_skips();
        self.files_log = LogThrottle::default();
    }

    /// The round that runs takes no new files, and is the last, unless the site is equipped again before its end.
    pub(super) fn retire(&mut self) {
        if let Some(running) = &mut self.running {
            running.after_round = AfterRound::Gone;
            running.round.stop_fetching();
        }
    }

    /// The round that runs takes no new files.
    pub(super) fn stop_fetching(&mut self) {
        if let Some(running) = &mut self.running
            && running.round.is_collecting()
        {
            running.round.stop_fetching();
        }
    }

    /// Whether so much of its files is here that the rest of the spool is left to the other sites, and no more of them are
    /// to be fetched.
    pub(super) fn has_its_share(&mut self, commit_queue: &CommitQueue, now: Instant) -> bool {
        let before = self.has_its_share;
        let reached = commit_queue.share(self.id()).filter(|share| share.is_reached(before));
        self.has_its_share = reached.is_some();
        if let Some(SpoolShare { own: Waiting { files, bytes }, .. }) = reached.filter(|_| !before)
            && let Some(suppressed) = self.share_log.failed("spool-share", now)
        {
            warn!(
                "site={} reason=spool-share as much of its files is here as is left free for the other sites \
                 (max_spool_files, max_spool_bytes): no more are fetched from it until the data server has taken some; is \
                 that running, does it keep up, and does the site send what it should?;{} files={files} bytes={bytes}",
                self.shown(),
                repeated(suppressed)
            );
        }
        self.has_its_share
    }

    /// Whether our certificate may be shown to this site.
    pub(super) fn offers_certificate(&self) -> bool {
        match self.settings.tls.as_ref().map(|tls| tls.offer) {
            Some(ClientCertPolicy::Always) => true,
            Some(ClientCertPolicy::Auto) => !self.certificate_refused,
            Some(ClientCertPolicy::Never) | None => false,
        }
    }

    /// The site does not want our certificate. Says whether to try again without.
    pub(super) fn withdraw_certificate(&mut self) -> bool {
        let automatic = self.settings.tls.as_ref().is_some_and(|tls| tls.offer == ClientCertPolicy::Auto);
        if !automatic || self.certificate_refused {
            return false;
        }
        self.certificate_refused = true;
        info!("site={} refuses our certificate: going on without one (offer_client_cert = \"auto\")", self.shown());
        true
    }

    /// A site that refuses our certificate for its CA, and then demands one: what it said first is what is wrong. The
    /// next round shows it again.
    fn as_first_refused(&mut self, reason: Reason) -> Reason {
        if self.certificate_refused && reason.is_certificate_demand() {
            self.certificate_refused = false;
            return Reason::unknown_client_ca();
        }
        reason
    }

    pub(super) fn start_round(&mut self, now: Instant) {
        self.running = Some(ActiveRound {
            round: Round::new(self.settings.delivery, COMMIT_WINDOW),
            connections: Vec::new(),
            waiting: Vec::new(),
            chains: AgentOrder::default(),
            deleted: HashSet::new(),
            since: now,
            failure: None,
            not_taken: NotTaken::default(),
            after_round: AfterRound::Same,
        });
    }

    pub(super) fn protocol(&self, error: Error) -> Reason {
        Reason::protocol(error, &self.settings)
    }

    fn round(&mut self) -> Option<(&mut Round, &mut SiteHistory)> {
        self.running.as_mut().map(|running| (&mut running.round, &mut self.history))
    }

    pub(super) fn outlook(&self) -> Option<WorkCounts> {
        self.running.as_ref().map(|running| running.round.outlook())
    }

    pub(super) fn next_step(&mut self) -> Step {
        self.round().map_or(Step::Leave, |(round, _)| round.next_step())
    }

    /// A listing begins.
    pub(super) fn select(&mut self) -> Selection {
        Selection::new(self.names.share(), &mut self.history)
    }

    /// Decides whether a listed name is one to ask for.
    pub(super) fn judge(&mut self, name: &[u8], selection: &mut Selection) {
        selection.judge(name, self.settings.filter.matches(name), &mut self.history);
    }

    /// Says which names of a listing cannot be used.
    pub(super) fn tell_refused(&mut self, listing: &Listing) {
        for RefusedEntry { name, error } in listing.refused() {
            if self.history.report_once(name.as_bytes()) {
                self.log_file(Level::Warn, name, &format!("left there: {error}"));
            }
        }
        if let [mark, ..] = listing.marks()
            && self.history.report_once(mark)
        {
            let mark = String::from_utf8_lossy(mark);
            warn!(
                "site={} its directory is the incoming directory of another tentacle-syncd (it has {mark}), whose data server \
                 gets nothing of what is collected from it: is the address right? in a chain of collectors it is",
                self.shown()
            );
        }
        if let Some(running) = &mut self.running {
            running.not_taken.bad_name = listing.refused_count();
        }
    }

    /// A listing has come.
    pub(super) fn listed(&mut self, selection: Selection, commit_queue: &mut CommitQueue) {
        let Some(running) = &mut self.running else { return };
        for (name, fingerprint) in running.round.listed(selection, &mut self.history) {
            if let Some(other) = commit_queue.same_server.gone(self.key, &name, fingerprint) {
                warn!(
                    "site={} reason=same-server it seems to lead to the server that site {} leads to: files that were \
                     deleted there are gone here, and some may have been published twice. From now on the rounds of both \
                     are kept apart; leave one of the two out of the configuration",
                    quoted(&*self.name),
                    quoted(&**other)
                );
                // The other's round may be under way.
                running.round.stop_fetching();
            }
            commit_queue.forget(&self.name, name, fingerprint);
        }
    }

    /// A step that came to nothing goes back to the round.
    pub(super) fn requeue(&mut self, step: Step) {
        if let Some((round, history)) = self.round() {
            round.dropped(step, history);
        }
    }

    pub(super) fn staged(&mut self, name: &FileName) {
        if let Some((round, history)) = self.round() {
            round.staged(name, history);
        }
    }

    /// Says something of one file: at `level` of the first few within ten minutes, of others at `debug`.
    fn log_file(&mut self, level: Level, name: impl Display, text: &str) {
        let now = self.running.as_ref().map(|running| running.since);
        let times = now.and_then(|now| self.files_log.failed(&format!("{name} {text}"), now));
        let (level, counter) = times.map_or((Level::Debug, String::new()), |times| (level, repeated(times)));
        let end = if counter.is_empty() { "" } else { ";" };
        log!(level, "site={} file={name} {text}{end}{counter}", self.shown());
    }

    /// What the fetched file `name` must not overtake.
    pub(super) fn chain(&mut self, name: &FileName) -> Option<PublishOrder> {
        let running = self.running.as_mut().filter(|_| self.settings.delivery == Delivery::Safe);
        Some(running?.chains.of(name))
    }

    /// A fetched file is committed.
    pub(super) fn committed(&mut self, name: FileName, fingerprint: Fingerprint, commit_queue: &mut CommitQueue) {
        debug!("site={} file={name} size={} collected", self.shown(), fingerprint.size);
        let Some(running) = &mut self.running else { return };
        running.chains.published(&name);
        running.round.committed(name.clone(), fingerprint, &mut self.history);
        if running.deleted.remove(&name) {
            self.deletion_confirmed(name, commit_queue);
        }
    }

    /// Asked for after its deletion, the site says that it does not have the file.
    pub(super) fn deletion_confirmed(&mut self, name: FileName, commit_queue: &mut CommitQueue) {
        match (self.history.deletion_confirmed(&name), &mut self.running) {
            (Some(fingerprint), _) => commit_queue.forget(&self.name, name, fingerprint),
            // It was moved, and is not committed yet.
            (None, Some(running)) => drop(running.deleted.insert(name)),
            (None, None) => {}
        }
    }

    /// Asked for after its deletion, the site has a file of this name: a new one, or it does not delete.
    pub(super) fn deletion_doubted(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        if let Some(fingerprint) = self.history.deletion_doubted(name) {
            commit_queue.forget(&self.name, name.clone(), fingerprint);
        }
    }

    /// Whether what was fetched is committed already, and the site has it all the same. Then the site is asked once more to
    /// let it go.
    pub(super) fn recognises(
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

    pub(super) fn uncommitted(&mut self, name: &FileName, error: StoreError) {
        if let Some((round, _)) = self.round() {
            round.uncommitted(name);
        }
        self.not_stored(name, error);
    }

    /// The file's bytes could not be stored; it stays at the site.
    pub(super) fn unstored(&mut self, name: &FileName, error: StoreError) {
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
    pub(super) fn unreadable(&mut self, name: &FileName) {
        if let Some(running) = &mut self.running {
            running.round.unstored(name);
            running.failure.get_or_insert(Reason::Unreadable(name.clone()));
        }
    }

    /// The site does not have the file: what is known of the name ends.
    pub(super) fn forget(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        if let Some(fingerprint) = self.history.forget(name) {
            commit_queue.forget(&self.name, name.clone(), fingerprint);
        }
    }

    /// The site does not give the file, and does not say why.
    pub(super) fn withheld(&mut self, name: &FileName) {
        debug!("site={} file={name} could not be moved: gone, or in the hands of another client?", self.shown());
        if let Some((round, history)) = self.round() {
            round.withheld(name, history);
        }
    }

    pub(super) fn missing(&mut self, name: &FileName) {
        debug!("site={} file={name} was gone before it was fetched", self.shown());
        if let Some((round, history)) = self.round() {
            round.missing(name, history);
        }
    }

    /// The site lists the file, and answers otherwise than with it.
    pub(super) fn not_given(&mut self, name: &FileName, why: &str) {
        self.skipped(name, why, |not_taken| &mut not_taken.not_given);
    }

    pub(super) fn too_large(&mut self, name: &FileName, size: u64) {
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

    pub(super) fn moved(&mut self, name: &FileName, end: DeleteResult) {
        if let Some((round, history)) = self.round() {
            round.moved(name, end, history);
        }
    }

    /// The site has a newer file under the published name.
    pub(super) fn changed(&mut self, name: &FileName) {
        self.log_file(Level::Info, name, "was overwritten there since it was fetched: fetching it again");
        self.moved(name, DeleteResult::Changed);
    }

    /// An empty file's move: the site says nothing when it is done.
    pub(super) fn move_unconfirmed(&mut self) {
        if let Some((round, _)) = self.round() {
            round.move_postponed();
        }
    }

    /// `MV ERR`: most often somebody else took the file away. If it is still listed, it is asked for again.
    pub(super) fn move_refused(&mut self, name: &FileName) {
        debug!("site={} file={name} could not be moved: not there any more?", self.shown());
        if let Some((round, history)) = self.round() {
            round.move_refused(history);
        }
    }

    pub(super) fn move_postponed(&mut self, name: &FileName, error: StoreError) {
        if let Some((round, _)) = self.round() {
            round.move_postponed();
        }
        self.not_stored(name, error);
    }

    /// The site deleted other bytes than those committed: they are staged by now.
    pub(super) fn rescued(&mut self, name: &FileName, commit_queue: &mut CommitQueue) {
        self.log_file(Level::Warn, name, "was overwritten there while it was moved: keeping both");
        if let Some(before) = self.history.forget(name) {
            commit_queue.forget(&self.name, name.clone(), before);
        }
        if let Some((round, history)) = self.round() {
            round.kept_both(name, history);
        }
    }

    /// What was rescued turns out longer than it was announced: the whole of it is staged.
    pub(super) fn rescued_longer(&mut self, name: &FileName) {
        let text = "was longer than announced: its beginning is kept as a file of its own";
        self.log_file(Level::Warn, name, text);
        if let Some((round, _)) = self.round() {
            round.rescued_longer();
        }
    }

    /// What was rescued is committed.
    pub(super) fn rescue_committed(
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

    pub(super) fn rescue_uncommitted(&mut self, name: &FileName, error: StoreError) {
        if let Some((round, _)) = self.round() {
            round.rescue_uncommitted();
        }
        self.lost(name, &error);
        self.store_failed(error);
    }

    /// The one way a measurement can get lost: overwritten at the site in the very moment it was moved, on a full disk.
    pub(super) fn lost(&self, name: &FileName, error: &StoreError) {
        error!("site={} file={name} reason=lost overwritten while it was moved, and not stored: {error}", self.shown());
    }

    /// The round, or what is left of it, breaks off.
    pub(super) fn break_off(&mut self, reason: Reason) {
        let reason = self.as_first_refused(reason);
        if let Some(running) = &mut self.running {
            running.round.stop_fetching();
            running.failure.get_or_insert(reason);
        }
    }
}
