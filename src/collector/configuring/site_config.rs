//! Where a site's configuration stands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use super::problems::{Problem, Waiting, log_done, log_problem, problem};
use super::saving::Saving;
use super::unsent::Unsent;
use crate::collector::Reason;
use crate::config::SiteSettings;
use crate::deadline::after;
use crate::net::ConnId;
use crate::obs::LogThrottle;
use crate::proto::Quoted;
use crate::store::{InStepFile, SeenCentre};
use crate::sync::remote_config::{
    Allowance, Centre, CentreStep, ConfigRound, EndedEarly, InStep, Item, ItemKind, RoundPolicy, StepId, StepOutcome,
    Steps,
};

/// What the site did not take is not sent again for so long, unless it is another by then.
const REFUSED_FOR: Duration = Duration::from_secs(3_600);

/// From one round to the next at a site whose server lacks what that needs, where nobody has asked for it to be there.
const LEFT_OUT_FOR: Duration = Duration::from_secs(3_600);

/// What a round is begun with, beside what is the site's own.
pub(in crate::collector) struct RoundStart {
    pub(in crate::collector) seen: SeenCentre,
    pub(in crate::collector) policy: RoundPolicy,
    pub(in crate::collector) connection: ConnId,
    pub(in crate::collector) now: Instant,
}

/// How a round ended.
#[derive(Debug)]
pub(in crate::collector) enum ConfigEnd {
    Done,
    /// The connection could take no more commands: the next data round's goes on.
    Exhausted,
    /// By a reload, or a stop.
    BrokenOff,
    Failed(Reason),
}

/// A site whose configuration is kept the same as the centre's.
pub(in crate::collector) struct SiteConfig {
    /// Where what is in step is kept.
    pub(in crate::collector) file: InStepFile,
    state: ConfigState,
    waiting: Waiting,
    unsent: Unsent,
    /// What the site's server lacked in its last round, where nobody has asked for it to be there.
    left_out: Option<EndedEarly>,
    /// When it is tried again to send what the site did not take.
    refusals_forgotten: Instant,
    /// When the next round may begin.
    due: Instant,
    log: LogThrottle,
}

enum ConfigState {
    /// What was in step is being read.
    Loading,
    Waiting(InStep),
    Running(Box<ActiveConfigRound>),
}

impl ConfigState {
    fn in_step(&self) -> Option<&InStep> {
        match self {
            Self::Loading => None,
            Self::Waiting(in_step) => Some(in_step),
            Self::Running(running) => Some(&running.before),
        }
    }
}

/// The round under way.
struct ActiveConfigRound {
    round: ConfigRound,
    connection: ConnId,
    seen: SeenCentre,
    /// What was in step when it began.
    before: InStep,
    since: Instant,
    saving: Saving,
    /// What the centre was asked, and has not answered.
    asked: Option<StepId>,
}

impl ActiveConfigRound {
    fn take_unsaved(&mut self, now: Instant) -> InStep {
        self.saving = Saving::new(now);
        self.round.in_step()
    }
}

impl SiteConfig {
    pub(in crate::collector) fn new(file: InStepFile, now: Instant) -> Self {
        Self {
            file,
            state: ConfigState::Loading,
            waiting: Waiting::default(),
            unsent: Unsent::default(),
            left_out: None,
            refusals_forgotten: after(now, REFUSED_FOR),
            due: now,
            log: LogThrottle::default(),
        }
    }

    /// What was in step is read.
    pub(in crate::collector) fn loaded(&mut self, in_step: InStep) {
        if let ConfigState::Loading = self.state {
            self.state = ConfigState::Waiting(in_step);
        }
    }

    /// How many items wait to be sent, and since when the first of them does.
    pub(in crate::collector) fn unsent(&self) -> (usize, Option<Instant>) {
        self.unsent.known()
    }

    /// What the site had when both were the same is held against what the centre has: at the start, an edit may be of long ago.
    pub(in crate::collector) fn compare(&mut self, centre: &Centre, now: Instant) {
        if let ConfigState::Waiting(in_step) = &self.state {
            self.unsent.changed(in_step.iter().map(|(item, _)| item), in_step, centre, now);
        }
    }

    /// What is in step, as far as it was at the start of the round that is under way; `None` while that is being read.
    pub(in crate::collector) fn in_step(&self) -> Option<&InStep> {
        self.state.in_step()
    }

    /// The same, to be changed, unless a round is under way.
    pub(in crate::collector) fn waiting_in_step(&mut self) -> Option<&mut InStep> {
        match &mut self.state {
            ConfigState::Waiting(in_step) => Some(in_step),
            ConfigState::Loading | ConfigState::Running(_) => None,
        }
    }

    /// The directories that the round under way was begun with.
    pub(in crate::collector) fn directories(&self) -> Option<u64> {
        match &self.state {
            ConfigState::Running(running) => Some(running.seen.directories),
            ConfigState::Loading | ConfigState::Waiting(_) => None,
        }
    }

    /// The next round may begin at once.
    pub(in crate::collector) fn hurry(&mut self, now: Instant) {
        self.due = now;
    }

