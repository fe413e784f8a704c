//! The body of an `LS`.

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::storage_dir::StorageDir;
use crate::budget::{Budget, Share};
use crate::proto::{FileName, is_collector_mark};
use crate::store::fs::error::StoreError;

/// More than a name and its line's end take, in bytes.
const LINE: usize = 512;

/// The least and the most memory that is taken at once, in bytes.
const LEAST: usize = 1024;
const MOST: usize = 1024 * 1024;

/// Lists a directory a piece at a time, so that a million names hold nobody up.
///
/// Names come as the directory has them, `.`, `..` and sub-directories among them, as stock's do. Left out are names
/// that no command may carry, what is neither a file nor a directory (no command would find it), and staging areas; not
/// the mark by which a collector finds its own incoming directory.
#[derive(Debug)]
pub struct Lister {
    dir: StorageDir,
    entries: Dir,
    body: Vec<u8>,
    memory: Share,
}

/// How far a [`Lister`] is.
#[derive(Debug)]
pub enum Progress {
    /// There are more entries to look at.
    More(Lister),
    /// There are, and no memory for them now.
    Short(Lister),
    /// It is done.
    Whole(Listing),
}

/// The whole body of an `LS`: one name a line. The memory it takes goes back to its budget when it is dropped.
#[derive(Debug)]
pub struct Listing {
    body: Vec<u8>,
    _memory: Share,
}

impl Listing {
    /// One of this body, which takes nobody's memory.
    #[cfg(test)]
    pub(in crate::store) fn of(body: Vec<u8>) -> Self {
        Self { body, _memory: Budget::new(0).share() }
    }

    /// The body.
    pub fn as_bytes(&self) -> &[u8] {
        &self.body
    }
}

impl Lister {
    pub(in crate::store) fn new(dir: StorageDir, budget: &Budget) -> Result<Self, StoreError> {
        let entries = Dir::read_from(dir.dir().incoming()).map_err(failed(&dir))?;
        Ok(Self { dir, entries, body: Vec::new(), memory: budget.share() })
    }

    /// Looks at the next `max_entries` entries, or at what is left. `may_exceed` lets it take more memory than its share.
    pub fn step(mut self, max_entries: usize, may_exceed: bool) -> Result<Progress, StoreError> {
        for _ in 0..max_entries {
            if !self.take_memory(may_exceed) {
                return Ok(Progress::Short(self));
            }
            let Some(entry) = self.entries.read() else { return Ok(Progress::Whole(self.whole())) };
            let entry = entry.map_err(failed(&self.dir))?;
            let name = entry.file_name().to_bytes();
            if is_listed(name, entry.file_type()) {
                self.body.extend_from_slice(name);
                self.body.push(b'\n');
            }
        }
        Ok(Progress::More(self))
    }

    /// Sees to it that the next line fits; whether it does.
    fn take_memory(&mut self, may_exceed: bool) -> bool {
        if self.body.capacity() - self.body.len() >= LINE {
            return true;
        }
        let more = self.body.len().clamp(LEAST, MOST);
        if !self.memory.grow(more as u64) {
            if !may_exceed {
                return false;
            }
            self.memory.take(more as u64);
        }
        self.body.reserve_exact(more);
        true
    }

    fn whole(mut self) -> Listing {
        self.body.shrink_to_fit();
        self.memory.shrink(self.memory.amount().saturating_sub(self.body.len() as u64));
        Listing { body: self.body, _memory: self.memory }
    }
}

fn is_listed(name: &[u8], kind: FileType) -> bool {
    match (name, kind) {
        (b"." | b"..", _) => true,
        (_, FileType::Directory | FileType::Unknown) if is_collector_mark(name) => true,
        // Some filesystems do not report what an entry is.
        (_, FileType::RegularFile | FileType::Directory | FileType::Unknown) => FileName::new(name).is_ok(),
        _ => false,
    }
}

fn failed(dir: &StorageDir) -> impl FnOnce(Errno) -> StoreError + '_ {
    StoreError::io("list", dir.path())
}
