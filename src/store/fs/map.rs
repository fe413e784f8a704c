//! The memory-mapped sink: the only place that maps files. No program of ours chooses it: appending is faster, as the
//! [module `store`](crate::store) shows, and the disk bench measures both.
#![expect(unsafe_code, reason = "mapping a file is unsafe; see Mapping for why it is sound")]

use std::fs::File;
use std::io;

use memmap2::MmapMut;
use rustix::fs::{FallocateFlags, fallocate};

/// The least and the most that is reserved at once, in bytes. A peer that lies about a size gets no more of the disk
/// than it fills, plus the latter.
const RESERVE: std::ops::RangeInclusive<u64> = 64 * 1024..=16 * 1024 * 1024;

/// A file of ours that grows through a mapping.
///
/// Sound because nobody else changes the file while it is mapped: it lies in a directory that only our user may enter,
/// under a fresh name. Every mapped page has its block reserved on the disk before, so a full disk is an error of
/// `fallocate` and never a SIGBUS.
#[derive(Debug)]
pub(in crate::store) struct Mapping {
    file: File,
    map: MmapMut,
    filled: usize,
}

impl Mapping {
    /// Maps the empty `file`, with room for `size_hint` bytes, within reason. Gives the file back if that cannot be.
    pub(in crate::store) fn new(file: File, size_hint: u64) -> Result<Self, (File, io::Error)> {
        let room = size_hint.clamp(*RESERVE.start(), *RESERVE.end());
        match reserve(&file, room) {
            Ok(map) => Ok(Self { file, map, filled: 0 }),
            Err(error) => Err((file, error)),
        }
    }

    pub(in crate::store) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.filled + bytes.len();
        if end > self.map.len() {
            let step = (self.map.len() as u64).clamp(*RESERVE.start(), *RESERVE.end());
            self.map = reserve(&self.file, end as u64 + step)?;
        }
        self.map[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
        Ok(())
    }

    /// Unmaps the file and gives what was reserved and not filled back to the disk.
    pub(in crate::store) fn close(self) -> io::Result<()> {
        let Self { file, map, filled } = self;
        drop(map);
        file.set_len(filled as u64)
    }
}

/// Extends `file` to `space` bytes that exist on the disk, and maps them.
fn reserve(file: &File, room: u64) -> io::Result<MmapMut> {
    fallocate(file, FallocateFlags::empty(), 0, room)?;
    // SAFETY: the file is exclusively ours and `space` bytes long (see `Mapping`); only its owner, which holds the
    // mapping, ever shortens it, after unmapping.
    unsafe { MmapMut::map_mut(file) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn it_grows_past_its_hint_and_ends_with_the_length_written() {
        let mut copy = tempfile::tempfile().unwrap();
        let mut mapping = Mapping::new(copy.try_clone().unwrap(), 10).unwrap();
        let piece = vec![7; 50_000];
        for _ in 0..5 {
            mapping.append(&piece).unwrap();
        }
        mapping.close().unwrap();
        let mut found = Vec::new();
        copy.rewind().unwrap();
        copy.read_to_end(&mut found).unwrap();
        assert_eq!(found, vec![7; 250_000]);
    }

    #[test]
    fn nothing_written_leaves_an_empty_file() {
        let copy = tempfile::tempfile().unwrap();
        Mapping::new(copy.try_clone().unwrap(), u64::MAX).unwrap().close().unwrap();
        assert_eq!(copy.metadata().unwrap().len(), 0);
    }
}
