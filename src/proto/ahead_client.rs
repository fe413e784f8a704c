//! The client's side of a session with stock in which commands are sent ahead of their answers.
//!
//! ```text
//! what is sent                          what is awaited
//!
//!   command(): due + 1                    Line <---------------------------------------------+
//!     RECV <a>\n   RECV OK\n               |  X SIZE n: due - 1     X ERR: due - 1 --------->|
//!     RECV <b>\n   RECV OK\n               v                                                 |
//!     MV <c>\n     MV OK\n                Body -- body_received(), all --------------------->+
//!     each a message of its own
//!                                         handle_eof() with nothing due --> Closed
//!                                         fault, anywhere --> Failed
//! ```
//! Stock takes what one read brings for one command, so each message has to reach it in a read of its own:
//! [`AheadClient::transmit`] never shows more than one.
//!
//! A file is asked for and confirmed before the server has said whether it has it. Where it answers `X ERR`, it takes the
//! confirmation for a command that it does not know, and closes; nothing behind that is done. The same becomes of an
//! empty file that is received, unless in an archive (`ZRECV`). What comes then is the connection's end.
//!
//! Where three messages meet, stock may take a confirmation and the next whole request together for a refusal, and goes on with
//! the request after that: its answer comes where a body should. And a file that is overwritten between the announcement of
//! its size and its opening has another size than announced. So a body that begins as an answer does is none, and a body counts
//! as whole once what follows it is an answer to the next command: [`Event::BodyComplete`] waits for that.

use std::collections::VecDeque;

use super::client::{Event, Want};
use super::line::{LineTooLong, Received};
use super::reply::{Reply, ReplyError};
use super::transmit_buffer::TransmitBuffer;
use super::{Answer, Command, Error, Excerpt, LineBuffer, Verb, excerpt_of_reply};

/// How answers to what is sent ahead begin. Each begins like this within its first eight bytes.
const ANSWERS: [&[u8]; 6] = [b"RECV SIZ", b"RECV ERR", b"ZRECV SI", b"ZRECV ER", b"MV SIZE ", b"MV ERR"];

/// As much of a body as tells it from an answer, in bytes.
const HEAD: usize = 8;

/// The client's side of one session with commands sent ahead, without the connection, on one where nothing is under way.
///
/// After every call the driver
/// 1. writes [`transmit`](Self::transmit), one message, and reports it with [`transmitted`](Self::transmitted),
/// 2. takes every event from [`poll_event`](Self::poll_event): those about one command come before those about the next,
/// 3. reads what [`want`](Self::want) says.
///
/// Events are [`Event::Announced`], which asks for no decision here, [`Event::BodyComplete`] and [`Event::Refused`]. It holds
/// some ten bytes for a command that is due, beside the messages; how many are is the caller's to bound.
#[derive(Debug)]
pub struct AheadClient {
    state: State,
    due: VecDeque<Due>,
    outbox: TransmitBuffer,
    /// Bytes given to be sent so far, and bytes of these that have left.
    given: u64,
    left: u64,
    events: VecDeque<Event>,
}

/// What is awaited.
#[derive(Debug)]
enum State {
    /// An answer, or nothing. `before` is a body whose end has come, and is one if an answer follows.
    Line {
        line: LineBuffer,
        before: Option<Verb>,
    },
    Body {
        verb: Verb,
        remaining: u64,
        head: Vec<u8>,
    },
    Closed,
    Failed(Error),
}

/// A command that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Due {
    verb: Verb,
    /// How many bytes have been given with it.
    end: u64,
}

impl AheadClient {
    /// A session in which nothing is under way.
    pub fn new() -> Self {
        Self {
            state: State::line(None),
            due: VecDeque::new(),
            outbox: TransmitBuffer::default(),
            given: 0,
            left: 0,
            events: VecDeque::new(),
        }
    }

    /// What is awaited: [`Want::Command`] where nothing is due, else [`Want::Line`] or [`Want::Body`]; or [`Want::Closed`].
    pub fn want(&self) -> Want {
        match self.state {
            State::Line { .. } if self.due.is_empty() => Want::Command,
            State::Line { .. } => Want::Line,
            State::Body { remaining, .. } => Want::Body(remaining),
            State::Closed | State::Failed(_) => Want::Closed,
        }
    }

    /// How many commands are not answered at all yet.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to be written to the peer: what is left of one message, with none of the next.
    pub fn transmit(&self) -> &[u8] {
        let pending = self.outbox.pending();
        let end = pending.iter().position(|&byte| byte == b'\n').map_or(pending.len(), |newline| newline + 1);
        &pending[..end]
    }

    /// The first `n` bytes of [`transmit`](Self::transmit) were written.
    pub fn transmitted(&mut self, n: usize) {
        let n = n.min(self.outbox.pending().len());
        self.outbox.advance(n);
        self.left += n as u64;
    }

    /// Asks for a file ([`Command::Receive`], [`Command::ReceiveZip`], [`Command::Move`]) and takes it, whatever is due: two
    /// messages.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, for another command, and after the end; a failed session's error.
    pub fn command(&mut self, command: &Command) -> Result<(), Error> {
        let verb = match command.verb() {
            Some(verb @ (Verb::Recv | Verb::Zrecv | Verb::Mv)) if !self.is_over() => verb,
            _ => return Err(self.misuse("command()")),
        };
        let before = self.outbox.pending().len();
        self.outbox.fill(|out| command.encode(out));
        let end = self.given + (self.outbox.pending().len() - before) as u64;
        self.outbox.fill(|out| Answer::Accept.encode(verb, out));
        self.given += (self.outbox.pending().len() - before) as u64;
        self.due.push_back(Due { verb, end });
        Ok(())
    }

