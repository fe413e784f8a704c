//! Where a site's configuration stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::collector::Reason;
use crate::config::SiteSettings;
use crate::deadline::after;
use crate::net::ConnId;
use crate::obs::{LogThrottle, repeated};
use crate::proto::Quoted;
use crate::store::{InStepFile, SeenCentre};
use crate::sync::remote_config::{
    Allowance, Centre, ConfigReport, ConfigRound, EndedEarly, GuardReason, InStep, Item, ItemKind, Named, RoundPolicy,
};

/// How often what is in step is saved while a round goes on.
pub(super) const SAVED_EVERY: Duration = Duration::from_secs(3);

/// What has waited for so long is no change under way.
const WAITING_FOR: Duration = Duration::from_secs(300);

/// What was not seen to wait for so long may be well by now.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1_800);

/// What the site did not take is not sent again for so long, unless it is another by then.
const REFUSED_FOR: Duration = Duration::from_secs(3_600);

/// From one round to the next at a site whose server lacks what that needs, where nobody has asked for it to be there.
const LEFT_OUT_FOR: Duration = Duration::from_secs(3_600);

/// Items that a log line names.
const NAMED: usize = 5;

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

/// The round under way.
struct ActiveConfigRound {
    round: ConfigRound,
    connection: ConnId,
    seen: SeenCentre,
    /// What was in step when it began.
    before: InStep,
    since: Instant,
    /// When what is in step was saved last.
    saved: Instant,
    ownership: Ownership,
}

/// Whether it is saved what the site owns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Saved,
    Unsaved,
}

impl ActiveConfigRound {
    fn take_unsaved(&mut self, now: Instant) -> InStep {
        (self.saved, self.ownership) = (now, Ownership::Saved);
        self.round.in_step().clone()
    }
}

