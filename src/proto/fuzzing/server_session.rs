//! A server against any client.

use std::sync::Arc;

use super::{Stream, in_any_pieces};
use crate::proto::server::{CloseReason, Event, Policy, Server, Want};
use crate::proto::{PasswordDigest, Refusal, Secret};

/// Bytes of every body that is given, unless it is empty.
const GIVEN: u64 = 5;

/// Room for the two longest replies that can be pending at once, and for as many answers as can be owed.
const MOST_SAID: usize = 128 + 1024 * 40;

/// Any bytes as a client's side of a session. The first line is our side: `x` in front asks for a password, and `n`
/// allows nobody `LS` and `MV`. Then there is one letter for each decision: `r` refuses, `e` announces an empty body,
/// anything else does what was asked, or ends the removal that a command waits for; `p` means that bytes were waiting when a moved body left, and `u` that the end
/// was not orderly.
pub fn server_session(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (script, stream) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    in_any_pieces(|piece| Session::run(script, stream, piece));
}

/// All that is to be seen of a session from outside.
#[derive(Debug, Default, PartialEq)]
pub(in crate::proto) struct Trace {
    pub(in crate::proto) events: Vec<Event>,
    pub(in crate::proto) said: Vec<u8>,
    pub(in crate::proto) body: Vec<u8>,
    /// Bytes that something came of.
    pub(in crate::proto) understood: usize,
    pub(in crate::proto) ending: Option<CloseReason>,
}

/// A server driven by a script against a client whose bytes are all known before.
pub(in crate::proto) struct Session<'a> {
    server: Server,
    script: std::slice::Iter<'a, u8>,
    stream: Stream<'a>,
    trace: Trace,
}

impl<'a> Session<'a> {
    /// Goes through `script` with the client's `stream`, of which a read brings up to the next multiple of `piece`.
    pub(in crate::proto) fn run(script: &'a [u8], stream: &'a [u8], piece: usize) -> Trace {
        let mut policy = Policy { insecure: true, extension: true, compression: true, ..Policy::default() };
        let script = match script.strip_prefix(b"x") {
            Some(rest) => {
                policy.password = Some(PasswordDigest::of(&Secret::new(b"s3cret".to_vec())));
                rest
            }
            None => script,
        };
        let script = script.strip_prefix(b"n").inspect(|_| policy.insecure = false).unwrap_or(script);
        let server = Server::new(Arc::new(policy));
        let mut session =
            Self { server, script: script.iter(), stream: Stream::new(stream, piece), trace: Trace::default() };
        while session.step() {}
        session.end();
        session.trace
    }

    /// Does the server's next step; `false` once script or stream is at its end, or the session.
    fn step(&mut self) -> bool {
        if self.drain() || self.server.ending() == Some(&CloseReason::Quit) {
            self.trace.understood = self.stream.position;
        }
        match self.server.want() {
            Want::Closed => false,
            Want::Decision => self.decide(),
            Want::Flush => self.server.body_flushed(self.script.next() == Some(&b'p')).is_ok(),
            // What is in the stream stands for what comes out.
            Want::Compression => self.server.compressed().is_ok(),
            Want::Supply(remaining) => self.server.body_transferred(remaining.min(3)).is_ok(),
            Want::Line | Want::Body(_) if self.stream.rest().is_empty() => false,
            Want::Line => self.read_line(),
            Want::Body(remaining) => self.read_body(remaining),
        }
    }

    fn decide(&mut self) -> bool {
        let size = match self.script.next() {
            None => return false,
            Some(b'r') => {
                let refused = self.server.refuse(Refusal::NoRoom);
                return refused.is_ok() || self.dropped(Err(Refusal::Failed));
            }
            Some(b'e') => 0,
            Some(_) => GIVEN,
        };
        let server = &mut self.server;
        assert_eq!(server.body_transferred(0).map_err(|misuse| misuse.want), Err(Want::Decision));
        let done = server.accept().or_else(|_| server.stored()).or_else(|_| server.announce(size));
        let done = done.or_else(|_| server.give_file(size, 17)).or_else(|_| server.give_page(size, None));
        let done = done.or_else(|_| server.consent());
        done.or_else(|_| server.dropping()).is_ok() || self.dropped(Ok(()))
    }

    /// A command waits for answers that are owed.
    fn dropped(&mut self, result: Result<(), Refusal>) -> bool {
        self.server.dropped(result).is_ok() && self.server.resume().is_ok()
    }

    /// The end of the stream, and with it of the session, which then stays as it is.
    fn end(&mut self) {
        if self.server.want() != Want::Closed {
            assert!(self.stream.rest().is_empty() || self.server.want() == Want::Decision);
            assert_eq!(self.server.handle_input(self.stream.rest()), Ok(0), "bytes were taken out of turn");
        }
        let end = self.server.handle_eof(self.script.next() != Some(&b'u'));
        self.drain();
        assert_eq!(self.server.want(), Want::Closed);
        assert!(self.server.transmit().is_empty());
        let ending = self.server.ending().cloned().expect("the session is over");
        assert_eq!(end.is_ok(), ending.is_orderly());
        assert_eq!(self.server.handle_input(b"LS <>\n").is_ok(), ending.is_orderly());
        assert_eq!(self.server.handle_eof(true), end);
        assert!(self.server.poll_event().is_none_or(|event| event == Event::MovesConfirmed));
        assert!(self.server.accept().is_err() && self.server.refuse(Refusal::Missing).is_err());
        assert_eq!(self.server.ending(), Some(&ending));
        self.trace.ending = Some(ending);
    }

    /// Takes the session's output; whether there was any.
    fn drain(&mut self) -> bool {
        let pending = self.server.transmit();
        assert!(pending.len() <= MOST_SAID, "replies pile up");
        self.trace.said.extend_from_slice(pending);
        let written = pending.len();
        self.server.transmitted(written);
        let before = self.trace.events.len();
        self.trace.events.extend(std::iter::from_fn(|| self.server.poll_event()));
        assert!(self.trace.events.len() <= before + 2, "events pile up");
        written > 0 || self.trace.events.len() > before
    }

    fn read_line(&mut self) -> bool {
        let read = self.stream.next_read();
        let Ok(consumed) = self.server.handle_input(read) else { return false };
        assert!(consumed > 0 && consumed <= read.len());
        self.stream.position += consumed;
        true
    }

    fn read_body(&mut self, remaining: u64) -> bool {
        let read = self.stream.next_read();
        let moved = usize::try_from(remaining).map_or(read.len(), |remaining| remaining.min(read.len()));
        assert_eq!(self.server.handle_input(read), Ok(0), "bytes of the body were taken");
        self.trace.body.extend_from_slice(&read[..moved]);
        self.stream.position += moved;
        self.server.body_transferred(moved as u64).is_ok()
    }
}
