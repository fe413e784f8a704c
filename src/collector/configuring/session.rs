//! One connection's conversation about configuration.
//!
//! ```text
//! Opening ──► Greeting ──► Ready
//! Ready ──► Listing, Fetching, Comparing, Storing, Deleting ──► Ready …    the steps say which is next
//!   │ ▲                                    └──► Exhausted                  our last word goes unanswered: nothing may follow it
//!   ▼ │
//! Awaiting    the centre's directories have the step
//! ```

use std::io::Cursor;
use std::sync::Arc;

use crate::collector::Reason;
use crate::collector::ports::Connection;
use crate::config::SiteSettings;
use crate::deadline::BodyPace;
use crate::net::{ClientDriver, DriverError, Read};
use crate::proto::{Command, Event, ListArg, ListingParser, Md5Hasher, Md5Sum, PasswordDigest, Refusal, Verb, Want};
use crate::store::{MAX_COLLECTION, MAX_CONFIGURATION};
use crate::sync::remote_config::{CentreStep, ConfigStep, Deletion, Listed, SiteStep, StepOutcome, Steps};

/// The largest listing of a site's `.md5` files that is taken, in bytes: fifty thousand agents'.
const MAX_LISTING: u64 = 2 << 20;

/// Steps before the other connections have their turn.
const STEPS_PER_TURN: usize = 16;

/// What a session works with.
pub(in crate::collector) struct ConfigContext<'a> {
    pub(in crate::collector) io: &'a mut dyn Connection,
    pub(in crate::collector) settings: &'a SiteSettings,
    pub(in crate::collector) steps: &'a mut dyn Steps,
}

/// Why a session stopped pumping.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::collector) enum ConfigPumped {
    /// Until the socket can go on, or the centre has answered.
    Blocked,
    /// Until the centre has done this.
    Ask(CentreStep),
    /// There are no more steps.
    Finished,
    /// There are, but this connection can take no more commands.
    Exhausted,
}

/// A connection's session.
pub(in crate::collector) struct ConfigSession {
    site: usize,
    driver: ClientDriver,
    task: Task,
    /// Of the body that is under way.
    pace: Option<BodyPace>,
}

/// A state of the diagram [above](self).
enum Task {
    Opening,
    Greeting,
    Ready,
    Listing(MdListing),
    Fetching(Vec<u8>),
    Comparing(Md5Hasher),
    Storing(Cursor<Arc<[u8]>>),
    Deleting { expected: Md5Sum, received: Received },
    Awaiting,
    Exhausted,
}

/// What comes while a file is deleted. The size is the expected one.
enum Received {
    /// All of it: what an agent has put in its place is to be stored again.
    Kept(Vec<u8>),
    /// It is a collection's, which agents do not send.
    Measured(Md5Hasher),
}

impl Received {
    fn new(expected: Md5Sum) -> Self {
        if expected.size <= MAX_CONFIGURATION { Self::Kept(Vec::new()) } else { Self::Measured(Md5Hasher::default()) }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Kept(body) => body.extend_from_slice(bytes),
            Self::Measured(running) => running.update(bytes),
        }
    }

    fn finish(self, expected: Md5Sum) -> Deletion {
        let (found, body) = match self {
            Self::Kept(body) => (Md5Sum::of(&body), Some(body.into())),
            Self::Measured(running) => (running.finish(), None),
        };
        if found == expected { Deletion::Done } else { Deletion::Other(body) }
    }
}

/// A listing on its way.
#[derive(Default)]
struct MdListing {
    parser: ListingParser,
    listed: Listed,
}

impl MdListing {
    fn feed(&mut self, bytes: &[u8]) {
        let Self { parser, listed } = self;
        parser.feed(bytes, |name| listed.saw(name));
    }

    fn finish(self) -> Listed {
        let Self { parser, mut listed } = self;
        parser.finish(|name| listed.saw(name));
        listed
    }
}

impl ConfigSession {
    /// On a connection that stands, and on which nothing was said: the password first, where there is one.
    pub(in crate::collector) fn open(site: usize) -> Self {
        Self { site, driver: ClientDriver::new(), task: Task::Opening, pace: None }
    }

    /// `driver` is that of a connection that stands, and on which nothing is under way.
    pub(in crate::collector) fn new(site: usize, driver: ClientDriver) -> Self {
        Self { site, driver, task: Task::Ready, pace: None }
    }

    /// The site's key.
    pub(in crate::collector) fn site(&self) -> usize {
        self.site
    }

    /// Ends the session in good order, as far as the socket takes it at once.
    pub(in crate::collector) fn quit(&mut self, io: &mut dyn Connection) {
        // The connection is closed next, whatever becomes of this.
        if !matches!(self.task, Task::Exhausted) && self.driver.command(&Command::Quit).is_ok() {
            let _ = self.driver.transmit(io);
        }
    }

