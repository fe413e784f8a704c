//! One connection's conversation with its site.
//!
//! ```text
//! Connecting ──► Greeting ──► Ready ──► Listing ──► Ready …    the round says which step is next
//!                               │  ──► Fetching ──► Ready …    stage → committer
//!                               │  ──► Deleting ──► Ready …    compare with what was published
//!                               │         ├──► Staging ► Fetching, Deleting, Ready    until there is a place for what is announced
//!                               │         ├──► Confirming ► Ready …    is a file of a name that may come again gone?
//!                               │         └──► Trailing, Overrun     longer than announced: the session's last
//!                               ├──► Exhausted                 our last word goes unanswered: nothing may follow it
//!                               └──► Parked                    open, without a round
//! ```

mod body;
mod delete;
mod fetch;
mod task;

use body::Body;
use delete::Delete;
use fetch::Fetch;
use task::{ListingTask, Task};

use super::Reason;
use super::commit_queue::CommitQueue;
use super::ports::Connection;
use super::reason::BodyProgress;
use super::site::Site;
use crate::net::{ClientDriver, Read};
use crate::proto::{Command, Count, Event, FileName, ListArg, PasswordDigest, Want};
use crate::store::HashedTemp;
use crate::sync::{Assignment, Step};

/// The largest listing taken, in bytes: sixteen million names of 64 bytes.
pub(crate) const MAX_LISTING: u64 = 1 << 30;

/// Names of a listing that are judged before the other connections have their turn.
const NAMES_PER_TURN: usize = 2_000;

/// Why a session stopped pumping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PumpOutcome {
    /// Until the socket can go on.
    Blocked,
    /// Until the round has something for it.
    Waiting,
    /// Until the directory that its file goes into has gone on.
    Staging,
    /// The round has nothing more for it.
    Leaving,
    /// The round may have, but this connection can take no more commands.
    Exhausted,
    /// The site has closed while nothing was under way.
    Dropped,
}

/// What a session works with.
pub(super) struct Context<'a> {
    pub(super) io: &'a mut dyn Connection,
    pub(super) site: &'a mut Site,
    pub(super) commit_queue: &'a mut CommitQueue,
}

/// Whether a connection is known to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// What happens to it is the site's doing.
    Fresh,
    /// Used again after a rest: the site may have closed it meanwhile, as stock does after 4 s.
    Reused,
}

/// A connection's session.
pub(super) struct Session {
    site: usize,
    driver: ClientDriver,
    task: Task,
    standing: Reuse,
    body: Body,
}

impl Session {
    pub(super) fn new(site: usize) -> Self {
        Self { site, driver: ClientDriver::new(), task: Task::Connecting, standing: Reuse::Fresh, body: Body::None }
    }

    /// The site's key.
    pub(super) fn site(&self) -> usize {
        self.site
    }

    /// What a session about something else goes on with, where nothing is under way.
    pub(super) fn into_driver(self) -> ClientDriver {
        self.driver
    }

