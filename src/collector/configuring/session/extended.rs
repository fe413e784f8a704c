//! In the extension: what needs no answer of what was asked before is asked ahead, and answered in order, so that a round takes
//! a few round trips however much there is to do.
//!
//! ```text
//! Listing     LIST, in pages. Where it has no .md5 file, stock's LS decides: LIST has no directories, by which a root is known
//! Fetching, Comparing    GET
//! Storing     PUT: the answer says that the file is there, so that it is not read back
//! Deleting    DROP: of another file than was seen, nothing is deleted
//! Passing     a body that is not taken
//! ```
//! What was asked and is not answered when the connection ends may have been done or not, as with any command of stock's.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::stock::StockConversation;
use super::{ConfigContext, ConfigPumped, Conversation, Turn};
use crate::collector::Reason;
use crate::collector::ports::Connection;
use crate::deadline::BodyPace;
use crate::net::{PipelinedDriver, Read};
use crate::proto::extension::{Condition, Cursor, ExtensionCommand, Page, PageParser, PipelinedEvent, Remaining};
use crate::proto::{Error, Excerpt, ListArg, Refusal, Verb, Want};
use crate::store::{MAX_COLLECTION, MAX_CONFIGURATION};
use crate::sync::remote_config::{
    CentreStep, ConfigStep, Deletion, Listed, Replaces, SiteStep, StepId, StepOutcome, Stored, SumsHasher,
};

/// The largest list of a site's `.md5` files that is taken, in bytes of all its pages: fifty thousand agents'.
const MAX_LIST: u64 = 4 << 20;

/// The largest body that is read past, in bytes. Before a larger one, the connection ends.
const MOST_PASSED: u64 = 64 << 10;

/// Commands that are sent ahead at most.
const MOST_AHEAD: usize = 1_024;

/// Steps that are begun before the other connections have their turn.
const BEGUN_PER_TURN: usize = 256;

/// Answers that are taken before the other connections have their turn.
const ANSWERS_PER_TURN: usize = 64;

/// What is said on such a connection.
pub(super) struct ExtendedConversation {
    driver: PipelinedDriver,
    /// What the site was asked, in the order of its answers.
    tasks: VecDeque<(StepId, Task)>,
    /// The body of the last of those, as far as it is not sent.
    supply: Option<Supply>,
    /// Of the body that comes.
    pace: Option<BodyPace>,
    /// Whether nothing may follow: a body comes that is too large.
    is_exhausted: bool,
}

/// What the site was asked.
enum Task {
    Listing(List),
    Fetching(Vec<u8>),
    Comparing(SumsHasher),
    Storing,
    Deleting,
    /// Its body is not taken.
    Passing,
}

/// A body on its way to the site.
struct Supply {
    body: io::Cursor<Arc<[u8]>>,
    pace: BodyPace,
}

/// A list on its way.
#[derive(Default)]
struct List {
    parser: PageParser,
    listed: Listed,
    /// What follows the page that is on its way.
    remaining: Option<Remaining>,
    /// Of all pages so far, in bytes.
    size: u64,
}

/// Why no more steps are begun.
enum Pause {
    /// So many are under way, or were begun just now, or a body is to be sent first.
    Full,
    /// There is none now.
    None,
    Ask(StepId, CentreStep),
}

impl ExtendedConversation {
    /// On a connection on which nothing is under way.
    pub(super) fn new() -> Self {
        Self { driver: PipelinedDriver::new(), tasks: VecDeque::new(), supply: None, pace: None, is_exhausted: false }
    }

    pub(super) fn quit(&mut self, io: &mut dyn Connection) {
        // The connection is closed next, whatever becomes of this.
        if !self.is_exhausted && self.driver.quit().is_ok() {
            let _ = self.driver.transmit(io).and_then(|()| io.flush());
        }
    }

    /// Carries out steps for as long as the socket lets it. Then the site gets what it was asked: it may wait for that.
    pub(super) fn pump(&mut self, cx: &mut ConfigContext<'_>) -> Result<Turn, Reason> {
        let turn = self.go_on(cx)?;
        cx.io.flush()?;
        if self.tasks.is_empty() {
            cx.io.set_deadline(None);
        }
        Ok(turn)
    }

    fn go_on(&mut self, cx: &mut ConfigContext<'_>) -> Result<Turn, Reason> {
        let pumped = |pumped| Ok(Turn::Pumped(pumped));
        let mut answers = 0;
        while self.driver.want() != Want::Closed && !self.is_exhausted {
            let pause = self.begin_steps(cx)?;
            if let Pause::Ask(id, step) = pause {
                return pumped(ConfigPumped::Ask(id, step));
            }
            let sent = self.send(cx)?;
            let has_come = match self.driver.want() {
                Want::Command if cx.steps.is_finished() => break,
                Want::Body(_) => self.read_body(cx)?,
                _ => {
                    let read = self.driver.read_line(cx.io);
                    read.map_err(|error| Reason::session(error, cx.settings))? != Read::Blocked
                }
            };
            while let Some(event) = self.driver.poll_event() {
                if let Some(other) = self.answered(&event, cx)? {
                    return Ok(Turn::Over(other));
                }
                answers += 1;
            }
            if has_come {
                cx.io.set_deadline(self.wait(cx));
            }
            if !has_come || answers > ANSWERS_PER_TURN {
                let may_begin = self.supply.is_none() && self.tasks.len() < MOST_AHEAD;
                if has_come || (may_begin && (sent || matches!(pause, Pause::Full))) {
                    cx.io.wake();
                }
                return pumped(ConfigPumped::Blocked);
            }
        }
        pumped(if cx.steps.is_finished() { ConfigPumped::Finished } else { ConfigPumped::Exhausted })
    }

