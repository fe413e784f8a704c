//! All sites on one loop.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::Reason;
use super::desk::{Desk, Purpose, Ticket};
use super::session::{Cx, Pause, Session};
use super::site::{Equipment, RoundReport, Site};
use crate::config::{Settings, SiteSettings};
use crate::net::{ConnId, Event, Failure, Net, Phase, Proxy, Target};
use crate::store::{Committer, Completion, Spool, StoreError};
use crate::sync::{Ending, Schedule};
use crate::tls::{Connector, Connectors, SetupError, UnixTime};

/// Rounds are looked after this often: for their limits, and for whether others wait.
const TICK: Duration = Duration::from_secs(1);

/// While others wait for a connection, a round takes new files for this long only.
const FAIR_SHARE: Duration = Duration::from_secs(10);

/// Sites' first rounds are spread over this long at most.
const SPREAD_PER_SITE: Duration = Duration::from_millis(5);

/// What makes a start, or a reload, impossible.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool or the state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A site's certificates.
    #[error("site {site}: {error}")]
    Tls {
        /// The site.
        site: String,
        /// What is wrong with them.
        error: SetupError,
    },
    /// The system.
    #[error("cannot set up the event loop: {0}")]
    Io(#[from] io::Error),
}

/// How long a collector goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is told to stop.
    Forever,
    /// Until each site has had its round, or has failed for good.
    Once,
}

/// Collects from all sites.
pub struct Collector {
    net: Net,
    desk: Desk,
    schedule: Schedule,
    sites: Vec<Option<Site>>,
    sessions: HashMap<ConnId, Session>,
    spools: HashMap<PathBuf, Spool>,
    mode: Mode,
    max_connections: usize,
    running: usize,
    next_tick: Instant,
    draining: bool,
    observer: Box<dyn FnMut(&RoundReport)>,
}

impl Collector {
    /// Opens spools, journal and certificates; connects to nothing yet. `observer` hears of each round that ends.
    pub fn new(
        net: Net,
        settings: &Settings,
        mode: Mode,
        observer: Box<dyn FnMut(&RoundReport)>,
    ) -> Result<Self, StartError> {
        let mut spools = HashMap::new();
        let equipment = equip(settings, &mut spools)?;
        let waker = net.waker();
        let notify = Box::new(move || {
            // The waker fails only with the loop gone, and then nobody waits.
            let _ = waker.wake();
        });
        let (committer, outstanding) = Committer::start(
            &settings.state_dir,
            settings.durability,
            &spools.values().cloned().collect::<Vec<_>>(),
            notify,
        )?;
        let now = net.now();
        let mut collector = Self {
            net,
            desk: Desk::new(committer),
            schedule: Schedule::new(fastrand::u64(..)),
            sites: Vec::new(),
            sessions: HashMap::new(),
            spools,
            mode,
            max_connections: settings.max_connections,
            running: 0,
            next_tick: now,
            draining: false,
            observer,
        };
        collector.adopt(equipment);
        for file in outstanding {
            let site = collector.sites.iter_mut().flatten().find(|site| **site.name() == *file.site);
            match site {
                Some(site) => site.memory.published(file.name, file.fingerprint),
                None => debug!("site={} is not configured any more; {} was published from it", file.site, file.name),
            }
        }
        Ok(collector)
    }

    /// Runs until the mode's end, or until `on_signal` answers a signal with `false` and what is under way has ended,
    /// at most `settings.shutdown_timeout` later. Returns the longest that anything ready had to wait for the loop.
    pub fn run(
        mut self,
        shutdown_timeout: Duration,
        mut on_signal: impl FnMut(&mut Self, i32) -> bool,
    ) -> io::Result<Duration> {
        let mut cut = None;
        loop {
            self.start_rounds();
            if self.is_finished() || cut.is_some_and(|at| self.net.now() >= at) {
                break;
            }
            let wake = [self.schedule_wakes(), Some(self.next_tick).filter(|_| self.running > 0), cut];
            for event in self.net.turn(wake.into_iter().flatten().min())? {
                match event {
                    Event::Signal(signal) => {
                        if !on_signal(&mut self, signal) && cut.is_none() {
                            self.drain();
                            cut = Some(self.net.now() + shutdown_timeout);
                        }
                    }
                    other => self.handle(other),
                }
            }
            self.tick();
        }
        self.desk.stop();
        Ok(self.net.longest_turn())
    }

    /// Takes new settings over; nothing changes when they cannot be used.
    pub fn reload(&mut self, settings: &Settings) -> Result<(), StartError> {
        let mut spools = self.spools.clone();
        let equipment = equip(settings, &mut spools)?;
        self.spools = spools;
        self.max_connections = settings.max_connections;
        self.adopt(equipment);
        Ok(())
    }

