//! The bodies of the fuzz targets: what must hold for any bytes from a peer. Their seeds are replayed as a test.

mod compressed;
mod pair;
mod pipelined;
mod server_session;

use std::fmt;

use super::zip::Unpacker;
use super::{Client, Command, Error, Event, FileName, LineBuffer, ListArg, Listing, ListingParser, MAX_LINE};
use super::{PasswordDigest, Received, Reply, Secret, Verb, Want};

pub use compressed::{compressed_client_against_server, inflate};
pub use pair::client_against_server;
pub use pipelined::{pipelined_client_against_server, pipelined_session};
#[cfg(test)]
pub(super) use server_session::Session as ServerSession;
pub use server_session::server_session;

/// Sizes of the pieces the input is cut into.
const PIECES: [usize; 2] = [1, 7];

/// Any bytes as a server's replies: in one piece or in many, the result is the same; and what was understood can be
/// written again.
pub fn reply(data: &[u8]) {
    let whole = in_any_pieces(|piece| first_line(data, piece));
    let Some(line) = whole else { return };
    for verb in [Verb::Pass, Verb::Ls, Verb::Recv, Verb::Zrecv, Verb::Mv, Verb::Send, Verb::Zsend] {
        if let Ok(reply) = Reply::parse(verb, &line) {
            let said = said(&reply, verb);
            let again = Reply::parse(verb, &said[..said.len() - 1]).expect("our own reply is one");
            assert_eq!(self::said(&again, verb), said);
            assert!(matches!(reply, Reply::Refused(_)) || again == reply);
        }
    }
}

/// Any bytes as a client's command: what is understood is written in the same bytes, but for a size's leading zeros.
pub fn command(data: &[u8]) {
    if let Ok(command) = Command::parse(data) {
        let mut said = Vec::new();
        command.encode(&mut said);
        assert_eq!(said.pop(), Some(b'\n'));
        assert!(said.len() <= data.len() && said.len() < MAX_LINE);
        assert_eq!(Command::parse(&said), Ok(command));
    }
}

/// Any bytes as a listing: in one piece or in many, the same, within bounds, and nothing but sound names.
pub fn listing(data: &[u8]) {
    let whole = in_any_pieces(|piece| listed(data, piece));
    whole.0.iter().for_each(|name| assert!(FileName::new(name).is_ok()));
}

/// Any bytes as a peer's side of a session. The first line is our side, one letter for each thing we do: `P L R Z M`
/// and `Q` are commands, `S` and `Y` send 5 bytes plain and zipped, `s` sends none, and `d` declines a body where
/// anything else accepts it.
pub fn client_session(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (script, stream) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    in_any_pieces(|piece| Session::run(script, stream, piece));
}

/// Any bytes as an archive: in one piece or in many, the same file comes out of it or none, and never more than may.
pub fn unpack(data: &[u8]) {
    in_any_pieces(|piece| unpacked(data, piece));
}

fn unpacked(data: &[u8], piece: usize) -> Option<Vec<u8>> {
    const MAX: u64 = 1 << 16;
    let (mut unpacker, mut file) = (Unpacker::new(MAX), Vec::new());
    for bytes in data.chunks(piece) {
        let taken = unpacker.take(bytes, &mut |bytes| file.extend_from_slice(bytes));
        assert!(file.len() as u64 <= MAX);
        taken.ok()?;
    }
    let size = unpacker.finish().ok()?;
    assert_eq!(size, file.len() as u64);
    Some(file)
}

/// What a peer sends, of which a read brings up to the next multiple of `piece`.
struct Stream<'a> {
    bytes: &'a [u8],
    position: usize,
    piece: usize,
}

impl<'a> Stream<'a> {
    fn new(bytes: &'a [u8], piece: usize) -> Self {
        Self { bytes, position: 0, piece }
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    fn next_read(&self) -> &'a [u8] {
        let room = self.piece - self.position % self.piece;
        &self.rest()[..self.rest().len().min(room)]
    }
}

/// What `run` makes of its input in pieces of the size it is given, which must not depend on that.
fn in_any_pieces<T: fmt::Debug + PartialEq>(run: impl Fn(usize) -> T) -> T {
    let whole = run(usize::MAX);
    for piece in PIECES {
        assert_eq!(run(piece), whole, "in pieces of {piece}");
    }
    whole
}

fn said(reply: &Reply, verb: Verb) -> Vec<u8> {
    let mut said = Vec::new();
    reply.encode(verb, &mut said);
    said
}

fn first_line(data: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut buffer = LineBuffer::default();
    let mut used = 0;
    for bytes in data.chunks(piece) {
        let Received { consumed, line } = buffer.take(bytes).ok()?;
        used += consumed;
        assert!(buffer.held().len() < MAX_LINE);
        if let Some(line) = line {
            assert!(used <= MAX_LINE && data[..used].strip_suffix(b"\n") == Some(&line));
            return Some(line.into_owned());
        }
    }
    None
}

fn listed(data: &[u8], piece: usize) -> (Vec<Vec<u8>>, Listing) {
    let (mut parser, mut names) = (ListingParser::default(), Vec::new());
    data.chunks(piece).for_each(|bytes| parser.feed(bytes, |name| names.push(name.to_vec())));
    let listing = parser.finish(|name| names.push(name.to_vec()));
    (names, listing)
}

/// All that is to be seen of a session from outside.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Trace {
    pub(super) events: Vec<Event>,
    pub(super) sent: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// Bytes of whole lines and of bodies.
    pub(super) understood: usize,
    pub(super) error: Option<Error>,
}

/// A client driven by a script against a peer whose bytes are all known before.
pub(super) struct Session<'a> {
    client: Client,
    script: std::slice::Iter<'a, u8>,
    stream: Stream<'a>,
    trace: Trace,
}

