//! A client on a connection without a network: what one side writes, the other can read at once, as far as it is let.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::{Connection, TestServer, TestSession};
use crate::net::{ByteStream, CompressedBytes, Compressible, CompressionPlace, ConnId, Failure, FileSent, Read};
use crate::proto::extension::{ContentHash, ExtensionCommand, PipelinedClient, PipelinedEvent};
use crate::proto::{Client, Command, Error, Event, FileName, ListArg, PasswordDigest, Refusal, Want};
use crate::store::model::SiteDisk;

/// The address of such clients.
const AGENTS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What a client calls for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Send {
        name: FileName,
        bytes: Vec<u8>,
    },
    Move(FileName),
    List(ListArg),
    /// `GET`, and then `DROP` of what came. The rest is of a client without a word of the extension.
    Take(FileName),
}

impl Op {
    /// `None` in the extension.
    fn command(&self) -> Option<Command> {
        Some(match self {
            Self::Send { name, bytes } => Command::Send { name: name.clone(), size: bytes.len() as u64 },
            Self::Move(name) => Command::Move(name.clone()),
            Self::List(word) => Command::List(word.clone()),
            Self::Take(_) => return None,
        })
    }
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Stored,
    Refused(Refusal),
    /// A body, all of it.
    Given(Vec<u8>),
    /// The server has removed what it gave.
    Dropped,
}

/// One op on a connection of its own, the real client's machine at one end and the real session at the other.
#[derive(Debug)]
pub(crate) struct TestClient {
    id: ConnId,
    client: Side,
    op: Op,
    /// What is still to be sent of a body, or what has come of one.
    body: Vec<u8>,
    answer: Option<Answer>,
    /// What a `GET` has brought.
    taken: Option<Vec<u8>>,
    session: Option<TestSession>,
    duplex: Duplex,
}

/// The client's machine.
#[derive(Debug)]
enum Side {
    Stock(Client),
    Ours(PipelinedClient),
}

impl Side {
    fn new(op: &Op, login: Option<PasswordDigest>) -> Self {
        if let Some(command) = op.command() {
            let mut client = Client::new();
            let first = login.map_or(command, Command::Pass);
            client.command(&first).expect("a new session takes a command");
            return Self::Stock(client);
        }
        let mut client = PipelinedClient::new();
        login.map_or(Ok(()), |password| client.login(password)).expect("a new session takes a command");
        if let Op::Take(name) = op {
            client.command(&ExtensionCommand::Get(name.clone())).expect("a session takes commands ahead");
        }
        Self::Ours(client)
    }

    fn want(&self) -> Want {
        match self {
            Self::Stock(client) => client.want(),
            Self::Ours(client) => client.want(),
        }
    }

    fn transmit(&self) -> &[u8] {
        match self {
            Self::Stock(client) => client.transmit(),
            Self::Ours(client) => client.transmit(),
        }
    }

    fn transmitted(&mut self, count: usize) {
        match self {
            Self::Stock(client) => client.transmitted(count),
            Self::Ours(client) => client.transmitted(count),
        }
    }

    fn body_transferred(&mut self, count: u64) -> Result<(), Error> {
        match self {
            Self::Stock(client) => client.body_transferred(count),
            Self::Ours(client) => client.body_transferred(count),
        }
    }

    fn handle_input(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match self {
            Self::Stock(client) => client.handle_input(bytes),
            Self::Ours(client) => client.handle_input(bytes),
        }
    }
}

#[derive(Debug, Default)]
struct Duplex {
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    /// Bytes that were written so far.
    passed: usize,
    /// The client has closed.
    is_ended: bool,
}

impl TestClient {
    /// Connects; the server is up.
    pub(crate) fn new(id: ConnId, op: Op, server: &mut TestServer, now: Instant) -> Self {
        let body = if let Op::Send { bytes, .. } = &op { bytes.clone() } else { Vec::new() };
        let client = Side::new(&op, server.password().map(PasswordDigest::of));
        let (mut session, mut duplex) = (server.accept(id, AGENTS), Duplex::default());
        let opened = server.open(&mut session, &mut End { duplex: &mut duplex, disk: &server.disk.clone(), now });
        Self { id, client, op, body, answer: None, taken: None, session: opened.map(|_| session), duplex }
    }

    /// The server's answer, once it came.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// What has come with `GET`, once: its client has it from then on, whatever becomes of the rest.
    pub(crate) fn taken(&mut self) -> Option<Vec<u8>> {
        self.taken.take()
    }

    pub(crate) fn id(&self) -> ConnId {
        self.id
    }

    pub(crate) fn op(&self) -> &Op {
        &self.op
    }