    /// Adds, changes and retires sites until they are those of `equipment`.
    fn adopt(&mut self, equipment: Vec<Equipment>) {
        let now = self.net.now();
        let spread = match self.mode {
            Mode::Forever => SPREAD_PER_SITE * u32::try_from(equipment.len()).unwrap_or(u32::MAX),
            Mode::Once => Duration::ZERO,
        };
        let known: HashMap<Arc<str>, usize> = self
            .sites
            .iter()
            .flatten()
            .map(|site| {
                let (key, name) = site.id();
                (Arc::clone(name), key)
            })
            .collect();
        let mut kept = vec![false; self.sites.len()];
        for one in equipment {
            let key = match known.get(one.settings.name.as_str()) {
                Some(&key) => {
                    kept[key] = true;
                    if let Some(site) = &mut self.sites[key] {
                        site.retired = false;
                        site.equip(one);
                    }
                    key
                }
                None => {
                    let key = self.sites.len();
                    self.sites.push(Some(Site::new(key, one)));
                    key
                }
            };
            if let Some(site) = &self.sites[key] {
                self.schedule.set(key, site.pace(), now, spread);
            }
        }
        for (key, _) in kept.iter().enumerate().filter(|(_, kept)| !**kept) {
            self.retire(key);
        }
    }

    fn retire(&mut self, key: usize) {
        self.schedule.remove(key);
        let Some(site) = &mut self.sites[key] else { return };
        match &mut site.running {
            Some(running) => {
                running.round.wind_up();
                site.retired = true;
            }
            None => {
                if let Some(id) = site.parked.take() {
                    self.net.abort(id);
                    self.sessions.remove(&id);
                }
                self.sites[key] = None;
            }
        }
    }

    /// No new rounds, no new files; what is under way is brought to its end.
    fn drain(&mut self) {
        info!("stopping: {} rounds are under way", self.running);
        self.draining = true;
        for site in self.sites.iter_mut().flatten() {
            if let Some(running) = &mut site.running {
                running.round.wind_up();
            }
        }
        self.wake_waiting();
    }

    fn is_finished(&self) -> bool {
        self.running == 0 && (self.draining || (self.mode == Mode::Once && self.schedule.next_due().is_none()))
    }

    fn has_capacity(&self) -> bool {
        self.net.connections() < self.max_connections
    }

    fn schedule_wakes(&self) -> Option<Instant> {
        self.schedule.next_due().filter(|_| !self.draining && self.has_capacity())
    }

    fn start_rounds(&mut self) {
        while !self.draining
            && self.has_capacity()
            && let Some(key) = self.schedule.start_due(self.net.now())
        {
            self.running += 1;
            let Some(site) = &mut self.sites[key] else { continue };
            site.start_round(self.net.now());
            match site.parked.take() {
                Some(id) => {
                    if let (Some(session), Some(running)) = (self.sessions.get_mut(&id), &mut site.running) {
                        session.resume();
                        running.lanes.push(id);
                        self.net.wake(id);
                    }
                }
                None => self.open_lane(key),
            }
        }
    }

