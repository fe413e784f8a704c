//! The lock that makes one process the master of a directory.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs;
use rustix::io::Errno;

use super::error::{LOCK, StoreError};
use super::lacks;
use crate::proto::quoted;

/// Takes the lock on a file or directory, for as long as it is open; warns where the filesystem has none. `path` is
/// what it is the lock of.
pub(in crate::store) fn lock(file: impl AsFd, path: &Path) -> Result<(), StoreError> {
    match lacks::lock(&file) {
        Ok(None) => Ok(()),
        Ok(Some(lack)) => {
            log::warn!("{}: {lack}", quoted(path));
            Ok(())
        }
        Err(Errno::WOULDBLOCK) => Err(StoreError::Busy { path: path.to_owned(), holder: holder(file) }),
        Err(errno) => Err(StoreError::io(LOCK, path)(errno)),
    }
}

/// The process that holds the lock, where the system reports it: not of another container's, nor on every filesystem.
fn holder(file: impl AsFd) -> Option<u32> {
    let stat = fs::fstat(file).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, &identity(fs::major(stat.st_dev), fs::minor(stat.st_dev), stat.st_ino))
}

/// A file, as `/proc/locks` writes it.
fn identity(major: u32, minor: u32, inode: u64) -> String {
    format!("{major:02x}:{minor:02x}:{inode}")
}

/// See `proc_locks(5)`. Of those that only wait for the lock, a line has an arrow as its second field.
fn holder_in(locks: &str, file: &str) -> Option<u32> {
    locks.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, "WRITE", pid, locked, ..] if locked == file => pid.parse().ok().filter(|pid| *pid != 0),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const LOCKS: &str = "\
        1: POSIX  ADVISORY  WRITE 11 fe:00:700 0 EOF\n\
        2: FLOCK  ADVISORY  WRITE 12 fe:00:701 0 EOF\n\
        3: FLOCK  ADVISORY  WRITE 13 00:1b:700 0 EOF\n\
        4: FLOCK  ADVISORY  WRITE 14 fe:00:700 0 EOF\n\
        4: -> FLOCK  ADVISORY  WRITE 15 fe:00:700 0 EOF\n\
        5: FLOCK  ADVISORY  WRITE 0 fe:00:702 0 EOF\n\
        6: FLOCK\n";

    #[test]
    fn the_holder_is_found_among_the_systems_locks() {
        assert_eq!(holder_in(LOCKS, &identity(0xfe, 0, 700)), Some(14));
        assert_eq!(holder_in(LOCKS, &identity(0, 0x1b, 700)), Some(13));
        assert_eq!(holder_in(LOCKS, &identity(0xfe, 0, 702)), None, "another container's");
        assert_eq!(holder_in(LOCKS, &identity(0xfe, 0, 703)), None);
    }

    #[test]
    fn a_lock_is_taken_once_and_nobody_else_is_blamed() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let (first, second) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        lock(&first, &path).unwrap();
        match lock(&second, &path) {
            Err(StoreError::Busy { path: busy, holder: None }) if *busy == *path => {}
            Err(StoreError::Busy { holder: Some(pid), .. }) => assert_eq!(pid, std::process::id()),
            other => panic!("{other:?}"),
        }
        drop(first);
        lock(&second, &path).unwrap();
    }
}
