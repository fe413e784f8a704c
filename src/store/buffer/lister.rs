//! The body of an `LS`, and the list that the pages of `LIST` come out of.

use std::io::Write as _;
use std::ops::Range;

use rustix::fs::{self, AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::storage_dir::StorageDir;
use crate::budget::{Budget, Share};
use crate::proto::extension::{Cursor, Remaining};
use crate::proto::{FileName, is_collector_mark};
use crate::store::fs::error::StoreError;
use crate::store::fs::source::nanoseconds;

/// More than a name and its line's end take, in bytes.
const LINE: usize = 512;

/// Fewer than most lines have, in bytes.
const LEAST_LINE: usize = 16;

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
    /// For `LIST`.
    files: Option<Vec<Listed>>,
    memory: Share,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingKind {
    /// For `LS`: names, of directories too.
    Names,
    /// For `LIST`: files, with size and mtime, the oldest first.
    Files,
}

/// A file of a list, whose name is in the body.
#[derive(Clone, Copy, Debug)]
struct Listed {
    mtime: u64,
    size: u64,
    at: u32,
    length: u32,
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

/// The whole body of an `LS`: one name a line; or what a `LIST` lists. The memory it takes goes back to its budget when it
/// is dropped.
#[derive(Debug)]
pub struct Listing {
    body: Vec<u8>,
    /// In their order.
    files: Vec<Listed>,
    _memory: Share,
}

/// A page of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf {
    /// Which files it has, by their places in the list.
    pub files: Range<usize>,
    /// Its bytes.
    pub size: u64,
    /// What follows it.
    pub remaining: Option<Remaining>,
}

impl Listing {
    /// One of this body, which takes nobody's memory.
    #[cfg(test)]
    pub(in crate::store) fn of(body: Vec<u8>) -> Self {
        Self { body, files: Vec::new(), _memory: Budget::new(0).share() }
    }

    /// The body.
    pub fn as_bytes(&self) -> &[u8] {
        &self.body
    }

    /// The page of at most so many files, and at least 1, behind `after`.
    pub fn page(&self, after: Option<&Cursor>, limit: usize) -> PageOf {
        let begin = after.map_or(0, |after| {
            let key = (after.mtime, after.name.as_bytes());
            self.files.partition_point(|file| (file.mtime, self.name(file)) <= key)
        });
        let end = self.files.len().min(begin.saturating_add(limit.max(1)));
        let mut line = Vec::new();
        let mut size = 0;
        for place in begin..end {
            line.clear();
            self.line(place, &mut line);
            size += line.len() as u64;
        }
        let rest = &self.files[end..];
        let bytes = rest.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let remaining = (!rest.is_empty()).then_some(Remaining { files: rest.len() as u64, bytes });
        PageOf { files: begin..end, size, remaining }
    }

    /// Appends the line of the file at `place`.
    pub fn line(&self, place: usize, out: &mut Vec<u8>) {
        if let Some(file) = self.files.get(place) {
            // A vector takes whatever is written to it.
            let _ = write!(out, "{} {} ", file.size, file.mtime);
            out.extend_from_slice(self.name(file));
            out.push(b'\n');
        }
    }

    fn name(&self, file: &Listed) -> &[u8] {
        name_in(&self.body, file)
    }
}

fn name_in<'a>(body: &'a [u8], file: &Listed) -> &'a [u8] {
    &body[file.at as usize..][..file.length as usize]
}

impl Lister {
    pub(in crate::store) fn new(dir: StorageDir, kind: ListingKind, budget: &Budget) -> Result<Self, StoreError> {
        let entries = Dir::read_from(dir.dir().incoming()).map_err(failed(&dir))?;
        let files = (kind == ListingKind::Files).then(Vec::new);
        Ok(Self { dir, entries, body: Vec::new(), files, memory: budget.share() })
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
            if !is_listed(name, entry.file_type()) {
                continue;
            }
            if let Some(files) = &mut self.files {
                let (at, length) = (self.body.len(), name.len());
                let place = u32::try_from(at).ok().zip(u32::try_from(length).ok());
                let Some((size, mtime)) = looked_at(&self.dir, name)? else { continue };
                // Four gigabytes of names are more than any budget lets be listed.
                let Some((at, length)) = place else { continue };
                files.push(Listed { mtime, size, at, length });
            }
            self.body.extend_from_slice(name);
            self.body.push(b'\n');
        }
        Ok(Progress::More(self))
    }

    /// Sees to it that the next line fits; whether it does.
    fn take_memory(&mut self, may_exceed: bool) -> bool {
        let has_place = self.files.as_ref().is_none_or(|files| files.capacity() > files.len());
        if self.body.capacity() - self.body.len() >= LINE && has_place {
            return true;
        }
        let more = self.body.len().clamp(LEAST, MOST);
        if let Some(files) = &mut self.files {
            let places = more / LEAST_LINE;
            if !self.memory.grow((places * size_of::<Listed>()) as u64) {
                if !may_exceed {
                    return false;
                }
                self.memory.take((places * size_of::<Listed>()) as u64);
            }
            files.reserve_exact(places);
        }
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
        let mut files = self.files.unwrap_or_default();
        files.sort_unstable_by(|a, b| {
            a.mtime.cmp(&b.mtime).then_with(|| name_in(&self.body, a).cmp(name_in(&self.body, b)))
        });
        self.body.shrink_to_fit();
        files.shrink_to_fit();
        let used = self.body.len() + files.len() * size_of::<Listed>();
        self.memory.shrink(self.memory.amount().saturating_sub(used as u64));
        Listing { body: self.body, files, _memory: self.memory }
    }
}

/// Size and mtime of a file; `None` for what is gone, or no file. A mark has neither.
fn looked_at(dir: &StorageDir, name: &[u8]) -> Result<Option<(u64, u64)>, StoreError> {
    if is_collector_mark(name) {
        return Ok(Some((0, 0)));
    }
    let stat = match fs::statat(dir.dir().incoming(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed(dir)(errno)),
    };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mtime = nanoseconds((stat.st_mtime, stat.st_mtime_nsec.cast_signed()));
    Ok(FileType::from_raw_mode(stat.st_mode).is_file().then_some((size, mtime)))
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
