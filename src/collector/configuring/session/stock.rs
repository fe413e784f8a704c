//! One thing after the other, as every server understands it.
//!
//! ```text
//! Opening ──► Greeting ──► Ready
//! Ready ──► Asking ──► Ready ──► …    where it is not known what the site speaks
//! Ready ──► Listing, Fetching, Comparing, Storing, Deleting ──► Ready …    the steps say which is next
//!   │ ▲                                    └──► Exhausted                  our last word goes unanswered: nothing may follow it
//!   ▼ │
//! Awaiting    the centre's directories have the step
//! ```
//! Where the site speaks the extension, an [`ExtendedConversation`] goes on from Ready, but for what is `left` to this one.

use std::io::Cursor;
use std::sync::Arc;

use super::extended::ExtendedConversation;
use super::{ConfigContext, ConfigPumped, Conversation, Dialect, Turn};
use crate::collector::Reason;
use crate::collector::ports::Connection;
use crate::deadline::BodyPace;
use crate::net::{ClientDriver, DriverError, Read};
use crate::proto::{Command, Event, ListArg, ListingParser, PasswordDigest, Refusal, Verb, Want};
use crate::store::{MAX_COLLECTION, MAX_CONFIGURATION};
use crate::sync::remote_config::{
    ConfigStep, Deletion, Listed, SiteStep, StepId, StepOutcome, Stored, Sums, SumsHasher,
};

/// The largest listing of a site's `.md5` files that is taken, in bytes: fifty thousand agents'.
pub(super) const MAX_LISTING: u64 = 2 << 20;

/// Steps before the other connections have their turn.
const STEPS_PER_TURN: usize = 16;

/// What is said on a connection.
pub(super) struct StockConversation {
    driver: ClientDriver,
    dialect: Dialect,
    task: Task,
    /// What the site is asked next, whatever it speaks.
    left: Option<(StepId, SiteStep)>,
    /// Of the body that was on its way last.
    pace: Option<BodyPace>,
}

/// A state of the diagram [above](self).
enum Task {
    Opening,
    Greeting,
    Ready,
    Asking,
    Doing(StepId, Deed),
    Awaiting,
    Exhausted,
}

/// What the site is asked to do.
enum Deed {
    Listing(MdListing),
    Fetching(Vec<u8>),
    Comparing(SumsHasher),
    Storing(Cursor<Arc<[u8]>>),
    Deleting { expected: Sums, received: Received },
}

/// What comes while a file is deleted. The size is the expected one.
enum Received {
    /// All of it: what an agent has put in its place is to be stored again.
    Kept(Vec<u8>),
    /// It is a collection's, which agents do not send.
    Measured(SumsHasher),
}

impl Received {
    fn new(expected: Sums) -> Self {
        if expected.md5.size <= MAX_CONFIGURATION {
            Self::Kept(Vec::new())
        } else {
            Self::Measured(SumsHasher::default())
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Kept(body) => body.extend_from_slice(bytes),
            Self::Measured(running) => running.update(bytes),
        }
    }