    /// Begins as many steps as may be begun.
    fn begin_steps(&mut self, cx: &mut ConfigContext<'_>) -> Result<Pause, Reason> {
        for _ in 0..BEGUN_PER_TURN {
            if self.supply.is_some() {
                self.send(cx)?;
            }
            if self.supply.is_some() || self.tasks.len() == MOST_AHEAD {
                return Ok(Pause::Full);
            }
            match cx.steps.begin() {
                None => return Ok(Pause::None),
                Some((id, ConfigStep::Ask(step))) => return Ok(Pause::Ask(id, step)),
                Some((id, ConfigStep::Do(step))) => self.begin(id, step, cx)?,
            }
        }
        Ok(Pause::Full)
    }

    fn begin(&mut self, id: StepId, step: SiteStep, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        let (command, task) = match step {
            SiteStep::List => (list_behind(None), Task::Listing(List::default())),
            SiteStep::Fetch { name } => (ExtensionCommand::Get(name), Task::Fetching(Vec::new())),
            SiteStep::Compare { name } => (ExtensionCommand::Get(name), Task::Comparing(SumsHasher::default())),
            SiteStep::Store { name, body, replaces } => {
                let condition = match replaces {
                    Replaces::Anything => Condition::None,
                    Replaces::Nothing => Condition::Absent,
                    Replaces::This(seen) => Condition::Hash(seen.hash),
                };
                let size = body.len() as u64;
                let pace = BodyPace::new(cx.io.peer_time(), size, cx.settings.timeout, cx.settings.min_rate);
                self.supply = Some(Supply { body: io::Cursor::new(body), pace });
                (ExtensionCommand::Put { name, size, condition }, Task::Storing)
            }
            SiteStep::Delete { name, expected } => {
                (ExtensionCommand::Drop { name, size: expected.md5.size, hash: expected.hash }, Task::Deleting)
            }
        };
        self.tasks.push_back((id, task));
        self.command(&command, cx)
    }

    fn command(&mut self, command: &ExtensionCommand, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        if self.tasks.len() == 1 {
            cx.io.set_deadline(Some(cx.settings.timeout));
        }
        self.driver.command(command).map_err(|error| Reason::protocol(error, cx.settings))
    }

    /// Writes as much as goes; whether any of a body did.
    fn send(&mut self, cx: &mut ConfigContext<'_>) -> Result<bool, Reason> {
        self.driver.transmit(cx.io)?;
        let Some(supply) = &mut self.supply else { return Ok(false) };
        let mut has_moved = false;
        while let sent = self.driver.send_body(cx.io, &mut supply.body)
            && sent.map_err(|error| Reason::session(error, cx.settings))? > 0
        {
            has_moved = true;
        }
        if self.driver.supply() == 0 {
            self.supply = None;
        }
        if has_moved {
            cx.io.set_deadline(self.wait(cx));
        }
        Ok(has_moved)
    }

    fn read_body(&mut self, cx: &mut ConfigContext<'_>) -> Result<bool, Reason> {
        let Self { driver, tasks, .. } = self;
        let mut task = tasks.front_mut().map(|(_, task)| task);
        let take = |bytes: &[u8]| task.iter_mut().for_each(|task| task.take_body(bytes));
        let read = driver.read_body(cx.io, u64::MAX, take).map_err(|error| Reason::session(error, cx.settings))?;
        Ok(read != Read::Blocked)
    }

    /// How long the site may take for what it owes, or takes, next.
    fn wait(&self, cx: &ConfigContext<'_>) -> Option<Duration> {
        let (timeout, now) = (cx.settings.timeout, cx.io.peer_time());
        let coming = match (self.driver.want(), self.pace) {
            (Want::Body(left), Some(pace)) => Some(pace.wait(left, timeout, now)),
            _ => None,
        };
        let going = self.supply.as_ref().map(|supply| supply.pace.wait(self.driver.supply(), timeout, now));
        let paced = coming.into_iter().chain(going).min();
        (!self.tasks.is_empty()).then(|| paced.unwrap_or(timeout))
    }

