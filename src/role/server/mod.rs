//! `tentacle_server`: the buffer of an isolated network.
//!
//! [`Service`] puts the loop, the sessions and the storage together; `program` is the process around it: the command
//! line, privileges, the background, signals.
//!
//! ```text
//!  Net ──Accepted──► Admission: who, how many, whose turn ──Opened──► Session (a directory) ──► Storage ──► worker's thread
//!                                                               └───► Relay   (another server)
//! ```

mod admission;
mod claims;
mod guesses;
#[cfg(any(test, feature = "demo"))]
mod in_process;
mod listings;
mod paces;
mod ports;
mod process;
mod program;
mod reason;
mod relay;
mod service;
mod session;
mod storage;
#[cfg(test)]
pub(in crate::role) mod test_server;
mod throttled_log;
mod waiting_room;

#[cfg(any(test, feature = "demo"))]
pub use in_process::InProcessServer;
pub use program::main;
pub use reason::Reason;
pub use service::{Bound, Service, StartError, StopHandle, check_storage, check_tls};
