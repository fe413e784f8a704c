//! What holds where no file says otherwise.

use std::time::Duration;

use crate::store::{Durability, Publish, Waiting};
use crate::sync::Delivery;

/// TCP port of a Tentacle server.
pub const PORT: u16 = 41121;
/// From the start of one round to the start of the next.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// The longest wait for a connection, an answer, or the next bytes.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Quick retries after a failed round.
pub const RETRIES: u32 = 3;
/// Connections to one site at once.
pub const CONNECTIONS: usize = 2;
/// Names that are collected.
pub const INCLUDE: [&str; 1] = ["*.data"];
/// Names that are not, though they are included.
pub const EXCLUDE: [&str; 0] = [];
/// How a file leaves the site.
pub const DELIVERY: Delivery = Delivery::Safe;
/// Bytes.
pub const MAX_FILE_SIZE: u64 = 64 * 1024 * 1024;
/// Bytes per second.
pub const MIN_RATE: u64 = 64;
/// How long one round may go on taking new files.
pub const ROUND_LIMIT: Duration = Duration::from_secs(300);
/// How far the next round may be for a connection to stay open until then.
pub const KEEP_OPEN: Duration = Duration::from_secs(3);
/// Whether segments are acknowledged at once.
pub const QUICK_ACK: bool = true;
/// When a file counts as safe.
pub const DURABILITY: Durability = Durability::Fsync;
/// When a file that is safe is shown to the data server.
pub const PUBLISH: Publish = Publish::Paced;
/// What may wait here for its publication.
pub const MAX_SPOOL: Waiting = Waiting { files: 200_000, bytes: 2 << 30 };
/// Connections to all sites at once.
pub const MAX_CONNECTIONS: usize = 1024;
/// How long a stop may take.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the data server looks for agents' files.
pub const INCOMING_DIR: &str = "/var/spool/pandora/data_in";
/// Where the system keeps our state.
pub const STATE_DIR: &str = "/var/lib/tentacle-sync";
