//! One connection, from its name to its last byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use mio::net::TcpStream;

use super::readiness::Readiness;
use super::{Compression, Failure, ListenerConfig, Phase, Target};
use crate::tls::Stream;

/// Names a connection; one that is gone is never mistaken for its successor in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    pub(crate) fn new(slot: usize, generation: u32) -> Self {
        let slot = u32::try_from(slot).expect("connections are far fewer than 2^32");
        Self { slot, generation }
    }

    pub(super) fn slot(self) -> usize {
        self.slot as usize
    }

    pub(super) fn generation(self) -> u32 {
        self.generation
    }

    /// As a number, from which [`ConnId::from_bits`] makes it again.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves that to_bits() put together")]
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }

    pub(super) fn token(self) -> mio::Token {
        mio::Token(usize::try_from(self.to_bits()).expect("tokens have 64 bits"))
    }

    pub(super) fn from_token(token: mio::Token) -> Self {
        Self::from_bits(token.0 as u64)
    }
}

/// How far a connection is.
pub(super) enum ConnState {
    /// The resolver has been asked.
    Resolving,
    /// TCP is under way to one address; the rest are still to be tried.
    Connecting { tcp: TcpStream, address: SocketAddr, rest: vec::IntoIter<SocketAddr> },
    /// CONNECT has been asked; `request` is what of it is still to be written.
    Proxying { tcp: TcpStream, request: Vec<u8>, answer: Vec<u8> },
    /// It has come in; the loop's user has the event and has not admitted it yet.
    Accepted { tcp: TcpStream },
    /// TLS.
    Handshaking { stream: Stream },
    /// The session's.
    Open { stream: Stream },
    /// Our direction ends as soon as the last bytes are out; the peer's goes on.
    Ending { stream: Stream },
    /// Our direction has ended; the peer's goes on.
    Ended { stream: Stream },
    /// The session has left: our direction ends as soon as the last bytes are out.
    Closing { stream: Stream },
    /// The session has left and our direction has ended: the peer's end is awaited.
    Lingering { stream: Stream },
    /// Has failed; only the slot is still to be freed.
    Failed,
}

impl ConnState {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Resolving => Phase::Resolve,
            Self::Connecting { .. } => Phase::Connect,
            Self::Proxying { .. } => Phase::Proxy,
            Self::Accepted { .. } | Self::Handshaking { .. } => Phase::Handshake,
            Self::Open { .. }
            | Self::Ending { .. }
            | Self::Ended { .. }
            | Self::Closing { .. }
            | Self::Lingering { .. }
            | Self::Failed => Phase::Session,
        }
    }

    /// The connection as long as it is the session's, whether we still write or not.
    pub(super) fn session_stream(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Open { stream } | Self::Ending { stream } | Self::Ended { stream } => Some(stream),
            _ => None,
        }
    }

    /// The connection as long as it is open in one direction at least.
    pub(super) fn open_stream(&self) -> Option<&Stream> {
        match self {
            Self::Open { stream }
            | Self::Ending { stream }
            | Self::Ended { stream }
            | Self::Closing { stream }
            | Self::Lingering { stream } => Some(stream),
            _ => None,
        }
    }

    /// The socket, as long as there is a connection.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Accepted { tcp } => Some(tcp),
            Self::Handshaking { stream } => Some(stream.tcp()),
            _ => self.open_stream().map(Stream::tcp),
        }
    }

    /// The connection as long as the session may write.
    pub(super) fn writable_stream(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Open { stream } => Some(stream),
            _ => None,
        }
    }
}

/// Who began a connection.
pub(super) enum Origin {
    /// We did; `offer` is whether our own certificate may be shown.
    Opened { target: Arc<Target>, offer: bool },
    /// The peer did.
    Accepted { listener_config: Arc<ListenerConfig> },
}

impl Origin {
    /// The longest wait in each phase until the connection is open.
    pub(super) fn timeout(&self) -> Duration {
        match self {
            Self::Opened { target, .. } => target.timeout,
            Self::Accepted { listener_config } => listener_config.timeout,
        }
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// What it means that the deadline of `phase` has passed.
    pub(super) fn late(&self, phase: Phase) -> Failure {
        match self {
            Self::Opened { .. } => Failure::Timeout(phase),
            Self::Accepted { .. } => Failure::ClientTimeout(phase),
        }
    }
}

/// What a deadline brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDeadline {
    /// The connection fails.
    Fail,
    /// Our direction ends, and the peer's is awaited for a little.
    HalfClose,
}

/// How long an open connection's peer may make no progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgressTimeout {
    /// For so long at a time.
    pub(super) wait: Duration,
    /// When it made progress last.
    pub(super) since: Instant,
    /// When it must have taken all that we sent, whatever its progress; `None` for no limit.
    pub(super) drained_by: Option<Instant>,
    /// What happens then.
    pub(super) late: OnDeadline,
}

pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) origin: Origin,
    pub(super) state: ConnState,
    pub(super) readiness: Readiness,
    /// When it is to be looked at for being late.
    pub(super) deadline: Option<Instant>,
    /// Once it is open; `None` where nothing is waited for.
    pub(super) progress_timeout: Option<ProgressTimeout>,
    /// No less than the peer's kernel has not acknowledged of what we sent, in bytes; 0 for certain where it is 0.
    pub(super) unacknowledged: usize,
    /// What its session's bytes pass through, once it has agreed on that.
    pub(super) compression: Option<Box<Compression>>,
    /// Whether it stands in the queue of connections to be looked at.
    pub(super) queued: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Conn>() <= 200, "{} bytes", size_of::<Conn>());
    }
}