    /// Whether the server has ended the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.session.is_none()
    }

    /// The server's end is gone.
    pub(crate) fn hang_up(&mut self) {
        self.session = None;
    }

    /// Each side goes on, the client with at most so many bytes; whether anything came of it.
    pub(crate) fn go_on(&mut self, server: &mut TestServer, most: usize, now: Instant) -> bool {
        let before = self.position();
        self.receive();
        self.send(most);
        if let Some(mut session) = self.session.take() {
            let disk = server.disk.clone();
            let pause = server.pump(&mut session, &mut End { duplex: &mut self.duplex, disk: &disk, now });
            self.session = pause.filter(|_| !disk.is_down()).map(|_| session);
        }
        self.position() != before || !self.duplex.down.is_empty()
    }

    fn position(&self) -> (usize, bool, Want) {
        (self.duplex.passed, self.duplex.is_ended, self.client.want())
    }

    fn send(&mut self, most: usize) {
        let count = most.min(self.client.transmit().len());
        self.duplex.up.extend(&self.client.transmit()[..count]);
        self.duplex.passed += count;
        self.client.transmitted(count);
        if let Want::Supply(_) = self.client.want()
            && self.client.transmit().is_empty()
        {
            let count = most.min(self.body.len());
            self.duplex.up.extend(self.body.drain(..count));
            self.duplex.passed += count;
            self.client.body_transferred(count as u64).expect("it was wanted");
        }
        let is_done = match &self.client {
            Side::Stock(client) => client.want() == Want::Closed,
            Side::Ours(_) => self.answer.is_some(),
        };
        if is_done && self.client.transmit().is_empty() {
            self.duplex.is_ended = true;
        }
    }

    fn receive(&mut self) {
        loop {
            let bytes: Vec<u8> = self.duplex.down.iter().copied().collect();
            let taken = match self.client.want() {
                Want::Body(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.body.extend(&bytes[..count]);
                    self.client.body_transferred(count as u64).expect("it was wanted");
                    count
                }
                _ => self.client.handle_input(&bytes).expect("the server speaks the protocol"),
            };
            self.duplex.down.drain(..taken);
            loop {
                match &mut self.client {
                    Side::Stock(client) => match client.poll_event() {
                        Some(event) => {
                            self.answer = on_event(client, &self.op, &mut self.body, event).or(self.answer.take());
                        }
                        None => break,
                    },
                    Side::Ours(client) => match client.poll_event() {
                        Some(event) => self.on_event(event),
                        None => break,
                    },
                }
            }
            if taken == 0 {
                return;
            }
        }
    }

    fn on_event(&mut self, event: PipelinedEvent) {
        let Side::Ours(client) = &mut self.client else { return };
        match event {
            PipelinedEvent::BodyComplete { .. } => {
                let (Op::Take(name), bytes) = (&self.op, std::mem::take(&mut self.body)) else { return };
                let (size, hash) = (bytes.len() as u64, ContentHash::of(&bytes));
                let drop = ExtensionCommand::Drop { name: name.clone(), size, hash };
                client.command(&drop).expect("a session takes commands ahead");
                self.taken = Some(bytes);
            }
            PipelinedEvent::Done { .. } => self.answer = Some(Answer::Dropped),
            PipelinedEvent::Refused { refusal, .. } => self.answer = Some(Answer::Refused(refusal)),
            PipelinedEvent::PasswordAccepted
            | PipelinedEvent::File { .. }
            | PipelinedEvent::Capabilities(_)
            | PipelinedEvent::Page { .. }
            | PipelinedEvent::NotSpoken(_) => {}
        }
    }
}

/// What came of a command of stock's; the answer, once there is one.
fn on_event(client: &mut Client, op: &Op, body: &mut Vec<u8>, event: Event) -> Option<Answer> {
    match event {
        Event::Announced { .. } => client.accept().expect("it was offered"),
        Event::Stored { .. } => return Some(Answer::Stored),
        Event::Refused { refusal, .. } => return Some(Answer::Refused(refusal)),
        Event::BodyComplete { .. } => {
            client.command(&Command::Quit).expect("nothing is under way");
            return Some(Answer::Given(std::mem::take(body)));
        }
        Event::PasswordAccepted => {
            let command = op.command().expect("it is no op of the extension");
            client.command(&command).expect("nothing is under way");
        }
        Event::Go { .. } | Event::Capabilities(_) => {}
    }
    None
}

/// The server's end.
struct End<'a> {
    duplex: &'a mut Duplex,
    /// A process that has died sends nothing more.
    disk: &'a SiteDisk,
    now: Instant,
}

impl ByteStream for End<'_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(self.duplex.up.len());
        if count == 0 {
            return Ok(if self.duplex.is_ended { Read::Eof { orderly: true } } else { Read::Blocked });
        }
        let taken = take(&self.duplex.up.make_contiguous()[..count]);
        self.duplex.up.drain(..taken);
        Ok(Read::Bytes(taken))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.disk.is_down() {
            return Err(Failure::Io(io::ErrorKind::ConnectionReset.into()));
        }
        self.duplex.down.extend(bytes);
        self.duplex.passed += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }
}

/// Its clients ask for nothing of it.
impl Compressible for End<'_> {
    fn compression_place(&mut self) -> Option<CompressionPlace> {
        None
    }

    fn compress(&mut self, _: CompressionPlace) {}

    fn compressed_bytes(&mut self) -> Option<CompressedBytes> {
        None
    }
}

impl Connection for End<'_> {
    fn now(&self) -> Instant {
        self.now
    }

    fn has_input(&mut self) -> bool {
        !self.duplex.up.is_empty()
    }

    fn is_reset(&mut self) -> bool {
        false
    }

    fn send_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset).map_err(Failure::Io)?;
        self.write(&bytes).map(|count| FileSent::Bytes(count as u64))
    }

    fn is_flushed(&mut self) -> bool {
        true
    }

    fn unacknowledged(&mut self) -> io::Result<usize> {
        Ok(0)
    }

    fn set_deadline(&mut self, _: Option<Duration>) {}

    fn drain_by(&mut self, _: Duration, _: Option<Instant>) {}

    fn half_close_after(&mut self, _: Duration) {}
}
