//! What somebody has to see to about a site's configuration, and what is logged of its rounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::site_config::ConfigEnd;
use crate::collector::Reason;
use crate::obs::{LogThrottle, repeated};
use crate::proto::Quoted;
use crate::sync::remote_config::{ConfigReport, GuardReason, Item, Named};

/// What has waited for so long is no change under way.
const WAITING_FOR: Duration = Duration::from_secs(300);

/// What was not seen to wait for so long may be well by now.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1_800);

/// Items that a log line names.
const NAMED: usize = 5;

/// Items that the site has in a way that nothing can be done about.
#[derive(Default)]
pub(super) struct Waiting(BTreeMap<Item, Waited>);

/// From when to when an item was seen to wait.
struct Waited {
    since: Instant,
    last: Instant,
}

impl Waiting {
    /// These wait now; if that was a whole round, no others do. Those that are not heard of for long are forgotten.
    pub(super) fn saw(&mut self, items: &[Item], is_all: bool, now: Instant) {
        for item in items {
            self.0.entry(item.clone()).or_insert(Waited { since: now, last: now }).last = now;
        }
        let forgotten_after = if is_all { Duration::ZERO } else { FORGOTTEN_AFTER };
        self.0.retain(|_, waited| now.saturating_duration_since(waited.last) <= forgotten_after);
    }

    pub(super) fn problem(&self, now: Instant) -> Option<Problem> {
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
pub(super) fn log_done(site: &str, report: &ConfigReport, took: Duration) {
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
pub(super) fn log_problem(
    site: &str,
    problem: Option<Problem>,
    end: &ConfigEnd,
    throttle: &mut LogThrottle,
    now: Instant,
) {
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
pub(super) struct Problem {
    code: &'static str,
    /// What it is, whichever items it is about: it is not logged each time.
    key: String,
    text: String,
}

impl Problem {
    fn new(code: &'static str, text: String) -> Self {
        Self { code, key: text.clone(), text }
    }

    pub(super) fn of(reason: &Reason) -> Self {
        Self { code: reason.code(), key: reason.log_key(), text: reason.to_string() }
    }
}

/// What somebody has to see to, worst first.
pub(super) fn problem(report: &ConfigReport) -> Option<Problem> {
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
#[path = "problems_tests.rs"]
mod tests;