    /// Takes bytes from the peer, at most one line, and returns how many. In [`Want::Body`] it takes none: they are the
    /// body's.
    ///
    /// # Errors
    /// The session fails if they are no answer to the oldest command that is due, or if that has not left yet.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match (&mut self.state, self.due.front()) {
            (State::Failed(error), _) => Err(error.clone()),
            (State::Body { .. }, _) => Ok(0),
            _ if bytes.is_empty() => Ok(0),
            (State::Line { line, .. }, Some(&Due { verb, end })) if end <= self.left => match line.take(bytes) {
                Ok(Received { consumed, line: None }) => Ok(consumed),
                Ok(Received { consumed, line: Some(line) }) => self.answered(verb, &line).map(|()| consumed),
                Err(LineTooLong) => {
                    let excerpt = excerpt_of_reply(verb, line.held());
                    self.fail(Error::LineTooLong { verb, excerpt })
                }
            },
            (State::Line { .. } | State::Closed, due) => {
                let error = Error::unsolicited(due.map(|due| due.verb), bytes);
                self.fail(error)
            }
        }
    }

    /// These bytes of a body came from the peer ([`Want::Body`]).
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, if that many were not wanted. The session fails if they are no body's.
    pub fn body_received(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let count = bytes.len() as u64;
        let State::Body { verb, remaining, head } = &mut self.state else { return Err(self.misuse("body_received()")) };
        if count > *remaining {
            return Err(self.misuse("body_received()"));
        }
        *remaining -= count;
        if head.len() < HEAD {
            head.extend(bytes.iter().take(HEAD - head.len()));
            let is_known = head.len() == HEAD || *remaining == 0;
            if is_known && ANSWERS.iter().any(|answer| head.starts_with(answer)) {
                let error = Error::Garbage { verb: *verb, excerpt: Excerpt::of(bytes) };
                return self.fail(error);
            }
        }
        if *remaining == 0 {
            let verb = *verb;
            self.body_ended(verb);
        }
        Ok(())
    }

    /// The peer has closed the connection. That is orderly where nothing is due.
    ///
    /// # Errors
    /// The session fails if something was: what is due may have been done or not, if it has left.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        let error = match (&self.state, self.due.front()) {
            (State::Failed(error), _) => return Err(error.clone()),
            (State::Closed, _) | (State::Line { .. }, None) => {
                self.state = State::Closed;
                self.outbox.clear();
                return Ok(());
            }
            (&State::Body { verb, remaining, .. }, _) => Error::Truncated { verb, remaining },
            (State::Line { line, .. }, Some(&Due { verb, .. })) if !line.held().is_empty() => {
                Error::ReplyCut { verb, excerpt: excerpt_of_reply(verb, line.held()) }
            }
            (State::Line { .. }, Some(&Due { verb, .. })) => Error::ClosedAfter { verb },
        };
        self.fail(error)
    }

    /// A whole line came where the answer to `verb` was due: the body before it was one.
    fn answered(&mut self, verb: Verb, line: &[u8]) -> Result<(), Error> {
        let reply = match Reply::parse(verb, line) {
            Ok(reply @ (Reply::Size(_) | Reply::Refused(_))) => reply,
            Err(ReplyError::Size(digits)) => return self.fail(Error::Size { verb, digits: Excerpt::of(digits) }),
            Ok(Reply::Ok) | Err(ReplyError::Garbage) => {
                return self.fail(Error::Garbage { verb, excerpt: excerpt_of_reply(verb, line) });
            }
        };
        if let State::Line { before: Some(before), .. } = self.state {
            self.events.push_back(Event::BodyComplete { verb: before });
        }
        self.due.pop_front();
        self.state = State::line(None);
        match reply {
            Reply::Size(size) => {
                self.events.push_back(Event::Announced { verb, size });
                if size > 0 {
                    self.state = State::Body { verb, remaining: size, head: Vec::new() };
                } else {
                    self.events.push_back(Event::BodyComplete { verb });
                }
            }
            Reply::Refused(refusal) => self.events.push_back(Event::Refused { verb, refusal }),
            Reply::Ok => {}
        }
        Ok(())
    }

    /// As many bytes as were announced have come.
    fn body_ended(&mut self, verb: Verb) {
        if self.due.is_empty() {
            self.state = State::line(None);
            self.events.push_back(Event::BodyComplete { verb });
        } else {
            self.state = State::line(Some(verb));
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Failed(_))
    }

    /// Nothing that came with what is wrong is to be believed.
    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.outbox.clear();
        self.due.clear();
        self.events.clear();
        self.state = State::Failed(error.clone());
        Err(error)
    }

    fn misuse(&self, call: &'static str) -> Error {
        match &self.state {
            State::Failed(error) => error.clone(),
            _ => Error::Misuse { call, want: self.want() },
        }
    }
}

impl Default for AheadClient {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn line(before: Option<Verb>) -> Self {
        Self::Line { line: LineBuffer::default(), before }
    }
}

#[cfg(test)]
#[path = "ahead_client_tests.rs"]
mod tests;
