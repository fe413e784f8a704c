//! Files that are sent.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::reason::{Reason, plain};
use crate::proto::RawName;
use crate::store::pack_into;

/// A file, open to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Under which it is sent: without directories.
    pub(super) name: RawName,
    pub(super) file: File,
    /// Bytes, of the file or of the archive.
    pub(super) size: u64,
}

impl Outgoing {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, Reason> {
        let unreadable = |error| Reason::Unreadable { path: path.to_owned(), why: plain(&error) };
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let base = path.file_name().unwrap_or(path.as_os_str());
        let name =
            RawName::new(base.as_encoded_bytes()).map_err(|error| Reason::Name { path: path.to_owned(), error })?;
        Ok(Self { name, file, size })
    }

    /// Puts it into an archive, a nameless one in the directory for temporary files.
    pub(super) fn pack(self) -> Result<Self, Reason> {
        let archive = tempfile::tempfile().map_err(Reason::Temporary)?;
        let packed = pack_into(archive, &std::env::temp_dir(), self.name.as_bytes(), &self.file, self.size)
            .map_err(Reason::Pack)?;
        Ok(Self { name: self.name, file: packed.file, size: packed.size })
    }
}

/// The files to be sent: all of them, or nothing is. Of a directory those in it, in the order of their names, but for
/// hidden ones: what `directory/*` means to a shell.
pub(super) fn list(paths: &[PathBuf]) -> Result<VecDeque<PathBuf>, Reason> {
    let mut files = VecDeque::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => files.push_back(path.clone()),
            Ok(metadata) if metadata.is_dir() => files.extend(files_in(path)?),
            _ => return Err(Reason::NoFile(path.clone())),
        }
    }
    Ok(files)
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Reason> {
    let unreadable = |error| Reason::Unreadable { path: directory.to_owned(), why: plain(&error) };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
