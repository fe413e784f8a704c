//! The steps that publishing takes on disk: as a trait, so that [`Engine`](super::engine::Engine) can be run on a model
//! of a disk that fails, dies and forgets; and as the real thing.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Spool;
use super::hashed_temp::ClosedHashedTemp;
use super::journal_file::JournalFile;
use super::journal_link;
use crate::mutex::lock;
use crate::proto::{FileName, Fingerprint};
use crate::store::fs::answering::Wait;
use crate::store::fs::compare::Comparison;
use crate::store::fs::durability::Durability;
use crate::store::fs::error::StoreError;
use crate::store::fs::flush::{Synced, flush_threads, sync_staged_files};
use crate::store::fs::ids::{SpoolId, StageId};
use crate::store::fs::spool_dir::SpoolDir;
use crate::sync::measured_at;
use crate::thread_pool::ThreadPool;

/// A staged file: which spool, and which file there.
pub(in crate::store) type At = (SpoolId, StageId);

/// What happens to the journal. Every method is one step; a crash comes between two of them, or within one.
pub(in crate::store) trait JournalDisk {
    /// Adds to it.
    fn append(&mut self, lines: &[u8]) -> Result<(), StoreError>;
    /// Makes durable what was added.
    fn sync(&mut self) -> Result<(), StoreError>;
    /// Where it should be, if somebody has taken it from there: what is added to it will not be found again.
    fn lost(&self) -> Option<PathBuf>;
    /// Replaces it, durably: after a crash it is the old or the new one.
    fn rewrite(&mut self, journal: &[u8]) -> Result<(), StoreError>;
}

/// What happens to the directories of a committer. Every method is one step, as above.
pub(in crate::store) trait Disk {
    /// Where the journal is.
    type Journal: JournalDisk + Debug;
    /// The staging areas known, with their incoming directories.
    fn spools(&self) -> Vec<(SpoolId, PathBuf)>;
    /// The spools, of those given, that share a filesystem with others of them, together.
    fn filesystems(&self, spools: &BTreeSet<SpoolId>) -> Vec<Vec<SpoolId>>;
    /// The journal has a new spool: warns if another journal had it before, or if this one should have had it.
    fn record_journal(&mut self, spool: SpoolId, is_known: bool);
    /// Whether no other journal was kept of a spool since this one was.
    fn is_last(&self, spool: SpoolId) -> Result<bool, StoreError>;
    /// Takes a spool in; its number and path, if it was not known.
    fn take_in(&mut self, spool: &Spool) -> Result<Option<(SpoolId, PathBuf)>, StoreError>;
    /// Lets a spool go that could not be taken up: the next file for it takes it in again.
    fn let_go(&mut self, spool: SpoolId);
    /// Takes over a staged file that is to be published as `name`; the path of its spool, if that was not known.
    fn take_over(&mut self, staged: ClosedHashedTemp, name: &FileName) -> Result<(At, Option<PathBuf>), StoreError>;
    /// Makes staged files durable, bytes and existence. All are on one filesystem.
    fn sync_staged(&mut self, files: &[At]) -> Result<(), StoreError>;
    /// Whether the spool's directories are in their places: what is in others is not found again.
    fn check_place(&self, spool: SpoolId) -> Result<(), StoreError>;
    /// Whether a staged file is in its place: what somebody has taken away is not committed.
    fn check_staged(&self, at: At) -> Result<(), StoreError>;
    /// Makes all that was staged on the filesystem of this spool durable.
    fn sync_filesystem(&mut self, spool: SpoolId) -> Result<(), StoreError>;
    /// Makes the published names durable.
    fn sync_names(&mut self, spool: SpoolId) -> Result<(), StoreError>;
    /// Moves a staged file to a published name; `false` if something has that name. After a crash it has happened or not.
    fn rename_into(&mut self, at: At, name: &FileName) -> Result<bool, StoreError>;
    /// Compares a staged file with what it should be.
    fn compare_staged(&mut self, at: At, wanted: &Fingerprint) -> Result<Comparison, StoreError>;
    /// Whether something has this name in the incoming directory; also if that is unknown.
    fn is_published(&mut self, spool: SpoolId, name: &FileName) -> bool;
    /// The files in the incoming directory.
    fn published_names(&mut self, spool: SpoolId) -> Result<Vec<FileName>, StoreError>;
    /// Measures a staged file.
    fn measure_staged(&mut self, at: At) -> Result<Fingerprint, StoreError>;
    /// Removes a staged file.
    fn discard(&mut self, at: At) -> Result<(), StoreError>;
    /// Spoils a staged file, so that it no longer is what it was.
    fn invalidate(&mut self, at: At, was: &Fingerprint) -> Result<(), StoreError>;
    /// The staged files that were there before we came.
    fn leftovers(&mut self, spool: SpoolId) -> Result<Vec<StageId>, StoreError>;
    /// Where this is, for messages.
    fn published_path(&self, spool: SpoolId, name: &FileName) -> PathBuf;
}

