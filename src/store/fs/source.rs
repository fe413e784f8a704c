//! Files on their way out.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::open::{self, Found};
use crate::proto::{FileName, MAX_SIZE};

/// Which file it is, and in which state: another file of its name differs, and so does the same one written to since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
    pub(in crate::store) size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

/// An [`Identity`] with what no program can set back: a file that has it still holds the bytes it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileState {
    identity: Identity,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// A stored file, opened once: its size, its bytes and its removal all concern that one file.
#[derive(Debug)]
pub struct Source {
    name: FileName,
    file: File,
    state: FileState,
    /// The time by which files are stamped, from before the state was read.
    looked: (i64, i64),
}

impl Source {
    /// The file of this name; `None` if there is none, or something that is no file: a directory, a link, a FIFO.
    pub(in crate::store) fn open(dir: &OwnedFd, name: FileName) -> Result<Option<Self>, Errno> {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        match open::file(dir, name.as_bytes(), OFlags::RDONLY, Mode::empty())? {
            Found::File(file, stat) => {
                Ok(Some(Self { name, file, state: FileState::of(&stat), looked: (now.tv_sec, now.tv_nsec) }))
            }
            Found::Nothing | Found::Other(_) => Ok(None),
        }
    }

    /// The name it was found under.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// Bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.state.identity.size
    }

    /// When it was written last, in nanoseconds since 1970; 0 for what is before.
    pub fn mtime(&self) -> u64 {
        nanoseconds(self.state.identity.modified)
    }

    /// The state in which it was opened, if every write since then shows in it. The kernel's stamps are a few milliseconds
    /// coarse: a file changed within the very tick it is opened in may change again and have the same.
    pub fn settled_state(&self) -> Option<FileState> {
        (self.state.changed < self.looked).then_some(self.state)
    }

    /// The state in which it was opened.
    pub fn state(&self) -> FileState {
        self.state
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
        self.state.identity
    }
}

impl FileState {
    /// That of the file of this name, as for [`Source::open`].
    pub(in crate::store) fn look(dir: &OwnedFd, name: &FileName) -> Result<Option<Self>, Errno> {
        match fs::statat(dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode).is_file().then(|| Self::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Which file it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    fn of(stat: &Stat) -> Self {
        Self { identity: Identity::of(stat), changed: (stat.st_ctime, stat.st_ctime_nsec.cast_signed()) }
    }
}

/// 0 for what is before 1970, and the last there is for what is too late.
pub(in crate::store) fn nanoseconds((seconds, nanoseconds): (i64, i64)) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let all = seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(nanoseconds).unwrap_or(0));
    all.min(MAX_SIZE)
}

impl Identity {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file of this name, as for [`Source::open`].
    pub(in crate::store) fn look(dir: &OwnedFd, name: &FileName) -> Result<Option<Self>, Errno> {
        Ok(FileState::look(dir, name)?.map(|found| found.identity))
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
