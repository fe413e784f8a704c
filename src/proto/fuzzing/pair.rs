//! A client and a server, and between them a connection that cuts everything into pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::proto::server::{self, CloseReason, Policy, Server};
use crate::proto::{Client, Command, Event, FileName, ListArg, PasswordDigest, Refusal, Secret, Verb, Want};

/// Commands in a session, beside `PASS` and `QUIT`.
const COMMANDS: usize = 32;

/// The server's limit, in bytes: some bodies are over it.
const MAX_SIZE: u64 = 200;

/// A turn moves a few bytes, so no session takes so many.
const TURNS: usize = 200_000;

type Files = BTreeMap<FileName, Vec<u8>>;

/// Any bytes as what a client does and as the pieces its connection delivers: both sides come to the end, every body
/// arrives whole, and the server has exactly the files the client believes it has.
pub fn client_against_server(data: &[u8]) {
    let mut dice = Dice(data);
    let (mut client_side, mut server_side) = (ClientSide::new(), ServerSide::new());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        client_side.step(&mut down, &mut up, &mut dice);
        server_side.step(&mut up, &mut down, &mut dice);
        if client_side.is_done() && up.is_empty() {
            assert_eq!(server_side.server.ending(), Some(&CloseReason::Quit));
            assert_eq!(client_side.client.handle_eof(), Ok(()));
            assert_eq!(server_side.files, client_side.believed);
            return;
        }
    }
    panic!("client wants {:?}, server {:?}", client_side.client.want(), server_side.server.want());
}

/// Decisions out of the fuzzer's bytes; all 0 once they are used up.
pub(super) struct Dice<'a>(pub(super) &'a [u8]);

impl Dice<'_> {
    pub(super) fn roll(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    /// How much of `available` goes at once.
    pub(super) fn piece(&mut self, available: usize) -> usize {
        available.min(1 + usize::from(self.roll() % 64))
    }

    pub(super) fn name(&mut self) -> FileName {
        FileName::from_checked(&[b'a' + self.roll() % 4])
    }

    pub(super) fn body(&mut self) -> Vec<u8> {
        let (len, first) = (self.roll(), self.roll());
        (0..len).map(|at| first.wrapping_add(at)).collect()
    }
}

fn password() -> PasswordDigest {
    PasswordDigest::of(&Secret::new(b"s3cret".to_vec()))
}

/// No client of ours sends an empty file, but one may be there.
fn files_before() -> Files {
    Files::from([(FileName::from_checked(b"a"), Vec::new())])
}

fn listing(files: &Files) -> Vec<u8> {
    files.keys().flat_map(|name| [name.as_bytes(), b"\n"].concat()).collect()
}

/// Whether this archive stands for a bad one.
fn is_bad(archive: &[u8]) -> bool {
    archive.first().is_some_and(|byte| byte % 4 == 0)
}

/// The client and its caller.
struct ClientSide {
    client: Client,
    command: Command,
    given: usize,
    /// What is to be sent, or was received.
    body: Vec<u8>,
    moved: usize,
    believed: Files,
}

impl ClientSide {
    fn new() -> Self {
        let command = Command::Pass(password());
        let mut client = Client::new();
        client.command(&command).expect("a fresh session takes a command");
        Self { client, command, given: 0, body: Vec::new(), moved: 0, believed: files_before() }
    }

    fn is_done(&self) -> bool {
        self.client.want() == Want::Closed && self.client.transmit().is_empty()
    }

