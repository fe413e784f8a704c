//! What is announced, and how its body comes: at the pace of the site, and of the directory that it goes into; and what comes
//! beyond it.

use std::time::Instant;

use super::stock::{State, StockSession};
use super::task::{Reaction, Task};
use super::{ARCHIVE_PIECE, Context, Conversation, LISTING_PIECE, PumpOutcome};
use crate::collector::Reason;
use crate::deadline::BodyPace;
use crate::net::{DriverError, Read};
use crate::proto::{Error, Verb, Want};

/// How fast the body under way has to come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// There is none.
    None,
    Moving(BodyPace),
    /// The site is not read from since then: there is no room for more.
    Held(BodyPace, Instant),
}

impl Body {
    /// One of `size` bytes begins.
    pub(super) fn begin(&mut self, size: u64, cx: &mut Context<'_>) {
        let settings = &cx.site.settings;
        *self = Self::Moving(BodyPace::new(cx.io.peer_time(), size, settings.timeout, settings.min_rate));
        self.extend_deadline(size, cx);
    }

    /// A body of which `left` bytes have not come yet may go on, unless it is too slow.
    pub(super) fn extend_deadline(&self, left: u64, cx: &mut Context<'_>) {
        let timeout = cx.site.settings.timeout;
        let wait = match self {
            Self::Moving(pace) => pace.wait(left, timeout, cx.io.peer_time()),
            Self::None | Self::Held(..) => timeout,
        };
        cx.io.set_deadline(Some(wait));
    }

    /// There is no room for more of the body: the site cannot be told apart from a slow one until there is.
    pub(super) fn hold(&mut self, cx: &mut Context<'_>) {
        if let Self::Moving(pace) = *self {
            *self = Self::Held(pace, cx.io.peer_time());
            cx.io.set_deadline(None);
        }
    }

    /// There is room: a body that was held, and of which `left` bytes have not come yet, goes on.
    pub(super) fn resume(&mut self, left: u64, cx: &mut Context<'_>) {
        if let Self::Held(mut pace, since) = *self {
            pace.put_off(cx.io.peer_time().saturating_duration_since(since));
            *self = Self::Moving(pace);
            self.extend_deadline(left, cx);
        }
    }
}

impl StockSession {
    /// As [`read_body`](Self::read_body), where `left` bytes have not come yet; adds what comes out of an archive.
    pub(super) fn go_on_with_body(
        &mut self,
        left: u64,
        unpacked: &mut u64,
        cx: &mut Context<'_>,
    ) -> Result<bool, Reason> {
        self.body.resume(left, cx);
        let so_far = |session: &Self| session.task.as_ref().map_or(0, Task::unpacked);
        let before = so_far(self);
        let has_come = self.read_body(cx)?;
        *unpacked += so_far(self).saturating_sub(before);
        Ok(has_come)
    }

    /// Moves bytes of a body from the connection to where they belong; `false` where nothing has come.
    fn read_body(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let most = match self.task.as_ref() {
            Some(task) if task.cost().is_some() => LISTING_PIECE,
            Some(task) if task.unpacks() => ARCHIVE_PIECE,
            _ => u64::MAX,
        };
        let (mut task, site) = (self.task.as_mut(), &mut *cx.site);
        let take = |bytes: &[u8]| task.iter_mut().for_each(|task| task.take_body(bytes, site));
        match self.driver.read_body(cx.io, most, take) {
            Ok(Read::Blocked) => Ok(false),
            Ok(_) => {
                if let Want::Body(left) = self.driver.want() {
                    self.body.extend_deadline(left, cx);
                }
                Ok(true)
            }
            Err(DriverError::Surplus(error)) => self.overrun(error, cx),
            Err(error) => Err(Reason::session(error, &cx.site.settings)),
        }
    }

    /// The site has sent more than it announced, and nothing that it says is to be believed any more.
    fn overrun(&mut self, error: Error, cx: &Context<'_>) -> Result<bool, Reason> {
        let (task, result) = match self.task.take() {
            Some(Task::Deleting(delete)) => (Some(Task::Overrun(delete)), Ok(true)),
            task => (task, Err(cx.site.protocol(error))),
        };
        self.task = task;
        result
    }

    /// Takes what the site deletes while it sends it to its end, though an agent has overwritten it with something
    /// longer than was announced. The connection is of no use after that.
    pub(super) fn read_overrun(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        while let Some(received) = self.task.as_mut().and_then(Task::received_beyond)
            && !received.is_over()
        {
            match self.driver.read_surplus(cx.io, |bytes| received.take(bytes))? {
                Read::Bytes(_) => {}
                Read::Blocked => return Ok(PumpOutcome::Blocked),
                Read::Eof { .. } => break,
            }
        }
        let outcome = self.driver.handle_eof().map_err(|error| cx.site.protocol(error));
        self.abandon(cx.site, cx.commit_queue);
        outcome.map(|()| PumpOutcome::Dropped)
    }

    /// Answers what was announced, if there is a place for it by now.
    pub(super) fn decide(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        match self.task.take() {
            Some(Task::Staging { task, verb, size }) => {
                let reaction = task.staged(verb, size, cx);
                self.react(reaction, (verb, size), cx)
            }
            // All other decisions were made as soon as they were due.
            _ => self.decline(cx),
        }
    }

    pub(super) fn react(
        &mut self,
        reaction: Reaction,
        announced: (Verb, u64),
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        let (verb, size) = announced;
        match reaction {
            Reaction::Accept(task) => {
                self.task = Some(*task);
                self.accept(size, cx)
            }
            Reaction::Decline => self.decline(cx),
            Reaction::Await(task) => {
                // It is for us to go on.
                cx.io.set_deadline(None);
                self.task = Some(Task::Staging { task, verb, size });
                Ok(())
            }
        }
    }

    fn accept(&mut self, size: u64, cx: &mut Context<'_>) -> Result<(), Reason> {
        self.body.begin(size, cx);
        self.driver.accept().map_err(|error| cx.site.protocol(error))?;
        while let Some(event) = self.driver.poll_event() {
            self.handle(&event, cx)?;
        }
        if size == 0 {
            self.gave_last_word(cx);
        }
        Ok(())
    }

    fn decline(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        self.gave_last_word(cx);
        self.driver.decline().map_err(|error| cx.site.protocol(error))
    }

    /// Nothing answers a refusal, or the acceptance of an empty body, so a stock server may read it together with the next
    /// command as one, and close. In TLS each is a record, and thereby a read, of its own.
    fn gave_last_word(&mut self, cx: &Context<'_>) {
        if cx.site.settings.tls.is_none() {
            self.state = State::Exhausted;
        }
    }

    /// The connection has ended where the site was to say whether it sends an archive. That may be what it does at a command
    /// that it does not know, or at a file that it cannot read: the file is asked for as it is next.
    pub(super) fn got_no_archive(&mut self, reason: &Reason, cx: &mut Context<'_>) -> PumpOutcome {
        if let Some(Task::Fetching(fetch)) = self.task.take() {
            cx.site.got_no_archive(fetch.into_assignment(), reason, cx.io.now());
        }
        PumpOutcome::Dropped
    }
}
