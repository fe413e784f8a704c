//! A site with our server: a session of its, on a connection of the model network.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::link::Piece;
use super::scheduler::Direction;
use super::server::{ServerIo, Turn};
use crate::net::{ConnId, Failure, FileSent, Read};
use crate::server::test_server::{Connection, PumpOutcome, TestServer, TestSession};
use crate::tls::Received;

/// How long a client may take to close once the server has.
const LINGER: Duration = Duration::from_secs(2);

/// What a passed deadline comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Over,
    Part,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    Open,
    /// The server's direction ends as soon as TLS has sent its last bytes.
    Parting,
    /// The server's direction has ended.
    Parted,
}

/// A session.
pub(super) struct Ours {
    session: TestSession,
    stage: Stage,
    deadline: Option<(Instant, Late)>,
}

impl Ours {
    pub(super) fn new(id: ConnId, server: &TestServer) -> Self {
        Self { session: server.accept(id, Ipv4Addr::LOCALHOST), stage: Stage::Fresh, deadline: None }
    }

    pub(super) fn serve(&mut self, shore: &mut ServerIo<'_>, server: &mut TestServer) -> Turn {
        match self.deadline {
            Some((at, Late::Part)) if at <= shore.scheduler.now && self.stage == Stage::Open => self.part(shore),
            Some((at, _)) if at <= shore.scheduler.now => return Turn::Over,
            _ => {}
        }
        if self.stage == Stage::Parting {
            self.end_direction(shore);
        }
        match self.go_on(shore, server) {
            None if server.disk.is_down() => Turn::Over,
            None => {
                if self.stage == Stage::Open {
                    shore.say_goodbye();
                    shore.end();
                }
                Turn::Over
            }
            Some(pause) => {
                self.rest(pause, shore);
                Turn::Waiting
            }
        }
    }

    fn go_on(&mut self, shore: &mut ServerIo<'_>, server: &mut TestServer) -> Option<PumpOutcome> {
        let Self { session, stage, deadline } = self;
        let is_fresh = *stage == Stage::Fresh;
        if is_fresh {
            *stage = Stage::Open;
        }
        let is_mute = server.disk.is_down() || matches!(stage, Stage::Parting | Stage::Parted);
        let mut io = End { shore, deadline, is_mute };
        if is_fresh { server.open(session, &mut io) } else { server.pump(session, &mut io) }
    }

    fn rest(&mut self, pause: PumpOutcome, shore: &mut ServerIo<'_>) {
        match pause {
            PumpOutcome::Leaving if self.stage == Stage::Open => self.part(shore),
            PumpOutcome::For(wait) => shore.visit_at(shore.scheduler.now + wait),
            _ => {}
        }
        if let Some((at, _)) = self.deadline {
            shore.visit_at(at);
        }
    }

    fn part(&mut self, shore: &mut ServerIo<'_>) {
        self.stage = Stage::Parting;
        self.deadline = Some((shore.scheduler.now + LINGER, Late::Over));
        shore.say_goodbye();
        self.end_direction(shore);
    }

    fn end_direction(&mut self, shore: &mut ServerIo<'_>) {
        if shore.end() {
            self.stage = Stage::Parted;
            shore.down.send(Piece::End, (shore.id, Direction::Down), shore.scheduler);
        }
    }
}

/// The server's end of a connection.
struct End<'a, 'b> {
    shore: &'a mut ServerIo<'b>,
    deadline: &'a mut Option<(Instant, Late)>,
    is_mute: bool,
}

impl Connection for End<'_, '_> {
    fn now(&self) -> Instant {
        self.shore.scheduler.now
    }

    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(match self.shore.receive(most, take)? {
            Received::Bytes(count) => Read::Bytes(count),
            Received::WouldBlock => Read::Blocked,
            Received::Eof { orderly } => Read::Eof { orderly },
        })
    }

    fn has_input(&mut self) -> bool {
        self.shore.has_input()
    }

    fn is_reset(&mut self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        Ok(if self.is_mute { 0 } else { self.shore.write(bytes) })
    }

    fn send_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure> {
        if self.is_mute { Ok(FileSent::Blocked) } else { self.shore.send_file(file, offset, count) }
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(self.shore.flush())
    }

    fn is_flushed(&mut self) -> bool {
        self.shore.is_flushed()
    }

    fn unacknowledged(&mut self) -> io::Result<usize> {
        Ok(usize::from(!self.shore.down.is_acknowledged()))
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        *self.deadline = wait.map(|wait| (self.shore.scheduler.now + wait, Late::Over));
    }

    fn drain_by(&mut self, wait: Duration, _: Option<Instant>) {
        self.set_deadline(Some(wait));
    }

    fn half_close_after(&mut self, wait: Duration) {
        *self.deadline = Some((self.shore.scheduler.now + wait, Late::Part));
    }
}
