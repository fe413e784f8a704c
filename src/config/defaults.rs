//! Defaults that are needed elsewhere than where keys are read.

use std::time::Duration;

/// TCP port of a Tentacle server.
pub const PORT: u16 = 41121;
/// How long a stop may take.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the data server looks for agents' files.
pub const INCOMING_DIR: &str = "/var/spool/pandora/data_in";
/// Where the system keeps our state.
pub const STATE_DIR: &str = "/var/lib/tentacle-sync";
