//! What is answered.

use serde::{Deserialize, Serialize};

use super::{VERSION, to_json};

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Answer {
    /// The daemon.
    Daemon(DaemonAnswer),
    /// A site.
    Site(Box<SiteAnswer>),
    /// A reload has come to its end.
    Reloaded(ReloadAnswer),
    /// Something else was done.
    Done {
        /// With which site, where it was one.
        site: Option<String>,
        /// What, in words.
        text: String,
    },
    /// What was asked for was not done: the last line.
    Error {
        /// What is wrong.
        reason: ErrorReason,
        /// Why not: a line for each problem.
        problems: Vec<String>,
    },
    /// The answer is whole: the last line.
    End {},
    /// A line of a later daemon's.
    #[serde(other)]
    Unknown,
}

/// A line as it is written.
#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    #[serde(flatten)]
    answer: &'a Answer,
}

impl Answer {
    /// Why something was not done.
    pub fn error(reason: ErrorReason, problem: &(impl ToString + ?Sized)) -> Self {
        Self::Error { reason, problems: problem.to_string().lines().map(str::to_owned).collect() }
    }

    /// As a line, with its end.
    pub fn to_line(&self) -> String {
        to_json(&Line { version: VERSION, answer: self }) + "\n"
    }

    /// Reads a line.
    ///
    /// # Errors
    /// It is no answer.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// Why something was not done, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorReason {
    /// The request is none.
    Request,
    /// It is about something that is not there.
    Name,
    /// The configuration cannot be used.
    Configuration,
    /// It cannot be done now.
    Later,
    /// One that a later daemon knows.
    #[serde(other)]
    Unknown,
}

/// Files, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The daemon as a whole. Times are in seconds unless their name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonAnswer {
    /// The program's version.
    pub program_version: String,
    /// Its process.
    pub pid: u32,
    /// When this was answered, since 1970.
    pub time: u64,
    /// Since its start.
    pub uptime_seconds: u64,
    /// Sites that it collects from, or would.
    pub sites: u64,
    /// Those of them whose last round has failed.
    pub failing: u64,
    /// Rounds under way.
    pub rounds: u64,
    /// Connections to sites, in any stage.
    pub connections: u64,
    /// The most of those, `max_connections`.
    pub max_connections: u64,
    /// The longest that anything ready had to wait for the loop since the start, in microseconds.
    pub longest_loop_wait_microseconds: u64,
    /// Files that are staged, and being made durable.
    pub committing: u64,
    /// What is safe here and not published yet.
    pub unpublished: Amount,
}

/// What a site is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteState {
    /// Its next round is not due.
    Waiting,
    /// A round has begun, and no connection stands.
    Connecting,
    /// A round is under way.
    Collecting,
    /// Its last round has failed; the next one is not due.
    BackingOff,
    /// Its round is due, and waits: for the data server to take some of its files, or for a round of another site that is
    /// the same server.
    HeldUp,
    /// No more rounds begin until it is resumed.
    Paused,
    /// Something of it cannot be opened, as its certificate; it is tried again.
    Unusable,
    /// It is no more in the configuration, and its last round is under way.
    Leaving,
    /// One that a later daemon knows.
    #[serde(other)]
    Unknown,
}

/// One site. Times are in seconds before now, unless their name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteAnswer {
    /// Its name.
    pub name: String,
    /// Its address and port.
    pub address: String,
    /// What it is at.
    pub state: SiteState,
    /// Since when.
    pub state_seconds: u64,
    /// Whether its last round has failed.
    pub is_failing: bool,
    /// When its last round that went well has ended; none has since the daemon's start where there is none.
    pub last_success_seconds: Option<u64>,
    /// What is wrong: why its last round has failed, or why files stay at the site.
    pub problem: Option<ProblemAnswer>,
    /// What its last listing showed to be waiting there; unknown before the first.
    pub waiting: Option<Listed>,
    /// What was collected since the daemon's start, or since it was added.
    pub collected: Amount,
    /// What of it is here, and not published yet or not taken by the data server.
    pub here: Amount,
    /// Connections that collect from it or stay open for its next round.
    pub connections: u64,
    /// When its next round is due, in seconds from now; unknown while a round is under way, it is held up or paused.
    pub next_round_seconds: Option<u64>,
}

/// What is wrong with a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemAnswer {
    /// In one word, as in the log: `reason=`.
    pub reason: String,
    /// In words, with what to do.
    pub message: String,
    /// Rounds that have ended so one after the other; 0 where none has failed.
    pub failures: u64,
    /// When the first of these has ended.
    pub since_seconds: u64,
}

/// What a listing showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Files to be collected, without those that were collected since.
    pub files: u64,
    /// The age of the oldest of those listed, by the times in their names: an estimate, as the clocks there may be wrong, and
    /// unknown where no name has a time.
    pub oldest_seconds: Option<u64>,
    /// When it came.
    pub listed_seconds: u64,
}

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// Sites in the configuration that are enabled.
    pub sites: u64,
    /// Those of them that were not collected from before.
    pub added: Vec<String>,
    /// Those whose settings or certificates are others now.
    pub changed: Vec<String>,
    /// Sites that are not collected from any more.
    pub removed: Vec<String>,
    /// Sites whose settings or certificates cannot be used: they go on as before, or stay left out.
    pub unusable: Vec<String>,
    /// Why not, a line for each.
    pub problems: Vec<String>,
    /// Keys that differ from those of the start, and stay as they were until a restart.
    pub after_restart: Vec<String>,
    /// What is dangerous in the configuration, or was understood though it was not written as it should be.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back_and_those_of_later_daemons_passed_over() {
        let reloaded = ReloadAnswer { sites: 3, added: vec!["a\nb".to_owned()], ..ReloadAnswer::default() };
        for answer in [
            Answer::Reloaded(reloaded),
            Answer::Done { site: Some("a".to_owned()), text: "paused".to_owned() },
            Answer::error(ErrorReason::Name, "one\ntwo"),
            Answer::End {},
        ] {
            let line = answer.to_line();
            assert!(
                line.starts_with("{\"version\":1,\"type\":\"") && line.find('\n') == Some(line.len() - 1),
                "{line}"
            );
            assert_eq!(Answer::parse(line.as_bytes()).unwrap(), answer);
        }
        assert_eq!(Answer::parse(br#"{"version":1,"type":"weather","sun":true}"#).unwrap(), Answer::Unknown);
        let end = br#"{"version":1,"type":"end","news":1}"#;
        assert_eq!(Answer::parse(end).unwrap(), Answer::End {});
    }
}