    fn finish(self, expected: Sums) -> Deletion {
        let (found, body) = match self {
            Self::Kept(body) => (Sums::of(&body), Some(body.into())),
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

impl StockConversation {
    /// On a connection on which nothing was said.
    pub(super) fn open(dialect: Dialect) -> Self {
        Self { driver: ClientDriver::new(), dialect, task: Task::Opening, left: None, pace: None }
    }

    /// On a connection on which nothing is under way.
    pub(super) fn new(driver: ClientDriver, dialect: Dialect) -> Self {
        Self { driver, dialect, task: Task::Ready, left: None, pace: None }
    }

    /// The same, where the extension is spoken: for this step.
    pub(super) fn for_step(id: StepId, step: SiteStep) -> Self {
        Self { left: Some((id, step)), ..Self::new(ClientDriver::new(), Dialect::Extended) }
    }

    pub(super) fn is_asking(&self) -> bool {
        matches!(self.task, Task::Asking)
    }

    pub(super) fn quit(&mut self, io: &mut dyn Connection) {
        // The connection is closed next, whatever becomes of this.
        if !matches!(self.task, Task::Exhausted) && self.driver.command(&Command::Quit).is_ok() {
            let _ = self.driver.transmit(io);
        }
    }

    /// The centre has answered.
    pub(super) fn resume(&mut self) {
        if let Task::Awaiting = self.task {
            self.task = Task::Ready;
        }
    }

    /// Carries out steps for as long as the socket lets it.
    pub(super) fn pump(&mut self, cx: &mut ConfigContext<'_>) -> Result<Turn, Reason> {
        let mut steps = 0;
        while self.driver.transmit(cx.io)? {
            if self.driver.want() == Want::Command {
                if let Some(turn) = self.begin_step(cx)? {
                    return Ok(turn);
                }
                steps += 1;
                if steps == STEPS_PER_TURN {
                    cx.io.wake();
                    return Ok(Turn::Pumped(ConfigPumped::Blocked));
                }
                continue;
            }
            let moved = self.move_bytes(cx).map_err(|error| Reason::session(error, cx.settings))?;
            while let Some(event) = self.driver.poll_event() {
                self.handle(&event, cx)?;
            }
            if !moved {
                return Ok(Turn::Pumped(ConfigPumped::Blocked));
            }
        }
        Ok(Turn::Pumped(ConfigPumped::Blocked))
    }

    /// Begins the next step; why not, where there is none for the site now.
    fn begin_step(&mut self, cx: &mut ConfigContext<'_>) -> Result<Option<Turn>, Reason> {
        let pumped = |pumped| Ok(Some(Turn::Pumped(pumped)));
        match (&self.task, &cx.settings.password) {
            (Task::Awaiting, _) => return self.stand_by(cx).map(|pumped| Some(Turn::Pumped(pumped))),
            (Task::Opening, Some(password)) => {
                let command = Command::Pass(PasswordDigest::of(password));
                self.command(&command, Task::Greeting, cx)?;
                return Ok(None);
            }
            _ => {}
        }
        if cx.steps.is_finished() {
            return pumped(ConfigPumped::Finished);
        }
        if matches!(self.task, Task::Exhausted) || self.was_left(cx) {
            self.task = Task::Exhausted;
            return pumped(ConfigPumped::Exhausted);
        }
        let (id, step) = match (self.left.take(), self.dialect) {
            (Some((id, step)), _) => (id, ConfigStep::Do(step)),
            (None, Dialect::Extended) => {
                return Ok(Some(Turn::Over(Conversation::Extended(Box::new(ExtendedConversation::new())))));
            }
            (None, Dialect::Unknown) => {
                self.task = Task::Asking;
                cx.io.set_deadline(Some(cx.settings.timeout));
                return self
                    .driver
                    .ask_capabilities()
                    .map(|()| None)
                    .map_err(|error| Reason::protocol(error, cx.settings));
            }
            (None, Dialect::Stock) => match cx.steps.begin() {
                Some(begun) => begun,
                None => return pumped(ConfigPumped::Blocked),
            },
        };
        match step {
            ConfigStep::Do(step) => self.begin(id, step, cx).map(|()| None),
            ConfigStep::Ask(step) => {
                self.task = Task::Awaiting;
                cx.io.set_deadline(None);
                pumped(ConfigPumped::Ask(id, step))
            }
        }
    }

    fn begin(&mut self, id: StepId, step: SiteStep, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        let (command, deed) = match step {
            SiteStep::List => (Command::List(ListArg::md5()), Deed::Listing(MdListing::default())),
            SiteStep::Fetch { name } => (Command::Receive(name), Deed::Fetching(Vec::new())),
            SiteStep::Compare { name } => (Command::Receive(name), Deed::Comparing(SumsHasher::default())),
            // Whatever is there: it cannot be said what it is to replace.
            SiteStep::Store { name, body, replaces: _ } => {
                (Command::Send { name, size: body.len() as u64 }, Deed::Storing(Cursor::new(body)))
            }
            SiteStep::Delete { name, expected } => {
                (Command::Move(name), Deed::Deleting { expected, received: Received::new(expected) })
            }
        };
        self.command(&command, Task::Doing(id, deed), cx)
    }

    fn command(&mut self, command: &Command, task: Task, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        self.task = task;
        cx.io.set_deadline(Some(cx.settings.timeout));
        self.driver.command(command).map_err(|error| Reason::protocol(error, cx.settings))
    }

    /// Whether the site has closed after a body that a limit of ours has made us take, or send, slowly: it has seen no command of
    /// ours for longer than it waits.
    fn was_left(&self, cx: &mut ConfigContext<'_>) -> bool {
        self.pace.is_some() && cx.io.peer_time() < cx.io.now() && cx.io.has_ended()
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
            (Want::Supply(_), Task::Doing(_, Deed::Storing(body))) => self.driver.send_body(cx.io, body)? > 0,
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
                    Task::Doing(id, Deed::Listing(listing)) => (id, StepOutcome::Listed(listing.finish())),
                    Task::Doing(id, Deed::Fetching(bytes)) => (id, StepOutcome::Fetched(Some(bytes.into()))),
                    Task::Doing(id, Deed::Comparing(running)) => (id, StepOutcome::Compared(Some(running.finish()))),
                    Task::Doing(id, Deed::Deleting { expected, received }) => {
                        (id, StepOutcome::Deleted(received.finish(expected)))
                    }
                    // No body comes of anything else.
                    _ => return Ok(()),
                };
                cx.steps.after(outcome.0, outcome.1);
                Ok(())
            }
            Event::Stored { .. } => {
                self.end_step(Ok(()), cx);
                Ok(())
            }
            Event::Refused { verb: Verb::Pass, .. } => Err(Reason::PasswordRefused),
            Event::Refused { verb: Verb::Caps, .. } => self.speaks(Dialect::Stock),
            Event::Refused { refusal, .. } => {
                self.end_step(Err(refusal), cx);
                Ok(())
            }
            Event::PasswordAccepted => {
                self.task = Task::Ready;
                Ok(())
            }
            Event::Capabilities(capabilities) => self.speaks(Dialect::of(*capabilities)),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as what comes of the other events")]
    fn speaks(&mut self, dialect: Dialect) -> Result<(), Reason> {
        (self.dialect, self.task) = (dialect, Task::Ready);
        Ok(())
    }

    /// The site has answered, and there is no body, or it has the one it was sent.
    fn end_step(&mut self, answer: Result<(), &Refusal>, cx: &mut ConfigContext<'_>) {
        let Task::Doing(id, deed) = std::mem::replace(&mut self.task, Task::Ready) else { return };
        let outcome = match (deed, answer) {
            (Deed::Storing(_), answer) => StepOutcome::Stored(answer.map(|()| Stored::Taken).map_err(Clone::clone)),
            (Deed::Listing(_), Err(refusal)) => StepOutcome::ListRefused(refusal.clone()),
            (Deed::Comparing(_), Err(_)) => StepOutcome::Compared(None),
            (Deed::Deleting { .. }, Err(_)) => StepOutcome::Deleted(Deletion::Declined),
            // Whatever else is answered was asked for with it.
            _ => StepOutcome::Fetched(None),
        };
        cx.steps.after(id, outcome);
    }

    /// Takes what is announced, or leaves it where it is.
    fn announced(&mut self, size: u64, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        let is_taken = match &self.task {
            Task::Doing(_, Deed::Listing(_)) if size > MAX_LISTING => {
                return Err(Reason::ListingTooLarge { size, most: MAX_LISTING });
            }
            Task::Doing(_, Deed::Listing(_)) => true,
            Task::Doing(_, Deed::Fetching(_)) => (1..=MAX_CONFIGURATION).contains(&size),
            Task::Doing(_, Deed::Comparing(_)) => (1..=MAX_COLLECTION).contains(&size),
            Task::Doing(_, Deed::Deleting { expected, .. }) => size == expected.md5.size,
            _ => false,
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
        let Self::Doing(_, deed) = self else { return };
        match deed {
            Deed::Listing(listing) => listing.feed(bytes),
            Deed::Fetching(body) => body.extend_from_slice(bytes),
            Deed::Comparing(running) => running.update(bytes),
            Deed::Deleting { received, .. } => received.update(bytes),
            Deed::Storing(_) => {}
        }
    }
}
