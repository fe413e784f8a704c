//! What is known of the daemon and its sites, as it is answered.

use std::process;
use std::time::{Duration, Instant};

use super::Collector;
use crate::collector::site::Site;
use crate::collector::status::{SeenWaiting, SiteStatus};
use crate::control::{Amount, DaemonAnswer, Listed, ProblemAnswer, SiteAnswer, SiteState};
use crate::proto::printable;
use crate::store::Waiting;

/// Of a message about a problem, an answer has at most so many characters.
const LONGEST_MESSAGE: usize = 1000;

impl Collector {
    pub(super) fn daemon_answer(&self) -> DaemonAnswer {
        let now = self.net.now();
        let sites: Vec<&SiteStatus> = self.statuses().collect();
        DaemonAnswer {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            time: self.net.date().as_secs(),
            uptime_seconds: seconds(self.started, now),
            sites: sites.len() as u64,
            failing: sites.iter().filter(|site| site.is_failing()).count() as u64,
            rounds: self.running as u64,
            connections: self.net.connections() as u64,
            max_connections: self.max_connections as u64,
            longest_loop_wait_microseconds: u64::try_from(self.net.max_loop_latency().as_micros()).unwrap_or(u64::MAX),
            committing: self.commit_queue.committing() as u64,
            unpublished: amount(self.commit_queue.unpublished()),
        }
    }

    pub(super) fn site_answer(&self, key: usize) -> Option<SiteAnswer> {
        let (now, status, site) = (self.net.now(), self.statuses.get(&key)?, self.sites[key].as_ref());
        let settings = site.map(|site| &site.settings).or_else(|| Some(self.unopened.get(&key)?.settings()))?;
        let (state, since) = self.state(key, status);
        let is_scheduled = matches!(state, SiteState::Waiting | SiteState::BackingOff | SiteState::Unusable);
        let due = self.schedule.due(key).filter(|_| is_scheduled);
        Some(SiteAnswer {
            name: status.name.to_string(),
            address: format!("{}:{}", settings.address, settings.port),
            state,
            state_seconds: seconds(since, now),
            is_failing: status.is_failing(),
            last_success_seconds: status.last_success.map(|at| seconds(at, now)),
            problem: status.problem(now),
            waiting: site.and_then(|site| site.waiting).map(|waiting| self.listed(waiting)),
            collected: Amount { files: status.files as u64, bytes: status.bytes },
            here: amount(self.commit_queue.here(&status.name)),
            connections: site.map_or(0, connections),
            next_round_seconds: due.map(|due| due.saturating_duration_since(now).as_secs()),
        })
    }

    /// What a site is at, and since when.
    fn state(&self, key: usize, status: &SiteStatus) -> (SiteState, Instant) {
        if let Some(paused) = status.paused {
            return (SiteState::Paused, paused);
        }
        let site = self.sites[key].as_ref();
        if let Some(running) = site.and_then(|site| site.running.as_ref()) {
            let stands = |id| self.sessions.get(id).is_some_and(|session| session.is_open());
            let state = match running.connections.iter().any(stands) || running.round.committing() > 0 {
                _ if site.is_some_and(Site::is_leaving) => SiteState::Leaving,
                true => SiteState::Collecting,
                false => SiteState::Connecting,
            };
            return (state, running.since);
        }
        if let Some(&held_up) = self.held_up.get(&key) {
            return (SiteState::HeldUp, held_up);
        }
        let ended = status.last_round.as_ref().map_or(status.since, |(at, _)| *at);
        match status.failing {
            Some((_, since)) if site.is_none() => (SiteState::Unusable, since),
            Some(_) => (SiteState::BackingOff, ended),
            None => (SiteState::Waiting, ended),
        }
    }

    fn listed(&self, SeenWaiting { files, oldest, at }: SeenWaiting) -> Listed {
        let date = Duration::from_secs(self.net.date().as_secs());
        Listed {
            files: files as u64,
            // What is measured in the future, as the clocks differ, is new.
            oldest_seconds: oldest.filter(|_| files > 0).map(|oldest| date.saturating_sub(oldest).as_secs()),
            listed_seconds: seconds(at, self.net.now()),
        }
    }
}

impl SiteStatus {
    fn problem(&self, now: Instant) -> Option<ProblemAnswer> {
        let (at, report) = self.last_round.as_ref()?;
        let (reason, message) = report.problem()?;
        let (failures, since) = self.failing.unwrap_or((0, *at));
        Some(ProblemAnswer {
            reason: reason.to_owned(),
            message: cut(&printable(&message)),
            failures,
            since_seconds: seconds(since, now),
        })
    }
}

/// Connections that collect from the site, or stay open for its next round.
fn connections(site: &Site) -> u64 {
    let running = site.running.as_ref().map_or(0, |running| running.connections.len());
    (running + usize::from(site.parked.is_some())) as u64
}

fn amount(Waiting { files, bytes }: Waiting) -> Amount {
    Amount { files: files as u64, bytes }
}

fn seconds(since: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(since).as_secs()
}

/// A message as far as an answer has it, with a mark where it goes on.
fn cut(message: &str) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
