//! A site, its agents, and the rounds at it.

use std::sync::Arc;

use super::super::{
    Centre, CentreStep, ConfigReport, ConfigRound, ConfigStep, Deletion, InStep, Item, ItemKind, Mode, Owners,
    RoundPolicy, SiteStep, StepOutcome,
};
use super::agent::Agent;
use super::console::Console;
use super::directory::item;
use super::oracle::{Given, Oracle};
use super::site::Site;
use super::world::ITEMS;

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
    pub(super) active: Option<Active>,
}

/// A round on its way.
#[derive(Debug)]
pub(super) struct Active {
    round: ConfigRound,
    given: Given,
    pub(super) steps: Vec<ConfigStep>,
    /// Whether it is to be saved that the site owns something.
    has_claimed: bool,
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
            active: None,
        }
    }

    pub(super) fn begin(&mut self, centre: Arc<Centre>, directories: usize, policy: RoundPolicy) {
        let in_step = self.in_step.clone();
        let given = Given { centre: Arc::clone(&centre), directories, in_step, policy: policy.clone() };
        let round = ConfigRound::new(centre, self.in_step.clone(), policy);
        self.active =
            Some(Active { round, given, steps: Vec::new(), has_claimed: false, is_half_stored: false, taken: None });
    }

    /// Takes the next step of the round under way. What the round has come to, if it is over with that.
    pub(super) fn step(
        &mut self,
        course: Course,
        console: &mut Console,
        owners: &mut Owners,
        oracle: &mut Oracle,
    ) -> Option<Ended> {
        let active = self.active.as_mut()?;
        let step = active.round.next_step();
        let is_owner = |item: &Item| owners.owner(item) == Some(&self.name);
        oracle.check(&step, &active.steps, active.taken.as_ref(), &self.site, &active.given, is_owner);
        if let ConfigStep::Ask(CentreStep::Read { .. }) = step
            && std::mem::take(&mut active.has_claimed)
        {
            self.saved = active.round.in_step().clone();
        }
        let outcome = match &step {
            ConfigStep::Do(step) => active.at_site(step, &mut self.site, course)?,
            ConfigStep::Ask(CentreStep::Owner { item }) => StepOutcome::Owner(owners.other(item, &self.name).cloned()),
            ConfigStep::Ask(CentreStep::Claim { item }) => {
                active.has_claimed = true;
                let content = active.given.centre.items.get(item).and_then(|has| has.content);
                oracle.by_console.extend(content.map(|content| content.md5));
                StepOutcome::Claimed(owners.claim(item.clone(), &self.name))
            }
            ConfigStep::Ask(step) => console.carry_out(step, active.given.directories, oracle),
            ConfigStep::Finished => return self.end(owners, oracle),
        };
        active.is_half_stored = false;
        active.taken = match (&step, &outcome) {
            (ConfigStep::Do(SiteStep::Delete { name, .. }), StepOutcome::Deleted(Deletion::Other(Some(body)))) => {
                Some(SiteStep::Store { name: name.clone(), body: Arc::clone(body) })
            }
            _ => None,
        };
        active.steps.push(step);
        if course == Course::Unseen {
            return self.end(owners, oracle);
        }
        assert!(active.steps.len() <= MOST_STEPS, "no end of steps: {:?}", active.steps);
        active.round.after(outcome);
        // What an agent has sent in the moment of a deletion goes back at once, unless the centre has another one for it.
        if let Some(store @ SiteStep::Store { name, .. }) = &active.taken
            && !active.given.centre.items.contains_key(&item(&name.to_string()))
        {
            assert_eq!(active.round.next_step(), ConfigStep::Do(store.clone()));
            oracle.restored += 1;
        }
        None
    }

    /// The configuration of which a file is deleted next.
    pub(super) fn deletes(&self) -> Option<Item> {
        match self.active.as_ref()?.round.next_step() {
            ConfigStep::Do(SiteStep::Delete { name, .. }) => Some(item(&name.to_string())),
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
    pub(super) fn restart(&mut self, is_state_lost: bool) {
        self.active = None;
        if is_state_lost {
            self.saved = InStep::default();
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
    fn at_site(&mut self, step: &SiteStep, site: &mut Site, course: Course) -> Option<StepOutcome> {
        if let SiteStep::Store { name, body } = step {
            let name = name.to_string();
            if self.is_half_stored {
                site.complete(&name, body);
                return Some(StepOutcome::Stored(Ok(())));
            }
            if course == Course::Half && site.put_half(&name, body) {
                self.is_half_stored = true;
                return None;
            }
            if course == Course::Untrue && site.put_half(&name, body) {
                return Some(StepOutcome::Stored(Ok(())));
            }
        }
        Some(site.carry_out(step))
    }
}
