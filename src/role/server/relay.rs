//! A client's connection and the one to the server behind us, with bytes going both ways (`-b`).
//!
//! Nobody looks at the bytes. What one side is too slow to take is not read from the other; when one side ends its
//! direction, so do we towards the other, and the opposite direction goes on.

use std::time::Duration;

use super::Reason;
use crate::net::{ConnId, Failure, Net, Read};

/// Bytes held for a side that does not take them, at most, in each direction.
const HELD: u64 = 64 * 1024;

/// Reads in each direction before the other connections have their turn.
const READS: usize = 8;

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
    /// Both sides have ended.
    Over,
}

/// One direction.
#[derive(Debug)]
enum Flow {
    /// Bytes read and not written yet.
    Open(Vec<u8>),
    /// The sender has ended; these are the last.
    Ending(Vec<u8>),
    Ended,
}

/// How far a direction came.
struct Moved {
    /// Whether there was anything to move, be it the end.
    any: bool,
    /// Whether there may be more at once.
    more: bool,
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
        let mut yielding = false;
        for (flow, from, to) in [(&mut self.to_upstream, client, upstream), (&mut self.to_client, upstream, client)] {
            let moved = flow.pump(net, from, to).map_err(|(id, failure)| {
                if id == client { Reason::Connection(failure) } else { Reason::Upstream(failure) }
            })?;
            if let Some(mut io) = net.io(client)
                && moved.any
            {
                io.set_deadline(Some(idle));
            }
            yielding |= moved.more;
        }
        Ok(match (&self.to_upstream, &self.to_client) {
            (Flow::Ended, Flow::Ended) => Relayed::Over,
            _ if yielding => Relayed::Yielding,
            _ => Relayed::Blocked,
        })
    }
}

impl Flow {
    /// Moves bytes until one side cannot go on, or for a while. An error says whose connection it is.
    fn pump(&mut self, net: &mut Net, from: ConnId, to: ConnId) -> Result<Moved, (ConnId, Failure)> {
        let mut any = false;
        for _ in 0..READS {
            let (Self::Open(held) | Self::Ending(held)) = self else { return Ok(Moved { any, more: false }) };
            let before = held.len();
            let is_out = write_out(held, net, to).map_err(|failure| (to, failure))?;
            any |= held.len() < before;
            if !is_out {
                return Ok(Moved { any, more: false });
            }
            let held = match self {
                Self::Open(held) => held,
                Self::Ending(_) | Self::Ended => {
                    net.shutdown_write(to);
                    *self = Self::Ended;
                    return Ok(Moved { any: true, more: false });
                }
            };
            let Some(mut io) = net.io(from) else { return Ok(Moved { any, more: false }) };
            let read = io.read(HELD, |bytes| {
                held.extend_from_slice(bytes);
                bytes.len()
            });
            match read.map_err(|failure| (from, failure))? {
                Read::Some(_) => {}
                Read::Blocked => {
                    // An idle pair holds no memory.
                    *held = Vec::new();
                    return Ok(Moved { any, more: false });
                }
                Read::Eof { .. } => *self = Self::Ending(std::mem::take(held)),
            }
        }
        Ok(Moved { any, more: true })
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
