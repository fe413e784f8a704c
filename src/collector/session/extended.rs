//! A conversation with a server of ours in the extension: what is asked for ahead is answered in order, so that the line is full
//! whatever its round trip.
//!
//! ```text
//! Greeting    PASS, on a new connection to a site that is known to speak the extension: what follows goes behind it at once
//! Asking      does it still? What goes behind that means nothing to a site that does not
//! Compressing DEFLATE, where that is wanted: before all else, and nothing behind it before it is answered
//! Listing     in pages, oldest first
//! Fetching    GET: stage → committer
//! Deleting    DROP: the site removes exactly the bytes that are committed here, and says for certain whether
//! Passing     a body that is not taken
//! ```
//!
//! A file's bytes cross the line once, and its deletion needs no confirmation.

mod task;

use std::collections::VecDeque;

use log::debug;

use self::task::Task;
use super::body::Body;
use super::fetch::Fetch;
use super::listing::PagedListing;
use super::{Context, Conversation, LISTING_PIECE, NAMES_PER_TURN, PumpOutcome, Reuse, awaited, give_way};
use crate::collector::Reason;
use crate::collector::commit_queue::CommitQueue;
use crate::collector::ports::Connection;
use crate::collector::reason::BodyProgress;
use crate::collector::site::Site;
use crate::net::{PipelinedDriver, Read};
use crate::proto::extension::{Capabilities, ExtensionCommand};
use crate::proto::{FileName, PasswordDigest, Verb, Want};
use crate::store::HashedTemp;
use crate::sync::{Assignment, ConnectionKey, DeleteAssignment, Step};

/// Commands that are sent ahead at most: the files that a round asks for ahead, and as many deletions; up to two megabytes of
/// them.
const MOST_AHEAD: usize = 16_384;

/// Commands that are given before the other connections have their turn.
const ASKED_PER_TURN: usize = 512;

/// Answers that are taken before the other connections have their turn.
const ANSWERS_PER_TURN: usize = 64;

/// A connection's session.
pub(in crate::collector) struct ExtendedSession {
    site: usize,
    /// The connection's, among those of a round.
    key: ConnectionKey,
    driver: PipelinedDriver,
    opening: Opening,
    /// What the site was asked, in the order of its answers.
    tasks: VecDeque<Task>,
    is_parked: bool,
    standing: Reuse,
    body: Body,
    /// The site is not read from: the disk is behind.
    is_held: bool,
}

/// How far the connection's beginning has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The site is known to speak the extension: whether it still does is to be asked first.
    Question,
    /// That the connection be compressed is to be asked first.
    Compression,
    /// What was to be asked first is.
    Done,
    /// The site does not speak the extension any more: nothing that stood behind the question is done.
    NotSpoken,
}

impl ExtendedSession {
    /// On a connection on which nothing is under way.
    pub(super) fn new(site: usize, key: ConnectionKey, opening: Opening) -> Self {
        Self {
            site,
            key,
            driver: PipelinedDriver::new(),
            opening,
            tasks: VecDeque::new(),
            is_parked: false,
            standing: Reuse::Fresh,
            body: Body::None,
            is_held: false,
        }
    }

    /// Asks for as much as may be asked for. Why for no more, unless that is because so much is, or was just now.
    fn ask_ahead(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        if self.is_parked {
            return Ok(Some(PumpOutcome::Waiting));
        }
        match std::mem::replace(&mut self.opening, Opening::Done) {
            Opening::Question => self.ask_whether_spoken(cx)?,
            Opening::Compression => self.ask_for_compression(cx)?,
            Opening::Done => {}
            Opening::NotSpoken => return Ok(Some(PumpOutcome::Dropped)),
        }
        if let Some(Task::Compressing) = self.tasks.front() {
            return Ok(Some(PumpOutcome::Blocked));
        }
        cx.check_room();
        let most = MOST_AHEAD.min(self.tasks.len() + ASKED_PER_TURN);
        while self.tasks.len() < most {
            let (command, task) = match cx.site.next_step(self.key) {
                Step::Do(Assignment::List(assignment)) => {
                    let listing = Box::new(PagedListing::new(assignment, cx.site, cx.io.date()));
                    (listing.command(), Task::Listing(listing))
                }
                Step::Do(Assignment::Fetch(assignment)) => {
                    let command = ExtensionCommand::Get(assignment.name().clone());
                    (command, Task::Fetching(Box::new(Fetch::new(assignment, Verb::Get))))
                }
                Step::Do(Assignment::Delete(assignment)) => {
                    let Some(command) = drop_command(&assignment) else {
                        cx.site.deletion_postponed(assignment);
                        continue;
                    };
                    (command, Task::Deleting(assignment))
                }
                Step::Wait => return Ok(Some(PumpOutcome::Waiting)),
                Step::Leave => return Ok(Some(PumpOutcome::Leaving)),
            };
            self.tasks.push_back(task);
            self.command(&command, cx)?;
        }
        Ok(None)
    }

