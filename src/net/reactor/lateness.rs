//! What connections owe by when, and what becomes of those that are late.

use std::time::Instant;

use super::{Event, Net};
use crate::net::ConnId;
use crate::net::conn::{Late, Stage};

impl Net {
    pub(in crate::net) fn set_deadline(&mut self, id: ConnId, deadline: Option<Instant>) {
        let Some(conn) = self.conns.get_mut(id.slot()) else { return };
        conn.late = Late::Fail;
        let old = std::mem::replace(&mut conn.deadline, deadline);
        if let Some(old) = old {
            self.deadlines.remove(&(old, id));
        }
        self.deadlines.extend(deadline.map(|at| (at, id)));
    }

    pub(in crate::net) fn set_parting(&mut self, id: ConnId, at: Instant) {
        self.set_deadline(id, Some(at));
        if let Some(conn) = self.conn(id) {
            conn.late = Late::Part;
        }
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
        let Some(conn) = self.conn(id) else { return };
        if conn.late == Late::Part && matches!(conn.stage, Stage::Open { .. }) {
            return self.part(id);
        }
        if matches!(conn.stage, Stage::Resolving) {
            return self.unresolved(id);
        }
        let failure = conn.origin.late(conn.stage.phase());
        match self.retire(id) {
            // Another address of the same name may answer.
            Some(Stage::Connecting { rest, .. }) if !rest.as_slice().is_empty() => self.connect(id, rest),
            Some(Stage::Closing { .. } | Stage::Lingering { .. }) => self.abort(id),
            _ => self.fail(id, failure),
        }
    }
}