impl<'a> Session<'a> {
    /// Goes through `script` with the peer's `stream`, of which a read brings up to the next multiple of `piece`.
    pub(super) fn run(script: &'a [u8], stream: &'a [u8], piece: usize) -> Trace {
        let trace = Trace::default();
        let mut session =
            Self { client: Client::new(), script: script.iter(), stream: Stream::new(stream, piece), trace };
        while session.step() {}
        if let Err(error) = session.end() {
            session.assert_stays_failed(&error);
            session.trace.error = Some(error);
        }
        session.trace
    }

    /// Does the client's next step; `false` once script or stream is at its end, or the client.
    fn step(&mut self) -> bool {
        self.drain();
        match self.client.want() {
            Want::Closed => false,
            Want::Command => match self.script.next() {
                Some(letter) => self.client.command(&command_for(*letter)).is_ok(),
                None => false,
            },
            Want::Decision => match self.script.next() {
                Some(b'd') => self.client.decline().is_ok(),
                Some(_) => self.client.accept().is_ok(),
                None => false,
            },
            Want::Supply(remaining) => self.client.body_transferred(remaining.min(3)).is_ok(),
            Want::Line | Want::Body(_) if self.stream.rest().is_empty() => false,
            Want::Line => self.read_line(),
            Want::Body(remaining) => self.read_body(remaining),
        }
    }

    /// What is left in the stream goes to the client, and then its end.
    fn end(&mut self) -> Result<(), Error> {
        let rest = self.stream.rest();
        let result = self.client.handle_input(rest);
        let takes_none = rest.is_empty() || self.client.want() == Want::Decision;
        assert!(result.is_err() || takes_none, "{rest:?} was taken unasked");
        result?;
        self.client.handle_eof()?;
        assert_eq!(self.client.want(), Want::Closed);
        Ok(())
    }

    fn assert_stays_failed(&mut self, error: &Error) {
        assert_eq!(self.client.want(), Want::Closed);
        assert!(self.client.transmit().is_empty());
        assert_eq!(self.client.handle_input(b"LS OK\n").as_ref(), Err(error));
        assert_eq!(self.client.command(&Command::Quit).as_ref(), Err(error));
        assert_eq!(self.client.handle_eof().as_ref(), Err(error));
        assert_eq!(self.client.poll_event(), None);
    }

    fn drain(&mut self) {
        let pending = self.client.transmit();
        assert!(pending.split(|&byte| byte == b'\n').count() <= 2, "two commands in one write");
        self.trace.sent.extend_from_slice(pending);
        let written = pending.len();
        self.client.transmitted(written);
        while let Some(event) = self.client.poll_event() {
            self.trace.events.push(event);
        }
    }

    fn read_line(&mut self) -> bool {
        let read = self.stream.next_read();
        let Ok(consumed) = self.client.handle_input(read) else { return false };
        assert!(consumed > 0 && consumed <= read.len().min(MAX_LINE));
        assert!(!read[..consumed - 1].contains(&b'\n'), "more than a line was taken");
        self.stream.position += consumed;
        if read[consumed - 1] == b'\n' {
            self.trace.understood = self.stream.position;
        }
        true
    }

    fn read_body(&mut self, remaining: u64) -> bool {
        let read = self.stream.next_read();
        let moved = usize::try_from(remaining).map_or(read.len(), |remaining| remaining.min(read.len()));
        assert_eq!(self.client.handle_input(read), Ok(0), "bytes of the body were taken");
        self.trace.body.extend_from_slice(&read[..moved]);
        self.stream.position += moved;
        self.trace.understood = self.stream.position;
        self.client.body_transferred(moved as u64).is_ok()
    }
}

fn command_for(letter: u8) -> Command {
    let name = FileName::from_checked(b"a.data");
    match letter {
        b'P' => Command::Pass(PasswordDigest::of(&Secret::new(b"s3cret".to_vec()))),
        b'L' => Command::List(ListArg::root()),
        b'R' => Command::Receive(name),
        b'Z' => Command::ReceiveZip(name),
        b'M' => Command::Move(name),
        b'S' => Command::Send { name, size: 5 },
        b's' => Command::Send { name, size: 0 },
        b'Y' => Command::SendZip { name, size: 5 },
        _ => Command::Quit,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Runs `target` over the seeds in `fuzz/corpus/<name>`.
    pub(crate) fn replay(name: &str, target: fn(&[u8])) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut seeds = 0;
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.to_string_lossy()))
        {
            target(&fs::read(entry.unwrap().path()).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "no seeds in {}", directory.to_string_lossy());
    }

    #[test]
    fn the_seeds_of_reply_hold() {
        replay("reply", reply);
    }

    #[test]
    fn the_seeds_of_command_hold() {
        replay("command", command);
    }

    #[test]
    fn the_seeds_of_listing_hold() {
        replay("listing", listing);
    }

    #[test]
    fn the_seeds_of_client_session_hold() {
        replay("client_session", client_session);
    }

    #[test]
    fn the_seeds_of_server_session_hold() {
        replay("server_session", server_session);
    }

    #[test]
    fn the_seeds_of_the_pipelined_targets_hold() {
        replay("pipelined_session", pipelined_session);
        replay("pipelined_client_against_server", pipelined_client_against_server);
    }

    #[test]
    fn the_seeds_of_the_compressed_targets_hold() {
        replay("inflate", inflate);
        replay("compressed_client_against_server", compressed_client_against_server);
    }

    #[test]
    fn the_seeds_of_unpack_hold() {
        replay("unpack", unpack);
    }

    #[test]
    fn the_seeds_of_client_against_server_hold() {
        replay("client_against_server", client_against_server);
    }
}
