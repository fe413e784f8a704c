//! A site, its agents, and the rounds at it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::{
    Centre, CentreStep, ConfigReport, ConfigRound, ConfigStep, Deletion, InStep, Item, ItemKind, Mode, Owners,
    Replaces, RoundPolicy, SiteStep, StepId, StepOutcome, Steps, Stored,
};
use super::agent::Agent;
use super::console::Console;
use super::directory::item;
use super::oracle::{Given, Oracle};
use super::site::Site;
use super::world::ITEMS;
use crate::proto::Md5Sum;

/// A listing, and for each item: its owner asked for, both files checked, it claimed, one of them deleted, both stored and verified, and the content read.
const MOST_STEPS: usize = 1 + 10 * ITEMS;

/// A site, and what the collector has of it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: Arc<str>,
    pub(super) site: Site,
    pub(super) agents: Vec<Agent>,
    pub(super) in_step: InStep,
    /// As it is in the state directory.
    pub(super) saved: InStep,
    /// Collections that were not whole at the site when it was forgotten what it had, and are not.
    pub(super) forgotten: BTreeSet<Item>,
    pub(super) active: Option<Active>,
}

/// A round on its way.
#[derive(Debug)]
pub(super) struct Active {
    round: ConfigRound,
    given: Given,
    /// Those that were begun.
    pub(super) steps: Vec<ConfigStep>,
    /// Of those, what the site was asked and has not done, the oldest first.
    under_way: VecDeque<(StepId, SiteStep)>,
    /// The same, of the centre.
    asked: Option<(StepId, CentreStep)>,
    /// How many steps are under way at most.
    width: usize,
    /// Whether it is to be saved that the site owns something.
    has_claimed: bool,
    /// The MD5s of what was taken up since that was saved last.
    unsaved_uploads: Vec<[u8; 16]>,
    /// Whether half of the file that the step stores is there.
    is_half_stored: bool,
    /// What was deleted though it was another file.
    taken: Option<SiteStep>,
}

/// How a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// To its end.
    Whole,
    /// Of what is stored, half comes for now.
    Half,
    /// To its end, but the connection dies before the outcome is seen.
    Unseen,
    /// Of what is stored, half comes, and the site reports that all did, as where its disk is full.
    Untrue,
}

impl Place {
    pub(super) fn new(name: &str, site: Site) -> Self {
        Self {
            name: name.into(),
            site,
            agents: Vec::new(),
            in_step: InStep::default(),
            saved: InStep::default(),
            forgotten: BTreeSet::new(),
            active: None,
        }
    }

    /// `width`: how many of its steps are under way at once, at most.
    pub(super) fn begin(&mut self, centre: Arc<Centre>, directories: usize, policy: RoundPolicy, width: usize) {
        let in_step = self.in_step.clone();
        let given = Given { centre: Arc::clone(&centre), directories, in_step, policy: policy.clone() };
        let round = ConfigRound::new(centre, self.in_step.clone(), policy);
        self.active = Some(Active {
            round,
            given,
            steps: Vec::new(),
            under_way: VecDeque::new(),
            asked: None,
            width,
            has_claimed: false,
            unsaved_uploads: Vec::new(),
            is_half_stored: false,
            taken: None,
        });
    }

    /// Begins a step of the round under way, or has one carried out: which, is by `chance`. What the round has come to, if it is
    /// over with that.
    pub(super) fn step(
        &mut self,
        course: Course,
        chance: &mut fastrand::Rng,
        console: &mut Console,
        owners: &mut Owners,
        oracle: &mut Oracle,
    ) -> Option<Ended> {
        let active = self.active.as_mut()?;
        let under_way = active.under_way.len() + usize::from(active.asked.is_some());
        if under_way == 0 || (under_way < active.width && chance.bool()) {
            if active.begin() {
                return None;
            }
            if under_way == 0 {
                assert!(active.round.is_finished(), "nothing is under way, and nothing is begun");
                return self.end(owners, oracle);
            }
        }
        let is_centre_s = active.asked.is_some() && (active.under_way.is_empty() || chance.bool());
        if is_centre_s {
            self.step_at_centre(course, console, owners, oracle)
        } else {
            self.step_at_site(course, owners, oracle)
        }
    }

    fn step_at_centre(
        &mut self,
        course: Course,
        console: &mut Console,
        owners: &mut Owners,
        oracle: &mut Oracle,
    ) -> Option<Ended> {
        let active = self.active.as_mut()?;
        let (id, step) = active.asked.take()?;
        let is_owner = |item: &Item| owners.owner(item) == Some(&self.name);
        oracle.check(&ConfigStep::Ask(step.clone()), &active.steps, None, &self.site, &active.given, is_owner);
        if let CentreStep::Read { item } = &step
            && (std::mem::take(&mut active.has_claimed) || item.kind() == ItemKind::Collection)
        {
            self.saved = active.round.in_step();
            active.unsaved_uploads.clear();
        }
        if let CentreStep::Publish { content, .. } = &step {
            active.unsaved_uploads.push(Md5Sum::of(content).md5);
        }
        let outcome = match &step {
            CentreStep::Owner { item } => StepOutcome::Owner(owners.other(item, &self.name).cloned()),
            CentreStep::Claim { item } => {
                active.has_claimed = true;
                let content = active.given.centre.items.get(item).and_then(|has| has.content);
                oracle.by_console.extend(content.map(|content| content.md5));
                StepOutcome::Claimed(owners.claim(item.clone(), &self.name))
            }
            step => console.carry_out(step, active.given.directories, oracle),
        };
        if course == Course::Unseen {
            return self.end(owners, oracle);
        }
        active.round.after(id, outcome);
        None
    }

