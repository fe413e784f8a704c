//! What happens, as those who watch are told.

use serde::{Deserialize, Serialize};

use super::Amount;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAnswer {
    /// When, in seconds since 1970.
    pub time: u64,
    /// To which site; none where it concerns the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The daemon tells what happens from now on.
    Watching {},
    /// A round has gone well.
    Round {
        /// What was collected.
        collected: Amount,
        /// How long it took.
        took_milliseconds: u64,
    },
    /// A round has failed.
    Failed {
        /// In one word, as in the log: `reason=`.
        reason: String,
        /// In words, with what to do.
        message: String,
        /// Rounds that have failed one after the other.
        failures: u64,
    },
    /// A round has gone well, and the one before it has failed: it follows its `round`.
    Recovered {},
    /// No more rounds of the site begin.
    Paused {},
    /// They do again.
    Resumed {},
    /// The configuration was read again.
    Reloaded {
        /// Sites in it that are enabled.
        sites: u64,
    },
    /// It was read again, and cannot be used.
    NotReloaded {
        /// Why not, a line for each problem.
        problems: Vec<String>,
    },
    /// One that a later daemon knows.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Answer;

    #[test]
    fn events_are_read_back_and_those_of_later_daemons_passed_over() {
        let events = [
            Event::Watching {},
            Event::Round { collected: Amount { files: 2, bytes: 3 }, took_milliseconds: 4 },
            Event::Failed { reason: "connect".to_owned(), message: "a\u{1b}b".to_owned(), failures: 5 },
            Event::Recovered {},
            Event::NotReloaded { problems: vec!["no site".to_owned()] },
        ];
        for (event, site) in events.into_iter().zip([None, Some("a"), Some("b"), Some("c"), None]) {
            let answer = Answer::Event(EventAnswer { time: 1, site: site.map(str::to_owned), event });
            let line = answer.to_line();
            assert!(line.starts_with("{\"version\":1,\"type\":\"event\",\"time\":1,"), "{line}");
            assert_eq!(Answer::parse(line.as_bytes()).unwrap(), answer);
        }
        let later = br#"{"version":1,"type":"event","time":1,"event":"weather","sun":true}"#;
        let Ok(Answer::Event(EventAnswer { event, .. })) = Answer::parse(later) else { panic!("it is an event") };
        assert_eq!(event, Event::Unknown);
    }
}
