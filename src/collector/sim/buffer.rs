//! A site with our server, whole: agents that send their files until they get the answer that they are stored, the
//! groups of its storing thread, and a machine that fails.

use std::collections::VecDeque;
use std::time::Duration;

use super::link::ClientEnd;
use super::scheduler::{Crash, Scheduler, SimEvent};
use super::server::ServerEnd;
use super::server_oracle::ServerOracle;
use super::world::{Site, World};
use crate::net::ConnId;
use crate::server::test_server::{Answer, Op, TestClient, TestServer};
use crate::store::model::{SiteFault, When};

/// Agents that send, each one file after the other. The last has the names of the others, too.
pub(super) const CALLERS: usize = 4;

/// How long it takes to start the process, or the machine, again, at most.
const RESTART: Duration = Duration::from_secs(20);

/// From one try to send to the next, at most.
const RETRY: Duration = Duration::from_secs(5);

/// A site's server and those who send to it.
pub(super) struct Buffer {
    pub(super) server: TestServer,
    pub(super) server_oracle: ServerOracle,
    callers: [Caller; CALLERS],
    /// The storing thread is at work on a group.
    is_keeping: bool,
}

/// An agent with files in its hands.
#[derive(Default)]
struct Caller {
    files: VecDeque<usize>,
    call: Option<TestClient>,
}

impl Buffer {
    pub(super) fn new(site: usize, mut server: TestServer) -> Self {
        server.start();
        Self { server, server_oracle: ServerOracle::new(site), callers: Default::default(), is_keeping: false }
    }

    /// A file for one of the agents to send; whether it is the only one in its hands.
    pub(super) fn give(&mut self, caller: usize, version: usize) -> bool {
        let files = &mut self.callers[caller].files;
        files.push_back(version);
        files.len() == 1
    }

    /// The versions still in agents' hands.
    pub(super) fn unsent_versions(&self) -> impl Iterator<Item = usize> {
        self.callers.iter().flat_map(|caller| caller.files.iter().copied())
    }

    /// How many those are.
    pub(super) fn unsent(&self) -> usize {
        self.callers.iter().map(|caller| caller.files.len()).sum()
    }
}

impl World {
    fn buffer(&mut self, site: usize) -> (&mut Buffer, &mut Scheduler) {
        (self.sites[site].buffer.as_mut().expect("a site with our server"), &mut self.scheduler)
    }

    /// An agent goes on with what it has to send.
    pub(super) fn call(&mut self, site: usize, caller: usize) {
        let Self { sites, oracle, scheduler, opened, .. } = self;
        let Some(Buffer { server, callers, server_oracle, .. }) = &mut sites[site].buffer else { return };
        let Caller { files, call } = &mut callers[caller];
        let Some(&version) = files.front() else { return };
        let (refuse, cut) = (scheduler.fault_rates.refuse, scheduler.fault_rates.cut);
        let what = SimEvent::AgentSend { site, caller };
        if call.is_none() && (!server.is_up() || scheduler.strikes(refuse)) {
            return scheduler.plan_within(RETRY, what);
        }
        let sent = &oracle.versions[version];
        let under_way = call.get_or_insert_with(|| {
            *opened += 1;
            let id = ConnId::new(*opened as usize, *opened);
            let op = Op::Send { name: sent.name.clone(), bytes: sent.bytes.clone() };
            TestClient::new(id, op, server, scheduler.now)
        });
        let most = if scheduler.strikes(100_000) { scheduler.chance.usize(1..100) } else { usize::MAX };
        let has_moved = under_way.go_on(server, most, scheduler.now);
        let answer = under_way.answer().cloned();
        // Clients lose their connections and their patience.
        let is_over = answer.is_some() || under_way.is_over() || scheduler.strikes(4 * cut);
        if let Some(Answer::Stored) = answer {
            scheduler.note(|| format!("site {site}: an agent is told that {} is stored", sent.name));
            server_oracle.acknowledge(version);
            files.pop_front();
        }
        if is_over {
            *call = None;
            scheduler.plan_within(if answer == Some(Answer::Stored) { Duration::ZERO } else { RETRY }, what);
        } else if has_moved {
            let wait = scheduler.latency();
            scheduler.plan_in(wait, what);
        }
        self.look_after(site);
    }

