//! Counting what is in a directory tree.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::proto::is_reserved;

/// Directories further down are not looked into: each level costs an open file.
const MAX_DEPTH: usize = 64;

/// Files, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a directory tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// In the directory itself.
    pub here: Usage,
    /// When the oldest file there was written, in seconds since 1970.
    pub oldest: Option<i64>,
    /// In the directories below it.
    pub below: Usage,
}

impl Held {
    pub(in crate::store) fn all(&self) -> Usage {
        let mut all = self.here;
        all.add(self.below);
        all
    }
}

impl Usage {
    /// One file.
    pub(in crate::store) fn of(bytes: u64) -> Self {
        Self { files: 1, bytes }
    }

    pub(in crate::store) fn add(&mut self, more: Self) {
        self.files = self.files.saturating_add(more.files);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// How much more this is than `other`.
    pub(in crate::store) fn beyond(self, other: Self) -> Self {
        Self { files: self.files.saturating_sub(other.files), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    /// Never below nothing: other programs remove files too.
    pub(in crate::store) fn subtract(&mut self, less: Self) {
        *self = self.beyond(less);
    }
}

/// Counts the files in `root` and below, staging areas and what is behind links left out. What goes away meanwhile may be
/// counted or not; what may not be read is not.
pub(in crate::store) fn count(root: &OwnedFd) -> Result<Held, Errno> {
    let mut held = Held::default();
    count_in(Dir::read_from(root)?, MAX_DEPTH, &mut held)?;
    Ok(held)
}

fn count_in(mut dir: Dir, levels: usize, held: &mut Held) -> Result<(), Errno> {
    let is_root = levels == MAX_DEPTH;
    while let Some(entry) = dir.read() {
        let entry = entry?;
        let name = entry.file_name();
        if [".".as_bytes(), b".."].contains(&name.to_bytes()) || is_reserved(name.to_bytes()) {
            continue;
        }
        let Ok(stat) = fs::statat(dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file = Usage::of(u64::try_from(stat.st_size).unwrap_or(0));
                if is_root {
                    held.here.add(file);
                    held.oldest = Some(held.oldest.map_or(stat.st_mtime, |oldest| oldest.min(stat.st_mtime)));
                } else {
                    held.below.add(file);
                }
            }
            FileType::Directory if levels > 1 => {
                if let Ok(below) = enter(dir.fd()?, name) {
                    count_in(below, levels - 1, held)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn enter(dir: impl AsFd, name: &CStr) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Dir::new(fs::openat(dir, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    fn count(dir: &std::path::Path) -> Held {
        super::count(&fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()).unwrap()
    }

    #[test]
    fn files_at_every_level_are_counted_and_neither_links_nor_what_is_staged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(count(dir.path()), Held::default());
        create_dir_all(dir.path().join("conf/deep")).unwrap();
        create_dir_all(dir.path().join("conf/.tentacle-sync")).unwrap();
        for (path, bytes) in [("a", "12345"), ("conf/b", "123"), ("conf/deep/c", ""), ("conf/.tentacle-sync/d", "1")] {
            write(dir.path().join(path), bytes).unwrap();
        }
        symlink(dir.path(), dir.path().join("loop")).unwrap();
        symlink("a", dir.path().join("link")).unwrap();
        let held = count(dir.path());
        assert_eq!((held.here, held.below), (Usage { files: 1, bytes: 5 }, Usage { files: 2, bytes: 3 }));
        assert_eq!(held.all(), Usage { files: 3, bytes: 8 });
    }

    #[test]
    fn the_oldest_is_the_oldest_of_the_directory_itself() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(dir.path().join("conf")).unwrap();
        for (path, written) in [("new", 2_000), ("old", 1_000), ("conf/older", 10)] {
            write(dir.path().join(path), "1").unwrap();
            let file = std::fs::File::open(dir.path().join(path)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(written)).unwrap();
        }
        assert_eq!(count(dir.path()).oldest, Some(1_000));
    }

    #[test]
    fn depth_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d/".repeat(2 * MAX_DEPTH));
        create_dir_all(&deep).unwrap();
        write(deep.join("far"), "1").unwrap();
        write(dir.path().join("d/near"), "1").unwrap();
        assert_eq!(count(dir.path()).all(), Usage::of(1));
    }

    #[test]
    fn a_tally_never_goes_below_nothing() {
        let mut tally = Usage { files: 1, bytes: 5 };
        tally.subtract(Usage { files: 2, bytes: 3 });
        assert_eq!(tally, Usage { files: 0, bytes: 2 });
    }
}
