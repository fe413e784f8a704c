//! The server's side of a session.
//!
//! ```text
//!   Awaiting Password                                    QUIT, handle_eof(), a line that is no command --> Over
//!          | the right PASS
//!          v
//!   Awaiting Command <------------------------------------------------------+
//!      |    ^    |                                                          |
//!      |    |    | LS, RECV, ZRECV, MV                                      |
//!      |    |    v                                                          |
//!      |    |  Asked ---------------------------------------- refuse() ---> |
//!      |    |    | announce()                                               |
//!      |    |    v                                                          |
//!      |    |  Awaiting Answer --------------------------- all but X OK --> |
//!      |    |    | X OK                                                     |
//!      |    |    v                                                          |
//!      |    |  Supplying ------- body_moved(), all of LS, RECV, ZRECV ----> |
//!      |    |    | body_moved(), all of MV                                  |
//!      |    |    v                                                          |
//!      |    |  Flushing ------------------------------- body_left() ------> |
//!      |    |                                                               |
//!      |    +---------- refuse() ----------+--------------------+           |
//!      |                                   |                    |           |
//!      | SEND, ZSEND                       |                    |           |
//!      +--------------------------------> Offered               |           |
//!                                          | accept()           |           |
//!                                          v                    |           |
//!                                      Receiving ----------> Storing -------+
//!                                          body_moved(), all      stored()
//!
//!   Awaiting Command -- SEND <..> --> Discarding -- all of the body --> Over
//!
//!   In the extension:
//!
//!   Awaiting Command -- GET, LIST --> Asked -- give_file(), give_page() --> Supplying
//!   Awaiting Command -- PUT --> Offered -- accept() --> Receiving
//!                               Offered -- refuse() --> Discarding -- all of the body --> Awaiting Command
//!   Awaiting Command -- DROP --> Asked -- dropping() --> Awaiting Command, and one answer more is owed
//!   Awaiting Command -- DEFLATE --> Asked -- consent() --> Switching -- compressed() --> Awaiting Command
//!   Awaiting Command -- any other, answers being owed --> Held -- dropped(), all; resume() --> as without
//! ```
//! Answers to `DROP` are owed until the disk has done it, and several may be: else each would wait for a flush of its own.
//!
//!
//! The machine sees commands and answers only. Bodies go around it, straight between the connection and the disk;
//! [`Server::body_transferred`] reports how much of one has passed. It consumes only the bodies of names that no file
//! can have: a stock server asks for them too, and closes when it cannot open the file.

mod close_reason;
mod decisions;
mod event;
mod input;
mod policy;

use std::collections::VecDeque;
use std::sync::Arc;

use super::extension::ExtensionReply;
use super::transmit_buffer::TransmitBuffer;
use super::{LineBuffer, NameError, Refusal, Reply, Verb};

pub use close_reason::{CloseReason, Misuse};
pub use event::{Event, Want};
pub use policy::{Clock, DEFAULT_MAX_SIZE, Policy};

/// The server's side of one session, without the connection.
///
/// After every call the driver
/// 1. writes [`transmit`](Self::transmit) and reports it with [`transmitted`](Self::transmitted),
/// 2. takes every event from [`poll_event`](Self::poll_event),
/// 3. does what [`want`](Self::want) asks for.
///
/// Clients may send commands ahead. They are taken one at a time and in order: where
/// [`handle_input`](Self::handle_input) takes nothing, the driver keeps the rest, and reads no more than it has room
/// for.
///
/// # When a moved file may go
/// `MV` promises the client a file that is then deleted. Bytes handed to the kernel are not with the client yet: it may
/// be gone. So the file stays until the client has shown that it has the body, with a command it sent after that or
/// with an orderly close, and [`Event::MovesConfirmed`] reports it. A session that ends without it leaves the files
/// where they are.
#[derive(Debug)]
pub struct Server {
    policy: Arc<Policy>,
    state: State,
    /// The answers to `DROP`s that are owed, the oldest first. One that is known waits for those before it.
    drops: VecDeque<Option<ExtensionReply>>,
    moved: Confirmation,
    compression: Compression,
    outbox: TransmitBuffer,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum State {
    Awaiting {
        due: Expected,
        line: LineBuffer,
    },
    Offered {
        verb: Verb,
        size: u64,
    },
    Receiving {
        verb: Verb,
        remaining: u64,
    },
    Storing {
        verb: Verb,
    },
    Asked {
        verb: Verb,
    },
    Supplying {
        verb: Verb,
        remaining: u64,
    },
    Flushing,
    /// The answer to `DEFLATE` is the last that is not compressed.
    Switching,
    Discarding {
        verb: Verb,
        remaining: u64,
        then: AfterBody,
    },
    /// A command, for when no answer is owed any more.
    Held {
        line: Box<[u8]>,
    },
    Over(CloseReason),
}

/// What follows a body that nobody wants.
#[derive(Clone, Debug)]
enum AfterBody {
    End(NameError),
    Refuse(Refusal),
}

/// The line that would be right.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Password,
    Command,
    Answer { verb: Verb, size: u64 },
}

/// The most answers that are owed at a time.
const MOST_DROPS: usize = 1024;

/// Whether what comes has been decompressed, and what is to be transmitted will be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Off,
    On,
}

/// Whether the client is known to have the bodies it was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confirmation {
    /// It has all there were.
    Confirmed,
    /// All are written and nothing of the client's was waiting: whoever sends the next command has them.
    AwaitingCommand,
    /// A command has been sent ahead of the last body's arrival, and shows nothing.
    Unconfirmed,
}

