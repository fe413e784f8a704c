//! All sites on one loop.

mod lanes;
mod reload;
mod rounds;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use log::info;

use super::desk::Desk;
use super::equipment::{Equipment, StartError, equip};
use super::outside::Network;
use super::report::RoundReport;
use super::session::Session;
use super::site::Site;
use crate::config::Settings;
use crate::deadline::after;
use crate::net::{ConnId, Event, Net};
use crate::obs::Repeats;
use crate::store::{CommitPolicy, Committer, Outstanding, Spool, Waiting};
use crate::sync::{Schedule, SiteHistory};

/// Rounds are looked after this often: for their limits, and for whether others wait.
const TICK: Duration = Duration::from_secs(1);

/// How long a collector goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is told to stop.
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
    pub longest_turn: Duration,
    /// What is collected and left for the next start to publish.
    pub waiting: Waiting,
}

/// Collects from all sites.
pub struct Collector {
    net: Box<dyn Network>,
    desk: Desk,
    schedule: Schedule,
    sites: Vec<Option<Site>>,
    sessions: HashMap<ConnId, Session>,
    spools: HashMap<PathBuf, Spool>,
    /// What the journal knows of sites that are not collected from, in case they are again.
    absent: HashMap<String, SiteHistory>,
    mode: Mode,
    max_connections: usize,
    running: usize,
    /// Sites whose rounds have no connection, and work for one.
    stranded: VecDeque<usize>,
    next_tick: Instant,
    /// Those about the process, which it would be idle to make for each site.
    complaints: Repeats,
    /// When the collector has been told to stop: the time by which it will, whatever is under way.
    stop_by: Option<Instant>,
    observer: Box<dyn FnMut(&RoundReport)>,
}

/// What a collector works with.
pub(super) struct Means {
    pub(super) net: Box<dyn Network>,
    pub(super) desk: Desk,
    /// What the run before has published and not seen gone.
    pub(super) outstanding: Vec<Outstanding>,
    pub(super) spools: HashMap<PathBuf, Spool>,
}

/// How far a collector goes.
pub(super) struct Limits {
    pub(super) mode: Mode,
    pub(super) max_connections: usize,
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
            CommitPolicy { durability: settings.durability, publish: settings.publish },
            &spools.values().cloned().collect::<Vec<_>>(),
            notify,
        )?;
        let desk = Desk::new(Box::new(committer), settings.max_spool);
        let means = Means { net: Box::new(net), desk, outstanding, spools };
        let limits = Limits { mode, max_connections: settings.max_connections };
        Ok(Self::with(means, equipment, limits, Schedule::new(fastrand::u64(..)), observer))
    }

    /// Sites, and what they are collected with.
    pub(super) fn with(
        means: Means,
        equipment: Vec<Equipment>,
        Limits { mode, max_connections }: Limits,
        schedule: Schedule,
        observer: Box<dyn FnMut(&RoundReport)>,
    ) -> Self {
        let Means { net, desk, outstanding, spools } = means;
        let now = net.now();
        let mut collector = Self {
            net,
            desk,
            schedule,
            sites: Vec::new(),
            sessions: HashMap::new(),
            spools,
            absent: HashMap::new(),
            mode,
            max_connections,
            running: 0,
            stranded: VecDeque::new(),
            next_tick: now,
            complaints: Repeats::default(),
            stop_by: None,
            observer,
        };
        for Outstanding { site, name, fingerprint } in outstanding {
            let history = collector.absent.entry(site.clone()).or_default();
            // One of a name is enough: what else the journal has of it was overwritten at the site.
            if let Some(other) = history.forget(&name) {
                collector.desk.forget(&site.into(), name.clone(), other);
            }
            history.committed(name, fingerprint);
        }
        collector.adopt(equipment);
        collector
    }

    /// Runs until the mode's end, or until `on_signal` answers a signal with `false` and what is under way has ended,
    /// at most `shutdown_timeout` later.
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
            let wake = [self.schedule_wakes(), Some(self.next_tick).filter(|_| self.running > 0), self.stop_by];
            for event in self.net.turn(wake.into_iter().flatten().min())? {
                match event {
                    Event::Signal(signal) => {
                        if !on_signal(&mut self, signal) && self.stop_by.is_none() {
                            self.drain(after(self.net.now(), shutdown_timeout));
                        }
                    }
                    other => self.handle(other),
                }
            }
            self.tick();
        }
        self.break_off();
        Ok(Ended { waiting: self.desk.stop(), longest_turn: self.net.longest_turn() })
    }

    /// No new rounds, no new files; what is under way is brought to its end.
    fn drain(&mut self, stop_by: Instant) {
        info!("stopping: {} rounds are under way", self.running);
        self.stop_by = Some(stop_by);
        for site in self.sites.iter_mut().flatten() {
            if let Some(running) = &mut site.running {
                running.round.wind_up();
            }
        }
        self.wake_waiting();
    }

    /// Time is up: what has come whole is still to be kept.
    fn break_off(&mut self) {
        for (_, mut session) in self.sessions.drain() {
            if let Some(site) = &mut self.sites[session.site()] {
                session.abandon(site, &mut self.desk);
            }
        }
    }

    fn is_finished(&mut self) -> bool {
        match self.stop_by {
            Some(stop_by) => self.running == 0 || self.net.now() >= stop_by,
            None if self.running > 0 => false,
            None => match self.mode {
                Mode::Forever => false,
                Mode::Once => self.schedule.next_due().is_none() || self.desk.is_full(),
                Mode::OnceAndWait => self.schedule.next_due().is_none() && self.desk.waiting().files == 0,
            },
        }
    }

    fn has_capacity(&self) -> bool {
        self.net.connections() < self.max_connections
    }

    fn schedule_wakes(&mut self) -> Option<Instant> {
        let may_start = self.stop_by.is_none() && self.has_capacity() && !self.desk.is_full();
        self.schedule.next_due().filter(|_| may_start)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Opened(id) => self.opened(id),
            Event::Ready(id) => self.pump(id),
            Event::Failed(id, failure) => self.failed(id, failure),
            Event::Woken => self.take_completions(),
            Event::Resolved(..)
            | Event::Connected(..)
            | Event::Accepted(..)
            | Event::AcceptFailed(_)
            | Event::Signal(_) => {}
        }
    }
}
