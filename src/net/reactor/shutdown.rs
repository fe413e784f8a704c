//! How an open connection ends, one direction after the other.

use std::time::Duration;

use super::{Event, Net};
use crate::deadline::after;
use crate::net::conn::{ConnState, OnDeadline};
use crate::net::{ConnId, Failure};
use crate::tls::{Received, Stream};

/// How long a connection that we have left may take to close at the other end.
const LINGER: Duration = Duration::from_secs(2);

/// How long a peer may take for what it was sent before we left, where nothing else limits that.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

/// Reads granted to a peer that goes on talking after we have left.
const LAST_READS: usize = 16;

impl Net {
    /// Leaves an open connection: what was written goes out, then both ends close. No further event names it.
    pub fn close(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        conn.state = match std::mem::replace(&mut conn.state, ConnState::Failed) {
            ConnState::Open { mut stream } => {
                stream.close();
                ConnState::Closing { stream }
            }
            ConnState::Ending { stream } => ConnState::Closing { stream },
            ConnState::Ended { stream } => ConnState::Lingering { stream },
            _ => return self.abort(id),
        };
        self.linger(id);
        self.enqueue(id);
    }

    /// Leaves a connection that is cut short. Where we have ended our direction already, it closes in order; otherwise it is
    /// dropped, so that its peer does not take this for an orderly end.
    pub fn abort_unless_shut_down(&mut self, id: ConnId) {
        match self.conn(id).map(|conn| &conn.state) {
            Some(ConnState::Ending { .. } | ConnState::Ended { .. }) => self.close(id),
            _ => self.abort(id),
        }
    }

    /// Ends our direction of an open connection, after what was written; reading goes on. Nothing can be written any
    /// more.
    pub fn shutdown_write(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        match std::mem::replace(&mut conn.state, ConnState::Failed) {
            ConnState::Open { mut stream } => {
                stream.close();
                conn.state = ConnState::Ending { stream };
                self.enqueue(id);
            }
            other => conn.state = other,
        }
    }

    /// Ends our direction of an open connection, after what was written. The session reads on, for as long as a peer may
    /// take to close at its end as well; then the connection fails with a timeout.
    pub fn half_close(&mut self, id: ConnId) {
        if self.conn(id).is_some_and(|conn| matches!(conn.state, ConnState::Open { .. })) {
            self.shutdown_write(id);
            self.linger(id);
        }
    }

    /// From now on the peer has to take what it was sent, and to close as well.
    fn linger(&mut self, id: ConnId) {
        let drained_by = self.drained_by(id).unwrap_or_else(|| after(self.now, LONGEST_DRAIN));
        self.set_progress_timeout(id, LINGER, OnDeadline::Fail, Some(drained_by));
    }

    /// Drops one of the connections that were left and are not closed yet: the one that has the least time left for it.
    pub fn abort_lingering(&mut self) {
        let lingering = self.conns.iter().map(|(_, conn)| conn);
        let lingering =
            lingering.filter(|conn| matches!(conn.state, ConnState::Closing { .. } | ConnState::Lingering { .. }));
        let first =
            lingering.min_by_key(|conn| conn.progress_timeout.and_then(|progress_timeout| progress_timeout.drained_by));
        if let Some(id) = first.map(|conn| conn.id) {
            self.abort(id);
        }
    }

    /// The last bytes of our direction go out, then it ends; the session reads on.
    pub(super) fn ending(&mut self, id: ConnId, mut stream: Stream) {
        match end_direction(&mut stream) {
            Ok(true) => self.restore(id, ConnState::Ended { stream }),
            Ok(false) => self.restore(id, ConnState::Ending { stream }),
            Err(failure) => return self.fail(id, failure),
        }
        self.out.push(Event::Ready(id));
    }

    pub(super) fn closing(&mut self, id: ConnId, mut stream: Stream) {
        match end_direction(&mut stream) {
            Ok(true) => self.lingering(id, stream),
            Ok(false) => self.restore(id, ConnState::Closing { stream }),
            Err(_) => self.abort(id),
        }
    }

    /// Whatever the peer still sends is thrown away, until it closes as well.
    pub(super) fn lingering(&mut self, id: ConnId, mut stream: Stream) {
        for _ in 0..LAST_READS {
            match stream.read(usize::MAX, &mut self.scratch, <[u8]>::len) {
                Ok(Received::Bytes(_)) => {}
                Ok(Received::WouldBlock) => return self.restore(id, ConnState::Lingering { stream }),
                Ok(Received::Eof { .. }) | Err(_) => break,
            }
        }
        self.abort(id);
    }
}

/// Passes on the last bytes, then ends our direction, to be done once: Linux calls a socket writable after each
/// `shutdown`. Whether it has ended.
fn end_direction(stream: &mut Stream) -> Result<bool, Failure> {
    let flushed = stream.flush()?;
    if flushed {
        stream.shutdown_write().map_err(Failure::Io)?;
    }
    Ok(flushed)
}
