//! All sites on one loop.

mod configuring;
mod connections;
mod control;
mod expiry;
mod http;
mod monitor;
mod operator;
mod reading;
mod reload;
mod rounds;
mod stop;
mod summing_up;
mod unopened;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use signal_hook::consts::SIGHUP;

use self::control::ControlClients;
use self::monitor::Telling;
pub use self::operator::Assigned;
use self::reading::Reading;
pub use self::reading::{AfterReading, Read};
pub use self::reload::Reloaded;
use self::stop::Stop;
use self::unopened::Unopened;
use super::commit_queue::CommitQueue;
use super::configuring::{Centres, ConfigSession};
use super::http::StatusPort;
use super::limited_net::LimitedNet;
use super::machine::Machine;
use super::report::RoundReport;
use super::resources::{Opened, StartError, open_all, withdraw};
use super::session::Session;
use super::site::Site;
use super::status::{SiteStatus, summary};
use crate::bandwidth::Timetable;
use crate::budget::{Budget, LEAST_OF_SITE, LISTED, REMEMBERED};
use crate::config::Settings;
use crate::net::{ConnId, Event, Net};
use crate::obs::{ExpiryLog, LogThrottle, Watchdog};
use crate::status_port;
use crate::store::{CommitPolicy, Committer, CommitterNotify, Outstanding, Spool, Waiting};
use crate::sync::{Schedule, SiteHistory};

/// Rounds are looked after this often: for their limits, and for whether others wait.
const TICK: Duration = Duration::from_secs(1);

/// How long a collector goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is asked to stop.
    Forever,
    /// Until each site has had its round, or has failed for good.
    Once,
    /// So too, and until all that was collected is published.
    OnceAndWait,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The longest that anything ready had to wait for the loop.
    pub max_loop_latency: Duration,
    /// What is collected and left for the next start to publish.
    pub waiting: Waiting,
}

/// Collects from all sites.
pub struct Collector {
    net: LimitedNet,
    commit_queue: CommitQueue,
    schedule: Schedule,
    sites: Vec<Option<Site>>,
    /// Sites of which something cannot be opened, by their keys: they have no entry in `sites` until it can.
    unopened: BTreeMap<usize, Unopened>,
    /// Of both, by their keys.
    statuses: BTreeMap<usize, SiteStatus>,
    /// Keys of sites that are no more.
    free_keys: Vec<usize>,
    sessions: BTreeMap<ConnId, Session>,
    /// How many connections were opened, modulo 2^32.
    connections_opened: u32,
    config_sessions: HashMap<ConnId, ConfigSession>,
    centres: Centres,
    spools: BTreeMap<PathBuf, Spool>,
    budgets: Budgets,
    state_dir: PathBuf,
    /// What the journal holds of sites that are not collected from, in case they are again.
    removed_sites: HashMap<String, SiteHistory>,
    mode: Mode,
    max_connections: usize,
    running: usize,
    /// Connections whose files wait for their directory.
    staging: BTreeSet<ConnId>,
    /// Connections that have something to send, and when they may.
    paced: BTreeSet<(Instant, ConnId)>,
    /// Sites whose rounds have no connection, and work for one.
    awaiting_capacity: VecDeque<usize>,
    /// Sites whose rounds wait though they are due, and since when.
    held_up: BTreeMap<usize, Instant>,
    next_tick: Instant,
    expiry_log: ExpiryLog,
    /// Failures of the process, which are logged once, not for each site.
    log: LogThrottle,
    control: ControlClients,
    /// What is known of the machine, where a daemon runs.
    machine: Option<Machine>,
    /// Who tells the data server of us.
    monitor: Telling,
    /// The status port.
    http: Option<StatusPort>,
    /// Ends a turn of the loop early.
    notify: CommitterNotify,
    /// When the collector began.
    started: Instant,
    /// When it was asked to stop.
    stop: Option<Stop>,
    /// Whether the configuration is being read again.
    reading: Reading,
    /// When the service manager is told how many sites fail, where that has changed.
    summary_due: Option<Instant>,
    observer: Box<dyn FnMut(&RoundReport)>,
    watchdog: Watchdog,
}

/// What a collector works with.
pub(super) struct Deps {
    pub(super) net: LimitedNet,
    pub(super) commit_queue: CommitQueue,
    /// What the run before has published and not seen gone.
    pub(super) outstanding: Vec<Outstanding>,
    pub(super) spools: BTreeMap<PathBuf, Spool>,
    pub(super) budgets: Budgets,
    pub(super) state_dir: PathBuf,
    pub(super) centres: Centres,
    /// Ends a turn of the loop early, from any thread.
    pub(super) notify: CommitterNotify,
    /// Where a daemon runs.
    pub(super) machine: Option<Machine>,
}

/// What all sites together may have of the memory.
#[derive(Clone)]
pub(super) struct Budgets {
    /// For what listings name.
    pub(super) listed: Budget,
    /// For what is remembered of sites.
    pub(super) remembered: Budget,
    /// Which names have room where that is not for all: see [`SiteHistory::new`].
    pub(super) key: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        let [listed, remembered] = [LISTED, REMEMBERED].map(|total| Budget::new(total).with_least(LEAST_OF_SITE));
        Self { listed, remembered, key: fastrand::u64(..) }
    }
}

