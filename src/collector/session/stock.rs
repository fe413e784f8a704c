//! A conversation with a site as every Tentacle server understands it: one thing after the other.
//!
//! ```text
//! Connecting ──► Open ──► Parked ──► Open …    open, without a round
//!                 ├──► Exhausted               our last word goes unanswered: nothing may follow it
//!                 ├──► Extended                an ExtendedSession goes on
//!                 └──► Open, Ahead             an AheadSession goes on
//!
//! Open: what the site was asked
//!   Greeting, Asking    does it speak the extension? then an ExtendedSession goes on
//!   Ahead         nothing: what follows is asked for ahead
//!   Listing
//!   Fetching      stage → committer
//!   Deleting      compare with what was published
//!   Staging       a Fetching or Deleting, until there is a place for what is announced
//!   Confirming    is a file of a name that may come again gone?
//!   Trailing, Overrun    longer than announced: the session's last
//! ```

use std::time::Instant;

use super::ahead::AheadSession;
use super::body::Body;
use super::delete::Delete;
use super::extended::{ExtendedSession, Opening};
use super::fetch::Fetch;
use super::listing::ListingTask;
use super::task::Task;
use super::{Context, Conversation, NAMES_PER_TURN, PumpOutcome, Reuse, UNPACKED_PER_TURN, awaited, give_way};
use crate::collector::Reason;
use crate::collector::commit_queue::CommitQueue;
use crate::collector::ports::Connection;
use crate::collector::reason::BodyProgress;
use crate::collector::site::Site;
use crate::net::{ClientDriver, Read};
use crate::proto::{Command, Event, FileName, ListArg, PasswordDigest, Verb, Want};
use crate::store::HashedTemp;
use crate::sync::{Assignment, ConnectionKey, Step};

/// A connection's session.
pub(in crate::collector) struct StockSession {
    site: usize,
    /// The connection's, among those of a round.
    key: ConnectionKey,
    pub(super) driver: ClientDriver,
    pub(super) state: State,
    /// What the site was asked.
    pub(super) task: Option<Task>,
    /// When it was given a command, until it has answered.
    asked: Option<Instant>,
    standing: Reuse,
    pub(super) body: Body,
}

/// A state of the diagram [above](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    Open,
    /// The site has said that it speaks the extension.
    Extended,
    Exhausted,
    Parked,
}

impl StockSession {
    pub(super) fn new(site: usize, key: ConnectionKey, standing: Reuse) -> Self {
        let (driver, state) = (ClientDriver::new(), State::Connecting);
        Self { site, key, driver, state, task: None, asked: None, standing, body: Body::None }
    }

    /// On a connection on which all is answered.
    pub(super) fn going_on(site: usize, key: ConnectionKey) -> Self {
        Self { state: State::Open, ..Self::new(site, key, Reuse::Fresh) }
    }

    /// What goes on from here, if something is to be asked for ahead, and what that is.
    pub(super) fn ahead(&mut self) -> Option<(AheadSession, Assignment)> {
        let task = self.task.take_if(|task| matches!(task, Task::Ahead(_)))?;
        let Task::Ahead(assignment) = task else { return None };
        Some((AheadSession::new(self.site, self.key, self.standing), assignment))
    }

    /// What goes on from here, if the site has said that it speaks the extension.
    pub(super) fn extended(&self, site: &Site) -> Option<ExtendedSession> {
        (self.state == State::Extended).then(|| {
            let opening = if site.is_to_be_compressed() { Opening::Compression } else { Opening::Done };
            ExtendedSession::new(self.site, self.key, opening)
        })
    }

    /// What is spoken on the new connection instead, if the site is known to speak the extension.
    pub(super) fn known_extended(&self, cx: &Context<'_>) -> Option<ExtendedSession> {
        let is_known = cx.site.goes_behind_question(cx.io.now());
        is_known.then(|| ExtendedSession::new(self.site, self.key, Opening::Question))
    }

    /// What a session about something else goes on with, where nothing is under way.
    pub(super) fn into_driver(self) -> ClientDriver {
        self.driver
    }

    /// The connection stands: the password first, where there is one.
    pub(super) fn opened(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        self.state = State::Open;
        let Some(password) = &cx.site.settings.password else { return Ok(()) };
        let command = Command::Pass(PasswordDigest::of(password));
        self.task = Some(Task::Greeting);
        self.command(&command, cx)
    }

    /// What a listing under way has cost so far, in names.
    pub(super) fn cost(&self) -> Option<usize> {
        self.task.as_ref().and_then(Task::cost)
    }

