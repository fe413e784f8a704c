//! Files on their way out.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::open::{self, Found};
use crate::proto::FileName;

/// Which file it is, and in which state: another file of its name differs, and so does the same one written to since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
    pub(in crate::store) size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

/// A stored file, opened once: its size, its bytes and its removal all concern that one file.
#[derive(Debug)]
pub struct Source {
    name: FileName,
    file: File,
    identity: Identity,
}

impl Source {
    /// The file of this name; `None` if there is none, or something that is no file: a directory, a link, a FIFO.
    pub(in crate::store) fn open(dir: &OwnedFd, name: FileName) -> Result<Option<Self>, Errno> {
        match open::file(dir, name.as_bytes(), OFlags::RDONLY, Mode::empty())? {
            Found::File(file, stat) => Ok(Some(Self { name, file, identity: Identity::of(&stat) })),
            Found::Nothing | Found::Other(_) => Ok(None),
        }
    }

    /// The name it was found under.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// Bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.identity.size
    }

    /// The open file. It may have become shorter or longer than [`size`](Self::size) if another program writes to it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The open file alone.
    pub fn into_file(self) -> File {
        self.file
    }

    /// What [`StoreWorker::remove`](crate::store::StoreWorker::remove) needs to remove this file and no other.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

impl Identity {
    /// The file of this name, as for [`Source::open`].
    pub(in crate::store) fn look(dir: &OwnedFd, name: &FileName) -> Result<Option<Self>, Errno> {
        match fs::statat(dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode).is_file().then(|| Self::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
        }
    }
}
