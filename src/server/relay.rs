//! A client's connection and the one to the server behind us, with bytes going both ways (`-b`).
//!
//! Nobody looks at the bytes. What one side is too slow to take is not read from the other; when one side ends its
//! direction, so do we towards the other, and the opposite direction goes on.
//!
//! A server takes its client's orderly end as proof that the client has what was moved to it. So the end is passed on only
//! once the client's kernel has all that came for it, and did not refuse it; and where the client's connection breaks, so
//! does the one to the server. Under TLS an end without `close_notify` is such a break.

use std::io;
use std::time::Duration;

use super::Reason;
use crate::net::{ConnId, Failure, Io, Net, Read};

/// Bytes held for a side that does not take them, at most, in each direction.
const HELD: u64 = 64 * 1024;

/// Reads in each direction before the other connections have their turn.
const READS: usize = 8;

/// How soon to look again whether the client's kernel has acknowledged everything.
const ACKNOWLEDGED_SOON: Duration = Duration::from_millis(5);

/// A pair of connections.
#[derive(Debug)]
pub(super) struct Relay {
    client: ConnId,
    upstream: ConnId,
    to_upstream: Flow,
    to_client: Flow,
}

/// How far a relay came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relayed {
    /// Until a socket can go on.
    Blocked,
    /// Until the others have had their turn.
    Yielding,
    /// For so long.
    For(Duration),
    /// Both sides have ended.
    Over,
}

/// One direction.
#[derive(Debug)]
enum Flow {
    /// Bytes read and not written yet.
    Open(Vec<u8>),
    /// The sender has ended; these are the last.
    Draining {
        held: Vec<u8>,
        orderly: bool,
    },
    Closed,
}

/// What a direction came to.
struct Progress {
    /// Whether any bytes were.
    any: bool,
    next: Next,
}

/// How a direction goes on.
enum Next {
    /// Once a socket can.
    Blocked,
    /// At once.
    More,
    /// Not at all: everything that the sender has sent before its end is written.
    Last { orderly: bool },
}

impl Relay {
    pub(super) fn new(client: ConnId, upstream: ConnId) -> Self {
        Self { client, upstream, to_upstream: Flow::Open(Vec::new()), to_client: Flow::Open(Vec::new()) }
    }

    pub(super) fn upstream(&self) -> ConnId {
        self.upstream
    }

    /// Moves bytes both ways; both connections together may be silent for as long as `idle`.
    pub(super) fn pump(&mut self, net: &mut Net, idle: Duration) -> Result<Relayed, Reason> {
        let (client, upstream) = (self.client, self.upstream);
        let blame = |(id, failure)| {
            if id == client { Reason::Connection(failure) } else { Reason::Upstream(failure) }
        };
        // Also while the server behind us is not there yet, and nothing is read.
        if net.io(client).is_some_and(|mut io| io.is_reset()) {
            return Err(blame((client, Failure::Io(io::ErrorKind::ConnectionReset.into()))));
        }
        let up = self.to_upstream.pump(net, client, upstream).map_err(blame)?;
        let down = self.to_client.pump(net, upstream, client).map_err(blame)?;
        if let Some(mut io) = net.io(client)
            && (up.any || down.any)
        {
            io.set_deadline(Some(idle));
        }
        if let Next::Last { .. } = down.next {
            net.shutdown_write(client);
            self.to_client = Flow::Closed;
        }
        if let Next::Last { orderly } = up.next {
            if !self.has_all(net).map_err(|failure| blame((client, failure)))? {
                return Ok(Relayed::For(ACKNOWLEDGED_SOON));
            }
            if !orderly {
                return Ok(Relayed::Over);
            }
            net.shutdown_write(upstream);
            self.to_upstream = Flow::Closed;
        }
        Ok(match (&self.to_upstream, &self.to_client) {
            (Flow::Closed, Flow::Closed) => Relayed::Over,
            _ if matches!((up.next, down.next), (Next::More, _) | (_, Next::More)) => Relayed::Yielding,
            _ => Relayed::Blocked,
        })
    }

    /// Whether both kernels have all that they were sent. A client that is found gone did not take it.
    fn has_all(&self, net: &mut Net) -> Result<bool, Failure> {
        if matches!(&self.to_client, Flow::Open(held) | Flow::Draining { held, .. } if !held.is_empty()) {
            return Ok(false);
        }
        let Some(mut io) = net.io(self.client) else { return Ok(true) };
        io.read(1, |_| 0)?;
        let is_acknowledged = |mut io: Io<'_>| io.unacknowledged().map_or(true, |bytes| bytes == 0);
        Ok(is_acknowledged(io) && net.io(self.upstream).is_none_or(is_acknowledged))
    }
}

impl Flow {
    /// Moves bytes until one side cannot go on, or for a while. An error says whose connection it is.
    fn pump(&mut self, net: &mut Net, from: ConnId, to: ConnId) -> Result<Progress, (ConnId, Failure)> {
        let mut any = false;
        for _ in 0..READS {
            let (Self::Open(held) | Self::Draining { held, .. }) = self else {
                return Ok(Progress { any, next: Next::Blocked });
            };
            let before = held.len();
            let is_out = write_out(held, net, to).map_err(|failure| (to, failure))?;
            any |= held.len() < before;
            if !is_out {
                return Ok(Progress { any, next: Next::Blocked });
            }
            let held = match self {
                Self::Open(held) => held,
                &mut Self::Draining { orderly, .. } => return Ok(Progress { any, next: Next::Last { orderly } }),
                Self::Closed => return Ok(Progress { any, next: Next::Blocked }),
            };
            let Some(mut io) = net.io(from) else { return Ok(Progress { any, next: Next::Blocked }) };
            let read = io.read(HELD, |bytes| {
                held.extend_from_slice(bytes);
                bytes.len()
            });
            match read.map_err(|failure| (from, failure))? {
                Read::Bytes(_) => {}
                Read::Blocked => {
                    // An idle pair holds no memory.
                    *held = Vec::new();
                    return Ok(Progress { any, next: Next::Blocked });
                }
                Read::Eof { orderly } => *self = Self::Draining { held: std::mem::take(held), orderly },
            }
        }
        Ok(Progress { any, next: Next::More })
    }
}

/// Whether all that was held is written.
fn write_out(held: &mut Vec<u8>, net: &mut Net, to: ConnId) -> Result<bool, Failure> {
    let Some(mut io) = net.io(to) else { return Ok(false) };
    while !held.is_empty() {
        match io.write(held)? {
            0 => return Ok(false),
            written => drop(held.drain(..written)),
        }
    }
    io.flush()
}
