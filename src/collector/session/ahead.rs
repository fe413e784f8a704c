//! A conversation with stock in which files are asked for ahead of the answers: each request, and each confirmation, is a record
//! of TLS, or comes at a distance from the one before.
//!
//! ```text
//! Open: what the site was asked, the oldest first
//!   current          announced: a Fetching, stage → committer; a Deleting, compare with what was published
//!   outstanding      not answered
//!   in_lock_step     what is not asked for ahead: a listing, a deletion to be careful with
//! ```
//! Where all is answered, a [`StockSession`] goes on. A file that the site refuses or that is empty ends the connection, and so do
//! commands that meet: what is not answered goes back to the round.
//!
//! What is deleted is committed here before the site is asked, as ever. But the site deletes before its announcement of the size
//! can be looked at: a file that took the place of the committed one is kept when it comes, and is lost where the connection is
//! before that. So names that may come again, with no time in them, are deleted in lock-step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::debug;

use super::body::Body;
use super::delete::{Delete, is_compared_in_memory};
use super::fetch::Fetch;
use super::stock::StockSession;
use super::task::Task;
use super::{ARCHIVE_PIECE, Context, Conversation, PumpOutcome, Reuse, UNPACKED_PER_TURN, awaited, give_way};
use crate::collector::Reason;
use crate::collector::commit_queue::CommitQueue;
use crate::collector::ports::Connection;
use crate::collector::reason::BodyProgress;
use crate::collector::site::Site;
use crate::net::{AheadDriver, DriverError, Failure, Read};
use crate::proto::{Command, Count, Error, Event, FileName, Verb, Want, quoted};
use crate::store::HashedTemp;
use crate::sync::{Assignment, ConnectionKey, EarlyEnd, Step, measured_at};

/// Files that are asked for ahead on one connection, at most: their commands have room in what any server's kernel takes.
const MOST_AHEAD: usize = 128;

/// Answers that are taken before the other connections have their turn.
const ANSWERS_PER_TURN: usize = 64;

/// A connection's session.
pub(in crate::collector) struct AheadSession {
    site: usize,
    /// The connection's, among those of a round.
    key: ConnectionKey,
    standing: Reuse,
    driver: AheadDriver,
    current: Option<Task>,
    /// What is not answered, and what it was asked with.
    outstanding: VecDeque<(Verb, Assignment)>,
    in_lock_step: Option<Assignment>,
    body: Body,
    /// Of one message from the next, as it was when something was asked for last.
    distance: Duration,
    gap: Gap,
}

/// What the next message waits for.
#[derive(Clone, Copy, Debug)]
enum Gap {
    Nothing,
    /// A message has left in this turn of the loop, or the kernel holds one back: when it leaves, only the next turn's beginning
    /// is sure to be after.
    Sent,
    Until(Instant),
    /// The first answer: stock takes a while until it reads from a connection that it has just accepted.
    Answer,
}

impl AheadSession {
    /// On a connection on which nothing is under way.
    pub(super) fn new(site: usize, key: ConnectionKey, standing: Reuse) -> Self {
        Self {
            site,
            key,
            standing,
            driver: AheadDriver::new(),
            current: None,
            outstanding: VecDeque::new(),
            in_lock_step: None,
            body: Body::None,
            distance: Duration::ZERO,
            gap: Gap::Nothing,
        }
    }

    /// Whether the site may be asked for this ahead: what is not deleted, or is safe here and most certainly that one file.
    pub(super) fn takes(assignment: &Assignment, cx: &Context<'_>) -> bool {
        match assignment {
            Assignment::List(_) => false,
            Assignment::Fetch(fetch) => {
                let is_known = cx.site.knows_packing(cx.io.now());
                !fetch.deletes() && is_known && cx.site.pipelining.may_ask_ahead(fetch.name())
            }
            Assignment::Delete(delete) => {
                let comes_once = measured_at(delete.name()).is_some();
                comes_once
                    && is_compared_in_memory(delete)
                    && cx.site.pipelining.may_ask_ahead(delete.name())
                    && cx.site.spool.check_answers().is_ok()
            }
        }
    }

