//! The one way to open what others than us may write to: what lay there before us is looked at before it is believed.
//!
//! No link is followed, nothing that is no regular file is waited for, and what is to be ours alone is made so, or refused.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use rustix::path::Arg;
use rustix::process::geteuid;

use super::error::StoreError;
use super::lacks::set_rights;
use super::setup::random;
use crate::proto::quoted;

/// Rights that nobody but the owner must have on our own files.
const WRITTEN_BY_OTHERS: Mode = Mode::WGRP.union(Mode::WOTH);

/// What a name stands for.
pub(in crate::store) enum Found {
    File(File, Stat),
    Nothing,
    /// What is there instead of a file, in words.
    Other(&'static str),
}

impl Found {
    /// The file, if there is one; an error if something else is there. `path` is for messages.
    pub(in crate::store) fn file(self, path: &Path) -> Result<Option<(File, Stat)>, StoreError> {
        match self {
            Self::File(file, stat) => Ok(Some((file, stat))),
            Self::Nothing => Ok(None),
            Self::Other(found) => Err(StoreError::NotAFile { path: path.to_owned(), found }),
        }
    }
}

/// Opens the regular file of this name in `dir`. Whatever else has the name is not waited for.
pub(in crate::store) fn file(dir: impl AsFd, name: impl Arg, flags: OFlags, mode: Mode) -> Result<Found, Errno> {
    // A FIFO that nobody else has open would keep us waiting, a terminal could become ours.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match fs::openat(&dir, name, flags, mode) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(Errno::LOOP) => return Ok(Found::Other("a link")),
        // The first is also what writing to a FIFO that nobody reads comes to.
        Err(Errno::NXIO) => return Ok(Found::Other("a FIFO or a socket")),
        Err(Errno::NODEV) => return Ok(Found::Other("a device")),
        Err(Errno::ISDIR) => return Ok(Found::Other("a directory")),
        Err(errno) => return Err(errno),
    };
    let stat = fs::fstat(&file)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Found::File(file.into(), stat),
        FileType::Directory => Found::Other("a directory"),
        FileType::Symlink => Found::Other("a link"),
        FileType::Fifo => Found::Other("a FIFO"),
        FileType::Socket => Found::Other("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Found::Other("a device"),
        FileType::Unknown => Found::Other("no regular file"),
    })
}

/// Opens the directory at `path` below `dir`, by names alone: [`Errno::LOOP`] or [`Errno::NOTDIR`] where a link is on the
/// way, also if it was put there just now.
pub(in crate::store) fn directory(dir: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat2(&dir, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
        // Linux before 5.6, a sandbox.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(dir, path, flags),
        opened => opened,
    }
}

fn step_by_step(dir: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut inside = None;
    for step in path.components() {
        let name: &OsStr = match step {
            Component::Normal(name) => name,
            Component::CurDir => OsStr::new("."),
            // They lead out, or may.
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        };
        inside = Some(match &inside {
            None => fs::openat(&dir, name, flags, Mode::empty())?,
            Some(before) => fs::openat(before, name, flags, Mode::empty())?,
        });
    }
    inside.ok_or(Errno::NOENT)
}