    /// Whether the connection stands.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.task, Task::Connecting)
    }

    /// Whether no round is at stake when the connection ends.
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.task, Task::Parked)
    }

    pub(super) fn park(&mut self) {
        self.task = Task::Parked;
    }

    /// A parked connection is used again.
    pub(super) fn resume(&mut self) {
        self.task = Task::Ready;
        self.standing = Reuse::Reused;
    }

    /// Whether the end of this connection says nothing about the site: it was used again, and has not answered since; or
    /// nothing more was to come.
    pub(super) fn may_end(&self) -> bool {
        self.standing == Reuse::Reused || matches!(&self.task, Task::Trailing(trailing) if !trailing.is_longer())
    }

    /// The connection stands: the password first, where there is one.
    pub(super) fn opened(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        let Some(password) = &cx.site.settings.password else {
            self.task = Task::Ready;
            return Ok(());
        };
        let command = Command::Pass(PasswordDigest::of(password));
        self.task = Task::Greeting;
        self.command(&command, cx)
    }

    /// Ends the session in good order, as far as the socket takes it at once.
    pub(super) fn quit(&mut self, io: &mut dyn Connection) {
        // The connection is closed next, whatever becomes of this.
        let sent = self.driver.transmit(io);
        // What a spent connection said last must be read alone; its end says the rest.
        if sent.is_ok() && !matches!(self.task, Task::Exhausted) && self.driver.command(&Command::Quit).is_ok() {
            let _ = self.driver.transmit(io);
        }
    }

    /// The connection is gone: the step that is under way goes back to the round, or ends with what has come.
    pub(super) fn abandon(&mut self, site: &mut Site, commit_queue: &mut CommitQueue) {
        std::mem::replace(&mut self.task, Task::Exhausted).on_disconnect(site, commit_queue);
    }

    /// Whether the connection's end would cost something: bytes of a file that have come, or the answer to a deletion.
    pub(super) fn has_file_under_way(&self) -> bool {
        self.task.is_under_way()
    }

    /// Whether the directory that its file goes into has not gone on so far that it may. If it has not, it is called again.
    pub(super) fn awaits_staging(&self) -> bool {
        match &self.task {
            Task::Staging { task, .. } => task.awaits_staging(HashedTemp::is_open),
            task => task.awaits_staging(HashedTemp::has_room),
        }
    }

    /// Whether it waits for the round to have something for it.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.task, Task::Ready)
    }

    /// The file that is under way, and what has come of it.
    pub(super) fn file(&self) -> Option<(&FileName, BodyProgress)> {
        self.task.file()
    }

    /// What the site owes us, for a message about a deadline that passed.
    pub(super) fn awaited(&self) -> String {
        let of = self.task.subject();
        match self.driver.want() {
            Want::Body(left) => format!("the last {} of {of}", Count(left, "byte")),
            _ => format!("an answer about {of}"),
        }
    }

    /// Whether a body is under way.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.driver.want(), Want::Body(_))
    }

    /// Goes on for as long as the socket, the budget and the round let it. A site that answers at once, or before it is
    /// asked, is asked one thing a turn.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        let (mut has_asked, cost) = (false, self.task.cost().unwrap_or(0));
        loop {
            if let Task::Overrun(..) | Task::Trailing(..) = self.task {
                return self.read_overrun(cx);
            }
            if !self.driver.transmit(cx.io)? {
                return Ok(PumpOutcome::Blocked);
            }
            let progress = match self.driver.want() {
                Want::Command if cx.io.has_buffered() => self.read_line(cx)?,
                Want::Command if has_asked => return Ok(give_way(cx)),
                Want::Command => match self.start_next(cx)? {
                    None => {
                        has_asked = true;
                        true
                    }
                    Some(PumpOutcome::Waiting) => return self.stand_by(cx),
                    Some(pause) => return Ok(pause),
                },
                Want::Line => self.read_line(cx)?,
                Want::Body(_) if !self.task.has_room() => return Ok(self.hold_body(cx)),
                Want::Body(left) => {
                    self.let_body_move(left, cx);
                    self.read_body(cx)?
                }
                Want::Decision => {
                    self.decide(cx)?;
                    if let Task::Staging { .. } = self.task {
                        return Ok(PumpOutcome::Staging);
                    }
                    true
                }
                // Nothing is sent from here.
                Want::Supply(_) | Want::Closed => return Ok(PumpOutcome::Dropped),
            };
            while let Some(event) = self.driver.poll_event() {
                self.handle(&event, cx)?;
            }
            if !progress {
                return Ok(PumpOutcome::Blocked);
            }
            if self.task.cost().is_some_and(|now| now.saturating_sub(cost) > NAMES_PER_TURN) {
                return Ok(give_way(cx));
            }
        }
    }

    /// Takes the round's next step; a pause where there is none.
    fn start_next(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        match self.task {
            Task::Exhausted => return Ok(Some(PumpOutcome::Exhausted)),
            Task::Parked => return Ok(Some(PumpOutcome::Waiting)),
            _ => {}
        }
        if cx.commit_queue.is_full() || cx.site.has_its_share(cx.commit_queue, cx.io.now()) {
            cx.site.stop_fetching();
        }
        let (command, task) = match cx.site.next_step() {
            Step::Do(Assignment::List(assignment)) => {
                (Command::List(ListArg::root()), Task::Listing(ListingTask::new(assignment, cx.site)))
            }
            Step::Do(Assignment::Fetch(assignment)) => {
                let name = assignment.name().clone();
                let command = if assignment.deletes() { Command::Move(name) } else { Command::Receive(name) };
                (command, Task::Fetching(Fetch::new(assignment)))
            }
            Step::Do(Assignment::Delete(assignment)) => {
                (Command::Move(assignment.name().clone()), Task::Deleting(Delete::new(assignment)))
            }
            Step::Wait => return Ok(Some(PumpOutcome::Waiting)),
            Step::Leave => return Ok(Some(PumpOutcome::Leaving)),
        };
        self.task = task;
        self.command(&command, cx)?;
        Ok(None)
    }

    fn command(&mut self, command: &Command, cx: &mut Context<'_>) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.site.settings.timeout));
        self.driver.command(command).map_err(|error| cx.site.protocol(error))
    }

    /// Nothing is under way: all that may come is the site's close.
    fn stand_by(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        if !self.is_parked() {
            cx.io.set_deadline(None);
        }
        loop {
            match self.read_line(cx) {
                Ok(true) if self.driver.want() == Want::Closed => return Ok(PumpOutcome::Dropped),
                Ok(true) => {}
                Ok(false) => return Ok(PumpOutcome::Waiting),
                Err(reason) => return Err(reason),
            }
        }
    }

    /// Reads towards the end of a reply; `false` where nothing has come.
    fn read_line(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        match self.driver.read_line(cx.io) {
            Ok(read) => Ok(read != Read::Blocked),
            Err(error) => Err(Reason::session(error, &cx.site.settings)),
        }
    }

    fn handle(&mut self, event: &Event, cx: &mut Context<'_>) -> Result<(), Reason> {
        self.standing = Reuse::Fresh;
        let task = std::mem::replace(&mut self.task, Task::Ready);
        match event {
            Event::Announced { verb, size } => {
                let reaction = task.announced(*verb, *size, cx)?;
                self.react(reaction, (*verb, *size), cx)
            }
            Event::BodyComplete { .. } => match task {
                Task::Deleting(delete) if delete.is_doubtful() => {
                    self.task = Task::Trailing(delete.rescue_beginning(cx.site, cx.commit_queue)?);
                    Ok(())
                }
                task => match task.complete(cx)? {
                    Some(deleted) => self.ask_for_deleted(deleted, cx),
                    None => Ok(()),
                },
            },
            Event::Refused { refusal, .. } => task.refused(refusal, cx),
            Event::PasswordAccepted | Event::Go { .. } | Event::Stored { .. } | Event::Capabilities(_) => Ok(()),
        }
    }

    /// Asks for a file again that the site was to delete: on this connection the site does one thing after the other.
    fn ask_for_deleted(&mut self, name: FileName, cx: &mut Context<'_>) -> Result<(), Reason> {
        let command = Command::Receive(name.clone());
        self.task = Task::Confirming(name);
        self.command(&command, cx)
    }
}

/// The other connections have their turn.
fn give_way(cx: &mut Context<'_>) -> PumpOutcome {
    cx.io.wake();
    PumpOutcome::Blocked
}

#[cfg(test)]
mod tests;
