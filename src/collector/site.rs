//! A site while the daemon runs: its settings, what is remembered of it, and the round under way.

mod dialect;
mod files;
mod listing;
mod not_taken;
mod packed;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use self::dialect::Dialect;
use self::not_taken::NotTakenFiles;
use super::Reason;
use super::agent_order::AgentOrder;
use super::commit_queue::{CommitQueue, SpoolShare};
use super::configuring::SiteConfig;
use super::report::NotTaken;
use super::resources::SiteResources;
use super::status::{SeenClock, SeenWaiting};
use crate::budget::Budget;
use crate::config::SiteSettings;
use crate::net::{ConnId, Target};
use crate::obs::{LogThrottle, repeated};
use crate::proto::{Error, FileName, Fingerprint, Quoted, quoted};
use crate::store::{Spool, Waiting};
use crate::sync::{
    ConnectionKey, Delivery, EarlyEnd, ListAssignment, Packing, Pipelining, Places, Round, Selection, SiteHistory,
    Step, WorkCounts,
};
use crate::tls::ClientCertPolicy;

/// Files of one site that may wait for the disk at a time.
const COMMIT_WINDOW: usize = 512;

/// Bytes of one site that may be on their way where they are asked for ahead: what 400 Mbit/s carry in a round trip of 600 ms.
/// They are the line's to hold, and what a full spool may get beyond its bounds.
const AHEAD: u64 = 32 << 20;

/// Files of those, at most, however small they are.
const MOST_AHEAD: u64 = 8192;

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
    agent_order: AgentOrder,
    /// Files moved and not committed yet, whose deletion is confirmed.
    deleted: HashSet<FileName>,
    /// When it was due.
    pub(super) due: Instant,
    pub(super) since: Instant,
    pub(super) failure: Option<Reason>,
    pub(super) not_taken: NotTaken,
    pub(super) after_round: AfterRound,
}

impl ActiveRound {
    pub(super) fn drop_connection(&mut self, id: ConnId) {
        self.connections.retain(|connection| *connection != id);
        self.waiting.retain(|connection| *connection != id);
    }
}

