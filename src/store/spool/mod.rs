//! The centre's end: where files land. Staging ([`hashed_temp`]), the threads that make durable in groups and publish
//! ([`committer`]), what they do to the disk ([`engine`]), the journal, and the publishing order ([`publish_queue`]).
//!
//! Why nothing is lost and nothing comes twice stands in the [module above](super).

pub(super) mod committer;
pub(super) mod committing;
pub(super) mod disk;
pub(super) mod engine;
mod engines;
mod fresh_name;
pub(super) mod hashed_temp;
mod held_files;
pub(super) mod journal;
pub(super) mod journal_file;
mod journal_link;
pub(super) mod left_behind;
mod own_file;
pub(super) mod publish_order;
pub(super) mod publish_queue;
pub(super) mod shared_journal;
pub(super) mod spooled;
mod temp_beside;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::committer::CommitterNotify;
use self::hashed_temp::HashedTemp;
use crate::store::fs::answering::in_time;
use crate::store::fs::error::StoreError;
use crate::store::fs::mark::mark_name;
use crate::store::fs::setup::{FILE_MODE, Staging};
use crate::store::fs::sink::OpenSink;
use crate::store::fs::spool_dir::SpoolDir;
#[cfg(test)]
use crate::store::fs::staging_queue::Deferred;

/// One incoming directory, shared by all sites whose files land there. Clones are the same spool.
///
/// Open a directory once and keep the value: what is staged through it stays untouched when a
/// [`Committer`](crate::store::Committer) is stopped and another one started.
#[derive(Clone, Debug)]
pub struct Spool {
    dir: Arc<SpoolDir>,
}

impl Spool {
    /// Opens `incoming`, which must exist, and the staging area inside it, which is made if need be.
    ///
    /// # Errors
    /// Whatever would keep files from being stored there: no directory, no right to write, a read-only or full disk.
    pub fn open(incoming: &Path) -> Result<Self, StoreError> {
        let dir = SpoolDir::open(incoming, FILE_MODE, Staging::Collector)?;
        dir.warn_of_lacks(&[]);
        Ok(Self { dir: Arc::new(dir) })
    }

    /// As [`open`](Self::open) does, with files written in another way.
    ///
    /// # Errors
    /// The same.
    pub fn open_with(incoming: &Path, sinks: Arc<dyn OpenSink>) -> Result<Self, StoreError> {
        let dir = SpoolDir::open(incoming, FILE_MODE, Staging::Collector)?.writing_through(sinks);
        dir.warn_of_lacks(&[]);
        Ok(Self { dir: Arc::new(dir) })
    }

    /// As [`open`](Self::open) does, for a collector whose journal is in `state_dir`. Where the directory is on another
    /// filesystem, that may stop answering and costs the others nothing: [`StoreError::Silent`] is the answer then.
    pub fn open_beside(incoming: &Path, state_dir: &Path) -> Result<Self, StoreError> {
        let path = incoming.to_owned();
        let device = device_of(state_dir);
        let dir =
            in_time(incoming, move || SpoolDir::open(&path, FILE_MODE, Staging::Collector)?.answering_beside(device))?;
        dir.warn_of_lacks(&[]);
        Ok(Self { dir: Arc::new(dir) })
    }

    /// As [`open_beside`](Self::open_beside) does, for a simulation that decides when something is staged.
    #[cfg(test)]
    pub(crate) fn open_deferred(incoming: &Path, sinks: Arc<dyn OpenSink>) -> Result<(Self, Deferred), StoreError> {
        let dir = SpoolDir::open(incoming, FILE_MODE, Staging::Collector)?.writing_through(sinks);
        let (dir, deferred) = dir.deferred()?;
        Ok((Self { dir: Arc::new(dir) }, deferred))
    }

    /// Where a path leads: a directory that is spelled in two ways is one.
    pub fn resolve(incoming: &Path) -> Result<PathBuf, StoreError> {
        let path = incoming.to_owned();
        in_time(incoming, move || Ok(path.canonicalize().unwrap_or(path)))
    }

    /// The incoming directory, as an absolute path without links.
    pub fn incoming(&self) -> &Path {
        self.dir.path()
    }

    /// A new, empty file in the staging area. `size_hint` is how large it is expected to become, in bytes; being wrong
    /// costs time at most. Where another directory has its path by now, it cannot be committed.
    ///
    /// # Errors
    /// Whatever the disk comes up with.
    pub fn stage(&self, size_hint: u64) -> Result<HashedTemp, StoreError> {
        self.check_answers()?;
        HashedTemp::create(self.dir.clone(), size_hint)
    }

    /// As [`stage`](Self::stage) does, for bytes of which there may be no other copy: also where the filesystem has not
    /// answered lately.
    ///
    /// # Errors
    /// [`StoreError::Displaced`] if another directory has its path by now: nobody would find what is published in this
    /// one. Whatever else the disk comes up with.
    pub fn stage_only_copy(&self, size_hint: u64) -> Result<HashedTemp, StoreError> {
        HashedTemp::create_in_place(self.dir.clone(), size_hint)
    }

    /// An error if the filesystem has not answered lately: see [`Spool::open_beside`].
    pub fn check_answers(&self) -> Result<(), StoreError> {
        self.dir.check_answers()
    }

    /// What a listing of the incoming directory has, and that of no other.
    pub(crate) fn mark(&self) -> String {
        mark_name(self.dir.id)
    }

    /// `notify` is called from now on when something is staged that somebody waits for.
    pub(in crate::store) fn set_notify(&self, notify: &CommitterNotify) {
        if let Some(queue) = self.dir.staging_queue() {
            queue.set_notify(Arc::clone(notify));
        }
    }

    pub(in crate::store) fn dir(&self) -> &Arc<SpoolDir> {
        &self.dir
    }
}

/// The filesystem that a directory is on, or will be once it is made.
fn device_of(directory: &Path) -> Option<u64> {
    directory.ancestors().find_map(|path| Some(rustix::fs::stat(path).ok()?.st_dev))
}
