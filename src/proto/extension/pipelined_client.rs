//! The client's side of a session in which commands are sent ahead.
//!
//! ```text
//! what is sent                                      what is awaited
//!
//!    command(), login(), quit()                        Line <--------------------------+
//!  Open ------> due + 1 ----> Open                      | X OK, X ERR, CAPS: due - 1 -->|
//!   |  ^                                                | GET SIZE, LIST SIZE           |
//!   |  | body_supplied(), all                           v                               |
//!   |  +------ Supplying <-- command(Put)              Body -- body_transferred(), all: |
//!   |  | DEFLATE ERR                                                      due - 1 ------+
//!   |  +------ Switching <-- command(Deflate)
//!   |  | compressed()  | DEFLATE OK                    handle_eof() with nothing due, or CAPS refused --> Closed
//!   |  +------ Switched <--+
//!   v quit()
//!  Quit
//!                                                    fault, anywhere --> Failed
//! ```
//! What is sent and what is awaited go on independently of each other: *due* are the commands that are not answered yet,
//! the oldest first.
//!
//! Behind `DEFLATE` nothing is sent before the answer, and behind its `OK` nothing is taken before the caller has begun to
//! compress and decompress.

use std::collections::VecDeque;

use super::super::excerpt_of_reply;
use super::super::line::{LineTooLong, Received};
use super::super::reply::{Reply, ReplyError};
use super::super::transmit_buffer::TransmitBuffer;
use super::super::{Command, Error, Excerpt, LineBuffer, PasswordDigest, Refusal, Verb, Want};
use super::{Capabilities, ExtensionCommand, ExtensionReply, Remaining};

/// The client's side of one session of the [extension](super), without the connection: after
/// [`Client::pipelined`](super::super::Client::pipelined), or, where the peer is known to speak it, from a connection's
/// beginning with [`login`](Self::login) and the question in front.
///
/// After every call the driver
/// 1. writes [`transmit`](Self::transmit) and reports it with [`transmitted`](Self::transmitted); then, where
///    [`supply`](Self::supply) says so, bytes of a body,
/// 2. takes every event from [`poll_event`](Self::poll_event), of which each answers the oldest command that is due,
/// 3. reads what [`want`](Self::want) says.
///
/// It holds some ten bytes for a command that is due; how many are is the caller's to bound.
#[derive(Debug)]
pub struct PipelinedClient {
    sending: Sending,
    state: State,
    due: VecDeque<Due>,
    outbox: TransmitBuffer,
    /// Bytes given to be sent so far, bodies among them, and bytes of these that have left.
    given: u64,
    left: u64,
    events: VecDeque<PipelinedEvent>,
}

/// What has happened in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipelinedEvent {
    /// The password is right.
    PasswordAccepted,
    /// The peer speaks the extension.
    Capabilities(Capabilities),
    /// The peer speaks it no more: [`Want::Closed`]. No command behind the question was understood.
    NotSpoken(Refusal),
    /// `GET`: the file's bytes follow.
    File {
        /// So many.
        size: u64,
        /// When it was written, in nanoseconds since 1970.
        mtime: u64,
    },
    /// `LIST`: the page follows, for a [`PageParser`](super::PageParser).
    Page {
        /// Its bytes.
        size: u64,
        /// What follows the page; `None` if that is all.
        remaining: Option<Remaining>,
    },
    /// The last byte of a body was reported. With it the command is done.
    BodyComplete {
        /// What was asked.
        verb: Verb,
    },
    /// `DROP` or `PUT`: it is done, durably. `DEFLATE`: it is from here on; [`PipelinedClient::is_to_be_compressed`].
    Done {
        /// What was asked.
        verb: Verb,
    },
    /// The peer will not do it; the session goes on.
    Refused {
        /// What was asked.
        verb: Verb,
        /// Why not.
        refusal: Refusal,
    },
}

/// What may be sent.
#[derive(Clone, Copy, Debug)]
enum Sending {
    Open,
    Supplying {
        remaining: u64,
    },
    /// `DEFLATE` is not answered.
    Switching,
    /// It is, and what follows is compressed.
    Switched,
    Quit,
}

/// What is awaited.
#[derive(Debug)]
enum State {
    Line(LineBuffer),
    Body { verb: Verb, remaining: u64 },
    Closed { after: Option<Verb> },
    Failed(Error),
}

/// A command that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Due {
    verb: Verb,
    /// How many bytes have been given with its last one.
    end: u64,
}

impl PipelinedClient {
    /// A session in which nothing is under way.
    pub fn new() -> Self {
        Self {
            sending: Sending::Open,
            state: State::Line(LineBuffer::default()),
            due: VecDeque::new(),
            outbox: TransmitBuffer::default(),
            given: 0,
            left: 0,
            events: VecDeque::new(),
        }
    }

