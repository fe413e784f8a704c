//! A connection for tests of sessions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ports::Connection;
use crate::budget::Budget;
use crate::deadline::after;
use crate::net::{ByteStream, CompressedBytes, Compressible, CompressionPlace, Failure, Read};
use crate::proto::extension::History;
use crate::status_port;
use crate::tls::{PeerDescription, UnixTime};

/// A connection that has brought `input`.
pub(super) struct ScriptedConnection {
    pub(super) now: Instant,
    pub(super) input: VecDeque<u8>,
    pub(super) output: Vec<u8>,
    pub(super) deadline: Option<Instant>,
    pub(super) woken: usize,
    pub(super) memory: Budget,
    /// Once the session has agreed on it; bytes are shown as they were before.
    pub(super) compression: Option<CompressionPlace>,
    /// As if what is shown had crossed the line in half as many bytes.
    pub(super) compressed: CompressedBytes,
    /// Nothing follows the input.
    pub(super) is_ended: bool,
    /// What was written has not left.
    pub(super) is_held_back: bool,
    /// For so long, a limit of ours has kept the peer waiting.
    pub(super) held_up: Duration,
}

impl ScriptedConnection {
    pub(super) fn new(now: Instant) -> Self {
        let memory = Budget::new(crate::budget::COMPRESSION);
        let (input, output) = (VecDeque::new(), Vec::new());
        Self {
            now,
            input,
            output,
            deadline: None,
            woken: 0,
            memory,
            compression: None,
            compressed: CompressedBytes::default(),
            is_ended: false,
            is_held_back: false,
            held_up: Duration::ZERO,
        }
    }
}

impl ByteStream for ScriptedConnection {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.input.len());
        if most == 0 {
            return Ok(if self.is_ended { Read::Eof { orderly: true } } else { Read::Blocked });
        }
        let taken = take(&self.input.make_contiguous()[..most]);
        self.input.drain(..taken);
        self.compressed.received += taken.div_ceil(2) as u64;
        Ok(Read::Bytes(taken))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.output.extend_from_slice(bytes);
        self.compressed.sent += bytes.len().div_ceil(2) as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }
}

impl Compressible for ScriptedConnection {
    fn compression_place(&mut self) -> Option<CompressionPlace> {
        CompressionPlace::of(&self.memory, History::SinceFlush)
    }

    fn compress(&mut self, place: CompressionPlace) {
        assert!(self.compression.replace(place).is_none(), "it is compressed already");
    }

    fn compressed_bytes(&mut self) -> Option<CompressedBytes> {
        self.compression.is_some().then_some(self.compressed)
    }
}

impl status_port::Connection for ScriptedConnection {
    fn now(&self) -> Instant {
        self.now
    }

    fn drain_by(&mut self, wait: Duration, _: Option<Instant>) {
        self.set_deadline(Some(wait));
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        self.deadline = wait.map(|wait| after(self.now, wait));
    }
}

impl Connection for ScriptedConnection {
    fn date(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::ZERO)
    }

    fn peer(&mut self) -> Option<PeerDescription> {
        None
    }

    fn peer_time(&self) -> Instant {
        self.now.checked_sub(self.held_up).unwrap_or(self.now)
    }

    fn has_buffered(&mut self) -> bool {
        false
    }

    fn has_ended(&mut self) -> bool {
        self.is_ended
    }

    fn has_unsent(&mut self) -> bool {
        self.is_held_back
    }

    fn wake(&mut self) {
        self.woken += 1;
    }

    fn time_left(&mut self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(self.now))
    }
}