    /// The centre has answered.
    pub(in crate::collector) fn resume(&mut self) {
        self.task = Task::Ready;
    }

    /// Carries out steps for as long as the socket lets it.
    pub(in crate::collector) fn pump(&mut self, cx: &mut ConfigContext<'_>) -> Result<ConfigPumped, Reason> {
        let mut steps = 0;
        while self.driver.transmit(cx.io)? {
            if self.driver.want() == Want::Command {
                if let Some(pumped) = self.begin_step(cx)? {
                    return Ok(pumped);
                }
                steps += 1;
                if steps == STEPS_PER_TURN {
                    cx.io.wake();
                    return Ok(ConfigPumped::Blocked);
                }
                continue;
            }
            let moved = self.move_bytes(cx).map_err(|error| Reason::session(error, cx.settings))?;
            while let Some(event) = self.driver.poll_event() {
                self.handle(&event, cx)?;
            }
            if !moved {
                return Ok(ConfigPumped::Blocked);
            }
        }
        Ok(ConfigPumped::Blocked)
    }

    /// Begins the next step; why not, where there is none for the site now.
    fn begin_step(&mut self, cx: &mut ConfigContext<'_>) -> Result<Option<ConfigPumped>, Reason> {
        match (&self.task, &cx.settings.password) {
            (Task::Awaiting, _) => return self.stand_by(cx).map(Some),
            (Task::Opening, Some(password)) => {
                let command = Command::Pass(PasswordDigest::of(password));
                self.command(&command, Task::Greeting, cx)?;
                return Ok(None);
            }
            _ => {}
        }
        let step = match cx.steps.next_step() {
            ConfigStep::Finished => return Ok(Some(ConfigPumped::Finished)),
            _ if matches!(self.task, Task::Exhausted) => return Ok(Some(ConfigPumped::Exhausted)),
            ConfigStep::Do(step) => step,
            ConfigStep::Ask(step) => {
                self.task = Task::Awaiting;
                cx.io.set_deadline(None);
                return Ok(Some(ConfigPumped::Ask(step)));
            }
        };
        let (command, task) = match step {
            SiteStep::List => (Command::List(ListArg::md5()), Task::Listing(MdListing::default())),
            SiteStep::Fetch { name } => (Command::Receive(name), Task::Fetching(Vec::new())),
            SiteStep::Compare { name } => (Command::Receive(name), Task::Comparing(Md5Hasher::default())),
            SiteStep::Store { name, body } => {
                (Command::Send { name, size: body.len() as u64 }, Task::Storing(Cursor::new(body)))
            }
            SiteStep::Delete { name, expected } => {
                (Command::Move(name), Task::Deleting { expected, received: Received::new(expected) })
            }
        };
        self.command(&command, task, cx)?;
        Ok(None)
    }

    fn command(&mut self, command: &Command, task: Task, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        self.task = task;
        cx.io.set_deadline(Some(cx.settings.timeout));
        self.driver.command(command).map_err(|error| Reason::protocol(error, cx.settings))
    }

    /// Nothing is under way: all that may come is the site's close.
    fn stand_by(&mut self, cx: &mut ConfigContext<'_>) -> Result<ConfigPumped, Reason> {
        match self.driver.read_line(cx.io).map_err(|error| Reason::session(error, cx.settings))? {
            Read::Eof { .. } => Ok(ConfigPumped::Exhausted),
            Read::Bytes(_) | Read::Blocked => Ok(ConfigPumped::Blocked),
        }
    }

    /// Moves what can be moved now; whether anything was.
    fn move_bytes(&mut self, cx: &mut ConfigContext<'_>) -> Result<bool, DriverError> {
        let moved = match (self.driver.want(), &mut self.task) {
            (Want::Line, _) => return self.driver.read_line(cx.io).map(|read| read != Read::Blocked),
            (Want::Body(_), task) => {
                let read = self.driver.read_body(cx.io, u64::MAX, |bytes| task.take_body(bytes))?;
                read != Read::Blocked
            }
            (Want::Supply(_), Task::Storing(body)) => self.driver.send_body(cx.io, body)? > 0,
            // What is announced is answered at once, and a closed connection is pumped no more.
            (Want::Supply(_) | Want::Command | Want::Decision | Want::Closed, _) => false,
        };
        if moved {
            self.extend_deadline(cx);
        }
        Ok(moved)
    }

