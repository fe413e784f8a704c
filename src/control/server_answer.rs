//! What is answered of a server at a site.

use serde::{Deserialize, Serialize};

use super::{Amount, VERSION};

/// A `tentacle_server`. Times are in seconds before now, unless their name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAnswer {
    /// The program's version.
    pub program_version: String,
    /// Its process.
    pub pid: u32,
    /// When this was answered, in seconds since 1970.
    pub time: u64,
    /// Since its start.
    pub uptime_seconds: u64,
    /// When it was started, in seconds since 1970, by the clock as it was then.
    #[serde(default)]
    pub started: u64,
    /// Addresses and ports.
    pub listening: Vec<String>,
    /// Days until the first of its own certificates ends; negative once it has ended, unknown without TLS.
    pub certificate_days: Option<i64>,
    /// Those of clients.
    pub connections: ConnectionsAnswer,
    /// Connections that were closed before their first byte.
    pub turned_away: Vec<ReasonAnswer>,
    /// Commands that were refused.
    pub refused: Vec<ReasonAnswer>,
    /// Connections that ended otherwise than in good order; the reasons are those of the log, `reason=`.
    pub failed: Vec<ReasonAnswer>,
    /// Its storage directory; none where it relays.
    pub storage: Option<StorageAnswer>,
    /// The server that it relays to; none where it stores.
    pub relay: Option<RelayAnswer>,
    /// The longest that anything ready had to wait for the loop since the start, in microseconds.
    pub longest_loop_wait_microseconds: u64,
    /// The process's resident memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// What is wrong, the worst first.
    pub problems: Vec<ServerProblem>,
}

/// A server in an object: `--status --json`, and `/status.json` of the status port.
#[derive(Debug, Serialize)]
pub struct ServerReport<'a> {
    version: u32,
    server: &'a ServerAnswer,
}

impl<'a> ServerReport<'a> {
    /// What is known of it.
    pub fn new(server: &'a ServerAnswer) -> Self {
        Self { version: VERSION, server }
    }
}

/// Connections of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsAnswer {
    /// Those that are served.
    pub open: u64,
    /// Those that wait for a place.
    pub waiting: u64,
    /// The most that were there at once since the start, waiting or not.
    pub most: u64,
    /// How many have come since the start.
    pub accepted: u64,
    /// The most that are served at once, `max_connections`.
    pub max_connections: u64,
}

/// How often something happened for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonAnswer {
    /// In one word.
    pub reason: String,
    /// Since the start.
    pub count: u64,
    /// The last time.
    pub last_seconds: u64,
}

/// A storage directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageAnswer {
    /// Its path.
    pub directory: String,
    /// Files in it that a collector may take; unknown where they were not counted yet.
    pub waiting: Option<HeldAnswer>,
    /// Files in directories below it, such as agents' configuration, which stay there.
    pub below: Option<Amount>,
    /// When these were counted.
    pub counted_seconds: Option<u64>,
    /// For how long they have been being counted anew, if they are.
    pub counting_seconds: Option<u64>,
    /// Why they could not be counted the last time.
    pub count_error: Option<String>,
    /// How full it may become, and is.
    pub quota: QuotaAnswer,
    /// What is free on its filesystem, in bytes.
    pub free_bytes: Option<u64>,
    /// What that has in all.
    pub total_bytes: Option<u64>,
    /// Files that clients have sent since the start.
    pub stored: TransferAnswer,
    /// Files that clients have taken away since the start.
    pub collected: TransferAnswer,
    /// When a client was last given a listing.
    pub listed: Option<LastAnswer>,
    /// Whether clients may list and take away, `insecure`.
    pub is_collectable: bool,
}

/// Files that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAnswer {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The age of the oldest, since it was written; unknown where there is none.
    pub oldest_seconds: Option<u64>,
}

/// How full a storage directory may become; a limit that is none is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaAnswer {
    /// `max_spool_files`.
    pub max_files: Option<u64>,
    /// Files that count; unknown where neither files nor bytes are limited.
    pub used_files: Option<u64>,
    /// `max_spool_bytes`.
    pub max_bytes: Option<u64>,
    /// Their bytes, with those on their way in.
    pub used_bytes: Option<u64>,
    /// `min_free`, in bytes.
    pub min_free_bytes: Option<u64>,
}

/// What clients have sent, or taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferAnswer {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The last of them; none since the start where there is none.
    pub last: Option<LastAnswer>,
}

/// The last time of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// When.
    pub seconds: u64,
    /// The client's address.
    pub client: String,
}

/// A server that is relayed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAnswer {
    /// Its address and port.
    pub address: String,
    /// When a connection to it was last opened; none was since the start where there is none.
    pub reached_seconds: Option<u64>,
    /// What went wrong with it last.
    pub failure: Option<RelayFailure>,
}

/// What went wrong with the server that is relayed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayFailure {
    /// When.
    pub seconds: u64,
    /// In words.
    pub message: String,
    /// How often anything has since the start.
    pub failures: u64,
}

/// Something that is wrong with a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerProblem {
    /// In one word.
    pub reason: String,
    /// In words, with what to do.
    pub message: String,
}