    pub(in crate::collector) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, ConfigState::Waiting(_)) && self.due <= now
    }

    /// The round under way, and the connection that it has.
    pub(in crate::collector) fn running(&mut self) -> Option<(&mut ConfigRound, ConnId)> {
        match &mut self.state {
            ConfigState::Running(running) => Some((&mut running.round, running.connection)),
            ConfigState::Loading | ConfigState::Waiting(_) => None,
        }
    }

    /// The round has asked the centre for a step.
    pub(in crate::collector) fn asked(&mut self, step: StepId) {
        if let ConfigState::Running(running) = &mut self.state {
            running.asked = Some(step);
        }
    }

    /// The centre has carried that out. The connection of the round, if one is under way.
    pub(in crate::collector) fn answered(&mut self, outcome: StepOutcome) -> Option<ConnId> {
        let ConfigState::Running(running) = &mut self.state else { return None };
        running.round.after(running.asked.take()?, outcome);
        Some(running.connection)
    }

    /// What is to be saved while a round goes on: a kill forgets no more than what some seconds have brought.
    pub(in crate::collector) fn take_unsaved(&mut self, now: Instant) -> Option<InStep> {
        let ConfigState::Running(running) = &mut self.state else { return None };
        running.saving.is_due(now).then(|| running.take_unsaved(now))
    }

    /// The site owns a configuration that it did not own before.
    pub(in crate::collector) fn claimed(&mut self) {
        if let ConfigState::Running(running) = &mut self.state {
            running.saving.claimed();
        }
    }

    /// What is to be saved before the centre is asked for this.
    pub(in crate::collector) fn take_unsaved_before(&mut self, step: &CentreStep, now: Instant) -> Option<InStep> {
        let ConfigState::Running(running) = &mut self.state else { return None };
        running.saving.is_due_before(step).then(|| running.take_unsaved(now))
    }

    /// Begins a round, if none is under way.
    pub(in crate::collector) fn begin(&mut self, start: RoundStart) {
        let RoundStart { seen, policy, connection, now: since } = start;
        if let ConfigState::Waiting(in_step) = &mut self.state {
            if self.refusals_forgotten <= since {
                in_step.forget_refusals();
                self.refusals_forgotten = after(since, REFUSED_FOR);
            }
            let before = std::mem::take(in_step);
            let round = ConfigRound::new(Arc::clone(&seen.centre), before.clone(), policy);
            self.state = ConfigState::Running(Box::new(ActiveConfigRound {
                round,
                connection,
                seen,
                before,
                since,
                saving: Saving::new(since),
                asked: None,
            }));
        }
    }

    /// Ends the round, if one is under way; the next one may begin an `interval` after its start, or at once where it goes on
    /// with this one. What is in step now, if that is to be saved, and what the centre had when the round began.
    pub(in crate::collector) fn end(
        &mut self,
        settings: &SiteSettings,
        end: &ConfigEnd,
        now: Instant,
    ) -> Option<(Option<InStep>, Arc<Centre>)> {
        let running = match std::mem::replace(&mut self.state, ConfigState::Loading) {
            ConfigState::Running(running) => running,
            other => {
                self.state = other;
                return None;
            }
        };
        let ActiveConfigRound { round, seen, before, since, saving, .. } = *running;
        let (in_step, report) = round.finished();
        self.unsent.sent(&in_step, &seen.centre, since);
        self.waiting.saw(&report.waiting.first, matches!(end, ConfigEnd::Done), now);
        let problem = match end {
            ConfigEnd::Failed(reason) => Some(Problem::of(reason)),
            _ => problem(&report).or_else(|| self.waiting.problem(now)),
        };
        let site = &settings.name;
        log_done(site, &report, now.saturating_duration_since(since));
        let left_out = report.ended.filter(|lacks| settings.remote_config.is_none() && lacks.is_unprepared());
        match &left_out {
            None => log_problem(site, problem, end, &mut self.log, now),
            Some(lacks) if self.left_out.as_ref() != Some(lacks) => {
                info!("site={} configuration: left out: {lacks}", Quoted::of_bytes(site.as_bytes()));
            }
            Some(_) => {}
        }
        let pause = if left_out.is_some() { LEFT_OUT_FOR } else { settings.remote_config_interval };
        self.left_out = left_out;
        self.due = match end {
            ConfigEnd::Done | ConfigEnd::Failed(_) => after(since, pause).max(now),
            ConfigEnd::Exhausted | ConfigEnd::BrokenOff => now,
        };
        // What was saved on the way may be less.
        let changed = (in_step != before || saving.was_after(since)).then(|| in_step.clone());
        self.state = ConfigState::Waiting(in_step);
        Some((changed, seen.centre))
    }

    /// These items have changed at the centre: the next round may begin at once, where some are this site's. Whether they
    /// are.
    pub(in crate::collector) fn centre_changed(
        &mut self,
        changed: &BTreeSet<Item>,
        after: &Centre,
        now: Instant,
    ) -> bool {
        let Some(in_step) = self.state.in_step() else { return false };
        let is_asked_for = |collection: &Item| {
            let configurations = in_step.owned().filter_map(|item| after.items.get(item));
            configurations.into_iter().any(|item| item.collections.contains(collection))
        };
        let concerns = |item: &Item| {
            in_step.has_received(item)
                || in_step.owns(item)
                || (item.kind() == ItemKind::Collection && is_asked_for(item))
        };
        let is_concerned = changed.iter().any(concerns);
        if is_concerned {
            self.unsent.changed(changed.iter().filter(|item| concerns(item)), in_step, after, now);
            self.hurry(now);
        }
        is_concerned
    }
}

/// What is left of what a site may have at the centre.
pub(in crate::collector) fn allowance(in_step: &InStep, centre: &Centre, settings: &SiteSettings) -> Allowance {
    let bytes = in_step.owned().filter_map(|item| Some(centre.items.get(item)?.content.map_or(0, |has| has.size)));
    let left = Allowance { items: settings.remote_config_max_agents, bytes: settings.remote_config_max_bytes };
    bytes.fold(left, |left, bytes| Allowance {
        items: left.items.saturating_sub(1),
        bytes: left.bytes.saturating_sub(bytes),
    })
}

#[cfg(test)]
#[path = "site_config_tests.rs"]
mod tests;