    fn step(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>, dice: &mut Dice<'_>) {
        let n = dice.piece(self.client.transmit().len());
        output.extend_from_slice(&self.client.transmit()[..n]);
        self.client.transmitted(n);
        if !self.client.transmit().is_empty() {
            return;
        }
        match self.client.want() {
            Want::Command => {
                assert!(input.is_empty(), "more came than was asked for");
                self.give_command(dice);
            }
            Want::Decision if dice.roll() % 4 == 1 => self.client.decline().expect("a decision is due"),
            Want::Decision => self.client.accept().expect("a decision is due"),
            Want::Line => {
                let n = dice.piece(input.len());
                let taken = self.client.handle_input(&input[..n]).expect("our server's replies are sound");
                input.drain(..taken);
            }
            Want::Body(remaining) => {
                let n = dice.piece(input.len()).min(usize::try_from(remaining).unwrap_or(usize::MAX));
                self.body.extend(input.drain(..n));
                self.client.body_transferred(n as u64).expect("it is the body's");
            }
            Want::Supply(_) => {
                let n = dice.piece(self.body.len() - self.moved);
                output.extend_from_slice(&self.body[self.moved..][..n]);
                self.moved += n;
                self.client.body_transferred(n as u64).expect("it is the body's");
            }
            Want::Closed => {}
        }
        while let Some(event) = self.client.poll_event() {
            self.check(&event);
        }
    }

    fn give_command(&mut self, dice: &mut Dice<'_>) {
        self.body.clear();
        self.moved = 0;
        self.command = if self.given == COMMANDS || dice.0.is_empty() { Command::Quit } else { self.any_command(dice) };
        self.given += 1;
        self.client.command(&self.command).expect("a command is due");
    }

    fn any_command(&mut self, dice: &mut Dice<'_>) -> Command {
        let (kind, name) = (dice.roll() % 8, dice.name());
        match kind {
            0 => Command::List(ListArg::root()),
            1 => Command::Receive(name),
            2 => Command::ReceiveZip(name),
            3 | 4 => Command::Move(name),
            kind => {
                self.body = dice.body();
                let size = self.body.len() as u64;
                if kind == 5 { Command::SendZip { name, size } } else { Command::Send { name, size } }
            }
        }
    }

    /// Compares the server's answer with the right one.
    fn check(&mut self, event: &Event) {
        match (event, &self.command) {
            (Event::Announced { size, .. }, Command::List(_)) => {
                assert_eq!(*size, listing(&self.believed).len() as u64);
            }
            (Event::BodyComplete { .. }, Command::List(_)) => assert_eq!(self.body, listing(&self.believed)),
            (
                Event::Announced { size, .. },
                Command::Receive(name) | Command::ReceiveZip(name) | Command::Move(name),
            ) => assert_eq!(*size, self.believed[name].len() as u64),
            (Event::BodyComplete { .. }, Command::Receive(name) | Command::ReceiveZip(name)) => {
                assert_eq!(self.body, self.believed[name]);
            }
            (Event::BodyComplete { .. }, Command::Move(name)) => {
                assert_eq!(Some(&self.body), self.believed.remove(name).as_ref());
            }
            (Event::Stored { verb }, Command::Send { name, .. } | Command::SendZip { name, .. }) => {
                assert!(*verb == Verb::Send || !is_bad(&self.body));
                assert_eq!(self.believed.insert(name.clone(), self.body.clone()), None);
            }
            (Event::Refused { refusal, .. }, _) => self.check_refusal(refusal),
            (Event::PasswordAccepted, Command::Pass(_)) | (Event::Go { .. }, _) => {}
            (event, command) => panic!("{event:?} after {command:?}"),
        }
    }

    fn check_refusal(&self, refusal: &Refusal) {
        let due = match &self.command {
            Command::Receive(name) | Command::ReceiveZip(name) if !self.believed.contains_key(name) => Refusal::Missing,
            Command::Move(name) if !self.believed.contains_key(name) => Refusal::Unspecified,
            Command::Send { size, .. } | Command::SendZip { size, .. } if *size == 0 || *size > MAX_SIZE => {
                Refusal::TooBig
            }
            Command::Send { name, .. } | Command::SendZip { name, .. } if self.believed.contains_key(name) => {
                Refusal::Exists
            }
            Command::SendZip { .. } if is_bad(&self.body) => Refusal::BadArchive,
            command => panic!("{command:?} was refused: {refusal}"),
        };
        assert_eq!(*refusal, due);
    }
}

