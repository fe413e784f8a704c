//! TLS in the model network: the real one, on sockets whose kernel is a [link](super::link)'s.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::link::{Pipe, Room};
use super::scheduler::{Direction, Scheduler, SimEvent};
use crate::net::ConnId;
use crate::tls::{Handshake, StreamError, TlsStream, Transport};

/// One end's kernel.
pub(super) struct Kernel<'a> {
    pub(super) id: ConnId,
    /// Where this end writes to.
    pub(super) way: Direction,
    pub(super) outward: &'a mut Pipe,
    pub(super) inward: &'a mut Pipe,
    /// The connection is reset.
    pub(super) is_broken: bool,
    pub(super) scheduler: &'a mut Scheduler,
}

/// TLS at one end of a connection.
#[derive(Debug)]
pub(super) struct Tls(Box<TlsStream<Socket>>);

impl Tls {
    pub(super) fn new(session: impl Into<rustls::Connection>) -> Self {
        Self(Box::new(TlsStream::new(Socket::default(), session.into())))
    }

    /// Lets it work on what the kernel has.
    pub(super) fn work<T>(&mut self, kernel: Kernel<'_>, act: impl FnOnce(&mut TlsStream<Socket>) -> T) -> T {
        let Kernel { id, way, outward, inward, is_broken, scheduler } = kernel;
        let unread = inward.arrived.len();
        *self.0.wire_mut() = Socket {
            inbox: std::mem::take(&mut inward.arrived),
            end: match (is_broken, inward.ended) {
                (true, _) => StreamEnd::Reset,
                (false, true) => StreamEnd::Ended,
                (false, false) => StreamEnd::Open,
            },
            first_read: short(scheduler),
            outbox: Vec::new(),
            room: outward.room(),
            first_write: short(scheduler),
        };
        let outcome = act(&mut self.0);
        let Socket { inbox, outbox, .. } = std::mem::take(self.0.wire_mut());
        if inbox.len() < unread {
            // The other end has room to write.
            scheduler.plan_in(
                Duration::ZERO,
                if way == Direction::Up { SimEvent::Serve(id) } else { SimEvent::SpuriousWake(id) },
            );
        }
        inward.arrived = inbox;
        outward.send_records(&outbox, (id, way), scheduler);
        outcome
    }

    /// Goes on with the handshake.
    pub(super) fn handshake(&mut self, kernel: Kernel<'_>) -> Result<Handshake, StreamError> {
        let handshake = self.work(kernel, TlsStream::handshake)?;
        assert!(handshake == Handshake::WantMore || self.0.peer().is_some(), "TLS is said to stand, and does not");
        Ok(handshake)
    }

    /// Whether it goes on with an earlier session.
    pub(super) fn is_resumed(&self) -> bool {
        self.0.peer().is_some_and(|peer| peer.resumed)
    }

    /// Passes on what it holds; whether nothing is left.
    pub(super) fn flush(&mut self, kernel: Kernel<'_>) -> Result<bool, StreamError> {
        let is_flushed = self.work(kernel, TlsStream::flush)?;
        assert!(!is_flushed || self.is_flushed(), "all is said to be out, and is not");
        Ok(is_flushed)
    }

    pub(super) fn has_buffered(&self) -> bool {
        self.0.has_buffered()
    }

    pub(super) fn is_flushed(&self) -> bool {
        !self.0.wants_write()
    }

    /// That this is an orderly end, to be sent like anything else.
    pub(super) fn send_close_notify(&mut self) {
        self.0.close();
    }
}

/// Now and then, a system call does less than it could.
fn short(scheduler: &mut Scheduler) -> Option<usize> {
    scheduler.strikes(100_000).then(|| 1 << scheduler.chance.u32(..12))
}

/// What follows the bytes that have arrived.
#[derive(Debug, Default)]
enum StreamEnd {
    #[default]
    Open,
    Ended,
    Reset,
}

/// The socket that TLS sees: it has what is in the kernel for as long as TLS works on it.
#[derive(Debug, Default)]
pub(super) struct Socket {
    inbox: VecDeque<u8>,
    end: StreamEnd,
    /// The most that the next read brings, and the next write takes, in bytes.
    first_read: Option<usize>,
    first_write: Option<usize>,
    outbox: Vec<u8>,
    room: Room,
}

impl io::Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.inbox.is_empty() {
            let most = self.first_read.take().unwrap_or(usize::MAX).min(buffer.len());
            return self.inbox.read(&mut buffer[..most]);
        }
        match self.end {
            StreamEnd::Open => Err(io::ErrorKind::WouldBlock.into()),
            StreamEnd::Ended => Ok(0),
            StreamEnd::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl io::Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let StreamEnd::Reset = self.end {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let most = self.first_write.take().unwrap_or(usize::MAX).min(bytes.len());
        match self.room.take(most) {
            0 if most > 0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => {
                self.outbox.extend(&bytes[..taken]);
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.inbox.len());
        self.inbox.iter().zip(bytes).for_each(|(byte, slot)| *slot = *byte);
        Ok(count)
    }
}
