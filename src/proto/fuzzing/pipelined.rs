//! The extension: a client that sends ahead, against any peer and against our server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::pair::Dice;
use super::{Stream, in_any_pieces};
use crate::proto::extension::{
    Capabilities, Capability, Condition, ContentHash, ExtensionCommand, PipelinedClient, PipelinedEvent,
};
use crate::proto::server::{self, CloseReason, Policy, Server};
use crate::proto::{Error, FileName, ListArg, Refusal, Verb, Want};

/// Commands in a session, beside `QUIT`.
const COMMANDS: usize = 32;

/// The server's limit, in bytes: some bodies are over it.
const MAX_SIZE: u64 = 100;

/// A turn moves a few bytes, so no session takes so many.
pub(super) const TURNS: usize = 200_000;

/// What a page says of every file.
const MTIME: u64 = 17;

/// Any bytes as a peer's side of a session. The first line is our side, one letter for each command, all sent before the
/// peer's first byte: `G L D P` and `C`, `Q` quits; anything else is `G`.
pub fn pipelined_session(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (script, stream) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    in_any_pieces(|piece| run(script, stream, piece));
}

/// All that is to be seen of it from outside.
type Trace = (Vec<PipelinedEvent>, usize, Vec<u8>, Option<Error>);

fn run(script: &[u8], stream: &[u8], piece: usize) -> Trace {
    let (mut client, mut stream) = (PipelinedClient::new(), Stream::new(stream, piece));
    let mut has_quit = false;
    for letter in script.iter().take(COMMANDS) {
        let name = FileName::from_checked(b"a");
        let given = match letter {
            b'L' => client.command(&ExtensionCommand::List { word: ListArg::root(), after: None, limit: None }),
            b'D' => client.command(&ExtensionCommand::Drop { name, size: 1, hash: ContentHash::of(b"a") }),
            b'P' => client.command(&ExtensionCommand::Put { name, size: 5, condition: Condition::None }),
            b'C' => client.command(&ExtensionCommand::Capabilities),
            b'Q' => client.quit(),
            _ => client.command(&ExtensionCommand::Get(name)),
        };
        client.transmitted(usize::MAX);
        if client.supply() > 0 {
            client.body_supplied(client.supply()).expect("it is wanted");
        }
        assert_eq!(given.is_err(), has_quit, "all can be given before QUIT, and nothing behind it");
        has_quit |= *letter == b'Q';
    }
    let (mut events, mut body, mut understood, mut result) = (Vec::new(), Vec::new(), 0, Ok(()));
    while !stream.rest().is_empty() && result.is_ok() {
        let read = stream.next_read();
        let taken = match client.want() {
            Want::Body(remaining) => {
                assert_eq!(client.handle_input(read), Ok(0), "bytes of the body were taken");
                let moved = usize::try_from(remaining).map_or(read.len(), |remaining| remaining.min(read.len()));
                body.extend_from_slice(&read[..moved]);
                client.body_transferred(moved as u64).map(|()| moved)
            }
            // An unasked byte is shown as it came.
            Want::Command | Want::Closed => break,
            _ => client.handle_input(read),
        };
        let is_body = matches!(client.want(), Want::Body(_));
        result = taken.map(|taken| stream.position += taken);
        let before = events.len();
        events.extend(std::iter::from_fn(|| client.poll_event()));
        if events.len() > before || is_body {
            understood = stream.position;
        }
    }
    let due = client.due();
    let error = result.and_then(|()| client.handle_eof()).err();
    assert!(error.is_some() || due == 0);
    assert_eq!((client.want(), client.due(), client.transmit()), (Want::Closed, 0, &b""[..]));
    assert_eq!(client.handle_eof().err(), error);
    assert!(client.command(&ExtensionCommand::Capabilities).is_err());
    (events, understood, body, error)
}

type Files = BTreeMap<FileName, Vec<u8>>;

/// Any bytes as what a client does and as the pieces its connection delivers: every command gets the answer that is right
/// when it is carried out, in the order the commands were given in, and the server has the files that come of it.
pub fn pipelined_client_against_server(data: &[u8]) {
    let mut dice = Dice(data);
    let (mut client, mut server) = (ClientSide::new(), ServerSide::new());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        client.step(&mut down, &mut up, &mut dice);
        server.step(&mut up, &mut down, &mut dice);
        if server.server.ending() == Some(&CloseReason::Quit) && down.is_empty() && client.is_done() {
            return client.compare(&server);
        }
    }
    panic!("client wants {:?}, server {:?}", client.client.want(), server.server.want());
}

