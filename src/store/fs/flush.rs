//! Making staged files durable: a few each for itself, more with their filesystem. What either costs stands in the
//! [module `store`](crate::store).

use std::panic::resume_unwind;
use std::thread;

use super::error::StoreError;
use super::ids::StageId;
use super::spool_dir::SpoolDir;

/// What [`sync_staged_files`] has made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Synced {
    /// The files' bytes, but not that the files exist.
    Bytes,
    /// All that was on their filesystem.
    Filesystem,
}

/// Whether so many files are better flushed each for itself than with their whole filesystem. The more there are the more
/// `syncfs` gains, but it waits for what other programs have written.
pub(in crate::store) fn is_few(files: usize) -> bool {
    files <= 16
}

/// Makes the bytes of staged files durable, all of which are on one filesystem.
pub(in crate::store) fn sync_staged_files(files: &[(&SpoolDir, StageId)]) -> Result<Synced, StoreError> {
    match files {
        [(spool_dir, _), ..] if !is_few(files.len()) => spool_dir.sync_filesystem().map(|()| Synced::Filesystem),
        _ => each(files).map(|()| Synced::Bytes),
    }
}

/// Flushes files all at once, so that they share the disk's flushes and the filesystem's commits.
fn each(files: &[(&SpoolDir, StageId)]) -> Result<(), StoreError> {
    let Some((&(spool_dir, stage), others)) = files.split_first() else { return Ok(()) };
    thread::scope(|scope| {
        let flush = |&(spool_dir, stage): &(&SpoolDir, StageId)| spool_dir.sync_staged_file(stage);
        let spawn = |file| (file, thread::Builder::new().spawn_scoped(scope, move || flush(file)));
        let spawned: Vec<_> = others.iter().map(spawn).collect();
        let first = spool_dir.sync_staged_file(stage);
        spawned.into_iter().fold(first, |outcome, (file, thread)| {
            // Without a thread for it, a file is flushed here.
            let flushed = thread
                .map_or_else(|_| flush(file), |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            outcome.and(flushed)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::setup::{FILE_MODE, Staging};
    use super::*;

    #[test]
    fn of_files_flushed_at_once_a_failed_one_is_reported_and_a_lost_one_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let spool_dir = SpoolDir::open(dir.path(), FILE_MODE, Staging::Collector).unwrap();
        let stages: Vec<StageId> = (0..5).map(|_| spool_dir.create().unwrap().0).collect();
        let files: Vec<_> = stages.iter().map(|&stage| (&spool_dir, stage)).collect();
        for count in 0..=files.len() {
            assert_eq!(each(&files[..count]), Ok(()));
        }
        for &lost in &stages {
            spool_dir.discard(lost).unwrap();
            assert_eq!(each(&files), Ok(()));
            symlink("anything", spool_dir.staged_path(lost)).unwrap();
            let error = each(&files).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{}: is a link", spool_dir.staged_path(lost).to_string_lossy())),
                "{error}"
            );
            spool_dir.discard(lost).unwrap();
        }
    }
}
