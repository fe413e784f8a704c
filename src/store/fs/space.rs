//! How much the storage may hold, and how much it holds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::fs;

use crate::mutex::lock;
use crate::proto::{Count, quoted};

use super::error::StoreError;
use super::spool_dir::SpoolDir;
use super::usage::{self, Held, Usage};

/// How long the free space seen counts as what is free, less what was let in since.
const FREE_SPACE_AGE: Duration = Duration::from_secs(1);

/// How long a count is believed at least where it lets nothing more in.
const RECOUNT_AFTER: Duration = Duration::from_secs(5);

/// How many times as long as it took to make a count it is believed at least, there: the disk has other work.
const RECOUNT_REST: u32 = 10;

/// What the storage may hold; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes in files.
    pub max_bytes: Option<u64>,
    /// Files.
    pub max_files: Option<u64>,
    /// Bytes that must stay free on the filesystem of the directory a file goes to.
    pub min_free: Option<u64>,
}

impl Quota {
    /// Whether what is stored has to be counted.
    pub fn is_of_count(&self) -> bool {
        self.max_bytes.is_some() || self.max_files.is_some()
    }
}

/// Why a file is not let in. Room may come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The quota's bytes.
    #[error(
        "{}: there is no room for {}: {used} of max_spool_bytes {max} are used: \
         see whether the files are being collected, or raise the limit",
        quoted(storage), Count(*asked, "byte")
    )]
    Bytes {
        /// The storage directory.
        storage: PathBuf,
        /// What was asked for.
        asked: u64,
        /// What is stored and on its way in.
        used: u64,
        /// The limit.
        max: u64,
    },
    /// The quota's files.
    #[error(
        "{}: it holds {} of max_spool_files {max}: see whether they are being collected, or raise the limit",
        quoted(storage), Count(*used, "file")
    )]
    Files {
        /// The storage directory.
        storage: PathBuf,
        /// What is stored and on its way in.
        used: u64,
        /// The limit.
        max: u64,
    },
    /// The filesystem's free space.
    #[error(
        "{}: {free} bytes are free on that filesystem; {asked} more would leave less than min_free {min}: \
         free some space",
        quoted(dir)
    )]
    Free {
        /// The directory the file would go to.
        dir: PathBuf,
        /// What was asked for.
        asked: u64,
        /// What is free and not promised.
        free: u64,
        /// The limit.
        min: u64,
    },
}

impl Full {
    /// The limit's name in the configuration.
    pub fn limit(&self) -> &'static str {
        match self {
            Self::Bytes { .. } => "max_spool_bytes",
            Self::Files { .. } => "max_spool_files",
            Self::Free { .. } => "min_free",
        }
    }
}

/// Keeps count of what the storage holds. Clones are the same room.
///
/// The count is ours: files that other programs add or remove show only in a [`recount`](SpaceAccount::recount). Where it
/// lets nothing more in, another is [due](SpaceAccount::recount_due) before long.
#[derive(Clone, Debug)]
pub struct SpaceAccount(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    storage: Mutex<Arc<SpoolDir>>,
    counters: Mutex<Counters>,
}

#[derive(Debug)]
struct Counters {
    quota: Quota,
    stored: Usage,
    /// What has come of files on their way in: their bytes so far, and those of them that are whole. Of one that replaces
    /// another, what it takes beyond that.
    arrived: Usage,
    /// What is free on filesystems, by their numbers.
    free_space: HashMap<u64, FreeSpace>,
    recount: Recount,
    last_count: Option<LastCount>,
}

/// A count of what is stored, as it was made.
#[derive(Clone, Debug)]
pub struct LastCount {
    /// When it began.
    pub began: Instant,
    /// When another is worth its while.
    pub stale_at: Instant,
    /// What it found, or why it could not be made.
    pub found: Result<Held, String>,
    /// Bytes that are free on the filesystem, and that it has in all; `None` where it does not say.
    pub disk: Option<(u64, u64)>,
}

/// What is used of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaUse {
    /// The limits.
    pub quota: Quota,
    /// What is stored and on its way in, as far as the quota has it counted.
    pub used: Usage,
}

