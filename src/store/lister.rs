//! The body of an `LS`.

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::error::StoreError;
use super::folder::Folder;
use crate::proto::FileName;

/// Lists a folder a piece at a time, so that a million names hold nobody up.
///
/// Names come as the directory has them, `.`, `..` and sub-directories among them, as stock's do. Left out are names that
/// no command may carry, what is neither a file nor a directory (no command would find it), and our staging area.
#[derive(Debug)]
pub struct Lister {
    folder: Folder,
    entries: Dir,
    body: Vec<u8>,
}

/// Whether a [`Lister`] is done.
#[derive(Debug)]
pub enum Listed {
    /// There are more entries to look at.
    More(Lister),
    /// The whole body: one name a line.
    Whole(Vec<u8>),
}

impl Lister {
    pub(super) fn new(folder: Folder) -> Result<Self, StoreError> {
        let entries = Dir::read_from(folder.area().incoming()).map_err(failed(&folder))?;
        Ok(Self { folder, entries, body: Vec::new() })
    }

    /// Looks at the next `max_entries` entries, or at what is left.
    pub fn step(mut self, max_entries: usize) -> Result<Listed, StoreError> {
        for _ in 0..max_entries {
            let Some(entry) = self.entries.read() else {
                #[cfg(test)]
                super::model::reorder(&mut self.body);
                return Ok(Listed::Whole(self.body));
            };
            let entry = entry.map_err(failed(&self.folder))?;
            let name = entry.file_name().to_bytes();
            if is_listed(name, entry.file_type()) {
                self.body.extend_from_slice(name);
                self.body.push(b'\n');
            }
        }
        Ok(Listed::More(self))
    }
}

fn is_listed(name: &[u8], kind: FileType) -> bool {
    match (name, kind) {
        (b"." | b"..", _) => true,
        // Some filesystems do not say what an entry is.
        (_, FileType::RegularFile | FileType::Directory | FileType::Unknown) => FileName::new(name).is_ok(),
        _ => false,
    }
}

fn failed(folder: &Folder) -> impl FnOnce(Errno) -> StoreError + '_ {
    StoreError::io("list", folder.path())
}