/// Checks that a directory or a file in `around`, whose path is `path`, is ours alone: it may have been made by anybody
/// before.
///
/// # Errors
/// [`StoreError::Foreign`] if it is neither ours nor root's nor of whoever owns the directory around it, who may
/// exchange it at any time; [`StoreError::Exposed`] if others may write to it and we cannot change that. Where a
/// filesystem shows all files as one user's, nobody is refused.
pub(in crate::store) fn make_private(found: impl AsFd, path: &Path, around: &OwnedFd) -> Result<(), StoreError> {
    let failed = |errno: Errno| StoreError::io("look at", path)(errno);
    let (stat, outer) = (fs::fstat(&found).map_err(failed)?, fs::fstat(around).map_err(failed)?);
    let us = geteuid().as_raw();
    let is_trusted = [us, 0, outer.st_uid].contains(&stat.st_uid);
    if !is_trusted && shows_owners(around, path)? {
        return Err(StoreError::Foreign { path: path.to_owned(), owner: stat.st_uid, us });
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if !mode.intersects(WRITTEN_BY_OTHERS) {
        return Ok(());
    }
    let private = mode.difference(Mode::RWXG | Mode::RWXO);
    match set_rights(&found, private).map_err(failed)? {
        None => {
            log::warn!("{}: others could write to it (mode {mode:04o}): now it is {private:04o}", quoted(path));
            Ok(())
        }
        // Its owner may change it wherever that can be done at all.
        Some(_) if stat.st_uid == us || !shows_owners(around, path)? => Ok(()),
        Some(_) => Err(StoreError::Exposed { path: path.to_owned(), mode: mode.as_raw_mode() }),
    }
}

/// Whether what we create in this directory is ours: a filesystem's mount options (`uid=` of CIFS and FAT, FUSE), or a
/// server that maps users, may show another owner, and then owners prove nothing. `path` is of something in there, for
/// messages.
fn shows_owners(directory: &OwnedFd, path: &Path) -> Result<bool, StoreError> {
    // What was created and is held open cannot be exchanged.
    let name = format!(".tentacle-check.{:016x}", random());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let ours = fs::openat(directory, &name, flags, Mode::RUSR | Mode::WUSR);
    let ours = ours.map_err(StoreError::io("create a file beside", path))?;
    let stat = fs::fstat(&ours).map_err(StoreError::io("look at", path));
    // If it cannot be removed, it does no harm.
    fs::unlinkat(directory, &name, AtFlags::empty()).ok();
    Ok(stat?.st_uid == geteuid().as_raw())
}

/// Whether this name in `dir` stands for what is held open, itself and no link.
pub(in crate::store) fn is_in_place(dir: impl AsFd, name: impl Arg, held: impl AsFd) -> bool {
    FileId::at(dir, name).is_some_and(|found| FileId::of(held) == Ok(found))
}

/// Whether the path leads to what is held open.
pub(in crate::store) fn leads_to(path: &Path, held: impl AsFd) -> bool {
    FileId::behind(path).is_some_and(|found| FileId::of(held) == Ok(found))
}

/// Which file or directory something is: no other has the same while it is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct FileId {
    /// Its filesystem's.
    pub(in crate::store) device: u64,
    pub(in crate::store) inode: u64,
}

impl FileId {
    /// That of what is held open.
    pub(in crate::store) fn of(held: impl AsFd) -> Result<Self, Errno> {
        fs::fstat(held).map(|stat| Self::from(&stat))
    }

    /// That of what has this name in `dir`, itself and not where a link leads.
    pub(in crate::store) fn at(dir: impl AsFd, name: impl Arg) -> Option<Self> {
        fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| Self::from(&stat))
    }

    /// That of what the path leads to.
    pub(in crate::store) fn behind(path: &Path) -> Option<Self> {
        fs::stat(path).ok().map(|stat| Self::from(&stat))
    }
}

impl From<&Stat> for FileId {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::refused_calls::{refused, without};

    fn root(path: &Path) -> OwnedFd {
        fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn a_directory_below_is_opened_by_names_alone_with_and_without_openat2() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        symlink(elsewhere.path(), dir.path().join("out")).unwrap();
        symlink("a", dir.path().join("alias")).unwrap();
        let check = || {
            let root = root(dir.path());
            let open = |path: &str| directory(&root, Path::new(path));
            let below = FileId::of(open("a/b").unwrap()).ok();
            assert_eq!(below, FileId::behind(&dir.path().join("a/b")));
            for link in ["out", "alias", "alias/b"] {
                assert!(matches!(open(link), Err(Errno::LOOP | Errno::NOTDIR)), "{link}");
            }
            let absolute = elsewhere.path().to_str().unwrap();
            for outside in ["..", "a/../..", "/", absolute] {
                assert_eq!(open(outside).map(drop), Err(Errno::XDEV), "{outside}");
            }
            assert_eq!((open("absent").map(drop), open("file").map(drop)), (Err(Errno::NOENT), Err(Errno::NOTDIR)));
        };
        check();
        for errno in [Errno::NOSYS, Errno::PERM] {
            without(&[refused(libc::SYS_openat2, errno)], check);
        }
    }

    #[test]
    fn only_a_regular_file_is_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        symlink("file", dir.path().join("link")).unwrap();
        fs::mknodat(fs::CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let root = root(dir.path());
        for flags in [OFlags::RDONLY, OFlags::WRONLY, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE, OFlags::PATH] {
            let open = |name: &str| file(&root, name, flags, Mode::RUSR).unwrap();
            assert!(matches!(open("file"), Found::File(..)));
            for other in ["dir", "link", "fifo"] {
                assert!(matches!(open(other), Found::Other(_)), "{other}");
            }
        }
        assert!(matches!(file(&root, "absent", OFlags::RDONLY, Mode::empty()), Ok(Found::Nothing)));
    }
}