impl Budgets {
    /// Of a site of which nothing is known.
    fn new_history(&self) -> SiteHistory {
        SiteHistory::new(&self.remembered, self.key)
    }
}

/// How far a collector goes.
pub(super) struct RunOptions {
    pub(super) mode: Mode,
    pub(super) max_connections: usize,
}

impl Collector {
    /// Opens spools, journal and certificates; connects to nothing yet. `observer` is called with each round that ends.
    ///
    /// A site whose certificates or spool cannot be opened is left out until they can.
    ///
    /// # Errors
    /// [`StartError::NoSite`] if not one site can be opened; whatever keeps the journal from being kept.
    pub fn new(
        net: Net,
        settings: &Settings,
        mode: Mode,
        observer: Box<dyn FnMut(&RoundReport)>,
    ) -> Result<Self, StartError> {
        let mut spools = BTreeMap::new();
        let policy = CommitPolicy { durability: settings.durability, publish: settings.publish };
        let mut sites = StartError::of_unusable(open_all(settings, &mut spools))?;
        let waker = net.waker();
        let notify: CommitterNotify = Arc::new(move || {
            // The waker fails only with the loop gone, and then nobody waits.
            let _ = waker.wake();
        });
        let (committer, outstanding) = loop {
            let opened: Vec<Spool> = spools.values().cloned().collect();
            match Committer::start(settings.state_dir(), policy, &opened, Arc::clone(&notify)) {
                Ok(started) => break started,
                // Another process may work in one of the spools, or one of the disks fail.
                Err(error) if withdraw(&error, &mut spools, &mut sites) => sites = StartError::of_unusable(sites)?,
                Err(error) => return Err(error.into()),
            }
        };
        let commit_queue = CommitQueue::new(Box::new(committer), settings.max_spool());
        let (state_dir, budgets) = (settings.state_dir().to_owned(), Budgets::default());
        let centres = Centres::new(Arc::clone(&notify), net.now());
        let machine = (mode == Mode::Forever).then(|| Machine::start(&state_dir)).transpose()?;
        let mut net = LimitedNet::new(Box::new(net), TimeZone::system);
        net.limit_all(&settings.bwlimit);
        let deps = Deps { net, commit_queue, outstanding, spools, budgets, state_dir, centres, notify, machine };
        let options = RunOptions { mode, max_connections: settings.max_connections };
        let mut collector = Self::with(deps, sites, options, Schedule::new(fastrand::u64(..)), observer);
        collector.adopt_monitor(&settings.monitor);
        collector.adopt_http(&settings.http);
        Ok(collector)
    }

    /// Sites, and what they are collected with.
    pub(super) fn with(
        deps: Deps,
        opened: Vec<Opened>,
        RunOptions { mode, max_connections }: RunOptions,
        schedule: Schedule,
        observer: Box<dyn FnMut(&RoundReport)>,
    ) -> Self {
        let Deps { net, commit_queue, outstanding, spools, budgets, state_dir, centres, notify, machine } = deps;
        let (now, expiry_log) = (net.now(), ExpiryLog::new("site", net.date()));
        let mut collector = Self {
            net,
            expiry_log,
            commit_queue,
            schedule,
            sites: Vec::new(),
            unopened: BTreeMap::new(),
            statuses: BTreeMap::new(),
            free_keys: Vec::new(),
            sessions: BTreeMap::new(),
            connections_opened: 0,
            config_sessions: HashMap::new(),
            centres,
            spools,
            budgets,
            state_dir,
            removed_sites: HashMap::new(),
            mode,
            max_connections,
            running: 0,
            staging: BTreeSet::new(),
            paced: BTreeSet::new(),
            awaiting_capacity: VecDeque::new(),
            held_up: BTreeMap::new(),
            next_tick: now,
            log: LogThrottle::default(),
            control: ControlClients::default(),
            machine,
            monitor: Telling::Nobody,
            http: None,
            notify,
            started: now,
            stop: None,
            reading: Reading::Idle,
            summary_due: None,
            observer,
            watchdog: Watchdog::default(),
        };
        for Outstanding { site, name, fingerprint } in outstanding {
            let Collector { budgets, removed_sites, .. } = &mut collector;
            let history = removed_sites.entry(site).or_insert_with(|| budgets.new_history());
            history.committed(name, fingerprint);
        }
        collector.adopt(opened);
        collector
    }

    /// Lets the collector's loop feed this watchdog from now on.
    pub fn feed(&mut self, watchdog: Watchdog) {
        self.watchdog = watchdog;
    }

    /// The longest that anything ready has had to wait for the loop.
    pub fn max_loop_latency(&self) -> Duration {
        self.net.max_loop_latency()
    }

    /// What is known of the sites, but for those of which the last round is under way.
    pub fn statuses(&self) -> impl Iterator<Item = &SiteStatus> {
        let is_staying = |key: &usize| !self.sites[*key].as_ref().is_some_and(Site::is_leaving);
        self.statuses.iter().filter(move |(key, _)| is_staying(key)).map(|(_, status)| status)
    }

