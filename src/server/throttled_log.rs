//! Log lines that clients can cause, each once in a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::guesses::network;
use crate::obs::{LogThrottle, repeated};

/// Subjects that are counted apart; all further ones count as one, until others are old enough to be forgotten.
const MOST_SUBJECTS: usize = 1024;

/// How long no file must have failed to be stored: where a large file finds no room, a small one may.
const QUIET: Duration = Duration::from_secs(60);

/// The subject of a line: a client, or a part of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A client; all of its network where that has IPv6.
    Client(IpAddr),
    /// Storing files.
    Storage,
    /// Reading stored files.
    Reading,
    /// The listening sockets.
    Listener,
    /// Clients beyond those that are counted apart.
    Others,
}

/// What was logged of each subject.
#[derive(Debug, Default)]
pub(super) struct ThrottledLog(HashMap<Subject, LogThrottle>);

impl ThrottledLog {
    /// Warns of a failure, unless it was logged of this subject a short while ago. `key` identifies the failure; `text`
    /// may hold more: names, sizes and excerpts, which a client can vary without limit.
    pub(super) fn warn(&mut self, subject: Subject, key: &str, text: &str, now: Instant) {
        match self.throttle(subject, now).failed(key, now) {
            None => log::debug!("{text}"),
            Some(0) => log::warn!("{text}"),
            Some(suppressed) => log::warn!("{text};{}", repeated(suppressed)),
        }
    }

    /// A file was stored. Logs that files can be stored again where some could not be until a while ago: as a warning, so
    /// that whoever reads of the failure reads of its end.
    pub(super) fn stored(&mut self, now: Instant) {
        let storage = self.0.get_mut(&Subject::Storage);
        if let Some(recovery) = storage.and_then(|storage| storage.recovered_for(QUIET, now)) {
            log::warn!("storing files {recovery}");
        }
    }

    fn throttle(&mut self, subject: Subject, now: Instant) -> &mut LogThrottle {
        let subject = if let Subject::Client(client) = subject { Subject::Client(network(client)) } else { subject };
        if self.0.len() >= MOST_SUBJECTS && !self.0.contains_key(&subject) {
            self.0.retain(|_, throttle| !throttle.is_old(now));
        }
        let is_known = self.0.len() < MOST_SUBJECTS || self.0.contains_key(&subject);
        self.0.entry(if is_known { subject } else { Subject::Others }).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn an_ipv6_network_is_one_client_and_clients_are_told_apart_up_to_a_number() {
        let (mut log, now) = (ThrottledLog::default(), Instant::now());
        let mut fails = |client: String| {
            let client = Subject::Client(client.parse().unwrap());
            log.throttle(client, now).failed("refused", now).is_some()
        };
        assert_eq!((1..=1_024).filter(|host| fails(format!("2001:db8::{host:x}"))).count(), 1);
        assert!(fails("2001:db8:0:1::1".to_owned()));
        let written = (0..4_096).filter(|host| fails(format!("10.0.{}.{}", host / 256, host % 256))).count();
        assert_eq!(written, MOST_SUBJECTS - 2 + 1);
    }
}
