//! Answers and small files on their way to a client, gathered so that one packet, and one record of TLS, carries many.

use std::fs::File;

use crate::net::{ByteStream, Failure, FileSent};
use crate::tls::read_piece;

/// What is gathered at most, in bytes.
const MOST: usize = 16 * 1024;

/// Bytes that are to be written before all others.
#[derive(Debug, Default)]
pub(super) struct Gathered(Vec<u8>);

impl Gathered {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether so many bytes more are gathered, and not written by themselves.
    pub(super) fn has_room(&self, more: u64) -> bool {
        (self.0.len() as u64).saturating_add(more) <= MOST as u64
    }

    /// An answer; it is taken whether there is room or not.
    pub(super) fn push(&mut self, answer: &[u8]) {
        self.0.extend_from_slice(answer);
    }

    /// So many bytes of a file, from `offset` on, for which there is [room](Self::has_room).
    pub(super) fn push_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure> {
        let before = self.0.len();
        self.0.resize(before + usize::try_from(count).unwrap_or(MOST), 0);
        let read = read_piece(file, offset, usize::MAX, &mut self.0[before..]).map(<[u8]>::len);
        self.0.truncate(before + *read.as_ref().unwrap_or(&0));
        Ok(match read? {
            0 => FileSent::Short,
            read => FileSent::Bytes(read as u64),
        })
    }

    /// Writes as much as goes; whether that is all.
    pub(super) fn write(&mut self, io: &mut dyn ByteStream) -> Result<bool, Failure> {
        let mut written = 0;
        while written < self.0.len() {
            match io.write(&self.0[written..])? {
                0 => break,
                count => written += count,
            }
        }
        if written < self.0.len() {
            self.0.drain(..written);
        } else {
            // An idle session holds no memory.
            self.0 = Vec::new();
        }
        Ok(self.0.is_empty())
    }
}