    fn open_lane(&mut self, key: usize) {
        let Some(site) = &mut self.sites[key] else { return };
        let offer = site.offers_certificate();
        let Some(running) = &mut site.running else { return };
        let id = self.net.open(Arc::clone(&site.target), offer);
        running.lanes.push(id);
        self.sessions.insert(id, Session::new(key));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Opened(id) => self.opened(id),
            Event::Ready(id) => self.pump(id),
            Event::Failed(id, failure) => self.failed(id, failure),
            Event::Woken => self.take_completions(),
            Event::Resolved(..) | Event::Connected(..) | Event::Signal(_) => {}
        }
    }

    fn opened(&mut self, id: ConnId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(site) = &mut self.sites[session.site()] else { return };
        let Some(mut io) = self.net.io(id) else { return };
        match session.opened(&mut Cx { io: &mut io, site, desk: &mut self.desk }) {
            Ok(()) => self.pump(id),
            Err(reason) => self.lane_broke(id, reason),
        }
    }

    fn pump(&mut self, id: ConnId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let key = session.site();
        let Some(site) = &mut self.sites[key] else { return };
        let Some(mut io) = self.net.io(id) else { return };
        let outcome = session.pump(&mut Cx { io: &mut io, site, desk: &mut self.desk });
        if let Some(running) = &mut site.running {
            // Whatever this one did may be what the others waited for.
            for waiting in running.waiting.drain(..) {
                self.net.wake(waiting);
            }
            if outcome.as_ref().is_ok_and(|pause| *pause == Pause::Waiting) {
                running.waiting.push(id);
            }
        }
        match outcome {
            Ok(Pause::Blocked | Pause::Waiting) => self.add_lanes(key),
            Ok(Pause::Leaving) => self.leave(id, key),
            Ok(Pause::Spent) => {
                self.farewell(id);
                self.detach(id, key);
            }
            Ok(Pause::Dropped) => self.dropped(id, key),
            Err(reason) => self.lane_broke(id, reason),
        }
    }

    /// More connections for a round that has work for them, as long as nobody else waits for one.
    fn add_lanes(&mut self, key: usize) {
        let others_wait = self.schedule.next_due().is_some_and(|due| due <= self.net.now());
        loop {
            let spare = self.has_capacity() && !others_wait;
            let Some(Site { running: Some(running), settings, .. }) = &self.sites[key] else { return };
            if !spare || running.failure.is_some() || running.lanes.len() >= running.round.lanes(settings.connections) {
                return;
            }
            self.open_lane(key);
        }
    }

    /// The round has nothing more for this connection.
    fn leave(&mut self, id: ConnId, key: usize) {
        let Some(Site { running: Some(running), settings, .. }) = &mut self.sites[key] else { return };
        running.lanes.retain(|lane| *lane != id);
        let last = running.lanes.is_empty();
        let keep_open = settings.keep_open;
        let due = if last { self.end_round(key) } else { None };
        let soon = due.is_some_and(|due| due.saturating_duration_since(self.net.now()) <= keep_open);
        if let (true, Some(session), Some(site)) = (soon, self.sessions.get_mut(&id), &mut self.sites[key]) {
            session.park();
            site.parked = Some(id);
            if let Some(mut io) = self.net.io(id) {
                io.set_deadline(Some(keep_open + TICK));
            }
            return;
        }
        self.farewell(id);
    }

    /// QUIT, then the connection's orderly end.
    fn farewell(&mut self, id: ConnId) {
        if let (Some(mut session), Some(mut io)) = (self.sessions.remove(&id), self.net.io(id)) {
            session.quit(&mut io);
        }
        self.net.close(id);
    }

    /// The site closed while nothing was under way, as stock does with an idle client.
    fn dropped(&mut self, id: ConnId, key: usize) {
        self.net.close(id);
        let parked = self.sessions.remove(&id).is_some_and(|session| session.is_parked());
        let Some(site) = &mut self.sites[key] else { return };
        if parked {
            site.parked = site.parked.filter(|other| *other != id);
            return;
        }
        self.detach(id, key);
    }

    /// The round goes on without this connection.
    fn detach(&mut self, id: ConnId, key: usize) {
        if let Some(Site { running: Some(running), .. }) = &mut self.sites[key] {
            running.drop_lane(id);
        }
        self.mend_lanes(key);
    }

    /// A round that lost its last connection gets a new one, or ends.
    fn mend_lanes(&mut self, key: usize) {
        let Some(Site { running: Some(running), .. }) = &self.sites[key] else { return };
        if !running.lanes.is_empty() {
            return;
        }
        let over = running.round.is_complete() || running.failure.is_some();
        if !over {
            self.open_lane(key);
        } else if running.round.committing() == 0 {
            self.end_round(key);
        }
    }

    fn failed(&mut self, id: ConnId, failure: Failure) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(site) = &self.sites[session.site()] else { return };
        let reason = match failure {
            Failure::Timeout(Phase::Session) => {
                Reason::Slow { what: session.awaited(), seconds: site.settings.timeout.as_secs() }
            }
            other => Reason::Net(other),
        };
        self.lane_broke(id, reason);
    }

    /// A connection is of no more use: its step goes back, and the round breaks off unless there is a way on.
    fn lane_broke(&mut self, id: ConnId, reason: Reason) {
        self.net.abort(id);
        let Some(mut session) = self.sessions.remove(&id) else { return };
        let key = session.site();
        let Some(site) = &mut self.sites[key] else { return };
        if session.is_parked() {
            site.parked = None;
            return;
        }
        if let Some(running) = &mut site.running {
            running.drop_lane(id);
            if let Some(step) = session.abandon() {
                running.round.dropped(step, &mut site.memory);
            }
        }
        if !(reason.is_certificate_refusal() && site.withdraw_certificate()) {
            debug!("site={} reason={} {reason}", site.name(), reason.word());
            site.break_off(reason);
        }
        self.wake_waiting_of(key);
        self.mend_lanes(key);
    }

    fn wake_waiting_of(&mut self, key: usize) {
        if let Some(Site { running: Some(running), .. }) = &mut self.sites[key] {
            for id in running.waiting.drain(..) {
                self.net.wake(id);
            }
        }
    }

    fn wake_waiting(&mut self) {
        for key in 0..self.sites.len() {
            self.wake_waiting_of(key);
        }
    }

    fn take_completions(&mut self) {
        for (Ticket { site: key, name, fingerprint, purpose }, Completion { result, .. }) in self.desk.completions() {
            let Some(site) = &mut self.sites[key] else { continue };
            match (result, purpose) {
                (Ok(published), Purpose::Fetched) => site.committed(name, fingerprint, &published, &mut self.desk),
                (Ok(_), Purpose::Rescued) => site.rescue_committed(),
                (Err(error), Purpose::Fetched) => site.uncommitted(&name, error),
                (Err(error), Purpose::Rescued) => {
                    site.rescue_committed();
                    site.lost(&name, &error);
                }
            }
            self.wake_waiting_of(key);
            self.mend_lanes(key);
        }
    }

    /// Ends the site's round; says when its next one is due.
    fn end_round(&mut self, key: usize) -> Option<Instant> {
        let now = self.net.now();
        let site = self.sites[key].as_mut()?;
        let running = site.running.take()?;
        self.running -= 1;
        let tally = running.round.tally();
        let ending = match &running.failure {
            Some(_) => Ending::Failed,
            None if tally.left > 0 => Ending::Backlog,
            None => Ending::Done,
        };
        if let Some(replacement) = site.replacement.take() {
            site.equip(replacement);
        }
        let due = self.schedule.finished(key, now, ending);
        let failures = self.schedule.failures(key);
        let is_final = match self.mode {
            Mode::Once => ending == Ending::Done || failures > site.settings.retries || self.draining,
            Mode::Forever => false,
        };
        let report = RoundReport {
            site: Arc::clone(site.name()),
            tally,
            took: now.saturating_duration_since(running.since),
            ending,
            failure: running.failure,
            is_final,
        };
        site.log_round(&report, now, failures);
        (self.observer)(&report);
        if is_final {
            self.schedule.remove(key);
            return None;
        }
        if site.retired {
            self.sites[key] = None;
            return None;
        }
        due.filter(|_| !self.draining)
    }

    /// Looks after rounds that take long.
    fn tick(&mut self) {
        let now = self.net.now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        let others_wait = !self.has_capacity() && self.schedule.next_due().is_some_and(|due| due <= now);
        for site in self.sites.iter_mut().flatten() {
            let limit = if others_wait { FAIR_SHARE.min(site.settings.round_limit) } else { site.settings.round_limit };
            if let Some(running) = &mut site.running
                && now.saturating_duration_since(running.since) >= limit
            {
                running.round.wind_up();
            }
        }
        self.wake_waiting();
    }
}

