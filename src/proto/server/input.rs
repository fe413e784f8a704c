//! What comes from the client.

use super::policy::Request;
use super::{CloseReason, Confirmation, Event, Expected, Server, State};
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
            State::RejectAfterBody { verb, error, remaining } => {
                let taken = usize::try_from(*remaining).map_or(bytes.len(), |remaining| remaining.min(bytes.len()));
                *remaining -= taken as u64;
                let (verb, error, remaining) = (*verb, *error, *remaining);
                if remaining == 0 { self.fail(CloseReason::Unstorable { verb, error }) } else { Ok(taken) }
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
            State::Awaiting { due: Expected::Password | Expected::Command, .. } => CloseReason::Closed,
            &(State::Awaiting { due: Expected::Answer { verb, .. }, .. }
            | State::Offered { verb, .. }
            | State::Storing { verb }
            | State::Asked { verb }) => CloseReason::ClosedDuring { verb },
            &(State::Receiving { verb, remaining } | State::RejectAfterBody { verb, remaining, .. }) => {
                CloseReason::Truncated { verb, remaining }
            }
            &State::Supplying { verb, remaining } => CloseReason::Unsent { verb, remaining },
            State::Flushing => CloseReason::Unsent { verb: Verb::Mv, remaining: 0 },
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

    fn execute(&mut self, line: &[u8]) -> Result<(), CloseReason> {
        let request = match self.policy.judge(line) {
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
            Request::Bad { verb, refusal } => self.refuse_line(verb, refusal, line),
            Request::Unstorable { verb, error, size: remaining } => {
                self.reply(verb, &Reply::Ok);
                self.state = State::RejectAfterBody { verb, error, remaining };
            }
            Request::Quit => self.state = State::Over(CloseReason::Quit),
        }
        Ok(())
    }

    fn refuse_line(&mut self, verb: Verb, refusal: Refusal, line: &[u8]) {
        self.reply(verb, &Reply::Refused(refusal.clone()));
        self.events.push_back(Event::Refused { verb, refusal, line: Excerpt::of_command(line) });
        self.state = State::awaiting(Expected::Command);
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