/// The journal's file, flushed as far as that is asked for.
#[derive(Debug)]
pub(in crate::store) struct RealJournal {
    pub(super) durability: Durability,
    pub(super) file: JournalFile,
}

impl JournalDisk for RealJournal {
    fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        self.file.append(lines)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.durability.flush(|| self.file.sync())
    }

    fn lost(&self) -> Option<PathBuf> {
        (!self.file.is_in_place()).then(|| self.file.path().to_owned())
    }

    fn rewrite(&mut self, journal: &[u8]) -> Result<(), StoreError> {
        self.file.rewrite(journal, self.durability)
    }
}

/// The disk itself.
#[derive(Debug)]
pub(in crate::store) struct RealDisk {
    durability: Durability,
    /// The journal's path.
    journal: PathBuf,
    dirs: BTreeMap<SpoolId, Arc<SpoolDir>>,
    claims: Claims,
    /// Shared with a flush that is overdue.
    flush_threads: Arc<ThreadPool>,
}

/// The staging areas that this process works in, with their incoming directories: each has one committer. Clones are the
/// same.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Claims(Arc<Mutex<HashMap<SpoolId, PathBuf>>>);

impl Claims {
    /// An error if another committer works there, or seems to.
    fn add(&self, dir: &SpoolDir) -> Result<(), StoreError> {
        match lock(&self.0).entry(dir.id) {
            Entry::Vacant(entry) => {
                entry.insert(dir.path().to_owned());
                Ok(())
            }
            Entry::Occupied(entry) if entry.get() == dir.path() => Err(StoreError::Displaced(dir.path().to_owned())),
            Entry::Occupied(entry) => Err(StoreError::CopiedSpool(dir.path().to_owned(), entry.get().clone())),
        }
    }

    fn remove(&self, spool: SpoolId) {
        lock(&self.0).remove(&spool);
    }
}

impl RealDisk {
    /// One without directories; those it gets are known to the journal of this path.
    pub(in crate::store) fn new(durability: Durability, journal: PathBuf, claims: Claims) -> Self {
        Self { durability, journal, dirs: BTreeMap::new(), claims, flush_threads: Arc::new(flush_threads()) }
    }

    /// Takes a spool in; whether it is a new one.
    pub(in crate::store) fn adopt(&mut self, dir: &Arc<SpoolDir>) -> Result<bool, StoreError> {
        match self.dirs.get(&dir.id) {
            Some(known) if Arc::ptr_eq(known, dir) => Ok(false),
            Some(known) if known.path() != dir.path() => {
                Err(StoreError::CopiedSpool(dir.path().to_owned(), known.path().to_owned()))
            }
            // Opened once more: the lock is held by the one that is known.
            Some(known) if known.directory() == dir.directory() => Ok(false),
            Some(_) => {
                dir.ask(Wait::Commit, SpoolDir::lock)?;
                self.dirs.insert(dir.id, dir.clone());
                Ok(false)
            }
            None => {
                self.claims.add(dir)?;
                dir.ask(Wait::Commit, SpoolDir::lock).inspect_err(|_| self.claims.remove(dir.id))?;
                self.dirs.insert(dir.id, dir.clone());
                Ok(true)
            }
        }
    }

    /// Does something in a spool whose filesystem may not answer.
    fn ask<T: Send + 'static>(
        &self,
        spool: SpoolId,
        wait: Wait,
        work: impl FnOnce(&SpoolDir) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.dir(spool).ask(wait, work)
    }

    fn dir(&self, spool: SpoolId) -> &Arc<SpoolDir> {
        self.dirs.get(&spool).expect("only spools that were taken in are worked on")
    }
}

/// Whether a measurement may be of this time, since 1970: a random serial can look like an epoch second.
#[expect(clippy::disallowed_methods, reason = "only the committer's thread comes here, and nothing hangs on the time")]
fn is_plausible(time: Duration) -> bool {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time <= now + DAY && now.saturating_sub(time) <= YEAR
}

impl Disk for RealDisk {
    type Journal = RealJournal;

    fn spools(&self) -> Vec<(SpoolId, PathBuf)> {
        self.dirs.values().map(|dir| (dir.id, dir.path().to_owned())).collect()
    }

    fn filesystems(&self, spools: &BTreeSet<SpoolId>) -> Vec<Vec<SpoolId>> {
        let mut by_device: BTreeMap<u64, Vec<SpoolId>> = BTreeMap::new();
        for &spool in spools {
            by_device.entry(self.dir(spool).device()).or_default().push(spool);
        }
        by_device.into_values().collect()
    }

    fn record_journal(&mut self, spool: SpoolId, is_known: bool) {
        let journal = self.journal.clone();
        let introduced = self.ask(spool, Wait::Flush, move |dir| journal_link::record_journal(dir, &journal, is_known));
        if let Err(error) = introduced {
            log::warn!("{error}");
        }
    }

    fn is_last(&self, spool: SpoolId) -> Result<bool, StoreError> {
        let journal = self.journal.clone();
        self.ask(spool, Wait::Commit, move |dir| journal_link::is_last(dir, &journal))
    }

