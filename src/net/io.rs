//! An open connection in the hands of its session.

use std::time::{Duration, Instant};

use super::conn::Stage;
use super::{ConnId, Failure, Net};
use crate::tls::{PeerDescription, Pipe, Received, Sent};

/// How many bytes a connection may move before the others have their turn.
const BUDGET: usize = 256 * 1024;

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes were taken; there may be more.
    Some(usize),
    /// Nothing now: the loop says when there is.
    Blocked,
    /// The peer has closed its end.
    Eof,
}

/// One helping of reading and writing; it ends when the socket blocks or the budget is spent.
pub struct Io<'a> {
    net: &'a mut Net,
    id: ConnId,
    budget: usize,
}

impl<'a> Io<'a> {
    pub(super) fn new(net: &'a mut Net, id: ConnId) -> Self {
        Self { net, id, budget: BUDGET }
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.net.now()
    }

    /// Shows the next bytes, at most `most`, to `take`, which says how many of them it took; the rest comes again.
    pub fn read(&mut self, most: u64, take: impl FnOnce(&[u8]) -> usize) -> Result<Read, Failure> {
        if self.budget == 0 {
            self.net.wake(self.id);
            return Ok(Read::Blocked);
        }
        let (conn, scratch) = self.net.conn_and_scratch(self.id);
        let Stage::Open { pipe } = &mut conn.stage else { return Ok(Read::Eof) };
        if !conn.readiness.read && !pipe.has_buffered() {
            return Ok(Read::Blocked);
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        match pipe.read(most, scratch, take)? {
            Received::Bytes(count) => {
                // A read that brought nothing has cost its time as well.
                self.budget = self.budget.saturating_sub(count.max(64));
                Ok(Read::Some(count))
            }
            Received::WouldBlock => {
                conn.readiness.read = false;
                Ok(Read::Blocked)
            }
            Received::Eof => Ok(Read::Eof),
        }
    }

    /// Whether bytes were received that nobody has taken yet.
    pub fn has_buffered(&mut self) -> bool {
        self.pipe().is_some_and(|pipe| pipe.has_buffered())
    }

    /// Writes as much of `bytes` as goes; says how much, 0 where the socket blocks.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        match self.pipe().map_or(Ok(Sent::WouldBlock), |pipe| pipe.write(bytes))? {
            Sent::Bytes(written) => Ok(written),
            Sent::WouldBlock => Ok(0),
        }
    }

    /// Passes on what TLS still holds; whether nothing is left.
    pub fn flush(&mut self) -> Result<bool, Failure> {
        Ok(self.pipe().map_or(Ok(true), Pipe::flush)?)
    }

    /// The connection fails with a timeout unless another deadline is set within `wait`; `None` takes it off.
    pub fn set_deadline(&mut self, wait: Option<Duration>) {
        let now = self.net.now();
        self.net.set_deadline(self.id, wait.map(|wait| now + wait));
    }

    /// Whom we speak TLS with; `None` on a plain connection.
    pub fn peer(&mut self) -> Option<PeerDescription> {
        self.pipe().and_then(|pipe| pipe.peer())
    }

    fn pipe(&mut self) -> Option<&mut Pipe> {
        match &mut self.net.conn_and_scratch(self.id).0.stage {
            Stage::Open { pipe } => Some(pipe),
            _ => None,
        }
    }
}
