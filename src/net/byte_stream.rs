//! What a session's bytes pass through.

use super::{Failure, Io, Read};

/// An open connection's bytes, in both directions: [`Io`], whose methods these are.
pub trait ByteStream {
    /// Shows the next bytes, at most `most`, to `take`, which returns how many of them it took; the rest comes again. It is
    /// called at most once.
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure>;
    /// Writes as much of `bytes` as goes; returns how much, 0 where the socket blocks.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure>;
    /// Passes on what was written and is still held here; whether nothing is left. Due before the peer is waited for.
    fn flush(&mut self) -> Result<bool, Failure>;
}

impl ByteStream for Io<'_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        self.read(most, take)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.write(bytes)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        self.flush()
    }
}
