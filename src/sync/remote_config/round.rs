//! One site's configuration round: what is asked of the site and of the centre next.
//!
//! ```text
//! List ──► Fetch md5 ──► Compare content ────────────────────────────────────────────► in step
//!              │                │ other
//!              │ other          ▼
//!              ├─────────► Read ──► Store content, Compare, Store md5, Compare ───────► pushed
//!              │ the centre has neither file
//!              ├─────────► Fetch content ──► Claim ──► Publish ───────────────────────► taken up
//!              │ nor has it what was in step
//!              └─────────► Compare content ──► Delete content, Delete md5 ────────────► deleted
//! ```
//!
//! All of that is of items that the site owns, and of the collections that those ask for. Of a configuration that it does not
//! own, the centre is asked first who does ([`adoption`](super::adoption)).
//!
//! What the site has the same as the centre is believed, but for a few items a round, in turns: an agent that could not fetch
//! its `.md5` file uploads its old configuration, which the listing does not show.
//!
//! Between a look and a deed, an agent may upload something else. Where that is seen, the item waits for the next round;
//! where it is not, its turn finds it. The centre wins, always.

use std::mem;
use std::sync::Arc;

use super::adoption::Adoption;
use super::agenda::Agenda;
use super::guard::GuardReason;
use super::push::Push;
use super::report::{ConfigReport, EndedEarly, ItemResult, Owner};
use super::step::{ConfigStep, SiteStep, StepOutcome, Steps};
use super::task::{Next, Task};
use super::{Centre, CentreItem, InStep, Item, Listed};
use crate::proto::Refusal;

/// How a round goes.
#[derive(Clone, Debug)]
pub struct RoundPolicy {
    /// How many of the items that are believed to be in step are compared.
    pub rotation: usize,
    /// Whether what is missing at the centre may be deleted: what [`Guard`](super::Guard) judges.
    pub deletions: Result<(), GuardReason>,
    /// How much may be taken up.
    pub allowance: Allowance,
    /// How many items of each kind the report names, of those that somebody has to know of at once.
    pub named: usize,
    /// Whether anything is changed.
    pub mode: Mode,
}

/// How much of a site may be taken up in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Configurations.
    pub items: usize,
    /// Bytes in them.
    pub bytes: u64,
}

impl Allowance {
    /// No bound.
    pub const ALL: Self = Self { items: usize::MAX, bytes: u64::MAX };
    const NONE: Self = Self { items: 0, bytes: 0 };

    /// Takes one of so many bytes out of it. Where there is no room for one, there is none for any: else all would be fetched,
    /// for nothing.
    fn take(&mut self, bytes: u64) -> bool {
        let is_taken = self.items > 0 && bytes <= self.bytes;
        *self = if is_taken { Self { items: self.items - 1, bytes: self.bytes - bytes } } else { Self::NONE };
        is_taken
    }
}

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Apply,
    /// The site and the centre are only read, and the report has what would come of it.
    DryRun,
}

/// One site's configuration round.
#[derive(Debug)]
pub struct ConfigRound {
    centre: Arc<Centre>,
    in_step: InStep,
    policy: RoundPolicy,
    /// What was in step before a dry run, and is after it.
    before: Option<InStep>,
    state: State,
    report: ConfigReport,
}

#[derive(Debug)]
enum State {
    Listing,
    Working { item: Item, task: Task, agenda: Agenda },
    Finished,
}

impl ConfigRound {
    /// A round that has asked for nothing yet. `centre` is as it was just before.
    pub fn new(centre: Arc<Centre>, in_step: InStep, policy: RoundPolicy) -> Self {
        let before = (policy.mode == Mode::DryRun).then(|| in_step.clone());
        let report = ConfigReport { guard: policy.deletions.err(), ..ConfigReport::default() };
        Self { centre, in_step, policy, before, state: State::Listing, report }
    }

    /// What to do next; the same again until [`after`](Self::after) was told what has come of it, on whatever connection.
    pub fn next_step(&self) -> ConfigStep {
        match &self.state {
            State::Listing => ConfigStep::Do(SiteStep::List),
            State::Working { item, task, .. } => task.step(item),
            State::Finished => ConfigStep::Finished,
        }
    }

    /// Takes what has come of the step. An outcome that is none of the step's leaves its item for the next round;
    /// that of a listing, all.
    pub fn after(&mut self, outcome: StepOutcome) {
        self.state = match (mem::replace(&mut self.state, State::Finished), outcome) {
            (State::Listing, StepOutcome::Listed(listed)) if !listed.is_root() => self.plan(&listed),
            (State::Listing, StepOutcome::Listed(_)) => self.end(EndedEarly::NoFilters),
            (State::Listing, StepOutcome::ListRefused(refusal)) => self.end(EndedEarly::ListRefused(refusal)),
            (State::Working { item, task, agenda }, outcome) => self.after_step(item, task, agenda, outcome),
            (State::Listing | State::Finished, _) => State::Finished,
        };
    }

