//! How a group of files is kept: what is done to the disk, in which order, and what an error at any step comes to.
//!
//! 1. The staged bytes are flushed: a few files each for itself, more with `syncfs`.
//! 2. In the group's order, files get their names and are removed.
//! 3. The directories that got names, or lost some, are flushed.
//!
//! A name therefore always stands for a whole file: the one it stood for before, or the new one. There is no journal: a
//! client that got no answer sends its file again. Whoever takes a file finds it again where its removal was cut short
//! by a crash, or has failed; not once its removal has been reported to anybody.
//!
//! A failed flush is never tried again as if it were clean. If the first fails, the group's files on that filesystem are
//! removed. If the last fails, the files stay, and count as failed: they may come twice.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::storage_disk::StorageDisk;
use crate::proto::FileName;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::StageId;
use crate::store::fs::on_conflict::OnConflict;

/// One thing to do in a directory.
#[derive(Debug)]
pub(in crate::store) enum Task<F, I> {
    /// `expected`: in place of that file alone.
    Store {
        dir: F,
        stage: StageId,
        name: FileName,
        on_conflict: OnConflict,
        expected: Option<I>,
    },
    Remove {
        dir: F,
        name: FileName,
        identity: I,
    },
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

type TaskOf<S> = Task<<S as StorageDisk>::Dir, <S as StorageDisk>::Identity>;

/// Carries out a group, in its order. One outcome for each task.
pub(in crate::store) fn store<S: StorageDisk>(disk: &mut S, group: &[TaskOf<S>]) -> Vec<Outcome> {
    let flushed = flush(disk, group);
    let mut outcomes: Vec<Outcome> = group.iter().map(|task| carry_out(disk, task, &flushed)).collect();
    let changed = group.iter().zip(&outcomes).filter_map(|(task, outcome)| match (task, outcome) {
        (_, Err(_) | Ok(Change::Nothing)) => None,
        (Task::Store { dir, .. } | Task::Remove { dir, .. }, Ok(_)) => Some(dir),
    });
    let dirs: BTreeMap<_, _> = changed.map(|dir| (disk.directory(dir), dir)).collect();
    for (directory, dir) in dirs {
        if let Err(error) = disk.sync_names(dir) {
            fail(disk, group, &mut outcomes, directory, &error);
        }
    }
    outcomes
}

/// What came of flushing the filesystems, by their numbers. After a failure it is unknown what is on that disk.
fn flush<S: StorageDisk>(disk: &mut S, group: &[TaskOf<S>]) -> BTreeMap<u64, Result<(), StoreError>> {
    let mut filesystems: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for task in group {
        if let Task::Store { dir, stage, .. } = task {
            filesystems.entry(disk.filesystem(dir)).or_default().push((dir, *stage));
        }
    }
    filesystems.into_iter().map(|(number, files)| (number, disk.sync_staged(&files))).collect()
}

fn carry_out<S: StorageDisk>(
    disk: &mut S,
    task: &TaskOf<S>,
    flushed: &BTreeMap<u64, Result<(), StoreError>>,
) -> Outcome {
    match task {
        Task::Store { dir, stage, name, on_conflict, expected } => {
            let is_expected = |disk: &S| expected.as_ref().map_or(Ok(true), |file| disk.is_still(dir, name, file));
            let outcome = flushed[&disk.filesystem(dir)].clone().and_then(|()| {
                if is_expected(disk)? {
                    disk.rename_into(dir, *stage, name, *on_conflict)
                } else {
                    Err(StoreError::Exists(PathBuf::from(OsStr::from_bytes(name.as_bytes()))))
                }
            });
            // What stays is swept at the next start.
            if outcome.is_err()
                && let Err(error) = disk.discard(dir, *stage)
            {
                log::warn!("{error}");
            }
            outcome
        }
        Task::Remove { dir, name, identity } => disk.remove(dir, name, identity),
    }
}

/// The names that went to `directory` may be durable or not.
fn fail<S: StorageDisk>(
    disk: &S,
    group: &[TaskOf<S>],
    outcomes: &mut [Outcome],
    directory: (u64, u64),
    error: &StoreError,
) {
    for (task, outcome) in group.iter().zip(outcomes) {
        let (Task::Store { dir, .. } | Task::Remove { dir, .. }) = task;
        if !matches!(outcome, Err(_) | Ok(Change::Nothing)) && disk.directory(dir) == directory {
            *outcome = Err(error.clone());
        }
    }
}

#[cfg(test)]
#[path = "store_group_tests.rs"]
mod tests;
