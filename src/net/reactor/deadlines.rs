//! Connection deadlines, and what happens when one has passed.
//!
//! The time that a peer needs to take what was sent to it is not silence. As long as our kernel's queue for it becomes
//! shorter, the peer makes progress; the time for its answer begins when the queue is empty. So while there is a queue,
//! it is looked at now and then.

use std::time::{Duration, Instant};

use super::{Event, Net};
use crate::deadline::after;
use crate::net::ConnId;
use crate::net::conn::{Conn, ConnState, OnDeadline, ProgressTimeout};
use crate::sys::unacknowledged;

/// How soon a queue is looked at again; sooner where little time is granted.
const LOOK: Duration = Duration::from_millis(100);

impl Net {
    /// The connection is late at this time, whatever it does until then.
    pub(in crate::net) fn set_deadline(&mut self, id: ConnId, deadline: Option<Instant>) {
        if let Some(conn) = self.conn(id) {
            conn.progress_timeout = None;
            self.look_at(id, deadline);
        }
    }

    /// The connection is late once it has made no progress for so long.
    pub(in crate::net) fn set_progress_timeout(
        &mut self,
        id: ConnId,
        wait: Duration,
        late: OnDeadline,
        drained_by: Option<Instant>,
    ) {
        let now = self.now;
        let Some(conn) = self.conn(id) else { return };
        let progress_timeout = ProgressTimeout { wait, since: now, drained_by, late };
        conn.progress_timeout = Some(progress_timeout);
        let at = progress_timeout.next_look(now, conn.unacknowledged);
        self.look_at(id, Some(at));
    }

    /// By when the peer must have taken all that we sent, as it was set last.
    pub(in crate::net) fn drained_by(&mut self, id: ConnId) -> Option<Instant> {
        self.conn(id)?.progress_timeout?.drained_by
    }

    /// Something was written. What is in a queue already is being looked at.
    pub(in crate::net) fn was_written(&mut self, id: ConnId) {
        let now = self.now;
        let Some(conn) = self.conn(id).filter(|conn| conn.unacknowledged == 0) else { return };
        conn.unacknowledged = usize::MAX;
        if let Some(progress_timeout) = conn.progress_timeout {
            self.look_at(id, Some(progress_timeout.next_look(now, usize::MAX)));
        }
    }

    fn look_at(&mut self, id: ConnId, deadline: Option<Instant>) {
        let Some(conn) = self.conn(id) else { return };
        let old = std::mem::replace(&mut conn.deadline, deadline);
        if let Some(old) = old {
            self.deadlines.remove(&(old, id));
        }
        self.deadlines.extend(deadline.map(|at| (at, id)));
    }

    /// Deals with the deadlines that have passed. One that passed since the last turn may have been kept: if the connection
    /// is ready, what came in time has just not been read yet, and its session gets this turn to do so.
    pub(super) fn expire(&mut self, last_turn: Instant) {
        let passed: Vec<_> = self.deadlines.iter().take_while(|&&(at, _)| at <= self.now).copied().collect();
        for (at, id) in passed {
            let has_its_turn =
                at > last_turn && self.out.iter().any(|event| matches!(event, Event::Ready(ready) if *ready == id));
            if !has_its_turn {
                self.late(id);
            }
        }
    }

    fn late(&mut self, id: ConnId) {
        let now = self.now;
        let Some(conn) = self.conn(id) else { return };
        if let Some(at) = conn.time_left(now) {
            return self.look_at(id, Some(at));
        }
        if conn.progress_timeout.is_some_and(|progress_timeout| progress_timeout.late == OnDeadline::HalfClose)
            && matches!(conn.state, ConnState::Open { .. })
        {
            return self.half_close(id);
        }
        if matches!(conn.state, ConnState::Resolving) {
            return self.unresolved(id);
        }
        let failure = conn.origin.late(conn.state.phase());
        match self.retire(id) {
            // Another address of the same name may answer.
            Some(ConnState::Connecting { rest, .. }) if !rest.as_slice().is_empty() => self.connect(id, rest),
            Some(ConnState::Closing { .. } | ConnState::Lingering { .. }) => self.abort(id),
            _ => self.fail(id, failure),
        }
    }
}

impl Conn {
    /// When to look again, where the peer has time left because it is taking what we sent.
    fn time_left(&mut self, now: Instant) -> Option<Instant> {
        let (progress_timeout, stream) = (self.progress_timeout.as_mut()?, self.state.open_stream()?);
        if self.unacknowledged == 0 {
            return None;
        }
        let before = std::mem::replace(&mut self.unacknowledged, unacknowledged(stream.tcp()).unwrap_or(0));
        if self.unacknowledged < before {
            progress_timeout.since = now;
        }
        Some(progress_timeout.next_look(now, self.unacknowledged)).filter(|at| *at > now)
    }
}

impl ProgressTimeout {
    /// When to look at a connection with so many bytes in its queue; at `now` or before if it is late.
    fn next_look(&self, now: Instant, unacknowledged: usize) -> Instant {
        let end = after(self.since, self.wait);
        if unacknowledged == 0 {
            return end;
        }
        let look = after(now, LOOK.min(self.wait / 4));
        end.min(self.drained_by.unwrap_or(end)).min(look)
    }
}
