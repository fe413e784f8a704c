//! One connection, from its name to its last byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use std::vec;

use mio::net::TcpStream;

use super::readiness::Readiness;
use super::{Phase, Target};
use crate::tls::Pipe;

/// Names a connection; one that is gone is never mistaken for its successor in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    pub(super) fn new(slot: usize, generation: u32) -> Self {
        let slot = u32::try_from(slot).expect("connections are far fewer than 2^32");
        Self { slot, generation }
    }

    pub(super) fn slot(self) -> usize {
        self.slot as usize
    }

    pub(super) fn generation(self) -> u32 {
        self.generation
    }

    pub(super) fn token(self) -> mio::Token {
        mio::Token((self.generation as usize) << 32 | self.slot as usize)
    }

    pub(super) fn from_token(token: mio::Token) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves that token() put together")]
        Self { slot: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }
}

/// How far a connection is.
pub(super) enum Stage {
    /// The resolver has been asked.
    Resolving,
    /// TCP is under way to one address; the rest are still to be tried.
    Connecting { stream: TcpStream, address: SocketAddr, rest: vec::IntoIter<SocketAddr> },
    /// CONNECT has been asked; `request` is what of it is still to be written.
    Proxying { stream: TcpStream, request: Vec<u8>, answer: Vec<u8> },
    /// TLS.
    Securing { pipe: Pipe },
    /// The session's.
    Open { pipe: Pipe },
    /// The session has left: the last bytes go out, then the peer's end is awaited.
    Closing { pipe: Pipe },
    /// Has failed; only the slot is still to be freed.
    Failed,
}

impl Stage {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Resolving => Phase::Resolve,
            Self::Connecting { .. } => Phase::Connect,
            Self::Proxying { .. } => Phase::Proxy,
            Self::Securing { .. } => Phase::Handshake,
            Self::Open { .. } | Self::Closing { .. } | Self::Failed => Phase::Session,
        }
    }
}

pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) target: Arc<Target>,
    /// Whether our own certificate may be offered.
    pub(super) offer: bool,
    pub(super) stage: Stage,
    pub(super) readiness: Readiness,
    pub(super) deadline: Option<Instant>,
    /// Whether it stands in the queue of connections to be looked at.
    pub(super) queued: bool,
}
