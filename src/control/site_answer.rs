//! What is answered of one site.

use serde::{Deserialize, Serialize};

use super::{Amount, BandwidthAnswer};

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
    /// How long it had no round that went well: since the last one, or since the daemon knows it.
    #[serde(default)]
    pub quiet_seconds: u64,
    /// From the start of one round to the start of the next.
    #[serde(default)]
    pub interval_seconds: u64,
    /// What is wrong: why its last round has failed, or why files stay at the site.
    pub problem: Option<ProblemAnswer>,
    /// What its last listing showed to be waiting there; unknown before the first.
    pub waiting: Option<Listed>,
    /// What was collected since the daemon's start, or since it was added.
    pub collected: Amount,
    /// What of it is here, and not published yet or not taken by the data server.
    pub here: Amount,
    /// How fast it was collected, over the last 1, 15 and 60 minutes.
    #[serde(default)]
    pub rates: [RateAnswer; 3],
    /// How long what waits there takes to come, at the first of these rates that is not 0; unknown where all are.
    #[serde(default)]
    pub drain_seconds: Option<u64>,
    /// Its last round.
    #[serde(default)]
    pub last_round: Option<RoundAnswer>,
    /// The limit on its bandwidth.
    #[serde(default)]
    pub bwlimit: BandwidthAnswer,
    /// Connections that collect from it or stay open for its next round.
    pub connections: u64,
    /// What its server understands.
    #[serde(default)]
    pub protocol: ProtocolAnswer,
    /// `none`, `TLS 1.2` or `TLS 1.3`; unknown before the first connection.
    #[serde(default)]
    pub encryption: Option<String>,
    /// How far the clock of the site's machine is from ours; unknown where its server does not tell, as stock's does not.
    #[serde(default)]
    pub clock: Option<ClockAnswer>,
    /// What of the centre's configuration waits to be sent to it; none where its configuration is not kept the same.
    #[serde(default)]
    pub configuration: Option<ConfigurationAnswer>,
    /// Days until the certificate ends that the site has shown; negative once it has ended.
    #[serde(default)]
    pub site_certificate_days: Option<i64>,
    /// Days until ours ends that is shown to the site.
    #[serde(default)]
    pub own_certificate_days: Option<i64>,
    /// Files of its last listing that are left there, and why: at most 100.
    #[serde(default)]
    pub not_taken: Vec<NotTakenAnswer>,
    /// Whether there are more of those.
    #[serde(default)]
    pub not_taken_has_more: bool,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Files to be collected, without those that were collected since.
    pub files: u64,
    /// Their bytes; unknown where the server lists no sizes, as stock does not.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The age of the oldest of those listed; unknown where none has a time.
    pub oldest_seconds: Option<u64>,
    /// Where the ages come from.
    #[serde(default)]
    pub age_source: AgeSourceAnswer,
    /// How many of those listed were how old then.
    #[serde(default)]
    pub ages: [AgeClass; 7],
    /// Those of them whose age is unknown.
    #[serde(default)]
    pub ages_unknown: u64,
    /// When it came.
    pub listed_seconds: u64,
}

/// Files of some ages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgeClass {
    /// The highest; none in the last class.
    pub up_to_seconds: Option<u64>,
    /// How many.
    pub files: u64,
}

/// Where ages come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeSourceAnswer {
    /// The times in the files' names, by the agents' clocks: an estimate.
    #[default]
    Names,
    /// When the site's server has written them, by its clock.
    Written,
    /// One that a later daemon knows.
    #[serde(other)]
    Unknown,
}

/// How fast files were collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateAnswer {
    /// Over how long, where that has passed.
    pub minutes: u64,
    /// Over how long it is: less where the daemon has not run, or known the site, for so long; 0 is unknown.
    #[serde(default)]
    pub seconds: u64,
    /// Files.
    pub files_per_hour: u64,
    /// Their bytes.
    pub bytes_per_hour: u64,
}

impl RateAnswer {
    /// Whether it is over less time than it is to be.
    pub fn is_short(&self) -> bool {
        self.seconds > 0 && self.seconds < self.minutes.saturating_mul(60)
    }
}

/// How far a site's clock is from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnswer {
    /// More than 0 where the site's is ahead.
    pub ahead_milliseconds: i64,
    /// It may be so much more or less.
    pub uncertainty_milliseconds: u64,
    /// When that was seen.
    pub seen_seconds: u64,
}

impl ClockAnswer {
    /// How many milliseconds the two clocks are apart at least.
    pub fn least_milliseconds(&self) -> u64 {
        self.ahead_milliseconds.unsigned_abs().saturating_sub(self.uncertainty_milliseconds)
    }
}

/// What of the centre's configuration waits to be sent to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationAnswer {
    /// Configurations and collections of the centre that are others than those that the site was sent.
    pub waiting: u64,
    /// Since when the first of them waits, as far as the daemon has seen; none where none does.
    pub oldest_seconds: Option<u64>,
}

/// A round that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundAnswer {
    /// When.
    pub ended_seconds: u64,
    /// How long it took.
    pub took_milliseconds: u64,
    /// How long after it was due it began.
    pub late_milliseconds: u64,
}

/// What a site's server understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolAnswer {
    /// Stock's commands.
    Stock,
    /// The extension as well: it is ours.
    Extension,
    /// It was not asked, as `extension` is off, or not yet: stock's commands are used.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A file that is left at its site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotTakenAnswer {
    /// Its name, cut with a mark where it is long.
    pub name: String,
    /// Why.
    pub reason: String,
}
