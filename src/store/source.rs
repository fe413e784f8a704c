//! Files on their way out.

use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::proto::FileName;

/// Which file it is, and in which state: another file of its name differs, and so does the same one written to since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
    pub(super) size: u64,
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
    pub(super) fn open(dir: &OwnedFd, name: FileName) -> Result<Option<Self>, Errno> {
        // A FIFO that nobody writes to would keep us waiting, a terminal could become ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some((file, metadata)) = open(dir, &name, flags)? else { return Ok(None) };
        Ok(Some(Self { name, file, identity: Identity::of(&metadata) }))
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

    /// What [`Keeper::remove`](super::Keeper::remove) needs to remove this file and no other.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

impl Identity {
    /// The file of this name, as for [`Source::open`].
    pub(super) fn look(dir: &OwnedFd, name: &FileName) -> Result<Option<Self>, Errno> {
        Ok(open(dir, name, OFlags::PATH)?.map(|(_, metadata)| Self::of(&metadata)))
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

fn open(dir: &OwnedFd, name: &FileName, flags: OFlags) -> Result<Option<(File, Metadata)>, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match fs::openat(dir, name.as_bytes(), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // Nothing, a link, a socket, a device without a driver.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let metadata = file.metadata().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(metadata.is_file().then_some((file, metadata)))
}