    /// What is awaited: [`Want::Command`] where nothing is due, else [`Want::Line`] or [`Want::Body`]; or
    /// [`Want::Closed`].
    pub fn want(&self) -> Want {
        match self.state {
            State::Line(_) if self.due.is_empty() => Want::Command,
            State::Line(_) => Want::Line,
            State::Body { remaining, .. } => Want::Body(remaining),
            State::Closed { .. } | State::Failed(_) => Want::Closed,
        }
    }

    /// How many commands are not answered yet.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<PipelinedEvent> {
        self.events.pop_front()
    }

    /// Bytes to be written to the peer, before those of a body.
    pub fn transmit(&self) -> &[u8] {
        self.outbox.pending()
    }

    /// The first `n` bytes of [`transmit`](Self::transmit) were written.
    pub fn transmitted(&mut self, n: usize) {
        let n = n.min(self.outbox.pending().len());
        self.outbox.advance(n);
        self.left += n as u64;
    }

    /// So many bytes of the body given with the last `PUT` are to be written behind [`transmit`](Self::transmit), before
    /// another command is given; 0 if there is none.
    pub fn supply(&self) -> u64 {
        match self.sending {
            Sending::Supplying { remaining } => remaining,
            Sending::Open | Sending::Switching | Sending::Switched | Sending::Quit => 0,
        }
    }

    /// So many bytes of that body were written.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, if that many were not wanted, or not yet; a failed session's error.
    pub fn body_supplied(&mut self, n: u64) -> Result<(), Error> {
        match self.sending {
            Sending::Supplying { remaining }
                if n <= remaining && self.outbox.pending().is_empty() && !self.is_over() =>
            {
                self.left += n;
                self.sending =
                    if n < remaining { Sending::Supplying { remaining: remaining - n } } else { Sending::Open };
                Ok(())
            }
            _ => Err(self.misuse("body_supplied()")),
        }
    }

    /// Gives the password: before everything else.
    ///
    /// # Errors
    /// As those of [`command`](Self::command).
    pub fn login(&mut self, password: PasswordDigest) -> Result<(), Error> {
        self.give(Verb::Pass, |out| Command::Pass(password).encode(out))
    }

    /// Gives a command, whatever is due. The caller sees to it that the peer can do it.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, while a body is to be [supplied](Self::supply), behind
    /// [`ExtensionCommand::Deflate`] until it is answered, and that one while anything is due; after
    /// [`quit`](Self::quit), and after the end; a failed session's error.
    pub fn command(&mut self, command: &ExtensionCommand) -> Result<(), Error> {
        if let ExtensionCommand::Deflate = command {
            if !self.due.is_empty() {
                return Err(self.misuse("command(Deflate)"));
            }
            self.give(Verb::Deflate, |out| command.encode(out))?;
            self.sending = Sending::Switching;
            return Ok(());
        }
        self.give(command.verb(), |out| command.encode(out))?;
        if let (&ExtensionCommand::Put { size, .. }, Some(put)) = (command, self.due.back_mut()) {
            self.given += size;
            put.end = self.given;
            if size > 0 {
                self.sending = Sending::Supplying { remaining: size };
            }
        }
        Ok(())
    }

    /// Whether the peer has consented to [`ExtensionCommand::Deflate`]: the bytes behind its answer, and all that is sent from
    /// now on, are compressed. Then [`compressed`](Self::compressed); until then nothing is taken and nothing can be given.
    pub fn is_to_be_compressed(&self) -> bool {
        matches!(self.sending, Sending::Switched)
    }

    /// What is taken from now on has been decompressed, and what is to be transmitted will be compressed.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, unless that [is due](Self::is_to_be_compressed); a failed session's error.
    pub fn compressed(&mut self) -> Result<(), Error> {
        if !self.is_to_be_compressed() || self.is_over() {
            return Err(self.misuse("compressed()"));
        }
        self.sending = Sending::Open;
        Ok(())
    }

    /// Ends the session once all that is due is answered.
    ///
    /// # Errors
    /// As those of [`command`](Self::command).
    pub fn quit(&mut self) -> Result<(), Error> {
        self.say("quit()", |out| Command::Quit.encode(out))?;
        self.sending = Sending::Quit;
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
            _ if bytes.is_empty() || matches!(self.sending, Sending::Switched) => Ok(0),
            (State::Line(line), Some(&Due { verb, end })) if end <= self.left => match line.take(bytes) {
                Ok(Received { consumed, line: None }) => Ok(consumed),
                Ok(Received { consumed, line: Some(line) }) => self.answered(verb, &line).map(|()| consumed),
                Err(LineTooLong) => {
                    let excerpt = excerpt_of_reply(verb, line.held());
                    self.fail(Error::LineTooLong { verb, excerpt })
                }
            },
            (State::Line(_), due) => {
                let error = Error::unsolicited(due.map(|due| due.verb), bytes);
                self.fail(error)
            }
            (State::Closed { after }, _) => {
                let error = Error::unsolicited(*after, bytes);
                self.fail(error)
            }
        }
    }

    /// So many bytes of a body went from the peer to the sink ([`Want::Body`]).
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, if that many were not wanted; a failed session's error.
    pub fn body_transferred(&mut self, n: u64) -> Result<(), Error> {
        match self.state {
            State::Body { verb, remaining } if n <= remaining => {
                self.receive(verb, remaining - n);
                Ok(())
            }
            _ => Err(self.misuse("body_transferred()")),
        }
    }

    /// The peer has closed the connection. That is orderly where nothing is due.
    ///
    /// # Errors
    /// The session fails if something was: what is due may have been done or not.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        let error = match (&self.state, self.due.front()) {
            (State::Failed(error), _) => return Err(error.clone()),
            (State::Closed { .. }, _) => return Ok(()),
            (&State::Body { verb, remaining }, _) => Error::Truncated { verb, remaining },
            (State::Line(_), None) => {
                self.close(None);
                return Ok(());
            }
            (State::Line(line), Some(&Due { verb, .. })) if !line.held().is_empty() => {
                Error::ReplyCut { verb, excerpt: excerpt_of_reply(verb, line.held()) }
            }
            (State::Line(_), Some(&Due { verb: Verb::Put, end })) if end <= self.left => {
                Error::Unconfirmed { verb: Verb::Put }
            }
            (State::Line(_), Some(&Due { verb, .. })) => Error::ClosedAfter { verb },
        };
        self.fail(error)
    }

    fn give(&mut self, verb: Verb, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.say("command()", encode)?;
        self.due.push_back(Due { verb, end: self.given });
        Ok(())
    }

    fn say(&mut self, call: &'static str, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        if !matches!(self.sending, Sending::Open) || self.is_over() {
            return Err(self.misuse(call));
        }
        let before = self.outbox.pending().len();
        self.outbox.fill(encode);
        self.given += (self.outbox.pending().len() - before) as u64;
        Ok(())
    }

    /// A whole line came where the answer to `verb` was due.
    fn answered(&mut self, verb: Verb, line: &[u8]) -> Result<(), Error> {
        let reply = match (verb, Reply::parse(Verb::Recv, line)) {
            (Verb::Pass, _) => match Reply::parse(Verb::Pass, line) {
                Ok(Reply::Ok) => {
                    self.done(PipelinedEvent::PasswordAccepted);
                    return Ok(());
                }
                Ok(Reply::Refused(refusal)) => Ok(ExtensionReply::Refused(refusal)),
                _ => Err(ReplyError::Garbage),
            },
            (Verb::Caps, Ok(Reply::Refused(refusal))) => {
                self.close(Some(Verb::Caps));
                self.events.push_back(PipelinedEvent::NotSpoken(refusal));
                return Ok(());
            }
            _ => ExtensionReply::parse(verb, line),
        };
        match reply {
            Ok(ExtensionReply::Capabilities(capabilities)) => self.done(PipelinedEvent::Capabilities(capabilities)),
            Ok(ExtensionReply::Done) => {
                self.switch(Sending::Switched);
                self.done(PipelinedEvent::Done { verb });
            }
            Ok(ExtensionReply::Refused(refusal)) => {
                self.switch(Sending::Open);
                self.done(PipelinedEvent::Refused { verb, refusal });
            }
            Ok(ExtensionReply::File { size, mtime }) => {
                self.events.push_back(PipelinedEvent::File { size, mtime });
                self.receive(verb, size);
            }
            Ok(ExtensionReply::Page { size, remaining }) => {
                self.events.push_back(PipelinedEvent::Page { size, remaining });
                self.receive(verb, size);
            }
            Err(ReplyError::Size(digits)) => return self.fail(Error::Size { verb, digits: Excerpt::of(digits) }),
            Err(ReplyError::Garbage) => {
                return self.fail(Error::Garbage { verb, excerpt: excerpt_of_reply(verb, line) });
            }
        }
        Ok(())
    }

    fn receive(&mut self, verb: Verb, remaining: u64) {
        if remaining > 0 {
            self.state = State::Body { verb, remaining };
        } else {
            self.state = State::Line(LineBuffer::default());
            self.due.pop_front();
            self.events.push_back(PipelinedEvent::BodyComplete { verb });
        }
    }

    /// `DEFLATE` is answered, if that was due.
    fn switch(&mut self, sending: Sending) {
        if let Sending::Switching = self.sending {
            self.sending = sending;
        }
    }

    fn done(&mut self, event: PipelinedEvent) {
        self.due.pop_front();
        self.events.push_back(event);
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Closed { .. } | State::Failed(_))
    }

    fn close(&mut self, after: Option<Verb>) {
        self.end(State::Closed { after });
    }

    fn end(&mut self, state: State) {
        self.outbox.clear();
        self.due.clear();
        self.sending = Sending::Open;
        self.state = state;
    }

    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.end(State::Failed(error.clone()));
        Err(error)
    }

    fn misuse(&self, call: &'static str) -> Error {
        match &self.state {
            State::Failed(error) => error.clone(),
            _ => Error::Misuse { call, want: self.want() },
        }
    }
}

impl Default for PipelinedClient {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[path = "pipelined_client_tests.rs"]
mod tests;
