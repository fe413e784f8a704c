//! What is asked on the control socket.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};
use std::{io, process};

use super::{Backend, Service};
use crate::control::{
    Amount, Answer, Command, ConnectionsAnswer, ErrorReason, HeldAnswer, QuotaAnswer, RelayAnswer, Request,
    ServerAnswer, StorageAnswer,
};
use crate::memory::resident;
use crate::net::{LocalEvent, LocalId, Target};
use crate::proto::printable;
use crate::server::problems::problems;
use crate::server::status::{Last, seconds};
use crate::server::storage::Storage;
use crate::store::{Held, Usage};
use crate::tls::{UnixTime, days_between};

/// How long an answer waits for what is stored to be counted: in a very large directory, or one that does not answer, it has
/// what is known.
pub(super) const LONGEST_COUNT: Duration = Duration::from_secs(2);

/// Clients that wait for what is stored to be counted.
#[derive(Debug, Default)]
pub(super) struct ControlClients(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    client: LocalId,
    asked: Instant,
}

impl Waiting {
    fn deadline(&self) -> Instant {
        self.asked + LONGEST_COUNT
    }
}

impl ControlClients {
    /// When one has waited for long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.iter().map(Waiting::deadline).min()
    }
}

impl Service {
    /// Answers those who come to this control socket from now on.
    pub fn listen_locally(&mut self, listener: UnixListener) -> io::Result<()> {
        self.net.listen_locally(listener)
    }

    pub(super) fn asked_locally(&mut self, event: LocalEvent) {
        match event {
            LocalEvent::Asked(client, line) => self.asked(client, &line),
            LocalEvent::Drained(_) => {}
            LocalEvent::Left(client) => self.control.0.retain(|waiting| waiting.client != client),
        }
    }

    fn asked(&mut self, client: LocalId, line: &[u8]) {
        let refused = |why: &dyn ToString| Answer::error(ErrorReason::Request, &why.to_string());
        match Request::parse(line) {
            Err(error) => self.answer(client, &refused(&error)),
            Ok(Command::Status { sites }) if sites.is_empty() => self.tell_status(client),
            Ok(Command::Status { .. }) => {
                self.answer(client, &refused(&"a tentacle_server has no sites: leave them out"));
            }
            Ok(_) => self.answer(client, &refused(&"a tentacle_server can be asked for its status alone")),
        }
    }

    fn answer(&mut self, client: LocalId, answer: &Answer) {
        let mut text = answer.to_line();
        if !matches!(answer, Answer::Error { .. }) {
            text += &Answer::End {}.to_line();
        }
        self.net.answer(client, text.as_bytes());
        self.net.finish_answer(client);
    }

    /// At once where what is stored was counted lately, else once it is.
    fn tell_status(&mut self, client: LocalId) {
        let now = self.net.now();
        match &mut self.backend {
            Backend::Storage(storage, _) if !storage.has_fresh_count(now) => {
                storage.count(now);
                self.control.0.push(Waiting { client, asked: now });
            }
            _ => {
                let answer = Answer::Server(Box::new(self.status_answer()));
                self.answer(client, &answer);
            }
        }
    }

    /// Answers those who have waited for a count that is made, or for long.
    pub(super) fn answer_waiting(&mut self) {
        let now = self.net.now();
        let Backend::Storage(storage, _) = &self.backend else { return };
        let is_fresh = !self.control.0.is_empty() && storage.has_fresh_count(now);
        let is_due = |waiting: &mut Waiting| is_fresh || waiting.deadline() <= now;
        let due: Vec<Waiting> = self.control.0.extract_if(.., is_due).collect();
        if !due.is_empty() {
            let answer = Answer::Server(Box::new(self.status_answer()));
            for Waiting { client, .. } in due {
                self.answer(client, &answer);
            }
        }
    }

    /// What is known of this server.
    pub fn status_answer(&self) -> ServerAnswer {
        let (now, status) = (self.net.now(), &self.status);
        let (storage, relay) = match &self.backend {
            Backend::Storage(storage, _) => (Some(self.storage_answer(storage, now)), None),
            Backend::Relay(target) => (None, Some(self.relay_answer(target, now))),
        };
        let mut answer = ServerAnswer {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            time: UnixTime::now().as_secs(),
            uptime_seconds: seconds(status.since, now),
            started: status.started.as_secs(),
            listening: self.addresses.iter().map(ToString::to_string).collect(),
            certificate_days: self.certificate_end.map(|end| days_between(UnixTime::now(), end)),
            connections: ConnectionsAnswer {
                open: self.admission.inside() as u64,
                waiting: self.admission.waiting() as u64,
                most: status.most as u64,
                accepted: status.accepted,
                max_connections: self.limits.max_connections as u64,
            },
            turned_away: status.turned_away.answer(now),
            refused: status.refused.answer(now),
            failed: status.failed.answer(now),
            storage,
            relay,
            longest_loop_wait_microseconds: u64::try_from(self.net.max_loop_latency().as_micros()).unwrap_or(u64::MAX),
            memory_bytes: resident(),
            problems: Vec::new(),
        };
        answer.problems = problems(&answer);
        answer
    }

    fn storage_answer(&self, storage: &Storage, now: Instant) -> StorageAnswer {
        let (status, settings, count) = (&self.status, storage.settings(), storage.last_count());
        let held = count.as_ref().and_then(|count| count.found.as_ref().ok());
        let disk = count.as_ref().and_then(|count| count.disk);
        StorageAnswer {
            directory: settings.directory.to_string_lossy().into_owned(),
            waiting: held.map(|held| waiting(held, UnixTime::now())),
            below: held.map(|held| held.below.into()),
            counted_seconds: held.and(count.as_ref()).map(|count| seconds(count.began, now)),
            counting_seconds: storage.counting_since().map(|since| seconds(since, now)),
            count_error: count.as_ref().and_then(|count| count.found.as_ref().err()).map(|error| printable(error)),
            quota: quota(storage),
            free_bytes: disk.map(|(free, _)| free),
            total_bytes: disk.map(|(_, total)| total),
            stored: status.stored.answer(now),
            collected: status.collected.answer(now),
            listed: status.listed.map(|listed: Last| listed.answer(now)),
            is_collectable: settings.insecure,
        }
    }

    fn relay_answer(&self, target: &Target, now: Instant) -> RelayAnswer {
        RelayAnswer {
            address: format!("{}:{}", target.host, target.port),
            reached_seconds: self.status.reached.map(|at| seconds(at, now)),
            failure: self.status.upstream_failure(now),
        }
    }
}

fn waiting(held: &Held, date: UnixTime) -> HeldAnswer {
    let Usage { files, bytes } = held.here;
    let now = i64::try_from(date.as_secs()).unwrap_or(i64::MAX);
    // What was written in the future, as clocks are set, is new.
    let age = |written: i64| u64::try_from(now.saturating_sub(written)).unwrap_or(0);
    HeldAnswer { files, bytes, oldest_seconds: held.oldest.map(age) }
}

fn quota(storage: &Storage) -> QuotaAnswer {
    let in_use = storage.quota_use();
    let used = in_use.quota.is_of_count().then_some(in_use.used);
    QuotaAnswer {
        max_files: in_use.quota.max_files,
        used_files: used.map(|used| used.files),
        max_bytes: in_use.quota.max_bytes,
        used_bytes: used.map(|used| used.bytes),
        min_free_bytes: in_use.quota.min_free,
    }
}

impl From<Usage> for Amount {
    fn from(Usage { files, bytes }: Usage) -> Self {
        Self { files, bytes }
    }
}
