//! Why a connection ended.

use std::path::PathBuf;

use crate::net::Failure;
use crate::proto::server::{Ending, Misuse};
use crate::store::StoreError;

/// Why a client's connection ended otherwise than in good order.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// What the client said, or did not.
    #[error("{0}")]
    Session(#[from] Ending),
    /// The connection itself.
    #[error("{0}")]
    Connection(#[from] Failure),
    /// The filters lead to a directory that is not there: stock closes there, too.
    #[error("{0}, or change the filters (-i)")]
    NoDirectory(StoreError),
    /// Another program made the file shorter while it was being sent.
    #[error("{}: became shorter while it was being sent", .0.display())]
    Shortened(PathBuf),
    /// Nothing came for too long, or too little.
    #[error("{awaited} did not come in time (idle_timeout, body_min_rate)")]
    TooSlow {
        /// What the client owed us.
        awaited: String,
    },
    /// The server to relay to cannot be reached or has failed.
    #[error("the server that is relayed to: {0}")]
    Upstream(Failure),
    /// A defect of this program.
    #[error("{0}")]
    Defect(#[from] Misuse),
}

impl Reason {
    /// One word for logs: `reason=…`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Session(ending) => ending.reason(),
            Self::Connection(failure) => failure.reason(),
            Self::NoDirectory(_) => "directory",
            Self::Shortened(_) => "shortened",
            Self::TooSlow { .. } => "timeout",
            Self::Upstream(_) => "upstream",
            Self::Defect(_) => "defect",
        }
    }
}