    fn after_step(&mut self, item: Item, task: Task, agenda: Agenda, outcome: StepOutcome) -> State {
        // From now on the site has something else, until all is sent. What was only looked at, or refused, stays in step: else
        // its deletion at the centre would be taken for a site's upload.
        if let (Task::Push(_), StepOutcome::Stored(Ok(()))) = (&task, &outcome) {
            self.in_step.fall_out(&item);
        }
        if let (Task::Adoption(adoption), StepOutcome::Claimed(Ok(()))) = (&task, &outcome) {
            match adoption {
                Adoption::ClaimUpload { md5, .. } => self.in_step.own_upload(item.clone(), *md5),
                _ => self.in_step.own(item.clone()),
            }
        }
        if let (Some(md5), StepOutcome::Stored(Err(refusal))) = (task.sends(), &outcome)
            && *refusal != Refusal::Exists
        {
            self.in_step.refuse(item.clone(), md5, refusal.clone());
        }
        match task.after(outcome, &item) {
            Next::Then(task) => self.work(item, task, agenda),
            Next::Done(result) => {
                self.settle(item, result);
                self.begin(agenda)
            }
            Next::End(reason) => {
                self.report.left += 1 + agenda.len();
                self.end(reason)
            }
        }
    }

    fn plan(&mut self, listed: &Listed) -> State {
        self.in_step.keep_unclaimed(|item| listed.items().contains(item));
        let (agenda, settled) = Agenda::new(&self.centre, &self.in_step, listed, &self.policy);
        for (item, result) in settled {
            self.settle(item, result);
        }
        self.begin(agenda)
    }

    fn begin(&mut self, mut agenda: Agenda) -> State {
        while let Some((item, task)) = agenda.next(&mut self.in_step) {
            match self.foregone(&item, &task) {
                Some(result) => self.settle(item, result),
                None => return State::Working { item, task, agenda },
            }
        }
        State::Finished
    }

    fn work(&mut self, item: Item, task: Task, agenda: Agenda) -> State {
        match self.foregone(&item, &task) {
            Some(result) => {
                self.settle(item, result);
                self.begin(agenda)
            }
            None => State::Working { item, task, agenda },
        }
    }

    /// What becomes of an item whose task is not to be gone on with.
    fn foregone(&mut self, item: &Item, task: &Task) -> Option<ItemResult> {
        if let Task::Push(Push::Read { .. }) = task
            && let Some(centre) = self.centre.items.get(item).and_then(CentreItem::current)
            && let Some(refusal) = self.in_step.refusal(item, centre.md5)
        {
            return Some(ItemResult::Refused(refusal.clone()));
        }
        let allowance = &mut self.policy.allowance;
        let is_let = match task {
            Task::Inspect { in_step: None } | Task::TakeUp { .. } => allowance.items > 0,
            Task::Adoption(Adoption::ClaimUpload { content, .. }) => allowance.take(content.len() as u64),
            _ => true,
        };
        if !is_let {
            return Some(ItemResult::Beyond);
        }
        task.expected().filter(|_| self.policy.mode == Mode::DryRun)
    }

    fn settle(&mut self, item: Item, result: ItemResult) {
        match result {
            ItemResult::InStep(md5) | ItemResult::Pushed(md5, _) | ItemResult::TakenUp(md5) => {
                self.in_step.insert(item.clone(), md5);
            }
            ItemResult::Foreign(Owner::Nobody) => self.in_step.leave_unclaimed(item.clone()),
            ItemResult::Deleted | ItemResult::Forgotten | ItemResult::Foreign(Owner::Site(_)) => {
                self.in_step.remove(&item);
            }
            ItemResult::Withheld
            | ItemResult::Unfit
            | ItemResult::Waiting
            | ItemResult::Beyond
            | ItemResult::Refused(_)
            | ItemResult::Unpublished(_) => {}
        }
        self.report.add(item, result, self.policy.named);
    }

    fn end(&mut self, reason: EndedEarly) -> State {
        self.report.ended = Some(reason);
        State::Finished
    }

    /// What is in step so far.
    pub fn in_step(&self) -> &InStep {
        self.before.as_ref().unwrap_or(&self.in_step)
    }

    /// What is in step by now, and what the round has come to. After a dry run, what was in step before it.
    pub fn finished(mut self) -> (InStep, ConfigReport) {
        if let State::Working { agenda, .. } = &self.state {
            self.report.left += 1 + agenda.len();
        }
        (self.before.unwrap_or(self.in_step), self.report)
    }
}

impl Steps for ConfigRound {
    fn next_step(&self) -> ConfigStep {
        self.next_step()
    }

    fn after(&mut self, outcome: StepOutcome) {
        self.after(outcome);
    }
}
