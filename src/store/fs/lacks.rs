//! Calls that not every filesystem offers, each with the way around it, and what that way costs.
//!
//! Seen with: `chmod` on CIFS and some of FUSE; flushing a directory on shared folders and old CIFS; exclusive renames
//! on NFS, CIFS and FUSE, links on FAT and some of FUSE; locks on some of FUSE. An error of the disk itself, such as
//! `EIO` or `ENOSPC`, always stays an error.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::error::{LOCK, START_THREAD, StoreError};
use super::ids::StageId;
use super::setup::random;

/// Something that a filesystem lacks, and that storing goes on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The rights of files cannot be set.
    Rights(Errno),
    /// A directory cannot be flushed.
    DirectoryFlush(Errno),
    /// A file cannot be given a name on condition that nothing has it.
    ExclusiveNames,
    /// Nothing can be locked.
    Locks(Errno),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rights(errno) => write!(
                f,
                "this filesystem does not set the rights of files (chmod: {errno}): they are what its mount options set, \
                 as file_mode= and gid= of CIFS do"
            ),
            Self::DirectoryFlush(errno) => write!(
                f,
                "this filesystem does not flush directories (fsync: {errno}): a loss of power can undo what was stored or \
                 removed last"
            ),
            Self::ExclusiveNames => f.write_str(
                "this filesystem has neither exclusive renames nor links: should another program give a file the same name \
                 in the same moment, that file is overwritten",
            ),
            Self::Locks(errno) => write!(
                f,
                "this filesystem has no locks (flock: {errno}): nothing keeps a second process from working there; start \
                 none"
            ),
        }
    }
}

/// How the files that are made in a directory get their rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Rights {
    /// They are made with them.
    AtOnce,
    /// They are set for each: the umask, or a default ACL of the directory, takes some.
    #[default]
    Afterwards,
}

/// What [`examine`] finds.
#[derive(Debug, Default)]
pub(in crate::store) struct Examined {
    pub(in crate::store) lacks: Vec<Lack>,
    pub(in crate::store) rights: Rights,
}

/// Finds out what the filesystem of a directory lacks, with a directory made in there and removed again.
///
/// # Errors
/// Whatever would keep files from being stored there.
pub fn lacks_of(directory: &Path) -> Result<Vec<Lack>, StoreError> {
    let path = directory.join(format!(".tentacle-check.{:016x}", random()));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::mkdir(&path, Mode::RWXU).map_err(StoreError::io("make a directory", &path))?;
    let opened = fs::open(&path, flags, Mode::empty()).map_err(StoreError::io("open the directory", &path));
    let found = opened.and_then(|opened| {
        let mut lacks = examine(&opened, &path, Mode::RUSR | Mode::WUSR)?.lacks;
        lacks.extend(lock(&opened).map_err(StoreError::io(LOCK, directory))?);
        Ok(lacks)
    });
    let removed = fs::rmdir(&path).map_err(StoreError::io("remove", &path));
    found.and_then(|lacks| removed.map(|()| lacks))
}

/// Whether threads can be started here, as for the work on the disk.
///
/// # Errors
/// The system, or a sandbox around this process, does not let us.
pub fn check_threads() -> Result<(), StoreError> {
    let started = thread::Builder::new().spawn(|| {});
    // An empty thread does not panic.
    started.map(|thread| drop(thread.join())).map_err(StoreError::std(START_THREAD, Path::new("storage")))
}