    /// Asks, after the password where there is one, and does not wait for the answer.
    fn ask_whether_spoken(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        cx.io.set_deadline(Some(cx.site.settings.timeout));
        if let Some(password) = &cx.site.settings.password {
            let given = self.driver.login(PasswordDigest::of(password));
            given.map_err(|error| cx.site.protocol(error))?;
            self.tasks.push_back(Task::Greeting);
        }
        self.tasks.push_back(Task::Asking);
        self.command(&ExtensionCommand::Capabilities, cx)
    }

    /// The site has said what it can do beyond stock's commands, if anything.
    fn speaks(&mut self, capabilities: Option<Capabilities>, cx: &mut Context<'_>) {
        cx.site.speaks(capabilities, cx.io.now());
        if !cx.site.is_extended() {
            self.opening = Opening::NotSpoken;
            self.take_back(cx.site);
        }
    }

    /// What the site was asked goes back as it was: it has begun with nothing of it, or a deletion is asked for once more.
    fn take_back(&mut self, site: &mut Site) {
        while let Some(task) = self.tasks.pop_back() {
            if let Some(assignment) = task.into_assignment() {
                site.returned(assignment);
            }
        }
    }

    /// Asks for it, unless so many connections are compressed that there is no memory for one more.
    fn ask_for_compression(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        let asked = self.driver.ask_for_compression(cx.io).map_err(|error| cx.site.protocol(error))?;
        if asked {
            self.tasks.push_back(Task::Compressing);
            cx.io.set_deadline(Some(cx.site.settings.timeout));
        } else {
            debug!("site={} is not compressed: there is no memory for one connection more", cx.site.shown());
        }
        Ok(())
    }

    /// Gives the command of the last task.
    fn command(&mut self, command: &ExtensionCommand, cx: &mut Context<'_>) -> Result<(), Reason> {
        if self.tasks.len() == 1 {
            cx.io.set_deadline(Some(cx.site.settings.timeout));
        }
        self.driver.command(command).map_err(|error| cx.site.protocol(error))
    }

    /// Nothing is under way: all that may come is the site's close.
    fn stand_by(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        if !self.is_parked {
            cx.io.set_deadline(None);
        }
        while self.read_line(cx)? {
            if self.driver.want() == Want::Closed {
                return Ok(PumpOutcome::Dropped);
            }
        }
        Ok(PumpOutcome::Waiting)
    }

    /// Reads towards the end of a line; `false` where nothing has come.
    fn read_line(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        match self.driver.read_line(cx.io) {
            Ok(read) => Ok(read != Read::Blocked),
            Err(error) => Err(Reason::session(error, &cx.site.settings)),
        }
    }

    /// Moves bytes of a body to where they belong; `false` where nothing has come.
    fn read_body(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let Self { driver, tasks, .. } = self;
        let (mut task, site) = (tasks.front_mut(), &mut *cx.site);
        let most = if let Some(Task::Listing(_)) = task { LISTING_PIECE } else { u64::MAX };
        let take = |bytes: &[u8]| task.iter_mut().for_each(|task| task.take_body(bytes, site));
        match driver.read_body(cx.io, most, take) {
            Ok(Read::Blocked) => Ok(false),
            Ok(_) => {
                if let Want::Body(left) = driver.want() {
                    self.body.extend_deadline(left, cx);
                }
                Ok(true)
            }
            Err(error) => Err(Reason::session(error, &cx.site.settings)),
        }
    }

    /// Takes what has come. How many commands that answers.
    fn take_events(&mut self, cx: &mut Context<'_>) -> Result<usize, Reason> {
        let mut answers = 0;
        while let Some(event) = self.driver.poll_event() {
            self.standing = Reuse::Fresh;
            let Some(task) = self.tasks.pop_front() else { continue };
            if let Some(task) = self.handle(task, &event, cx)? {
                self.tasks.push_front(task);
            } else {
                answers += 1;
                let wait = (!self.tasks.is_empty()).then_some(cx.site.settings.timeout);
                cx.io.set_deadline(wait);
            }
        }
        Ok(answers)
    }

    /// Whether the site has not said yet that it still speaks the extension: then it has begun with nothing else.
    fn awaits_whether_spoken(&self) -> bool {
        matches!(self.tasks.front(), Some(Task::Greeting | Task::Asking))
    }

    /// Whether the next answer is a file.
    fn brings_file(&self) -> bool {
        matches!(self.tasks.front(), Some(Task::Fetching(_)))
    }

