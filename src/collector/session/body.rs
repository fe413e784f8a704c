//! What is announced, and how its body comes: at the pace of the site, and of the directory that it goes into; and what comes
//! beyond it.

use std::time::Instant;

use super::task::{Reaction, Task};
use super::{Context, PumpOutcome, Session};
use crate::collector::Reason;
use crate::deadline::BodyPace;
use crate::net::{DriverError, Read};
use crate::proto::{Error, Verb, Want};

/// Bytes of a listing that are looked at without looking at what that cost.
const LISTING_PIECE: u64 = 4096;

/// How fast the body under way has to come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// There is none.
    None,
    Moving(BodyPace),
    /// The site is not read from since then: there is no room for more.
    Held(BodyPace, Instant),
}

impl Session {
    /// A body of which `left` bytes have not come yet may go on, unless it is too slow.
    pub(super) fn extend_deadline(&self, left: u64, cx: &mut Context<'_>) {
        let timeout = cx.site.settings.timeout;
        let wait = match self.body {
            Body::Moving(pace) => pace.wait(left, timeout, cx.io.now()),
            Body::None | Body::Held(..) => timeout,
        };
        cx.io.set_deadline(Some(wait));
    }

    /// There is no room for more of the body: the site cannot be told apart from a slow one until there is.
    pub(super) fn hold_body(&mut self, cx: &mut Context<'_>) -> PumpOutcome {
        if let Body::Moving(pace) = self.body {
            self.body = Body::Held(pace, cx.io.now());
            cx.io.set_deadline(None);
        }
        PumpOutcome::Staging
    }

    pub(super) fn let_body_move(&mut self, left: u64, cx: &mut Context<'_>) {
        if let Body::Held(mut pace, since) = self.body {
            pace.put_off(cx.io.now().saturating_duration_since(since));
            self.body = Body::Moving(pace);
            self.extend_deadline(left, cx);
        }
    }

    /// Moves bytes of a body from the connection to where they belong; `false` where nothing has come.
    pub(super) fn read_body(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let (task, site) = (&mut self.task, &mut *cx.site);
        let most = if task.cost().is_some() { LISTING_PIECE } else { u64::MAX };
        match self.driver.read_body(cx.io, most, |bytes| task.take_body(bytes, site)) {
            Ok(Read::Blocked) => Ok(false),
            Ok(_) => {
                if let Want::Body(left) = self.driver.want() {
                    self.extend_deadline(left, cx);
                }
                Ok(true)
            }
            Err(DriverError::Surplus(error)) => self.overrun(error, cx),
            Err(error) => Err(Reason::session(error, &cx.site.settings)),
        }
    }

    /// The site has sent more than it announced, and nothing that it says is to be believed any more.
    fn overrun(&mut self, error: Error, cx: &Context<'_>) -> Result<bool, Reason> {
        match std::mem::replace(&mut self.task, Task::Exhausted) {
            Task::Deleting(delete) => {
                self.task = Task::Overrun(delete);
                Ok(true)
            }
            task => {
                self.task = task;
                Err(cx.site.protocol(error))
            }
        }
    }

    /// Takes what the site deletes while it sends it to its end, though an agent has overwritten it with something
    /// longer than was announced. The connection is of no use after that.
    pub(super) fn read_overrun(&mut self, cx: &mut Context<'_>) -> Result<PumpOutcome, Reason> {
        while let Some(received) = self.task.received_beyond()
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
        match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Staging { task, verb, size } => {
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
                self.task = *task;
                self.accept(size, cx)
            }
            Reaction::Decline => self.decline(cx),
            Reaction::Await(task) => {
                // It is for us to go on.
                cx.io.set_deadline(None);
                self.task = Task::Staging { task, verb, size };
                Ok(())
            }
        }
    }

    fn accept(&mut self, size: u64, cx: &mut Context<'_>) -> Result<(), Reason> {
        let settings = &cx.site.settings;
        self.body = Body::Moving(BodyPace::new(cx.io.now(), size, settings.timeout, settings.min_rate));
        self.extend_deadline(size, cx);
        self.driver.accept().map_err(|error| cx.site.protocol(error))?;
        while let Some(event) = self.driver.poll_event() {
            self.handle(&event, cx)?;
        }
        if size == 0 {
            self.task = after_last_word(cx);
        }
        Ok(())
    }

    fn decline(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        self.task = after_last_word(cx);
        self.driver.decline().map_err(|error| cx.site.protocol(error))
    }
}

/// Nothing answers a refusal, or the acceptance of an empty body, so a stock server may read it together with the next
/// command as one, and close. In TLS each is a record, and thereby a read, of its own.
fn after_last_word(cx: &Context<'_>) -> Task {
    if cx.site.settings.tls.is_some() { Task::Ready } else { Task::Exhausted }
}