fn page(files: &Files) -> Vec<u8> {
    let line = |(name, bytes): (&FileName, &Vec<u8>)| {
        [format!("{} {MTIME} ", bytes.len()).as_bytes(), name.as_bytes(), b"\n"].concat()
    };
    files.iter().flat_map(line).collect()
}

/// The client, its caller, and what the files will be once all that was given is carried out.
pub(super) struct ClientSide {
    client: PipelinedClient,
    given: usize,
    is_compressed: bool,
    supply: Vec<u8>,
    files: Files,
    expected: VecDeque<(PipelinedEvent, Option<Vec<u8>>)>,
    body: Vec<u8>,
}

impl ClientSide {
    fn new() -> Self {
        Self {
            client: PipelinedClient::new(),
            given: 0,
            is_compressed: false,
            supply: Vec::new(),
            files: Files::new(),
            expected: VecDeque::new(),
            body: Vec::new(),
        }
    }

    /// One that asks for compression first, and for nothing else before it has it.
    pub(super) fn compressed() -> Self {
        let mut side = Self { given: usize::MAX, ..Self::new() };
        side.client.command(&ExtensionCommand::Deflate).expect("nothing is due");
        assert!(side.client.command(&ExtensionCommand::Capabilities).is_err(), "nothing may stand behind it");
        side.expected.push_back((PipelinedEvent::Done { verb: Verb::Deflate }, None));
        side
    }

    /// Whether what is read and written from now on is compressed, since it was not before.
    pub(super) fn begins_to_compress(&mut self) -> bool {
        let begins = self.client.is_to_be_compressed();
        if begins {
            self.client.compressed().expect("it is wanted");
            self.given = 0;
            self.is_compressed = true;
        }
        begins
    }

    pub(super) fn is_done(&self) -> bool {
        self.expected.is_empty()
    }

    pub(super) fn want(&self) -> Want {
        self.client.want()
    }

    /// All is carried out, and the server has ended the connection.
    pub(super) fn compare(mut self, server: &ServerSide) {
        assert_eq!(self.client.handle_eof(), Ok(()));
        assert_eq!(server.files, self.files);
    }

    pub(super) fn step(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>, dice: &mut Dice<'_>) {
        if self.client.supply() == 0 && self.given <= COMMANDS {
            self.give(dice);
        }
        let n = dice.piece(self.client.transmit().len());
        output.extend_from_slice(&self.client.transmit()[..n]);
        self.client.transmitted(n);
        if self.client.transmit().is_empty() && self.client.supply() > 0 {
            let n = dice.piece(self.supply.len());
            output.extend(self.supply.drain(..n));
            self.client.body_supplied(n as u64).expect("it is wanted");
        }
        let n = dice.piece(input.len());
        let taken = match self.client.want() {
            Want::Body(remaining) => {
                let n = n.min(usize::try_from(remaining).unwrap_or(usize::MAX));
                self.body.extend_from_slice(&input[..n]);
                self.client.body_transferred(n as u64).expect("it is the body's");
                n
            }
            _ => self.client.handle_input(&input[..n]).expect("our server's answers are sound"),
        };
        input.drain(..taken);
        while let Some(event) = self.client.poll_event() {
            self.check(&event);
        }
    }

    fn give(&mut self, dice: &mut Dice<'_>) {
        self.given += 1;
        if self.given > COMMANDS {
            return self.client.quit().expect("it is the last");
        }
        let name = dice.name();
        let there = self.files.get(&name).cloned();
        let refused = |verb, refusal| (PipelinedEvent::Refused { verb, refusal }, None);
        let done = |verb| (PipelinedEvent::Done { verb }, None);
        let (command, answer) = match dice.roll() % 6 {
            0 => (ExtensionCommand::Capabilities, (PipelinedEvent::Capabilities(self.capabilities()), None)),
            1 => {
                let body = page(&self.files);
                let list = ExtensionCommand::List { word: ListArg::root(), after: None, limit: None };
                (list, (PipelinedEvent::Page { size: body.len() as u64, remaining: None }, Some(body)))
            }
            2 => (
                ExtensionCommand::Get(name),
                there.map_or(refused(Verb::Get, Refusal::Missing), |bytes| {
                    (PipelinedEvent::File { size: bytes.len() as u64, mtime: MTIME }, Some(bytes))
                }),
            ),
            3 => {
                let guess =
                    if dice.roll().is_multiple_of(4) { b"else".to_vec() } else { there.clone().unwrap_or_default() };
                let answer = match there {
                    None => refused(Verb::Drop, Refusal::Missing),
                    Some(bytes) if bytes != guess => refused(Verb::Drop, Refusal::Changed),
                    Some(_) => {
                        self.files.remove(&name);
                        done(Verb::Drop)
                    }
                };
                let (size, hash) = (guess.len() as u64, ContentHash::of(&guess));
                (ExtensionCommand::Drop { name, size, hash }, answer)
            }
            _ => {
                let body = dice.body();
                let condition = if dice.roll().is_multiple_of(2) { Condition::None } else { Condition::Absent };
                let size = body.len() as u64;
                let answer = if size == 0 || size > MAX_SIZE {
                    refused(Verb::Put, Refusal::TooBig)
                } else if there.is_some() && condition == Condition::Absent {
                    refused(Verb::Put, Refusal::Exists)
                } else {
                    self.files.insert(name.clone(), body.clone());
                    done(Verb::Put)
                };
                self.supply = body;
                (ExtensionCommand::Put { name, size, condition }, answer)
            }
        };
        self.client.command(&command).expect("no body is under way");
        self.expected.push_back(answer);
    }