/// So many commands in lock-step are a sign that it does not do to send them ahead, and worth a line in the log.
const MANY_STEPS: u32 = 32;

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
    dialect: Dialect,
    /// Of a stock server: how far commands may be sent ahead.
    pub(super) pipelining: Pipelining,
    /// Of a stock server: whether it packs files.
    packing: Packing,
    /// How many connections it has places for.
    pub(super) places: Places,
    pub(super) running: Option<ActiveRound>,
    /// What waits there, as its last listing showed.
    pub(super) waiting: Option<SeenWaiting>,
    /// How far its clock is from ours.
    pub(super) clock: SeenClock,
    /// What is left there.
    pub(super) not_taken: NotTakenFiles,
    /// Where its configuration is kept the same as the centre's.
    pub(super) configuration: Option<SiteConfig>,
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
            pipelining: Pipelining::new(settings.tls.is_some()),
            key,
            name: settings.name.as_str().into(),
            settings,
            target,
            spool,
            history,
            names,
            certificate_refused: false,
            dialect: Dialect::Unknown,
            packing: Packing::default(),
            places: Places::default(),
            running: None,
            waiting: None,
            clock: SeenClock::default(),
            not_taken: NotTakenFiles::default(),
            configuration: None,
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
    pub(super) fn shown(&self) -> Quoted<'_> {
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
        self.dialect = Dialect::Unknown;
        self.clock = SeenClock::default();
        self.pipelining = Pipelining::new(self.settings.tls.is_some());
        self.packing = Packing::default();
        self.places = Places::default();
        self.history.reset_skips();
        self.not_taken.clear();
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

    /// Breaks the round off whose directory does not answer. That is logged at once: what is being committed there may keep it
    /// from its end for longer.
    pub(super) fn look_after_spool(&mut self, now: Instant) {
        let is_sound = self.running.as_ref().is_some_and(|running| running.failure.is_none());
        if is_sound && let Err(error) = self.spool.check_answers() {
            let reason = Reason::from(error);
            if let Some(suppressed) = self.log.failed(&reason.log_key(), now) {
                warn!("site={} reason={} {reason};{}", self.shown(), reason.code(), repeated(suppressed));
            }
            self.fail_round(reason);
        }
    }

    /// Whether our certificate may be shown to this site.
    pub(super) fn offers_certificate(&self) -> bool {
        match self.settings.tls.as_ref().map(|tls| tls.offer) {
            Some(ClientCertPolicy::Always) => true,
            Some(ClientCertPolicy::Auto) => !self.certificate_refused,
            Some(ClientCertPolicy::Never) | None => false,
        }
    }

    /// The site does not take our certificate. Returns whether to try again without.
    pub(super) fn withdraw_certificate(&mut self) -> bool {
        let automatic = self.settings.tls.as_ref().is_some_and(|tls| tls.offer == ClientCertPolicy::Auto);
        if !automatic || self.certificate_refused {
            return false;
        }
        self.certificate_refused = true;
        info!("site={} refuses our certificate: going on without one (offer_client_cert = \"auto\")", self.shown());
        true
    }

    /// A site that refuses our certificate for its CA, and then demands one: its first refusal names what is wrong. The
    /// next round shows it again.
    fn as_first_refused(&mut self, reason: Reason) -> Reason {
        if self.certificate_refused && reason.is_certificate_demand() {
            self.certificate_refused = false;
            return Reason::unknown_client_ca();
        }
        reason
    }

    /// At which distance commands are sent ahead of their answers; `None` where each waits for the answer to the one before. What
    /// is moved at once would be lost with the connection, all of it.
    pub(super) fn distance(&self) -> Option<Duration> {
        let is_of_use = self.settings.pipelining && self.settings.delivery == Delivery::Safe;
        if is_of_use { self.pipelining.distance() } else { None }
    }

    /// Whether a connection on which nothing is under way begins to send commands ahead.
    pub(super) fn is_asked_ahead(&self) -> bool {
        self.distance().is_some() && self.pipelining.is_begun()
    }

    /// A connection has ended on which commands had been sent ahead; `first` is the first file that was not done.
    pub(super) fn ended_early(&mut self, end: EarlyEnd, first: Option<&FileName>, now: Instant) {
        let steps = self.pipelining.ended(end, first, now);
        if let Some(steps) = steps.filter(|steps| *steps >= MANY_STEPS) {
            info!(
                "site={} ends connections on which commands are sent ahead before it answers: the next {steps} wait each for the \
                 answer to the one before",
                self.shown(),
            );
        }
    }

    /// How many connections a round may have: answers that come in order take one.
    pub(super) fn connections(&self) -> usize {
        if self.is_extended() { 1 } else { self.places.most(self.settings.connections) }
    }

    /// A connection was opened beside so many others that work, and the site had no place for it.
    pub(super) fn found_no_place(&mut self, others: usize) {
        if self.places.lacked(others) {
            info!(
                "site={} has no place for another connection beside {} of ours: its server may serve too few clients at once \
                 (stock's -c, max_connections) for its agents and connections = {} here",
                self.shown(),
                others,
                self.settings.connections
            );
        }
    }

    pub(super) fn start_round(&mut self, due: Instant, now: Instant) {
        self.history.begin_round(now);
        self.packing.begin_round();
        self.running = Some(ActiveRound {
            round: Round::new(self.settings.delivery, COMMIT_WINDOW).in_order(self.settings.order),
            connections: Vec::new(),
            waiting: Vec::new(),
            agent_order: AgentOrder::default(),
            deleted: HashSet::new(),
            due,
            since: now,
            failure: None,
            not_taken: NotTaken::default(),
            after_round: AfterRound::Same,
        });
    }

    /// A listing has shown how large the files are: how many of them may be asked for ahead follows from that.
    pub(super) fn ask_ahead(&mut self, mean_size: u64) {
        let files = (AHEAD / mean_size.max(1)).clamp(1, MOST_AHEAD);
        if let Some(running) = &mut self.running {
            running.round.ask_ahead(usize::try_from(files).unwrap_or(usize::MAX));
        }
    }

    /// Whether so many of its files are on their way to the disk that the next should wait in the line.
    pub(super) fn is_behind(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.round.is_behind())
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

    pub(super) fn next_step(&mut self, connection: ConnectionKey) -> Step {
        self.round().map_or(Step::Leave, |(round, _)| round.next_step(connection))
    }

    /// A listing has come.
    pub(super) fn listed(&mut self, list: ListAssignment, selection: Selection, commit_queue: &mut CommitQueue) {
        let Some(running) = &mut self.running else { return };
        for (name, fingerprint) in running.round.listed(list, selection, &mut self.history) {
            self.is_gone(name, fingerprint, commit_queue);
        }
    }

    /// A committed file is gone at the site, which was not asked to delete it, or has not said that it has.
    fn is_gone(&mut self, name: FileName, fingerprint: Fingerprint, commit_queue: &mut CommitQueue) {
        if let Some(other) = commit_queue.same_server.gone(self.key, &name, fingerprint) {
            warn!(
                "site={} reason=same-server it seems to lead to the server that site {} leads to: files that were \
                 deleted there are gone here, and some may have been published twice. From now on the rounds of both \
                 are kept apart; leave one of the two out of the configuration",
                quoted(&*self.name),
                quoted(&**other)
            );
            // The other's round may be under way.
            if let Some(running) = &mut self.running {
                running.round.stop_fetching();
            }
        }
        commit_queue.forget(&self.name, name, fingerprint);
    }

    /// The round, or what is left of it, breaks off.
    pub(super) fn fail_round(&mut self, reason: Reason) {
        let reason = self.as_first_refused(reason);
        if let Some(running) = &mut self.running {
            running.round.stop_fetching();
            running.failure.get_or_insert(reason);
        }
    }
}
