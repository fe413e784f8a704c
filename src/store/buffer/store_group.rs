//! How a group of files is kept: what is done to the disk, in which order, and what an error at any step comes to.
//!
//! 1. The staged bytes are flushed: a few files each for itself, more with `syncfs`.
//! 2. In the group's order, files get their names and are removed.
//! 3. The directories that got names, or lost some, are flushed.
//!
//! A name therefore always stands for a whole file: the one it stood for before, or the new one. There is no journal: a
//! client that got no answer sends its file again. Whoever takes a file finds it again where
//! its removal was cut short by a crash, or has failed; not once its removal has been told to anybody.
//!
//! A failed flush is never tried again as if it were clean. If the first fails, the group's files on that filesystem are
//! removed. If the last fails, the files stay, and count as failed: they may come twice.

use std::collections::BTreeMap;

use super::storage_disk::StorageDisk;
use crate::proto::FileName;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::StageId;
use crate::store::fs::on_conflict::OnConflict;

/// One thing to do in a folder.
#[derive(Debug)]
pub(in crate::store) enum Task<F, I> {
    Store { folder: F, stage: StageId, name: FileName, on_conflict: OnConflict },
    Remove { folder: F, name: FileName, identity: I },
}

/// What a [`Task`] has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Change {
    /// There is one file more.
    Added,
    /// A file of so many bytes made way for another.
    Replaced(u64),
    /// A file of so many bytes is gone.
    Removed(u64),
    /// The file to be removed was not there any more.
    Nothing,
}

impl Change {
    /// The bytes of the file that made way.
    pub(in crate::store) fn replaced(self) -> Option<u64> {
        match self {
            Self::Replaced(size) => Some(size),
            Self::Added | Self::Removed(_) | Self::Nothing => None,
        }
    }
}

/// How a [`Task`] ended.
pub(in crate::store) type Outcome = Result<Change, StoreError>;

type TaskOf<S> = Task<<S as StorageDisk>::Folder, <S as StorageDisk>::Identity>;

/// Carries out a group, in its order. One outcome for each task.
pub(in crate::store) fn keep<S: StorageDisk>(shelf: &mut S, group: &[TaskOf<S>]) -> Vec<Outcome> {
    let flushed = flush(shelf, group);
    let mut outcomes: Vec<Outcome> = group.iter().map(|task| carry_out(shelf, task, &flushed)).collect();
    let changed = group.iter().zip(&outcomes).filter_map(|(task, outcome)| match (task, outcome) {
        (_, Err(_) | Ok(Change::Nothing)) => None,
        (Task::Store { folder, .. } | Task::Remove { folder, .. }, Ok(_)) => Some(folder),
    });
    let folders: BTreeMap<_, _> = changed.map(|folder| (shelf.directory(folder), folder)).collect();
    for (directory, folder) in folders {
        if let Err(error) = shelf.sync_names(folder) {
            fail(shelf, group, &mut outcomes, directory, &error);
        }
    }
    outcomes
}

/// What came of flushing the filesystems, by their numbers. After a failure nobody knows what is on that disk.
fn flush<S: StorageDisk>(shelf: &mut S, group: &[TaskOf<S>]) -> BTreeMap<u64, Result<(), StoreError>> {
    let mut filesystems: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for task in group {
        if let Task::Store { folder, stage, .. } = task {
            filesystems.entry(shelf.filesystem(folder)).or_default().push((folder, *stage));
        }
    }
    filesystems.into_iter().map(|(number, files)| (number, shelf.sync_staged(&files))).collect()
}

fn carry_out<S: StorageDisk>(
    shelf: &mut S,
    task: &TaskOf<S>,
    flushed: &BTreeMap<u64, Result<(), StoreError>>,
) -> Outcome {
    match task {
        Task::Store { folder, stage, name, on_conflict } => {
            let outcome = flushed[&shelf.filesystem(folder)]
                .clone()
                .and_then(|()| shelf.rename_into(folder, *stage, name, *on_conflict));
            // What stays is swept at the next start.
            if outcome.is_err()
                && let Err(error) = shelf.discard(folder, *stage)
            {
                log::warn!("{error}");
            }
            outcome
        }
        Task::Remove { folder, name, identity } => shelf.remove(folder, name, identity),
    }
}

/// The names that went to `directory` may be durable or not.
fn fail<S: StorageDisk>(
    shelf: &S,
    group: &[TaskOf<S>],
    outcomes: &mut [Outcome],
    directory: (u64, u64),
    error: &StoreError,
) {
    for (task, outcome) in group.iter().zip(outcomes) {
        if let Task::Store { folder, .. } = task
            && outcome.is_ok()
            && shelf.directory(folder) == directory
        {
            *outcome = Err(error.clone());
        }
    }
}

#[cfg(test)]
#[path = "store_group_tests.rs"]
mod tests;