    /// Takes the round's next step; a pause where there is none.
    fn start_next(&mut self, cx: &mut Context<'_>) -> Result<Option<PumpOutcome>, Reason> {
        match self.state {
            State::Exhausted => return Ok(Some(PumpOutcome::Exhausted)),
            State::Parked => return Ok(Some(PumpOutcome::Waiting)),
            State::Extended => return Ok(Some(give_way(cx))),
            State::Connecting | State::Open => {}
        }
        if cx.site.is_to_be_asked(cx.io.now()) {
            self.task = Some(Task::Asking { since: cx.io.now() });
            cx.io.set_deadline(Some(cx.site.settings.timeout));
            return self.driver.ask_capabilities().map(|()| None).map_err(|error| cx.site.protocol(error));
        }
        cx.check_room();
        match cx.site.next_step(self.key) {
            Step::Do(assignment) if cx.site.is_asked_ahead() && AheadSession::takes(&assignment, cx) => {
                self.task = Some(Task::Ahead(assignment));
                Ok(Some(give_way(cx)))
            }
            Step::Do(assignment) => self.begin(assignment, cx).map(|()| None),
            Step::Wait => Ok(Some(PumpOutcome::Waiting)),
            Step::Leave => Ok(Some(PumpOutcome::Leaving)),
        }
    }

    /// Does this, and nothing else until it is done.
    pub(super) fn begin(&mut self, assignment: Assignment, cx: &mut Context<'_>) -> Result<(), Reason> {
        cx.site.pipelining.took_step();
        let (command, task) = match assignment {
            Assignment::List(list) => {
                (Command::List(ListArg::root()), Task::Listing(ListingTask::new(list, cx.site, cx.io.date())))
            }
            Assignment::Fetch(fetch) => {
                let name = fetch.name().clone();
                let (command, verb) = match fetch.deletes() {
                    true => (Command::Move(name), Verb::Mv),
                    // An end at another connection's first command may have any reason.
                    false if self.standing == Reuse::Fresh && cx.site.is_tried_packed(&name, cx.io.now()) => {
                        (Command::ReceiveZip(name), Verb::Zrecv)
                    }
                    false => (Command::Receive(name), Verb::Recv),
                };
                (command, Task::Fetching(Fetch::new(fetch, verb)))
            }
            Assignment::Delete(delete) => (Command::Move(delete.name().clone()), Task::Deleting(Delete::new(delete))),
        };
        self.task = Some(task);
        self.command(&command, cx)
    }

    fn command(&mut self, command: &Command, cx: &mut Context<'_>) -> Result<(), Reason> {
        self.asked = Some(cx.io.now());
        cx.io.set_deadline(Some(self.standing.timeout(cx.site)));
        self.driver.command(command).map_err(|error| cx.site.protocol(error))
    }

    /// Whether the site has closed after a body that a limit of ours has made us take slowly: it has seen no command of ours
    /// for longer than it waits, as it sent all of that long ago.
    fn was_left(&self, cx: &mut Context<'_>) -> bool {
        !matches!(self.body, Body::None) && cx.io.peer_time() < cx.io.now() && cx.io.has_ended()
    }