    /// The body under way has gone on: it may, unless it is too slow.
    fn extend_deadline(&self, cx: &mut ConfigContext<'_>) {
        let timeout = cx.settings.timeout;
        let wait = match (self.driver.want(), self.pace) {
            (Want::Body(left) | Want::Supply(left), Some(pace)) => pace.wait(left, timeout, cx.io.peer_time()),
            _ => timeout,
        };
        cx.io.set_deadline(Some(wait));
    }

    fn handle(&mut self, event: &Event, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        match event {
            Event::Announced { size, .. } => self.announced(*size, cx),
            Event::Go { .. } => {
                if let Want::Supply(size) = self.driver.want() {
                    self.begin_body(size, cx);
                }
                Ok(())
            }
            Event::BodyComplete { .. } => {
                let outcome = match std::mem::replace(&mut self.task, Task::Ready) {
                    Task::Listing(listing) => StepOutcome::Listed(listing.finish()),
                    Task::Fetching(bytes) => StepOutcome::Fetched(Some(bytes.into())),
                    Task::Comparing(running) => StepOutcome::Compared(Some(running.finish())),
                    Task::Deleting { expected, received } => StepOutcome::Deleted(received.finish(expected)),
                    Task::Opening
                    | Task::Greeting
                    | Task::Ready
                    | Task::Storing(_)
                    | Task::Awaiting
                    | Task::Exhausted => return Ok(()),
                };
                cx.steps.after(outcome);
                Ok(())
            }
            Event::Stored { .. } => {
                self.end_step(Ok(()), cx);
                Ok(())
            }
            Event::Refused { verb: Verb::Pass, .. } => Err(Reason::PasswordRefused),
            Event::Refused { refusal, .. } => {
                self.end_step(Err(refusal), cx);
                Ok(())
            }
            Event::PasswordAccepted => {
                self.task = Task::Ready;
                Ok(())
            }
            Event::Capabilities(_) => Ok(()),
        }
    }

    /// The site has answered, and there is no body, or it has the one it was sent.
    fn end_step(&mut self, answer: Result<(), &Refusal>, cx: &mut ConfigContext<'_>) {
        let task = std::mem::replace(&mut self.task, Task::Ready);
        cx.steps.after(match (task, answer) {
            (Task::Storing(_), answer) => StepOutcome::Stored(answer.map_err(Clone::clone)),
            (Task::Listing(_), Err(refusal)) => StepOutcome::ListRefused(refusal.clone()),
            (Task::Comparing(_), Err(_)) => StepOutcome::Compared(None),
            (Task::Deleting { .. }, Err(_)) => StepOutcome::Deleted(Deletion::Declined),
            // Whatever else is answered was asked for with it.
            _ => StepOutcome::Fetched(None),
        });
    }

    /// Takes what is announced, or leaves it where it is.
    fn announced(&mut self, size: u64, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        let is_taken = match &self.task {
            Task::Listing(_) if size > MAX_LISTING => {
                return Err(Reason::ListingTooLarge { size, most: MAX_LISTING });
            }
            Task::Listing(_) => true,
            Task::Fetching(_) => (1..=MAX_CONFIGURATION).contains(&size),
            Task::Comparing(_) => (1..=MAX_COLLECTION).contains(&size),
            Task::Deleting { expected, .. } => size == expected.size,
            Task::Opening | Task::Greeting | Task::Ready | Task::Storing(_) | Task::Awaiting | Task::Exhausted => false,
        };
        let answered = if is_taken { self.driver.accept() } else { self.driver.decline() };
        answered.map_err(|error| Reason::protocol(error, cx.settings))?;
        if is_taken {
            self.begin_body(size, cx);
            return Ok(());
        }
        self.end_step(Err(&Refusal::Unspecified), cx);
        // Nothing answers a refusal, so a stock server may read it together with the next command as one, and close; after
        // `RECV` of an empty file it closes in any case. In TLS each is a record, and thereby a read, of its own.
        if cx.settings.tls.is_none() || size == 0 {
            self.task = Task::Exhausted;
        }
        Ok(())
    }

    fn begin_body(&mut self, size: u64, cx: &mut ConfigContext<'_>) {
        self.pace = Some(BodyPace::new(cx.io.peer_time(), size, cx.settings.timeout, cx.settings.min_rate));
        cx.io.set_deadline(Some(cx.settings.timeout));
    }
}

impl Task {
    fn take_body(&mut self, bytes: &[u8]) {
        match self {
            Self::Listing(listing) => listing.feed(bytes),
            Self::Fetching(body) => body.extend_from_slice(bytes),
            Self::Comparing(running) => running.update(bytes),
            Self::Deleting { received, .. } => received.update(bytes),
            Self::Opening | Self::Greeting | Self::Ready | Self::Storing(_) | Self::Awaiting | Self::Exhausted => {}
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