impl SiteConfig {
    pub(in crate::collector) fn new(file: InStepFile, now: Instant) -> Self {
        Self {
            file,
            state: ConfigState::Loading,
            waiting: Waiting::default(),
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

    /// What is in step, as far as it was at the start of the round that is under way; `None` while that is being read.
    pub(in crate::collector) fn in_step(&self) -> Option<&InStep> {
        match &self.state {
            ConfigState::Loading => None,
            ConfigState::Waiting(in_step) => Some(in_step),
            ConfigState::Running(running) => Some(&running.before),
        }
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

    /// What is to be saved while a round goes on: a kill forgets no more than what some seconds have brought.
    pub(in crate::collector) fn take_unsaved(&mut self, now: Instant) -> Option<InStep> {
        let ConfigState::Running(running) = &mut self.state else { return None };
        let is_due = now.saturating_duration_since(running.saved) >= SAVED_EVERY;
        is_due.then(|| running.take_unsaved(now))
    }

    /// The site owns a configuration that it did not own before.
    pub(in crate::collector) fn claimed(&mut self) {
        if let ConfigState::Running(running) = &mut self.state {
            running.ownership = Ownership::Unsaved;
        }
    }

    /// What is to be saved before something is sent to the site: that it owns that. Without it, nobody knows after a kill
    /// whose it is, as the two sides differ.
    pub(in crate::collector) fn take_unsaved_ownership(&mut self, now: Instant) -> Option<InStep> {
        let ConfigState::Running(running) = &mut self.state else { return None };
        (running.ownership == Ownership::Unsaved).then(|| running.take_unsaved(now))
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
                saved: since,
                ownership: Ownership::Saved,
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
        let ActiveConfigRound { round, seen, before, since, saved, .. } = *running;
        let (in_step, report) = round.finished();
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
        let changed = (in_step != before || saved > since).then(|| in_step.clone());
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
        let Some(in_step) = self.in_step() else { return false };
        let is_asked_for = |collection: &Item| {
            let configurations = in_step.owned().filter_map(|item| after.items.get(item));
            configurations.into_iter().any(|item| item.collections.contains(collection))
        };
        let concerns = |item: &Item| {
            in_step.get(item).is_some()
                || in_step.owns(item)
                || (item.kind() == ItemKind::Collection && is_asked_for(item))
        };
        let is_concerned = changed.iter().any(concerns);
        if is_concerned {
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

/// Items that the site has in a way that nothing can be done about.
#[derive(Default)]
struct Waiting(BTreeMap<Item, Waited>);

/// From when to when an item was seen to wait.
struct Waited {
    since: Instant,
    last: Instant,
}

impl Waiting {
    /// These wait now; if that was a whole round, no others do. Those that are not heard of for long are forgotten.
    fn saw(&mut self, items: &[Item], is_all: bool, now: Instant) {
        for item in items {
            self.0.entry(item.clone()).or_insert(Waited { since: now, last: now }).last = now;
        }
        let forgotten_after = if is_all { Duration::ZERO } else { FORGOTTEN_AFTER };
        self.0.retain(|_, waited| now.saturating_duration_since(waited.last) <= forgotten_after);
    }

    fn problem(&self, now: Instant) -> Option<Problem> {
        let is_overdue = |waited: &Waited| now.saturating_duration_since(waited.since) >= WAITING_FOR;
        let overdue: Vec<&Item> =
            self.0.iter().filter(|(_, waited)| is_overdue(waited)).map(|(item, _)| item).collect();
        let first = overdue.iter().copied().take(NAMED).cloned().collect();
        let names = named(&Named { count: overdue.len(), first }, ToString::to_string)?;
        let text = format!(
            "{names}: at the site, the file or its .md5 is missing, empty or too large, or the two do not fit, and that stays \
             so. Where its agent runs, remove its .md5 file at the site: the agent sends both anew; where it is no more, \
             remove both"
        );
        Some(Problem { code: "remote-config-waiting", key: "waiting".to_owned(), text })
    }
}

/// Logs what a round has come to that nothing is remembered of: what was done at `info`; what it could not do now and then.
pub(super) fn log_report(
    site: &str,
    report: &ConfigReport,
    end: &ConfigEnd,
    took: Duration,
    throttle: &mut LogThrottle,
    now: Instant,
) {
    let problem = match end {
        ConfigEnd::Failed(reason) => Some(Problem::of(reason)),
        _ => problem(report),
    };
    log_done(site, report, took);
    log_problem(site, problem, end, throttle, now);
}

/// Logs what a round has done.
fn log_done(site: &str, report: &ConfigReport, took: Duration) {
    let counts = [
        ("pushed", named(&report.pushed, |pushed| pushed.item.to_string())),
        ("taken-up", named(&report.taken_up, ToString::to_string)),
        ("deleted", named(&report.deleted, ToString::to_string)),
    ];
    let done: Vec<String> =
        counts.iter().filter_map(|(what, names)| Some(format!("{what}={}", names.as_ref()?))).collect();
    if !done.is_empty() {
        let site = Quoted::of_bytes(site.as_bytes());
        info!("site={site} configuration: {} in-step={} ms={}", done.join(" "), report.in_step, took.as_millis());
    }
}

/// Logs what a round could not do, now and then.
fn log_problem(site: &str, problem: Option<Problem>, end: &ConfigEnd, throttle: &mut LogThrottle, now: Instant) {
    let site = Quoted::of_bytes(site.as_bytes());
    match (problem, end) {
        (Some(Problem { code, key, text }), _) => {
            if let Some(suppressed) = throttle.failed(&key, now) {
                warn!("site={site} reason={code} configuration: {text};{}", repeated(suppressed));
            }
        }
        (None, ConfigEnd::Exhausted | ConfigEnd::BrokenOff) => {}
        (None, _) => {
            if let Some(recovery) = throttle.recovered(now) {
                info!("site={site} configuration: {recovery}");
            }
        }
    }
}

/// What somebody has to see to.
#[derive(Debug)]
struct Problem {
    code: &'static str,
    /// What it is, whichever items it is about: it is not logged each time.
    key: String,
    text: String,
}

impl Problem {
    fn new(code: &'static str, text: String) -> Self {
        Self { code, key: text.clone(), text }
    }

    fn of(reason: &Reason) -> Self {
        Self { code: reason.code(), key: reason.log_key(), text: reason.to_string() }
    }
}

/// What somebody has to see to, worst first.
fn problem(report: &ConfigReport) -> Option<Problem> {
    if let Some(ended) = &report.ended {
        return Some(Problem::new("remote-config-server", ended.to_string()));
    }
    if let Some(guard) = report.guard.filter(|_| report.withheld.count > 0) {
        return Some(Problem::new("remote-config-guard", guarded(guard)));
    }
    if let Some(names) = named(&report.refused, |(item, refusal)| format!("{item}: {refusal}")) {
        return Some(Problem::new("remote-config-refused", format!("the site does not take {names}")));
    }
    if let Some(names) = named(&report.unpublished, |(item, why)| format!("{item}: {why}")) {
        let text = format!("what the site has cannot be stored here: {names}");
        return Some(Problem { key: unpublished_key(report), ..Problem::new("remote-config-publish", text) });
    }
    bound(report).or_else(|| foreign(report))
}

/// What another site owns, or nobody.
fn foreign(report: &ConfigReport) -> Option<Problem> {
    let names = named(&report.foreign, |(item, owner)| format!("{item}: {owner}"))?;
    let text = format!(
        "{names} left alone. Is its agent at this site, 'tentacle-syncd config assign' with the site and the agent has the \
         centre's sent there; is it not, see who uploads to the site"
    );
    Some(Problem { code: "remote-config-owner", key: "owner".to_owned(), text })
}

/// What the site has too much of.
fn bound(report: &ConfigReport) -> Option<Problem> {
    let names = named(&report.beyond, ToString::to_string)?;
    let text = format!(
        "{names} not taken up: with it, the site would have more here than remote_config_max_agents and \
         remote_config_max_bytes let it. Are these its agents? Then raise them; else, see who uploads to it"
    );
    Some(Problem { code: "remote-config-bound", key: "bound".to_owned(), text })
}

/// Which items they are changes from one round to the next.
fn unpublished_key(report: &ConfigReport) -> String {
    report.unpublished.first.first().map_or_else(String::new, |(item, why)| {
        let at = why.find(item.stem()).map_or(0, |at| at + item.stem().len());
        why[at..].to_owned()
    })
}

fn guarded(guard: GuardReason) -> String {
    format!(
        "{guard}: nothing is deleted at any site. Are the directories mounted, and whole? Bring back what is missing; if it \
         was meant to be deleted, 'tentacle-syncd config confirm-deletions' lets that through"
    )
}

/// How many there are, and the first of them; nothing where there are none.
fn named<T>(items: &Named<T>, name: impl Fn(&T) -> String) -> Option<String> {
    let names: Vec<String> = items.first.iter().map(name).collect();
    let more = if items.count > names.len() { ", …" } else { "" };
    (items.count > 0).then(|| format!("{} ({}{more})", items.count, names.join(", ")))
}

#[cfg(test)]
#[path = "site_config_tests.rs"]
mod tests;
