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
//! What is sent counts as what the site may have, from before any of it is sent until it is all there. So what a round that broke
//! off has left half there is gone on with, or deleted, also where the centre wants something else by then.
//!
//! All of that is of items that the site owns, and of the collections that those ask for. Of a configuration that it does not
//! own, the centre is asked first who does ([`adoption`](super::adoption)).
//!
//! Something is done about many items at once, and one thing after the other about each. So who carries out the steps may begin
//! several before it knows what has come of the first.
//!
//! What the site has the same as the centre is believed, but for a few items a round, in turns: an agent that could not fetch
//! its `.md5` file uploads its old configuration, which the listing does not show.
//!
//! Between a look and a deed, an agent may upload something else. Where that is seen, the item waits for the next round;
//! where it is not, its turn finds it. The centre wins, always.

use std::mem;
use std::sync::Arc;

use super::adoption::Adoption;
use super::agenda::{Agenda, Part};
use super::guard::GuardReason;
use super::push::Push;
use super::report::{ConfigReport, EndedEarly, ItemResult, Owner};
use super::step::{CentreStep, ConfigStep, SiteStep, StepId, StepOutcome, Steps};
use super::task::{Next, Task};
use super::working::{Active, Working};
use super::{Centre, CentreItem, InStep, Item, ItemKind, Listed};

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
    /// Whether the site was asked for the listing.
    Listing(bool),
    Working(Box<Working>),
}

/// The listing's.
const LISTING: StepId = StepId(0);

impl ConfigRound {
    /// A round that has asked for nothing yet. `centre` is as it was just before.
    pub fn new(centre: Arc<Centre>, in_step: InStep, policy: RoundPolicy) -> Self {
        let before = (policy.mode == Mode::DryRun).then(|| in_step.clone());
        let report = ConfigReport { guard: policy.deletions.err(), ..ConfigReport::default() };
        Self { centre, in_step, policy, before, state: State::Listing(false), report }
    }

    /// Begins the next step of the oldest item that can go on, or the first one of another item.
    fn begin_task(&mut self, working: &mut Working) -> Option<(StepId, ConfigStep)> {
        loop {
            if let Some(begun) = working.begin() {
                self.note_begun(&begun.1);
                return Some(begun);
            }
            if !working.has_place() || !self.begin_item(working) {
                return None;
            }
        }
    }

    /// Has something done about the next item. Whether there is one.
    fn begin_item(&mut self, working: &mut Working) -> bool {
        while let Some((item, task, part)) = working.agenda.next() {
            let Some(result) = self.foregone(&item, &task) else {
                working.push(item, task, part);
                return true;
            };
            self.settle(item, result);
        }
        false
    }

    fn after_listing(&mut self, outcome: StepOutcome) -> Box<Working> {
        match outcome {
            StepOutcome::Listed(listed) if !listed.is_root() => return self.plan(&listed),
            StepOutcome::Listed(_) => self.report.ended = Some(EndedEarly::NoFilters),
            StepOutcome::ListRefused(refusal) => self.report.ended = Some(EndedEarly::ListRefused(refusal)),
            _ => {}
        }
        Box::default()
    }

    fn plan(&mut self, listed: &Listed) -> Box<Working> {
        self.in_step.keep_unclaimed(|item| listed.items().contains(item));
        let (agenda, settled) = Agenda::new(&self.centre, &self.in_step, listed, &self.policy);
        for (item, result) in settled {
            self.settle(item, result);
        }
        Box::new(Working::new(agenda))
    }

    fn after_task(&mut self, id: StepId, working: &mut Working, outcome: StepOutcome) {
        let Some(Active { item, task, part }) = working.take(id) else { return };
        self.note(&item, &task, &outcome);
        match task.after(outcome, &item) {
            // It has ended over another item, and nothing more is begun.
            Next::Then(_) | Next::End(_) if self.report.ended.is_some() => self.report.left += 1,
            Next::Then(task) => match self.foregone(&item, &task) {
                Some(result) => self.settle(item, result),
                None => working.put(id, Active { item, task, part }),
            },
            Next::Done(result) => self.settle(item, result),
            Next::End(reason) => {
                self.report.left += 1 + working.end();
                self.report.ended = Some(reason);
            }
        }
    }

    /// What a step makes of what is in step, before it is carried out. A collection counts as sent before it is read, so that
    /// this can be saved before any of it is at the site.
    fn note_begun(&mut self, step: &ConfigStep) {
        if let ConfigStep::Ask(CentreStep::Read { item }) = step
            && item.kind() == ItemKind::Collection
            && let Some(centre) = self.centre.items.get(item).and_then(CentreItem::current)
        {
            self.in_step.send(item, centre.md5);
        }
    }

