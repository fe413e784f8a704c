//! The simulated world: sites and their agents, the network, the disk, and the data server at the centre.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::agents::{self, Agents};
use super::buffer::Buffer;
use super::link::{ClientEnd, Link};
use super::oracle::Oracle;
use super::scheduler::{Crash, Scheduler, SimEvent};
use super::server::{Files, Misbehavior, SitePassword};
use crate::collector::all_sites::Budgets;
use crate::collector::{Mode, Reason, RoundReport};
use crate::net::{ConnId, Event};
use crate::proto::{Error, Verb};
use crate::store::model::{Fault, ModelCommitter, World as Disk, fail_staging};
use crate::store::{Completion, Deferred, Publish};
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
}

/// The collector's process, as far as it is not the collector itself.
#[derive(Default)]
pub(super) struct Process {
    pub(super) committer: Option<ModelCommitter>,
    /// What is to be staged, where that is not done at once.
    pub(super) staging: Option<Deferred>,
    pub(super) is_staging: bool,
    pub(super) is_committing: bool,
    /// Of the group that is being committed.
    pub(super) outcomes: Vec<Completion>,
    pub(super) done: Vec<Completion>,
    /// Whether its committer's thread has panicked.
    pub(super) has_lost_committer: bool,
    pub(super) pending: usize,
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

    /// Something is to be staged in a while.
    pub(super) fn plan_staging(&mut self) {
        let Process { staging, is_staging, .. } = &mut self.process;
        if !*is_staging && staging.as_mut().is_some_and(Deferred::has_orders) {
            *is_staging = true;
            let longest = self.scheduler.fault_rates.disk / 16;
            let wait = self.scheduler.up_to(longest);
            self.scheduler.plan_in(wait, SimEvent::Stage);
        }
    }

    fn stage(&mut self) {
        self.process.is_staging = false;
        let Some(staging) = &mut self.process.staging else { return };
        if staging.carry_out() {
            self.out.push(Event::Woken);
        }
        self.death = self.death.or(self.disk_death());
        if self.death.is_none() {
            self.plan_staging();
        }
    }

    /// The committer waits for what it was given to be staged.
    fn stage_all(&mut self) {
        while let Some(staging) = &mut self.process.staging
            && staging.has_orders()
        {
            if staging.carry_out() {
                self.out.push(Event::Woken);
            }
        }
    }

    /// The committer's thread carries out a group.
    fn commit(&mut self) {
        self.stage_all();
        let Some(committer) = &mut self.process.committer else { return };
        self.process.outcomes = committer.carry_out(self.scheduler.now);
        self.go_on_publishing();
        if self.death.is_some() {
            return;
        }
        let longest = self.scheduler.fault_rates.disk;
        let wait = self.scheduler.up_to(longest);
        self.scheduler.plan_in(wait, SimEvent::GroupDone);
    }

    /// The committer's thread publishes what it may, and plans its next look.
    pub(super) fn go_on_publishing(&mut self) {
        let Some(committer) = &mut self.process.committer else { return };
        let until = committer.go_on(self.scheduler.now);
        let placed = self.disk.borrow_mut().placed();
        self.oracle.published(placed, &self.scheduler);
        self.death = self.death.or(self.disk_death());
        self.scheduler.cancel(|what| matches!(what, SimEvent::Look));
        if let Some(until) = until
            && self.death.is_none()
        {
            self.scheduler.plan(until, SimEvent::Look);
        }
    }

    /// The thread looks only when it has nothing else to do.
    fn look(&mut self) {
        if !self.process.is_committing {
            self.go_on_publishing();
            self.out.push(Event::Woken);
        }
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

    /// How the process has died over the disk, if it has.
    pub(super) fn disk_death(&self) -> Option<Crash> {
        let disk = self.disk.borrow();
        disk.is_down().then_some(if disk.has_lost_power() { Crash::PowerLoss } else { Crash::Kill })
    }

    fn committed(&mut self) {
        let process = &mut self.process;
        process.is_committing = false;
        if !process.outcomes.is_empty() {
            process.done.append(&mut process.outcomes);
            self.out.push(Event::Woken);
        }
        self.start_committing();
    }

    pub(super) fn start_committing(&mut self) {
        let process = &mut self.process;
        if !process.is_committing && process.committer.as_ref().is_some_and(ModelCommitter::has_orders) {
            process.is_committing = true;
            self.scheduler.plan_in(Duration::ZERO, SimEvent::Group);
        }
    }

    /// What is queued is brought to its end, and the process with it.
    pub(super) fn finish_committing(&mut self) {
        self.stage_all();
        while let Some(committer) = &mut self.process.committer
            && committer.has_orders()
        {
            committer.carry_out(self.scheduler.now);
            self.go_on_publishing();
        }
    }

    /// The process is gone; what it had is as the kernel, or the machine, leaves it.
    pub(super) fn process_ended(&mut self, death: Option<Crash>) {
        self.scheduler.note(|| format!("the process ends: {death:?}"));
        self.process = Process::default();
        self.oracle.collector_ends();
        self.out.clear();
        self.ready.clear();
        self.counted.clear();
        self.scheduler
            .cancel(|what| matches!(what, SimEvent::Stage | SimEvent::Group | SimEvent::GroupDone | SimEvent::Look));
        fail_staging(None);
        if death.is_some() {
            self.oracle.counts.crashes += 1;
            self.oracle.link_fails(None);
            self.oracle.doubts.collector_dies(self.scheduler.now);
            self.oracle.died = Some(self.scheduler.now);
        }
        if death == Some(Crash::PowerLoss) {
            self.lose_power();
            self.oracle.machine_fails();
        } else {
            if death.is_some() {
                self.disk.borrow_mut().kill();
            }
            self.links.iter_mut().for_each(|(&id, link)| link.drop_near(id, &mut self.scheduler));
        }
        self.links.retain(|_, link| link.far.is_some());
        self.oracle.check(&self.scheduler);
    }

    /// The peers are not notified.
    fn lose_power(&mut self) {
        let mut disk = self.disk.borrow_mut();
        if !disk.is_down() {
            disk.cut_power();
        }
        for link in self.links.values_mut() {
            link.near = ClientEnd::Gone;
            link.deadline = None;
            link.up.stall();
            link.down.stall();
        }
    }

    fn calm(&mut self) {
        self.scheduler.note(|| "all is calm from here on".to_owned());
        let fault_rates = &mut self.scheduler.fault_rates;
        (fault_rates.cut, fault_rates.stall, fault_rates.refuse, fault_rates.ignore) = (0, 0, 0, 0);
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
