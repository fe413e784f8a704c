//! Defaults; the first five are stock's.

use std::time::Duration;

/// Connections at once; further ones wait to be accepted.
pub const MAX_CONNECTIONS: usize = 10;
/// The largest body, in bytes.
pub const MAX_SIZE: u64 = 2_000_000;
/// How often a wait of [`TIMEOUT`] is repeated before the client is given up.
pub const RETRIES: u32 = 3;
/// One wait for the network.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// TCP port of a Tentacle server, ours and the one relayed to.
pub const PORT: u16 = crate::config::defaults::PORT;
/// The rights that files are not created with: those of other users.
pub const UMASK: u32 = 0o007;
/// The slowest a body may come, in bytes per second.
pub const BODY_MIN_RATE: u64 = 64;
/// How many times its archive's size a `ZSEND` file may have.
pub const UNZIP_RATIO: u64 = 200;
/// The largest file that may come out of a `ZSEND` archive, in bytes, unless bodies may be larger.
pub const UNZIP_MAX: u64 = 64 * 1024 * 1024;
/// The rights of the control socket.
pub const CONTROL_MODE: u32 = 0o660;
