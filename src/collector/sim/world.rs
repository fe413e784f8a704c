//! The simulated world: sites and their agents, the network, the disk, and the data server at the centre.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::agents::{self, Agents};
use super::buffer::Buffer;
use super::link::Link;
use super::oracle::Oracle;
use super::process::Process;
use super::scheduler::{Crash, Scheduler, SimEvent};
use super::server::{Files, Misbehavior, SitePassword};
use crate::collector::all_sites::Budgets;
use crate::collector::{Mode, Reason, RoundReport};
use crate::net::{ConnId, Event};
use crate::proto::{Error, Verb};
use crate::store::Publish;
use crate::store::model::{Fault, ModelCommitter, World as Disk, fail_staging};
use crate::tls::Acceptor;

/// To read the configuration again: as it was, and without some of its sites.
pub(super) const RELOAD: i32 = 1;
pub(super) const THIN: i32 = 2;

/// From one round to the next, at most.
const LATEST_ROUND: Duration = Duration::from_secs(40);

/// Sites listen on ports from this one on.
pub(super) const FIRST_PORT: u16 = 1_000;

pub(super) struct Site {
    pub(super) misbehavior: Option<Misbehavior>,
    /// Where it uses TLS.
    pub(super) acceptor: Option<Acceptor>,
    pub(super) password: SitePassword,
    /// The reasons of rounds that failed, as the collector has reported them.
    pub(super) reported: BTreeSet<&'static str>,
    pub(super) files: Files,
    /// Where the server is ours.
    pub(super) buffer: Option<Buffer>,
    pub(super) agents: Agents,
    /// The most connections it is to have at once.
    pub(super) connections: usize,
    /// Where it is stock's: whether it knows `ZRECV`.
    pub(super) packs: bool,
    /// How many clients its server serves at once: the next one waits.
    pub(super) places: usize,
}

pub(super) struct World {
    pub(super) scheduler: Scheduler,
    pub(super) oracle: Oracle,
    pub(super) sites: Vec<Site>,
    pub(super) disk: Rc<RefCell<Disk>>,
    pub(super) process: Process,
    pub(super) links: BTreeMap<ConnId, Link>,
    /// Those that the loop counts.
    pub(super) counted: BTreeSet<ConnId>,
    pub(super) opened: u32,
    /// What the loop has for the collector.
    pub(super) out: Vec<Event>,
    pub(super) ready: BTreeSet<ConnId>,
    /// The time, and the turns there were since it moved on.
    pub(super) still: (Instant, u32),
    /// The process comes to its end now.
    pub(super) death: Option<Crash>,
    /// Whether the end has come.
    pub(super) is_over: bool,
    pub(super) max_connections: usize,
    pub(super) budgets: Budgets,
    /// Whether the incoming directory is staged into as where its filesystem may not answer.
    pub(super) is_beside: bool,
    /// Whether a process goes on for ever, or is one of `once` in a loop.
    pub(super) mode: Mode,
}

impl World {
    pub(super) fn new(scheduler: Scheduler, disk: Rc<RefCell<Disk>>) -> Self {
        Self {
            still: (scheduler.now, 0),
            oracle: Oracle::new(Rc::clone(&disk)),
            scheduler,
            sites: Vec::new(),
            disk,
            process: Process::default(),
            links: BTreeMap::new(),
            counted: BTreeSet::new(),
            opened: 0,
            out: Vec::new(),
            ready: BTreeSet::new(),
            death: None,
            is_over: false,
            max_connections: usize::MAX,
            budgets: Budgets::default(),
            is_beside: false,
            mode: Mode::Forever,
        }
    }

    /// Time goes by without a collector.
    pub(super) fn idle(&mut self, wait: Duration) {
        let until = self.scheduler.now + wait;
        while let Some(next) = self.scheduler.next_planned().filter(|&at| at <= until) {
            self.scheduler.now = self.scheduler.now.max(next);
            self.pass();
            self.oracle.check(&self.scheduler);
        }
        self.scheduler.now = until;
        self.death = None;
    }

    pub(super) fn pass(&mut self) {
        while let Some(what) = self.scheduler.due() {
            self.happen(what);
        }
    }

    fn happen(&mut self, what: SimEvent) {
        match what {
            SimEvent::Connected(id) => self.connected(id),
            SimEvent::Refused(id) => self.refused(id),
            SimEvent::Arrival(id, way) => self.arrive(id, way),
            SimEvent::Serve(id) => self.serve(id),
            SimEvent::SpuriousWake(id) => drop(self.ready.insert(id)),
            SimEvent::Write { site } => self.write(site),
            SimEvent::AgentSend { site, caller } => self.call(site, caller),
            SimEvent::Store { site } => self.store(site),
            SimEvent::Stored { site } => self.stored(site),
            SimEvent::SiteDies { site, death } => self.site_dies(site, death),
            SimEvent::SiteStarts { site } => self.site_starts(site),
            SimEvent::SiteFault { site } => self.plant_site_fault(site),
            SimEvent::ChangePassword { site, password } => self.change_password(site, password),
            SimEvent::Consume => self.consume(),
            SimEvent::Group => self.commit(),
            SimEvent::GroupDone => self.committed(),
            SimEvent::Look => self.look(),
            SimEvent::Stage => self.stage(),
            SimEvent::Die(death) => self.death = Some(death),
            SimEvent::Stop => self.out.push(Event::Signal(15)),
            SimEvent::Reload => self.out.push(Event::Signal(RELOAD)),
            SimEvent::RemoveSites => {
                self.out.push(Event::Signal(THIN));
                let wait = self.scheduler.up_to(Duration::from_secs(20));
                self.scheduler.plan_in(wait, SimEvent::Reload);
            }
            SimEvent::DiskFault => self.plant_fault(),
            SimEvent::StagingFault => {
                self.oracle.disk_fails();
                fail_staging(Some(self.scheduler.chance.u32(..20)));
            }
            SimEvent::Calm => self.calm(),
            SimEvent::End => {
                self.is_over = true;
                self.out.push(Event::Signal(15));
            }
        }
    }

