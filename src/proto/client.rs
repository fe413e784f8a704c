//! The client's side of a session.
//!
//! ```text
//!                                  command(Quit), handle_eof
//!        +----------------- Idle --------------------------> Closed
//!        |                   ^ |                                            fault, anywhere --> Failed
//!        |                   | +--------------------------------+
//!        | command           | | command                        | command
//!        | (Pass)            | | (List, Receive, Move, ...)     | (Send, SendZip)
//!        v                   | v                                v
//!   Awaiting Acceptance      | Awaiting Size                Awaiting Go
//!        |                   |  |         |                     |      |
//!        | X OK, X ERR       |  | X ERR   | X SIZE n            | X OK | X ERR
//!        +------> Idle       |  +-> Idle  v                     v      +-> Idle
//!                            |         Deciding              Supplying
//!                            |          |     | decline()       | body_moved(), all
//!                            |  accept()|     +-> Idle          v
//!                            |          v                   Awaiting Confirmation
//!                            |       Receiving                  |
//!                            |          | body_moved(), all     | X OK, X ERR
//!                            +----------+-----------------------+
//!
//!   Idle -- ask_capabilities() --> Awaiting Capabilities -- CAPS 1 ..., RECV ERR --> Idle
//! ```
//! A peer that answers `CAPS` may be spoken to in the [extension](super::extension) from then on, by a
//! [`PipelinedClient`].
//!
//! The machine sees commands and replies only. Bodies go around it, straight between the connection and the disk;
//! [`Client::body_transferred`] says how much of one has passed.

use std::collections::VecDeque;

use super::extension::{Capabilities, ExtensionCommand, ExtensionReply, PipelinedClient};
use super::line::{LineTooLong, Received};
use super::reply::ReplyError;
use super::transmit_buffer::TransmitBuffer;
use super::{Answer, Command, Error, Excerpt, LineBuffer, Refusal, Reply, Request, Verb, excerpt_of_reply};

/// The client's side of one session, without the connection.
///
/// After every call the driver
/// 1. writes [`transmit`](Self::transmit) and reports it with [`transmitted`](Self::transmitted),
/// 2. takes every event from [`poll_event`](Self::poll_event),
/// 3. does what [`want`](Self::want) says.
///
/// Bytes left over from a read belong to what is wanted next: to the body on [`Want::Body`], and else to
/// [`handle_input`](Self::handle_input), *before* another command is given, so that a peer that sent too much is
/// found out.
///
/// One command is under way at a time and the next one can only be given once the last byte of the one before is
/// written: stock takes all that one read brought for one command.
#[derive(Debug)]
pub struct Client {
    state: State,
    outbox: TransmitBuffer,
    events: VecDeque<Event>,
}

/// What a [`Client`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The next command. A peer that closes now has only grown tired of waiting.
    Command,
    /// A line of the peer's, for [`Client::handle_input`].
    Line,
    /// [`Client::accept`] or [`Client::decline`].
    Decision,
    /// So many more bytes from the peer, for the caller's sink; never 0.
    Body(u64),
    /// So many more bytes to the peer, from the caller's source; never 0.
    Supply(u64),
    /// The connection to be closed, once [`Client::transmit`] is written.
    Closed,
}

/// What has happened in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The password is right.
    PasswordAccepted,
    /// The peer has a body for us: [`Client::accept`] it or [`Client::decline`].
    Announced {
        /// What was asked.
        verb: Verb,
        /// Bytes, at most [`MAX_SIZE`](super::MAX_SIZE): whether that is too much is the caller's decision.
        size: u64,
    },
    /// The peer will not do it; the session goes on.
    Refused {
        /// What was asked.
        verb: Verb,
        /// Why not.
        refusal: Refusal,
    },
    /// The last byte of the body was reported.
    BodyComplete {
        /// What was asked.
        verb: Verb,
    },
    /// The peer waits for the body we offered.
    Go {
        /// What was asked.
        verb: Verb,
    },
    /// The peer has stored the body.
    Stored {
        /// What was asked.
        verb: Verb,
    },
    /// The peer speaks the [extension](super::extension).
    Capabilities(Capabilities),
}

#[derive(Debug)]
enum State {
    Idle { after: Option<Verb> },
    Awaiting { verb: Verb, due: Expected, line: LineBuffer },
    Deciding { verb: Verb, size: u64 },
    Receiving { verb: Verb, remaining: u64 },
    Supplying { verb: Verb, remaining: u64 },
    Closed { after: Option<Verb> },
    Failed(Error),
}

/// The reply that would be right.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Acceptance,
    Size,
    Go { size: u64 },
    Confirmation,
    Capabilities,
}

impl Client {
    /// A session on a fresh connection.
    pub fn new() -> Self {
        Self { state: State::Idle { after: None }, outbox: TransmitBuffer::default(), events: VecDeque::new() }
    }