    /// How many sites there are, and which of them fail, in one line.
    pub fn summary(&self) -> String {
        summary(self.statuses())
    }

    /// A round of `key` has ended, or the site cannot be opened.
    fn report(&mut self, key: usize, report: RoundReport) {
        (self.observer)(&report);
        let now = self.net.now();
        let Some(status) = self.statuses.get_mut(&key) else { return };
        let was_failing = status.is_failing();
        if status.round_ended(report, now) {
            self.summary_changes();
        }
        self.tell_round(key, was_failing);
    }

    /// A key for a site.
    fn new_key(&mut self, name: &str) -> usize {
        let key = self.free_keys.pop().unwrap_or_else(|| {
            self.sites.push(None);
            self.sites.len() - 1
        });
        self.statuses.insert(key, SiteStatus::new(name.into(), self.net.now()));
        key
    }

    /// The site of this key is no more: another may have it.
    fn free_key(&mut self, key: usize) {
        self.statuses.remove(&key);
        self.net.limit_site(key, &Timetable::OFF);
        self.free_keys.push(key);
    }

    /// Runs until the mode's end, or until `on_signal` answers a signal with `false` and what is under way has ended,
    /// at most `shutdown_timeout` later; answered with `false` once more, ends at once. A reload that is asked for on the
    /// control socket is a SIGHUP, to be answered by [`Collector::read_again`].
    pub fn run(
        mut self,
        shutdown_timeout: Duration,
        mut on_signal: impl FnMut(&mut Self, i32) -> bool,
    ) -> io::Result<Ended> {
        loop {
            self.start_rounds();
            if self.is_finished() {
                break;
            }
            let tick = Some(self.next_tick).filter(|_| self.running > 0);
            let stop_by = self.stop.as_ref().map(|stop| stop.by);
            let paced = self.paced.first().map(|(at, _)| *at);
            let watchdog = self.watchdog.due(self.net.now());
            let of_loop = [self.schedule_wakes(), tick, paced, stop_by, watchdog];
            let to_tell = [self.monitor_due(), self.http_due(), self.summary_due()];
            for event in self.net.poll_once(of_loop.into_iter().chain(to_tell).flatten().min())? {
                match event {
                    Event::Signal(signal) => {
                        if !on_signal(&mut self, signal) {
                            self.stop(shutdown_timeout);
                        }
                    }
                    other => self.handle(other),
                }
            }
            self.wake_paced();
            self.check_threads()?;
            if self.control.awaits_reload() && !on_signal(&mut self, SIGHUP) {
                self.stop(shutdown_timeout);
            }
            self.tick();
            self.tell_monitor();
            self.tell_summary();
            self.go_on_with_http();
            self.watchdog.feed(self.net.now());
        }
        self.abandon_sessions();
        self.centres.stop();
        Ok(Ended { waiting: self.commit_queue.stop(), max_loop_latency: self.net.max_loop_latency() })
    }

    /// Without its committer a collector could but let its files wait: one that is started anew takes them up.
    fn check_threads(&self) -> io::Result<()> {
        if self.commit_queue.is_alive() {
            Ok(())
        } else {
            Err(io::Error::other("a thread that stages or commits files has panicked"))
        }
    }

    /// Time is up: what has come whole is still to be kept.
    fn abandon_sessions(&mut self) {
        for (_, mut session) in std::mem::take(&mut self.sessions) {
            if let Some(site) = &mut self.sites[session.site()] {
                session.abandon(site, &mut self.commit_queue);
            }
        }
    }

    fn is_finished(&mut self) -> bool {
        match &self.stop {
            Some(stop) => self.running == 0 || self.net.now() >= stop.by,
            None if self.running > 0 => false,
            None => match self.mode {
                Mode::Forever => false,
                Mode::Once => self.schedule.next_due().is_none() || self.commit_queue.is_full(),
                Mode::OnceAndWait => self.schedule.next_due().is_none() && self.commit_queue.is_all_published(),
            },
        }
    }

    fn has_capacity(&self) -> bool {
        self.net.connections() < self.max_connections
    }

    fn schedule_wakes(&mut self) -> Option<Instant> {
        let may_start = self.stop.is_none() && self.has_capacity() && !self.commit_queue.is_full();
        self.schedule.next_due().filter(|_| may_start)
    }

    fn handle(&mut self, event: Event) {
        let Some(event) = status_port::take_event(self, event) else { return };
        match event {
            Event::Opened(id) => self.opened(id),
            Event::Ready(id) => self.pump(id),
            Event::Failed(id, failure) => self.failed(id, failure),
            Event::Woken => {
                self.take_completions();
                self.take_what_was_read();
                self.take_centre_news();
                self.wake_staging();
                self.give_pages();
            }
            Event::Local(event) => self.asked_locally(event),
            // It came to a status port that is served no more.
            Event::Accepted(id, ..) => self.net.abort(id),
            Event::Resolved(..)
            | Event::Connected(..)
            | Event::Arrived(_)
            | Event::AcceptFailed(_)
            | Event::Signal(_) => {}
        }
    }
}