/// The next count of what is stored.
#[derive(Clone, Copy, Debug, Default)]
struct Recount {
    /// Whether something was not let in since the last began.
    is_wanted: bool,
    /// `None` while one is under way, and before the first.
    earliest: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct FreeSpace {
    at: Instant,
    /// Bytes free then, less what has come since.
    left: u64,
}

impl SpaceAccount {
    /// The account of the storage whose directory is `storage`.
    pub(in crate::store) fn of(storage: Arc<SpoolDir>, quota: Quota) -> Result<Self, StoreError> {
        let (stored, arrived, free_space) = (Usage::default(), Usage::default(), HashMap::new());
        let counters =
            Mutex::new(Counters { quota, stored, arrived, free_space, recount: Recount::default(), last_count: None });
        let space = Self(Arc::new(Shared { path: storage.path().to_owned(), storage: Mutex::new(storage), counters }));
        if quota.is_of_count() {
            space.recount()?;
        }
        Ok(space)
    }

    /// Other limits from now on. After limits on bytes or files where there were none, [`recount`](SpaceAccount::recount).
    pub fn set_quota(&self, quota: Quota) {
        let mut counters = self.counters();
        counters.quota = quota;
        // Earlier refusals were due to other limits.
        counters.recount.is_wanted = false;
    }

    /// What is counted from now on.
    pub(in crate::store) fn set_dir(&self, storage: Arc<SpoolDir>) {
        *self.storage() = storage;
    }

    /// Room for a file of `size` bytes in `dir`, in place of one of `replaced` bytes if there is one.
    pub(in crate::store) fn reserve(
        &self,
        dir: &Arc<SpoolDir>,
        size: u64,
        replaced: Option<u64>,
        now: Instant,
    ) -> Result<Reservation, Full> {
        let replaced = replaced.map_or_else(Usage::default, Usage::of);
        let mut counters = self.counters();
        self.check_tally(&mut counters, Usage::of(size).beyond(replaced))?;
        let free_space = counters.look(dir, now);
        check_free(free_space, counters.quota.min_free, dir, size)?;
        drop(counters);
        Ok(Reservation { space: self.clone(), dir: Arc::clone(dir), replaced, come: Usage::default() })
    }

    /// Counts anew what is stored. That takes about a second per million files, more if the disk must be read: see
    /// [`Background::recount`](crate::store::Background::recount). What comes or goes meanwhile may be missed until the
    /// next count.
    #[expect(clippy::disallowed_methods, reason = "it measures itself, away from the loop and its clock")]
    pub fn recount(&self) -> Result<(), StoreError> {
        let storage = Arc::clone(&self.storage());
        // Who finds no room from here on may have seen room made behind this count.
        self.counters().recount = Recount::default();
        let began = Instant::now();
        let held = usage::count(storage.incoming());
        let disk = disk(&storage);
        let held = held.map_err(StoreError::io("count the files in", storage.path()));
        let now = Instant::now();
        let mut counters = self.counters();
        let stale_at = now + RECOUNT_AFTER.max((now - began) * RECOUNT_REST);
        counters.recount.earliest = Some(stale_at);
        let found = held.as_ref().map(|held| *held).map_err(ToString::to_string);
        counters.last_count = Some(LastCount { began, stale_at, found, disk });
        counters.stored = held?.all();
        Ok(())
    }

    /// The last count that has ended.
    pub fn last_count(&self) -> Option<LastCount> {
        self.counters().last_count.clone()
    }

    /// What is used of the quota.
    pub fn quota_use(&self) -> QuotaUse {
        let counters = self.counters();
        let mut used = counters.stored;
        used.add(counters.arrived);
        QuotaUse { quota: counters.quota, used }
    }

    /// When to [count](SpaceAccount::recount) anew, since something was not let in.
    pub fn recount_due(&self) -> Option<Instant> {
        let recount = self.counters().recount;
        recount.earliest.filter(|_| recount.is_wanted)
    }

    /// A [`recount`](SpaceAccount::recount) will be made: none is due until then.
    pub(in crate::store) fn recount_queued(&self) {
        self.counters().recount = Recount::default();
    }

    /// Files and bytes that are stored, as far as counted.
    pub fn stored(&self) -> (u64, u64) {
        let stored = self.counters().stored;
        (stored.files, stored.bytes)
    }

    /// The storage directory.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.0.path
    }