    /// What was done at a site has its consequences.
    pub(super) fn look_after(&mut self, site: usize) {
        let Self { sites, oracle, scheduler, .. } = self;
        let Site { buffer: Some(buffer), files, .. } = &mut sites[site] else { return };
        buffer.server_oracle.take_note(&buffer.server.disk, files, oracle, scheduler);
        if buffer.server.is_up() && buffer.server.disk.is_down() {
            let death = if buffer.server.disk.is_dark() { Crash::PowerLoss } else { Crash::Kill };
            return self.bury_site(site, death);
        }
        if !buffer.is_keeping && buffer.server.orders() > 0 {
            buffer.is_keeping = true;
            scheduler.plan_within(scheduler.fault_rates.disk, SimEvent::Store { site });
        }
    }

    /// The storing thread carries out a group.
    pub(super) fn store(&mut self, site: usize) {
        let (buffer, scheduler) = self.buffer(site);
        scheduler.note(|| format!("site {site}: a group of {}", buffer.server.orders()));
        buffer.server.store(usize::MAX);
        scheduler.plan_within(scheduler.fault_rates.disk, SimEvent::Stored { site });
        self.look_after(site);
    }

    /// The loop is notified.
    pub(super) fn stored(&mut self, site: usize) {
        let (buffer, scheduler) = self.buffer(site);
        buffer.is_keeping = false;
        let woken = buffer.server.woken();
        for (caller, Caller { call, .. }) in buffer.callers.iter().enumerate() {
            if call.as_ref().is_some_and(|call| woken.contains(&call.id())) {
                scheduler.plan_in(Duration::ZERO, SimEvent::AgentSend { site, caller });
            }
        }
        // A collector waits for removals that it has the proof of.
        for id in woken {
            if self.links.contains_key(&id) {
                self.scheduler.plan_in(Duration::ZERO, SimEvent::Serve(id));
            }
        }
        self.look_after(site);
    }

    /// The process at a site, or its machine, dies.
    pub(super) fn site_dies(&mut self, site: usize, death: Crash) {
        let (buffer, _) = self.buffer(site);
        if !buffer.server.is_up() {
            return;
        }
        match death {
            Crash::Kill => buffer.server.disk.kill(),
            Crash::PowerLoss => buffer.server.disk.cut_power(),
        }
        self.look_after(site);
    }

    fn bury_site(&mut self, site: usize, death: Crash) {
        self.oracle.counts.site_crashes += 1;
        let Self { links, sites, scheduler, .. } = self;
        scheduler.note(|| format!("site {site}: {death:?}"));
        scheduler
            .cancel(|what| matches!(what, SimEvent::Store { site: at } | SimEvent::Stored { site: at } if *at == site));
        let theirs =
            links.iter_mut().filter(|(_, link)| link.site == site && link.far.as_ref().is_some_and(ServerEnd::is_ours));
        for (&id, link) in theirs {
            if death == Crash::PowerLoss {
                link.up.stall();
                link.down.stall();
            }
            link.drop_far(id, scheduler);
        }
        links.retain(|_, link| link.far.is_some() || !matches!(link.near, ClientEnd::Gone));
        let Some(buffer) = &mut sites[site].buffer else { return };
        buffer.is_keeping = false;
        for (caller, Caller { call, .. }) in buffer.callers.iter_mut().enumerate() {
            if call.take().is_some() {
                scheduler.plan_within(RETRY, SimEvent::AgentSend { site, caller });
            }
        }
        buffer.server.crash();
        scheduler.plan_within(RESTART, SimEvent::SiteStarts { site });
    }

    pub(super) fn site_starts(&mut self, site: usize) {
        let (buffer, scheduler) = self.buffer(site);
        scheduler.note(|| format!("site {site} starts"));
        buffer.server.start();
        if buffer.server.staged() > 0 {
            scheduler.fail(format_args!("staged files are left at site {site}"));
        }
        self.look_after(site);
    }

    /// A site's disk will do worse than work.
    pub(super) fn plant_site_fault(&mut self, site: usize) {
        const MISHAPS: [SiteFault; 5] = [
            SiteFault::Kill(When::Either),
            SiteFault::PowerLoss(When::Either),
            SiteFault::Error,
            SiteFault::Error,
            SiteFault::Broken,
        ];
        let (buffer, scheduler) = self.buffer(site);
        let fault = *scheduler.chance.choice(&MISHAPS).expect("there are some");
        let steps = scheduler.chance.u64(..40);
        scheduler.note(|| format!("site {site}: the disk will meet {fault:?} after {steps} steps"));
        buffer.server.disk.inject(steps, fault);
    }
}
