//! Making staged files durable: a few each for itself, more with their filesystem. What either costs stands in the
//! [module `store`](crate::store).

use std::sync::Arc;

use super::error::StoreError;
use super::ids::StageId;
use super::spool_dir::SpoolDir;
use crate::thread_pool::ThreadPool;

/// The most files that are better flushed each for itself than with their whole filesystem.
const FEW: usize = 16;

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
    files <= FEW
}

/// The threads that a few files are flushed from, beside the one that asks for it.
pub(in crate::store) fn flush_threads() -> ThreadPool {
    ThreadPool::new("flush", FEW - 1)
}

/// Makes the bytes of staged files durable, all of which are on one filesystem.
pub(in crate::store) fn sync_staged_files(
    files: &[(&Arc<SpoolDir>, StageId)],
    threads: &ThreadPool,
) -> Result<Synced, StoreError> {
    match files {
        [(spool_dir, _), ..] if !is_few(files.len()) => spool_dir.sync_filesystem().map(|()| Synced::Filesystem),
        _ => each(files, threads).map(|()| Synced::Bytes),
    }
}

/// Flushes files all at once, so that they share the disk's flushes and the filesystem's commits; the first error, in
/// their order.
fn each(files: &[(&Arc<SpoolDir>, StageId)], threads: &ThreadPool) -> Result<(), StoreError> {
    let flush = |&(spool_dir, stage): &(&Arc<SpoolDir>, StageId)| {
        let spool_dir = Arc::clone(spool_dir);
        move || spool_dir.sync_staged_file(stage)
    };
    threads.run(files.iter().map(flush).collect()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread::current;

    use rustix::io::Errno;
    use tempfile::TempDir;

    use super::super::setup::{FILE_MODE, Staging};
    use super::*;
    use crate::testing::refused_calls::{refused, without};

    /// A directory with as many staged files as are flushed each for itself.
    fn staged() -> (TempDir, Arc<SpoolDir>, Vec<StageId>) {
        let dir = tempfile::tempdir().unwrap();
        let spool_dir = SpoolDir::open(dir.path(), FILE_MODE, Staging::Collector).unwrap();
        let stages = (0..FEW).map(|_| spool_dir.create().unwrap().0).collect();
        (dir, Arc::new(spool_dir), stages)
    }

    #[test]
    fn of_files_flushed_at_once_a_failed_one_is_reported_and_a_lost_one_is_ignored() {
        let (_dir, spool_dir, stages) = staged();
        let files: Vec<_> = stages.iter().map(|&stage| (&spool_dir, stage)).collect();
        let threads = flush_threads();
        for count in 0..=files.len() {
            assert_eq!(each(&files[..count], &threads), Ok(()));
        }
        for &lost in &stages {
            spool_dir.discard(lost).unwrap();
            assert_eq!(each(&files, &threads), Ok(()));
            symlink("anything", spool_dir.staged_path(lost)).unwrap();
            let error = each(&files, &threads).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{}: is a link", spool_dir.staged_path(lost).to_string_lossy())),
                "{error}"
            );
            spool_dir.discard(lost).unwrap();
        }
        assert_eq!(Arc::strong_count(&spool_dir), 1, "what is flushed is not held on to");
    }

    #[test]
    fn without_threads_to_be_had_files_are_flushed_by_who_asks_and_threads_are_asked_for_again() {
        let threads = flush_threads();
        let by = |count| threads.run(vec![|| current().id(); count]);
        let no_threads = refused(libc::SYS_clone3, Errno::AGAIN);
        without(&[no_threads], || assert_eq!(by(FEW), [current().id(); FEW]));
        assert_ne!(by(2)[1], current().id());
    }

    #[test]
    fn a_disk_that_fails_is_reported_with_the_first_file_wherever_it_is_flushed() {
        let (_dir, spool_dir, stages) = staged();
        let files: Vec<_> = stages.iter().map(|&stage| (&spool_dir, stage)).collect();
        let first = StoreError::io("flush", &spool_dir.staged_path(stages[0]))(Errno::IO);
        let (fails, no_threads) = (refused(libc::SYS_fdatasync, Errno::IO), refused(libc::SYS_clone3, Errno::AGAIN));
        for calls in [&[fails][..], &[fails, no_threads]] {
            assert_eq!(without(calls, || each(&files, &flush_threads())), Err(first.clone()));
        }
        assert_eq!(without(&[no_threads], || each(&files, &flush_threads())), Ok(()));
    }
}