    fn step_at_site(&mut self, course: Course, owners: &mut Owners, oracle: &mut Oracle) -> Option<Ended> {
        let active = self.active.as_mut()?;
        let (id, step) = active.under_way.front()?.clone();
        let is_owner = |item: &Item| owners.owner(item) == Some(&self.name);
        let (steps, given) = (&active.steps, &active.given);
        oracle.check(&ConfigStep::Do(step.clone()), steps, active.taken.as_ref(), &self.site, given, is_owner);
        let outcome = active.at_site(&step, &mut self.site, course)?;
        self.forgotten.retain(|item| self.site.pair(item).is_none());
        active.under_way.pop_front();
        active.is_half_stored = false;
        active.taken = None;
        if course == Course::Unseen {
            // The site had what was asked for behind it, and does that as well.
            for (_, step) in std::mem::take(&mut active.under_way) {
                let step_of_round = ConfigStep::Do(step.clone());
                oracle.check(&step_of_round, &active.steps, None, &self.site, &active.given, is_owner);
                self.site.carry_out(&step);
            }
            return self.end(owners, oracle);
        }
        let taken = match (&step, &outcome) {
            (SiteStep::Delete { name, .. }, StepOutcome::Deleted(Deletion::Other(Some(body)))) => {
                Some(SiteStep::Store { name: name.clone(), body: Arc::clone(body), replaces: Replaces::Anything })
            }
            _ => None,
        };
        active.round.after(id, outcome);
        // What an agent has sent in the moment of a deletion goes back at once, unless the centre has another one for it.
        if let Some(store @ SiteStep::Store { name, .. }) = &taken
            && !active.given.centre.items.contains_key(&item(&name.to_string()))
        {
            assert!(active.begin(), "it goes back");
            assert_eq!(active.under_way.back().map(|(_, step)| step), Some(store));
            oracle.restored += 1;
        }
        active.taken = taken;
        None
    }

    /// The configuration of which a file is deleted next.
    pub(super) fn deletes(&self) -> Option<Item> {
        match self.active.as_ref()?.under_way.front() {
            Some((_, SiteStep::Delete { name, .. })) => Some(item(&name.to_string())),
            _ => None,
        }
        .filter(|item| item.kind() == ItemKind::Configuration)
    }

    /// The round is over, or its connection has died.
    pub(super) fn end(&mut self, owners: &mut Owners, oracle: &Oracle) -> Option<Ended> {
        let Active { round, steps, given, .. } = self.active.take()?;
        let (in_step, report) = round.finished();
        oracle.check_in_step(&in_step);
        let is_dry = given.policy.mode == Mode::DryRun;
        assert!(!is_dry || in_step == given.in_step, "a dry run changes what is in step");
        owners.keep(&self.name, &in_step);
        self.in_step = in_step;
        self.saved = self.in_step.clone();
        Some(Ended { report, steps, policy: given.policy })
    }

    /// The collector is killed and started again.
    pub(super) fn restart(&mut self, is_state_lost: bool, oracle: &mut Oracle) {
        // Nobody knows any more that these have come from the site.
        oracle.by_console.extend(self.active.take().into_iter().flat_map(|active| active.unsaved_uploads));
        if is_state_lost {
            self.saved = InStep::default();
            self.forgotten.extend(self.site.partial_collections());
        }
        self.in_step = self.saved.standings().map(|(item, standing)| (item.clone(), standing.clone())).collect();
    }
}

/// A round that is over.
pub(super) struct Ended {
    pub(super) report: ConfigReport,
    pub(super) steps: Vec<ConfigStep>,
    pub(super) policy: RoundPolicy,
}

impl Active {
    /// Begins a step, if there is one.
    fn begin(&mut self) -> bool {
        let Some((id, step)) = self.round.begin() else { return false };
        self.steps.push(step.clone());
        assert!(self.steps.len() <= MOST_STEPS, "no end of steps: {:?}", self.steps);
        match step {
            ConfigStep::Do(step) => self.under_way.push_back((id, step)),
            ConfigStep::Ask(step) => assert!(self.asked.replace((id, step)).is_none(), "one at a time"),
        }
        true
    }

    fn at_site(&mut self, step: &SiteStep, site: &mut Site, course: Course) -> Option<StepOutcome> {
        if let SiteStep::Store { name, body, .. } = step
            && !site.is_extended
        {
            let name = name.to_string();
            if self.is_half_stored {
                site.complete(&name, body);
                return Some(StepOutcome::Stored(Ok(Stored::Taken)));
            }
            if course == Course::Half && site.put_half(&name, body) {
                self.is_half_stored = true;
                return None;
            }
            if course == Course::Untrue && site.put_half(&name, body) {
                return Some(StepOutcome::Stored(Ok(Stored::Taken)));
            }
        }
        Some(site.carry_out(step))
    }
}
