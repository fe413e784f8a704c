//! The control socket of a program that runs: making it, and asking it.

mod client;
mod socket;

use std::fmt;

pub(super) use self::client::{ControlClient, ControlError};
pub(super) use self::socket::{Access, ControlSocket, SocketEnv, place, place_of_server, places, serve};

/// A program that serves a control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// `tentacle-syncd`.
    Syncd,
    /// `tentacle_server`.
    Server,
}

impl Program {
    /// Where the system keeps what lives as long as it does: what its unit names as `RuntimeDirectory=`.
    fn runtime_dir(self) -> &'static str {
        match self {
            Self::Syncd => "/run/tentacle-sync",
            Self::Server => "/run/tentacle_server",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syncd => "tentacle-syncd",
            Self::Server => "tentacle_server",
        })
    }
}