impl Server {
    /// A session on a fresh connection.
    pub fn new(policy: Arc<Policy>) -> Self {
        let due = if policy.password.is_some() { Expected::Password } else { Expected::Command };
        let state = State::awaiting(due);
        Self {
            policy,
            state,
            drops: VecDeque::new(),
            moved: Confirmation::Confirmed,
            compression: Compression::Off,
            outbox: TransmitBuffer::default(),
            events: VecDeque::new(),
        }
    }

    /// What the session waits for.
    pub fn want(&self) -> Want {
        match self.state {
            State::Awaiting { .. } | State::Discarding { .. } => Want::Line,
            State::Offered { .. } | State::Storing { .. } | State::Asked { .. } | State::Held { .. } => Want::Decision,
            State::Receiving { remaining, .. } => Want::Body(remaining),
            State::Supplying { remaining, .. } => Want::Supply(remaining),
            State::Flushing => Want::Flush,
            State::Switching => Want::Compression,
            State::Over(_) => Want::Closed,
        }
    }

    /// Whether the client has yet to log in.
    pub fn awaits_password(&self) -> bool {
        matches!(self.state, State::Awaiting { due: Expected::Password, .. })
    }

    /// How the session ended, once it has.
    pub fn ending(&self) -> Option<&CloseReason> {
        if let State::Over(ending) = &self.state { Some(ending) } else { None }
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            // An idle session holds no memory.
            self.events = VecDeque::new();
        }
        event
    }

    /// Bytes to be written to the client: what is left of one or two replies.
    pub fn transmit(&self) -> &[u8] {
        self.outbox.pending()
    }

    /// The first `n` bytes of [`transmit`](Self::transmit) were written.
    pub fn transmitted(&mut self, n: usize) {
        self.outbox.advance(n);
    }

    /// Whether answers to `DROP` are owed.
    pub fn owes_answers(&self) -> bool {
        !self.drops.is_empty()
    }

    /// So many bytes of the body went from the client to the sink ([`Want::Body`]) or from the source to the client
    /// ([`Want::Supply`]).
    ///
    /// # Errors
    /// Nothing is done if that many were not wanted.
    pub fn body_transferred(&mut self, n: u64) -> Result<(), Misuse> {
        match self.state {
            State::Receiving { verb, remaining } if n <= remaining => self.receive(verb, remaining - n),
            State::Supplying { verb, remaining } if n <= remaining => self.supply(verb, remaining - n),
            _ => return Err(self.misuse("body_transferred()")),
        }
        Ok(())
    }

    /// The last byte of a moved body is written to the connection, past every buffer of ours. `pipelined` is whether
    /// bytes of the client's were already waiting before: whoever sent them had not seen the body's end.
    ///
    /// # Errors
    /// Nothing is done unless [`Want::Flush`].
    pub fn body_flushed(&mut self, pipelined: bool) -> Result<(), Misuse> {
        let State::Flushing = self.state else { return Err(self.misuse("body_flushed()")) };
        self.moved = if pipelined { Confirmation::Unconfirmed } else { Confirmation::AwaitingCommand };
        self.state = State::awaiting(Expected::Command);
        Ok(())
    }

    /// Whether the next command will show that the client has what it was moved, unless it was
    /// [sent ahead](Self::sent_ahead).
    pub fn awaits_proof(&self) -> bool {
        self.moved == Confirmation::AwaitingCommand
    }

    /// What the client sends now is no answer to the last moved body: that has not arrived yet.
    pub fn sent_ahead(&mut self) {
        if self.moved == Confirmation::AwaitingCommand {
            self.moved = Confirmation::Unconfirmed;
        }
    }

    /// All that the client has sent is taken, and all that was to be written is: its next command will show that it has
    /// the bodies it was moved, even where the last one was sent ahead.
    pub fn caught_up(&mut self) {
        let between_lines =
            matches!(&self.state, State::Awaiting { due: Expected::Command, line } if line.held().is_empty());
        if between_lines && self.moved == Confirmation::Unconfirmed && self.outbox.pending().is_empty() {
            self.moved = Confirmation::AwaitingCommand;
        }
    }

    /// Refuses a command, behind the answers that are owed. No other is under way with them than a `DROP`.
    fn refuse_now(&mut self, verb: Verb, refusal: Refusal) {
        if self.drops.is_empty() {
            self.reply(verb, &Reply::Refused(refusal));
        } else {
            self.drops.push_back(Some(ExtensionReply::Refused(refusal)));
        }
        self.state = State::awaiting(Expected::Command);
    }

    fn reply(&mut self, verb: Verb, reply: &Reply) {
        self.outbox.fill(|out| reply.encode(verb, out));
    }

    fn receive(&mut self, verb: Verb, remaining: u64) {
        if remaining > 0 {
            self.state = State::Receiving { verb, remaining };
        } else {
            self.state = State::Storing { verb };
            self.events.push_back(Event::BodyComplete { verb });
        }
    }

    fn supply(&mut self, verb: Verb, remaining: u64) {
        self.state = match verb {
            _ if remaining > 0 => State::Supplying { verb, remaining },
            Verb::Mv => State::Flushing,
            _ => State::awaiting(Expected::Command),
        };
    }

    fn misuse(&self, call: &'static str) -> Misuse {
        Misuse { call, want: self.want() }
    }
}

impl State {
    fn awaiting(due: Expected) -> Self {
        Self::Awaiting { due, line: LineBuffer::default() }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod recordings;
#[cfg(test)]
mod tests;