    fn take_in(&mut self, spool: &Spool) -> Result<Option<(SpoolId, PathBuf)>, StoreError> {
        let dir = spool.dir();
        Ok(self.adopt(dir)?.then(|| (dir.id, dir.path().to_owned())))
    }

    fn let_go(&mut self, spool: SpoolId) {
        self.dirs.remove(&spool);
        self.claims.remove(spool);
    }

    fn take_over(&mut self, staged: ClosedHashedTemp, name: &FileName) -> Result<(At, Option<PathBuf>), StoreError> {
        let is_new = self.adopt(staged.dir())?;
        let (dir, stage) = staged.hand_over()?;
        if let Some(time) = measured_at(name).filter(|time| is_plausible(*time)) {
            let dated = dir.ask(Wait::Commit, move |dir| {
                dir.set_time(stage, time);
                Ok(())
            });
            if let Err(error) = dated {
                log::debug!("{error}");
            }
        }
        Ok(((dir.id, stage), is_new.then(|| dir.path().to_owned())))
    }

    fn sync_staged(&mut self, files: &[At]) -> Result<(), StoreError> {
        let Some(&(first, _)) = files.first() else { return Ok(()) };
        self.durability.flush(|| {
            let spools: BTreeSet<SpoolId> = files.iter().map(|&(spool, _)| spool).collect();
            let dirs: Vec<Arc<SpoolDir>> = spools.iter().map(|&spool| Arc::clone(self.dir(spool))).collect();
            let files: Vec<(Arc<SpoolDir>, StageId)> =
                files.iter().map(|&(spool, stage)| (Arc::clone(self.dir(spool)), stage)).collect();
            let threads = Arc::clone(&self.flush_threads);
            self.ask(first, Wait::Flush, move |_| {
                let files: Vec<_> = files.iter().map(|(dir, stage)| (dir, *stage)).collect();
                match sync_staged_files(&files, &threads)? {
                    Synced::Filesystem => Ok(()),
                    Synced::Bytes => dirs.iter().try_for_each(|dir| dir.sync_staging()),
                }
            })
        })
    }

    fn check_place(&self, spool: SpoolId) -> Result<(), StoreError> {
        self.ask(spool, Wait::Commit, SpoolDir::check_place)
    }

    fn check_staged(&self, (spool, stage): At) -> Result<(), StoreError> {
        self.ask(spool, Wait::Commit, move |dir| dir.check_staged(stage))
    }

    fn sync_filesystem(&mut self, spool: SpoolId) -> Result<(), StoreError> {
        self.durability.flush(|| self.ask(spool, Wait::Flush, SpoolDir::sync_filesystem))
    }

    fn sync_names(&mut self, spool: SpoolId) -> Result<(), StoreError> {
        // Whoever clears the directory of what is old may take the mark with it. A failure to make it was reported at
        // first.
        self.ask(spool, Wait::Commit, SpoolDir::leave_mark).ok();
        self.durability.flush(|| self.ask(spool, Wait::Flush, SpoolDir::sync_names))
    }

    fn rename_into(&mut self, (spool, stage): At, name: &FileName) -> Result<bool, StoreError> {
        let name = name.clone();
        self.ask(spool, Wait::Commit, move |dir| dir.rename_into(stage, &name))
    }

    fn compare_staged(&mut self, (spool, stage): At, wanted: &Fingerprint) -> Result<Comparison, StoreError> {
        let wanted = *wanted;
        self.ask(spool, Wait::Flush, move |dir| dir.compare_staged(stage, &wanted))
    }

    fn measure_staged(&mut self, (spool, stage): At) -> Result<Fingerprint, StoreError> {
        self.ask(spool, Wait::Flush, move |dir| dir.measure_staged(stage))
    }

    fn is_published(&mut self, spool: SpoolId, name: &FileName) -> bool {
        let name = name.clone();
        // One that cannot be looked at counts as there.
        self.ask(spool, Wait::Commit, move |dir| Ok(dir.is_published(&name))).unwrap_or(true)
    }

    fn published_names(&mut self, spool: SpoolId) -> Result<Vec<FileName>, StoreError> {
        self.ask(spool, Wait::Flush, SpoolDir::published_names)
    }

    fn discard(&mut self, (spool, stage): At) -> Result<(), StoreError> {
        self.ask(spool, Wait::Commit, move |dir| dir.discard(stage))
    }

    fn invalidate(&mut self, (spool, stage): At, was: &Fingerprint) -> Result<(), StoreError> {
        let was = *was;
        self.ask(spool, Wait::Commit, move |dir| dir.invalidate(stage, &was))
    }

    fn leftovers(&mut self, spool: SpoolId) -> Result<Vec<StageId>, StoreError> {
        self.ask(spool, Wait::Flush, SpoolDir::leftovers)
    }

    fn published_path(&self, spool: SpoolId, name: &FileName) -> PathBuf {
        self.dir(spool).published_path(name)
    }
}