    /// The disk will do worse than work.
    fn plant_fault(&mut self) {
        const FAULTS: [Fault; 5] = [Fault::Kill, Fault::PowerLoss, Fault::Error, Fault::Error, Fault::Broken];
        let fault = *self.scheduler.chance.choice(&FAULTS).expect("there are some");
        let steps = self.scheduler.chance.u32(..20);
        self.scheduler.note(|| format!("the disk will meet {fault:?} after {steps} steps"));
        match fault {
            Fault::Error | Fault::Broken => self.oracle.disk_fails(),
            Fault::Kill | Fault::PowerLoss | Fault::Crash(..) => {}
        }
        self.disk.borrow_mut().inject(steps, fault);
    }

    /// An agent writes.
    fn write(&mut self, site: usize) {
        let Self { sites, oracle, scheduler, .. } = self;
        agents::write(sites, site, oracle, scheduler);
    }

    /// A site has another password from now on, or its own again.
    fn change_password(&mut self, site: usize, password: SitePassword) {
        self.scheduler.note(|| format!("site {site}: the password is {password:?}"));
        let site = &mut self.sites[site];
        site.password = password;
        if let Some(buffer) = &mut site.buffer {
            buffer.server.ask_for(password.secret());
        }
    }

    /// A round has ended, and the collector reports it.
    pub(super) fn round_ended(&mut self, report: &RoundReport) {
        let number = report.site.strip_prefix("site").and_then(|number| number.parse::<usize>().ok());
        let number = number.expect("sites have numbers");
        self.scheduler.note(|| format!("{}: a round ends: {:?}, {:?}", report.site, report.ending, report.tally));
        let Some(failure) = &report.failure else {
            if report.tally.left == 0 {
                self.oracle.doubts.round_went_well(number, self.scheduler.now);
            }
            return;
        };
        let is_locked_out = matches!(
            failure,
            Reason::PasswordRefused | Reason::Protocol { error: Error::ClosedAfter { verb: Verb::Pass }, .. }
        );
        let word = if is_locked_out { "password" } else { failure.code() };
        self.scheduler.note(|| format!("{}: a round fails: {word}", report.site));
        self.oracle.counts.locked_out += u64::from(is_locked_out);
        self.sites[number].reported.insert(word);
    }

    fn consume(&mut self) {
        let names = self.disk.borrow().published();
        for name in names {
            if self.scheduler.chance.bool() {
                let taken = self.disk.borrow_mut().take(&name);
                self.scheduler.note(|| format!("the data server takes {name}"));
                if let Some(file) = taken {
                    self.oracle.consumed(file);
                }
            }
        }
        let wait = self.scheduler.up_to(Duration::from_secs(20));
        self.scheduler.plan_in(wait, SimEvent::Consume);
    }

    /// When all is over, the data server takes what there is until nothing waits any more. How many staged files are left.
    pub(super) fn publish_what_is_left(&mut self, publish: Publish) -> usize {
        let disk = Rc::clone(&self.disk);
        let (mut committer, _) =
            ModelCommitter::start(&disk, publish, self.scheduler.now).expect("nothing fails any more");
        loop {
            let until = committer.go_on(self.scheduler.now);
            let placed = disk.borrow_mut().placed();
            self.oracle.published(placed, &self.scheduler);
            if committer.waiting().files == 0 {
                return disk.borrow().staged();
            }
            self.take_all();
            self.scheduler.now = until.expect("files wait").max(self.scheduler.now);
        }
    }

    /// The data server takes all that is published.
    fn take_all(&mut self) {
        let names = self.disk.borrow().published();
        for name in names {
            let taken = self.disk.borrow_mut().take(&name);
            self.oracle.consumed(taken.expect("it is there"));
        }
    }

    fn calm(&mut self) {
        self.scheduler.note(|| "all is calm from here on".to_owned());
        let fault_rates = &mut self.scheduler.fault_rates;
        (fault_rates.cut, fault_rates.stall, fault_rates.refuse, fault_rates.ignore) = (0, 0, 0, 0);
        fault_rates.bunch = 0;
        self.disk.borrow_mut().clear_faults();
        self.sites.iter().filter_map(|site| site.buffer.as_ref()).for_each(|buffer| buffer.server.disk.clear_faults());
        fail_staging(None);
        for site in 0..self.sites.len() {
            if self.sites[site].password == SitePassword::Other && self.sites[site].misbehavior.is_none() {
                self.change_password(site, SitePassword::Known);
            }
        }
        // A file that connections died over is tried at the end of a round, one a round.
        let left = self
            .sites
            .iter()
            .filter(|site| site.misbehavior.is_none())
            .map(|site| site.files.len() + site.buffer.as_ref().map_or(0, Buffer::unsent))
            .max()
            .unwrap_or_default();
        self.scheduler
            .plan_in(Duration::from_secs(120) + LATEST_ROUND * u32::try_from(left).unwrap_or(u32::MAX), SimEvent::End);
    }
}
