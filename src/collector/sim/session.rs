//! A site with our server: a session of its, on a connection of the model network.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::link::Piece;
use super::scheduler::Direction;
use super::server::{ServerIo, Turn};
use crate::budget::Budget;
use crate::net::{
    ByteStream, CompressedBytes, Compressible, Compression, CompressionPlace, ConnId, Failure, FileSent, Read,
};
use crate::proto::extension::History;
use crate::server::test_server::{Connection, PumpOutcome, TestServer, TestSession};
use crate::tls::Received;

/// How long a client may take to close once the server has.
const LINGER: Duration = Duration::from_secs(2);

/// What a passed deadline comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDeadline {
    Close,
    HalfClose,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Open,
    /// The server's direction ends as soon as TLS has sent its last bytes.
    HalfClosing,
    /// The server's direction has ended.
    HalfClosed,
}

/// A session of our server on a connection.
pub(super) struct ServerSession {
    session: TestSession,
    /// What its bytes pass through, once it has agreed on that.
    compression: Option<Box<Compression>>,
    state: State,
    deadline: Option<(Instant, OnDeadline)>,
}

impl ServerSession {
    pub(super) fn new(id: ConnId, server: &TestServer) -> Self {
        let session = server.accept(id, Ipv4Addr::LOCALHOST);
        Self { session, compression: None, state: State::Fresh, deadline: None }
    }

    pub(super) fn serve(&mut self, server_io: &mut ServerIo<'_>, server: &mut TestServer) -> Turn {
        match self.deadline {
            Some((at, OnDeadline::HalfClose)) if at <= server_io.scheduler.now && self.state == State::Open => {
                self.half_close(server_io);
            }
            Some((at, _)) if at <= server_io.scheduler.now => return Turn::Over,
            _ => {}
        }
        if self.state == State::HalfClosing {
            self.end_direction(server_io);
        }
        match self.go_on(server_io, server) {
            None if server.disk.is_down() => Turn::Over,
            None => {
                if self.state == State::Open {
                    server_io.send_close_notify();
                    server_io.end();
                }
                Turn::Over
            }
            Some(pause) => {
                self.after_pump(pause, server_io);
                Turn::Waiting
            }
        }
    }

    fn go_on(&mut self, server_io: &mut ServerIo<'_>, server: &mut TestServer) -> Option<PumpOutcome> {
        let Self { session, compression, state, deadline } = self;
        let is_fresh = *state == State::Fresh;
        if is_fresh {
            *state = State::Open;
        }
        let is_mute = server.disk.is_down() || matches!(state, State::HalfClosing | State::HalfClosed);
        let mut io = End { server_io, compression, deadline, is_mute };
        if is_fresh { server.open(session, &mut io) } else { server.pump(session, &mut io) }
    }

    fn after_pump(&mut self, pause: PumpOutcome, server_io: &mut ServerIo<'_>) {
        match pause {
            PumpOutcome::Leaving if self.state == State::Open => self.half_close(server_io),
            PumpOutcome::For(wait) => server_io.visit_at(server_io.scheduler.now + wait),
            _ => {}
        }
        if let Some((at, _)) = self.deadline {
            server_io.visit_at(at);
        }
    }

    fn half_close(&mut self, server_io: &mut ServerIo<'_>) {
        self.state = State::HalfClosing;
        self.deadline = Some((server_io.scheduler.now + LINGER, OnDeadline::Close));
        server_io.send_close_notify();
        self.end_direction(server_io);
    }

    fn end_direction(&mut self, server_io: &mut ServerIo<'_>) {
        if server_io.end() {
            self.state = State::HalfClosed;
            server_io.down.send(Piece::End, (server_io.id, Direction::Down), server_io.scheduler);
        }
    }
}

/// The server's end of a connection.
struct End<'a, 'b> {
    server_io: &'a mut ServerIo<'b>,
    compression: &'a mut Option<Box<Compression>>,
    deadline: &'a mut Option<(Instant, OnDeadline)>,
    is_mute: bool,
}

impl<'b> End<'_, 'b> {
    /// Lets compression act, where the session has agreed on it.
    fn compressed<T>(&mut self, act: impl FnOnce(&mut Compression, &mut Bare<'_, 'b>) -> T) -> Option<T> {
        let mut bare = Bare { server_io: self.server_io, is_mute: self.is_mute };
        self.compression.as_mut().map(|compression| act(compression, &mut bare))
    }

    fn bare(&mut self) -> Bare<'_, 'b> {
        Bare { server_io: self.server_io, is_mute: self.is_mute }
    }
}

impl ByteStream for End<'_, '_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let read = self.compressed(|compression, io| compression.read(io, most, take));
        read.unwrap_or_else(|| self.bare().read(most, take))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let written = self.compressed(|compression, io| compression.write(io, bytes));
        written.unwrap_or_else(|| self.bare().write(bytes))
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        let flushed = self.compressed(|compression, io| compression.flush(io));
        flushed.unwrap_or_else(|| self.bare().flush())
    }
}

impl Compressible for End<'_, '_> {
    fn compression_place(&mut self) -> Option<CompressionPlace> {
        self.server_io.scheduler.chance.u32(..8).checked_sub(1)?;
        CompressionPlace::of(&Budget::new(u64::MAX), History::Kept)
    }

    fn compress(&mut self, place: CompressionPlace) {
        *self.compression = Some(Box::new(Compression::new(place)));
    }

    fn compressed_bytes(&mut self) -> Option<CompressedBytes> {
        Some(self.compression.as_ref()?.bytes())
    }
}

/// The same, of the bytes as they come and leave.
struct Bare<'a, 'b> {
    server_io: &'a mut ServerIo<'b>,
    is_mute: bool,
}

impl ByteStream for Bare<'_, '_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(match self.server_io.receive(most, take)? {
            Received::Bytes(count) => Read::Bytes(count),
            Received::WouldBlock => Read::Blocked,
            Received::Eof { orderly } => Read::Eof { orderly },
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        Ok(if self.is_mute { 0 } else { self.server_io.write(bytes) })
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(self.server_io.flush())
    }
}

impl Connection for End<'_, '_> {
    fn now(&self) -> Instant {
        self.server_io.scheduler.now
    }

    fn has_input(&mut self) -> bool {
        self.compression.as_ref().is_some_and(|compression| compression.has_buffered()) || self.server_io.has_input()
    }

    fn is_reset(&mut self) -> bool {
        false
    }

    fn send_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure> {
        if self.is_mute {
            return Ok(FileSent::Blocked);
        }
        let mut scratch = [0; 4096];
        let sent = self.compressed(|compression, io| compression.send_file(io, file, offset, count, &mut scratch));
        sent.unwrap_or_else(|| self.server_io.send_file(file, offset, count))
    }

    fn is_flushed(&mut self) -> bool {
        self.compression.as_ref().is_none_or(|compression| compression.is_flushed()) && self.server_io.is_flushed()
    }

    fn unacknowledged(&mut self) -> io::Result<usize> {
        Ok(usize::from(!self.server_io.down.is_acknowledged()))
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        *self.deadline = wait.map(|wait| (self.server_io.scheduler.now + wait, OnDeadline::Close));
    }

    fn drain_by(&mut self, wait: Duration, _: Option<Instant>) {
        self.set_deadline(Some(wait));
    }

    fn half_close_after(&mut self, wait: Duration) {
        *self.deadline = Some((self.server_io.scheduler.now + wait, OnDeadline::HalfClose));
    }
}