    /// Takes an answer, or a part of one. The other conversation, where that goes on.
    fn answered(&mut self, event: &PipelinedEvent, cx: &mut ConfigContext<'_>) -> Result<Option<Conversation>, Reason> {
        let Some((id, task)) = self.tasks.pop_front() else { return Ok(None) };
        let outcome = match (task, event) {
            (Task::Listing(list), PipelinedEvent::Page { size, remaining }) => {
                self.begin_body(*size, cx);
                self.tasks.push_front((id, Task::Listing(list.announced(*size, *remaining)?)));
                return Ok(None);
            }
            (Task::Listing(list), PipelinedEvent::BodyComplete { .. }) => return self.page_complete(id, list, cx),
            (Task::Listing(_), PipelinedEvent::Refused { refusal, .. }) => StepOutcome::ListRefused(refusal.clone()),
            (task, PipelinedEvent::File { size, .. }) => {
                self.begin_body(*size, cx);
                return self.file_announced(id, task, *size, cx).map(|()| None);
            }
            (Task::Fetching(body), PipelinedEvent::BodyComplete { .. }) => StepOutcome::Fetched(Some(body.into())),
            (Task::Comparing(running), PipelinedEvent::BodyComplete { .. }) => {
                StepOutcome::Compared(Some(running.finish()))
            }
            (Task::Fetching(_), _) => StepOutcome::Fetched(None),
            (Task::Comparing(_), _) => StepOutcome::Compared(None),
            (Task::Storing, PipelinedEvent::Done { .. }) => StepOutcome::Stored(Ok(Stored::Certain)),
            (Task::Storing, PipelinedEvent::Refused { refusal, .. }) => StepOutcome::Stored(Err(refusal.clone())),
            (Task::Deleting, PipelinedEvent::Done { .. }) => StepOutcome::Deleted(Deletion::Done),
            (Task::Deleting, _) => StepOutcome::Deleted(Deletion::Declined),
            // The driver lets no answer pass that is none of the command's.
            (Task::Listing(_), _) => StepOutcome::ListRefused(Refusal::Unspecified),
            (Task::Storing, _) => StepOutcome::Stored(Err(Refusal::Unspecified)),
            (Task::Passing, _) => return Ok(None),
        };
        cx.steps.after(id, outcome);
        Ok(None)
    }

    fn begin_body(&mut self, size: u64, cx: &ConfigContext<'_>) {
        self.pace = Some(BodyPace::new(cx.io.peer_time(), size, cx.settings.timeout, cx.settings.min_rate));
    }

    /// A file follows, which is taken unless it is empty or too large.
    #[expect(clippy::unnecessary_wraps, reason = "as what comes of the other events")]
    fn file_announced(&mut self, id: StepId, task: Task, size: u64, cx: &mut ConfigContext<'_>) -> Result<(), Reason> {
        let (most, otherwise) = match &task {
            Task::Fetching(_) => (MAX_CONFIGURATION, StepOutcome::Fetched(None)),
            _ => (MAX_COLLECTION, StepOutcome::Compared(None)),
        };
        if (1..=most).contains(&size) {
            self.tasks.push_front((id, task));
            return Ok(());
        }
        self.tasks.push_front((id, Task::Passing));
        self.is_exhausted = size > MOST_PASSED;
        cx.steps.after(id, otherwise);
        Ok(())
    }

    /// A page has come whole: asks for what is left, if anything is.
    fn page_complete(
        &mut self,
        id: StepId,
        mut list: List,
        cx: &mut ConfigContext<'_>,
    ) -> Result<Option<Conversation>, Reason> {
        let garbage = |excerpt| Reason::protocol(Error::Garbage { verb: Verb::List, excerpt }, cx.settings);
        let Page { last, .. } = std::mem::take(&mut list.parser).finish().map_err(|error| garbage(error.line))?;
        match (list.remaining, last) {
            (None, _) if list.listed.has_md5() => {
                cx.steps.after(id, StepOutcome::Listed(list.listed));
                Ok(None)
            }
            (None, _) => Ok(Some(Conversation::Stock(Box::new(StockConversation::for_step(id, SiteStep::List))))),
            // However often it goes on, there is a bound to the sum of the pages.
            (Some(_), Some(cursor)) => {
                self.tasks.push_front((id, Task::Listing(list)));
                self.command(&list_behind(Some(cursor)), cx).map(|()| None)
            }
            (Some(_), None) => Err(garbage(Excerpt::of(b"a page that has nothing, and is not the last"))),
        }
    }
}

fn list_behind(after: Option<Cursor>) -> ExtensionCommand {
    ExtensionCommand::List { word: ListArg::md5(), after, limit: None }
}

impl Task {
    fn take_body(&mut self, bytes: &[u8]) {
        match self {
            Self::Listing(List { parser, listed, .. }) => parser.feed(bytes, |entry| listed.saw(entry.name)),
            Self::Fetching(body) => body.extend_from_slice(bytes),
            Self::Comparing(running) => running.update(bytes),
            Self::Storing | Self::Deleting | Self::Passing => {}
        }
    }
}

impl List {
    /// A page of so many bytes follows, and `remaining` that.
    fn announced(self, size: u64, remaining: Option<Remaining>) -> Result<Self, Reason> {
        let size = self.size.saturating_add(size);
        if size > MAX_LIST {
            return Err(Reason::ListingTooLarge { size, most: MAX_LIST });
        }
        Ok(Self { remaining, size, ..self })
    }
}