/// The server and its caller.
struct ServerSide {
    server: Server,
    files: Files,
    /// What comes in, or is left of what goes out.
    body: Vec<u8>,
    name: Option<FileName>,
    removed_when_confirmed: Vec<FileName>,
}

impl ServerSide {
    fn new() -> Self {
        let policy = Policy {
            password: Some(password()),
            insecure: true,
            max_size: MAX_SIZE,
            extension: true,
            compression: true,
            clock: None,
        };
        let server = Server::new(Arc::new(policy));
        Self { server, files: files_before(), body: Vec::new(), name: None, removed_when_confirmed: Vec::new() }
    }

    fn step(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>, dice: &mut Dice<'_>) {
        let n = dice.piece(self.server.transmit().len());
        output.extend_from_slice(&self.server.transmit()[..n]);
        self.server.transmitted(n);
        match self.server.want() {
            server::Want::Line => {
                let n = dice.piece(input.len());
                let taken = self.server.handle_input(&input[..n]).expect("our client's commands are sound");
                input.drain(..taken);
            }
            server::Want::Body(remaining) => {
                let n = dice.piece(input.len()).min(usize::try_from(remaining).unwrap_or(usize::MAX));
                self.body.extend(input.drain(..n));
                self.server.body_transferred(n as u64).expect("it is the body's");
            }
            server::Want::Supply(remaining) => {
                assert_eq!(remaining, self.body.len() as u64);
                let n = dice.piece(self.body.len());
                output.extend(self.body.drain(..n));
                self.server.body_transferred(n as u64).expect("it is the body's");
            }
            server::Want::Flush => {
                assert!(input.is_empty(), "our client does not send ahead of a body's end");
                self.server.body_flushed(false).expect("it is wanted");
            }
            server::Want::Closed => assert!(input.is_empty()),
            server::Want::Decision => unreachable!("every event is answered at once"),
            server::Want::Compression => unreachable!("the client asks for none"),
        }
        while let Some(event) = self.server.poll_event() {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: server::Event) {
        let answered = match event {
            server::Event::Offered { name, .. } if self.files.contains_key(&name) => {
                self.server.refuse(Refusal::Exists)
            }
            server::Event::Offered { name, .. } => {
                self.body.clear();
                self.name = Some(name);
                self.server.accept()
            }
            server::Event::BodyComplete { verb: Verb::Zsend } if is_bad(&self.body) => {
                self.server.refuse(Refusal::BadArchive)
            }
            server::Event::BodyComplete { .. } => {
                self.files.extend(self.name.take().zip(Some(std::mem::take(&mut self.body))));
                self.server.stored()
            }
            server::Event::Asked { verb, name } => match self.files.get(&name) {
                Some(body) => {
                    self.body.clone_from(body);
                    self.name = (verb == Verb::Mv).then_some(name);
                    self.server.announce(self.body.len() as u64)
                }
                None => self.server.refuse(Refusal::Missing),
            },
            server::Event::ListAsked { .. } => {
                self.body = listing(&self.files);
                self.name = None;
                self.server.announce(self.body.len() as u64)
            }
            server::Event::PageAsked { .. }
            | server::Event::DropAsked { .. }
            | server::Event::PutOffered { .. }
            | server::Event::CompressionAsked => {
                unreachable!("the client asks for none")
            }
            server::Event::Accepted { .. } => {
                self.removed_when_confirmed.extend(self.name.take());
                Ok(())
            }
            server::Event::MovesConfirmed => {
                self.removed_when_confirmed.drain(..).for_each(|name| drop(self.files.remove(&name)));
                Ok(())
            }
            server::Event::Declined { .. } | server::Event::Refused { .. } | server::Event::PasswordAccepted => Ok(()),
        };
        answered.expect("the session waits for it");
    }
}
