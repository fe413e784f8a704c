//! Those who are told what happens.

use super::Collector;
use super::site::{message, milliseconds};
use crate::collector::report::RoundReport;
use crate::control::{Amount, Answer, ErrorReason, Event, EventAnswer};
use crate::net::LocalId;

/// More of them would take the places of all other clients.
const MOST_WATCHERS: usize = 4;

impl Collector {
    /// This client is told what happens from now on.
    pub(super) fn watch(&mut self, client: LocalId) {
        if self.control.watchers.len() >= MOST_WATCHERS {
            let error = format!("{MOST_WATCHERS} clients are told what happens already: end one of them");
            return self.answer(client, &[Answer::error(ErrorReason::Later, &error)]);
        }
        self.control.watchers.push(client);
        let line = self.event_line(None, Event::Watching {});
        self.net.tell(client, line.as_bytes());
    }

    /// Tells those who watch what has happened to this site, or to the daemon.
    pub(in crate::collector::all_sites) fn tell_watchers(&mut self, key: Option<usize>, event: impl FnOnce() -> Event) {
        if self.control.watchers.is_empty() {
            return;
        }
        let line = self.event_line(key, event());
        for &client in &self.control.watchers {
            self.net.tell(client, line.as_bytes());
        }
    }

    /// Tells them that a round has ended; `was_failing`: the one before it has failed.
    pub(in crate::collector::all_sites) fn tell_round(&mut self, key: usize, was_failing: bool) {
        if self.control.watchers.is_empty() {
            return;
        }
        let Some(status) = self.statuses.get(&key) else { return };
        let Some((_, report)) = &status.last_round else { return };
        let event = of_round(report, status.failing.map_or(0, |(failures, _)| failures));
        let has_recovered = was_failing && !status.is_failing();
        self.tell_watchers(Some(key), || event);
        if has_recovered {
            self.tell_watchers(Some(key), || Event::Recovered {});
        }
    }

    fn event_line(&self, key: Option<usize>, event: Event) -> String {
        let site = key.and_then(|key| self.statuses.get(&key)).map(|status| status.name.to_string());
        Answer::Event(EventAnswer { time: self.net.date().as_secs(), site, event }).to_line()
    }
}

/// `failures`: of rounds, one after the other.
fn of_round(report: &RoundReport, failures: u64) -> Event {
    match &report.failure {
        Some(reason) => {
            Event::Failed { reason: reason.code().to_owned(), message: message(&reason.to_string()), failures }
        }
        None => Event::Round {
            collected: Amount { files: report.tally.collected as u64, bytes: report.tally.bytes },
            took_milliseconds: milliseconds(report.took),
        },
    }
}