    /// What the server can do: it compresses once.
    fn capabilities(&self) -> Capabilities {
        if self.is_compressed { Capabilities::all().without(Capability::Deflate) } else { Capabilities::all() }
    }

    fn check(&mut self, event: &PipelinedEvent) {
        let (answer, body) = self.expected.front().expect("nothing comes unasked");
        match event {
            PipelinedEvent::BodyComplete { .. } => {
                assert_eq!(Some(&self.body), body.as_ref());
                self.body.clear();
            }
            event => assert_eq!(event, answer),
        }
        let is_last = body.is_none() || matches!(event, PipelinedEvent::BodyComplete { .. });
        if is_last {
            self.expected.pop_front();
        }
    }
}

/// The server and its caller, whose disk is slow to drop.
pub(super) struct ServerSide {
    pub(super) server: Server,
    files: Files,
    dropping: usize,
    /// What comes in, or is left of what goes out.
    body: Vec<u8>,
    name: Option<FileName>,
}

impl ServerSide {
    pub(super) fn new() -> Self {
        let policy =
            Policy { insecure: true, max_size: MAX_SIZE, extension: true, compression: true, ..Policy::default() };
        let server = Server::new(Arc::new(policy));
        Self { server, files: Files::new(), dropping: 0, body: Vec::new(), name: None }
    }

    pub(super) fn step(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>, dice: &mut Dice<'_>) {
        let n = dice.piece(self.server.transmit().len());
        output.extend_from_slice(&self.server.transmit()[..n]);
        self.server.transmitted(n);
        if self.dropping > 0 && dice.roll().is_multiple_of(4) {
            self.dropping -= 1;
            self.server.dropped(Ok(())).expect("one is under way");
            self.server.resume().expect("our client's commands are sound");
        }
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
            server::Want::Supply(remaining) if self.server.transmit().is_empty() => {
                assert_eq!(remaining, self.body.len() as u64);
                let n = dice.piece(self.body.len());
                output.extend(self.body.drain(..n));
                self.server.body_transferred(n as u64).expect("it is the body's");
            }
            server::Want::Supply(_) | server::Want::Decision | server::Want::Compression => {}
            server::Want::Flush => unreachable!("nothing is moved"),
            server::Want::Closed => assert!(input.is_empty()),
        }
        while let Some(event) = self.server.poll_event() {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: server::Event) {
        let answered = match event {
            server::Event::Asked { name, .. } => match self.files.get(&name) {
                Some(bytes) => {
                    self.body.clone_from(bytes);
                    self.server.give_file(bytes.len() as u64, MTIME)
                }
                None => self.server.refuse(Refusal::Missing),
            },
            server::Event::PageAsked { .. } => {
                self.body = page(&self.files);
                self.server.give_page(self.body.len() as u64, None)
            }
            server::Event::DropAsked { name, size, hash } => match self.files.get(&name) {
                None => self.server.refuse(Refusal::Missing),
                Some(bytes) if bytes.len() as u64 != size || ContentHash::of(bytes) != hash => {
                    self.server.refuse(Refusal::Changed)
                }
                Some(_) => {
                    self.files.remove(&name);
                    self.dropping += 1;
                    self.server.dropping()
                }
            },
            server::Event::PutOffered { name, condition: Condition::Absent, .. } if self.files.contains_key(&name) => {
                self.server.refuse(Refusal::Exists)
            }
            server::Event::PutOffered { name, .. } => {
                self.body.clear();
                self.name = Some(name);
                self.server.accept()
            }
            server::Event::BodyComplete { .. } => {
                self.files.extend(self.name.take().zip(Some(std::mem::take(&mut self.body))));
                self.server.stored()
            }
            server::Event::CompressionAsked => self.server.consent(),
            server::Event::Refused { .. } => Ok(()),
            event => panic!("{event:?} was not asked for"),
        };
        answered.expect("the session waits for it");
    }
}
