//! A connection's direction as one raw deflate stream (RFC 1951) without an end; without I/O.

use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::super::transmit_buffer::TransmitBuffer;

/// zlib's and flate2's own default.
const LEVEL: u32 = 6;

/// Room that is made for what is compressed, in bytes, whenever there is none.
const ROOM: usize = 4 * 1024;

/// Bytes that come out of a stream before more of it is taken.
const OUTPUT: usize = 16 * 1024;

/// What a sender remembers of what it has sent, to refer back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// The last 32 KiB, always: files that come one by one are like those before. That takes 320 KiB of memory.
    Kept,
    /// What was sent since the last flush. Nothing is held between flushes.
    SinceFlush,
}

/// What a side sends, compressed.
pub struct Deflater {
    history: History,
    compress: Option<Compress>,
    outbox: TransmitBuffer,
    /// Whether bytes were pushed since the last flush: the receiver cannot have all of them.
    has_unflushed: bool,
}

impl Deflater {
    /// A stream of which nothing is sent.
    pub fn new(history: History) -> Self {
        Self { history, compress: None, outbox: TransmitBuffer::default(), has_unflushed: false }
    }

    /// Takes bytes to be sent. What comes of them may be held back until the next [`flush`](Self::flush), to be compressed
    /// together with what follows.
    pub fn push(&mut self, bytes: &[u8]) {
        self.run(bytes, FlushCompress::None);
        self.has_unflushed = true;
    }

    /// Has all that was pushed transmitted (a sync flush): due whenever the sender would wait.
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.has_unflushed) {
            self.run(&[], FlushCompress::Sync);
        }
        if self.history == History::SinceFlush {
            self.compress = None;
        }
    }

    /// Bytes of the stream to be written.
    pub fn transmit(&self) -> &[u8] {
        self.outbox.pending()
    }

    /// The first `n` bytes of [`transmit`](Self::transmit) were written.
    pub fn transmitted(&mut self, n: usize) {
        self.outbox.advance(n);
    }

    /// Whether all that was pushed has been flushed, and written.
    pub fn is_flushed(&self) -> bool {
        !self.has_unflushed && self.outbox.pending().is_empty()
    }

    fn run(&mut self, mut bytes: &[u8], flush: FlushCompress) {
        let compress = self.compress.get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
        self.outbox.fill(|out| {
            loop {
                out.reserve(ROOM);
                let before = compress.total_in();
                compress.compress_vec(bytes, out, flush).expect("a stream that is not finished takes any bytes");
                bytes = &bytes[count(compress.total_in() - before)..];
                // Where room is left, nothing more was to come.
                if bytes.is_empty() && out.len() < out.capacity() {
                    break;
                }
            }
        });
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deflater({:?}, {:?})", self.history, self.outbox)
    }
}

/// Of bytes that were taken out of a slice.
fn count(taken: u64) -> usize {
    usize::try_from(taken).expect("no more than there were")
}

/// Why a peer's stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It is none.
    #[error("it is no deflate stream")]
    Damaged,
    /// It has a last block, which none has here.
    #[error("it has a last block, and a connection's stream has none")]
    Ended,
}

/// What a side receives, decompressed.
pub struct Inflater {
    decompress: Decompress,
    output: Vec<u8>,
    /// Bytes of the output that were taken.
    taken: usize,
    /// The output had no room for more: more may come without input.
    is_full: bool,
    /// What is wrong with what follows the output.
    fault: Option<InflateError>,
}

impl Inflater {
    /// A stream of which nothing has come.
    pub fn new() -> Self {
        Self { decompress: Decompress::new(false), output: Vec::new(), taken: 0, is_full: false, fault: None }
    }

    /// Takes bytes of the stream, and returns how many: none before all of the [output](Self::output) is taken, and no more
    /// than bring some KiB of it, however far they unfold.
    ///
    /// # Errors
    /// They are none of a stream, once all output before that is taken. There is no way on.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<usize, InflateError> {
        if !self.output().is_empty() {
            return Ok(0);
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.output.clear();
        self.taken = 0;
        self.output.reserve_exact(OUTPUT);
        let before = self.decompress.total_in();
        let status = self.decompress.decompress_vec(bytes, &mut self.output, FlushDecompress::None);
        self.is_full = self.output.len() == self.output.capacity();
        self.fault = match status {
            Ok(Status::Ok | Status::BufError) => None,
            Ok(Status::StreamEnd) => Some(InflateError::Ended),
            Err(_) => Some(InflateError::Damaged),
        };
        match self.fault {
            Some(fault) if self.output.is_empty() => Err(fault),
            _ => Ok(count(self.decompress.total_in() - before)),
        }
    }

    /// What came out and is not taken yet.
    pub fn output(&self) -> &[u8] {
        &self.output[self.taken..]
    }

    /// The first `n` bytes of the output are taken.
    pub fn taken(&mut self, n: usize) {
        self.taken = self.output.len().min(self.taken.saturating_add(n));
    }

    /// Whether more may come out without input, or an error: [`handle_input`](Self::handle_input) with none brings it.
    pub fn may_have_more(&self) -> bool {
        self.is_full || self.fault.is_some()
    }

    /// Gives back the memory of an output that is taken, where nothing more comes for now.
    pub fn rest(&mut self) {
        if self.output().is_empty() {
            self.output = Vec::new();
            self.taken = 0;
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inflater({} bytes)", self.output().len())
    }
}

#[cfg(test)]
#[path = "deflate_tests.rs"]
mod tests;