    /// Asks for this, whatever is not answered yet.
    pub(super) fn ask(&mut self, assignment: Assignment, cx: &mut Context<'_>) -> Result<(), Reason> {
        let (verb, command) = match &assignment {
            Assignment::Delete(delete) => (Verb::Mv, Command::Move(delete.name().clone())),
            Assignment::Fetch(fetch) if cx.site.is_packed(fetch.name()) => {
                (Verb::Zrecv, Command::ReceiveZip(fetch.name().clone()))
            }
            Assignment::Fetch(fetch) => (Verb::Recv, Command::Receive(fetch.name().clone())),
            Assignment::List(_) => {
                self.in_lock_step = Some(assignment);
                return Ok(());
            }
        };
        if self.is_idle() {
            cx.io.set_deadline(Some(self.standing.timeout(cx.site)));
        }
        self.outstanding.push_back((verb, assignment));
        self.driver.command(&command).map_err(|error| cx.site.protocol(error))
    }

    /// What goes on where all is answered, and what that does first.
    pub(super) fn lock_step(&mut self) -> Option<(StockSession, Option<Assignment>)> {
        self.is_all_answered().then(|| (StockSession::going_on(self.site, self.key), self.in_lock_step.take()))
    }

    fn is_all_answered(&self) -> bool {
        self.is_idle() && !self.driver.wants_write() && self.driver.want() == Want::Command
    }

    fn is_idle(&self) -> bool {
        self.current.is_none() && self.outstanding.is_empty()
    }