    fn cost(&self) -> usize {
        match self.tasks.front() {
            Some(Task::Listing(listing)) => listing.cost(),
            _ => 0,
        }
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        let (mut answers, cost) = (0, self.cost());
        loop {
            let pause = self.ask_ahead(cx)?;
            if pause == Some(PumpOutcome::Dropped) {
                return Ok(PumpOutcome::Dropped);
            }
            // The site may take no more before it has answered: what comes is read all the same.
            self.driver.transmit(cx.io)?;
            let has_come = match self.driver.want() {
                // What comes would have to wait for the disk, and other sites' files behind it.
                Want::Line if self.brings_file() && cx.site.is_behind() => {
                    cx.io.set_deadline(None);
                    self.is_held = true;
                    return Ok(PumpOutcome::Waiting);
                }
                Want::Command if pause == Some(PumpOutcome::Leaving) => return Ok(PumpOutcome::Leaving),
                Want::Command => return self.stand_by(cx),
                Want::Body(_) if !self.tasks.front_mut().is_none_or(Task::has_room) => {
                    self.body.hold(cx);
                    return Ok(PumpOutcome::Staging);
                }
                Want::Body(left) => {
                    self.body.resume(left, cx);
                    self.read_body(cx)?
                }
                Want::Line | Want::Decision | Want::Supply(_) => {
                    if std::mem::take(&mut self.is_held) {
                        cx.io.set_deadline(Some(cx.site.settings.timeout));
                    }
                    self.read_line(cx)?
                }
                Want::Closed => return Ok(PumpOutcome::Dropped),
            };
            answers += self.take_events(cx)?;
            if !has_come {
                return Ok(match pause {
                    Some(pause) => pause,
                    None if self.tasks.len() < MOST_AHEAD => give_way(cx),
                    None => PumpOutcome::Blocked,
                });
            }
            if answers > ANSWERS_PER_TURN || self.cost().saturating_sub(cost) > NAMES_PER_TURN {
                return Ok(give_way(cx));
            }
        }
    }
}

impl Conversation for ExtendedSession {
    fn site(&self) -> usize {
        self.site
    }

    fn is_open(&self) -> bool {
        true
    }

    fn is_parked(&self) -> bool {
        self.is_parked
    }

    fn park(&mut self) {
        self.is_parked = true;
    }

    fn resume(&mut self) {
        self.is_parked = false;
        self.standing = Reuse::Reused;
    }

    fn may_end(&self) -> bool {
        self.standing == Reuse::Reused || self.awaits_whether_spoken()
    }

    fn is_ready(&self) -> bool {
        !self.is_parked && self.tasks.is_empty()
    }

    fn has_file_under_way(&self) -> bool {
        match self.tasks.front() {
            Some(Task::Fetching(fetch)) => fetch.is_under_way(),
            Some(Task::Deleting(_)) => true,
            Some(Task::Greeting | Task::Asking | Task::Compressing | Task::Listing(_) | Task::Passing) | None => false,
        }
    }

    fn awaits_staging(&self) -> bool {
        match self.tasks.front() {
            Some(Task::Fetching(fetch)) => fetch.stage().is_some_and(|stage| HashedTemp::has_room(stage) == Ok(false)),
            _ => false,
        }
    }

    fn file(&self) -> Option<(&FileName, BodyProgress)> {
        match self.tasks.front()? {
            Task::Fetching(fetch) => Some((fetch.name(), fetch.came())),
            Task::Deleting(delete) => Some((delete.name(), BodyProgress::Nothing)),
            Task::Greeting | Task::Asking | Task::Compressing | Task::Listing(_) | Task::Passing => None,
        }
    }

    fn awaited(&self) -> String {
        let of = match self.tasks.front() {
            Some(Task::Listing(_)) => "the listing".into(),
            Some(Task::Greeting) => "the password".into(),
            Some(Task::Asking) => "the extension".into(),
            Some(Task::Compressing) => "compression".into(),
            _ => self.file().map_or_else(|| "the session".into(), |(name, _)| name.to_string()),
        };
        awaited(self.driver.want(), &of)
    }

    fn is_in_body(&self) -> bool {
        matches!(self.driver.want(), Want::Body(_))
    }

    /// Then the site gets what it was asked: it may wait for that.
    fn pump(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        let outcome = self.go_on(cx)?;
        cx.io.flush()?;
        Ok(outcome)
    }

    fn quit(&mut self, io: &mut dyn Connection) {
        // The connection is closed next, whatever becomes of this.
        if self.driver.quit().is_ok() {
            let _ = self.driver.transmit(io).and_then(|()| io.flush());
        }
    }

    fn abandon(&mut self, site: &mut Site, _: &mut CommitQueue) {
        if self.awaits_whether_spoken() {
            site.did_not_say();
            return self.take_back(site);
        }
        let first = self.tasks.pop_front();
        self.take_back(site);
        match first.and_then(Task::into_assignment) {
            // It may be done: the next one asks again, and hears that it is.
            Some(delete @ Assignment::Delete(_)) => site.returned(delete),
            Some(assignment) => site.dropped(assignment),
            None => {}
        }
    }
}

/// `None` if its bytes cannot be proved.
fn drop_command(delete: &DeleteAssignment) -> Option<ExtensionCommand> {
    let (name, published) = (delete.name().clone(), delete.published());
    Some(ExtensionCommand::Drop { name, size: published.size, hash: published.content_hash()? })
}