    /// What the session waits for.
    pub fn want(&self) -> Want {
        match self.state {
            State::Idle { .. } => Want::Command,
            State::Awaiting { .. } => Want::Line,
            State::Deciding { .. } => Want::Decision,
            State::Receiving { remaining, .. } => Want::Body(remaining),
            State::Supplying { remaining, .. } => Want::Supply(remaining),
            State::Closed { .. } | State::Failed(_) => Want::Closed,
        }
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to be written to the peer: what is left of one command or answer.
    pub fn transmit(&self) -> &[u8] {
        self.outbox.pending()
    }

    /// The first `n` bytes of [`transmit`](Self::transmit) were written.
    pub fn transmitted(&mut self, n: usize) {
        self.outbox.advance(n);
    }

    /// Gives the next command.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, unless [`Want::Command`] and all of [`transmit`](Self::transmit) is
    /// written; a failed session's error.
    pub fn command(&mut self, command: &Command) -> Result<(), Error> {
        let after = self.check_idle()?;
        self.outbox.fill(|out| command.encode(out));
        self.state = match (command.verb(), command) {
            (None, _) => State::Closed { after },
            (Some(verb), Command::Pass(_)) => State::awaiting(verb, Expected::Acceptance),
            (Some(verb), Command::Send { size, .. } | Command::SendZip { size, .. }) => {
                State::awaiting(verb, Expected::Go { size: *size })
            }
            (Some(verb), _) => State::awaiting(verb, Expected::Size),
        };
        Ok(())
    }

    /// Asks for a transfer under a name that only the server judges; else as [`command`](Self::command).
    ///
    /// # Errors
    /// As those of [`command`](Self::command).
    pub fn request(&mut self, request: &Request) -> Result<(), Error> {
        self.check_idle()?;
        self.outbox.fill(|out| request.encode(out));
        let due = match request {
            Request::Receive { .. } => Expected::Size,
            Request::Send { size, .. } => Expected::Go { size: *size },
        };
        self.state = State::awaiting(request.verb(), due);
        Ok(())
    }

    /// Asks whether the peer speaks the [extension](super::extension): [`Event::Capabilities`], or [`Event::Refused`] of
    /// [`Verb::Caps`], and the session goes on as before.
    ///
    /// # Errors
    /// As those of [`command`](Self::command).
    pub fn ask_capabilities(&mut self) -> Result<(), Error> {
        self.check_idle()?;
        self.outbox.fill(|out| ExtensionCommand::Capabilities.encode(out));
        self.state = State::awaiting(Verb::Caps, Expected::Capabilities);
        Ok(())
    }

    /// The session as it goes on in the extension. It does not come back.
    ///
    /// # Errors
    /// As those of [`command`](Self::command); then this one is to go on.
    pub fn pipelined(&self) -> Result<PipelinedClient, Error> {
        self.check_idle().map(|_| PipelinedClient::new())
    }

    /// Whether a command may be given now; what the last one was.
    fn check_idle(&self) -> Result<Option<Verb>, Error> {
        let State::Idle { after } = self.state else { return Err(self.misuse("command()")) };
        if self.transmit().is_empty() {
            Ok(after)
        } else {
            Err(self.misuse("command() before the last answer was written"))
        }
    }

    /// Takes the announced body. One of 0 bytes is complete at once, without ever being wanted.
    ///
    /// A stock server closes the connection after `RECV OK` for an empty file, and a next command is lost: there
    /// [`decline`](Self::decline), for all there is to know is known, or expect the end. `MV` of an empty file is
    /// sound.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, unless [`Want::Decision`]; a failed session's error.
    pub fn accept(&mut self) -> Result<(), Error> {
        let State::Deciding { verb, size } = self.state else { return Err(self.misuse("accept()")) };
        self.outbox.fill(|out| Answer::Accept.encode(verb, out));
        self.receive(verb, size);
        Ok(())
    }

    /// Leaves the announced body with the peer.
    ///
    /// Nothing answers this. Over plain TCP a stock server may therefore find the next command in the same read,
    /// take both for one answer and never reply: [`Command::Quit`] is sound there, anything else a wager. Over TLS a
    /// command in a record of its own is safe.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, unless [`Want::Decision`]; a failed session's error.
    pub fn decline(&mut self) -> Result<(), Error> {
        let State::Deciding { verb, .. } = self.state else { return Err(self.misuse("decline()")) };
        self.outbox.fill(|out| Answer::Decline.encode(verb, out));
        self.state = State::Idle { after: Some(verb) };
        Ok(())
    }

    /// So many bytes of the body went from the peer to the sink ([`Want::Body`]) or from the source to the peer
    /// ([`Want::Supply`]).
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing is done, if that many were not wanted; a failed session's error.
    pub fn body_transferred(&mut self, n: u64) -> Result<(), Error> {
        match self.state {
            State::Receiving { verb, remaining } if n <= remaining => self.receive(verb, remaining - n),
            State::Supplying { verb, remaining } if n <= remaining => {
                self.state = State::supplying(verb, remaining - n);
            }
            _ => return Err(self.misuse("body_transferred()")),
        }
        Ok(())
    }

    /// Takes bytes from the peer, in [`Want::Line`] at most one line, and returns how many.
    ///
    /// In [`Want::Decision`] and [`Want::Body`] it takes none: they are the body's.
    ///
    /// # Errors
    /// The session fails if they are no reply, or if none is due: before any command, before the last byte of one is
    /// written, while our body is still on its way, after a whole exchange.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match &mut self.state {
            State::Failed(error) => Err(error.clone()),
            _ if bytes.is_empty() => Ok(0),
            State::Deciding { .. } | State::Receiving { .. } => Ok(0),
            State::Awaiting { verb, due, line } if self.outbox.pending().is_empty() => {
                let (verb, due) = (*verb, *due);
                match line.take(bytes) {
                    Ok(Received { consumed, line: None }) => Ok(consumed),
                    Ok(Received { consumed, line: Some(line) }) => self.answered(verb, due, &line).map(|()| consumed),
                    Err(LineTooLong) => {
                        let excerpt = excerpt_of_reply(verb, line.held());
                        self.fail(Error::LineTooLong { verb, excerpt })
                    }
                }
            }
            // A reply to a command that has not left is none; nor is one to a body that has not.
            State::Awaiting { verb, .. } | State::Supplying { verb, .. } => {
                let error = Error::unsolicited(Some(*verb), bytes);
                self.fail(error)
            }
            State::Idle { after } | State::Closed { after } => {
                let error = Error::unsolicited(*after, bytes);
                self.fail(error)
            }
        }
    }

    /// The peer has closed the connection. That is orderly between two exchanges and after `QUIT`.
    ///
    /// # Errors
    /// The session fails if something was still due.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        match &self.state {
            State::Idle { after } | State::Closed { after } => {
                self.state = State::Closed { after: *after };
                self.outbox.clear();
                Ok(())
            }
            State::Awaiting { verb, due, line } => {
                let verb = *verb;
                let error = match due {
                    _ if !line.held().is_empty() => {
                        Error::ReplyCut { verb, excerpt: excerpt_of_reply(verb, line.held()) }
                    }
                    Expected::Confirmation => Error::Unconfirmed { verb },
                    Expected::Acceptance | Expected::Size | Expected::Go { .. } | Expected::Capabilities => {
                        Error::ClosedAfter { verb }
                    }
                };
                self.fail(error)
            }
            &State::Deciding { verb, size: remaining }
            | &State::Receiving { verb, remaining }
            | &State::Supplying { verb, remaining } => self.fail(Error::Truncated { verb, remaining }),
            State::Failed(error) => Err(error.clone()),
        }
    }

    /// A whole line came where `due` was.
    fn answered(&mut self, verb: Verb, due: Expected, line: &[u8]) -> Result<(), Error> {
        if let (Expected::Capabilities, Ok(ExtensionReply::Capabilities(capabilities))) =
            (due, ExtensionReply::parse(verb, line))
        {
            self.state = State::Idle { after: Some(verb) };
            self.events.push_back(Event::Capabilities(capabilities));
            return Ok(());
        }
        // A peer that does not know the question takes it for a file's name.
        let reply = match Reply::parse(if verb == Verb::Caps { Verb::Recv } else { verb }, line) {
            Ok(reply) => reply,
            Err(ReplyError::Size(digits)) => return self.fail(Error::Size { verb, digits: Excerpt::of(digits) }),
            Err(ReplyError::Garbage) => {
                return self.fail(Error::Garbage { verb, excerpt: excerpt_of_reply(verb, line) });
            }
        };
        let idle = State::Idle { after: Some(verb) };
        let (state, event) = match (due, reply) {
            (_, Reply::Refused(refusal)) => (idle, Event::Refused { verb, refusal }),
            (Expected::Acceptance, Reply::Ok) => (idle, Event::PasswordAccepted),
            (Expected::Size, Reply::Size(size)) => (State::Deciding { verb, size }, Event::Announced { verb, size }),
            (Expected::Go { size }, Reply::Ok) => (State::supplying(verb, size), Event::Go { verb }),
            (Expected::Confirmation, Reply::Ok) => (idle, Event::Stored { verb }),
            _ => return self.fail(Error::Garbage { verb, excerpt: excerpt_of_reply(verb, line) }),
        };
        self.state = state;
        self.events.push_back(event);
        Ok(())
    }

    fn receive(&mut self, verb: Verb, remaining: u64) {
        if remaining > 0 {
            self.state = State::Receiving { verb, remaining };
        } else {
            self.state = State::Idle { after: Some(verb) };
            self.events.push_back(Event::BodyComplete { verb });
        }
    }

    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.outbox.clear();
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

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn awaiting(verb: Verb, due: Expected) -> Self {
        Self::Awaiting { verb, due, line: LineBuffer::default() }
    }

    fn supplying(verb: Verb, remaining: u64) -> Self {
        if remaining > 0 { Self::Supplying { verb, remaining } } else { Self::awaiting(verb, Expected::Confirmation) }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
