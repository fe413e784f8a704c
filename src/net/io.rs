//! An open connection, as its session uses it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use super::conn::{OnDeadline, Origin};
use super::{
    ByteStream, CompressedBytes, Compressible, Compression, CompressionPlace, ConnId, Failure, ListenerConfig, Net,
};
use crate::deadline::after;
use crate::tls::{FileSent, PeerDescription, Received, Sent, Stream};

/// How many bytes a connection may move before the others have their turn.
const BUDGET: usize = 256 * 1024;

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes were taken; there may be more.
    Bytes(usize),
    /// Nothing now: the loop reports when there is.
    Blocked,
    /// The peer sends no more; we still may. In plain TCP that is always orderly. Under TLS it is if the peer announced
    /// it (close_notify): where it did not, anyone on the way may have cut the connection.
    Eof {
        /// Whether the peer itself has ended its direction.
        orderly: bool,
    },
}

/// One turn of reading and writing; it ends when the socket blocks or the budget is spent.
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

    /// Shows the next bytes, at most `most`, to `take`, which returns how many of them it took; the rest comes again.
    pub fn read(&mut self, most: u64, take: impl FnOnce(&[u8]) -> usize) -> Result<Read, Failure> {
        if self.budget == 0 {
            self.net.wake(self.id);
            return Ok(Read::Blocked);
        }
        if !self.is_compressed() {
            return self.receive(most, take);
        }
        let mut take = Some(take);
        let mut take = |bytes: &[u8]| take.take().map_or(0, |take| take(bytes));
        let read = self.compressed(|compression, io| compression.read(io, most, &mut take))?;
        if let Read::Bytes(count) = read {
            // Beside what was received: a little may unfold into much.
            self.budget = self.budget.saturating_sub(count);
        }
        Ok(read)
    }

    /// The same, of the bytes as they come.
    fn receive(&mut self, most: u64, take: impl FnOnce(&[u8]) -> usize) -> Result<Read, Failure> {
        let (conn, scratch) = self.net.conn_and_scratch(self.id);
        let Some(stream) = conn.state.session_stream() else { return Ok(Read::Blocked) };
        if !conn.readiness.read && !stream.has_buffered() {
            return Ok(Read::Blocked);
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        match stream.read(most, scratch, take)? {
            Received::Bytes(count) => {
                // A read that brought nothing has cost its time as well.
                self.budget = self.budget.saturating_sub(count.max(64));
                Ok(Read::Bytes(count))
            }
            Received::WouldBlock => {
                conn.readiness.read = false;
                Ok(Read::Blocked)
            }
            // A reset whose error another call has taken, such as a look ahead, reads as an end. A client's end has
            // consequences; a server's end has none.
            Received::Eof { .. } if conn.origin.is_accepted() && conn.state.writable_stream().is_some_and(is_reset) => {
                Err(Failure::Io(io::ErrorKind::ConnectionReset.into()))
            }
            Received::Eof { orderly } => Ok(Read::Eof { orderly }),
        }
    }

    /// The others have their turn: the connection is reported as ready in the next one, whether its socket is or not.
    pub fn wake(&mut self) {
        self.net.wake(self.id);
    }

    /// Whether bytes were received that nobody has taken yet.
    pub fn has_buffered(&mut self) -> bool {
        let (conn, _) = self.net.conn_and_scratch(self.id);
        if conn.compression.as_ref().is_some_and(|compression| compression.has_buffered()) {
            return true;
        }
        self.stream().is_some_and(|stream| stream.has_buffered())
    }

    /// Whether there are bytes to read: received and not taken, or still in the socket. Under TLS, and where they are
    /// compressed, what the socket has may turn out to hold no data. The peer's end alone is none.
    pub fn has_input(&mut self) -> bool {
        self.has_buffered() || self.stream().is_some_and(|stream| stream.has_input())
    }

    /// Whether the peer has ended its direction, also where bytes of its are still to be read.
    pub fn has_ended(&mut self) -> bool {
        self.net.conn_and_scratch(self.id).0.readiness.ended
    }

    /// Whether the peer has reset the connection, or is out of reach: also where bytes of its are still to be read, and
    /// where nothing is read at all.
    pub fn is_reset(&mut self) -> bool {
        let (conn, _) = self.net.conn_and_scratch(self.id);
        conn.readiness.reset && conn.state.writable_stream().is_some()
    }

    /// Writes as much of `bytes` as goes; returns how much, 0 where the socket blocks, and after [`Net::shutdown_write`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.budget == 0 {
            self.net.wake(self.id);
            return Ok(0);
        }
        let bytes = &bytes[..bytes.len().min(self.budget)];
        let written = if self.is_compressed() {
            self.compressed(|compression, io| compression.write(io, bytes))?
        } else {
            self.send(bytes)?
        };
        self.budget -= written;
        Ok(written)
    }

    /// The same, of the bytes as they leave, and whatever is left of the turn's budget.
    fn send(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        match self.writable_stream().map_or(Ok(Sent::WouldBlock), |stream| stream.write(bytes))? {
            Sent::Bytes(written) => {
                self.net.was_written(self.id);
                Ok(written)
            }
            Sent::WouldBlock => Ok(0),
        }
    }

    /// Writes bytes of `file` from `offset` on, at most `count`: without a copy of ours where the connection is plain, and not
    /// compressed.
    /// The file must not be changed in place meanwhile. After [`Net::shutdown_write`] it is always blocked.
    pub fn send_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure> {
        if self.budget == 0 {
            self.net.wake(self.id);
            return Ok(FileSent::Blocked);
        }
        let most = count.min(self.budget as u64);
        let sent = if self.is_compressed() {
            let mut scratch = self.net.take_scratch();
            let sent = self.compressed(|compression, io| compression.send_file(io, file, offset, most, &mut scratch));
            self.net.return_scratch(scratch);
            sent?
        } else {
            let (conn, scratch) = self.net.conn_and_scratch(self.id);
            let Some(stream) = conn.state.writable_stream() else { return Ok(FileSent::Blocked) };
            stream.send_file(file, offset, most, scratch)?
        };
        if let FileSent::Bytes(count) = sent {
            self.budget = self.budget.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
            self.net.was_written(self.id);
        }
        Ok(sent)
    }

    /// Passes on what compression and TLS still hold; whether nothing is left.
    pub fn flush(&mut self) -> Result<bool, Failure> {
        if self.is_compressed() {
            return self.compressed(|compression, io| compression.flush(io));
        }
        self.pass_on()
    }

    fn pass_on(&mut self) -> Result<bool, Failure> {
        Ok(self.stream().map_or(Ok(true), Stream::flush)?)
    }

    /// Whether compression and TLS hold nothing back.
    pub fn is_flushed(&mut self) -> bool {
        let (conn, _) = self.net.conn_and_scratch(self.id);
        if conn.compression.as_ref().is_some_and(|compression| !compression.is_flushed()) {
            return false;
        }
        self.stream().is_none_or(|stream| !stream.wants_write())
    }

    /// How many bytes the peer's kernel has not acknowledged, TLS records and all. What [`Io::flush`] has not passed on
    /// does not count yet.
    pub fn unacknowledged(&mut self) -> io::Result<usize> {
        self.stream().map_or(Ok(0), |stream| crate::sys::unacknowledged(stream.tcp()))
    }

    /// Whether bytes were written that our kernel has not sent yet, as the peer or the line takes no more for now: what is
    /// written next leaves with them. What [`Io::flush`] has not passed on does not count.
    pub fn has_unsent(&mut self) -> bool {
        self.stream().is_some_and(|stream| crate::sys::unsent(stream.tcp()).is_ok_and(|count| count > 0))
    }

    /// The connection fails with a timeout once the peer has made no progress for as long as `wait`, unless another
    /// deadline is set: it makes progress as long as it takes what it was sent, and has `wait` from when it has all of it.
    /// `None` takes the deadline off.
    pub fn set_deadline(&mut self, wait: Option<Duration>) {
        match wait {
            Some(wait) => self.net.set_progress_timeout(self.id, wait, OnDeadline::Fail, None),
            None => self.net.set_deadline(self.id, None),
        }
    }

    /// How long the peer has until it fails, if it makes no progress: what [`Io::set_deadline`] granted, less the time since
    /// it made some. `None` without a deadline.
    pub fn time_left(&mut self) -> Option<Duration> {
        let now = self.now();
        let progress_timeout = self.net.conn_and_scratch(self.id).0.progress_timeout?;
        Some(after(progress_timeout.since, progress_timeout.wait).saturating_duration_since(now))
    }

    /// As [`Io::set_deadline`], after a body was written: whatever its progress, the peer must have taken it by `drained_by`.
    pub fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>) {
        self.net.set_progress_timeout(self.id, wait, OnDeadline::Fail, drained_by);
    }

    /// The connection is [parted](Net::half_close) with where it would [fail](Io::set_deadline). How long the peer may
    /// take for what it was sent stays as it was.
    pub fn half_close_after(&mut self, wait: Duration) {
        let drained_by = self.net.drained_by(self.id);
        self.net.set_progress_timeout(self.id, wait, OnDeadline::HalfClose, drained_by);
    }

    /// From now on, if the connection is dropped without having been ended in both directions, the peer sees it break
    /// off, and not end: also when the process dies.
    pub fn break_when_dropped(&mut self) -> io::Result<()> {
        self.stream().map_or(Ok(()), |stream| Ok(sockopt::set_socket_linger(stream.tcp(), Some(Duration::ZERO))?))
    }

    /// Whom we speak TLS with; `None` on a plain connection.
    pub fn peer(&mut self) -> Option<PeerDescription> {
        self.stream().and_then(|stream| stream.peer())
    }

    /// What an accepted connection came in through; `None` for one that we opened.
    pub fn listener_config(&mut self) -> Option<Arc<ListenerConfig>> {
        match &self.net.conn_and_scratch(self.id).0.origin {
            Origin::Accepted { listener_config } => Some(Arc::clone(listener_config)),
            Origin::Opened { .. } => None,
        }
    }

    fn is_compressed(&mut self) -> bool {
        self.net.conn_and_scratch(self.id).0.compression.is_some()
    }

    /// Lets the compression of a connection that has one act on the bytes as they come and leave.
    fn compressed<T>(&mut self, act: impl FnOnce(&mut Compression, &mut Bare<'_, 'a>) -> T) -> T {
        let mut compression =
            self.net.conn_and_scratch(self.id).0.compression.take().expect("the caller has seen that there is one");
        let outcome = act(&mut compression, &mut Bare(self));
        self.net.conn_and_scratch(self.id).0.compression = Some(compression);
        outcome
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        self.net.conn_and_scratch(self.id).0.state.session_stream()
    }

    fn writable_stream(&mut self) -> Option<&mut Stream> {
        self.net.conn_and_scratch(self.id).0.state.writable_stream()
    }
}

/// A connection's bytes as they come and leave.
struct Bare<'io, 'a>(&'io mut Io<'a>);

impl ByteStream for Bare<'_, '_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        self.0.receive(most, take)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.0.send(bytes)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        self.0.pass_on()
    }
}

impl Compressible for Io<'_> {
    fn compression_place(&mut self) -> Option<CompressionPlace> {
        self.net.compression_place(self.id)
    }

    fn compress(&mut self, place: CompressionPlace) {
        self.net.conn_and_scratch(self.id).0.compression = Some(Box::new(Compression::new(place)));
    }

    fn compressed_bytes(&mut self) -> Option<CompressedBytes> {
        Some(self.net.conn_and_scratch(self.id).0.compression.as_ref()?.bytes())
    }
}

/// Whether a connection that we have not ended ourselves has no peer any more.
fn is_reset(stream: &mut Stream) -> bool {
    stream.tcp().peer_addr().is_err_and(|error| error.kind() == io::ErrorKind::NotConnected)
}
