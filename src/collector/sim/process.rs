//! The collector's process, as far as it is not the collector itself: staging and committing, each on a thread of its own,
//! and how the process ends.

use std::time::Duration;

use super::link::ClientEnd;
use super::scheduler::{Crash, SimEvent};
use super::world::World;
use crate::net::Event;
use crate::store::model::{ModelCommitter, fail_staging};
use crate::store::{Completion, Deferred};

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

impl World {
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

    pub(super) fn stage(&mut self) {
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
    pub(super) fn commit(&mut self) {
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
    pub(super) fn look(&mut self) {
        if !self.process.is_committing {
            self.go_on_publishing();
            self.out.push(Event::Woken);
        }
    }

    /// How the process has died over the disk, if it has.
    pub(super) fn disk_death(&self) -> Option<Crash> {
        let disk = self.disk.borrow();
        disk.is_down().then_some(if disk.has_lost_power() { Crash::PowerLoss } else { Crash::Kill })
    }

    pub(super) fn committed(&mut self) {
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
}