/// Finds out what the filesystem of a directory of ours lacks, but for locks, and how files get their rights there, with a
/// file made in there and removed again. `mode` is the one that files are to have.
pub(in crate::store) fn examine(directory: &OwnedFd, path: &Path, mode: Mode) -> Result<Examined, StoreError> {
    // As staged files are called: what a kill leaves here is swept at the next start.
    let session = random();
    let [first, second] = [0, 1].map(|number| StageId { session, number }.to_string());
    let failed = |errno: Errno| StoreError::io("create", &path.join(&first))(errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Before there is anything of ours to flush: it takes no time then.
    let flush = flush_directory(directory).map_err(StoreError::io("flush the directory", path))?;
    let file = fs::openat(directory, &first, flags, mode).map_err(failed)?;
    let found = fs::fstat(&file).and_then(|made| {
        let rights = if Mode::from_raw_mode(made.st_mode) == mode { Rights::AtOnce } else { Rights::Afterwards };
        let unset = set_rights(&file, mode)?;
        let names = rename_to_free(directory, first.as_bytes(), directory, second.as_bytes())?;
        Ok(Examined { lacks: [unset, flush, names].into_iter().flatten().collect(), rights })
    });
    for name in [&first, &second] {
        // One of them is there. If it cannot be removed, it does no harm.
        fs::unlinkat(directory, name, AtFlags::empty()).ok();
    }
    found.map_err(failed)
}

/// Gives a file of ours these rights, where the filesystem sets any.
pub(crate) fn set_rights(file: impl AsFd, mode: Mode) -> Result<Option<Lack>, Errno> {
    match fs::fchmod(file, mode) {
        Ok(()) => Ok(None),
        Err(errno @ (Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL)) => {
            Ok(Some(Lack::Rights(errno)))
        }
        Err(errno) => Err(errno),
    }
}

/// Makes the names in a directory durable, where the filesystem can.
///
/// An XFS that has shut itself down after an error forgets what was not written, and then flushes a directory without a
/// complaint; but it opens nothing any more.
pub(in crate::store) fn flush_directory(directory: impl AsFd) -> Result<Option<Lack>, Errno> {
    let lack = match fs::fsync(&directory) {
        Ok(()) => None,
        // Some of FUSE take a directory for a file that was not opened to be written.
        Err(errno @ (Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF)) => {
            Some(Lack::DirectoryFlush(errno))
        }
        Err(errno) => return Err(errno),
    };
    fs::openat(&directory, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(lack)
}

/// Gives a file a name that nothing has: [`Errno::EXIST`] if something does. A kill between a link and the removal of
/// the old name leaves both names to the file; the next call removes the old one. The caller must prevent another
/// process of ours from doing so at the same time: without exclusive names nothing else does.
pub(in crate::store) fn rename_to_free(
    from: &OwnedFd,
    old: &[u8],
    to: &OwnedFd,
    new: &[u8],
) -> Result<Option<Lack>, Errno> {
    match fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return renamed.map(|()| None),
    }
    match fs::linkat(from, old, to, new, AtFlags::empty()) {
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(Errno::EXIST) if is_one_file(from, old, to, new)? => {
            return fs::unlinkat(from, old, AtFlags::empty()).map(|()| None);
        }
        linked => return linked.and_then(|()| fs::unlinkat(from, old, AtFlags::empty())).map(|()| None),
    }
    match fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => fs::renameat(from, old, to, new).map(|()| Some(Lack::ExclusiveNames)),
        Err(errno) => Err(errno),
    }
}

fn is_one_file(from: &OwnedFd, old: &[u8], to: &OwnedFd, new: &[u8]) -> Result<bool, Errno> {
    let [old, new] = [(from, old), (to, new)].map(|(at, name)| fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW));
    let (old, new) = (old?, new?);
    Ok((old.st_dev, old.st_ino) == (new.st_dev, new.st_ino))
}

/// Takes the lock on a file or directory, for as long as it is open, where the filesystem has locks.
/// [`Errno::WOULDBLOCK`] if another process has it.
pub(in crate::store) fn lock(file: impl AsFd) -> Result<Option<Lack>, Errno> {
    match fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(None),
        Err(errno @ (Errno::NOSYS | Errno::OPNOTSUPP)) => Ok(Some(Lack::Locks(errno))),
        Err(errno) => Err(errno),
    }
}
