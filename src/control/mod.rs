//! The control socket's protocol: what a running `tentacle-syncd` or `tentacle_server` can be asked, and what it answers.
//! Pure: bytes in, bytes out.
//!
//! A client connects to the socket, writes one line of JSON, and reads lines of JSON until the program closes the
//! connection:
//!
//! ```text
//! {"version":1,"command":{"status":{"sites":["plant-7"]}}}
//!
//! {"version":1,"type":"daemon","uptime_seconds":3600,…}
//! {"version":1,"type":"site","name":"plant-7","state":"backing-off",…}
//! {"version":1,"type":"end"}
//! ```
//!
//! The commands are those of [`Command`], the lines of an answer those of [`Answer`]. The last one is `end` or `error`; an
//! answer without it is not whole. Of the commands, `tentacle_server` knows `status`, without sites, and answers with one
//! `server`. A program of another [`VERSION`] answers with an error; within a version, lines may
//! get more keys, and answers more types, which clients pass over.
//!
//! Bounds: a request has at most [`LARGEST_REQUEST`] bytes. A program holds little more than 64 KiB of an answer at a time,
//! and makes the rest when that is read.

mod answer;
mod event;
mod exchange;
mod json;
mod request;
mod server_answer;
mod site_answer;

pub use answer::{
    Amount, Answer, BandwidthAnswer, CommitsAnswer, DaemonAnswer, DiskAnswer, ErrorReason, ReloadAnswer, StatusReport,
};
pub use event::{Event, EventAnswer};
pub(crate) use exchange::{Exchange, Next};
pub use json::to_json;
pub use request::{Command, ItemsToAssign, Request, RequestError};
pub use server_answer::{
    ConnectionsAnswer, HeldAnswer, LastAnswer, QuotaAnswer, ReasonAnswer, RelayAnswer, RelayFailure, ServerAnswer,
    ServerProblem, ServerReport, StorageAnswer, TransferAnswer,
};
pub use site_answer::{
    AgeClass, AgeSourceAnswer, ClockAnswer, ConfigurationAnswer, Listed, NotTakenAnswer, ProblemAnswer, ProtocolAnswer,
    RateAnswer, RoundAnswer, SiteAnswer, SiteState,
};

/// The protocol's version.
pub const VERSION: u32 = 1;

/// The longest request, in bytes.
pub const LARGEST_REQUEST: usize = 64 * 1024;

/// An answer is written in pieces of about this many bytes.
pub(crate) const PIECE: usize = 64 * 1024;
