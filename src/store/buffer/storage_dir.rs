//! A directory of the server's storage.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{self, Access, AtFlags, Mode};
use rustix::io::Errno;

use super::lister::{Lister, ListingKind};
use crate::budget::Budget;
use crate::mutex::lock;
use crate::proto::FileName;
use crate::store::fs::error::StoreError;
use crate::store::fs::lacks::{Lack, lacks_of};
use crate::store::fs::setup::{self, Staging};
use crate::store::fs::sink::{OpenSink, SinkKind};
use crate::store::fs::source::{FileState, Identity, Source};
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::temp_file::TempFile;

/// One directory of the storage, with a staging area of its own inside. Clones are the same directory.
///
/// Open a directory once and keep the value: it holds the directory's lock, against other values of this process too. A
/// directory that is moved or removed while it is open, and one of its name made, must be opened anew: see
/// [`is_in_place`](Self::is_in_place).
#[derive(Clone, Debug)]
pub struct StorageDir {
    dir: Arc<SpoolDir>,
    under_way: RemovalsUnderWay,
}

/// Files whose removal has been ordered: to everybody but the storing thread they are gone already, though it may have
/// other things to flush first.
#[derive(Clone, Debug, Default)]
struct RemovalsUnderWay(Arc<Mutex<HashMap<FileName, Identity>>>);

/// Removals that were pending at some time.
#[derive(Debug)]
pub struct PendingRemovals {
    under_way: RemovalsUnderWay,
    removals: Vec<(FileName, Identity)>,
}

impl PendingRemovals {
    /// Whether all of them have been carried out, durably where that is asked for, or cannot be.
    pub fn are_done(&mut self) -> bool {
        let pending = self.under_way.locked();
        self.removals.retain(|(name, file)| pending.get(name) == Some(file));
        self.removals.is_empty()
    }
}

impl RemovalsUnderWay {
    /// The file goes. Of several of one name, the last is the one that may still be there when this is asked.
    fn add(&self, name: FileName, identity: Identity) {
        self.locked().insert(name, identity);
    }

    fn finish(&self, name: &FileName, identity: &Identity) {
        let mut under_way = self.locked();
        if under_way.get(name) == Some(identity) {
            under_way.remove(name);
        }
    }

    fn get(&self, name: &FileName) -> Option<Identity> {
        self.locked().get(name).copied()
    }

    /// Each change is whole before the lock is free.
    fn locked(&self) -> MutexGuard<'_, HashMap<FileName, Identity>> {
        lock(&self.0)
    }
}

impl StorageDir {
    /// Opens `path`, which must exist, locks its staging area, which is made if need be, and removes what an earlier run
    /// has left there. New files get the permissions `file_mode`, whatever the umask.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process works there; whatever would keep files from being stored there.
    pub fn open(path: &Path, file_mode: u32) -> Result<Self, StoreError> {
        Self::open_with(path, file_mode, Arc::new(SinkKind::Append))
    }

    /// As [`StorageDir::open`] does, with files written in another way.
    ///
    /// # Errors
    /// The same.
    pub fn open_with(path: &Path, file_mode: u32, sinks: Arc<dyn OpenSink>) -> Result<Self, StoreError> {
        let dir = SpoolDir::open(path, Mode::from_raw_mode(file_mode), Staging::Server)?;
        Self::of(dir.writing_through(sinks), &[])
    }

    /// Takes it over, without a warning of what the filesystem is known to lack.
    fn of(dir: SpoolDir, known: &[Lack]) -> Result<Self, StoreError> {
        dir.lock()?;
        dir.warn_of_lacks(known);
        for stage in dir.leftovers()? {
            if let Err(error) = dir.discard(stage) {
                log::warn!("{error}");
            }
        }
        Ok(Self { dir: Arc::new(dir), under_way: RemovalsUnderWay::default() })
    }

    /// Whether `path` can be [opened](Self::open), as far as can be seen without locking anything there; what its
    /// filesystem lacks.
    ///
    /// # Errors
    /// No directory, no right to write, a read-only or full disk.
    pub fn check(path: &Path) -> Result<Vec<Lack>, StoreError> {
        setup::check_directory(path)?;
        lacks_of(path)
    }

    /// Opens a directory inside this one, as [`StorageDir::open`] does; this directory itself if `relative` leads
    /// there.
    ///
    /// # Errors
    /// [`StoreError::Outside`] if `relative` is an absolute path, or leads out through `..` or a link.
    pub fn open_inside(&self, relative: &Path, file_mode: u32) -> Result<Self, StoreError> {
        let below = resolve_inside(self.path(), relative)?;
        if below.as_os_str().is_empty() {
            return Ok(self.clone());
        }
        // What is there by now may be another link.
        Self::of(self.dir.open_inside(&below, Mode::from_raw_mode(file_mode))?, self.dir.lacks())
    }