/// Opens what the sites' settings name: certificates, spools. Disabled sites are left out.
fn equip(settings: &Settings, spools: &mut HashMap<PathBuf, Spool>) -> Result<Vec<Equipment>, StartError> {
    let enabled = settings.sites.iter().filter(|site| site.enabled);
    let mut connectors = Connectors::default();
    let equipment = enabled.map(|site| {
        let spool = match spools.get(&site.incoming_dir) {
            Some(spool) => spool.clone(),
            None => {
                let spool = Spool::open(&site.incoming_dir)?;
                spools.insert(site.incoming_dir.clone(), spool.clone());
                spool
            }
        };
        Ok(Equipment { settings: site.clone(), target: Arc::new(target(site, &mut connectors)?), spool })
    });
    equipment.collect()
}

/// The site as the loop sees it; says the warnings its certificates give rise to.
pub(crate) fn target(site: &SiteSettings, connectors: &mut Connectors) -> Result<Target, StartError> {
    let tls = site.tls.as_ref().map(|tls| connectors.get(tls, UnixTime::now())).transpose();
    let tls = tls.map_err(|error| StartError::Tls { site: site.name.clone(), error })?;
    for warning in tls.iter().flat_map(Connector::warnings) {
        warn!("site={} {warning}", site.name);
    }
    Ok(Target {
        host: site.address.as_str().into(),
        port: site.port,
        proxy: site.proxy.as_ref().map(|proxy| Proxy {
            host: proxy.host.as_str().into(),
            port: proxy.port,
            credentials: proxy.credentials.clone(),
        }),
        tls,
        timeout: site.timeout,
        quick_ack: site.quick_ack,
    })
}
