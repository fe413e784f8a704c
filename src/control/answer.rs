//! What is answered.

use serde::{Deserialize, Serialize};

use super::event::EventAnswer;
use super::server_answer::ServerAnswer;
use super::site_answer::{NotTakenAnswer, SiteAnswer};
use super::{VERSION, to_json};

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Answer {
    /// The daemon.
    Daemon(DaemonAnswer),
    /// A site.
    Site(Box<SiteAnswer>),
    /// Files that are left at a site.
    NotTaken {
        /// Its name.
        site: String,
        /// The files: at most 100.
        files: Vec<NotTakenAnswer>,
        /// Whether there are more.
        has_more: bool,
    },
    /// A server at a site.
    Server(Box<ServerAnswer>),
    /// Something has happened.
    Event(EventAnswer),
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

/// The daemon and sites in one object: `status --json`, and `/status.json` of the status port.
#[derive(Debug, Serialize)]
pub struct StatusReport<'a> {
    version: u32,
    daemon: &'a DaemonAnswer,
    sites: &'a [SiteAnswer],
}

impl<'a> StatusReport<'a> {
    /// What is known of the daemon and of these sites.
    pub fn new(daemon: &'a DaemonAnswer, sites: &'a [SiteAnswer]) -> Self {
        Self { version: VERSION, daemon, sites }
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

/// A limit on bandwidth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthAnswer {
    /// By the time of the week, as the configuration has it; empty where that is unknown.
    pub timetable: String,
    /// What is in force now; none where no limit is.
    pub bytes_per_second: Option<u64>,
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
    /// The limit on the bandwidth of all sites together.
    #[serde(default)]
    pub bwlimit: BandwidthAnswer,
    /// How long it took to make files durable.
    #[serde(default)]
    pub commits: CommitsAnswer,
    /// The process's resident memory, in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// The journal's size.
    #[serde(default)]
    pub journal_bytes: Option<u64>,
    /// The filesystems of the state directory and of incoming directories, each once.
    #[serde(default)]
    pub disks: Vec<DiskAnswer>,
}

/// How long it took to make files durable, which is done in groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsAnswer {
    /// Groups.
    pub groups: u64,
    /// Files in them.
    pub files: u64,
    /// Files in the last group.
    pub last_group_files: u64,
    /// How long that took.
    pub last_microseconds: u64,
    /// How long the slowest took.
    pub longest_microseconds: u64,
}

/// A filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskAnswer {
    /// A directory of ours on it.
    pub directory: String,
    /// What is free there; unknown where it does not answer.
    pub free_bytes: Option<u64>,
    /// What it has in all.
    pub total_bytes: Option<u64>,
}

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// What was read, in words: the configuration's file, and how many it includes.
    #[serde(default)]
    pub read_from: String,
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