    /// Whether [`StorageDir::open_inside`] can open `relative` in the storage directory `path`, as far as its rights
    /// show.
    ///
    /// # Errors
    /// What it would fail with.
    pub fn check_inside(path: &Path, relative: &Path) -> Result<(), StoreError> {
        let path = resolve(path)?;
        let below = resolve_inside(&path, relative)?;
        setup::check_directory(&path.join(below))
    }

    /// Whether files can be removed from here, as far as can be seen.
    ///
    /// # Errors
    /// No right to write, a read-only disk.
    pub fn check_removal(&self) -> Result<(), StoreError> {
        fs::accessat(self.dir.incoming(), c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())
            .map_err(StoreError::io("remove files from", self.path()))
    }

    /// Whether the path still leads to this directory, and to its staging area: somebody may have moved or removed either.
    pub fn is_in_place(&self) -> bool {
        self.dir.is_in_place()
    }

    /// The directory, as an absolute path without links.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A new, empty file in the staging area. `size_hint` is how large it is expected to become, in bytes; being wrong
    /// costs time at most.
    pub fn create_temp(&self, size_hint: u64) -> Result<TempFile, StoreError> {
        TempFile::create(self.dir.clone(), size_hint)
    }

    /// Opens the file of this name. `None` if there is none, or something else: a directory, a link, a FIFO.
    pub fn find(&self, name: &FileName) -> Result<Option<Source>, StoreError> {
        // Asked first: between the two, the storing thread may have removed the file that was opened, and be done with
        // it.
        let removed = self.under_way.get(name);
        let found = Source::open(self.dir.incoming(), name.clone())
            .map_err(|errno| StoreError::io("open", &self.dir.published_path(name))(errno))?;
        Ok(found.filter(|source| removed != Some(source.identity())))
    }

    /// The state of the file that [`find`](Self::find) would open.
    pub fn look(&self, name: &FileName) -> Result<Option<FileState>, StoreError> {
        let removed = self.under_way.get(name);
        let found = FileState::look(self.dir.incoming(), name)
            .map_err(|errno| StoreError::io("look at", &self.dir.published_path(name))(errno))?;
        Ok(found.filter(|state| removed != Some(state.identity())))
    }

    /// The bytes of the file that one of this name would replace. `None` if there is none, or it cannot be seen.
    pub fn size_of(&self, name: &FileName) -> Option<u64> {
        let removed = self.under_way.get(name);
        let found = self.dir.look(name).ok()?;
        found.filter(|file| removed != Some(*file)).map(|file| file.size)
    }

    /// Whether anything has this name, be it a file or not.
    pub fn exists(&self, name: &FileName) -> Result<bool, StoreError> {
        if let Some(removed) = self.under_way.get(name)
            && self.dir.look(name)? == Some(removed)
        {
            return Ok(false);
        }
        match fs::statat(self.dir.incoming(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(StoreError::io("look at", &self.dir.published_path(name))(errno)),
        }
    }

    /// The file is to be removed: it counts as gone until [`StorageDir::removal_done`].
    pub(in crate::store) fn removal_ordered(&self, name: &FileName, identity: Identity) {
        self.under_way.add(name.clone(), identity);
    }

    /// The file has been removed, or cannot be.
    pub(in crate::store) fn removal_done(&self, name: &FileName, identity: &Identity) {
        self.under_way.finish(name, identity);
    }

    /// How many files are to be removed and have not been yet.
    pub fn removals(&self) -> usize {
        self.under_way.locked().len()
    }

    /// The removals that are pending: of the file of this name, or of all.
    pub fn pending_removals(&self, name: Option<&FileName>) -> PendingRemovals {
        let pending = self.under_way.locked();
        let removals = match name {
            Some(name) => pending.get_key_value(name).into_iter().map(|(name, file)| (name.clone(), *file)).collect(),
            None => pending.iter().map(|(name, file)| (name.clone(), *file)).collect(),
        };
        PendingRemovals { under_way: self.under_way.clone(), removals }
    }

    /// Begins to list what is in here, in memory of that budget.
    pub(crate) fn list(&self, kind: ListingKind, budget: &Budget) -> Result<Lister, StoreError> {
        Lister::new(self.clone(), kind, budget)
    }

    /// Whether this and the other are clones of one value.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.dir, &other.dir)
    }

    pub(in crate::store) fn dir(&self) -> &Arc<SpoolDir> {
        &self.dir
    }
}

/// The path without links.
fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    path.canonicalize().map_err(StoreError::std("open the directory", path))
}

/// `relative` without links, below `storage`, which has none.
fn resolve_inside(storage: &Path, relative: &Path) -> Result<PathBuf, StoreError> {
    let path = resolve(&storage.join(relative))?;
    match path.strip_prefix(storage) {
        Ok(below) => Ok(below.to_owned()),
        Err(_) => Err(StoreError::Outside { path, storage: storage.to_owned() }),
    }
}

#[cfg(test)]
#[path = "storage_dir_tests.rs"]
mod tests;
