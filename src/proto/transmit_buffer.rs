//! Protocol bytes on their way out.

use std::fmt;

use zeroize::Zeroizing;

/// Room for a `PASS` line, so that its bytes are never moved and left behind unwiped.
const ROOM: usize = 64;

/// A side's output, until it is written. Wiped and freed then, and never shown: it may be a password's digest.
#[derive(Default)]
pub(super) struct TransmitBuffer {
    bytes: Zeroizing<Vec<u8>>,
    written: usize,
}

impl TransmitBuffer {
    /// Takes what `encode` appends.
    pub(super) fn fill(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.reserve(ROOM);
        encode(&mut self.bytes);
    }

    /// What is still to be written.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// The first `n` pending bytes have been written.
    pub(super) fn advance(&mut self, n: usize) {
        self.written = self.bytes.len().min(self.written.saturating_add(n));
        if self.written == self.bytes.len() {
            self.clear();
        }
    }

    /// How many bytes of memory it takes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets what is pending.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl fmt::Debug for TransmitBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({} bytes)", self.pending().len())
    }
}
