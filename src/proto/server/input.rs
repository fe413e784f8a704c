//! What comes from the client.

use super::policy::Request;
use super::{AfterBody, CloseReason, Confirmation, Event, Expected, MOST_DROPS, Server, State};
use crate::proto::extension::{ExtensionCommand, ExtensionError, ExtensionReply};
use crate::proto::line::{LineTooLong, Received};
use crate::proto::{Answer, Command, Excerpt, Refusal, Reply, Verb};

impl Server {
    /// Takes bytes from the client, at most one line, and returns how many.
    ///
    /// It takes none while [`transmit`](Self::transmit) is not written, or anything but [`Want::Line`](super::Want) is
    /// wanted: they are the body's, or a command sent ahead.
    ///
    /// # Errors
    /// The session is over. `QUIT` is no error, and nothing is taken after it.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<usize, CloseReason> {
        match &mut self.state {
            State::Over(ending) if !ending.is_orderly() => Err(ending.clone()),
            _ if bytes.is_empty() || !self.outbox.pending().is_empty() => Ok(0),
            State::Awaiting { due, line } => {
                let due = *due;
                match line.take(bytes) {
                    Ok(Received { consumed, line: None }) => Ok(consumed),
                    Ok(Received { consumed, line: Some(line) }) => self.handle_line(due, &line).map(|()| consumed),
                    Err(LineTooLong) => {
                        let excerpt = Excerpt::of_command(line.held());
                        self.fail(CloseReason::LineTooLong { excerpt })
                    }
                }
            }
            State::Discarding { verb, remaining, then } => {
                let taken = usize::try_from(*remaining).map_or(bytes.len(), |remaining| remaining.min(bytes.len()));
                *remaining -= taken as u64;
                if *remaining > 0 {
                    return Ok(taken);
                }
                let (verb, then) = (*verb, then.clone());
                self.discarded(verb, then).map(|()| taken)
            }
            _ => Ok(0),
        }
    }

    /// The client has closed the connection, and all that it sent has been handed over. `orderly` means that it closed
    /// after it had all that we wrote: under TLS with its `close_notify`, plain with everything acknowledged.
    ///
    /// A caller with a decision to make had better make it first: a body that came whole is worth storing.
    ///
    /// # Errors
    /// Something was still due.
    pub fn handle_eof(&mut self, orderly: bool) -> Result<(), CloseReason> {
        let ending = self.ending_at_eof();
        let all_was_whole =
            matches!(ending, CloseReason::Quit | CloseReason::Closed | CloseReason::ClosedDuring { .. });
        if orderly && all_was_whole && self.moved != Confirmation::Confirmed {
            self.taken();
        }
        self.outbox.clear();
        if ending.is_orderly() {
            self.state = State::Over(ending);
            return Ok(());
        }
        self.fail(ending)
    }

    fn ending_at_eof(&self) -> CloseReason {
        match &self.state {
            State::Awaiting { line, .. } if !line.held().is_empty() => {
                CloseReason::LineCut { excerpt: Excerpt::of_command(line.held()) }
            }
            State::Awaiting { due: Expected::Command, .. } if self.owes_answers() => {
                CloseReason::ClosedDuring { verb: Verb::Drop }
            }
            State::Awaiting { due: Expected::Password | Expected::Command, .. } => CloseReason::Closed,
            &(State::Awaiting { due: Expected::Answer { verb, .. }, .. }
            | State::Offered { verb, .. }
            | State::Storing { verb }
            | State::Asked { verb }) => CloseReason::ClosedDuring { verb },
            &(State::Receiving { verb, remaining } | State::Discarding { verb, remaining, .. }) => {
                CloseReason::Truncated { verb, remaining }
            }
            State::Held { .. } => CloseReason::ClosedDuring { verb: Verb::Drop },
            &State::Supplying { verb, remaining } => CloseReason::Unsent { verb, remaining },
            State::Flushing => CloseReason::Unsent { verb: Verb::Mv, remaining: 0 },
            State::Switching => CloseReason::ClosedDuring { verb: Verb::Deflate },
            State::Over(ending) => ending.clone(),
        }
    }

    /// A whole line came where `due` was.
    fn handle_line(&mut self, due: Expected, line: &[u8]) -> Result<(), CloseReason> {
        match due {
            Expected::Password => self.log_in(line),
            Expected::Command => self.execute(line),
            Expected::Answer { verb, size } => {
                self.answered(verb, size, Answer::parse(verb, line));
                Ok(())
            }
        }
    }

    fn log_in(&mut self, line: &[u8]) -> Result<(), CloseReason> {
        match (Command::parse(line), &self.policy.password) {
            (Ok(Command::Pass(given)), Some(expected)) if given == *expected => {
                self.reply(Verb::Pass, &Reply::Ok);
                self.events.push_back(Event::PasswordAccepted);
                self.state = State::awaiting(Expected::Command);
                Ok(())
            }
            _ if Verb::Pass.strip_from(line).is_some() => self.fail(CloseReason::PasswordWrong),
            _ => self.fail(CloseReason::PasswordMissing { excerpt: Excerpt::of_command(line) }),
        }
    }

    pub(super) fn execute(&mut self, line: &[u8]) -> Result<(), CloseReason> {
        if self.owes_answers() && !self.may_join(line) {
            self.state = State::Held { line: line.into() };
            return Ok(());
        }
        let request = match self.policy.judge(line, self.compression) {
            Ok(request) => request,
            Err(ending) => return self.fail(ending),
        };
        if self.moved == Confirmation::AwaitingCommand {
            self.taken();
        }
        match request {
            Request::Store { verb, name, size } => {
                self.state = State::Offered { verb, size };
                self.events.push_back(Event::Offered { verb, name, size });
            }
            Request::File { verb, name } => {
                self.state = State::Asked { verb };
                self.events.push_back(Event::Asked { verb, name });
            }
            Request::Listing(word) => {
                self.state = State::Asked { verb: Verb::Ls };
                self.events.push_back(Event::ListAsked { word });
            }
            Request::Capabilities(capabilities) => {
                self.outbox.fill(|out| ExtensionReply::Capabilities(capabilities).encode(Verb::Caps, out));
                self.state = State::awaiting(Expected::Command);
            }
            Request::Compression => {
                self.state = State::Asked { verb: Verb::Deflate };
                self.events.push_back(Event::CompressionAsked);
            }
            Request::Page { word, after, limit } => {
                self.state = State::Asked { verb: Verb::List };
                self.events.push_back(Event::PageAsked { word, after, limit });
            }
            Request::Drop { name, size, hash } => {
                self.state = State::Asked { verb: Verb::Drop };
                self.events.push_back(Event::DropAsked { name, size, hash });
            }
            Request::Put { name, size, condition } => {
                self.state = State::Offered { verb: Verb::Put, size };
                self.events.push_back(Event::PutOffered { name, size, condition });
            }
            Request::Bad { verb, refusal } => self.refuse_line(verb, refusal, line),
            Request::Discard { verb, refusal, size } => {
                self.events.push_back(Event::Refused {
                    verb,
                    refusal: refusal.clone(),
                    line: Excerpt::of_command(line),
                });
                self.discard(verb, size, AfterBody::Refuse(refusal))?;
            }
            Request::Unstorable { verb, error, size: remaining } => {
                self.reply(verb, &Reply::Ok);
                self.discard(verb, remaining, AfterBody::End(error))?;
            }
            Request::Quit => self.state = State::Over(CloseReason::Quit),
        }
        Ok(())
    }

    fn refuse_line(&mut self, verb: Verb, refusal: Refusal, line: &[u8]) {
        self.events.push_back(Event::Refused { verb, refusal: refusal.clone(), line: Excerpt::of_command(line) });
        self.refuse_now(verb, refusal);
    }

    /// Whether a command may be taken while answers are owed: one whose own answer may wait behind them.
    fn may_join(&self, line: &[u8]) -> bool {
        let verb = || Some(ExtensionCommand::parse(line)?.map_or_else(ExtensionError::verb, |command| command.verb()));
        self.drops.len() < MOST_DROPS && verb() == Some(Verb::Drop)
    }

    fn discard(&mut self, verb: Verb, remaining: u64, then: AfterBody) -> Result<(), CloseReason> {
        if remaining == 0 {
            return self.discarded(verb, then);
        }
        self.state = State::Discarding { verb, remaining, then };
        Ok(())
    }

    /// The last byte of a body that nobody wants has come.
    fn discarded(&mut self, verb: Verb, then: AfterBody) -> Result<(), CloseReason> {
        match then {
            AfterBody::End(error) => self.fail(CloseReason::Unstorable { verb, error }),
            AfterBody::Refuse(refusal) => {
                self.refuse_now(verb, refusal);
                Ok(())
            }
        }
    }

    fn answered(&mut self, verb: Verb, size: u64, answer: Answer) {
        match answer {
            Answer::Accept => {
                self.events.push_back(Event::Accepted { verb });
                if size > 0 {
                    self.state = State::Supplying { verb, remaining: size };
                } else {
                    self.empty_body_left(verb);
                }
            }
            Answer::Decline => {
                self.events.push_back(Event::Declined { verb });
                self.state = State::awaiting(Expected::Command);
            }
        }
    }

    /// A client that accepts an empty body has all of it, and may well send more at once.
    fn empty_body_left(&mut self, verb: Verb) {
        if verb == Verb::Mv && self.moved == Confirmation::Confirmed {
            self.taken();
        }
        self.state = State::awaiting(Expected::Command);
    }

    fn taken(&mut self) {
        self.moved = Confirmation::Confirmed;
        self.events.push_back(Event::MovesConfirmed);
    }

    fn fail<T>(&mut self, ending: CloseReason) -> Result<T, CloseReason> {
        self.state = State::Over(ending.clone());
        Err(ending)
    }
}
