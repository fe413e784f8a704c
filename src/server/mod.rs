//! What `tentacle_server` does: the buffer of an isolated network.
//!
//! [`Service`] puts the loop, the sessions and the storage together; the process around it is [`crate::cli::server`]: the
//! command line, privileges, the background, signals.
//!
//! ```text
//!  Net ──Accepted──► Admission: who, how many, whose turn ──Opened──► Session (a directory) ──► Storage ──► worker's thread
//!                                                               └───► Relay   (another server)
//! ```

mod admission;
mod claims;
mod guesses;
mod http;
mod listings;
mod paces;
mod ports;
mod problems;
mod reason;
mod relay;
mod service;
mod session;
mod status;
mod storage;
#[cfg(test)]
pub(crate) mod test_server;
mod throttled_log;
mod waiting_room;

pub use reason::Reason;
pub use service::{Bound, Service, StartError, StopHandle, check_storage, check_tls};