    /// Goes on for as long as the socket and the round let it.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        let (mut has_asked, cost, mut unpacked) = (false, self.cost().unwrap_or(0), 0);
        loop {
            if let Some(Task::Overrun(..) | Task::Trailing(..)) = self.task.as_ref() {
                return self.read_overrun(cx);
            }
            if !self.driver.transmit(cx.io)? {
                return Ok(PumpOutcome::Blocked);
            }
            let progress = match self.driver.want() {
                Want::Command if cx.io.has_buffered() => self.read_line(cx)?,
                Want::Command if self.was_left(cx) => return Ok(PumpOutcome::Dropped),
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
                Want::Body(_) if !self.task.as_mut().is_none_or(Task::has_room) => {
                    self.body.hold(cx);
                    return Ok(PumpOutcome::Staging);
                }
                Want::Body(left) => self.go_on_with_body(left, &mut unpacked, cx)?,
                Want::Decision => {
                    self.decide(cx)?;
                    if let Some(Task::Staging { .. }) = self.task.as_ref() {
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
            let is_costly = self.cost().is_some_and(|now| now.saturating_sub(cost) > NAMES_PER_TURN);
            if is_costly || unpacked >= UNPACKED_PER_TURN {
                return Ok(give_way(cx));
            }
        }
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

    pub(super) fn handle(&mut self, event: &Event, cx: &mut Context<'_>) -> Result<(), Reason> {
        self.standing = Reuse::Fresh;
        if let Some(asked) = self.asked.take() {
            cx.site.pipelining.answered_within(cx.io.now().saturating_duration_since(asked));
        }
        let Some(task) = self.task.take() else { return Ok(()) };
        match event {
            Event::Announced { verb, size } => {
                let reaction = task.announced(*verb, *size, cx)?;
                self.react(reaction, (*verb, *size), cx)
            }
            Event::BodyComplete { .. } => match task {
                Task::Deleting(delete) if delete.is_doubtful() => {
                    let trailing = delete.rescue_beginning(cx.site, cx.commit_queue)?;
                    self.task = Some(Task::Trailing(trailing));
                    Ok(())
                }
                task => match task.complete(cx)? {
                    Some(deleted) => self.ask_for_deleted(deleted, cx),
                    None => Ok(()),
                },
            },
            Event::Refused { refusal, .. } => task.refused(refusal, cx),
            Event::Capabilities(capabilities) => {
                if let (Task::Asking { since }, Some(theirs)) = (&task, capabilities.time()) {
                    cx.site.clock.seen(theirs, cx.io.exact_date(), *since, cx.io.now());
                }
                cx.site.speaks(Some(*capabilities), cx.io.now());
                if cx.site.is_extended() {
                    self.state = State::Extended;
                }
                Ok(())
            }
            Event::PasswordAccepted | Event::Go { .. } | Event::Stored { .. } => Ok(()),
        }
    }

    /// Asks for a file again that the site was to delete: on this connection the site does one thing after the other.
    fn ask_for_deleted(&mut self, name: FileName, cx: &mut Context<'_>) -> Result<(), Reason> {
        let command = Command::Receive(name.clone());
        self.task = Some(Task::Confirming(name));
        self.command(&command, cx)
    }
}

impl Conversation for StockSession {
    fn site(&self) -> usize {
        self.site
    }

    fn is_open(&self) -> bool {
        self.state != State::Connecting
    }

    fn is_parked(&self) -> bool {
        self.state == State::Parked
    }

    fn park(&mut self) {
        self.state = State::Parked;
    }

    fn resume(&mut self) {
        self.state = State::Open;
        self.standing = Reuse::Reused;
    }

    fn may_end(&self) -> bool {
        self.standing == Reuse::Reused
            || match self.task.as_ref() {
                // Not every program that speaks the protocol need survive the question.
                Some(Task::Asking { .. }) => true,
                Some(Task::Trailing(trailing)) => !trailing.is_longer(),
                _ => false,
            }
    }

    fn awaits_place(&self) -> bool {
        self.standing == Reuse::Beside
    }

    fn hand_back(&mut self, site: &mut Site) {
        match self.task.take() {
            Some(Task::Fetching(fetch)) => site.returned(Assignment::Fetch(fetch.into_assignment())),
            Some(Task::Deleting(delete)) => site.returned(Assignment::Delete(delete.into_assignment().asked())),
            other => self.task = other,
        }
    }

    fn is_ready(&self) -> bool {
        self.state == State::Open && self.task.is_none()
    }

    fn has_file_under_way(&self) -> bool {
        self.task.as_ref().is_some_and(Task::is_under_way)
    }

    fn awaits_staging(&self) -> bool {
        match self.task.as_ref() {
            Some(Task::Staging { task, .. }) => task.awaits_staging(HashedTemp::is_open),
            Some(task) => task.awaits_staging(HashedTemp::has_room),
            None => false,
        }
    }

    fn file(&self) -> Option<(&FileName, BodyProgress)> {
        self.task.as_ref()?.file()
    }

    fn awaited(&self) -> String {
        let of = self.task.as_ref().map_or_else(|| "the session".into(), Task::subject);
        awaited(self.driver.want(), &of)
    }

    fn is_in_body(&self) -> bool {
        matches!(self.driver.want(), Want::Body(_))
    }

    fn pump(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        match self.go_on(cx) {
            Err(reason) if self.task.as_ref().is_some_and(Task::awaits_archive) => Ok(self.got_no_archive(&reason, cx)),
            outcome => outcome,
        }
    }

    fn quit(&mut self, io: &mut dyn Connection) {
        // The connection is closed next, whatever becomes of this.
        let sent = self.driver.transmit(io);
        // What a spent connection said last must be read alone; its end says the rest.
        if sent.is_ok() && self.state != State::Exhausted && self.driver.command(&Command::Quit).is_ok() {
            let _ = self.driver.transmit(io);
        }
    }

    fn abandon(&mut self, site: &mut Site, commit_queue: &mut CommitQueue) {
        self.state = State::Exhausted;
        if let Some(task) = self.task.take() {
            task.on_disconnect(site, commit_queue);
        }
    }
}