    /// Asks for as much as may be asked for. Whether the round may have more for it later.
    fn ask_ahead(&mut self, distance: Duration, cx: &mut Context<'_>) -> Result<bool, Reason> {
        cx.check_room();
        while self.outstanding.len() < MOST_AHEAD && self.in_lock_step.is_none() {
            // What waits for its turn is better with the round.
            if !distance.is_zero() && self.driver.wants_write() {
                break;
            }
            match cx.site.next_step(self.key) {
                Step::Do(assignment) if Self::takes(&assignment, cx) => self.ask(assignment, cx)?,
                Step::Do(assignment) => self.in_lock_step = Some(assignment),
                Step::Wait => return Ok(true),
                Step::Leave => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Sends what may be sent by now; when the next message may be, if that is the reason for not sending it.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<Option<Instant>, Failure> {
        let now = cx.io.now();
        while self.driver.wants_write() {
            match self.gap {
                Gap::Sent => return Ok(Some(now)),
                Gap::Answer => return Ok(None),
                Gap::Until(at) if at > now => return Ok(Some(at)),
                // Behind one that has not left, it would leave with that.
                Gap::Until(_) if cx.io.has_unsent() => {
                    self.gap = Gap::Sent;
                    return Ok(Some(now));
                }
                Gap::Until(_) | Gap::Nothing => {
                    if !self.driver.transmit_message(cx.io)? {
                        return Ok(None);
                    }
                    self.gap = match self.standing {
                        _ if self.distance.is_zero() => Gap::Nothing,
                        standing if standing.is_answered() => Gap::Sent,
                        _ => Gap::Answer,
                    };
                }
            }
        }
        self.driver.transmit_message(cx.io)?;
        Ok(None)
    }

    fn unpacked(&self) -> u64 {
        self.current.as_ref().map_or(0, Task::unpacked)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, DriverError> {
        let Want::Body(left) = self.driver.want() else {
            return Ok(self.driver.read_line(cx.io)? != Read::Blocked);
        };
        self.body.resume(left, cx);
        let Self { driver, current, .. } = self;
        let most = if current.as_ref().is_some_and(Task::unpacks) { ARCHIVE_PIECE } else { u64::MAX };
        let site = &mut *cx.site;
        let read =
            driver.read_body(cx.io, most, |bytes| current.iter_mut().for_each(|task| task.take_body(bytes, site)))?;
        match self.driver.want() {
            _ if read == Read::Blocked => return Ok(false),
            Want::Body(left) => self.body.extend_deadline(left, cx),
            _ => cx.io.set_deadline(Some(cx.site.settings.timeout)),
        }
        Ok(true)
    }

    /// Takes what has come: how many files that were, or how the connection ends.
    fn take_events(&mut self, cx: &mut Context<'_>) -> Result<Result<usize, EarlyEnd>, Reason> {
        let mut files = 0;
        while let Some(event) = self.driver.poll_event() {
            self.standing = Reuse::Fresh;
            if let Gap::Answer = self.gap {
                self.gap = Gap::Nothing;
            }
            match event {
                Event::Announced { size, .. } => {
                    self.body.begin(size, cx);
                    let task = self.answered();
                    if matches!(task, Some(Task::Fetching(_))) && Fetch::is_too_large(size, cx) {
                        self.give_back(cx.site);
                    }
                    self.current = task.and_then(|task| begin(task, size, cx));
                    if self.current.is_none() {
                        return Ok(Err(EarlyEnd::Answered));
                    }
                }
                Event::BodyComplete { .. } => {
                    if self.complete(cx)? {
                        return Ok(Err(EarlyEnd::Answered));
                    }
                    files += 1;
                }
                Event::Refused { refusal, .. } => {
                    if let Some(task) = self.answered() {
                        self.give_back(cx.site);
                        task.refused(&refusal, cx)?;
                    }
                    return Ok(Err(EarlyEnd::Answered));
                }
                Event::PasswordAccepted | Event::Go { .. } | Event::Stored { .. } | Event::Capabilities(_) => {}
            }
        }
        Ok(Ok(files))
    }

    /// The oldest command is answered.
    fn answered(&mut self) -> Option<Task> {
        match self.outstanding.pop_front()? {
            (verb, Assignment::Fetch(fetch)) => Some(Task::Fetching(Fetch::new(fetch, verb))),
            (_, Assignment::Delete(delete)) => Some(Task::Deleting(Delete::new(delete))),
            (_, Assignment::List(_)) => None,
        }
    }

    /// The body has come whole. Whether that ends the connection: a stock server closes after an empty file, and a file whose
    /// archive is of no use is to be asked for once more before its agent's next one.
    fn complete(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let Some(mut task) = self.current.take() else { return Ok(false) };
        let is_last = match &mut task {
            Task::Fetching(fetch) => fetch.came() == BodyProgress::Nothing || !fetch.ended(),
            _ => false,
        };
        if is_last {
            self.give_back(cx.site);
        }
        task.complete(cx)?;
        cx.site.pipelining.went_well(cx.io.now());
        cx.io.set_deadline((!self.is_idle()).then_some(cx.site.settings.timeout));
        Ok(is_last)
    }

    /// The connection has failed.
    fn fail(&mut self, error: &DriverError, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        let (name, count) = (cx.site.name(), Count(self.unanswered() as u64, "file"));
        debug!("site={} a connection has ended, with {count} asked for ahead: {error}", quoted(&**name));
        let is_cut = matches!(
            error,
            DriverError::Net(_) | DriverError::Protocol(Error::ClosedAfter { .. } | Error::Truncated { .. })
        );
        self.end(EarlyEnd::Unexplained, is_cut, cx)
    }

    /// The connection has ended, or ends here, with what is not answered: that goes back to the round. `is_cut`: what has come is
    /// what the site has sent.
    fn end(&mut self, end: EarlyEnd, is_cut: bool, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        cx.site.ended_early(end, self.file().map(|(first, _)| first), cx.io.now());
        self.give_back(cx.site);
        match self.current.take() {
            Some(Task::Fetching(fetch)) => cx.site.returned(Assignment::Fetch(fetch.into_assignment())),
            Some(Task::Deleting(delete)) => delete.ended_early(is_cut, cx)?,
            _ => {}
        }
        Ok(PumpOutcome::Dropped)
    }

    fn unanswered(&self) -> usize {
        self.outstanding.len() + usize::from(self.current.is_some())
    }

    /// From the last to the first, and before what is given back of an earlier one. The site may have done any of it, and only its
    /// answer have been lost.
    fn give_back(&mut self, site: &mut Site) {
        if let Some(assignment) = self.in_lock_step.take() {
            site.returned(assignment);
        }
        while let Some((_, assignment)) = self.outstanding.pop_back() {
            site.returned(match assignment {
                Assignment::Delete(delete) => Assignment::Delete(delete.asked()),
                other => other,
            });
        }
    }
}

impl Conversation for AheadSession {
    fn site(&self) -> usize {
        self.site
    }

    fn is_open(&self) -> bool {
        true
    }

    /// It is parked where it goes on in lock-step, as it then does.
    fn is_parked(&self) -> bool {
        false
    }

    fn park(&mut self) {}

    fn resume(&mut self) {}

    fn may_end(&self) -> bool {
        false
    }

    fn awaits_place(&self) -> bool {
        self.standing == Reuse::Beside
    }

    fn hand_back(&mut self, site: &mut Site) {
        self.give_back(site);
    }

    fn is_ready(&self) -> bool {
        false
    }

    fn has_file_under_way(&self) -> bool {
        let deletes = |(_, assignment): &(Verb, Assignment)| matches!(assignment, Assignment::Delete(_));
        self.current.as_ref().is_some_and(Task::is_under_way) || self.outstanding.iter().any(deletes)
    }

    fn awaits_staging(&self) -> bool {
        self.current.as_ref().is_some_and(|task| task.awaits_staging(HashedTemp::has_room))
    }

    fn file(&self) -> Option<(&FileName, BodyProgress)> {
        match (&self.current, self.outstanding.front()) {
            (Some(task), _) => task.file(),
            (None, Some((_, Assignment::Fetch(fetch)))) => Some((fetch.name(), BodyProgress::Nothing)),
            (None, Some((_, Assignment::Delete(delete)))) => Some((delete.name(), BodyProgress::Nothing)),
            (None, Some((_, Assignment::List(_))) | None) => None,
        }
    }

    fn awaited(&self) -> String {
        let of = self.file().map_or_else(|| "the session".into(), |(name, _)| name.to_string());
        awaited(self.driver.want(), &of)
    }

    fn is_in_body(&self) -> bool {
        matches!(self.driver.want(), Want::Body(_))
    }

    fn pump(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        let (mut files, mut unpacked) = (0, 0);
        if let Gap::Sent = self.gap {
            self.gap = Gap::Until(cx.io.now() + self.distance);
        }
        loop {
            let distance = cx.site.distance();
            let may_wait = distance.map_or(Ok(false), |distance| self.ask_ahead(distance, cx))?;
            self.distance = distance.unwrap_or(self.distance);
            let sent = self.send(cx);
            let read = match self.driver.want() {
                Want::Command if self.is_all_answered() => return Ok(give_way(cx)),
                Want::Body(_) if !self.current.as_mut().is_none_or(Task::has_room) => {
                    self.body.hold(cx);
                    return Ok(PumpOutcome::Staging);
                }
                _ => {
                    let before = self.unpacked();
                    let read = self.read(cx);
                    unpacked += self.unpacked().saturating_sub(before);
                    read
                }
            };
            let has_come = match read {
                Ok(has_come) => has_come,
                Err(error) => return self.fail(&error, cx),
            };
            match self.take_events(cx)? {
                Ok(come) => files += come,
                Err(end) => return self.end(end, true, cx),
            }
            match sent {
                _ if files > ANSWERS_PER_TURN || unpacked >= UNPACKED_PER_TURN => return Ok(give_way(cx)),
                // It may say why nothing can be sent any more.
                _ if has_come => {}
                Err(error) => return self.fail(&error.into(), cx),
                Ok(Some(at)) => return Ok(PumpOutcome::Paced(at)),
                Ok(None) if may_wait => return Ok(PumpOutcome::Waiting),
                // What comes next is asked for at its time, whether an answer has come or not.
                Ok(None) if matches!(self.gap, Gap::Sent) => return Ok(PumpOutcome::Paced(cx.io.now())),
                Ok(None) => return Ok(PumpOutcome::Blocked),
            }
        }
    }

    fn quit(&mut self, _: &mut dyn Connection) {}

    fn abandon(&mut self, site: &mut Site, commit_queue: &mut CommitQueue) {
        let first = if self.current.is_some() { None } else { self.outstanding.pop_front() };
        self.give_back(site);
        if let Some(task) = self.current.take() {
            task.on_disconnect(site, commit_queue);
        }
        match first {
            Some((verb, Assignment::Fetch(fetch))) => Fetch::new(fetch, verb).on_disconnect(site),
            Some((_, first)) => site.dropped(first),
            None => {}
        }
    }
}

/// So many bytes come, whether they are wanted or not. `None` if they are not.
fn begin(task: Task, size: u64, cx: &mut Context<'_>) -> Option<Task> {
    match task {
        Task::Fetching(fetch) => fetch.begin(size, cx).map(Task::Fetching),
        Task::Deleting(delete) => Some(Task::Deleting(delete.begin(size, cx))),
        _ => None,
    }
}