    /// The handle is whole whenever the lock is free.
    fn storage(&self) -> MutexGuard<'_, Arc<SpoolDir>> {
        lock(&self.0.storage)
    }

    /// A stored file was removed.
    pub(in crate::store) fn removed(&self, size: u64) {
        self.counters().stored.subtract(Usage::of(size));
    }

    fn check_tally(&self, counters: &mut Counters, more: Usage) -> Result<(), Full> {
        let storage = || self.path().to_owned();
        let mut used = counters.stored;
        used.add(counters.arrived);
        let exceeds = |used: u64, more: u64, max: u64| more > 0 && more > max.saturating_sub(used);
        let full = match counters.quota {
            Quota { max_files: Some(max), .. } if exceeds(used.files, more.files, max) => {
                Full::Files { storage: storage(), used: used.files, max }
            }
            Quota { max_bytes: Some(max), .. } if exceeds(used.bytes, more.bytes, max) => {
                Full::Bytes { storage: storage(), asked: more.bytes, used: used.bytes, max }
            }
            _ => return Ok(()),
        };
        counters.recount.is_wanted = true;
        Err(full)
    }

    /// Every change of the book is whole before its lock is free.
    fn counters(&self) -> MutexGuard<'_, Counters> {
        lock(&self.0.counters)
    }
}

impl Counters {
    /// What is free where `storage_dir` is; looked up if a limit needs it and it was not of late.
    fn look(&mut self, dir: &SpoolDir, now: Instant) -> Option<FreeSpace> {
        self.quota.min_free?;
        let device = dir.device();
        let fresh = self
            .free_space
            .get(&device)
            .filter(|free_space| now.saturating_duration_since(free_space.at) < FREE_SPACE_AGE);
        let free_space = fresh.copied().unwrap_or_else(|| FreeSpace { at: now, left: free(dir) });
        self.free_space.insert(device, free_space);
        Some(free_space)
    }
}

fn check_free(free_space: Option<FreeSpace>, min: Option<u64>, dir: &SpoolDir, asked: u64) -> Result<(), Full> {
    match (free_space, min) {
        (Some(FreeSpace { left: free, .. }), Some(min)) if asked > free.saturating_sub(min) => {
            Err(Full::Free { dir: dir.path().to_owned(), asked, free, min })
        }
        _ => Ok(()),
    }
}

/// Bytes that we may fill. A filesystem that does not report them is taken to be endless; writing to it will show.
fn free(dir: &SpoolDir) -> u64 {
    disk(dir).map_or(u64::MAX, |(free, _)| free)
}

/// Bytes that we may fill, and all that there are.
fn disk(dir: &SpoolDir) -> Option<(u64, u64)> {
    let stat = fs::fstatvfs(dir.incoming()).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some((bytes(stat.f_bavail), bytes(stat.f_blocks)))
}

/// Room for a file on its way in: for the part that has come. It counts until the file is stored, which then counts
/// itself, or this is dropped.
#[derive(Debug)]
pub struct Reservation {
    space: SpaceAccount,
    dir: Arc<SpoolDir>,
    /// What will be gone once the file is stored.
    replaced: Usage,
    /// The part that has come.
    come: Usage,
}

impl Reservation {
    /// So many bytes of the file are here now.
    ///
    /// # Errors
    /// A limit is in the way; the reservation stays what it was.
    pub fn resize(&mut self, size: u64) -> Result<(), Full> {
        self.set(Usage { bytes: size, ..self.come })
    }

    /// The file is whole: it counts as a file.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub fn complete(&mut self) -> Result<(), Full> {
        self.set(Usage { files: 1, ..self.come })
    }

    fn set(&mut self, come: Usage) -> Result<(), Full> {
        let mut counters = self.space.counters();
        let (was, is) = (self.come.beyond(self.replaced), come.beyond(self.replaced));
        self.space.check_tally(&mut counters, is.beyond(was))?;
        // What is replaced is there until then. What was free is not corrected downwards: the bytes may have been written.
        let written = come.beyond(self.come).bytes;
        let device = self.dir.device();
        check_free(counters.free_space.get(&device).copied(), counters.quota.min_free, &self.dir, written)?;
        if let Some(free_space) = counters.free_space.get_mut(&device) {
            free_space.left = free_space.left.saturating_sub(written);
        }
        counters.arrived.subtract(was);
        counters.arrived.add(is);
        self.come = come;
        Ok(())
    }

    /// The file is stored, in place of one of `replaced` bytes if there was one.
    pub(in crate::store) fn commit(self, bytes: u64, replaced: Option<u64>) {
        let mut counters = self.space.counters();
        if let Some(replaced) = replaced {
            counters.stored.subtract(Usage::of(replaced));
        }
        counters.stored.add(Usage::of(bytes));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.space.counters().arrived.subtract(self.come.beyond(self.replaced));
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
