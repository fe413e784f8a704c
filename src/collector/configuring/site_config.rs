//! Where a site's configuration stands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::collector::Reason;
use crate::deadline::after;
use crate::net::ConnId;
use crate::obs::{LogThrottle, repeated};
use crate::proto::Quoted;
use crate::store::InStepFile;
use crate::sync::remote_config::{
    Centre, ConfigReport, ConfigRound, GuardReason, InStep, Item, ItemKind, Named, RoundPolicy,
};

/// How often what is in step is saved while a round goes on.
pub(super) const SAVED_EVERY: Duration = Duration::from_secs(3);

/// What a round is begun with, beside what is the site's own.
pub(in crate::collector) struct RoundStart {
    pub(in crate::collector) centre: Arc<Centre>,
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
    centre: Arc<Centre>,
    /// What was in step when it began.
    before: InStep,
    since: Instant,
    /// When what is in step was saved last.
    saved: Instant,
}

impl SiteConfig {
    pub(in crate::collector) fn new(file: InStepFile, now: Instant) -> Self {
        Self { file, state: ConfigState::Loading, due: now, log: LogThrottle::default() }
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
        is_due.then(|| {
            running.saved = now;
            running.round.in_step().clone()
        })
    }

    /// Begins a round, if none is under way.
    pub(in crate::collector) fn begin(&mut self, start: RoundStart) {
        let RoundStart { centre, policy, connection, now: since } = start;
        if let ConfigState::Waiting(in_step) = &mut self.state {
            let before = std::mem::take(in_step);
            let round = ConfigRound::new(Arc::clone(&centre), before.clone(), policy);
            self.state = ConfigState::Running(Box::new(ActiveConfigRound {
                round,
                connection,
                centre,
                before,
                since,
                saved: since,
            }));
        }
    }

    /// Ends the round, if one is under way; the next one may begin an `interval` after its start, or at once where it goes on
    /// with this one. What is in step now, if that is to be saved, and what the centre had when the round began.
    pub(in crate::collector) fn end(
        &mut self,
        site: &str,
        end: &ConfigEnd,
        interval: Duration,
        now: Instant,
    ) -> Option<(Option<InStep>, Arc<Centre>)> {
        let running = match std::mem::replace(&mut self.state, ConfigState::Loading) {
            ConfigState::Running(running) => running,
            other => {
                self.state = other;
                return None;
            }
        };
        let ActiveConfigRound { round, centre, before, since, saved, .. } = *running;
        let (in_step, report) = round.finished();
        log_report(site, &report, end, now.saturating_duration_since(since), &mut self.log, now);
        self.due = match end {
            ConfigEnd::Done | ConfigEnd::Failed(_) => after(since, interval).max(now),
            ConfigEnd::Exhausted | ConfigEnd::BrokenOff => now,
        };
        // What was saved on the way may be less.
        let changed = (in_step != before || saved > since).then(|| in_step.clone());
        self.state = ConfigState::Waiting(in_step);
        Some((changed, centre))
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
            let configurations = in_step.iter().filter_map(|(item, _)| after.items.get(item));
            configurations.into_iter().any(|item| item.collections.contains(collection))
        };
        let concerns =
            |item: &Item| in_step.get(item).is_some() || (item.kind() == ItemKind::Collection && is_asked_for(item));
        let is_concerned = changed.iter().any(concerns);
        if is_concerned {
            self.due = now;
        }
        is_concerned
    }
}

/// Logs what a round has come to: what was done at `info`; what it could not do now and then.
pub(super) fn log_report(
    site: &str,
    report: &ConfigReport,
    end: &ConfigEnd,
    took: Duration,
    throttle: &mut LogThrottle,
    now: Instant,
) {
    let site = Quoted::of_bytes(site.as_bytes());
    let counts = [
        ("pushed", named(&report.pushed, |pushed| pushed.item.to_string())),
        ("taken-up", named(&report.taken_up, ToString::to_string)),
        ("deleted", named(&report.deleted, ToString::to_string)),
    ];
    let done: Vec<String> =
        counts.iter().filter_map(|(what, names)| Some(format!("{what}={}", names.as_ref()?))).collect();
    if !done.is_empty() {
        info!("site={site} configuration: {} in-step={} ms={}", done.join(" "), report.in_step, took.as_millis());
    }
    let problem = match end {
        ConfigEnd::Failed(reason) => Some((reason.code(), reason.log_key(), reason.to_string())),
        _ => problem(report).map(|(code, text)| (code, text.clone(), text)),
    };
    match (problem, end) {
        (Some((code, key, text)), _) => {
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

/// What somebody has to see to, worst first.
fn problem(report: &ConfigReport) -> Option<(&'static str, String)> {
    if let Some(ended) = &report.ended {
        return Some(("remote-config-server", ended.to_string()));
    }
    if let Some(guard) = report.guard.filter(|_| report.withheld.count > 0) {
        return Some(("remote-config-guard", guarded(guard)));
    }
    if let Some(names) = named(&report.refused, |(item, refusal)| format!("{item}: {refusal}")) {
        return Some(("remote-config-refused", format!("the site does not take {names}")));
    }
    named(&report.unpublished, |(item, why)| format!("{item}: {why}"))
        .map(|names| ("remote-config-publish", format!("what the site has cannot be stored here: {names}")))
}

fn guarded(guard: GuardReason) -> String {
    format!(
        "{guard}: nothing is deleted at any site. Are the directories mounted, and whole? Bring back what is missing; what \
         was meant to be deleted is best deleted a few at a time"
    )
}

/// How many there are, and the first of them; nothing where there are none.
fn named<T>(items: &Named<T>, name: impl Fn(&T) -> String) -> Option<String> {
    let names: Vec<String> = items.first.iter().map(name).collect();
    let more = if items.count > names.len() { ", …" } else { "" };
    (items.count > 0).then(|| format!("{} ({}{more})", items.count, names.join(", ")))
}