    /// What a step's outcome makes of what is in step, whatever comes next.
    fn note(&mut self, item: &Item, task: &Task, outcome: &StepOutcome) {
        if let (Task::Push(Push::Read { .. }), StepOutcome::Read(Some((content, fingerprint)))) = (task, outcome)
            && item.kind() == ItemKind::Configuration
            && !content.is_empty()
        {
            self.in_step.send(item, fingerprint.md5);
        }
        if let (Task::Adoption(adoption), StepOutcome::Claimed(Ok(()))) = (task, outcome) {
            match adoption {
                Adoption::ClaimUpload { md5, .. } => self.in_step.own_upload(item.clone(), *md5),
                _ => self.in_step.own(item.clone()),
            }
        }
        if let StepOutcome::Stored(Err(refusal)) = outcome
            && let Some(md5) = task.refused(refusal)
        {
            self.in_step.refuse(item.clone(), md5, refusal.clone());
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
        // A collection that has become another since the round began does not count as sent.
        if let Task::Push(push) = task
            && item.kind() == ItemKind::Collection
            && push.md5().is_some_and(|md5| !self.in_step.contents(item).contains(&md5))
        {
            return Some(ItemResult::Waiting);
        }
        let allowance = &mut self.policy.allowance;
        let is_let = match task {
            Task::Inspect { contents } if contents.is_empty() => allowance.items > 0,
            Task::TakeUp { .. } => allowance.items > 0,
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
            ItemResult::InStep(md5)
            | ItemResult::Pushed(md5, _)
            | ItemResult::TakenUp(md5)
            | ItemResult::Whole(md5) => {
                self.in_step.insert(item.clone(), md5);
            }
            ItemResult::Foreign(Owner::Nobody) => self.in_step.leave_unclaimed(item.clone()),
            ItemResult::Deleted | ItemResult::Forgotten | ItemResult::Foreign(Owner::Site(_)) => {
                self.in_step.remove(&item);
            }
            ItemResult::Withdrawn
            | ItemResult::Withheld
            | ItemResult::Unfit
            | ItemResult::Waiting
            | ItemResult::Beyond
            | ItemResult::Refused(_)
            | ItemResult::Unpublished(_) => {}
        }
        self.report.add(item, result, self.policy.named);
    }

    /// What it was begun with.
    #[cfg(test)]
    pub(crate) fn centre(&self) -> Arc<Centre> {
        Arc::clone(&self.centre)
    }

    /// What is in step so far.
    pub fn in_step(&self) -> InStep {
        if let Some(before) = &self.before {
            return before.clone();
        }
        let mut in_step = self.in_step.clone();
        if let State::Working(working) = &self.state {
            let last = |part| working.last(part).cloned();
            in_step.last_compared = last(Part::Turn).or(in_step.last_compared);
            in_step.last_begun = last(Part::Change).or(in_step.last_begun);
        }
        in_step
    }

    /// What is in step by now, and what the round has come to. After a dry run, what was in step before it.
    pub fn finished(mut self) -> (InStep, ConfigReport) {
        if let State::Working(working) = &self.state {
            self.report.left += working.active() + working.agenda.len();
        }
        (self.in_step(), self.report)
    }
}

impl Steps for ConfigRound {
    fn begin(&mut self) -> Option<(StepId, ConfigStep)> {
        match mem::replace(&mut self.state, State::Listing(true)) {
            State::Listing(false) => Some((LISTING, ConfigStep::Do(SiteStep::List))),
            State::Listing(true) => None,
            State::Working(mut working) => {
                let begun = self.begin_task(&mut working);
                self.state = State::Working(working);
                begun
            }
        }
    }

    /// An outcome that is none of the step's leaves its item for the next round; that of a listing, all.
    fn after(&mut self, step: StepId, outcome: StepOutcome) {
        let mut working = match mem::replace(&mut self.state, State::Listing(true)) {
            State::Listing(true) => self.after_listing(outcome),
            State::Listing(false) => return self.state = State::Listing(false),
            State::Working(mut working) => {
                self.after_task(step, &mut working, outcome);
                working
            }
        };
        // So that it shows at once whether there is more to be done.
        if working.active() == 0 {
            self.begin_item(&mut working);
        }
        self.state = State::Working(working);
    }

    fn interrupted(&mut self) {
        match &mut self.state {
            State::Listing(is_under_way) => *is_under_way = false,
            State::Working(working) => working.interrupted(),
        }
    }

    fn is_finished(&self) -> bool {
        matches!(&self.state, State::Working(working) if working.active() == 0)
    }
}
