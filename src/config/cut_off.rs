//! Files that are read while somebody is writing them, or had to stop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{Stat, stat};

use super::source::FileText;
use crate::proto::quoted;

/// A file that was written less than this ago may be written still.
const FRESH: Duration = Duration::from_secs(1);

/// From one look at a fresh file to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// How often fresh files are looked at before it is given up.
const LOOKS: usize = 10;

/// A file that is being written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: it is being written; reload again once that is done", quoted(.0))]
pub struct StillWritten(PathBuf);

/// Reads a configuration when nobody writes its `files` any more, and once more where the files with certificates that it
/// names were being written. However often `read` opens one of the `files`, it has found the same in it, and the same files.
///
/// # Errors
/// One of them changes all the time, or has changed while it was read; whatever `read` comes to.
pub fn read_when_written<C, E: From<StillWritten>>(
    files: impl Fn() -> Vec<PathBuf>,
    read: impl Fn() -> Result<C, E>,
    pem_files: impl Fn(&C) -> Vec<PathBuf>,
) -> Result<C, E> {
    wait_until_written(&files)?;
    let read = || -> Result<C, E> {
        let before = look_at(files());
        let config = read()?;
        match changed_since(&before, &look_at(files())) {
            Some(path) => Err(StillWritten(path).into()),
            None => Ok(config),
        }
    };
    let config = read()?;
    if wait_until_written(|| pem_files(&config))? { read() } else { Ok(config) }
}

/// Waits until no file changes, comes or goes from one look to the next, where one has changed within the last second: for a
/// tenth of a second, as a rule. Whether it had to wait. Files that are not there do not change.
///
/// # Errors
/// A file had changed at each look.
fn wait_until_written(files: impl Fn() -> Vec<PathBuf>) -> Result<bool, StillWritten> {
    let mut before = look_at(files());
    if !before.values().flatten().any(is_fresh) {
        return Ok(false);
    }
    for _ in 0..LOOKS {
        thread::sleep(PAUSE);
        let now = look_at(files());
        if now == before {
            return Ok(true);
        }
        before = now;
    }
    let freshest = before.into_iter().max_by_key(|(_, seen)| seen.map(|seen| seen.changed));
    Err(StillWritten(freshest.map(|(path, _)| path).unwrap_or_default()))
}

/// A file that may be the beginning of one only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", quoted(path))]
pub struct CutOff {
    path: PathBuf,
    why: &'static str,
}

/// Fails where a file that is there looks cut off.
///
/// # Errors
/// It is empty, unless it `may_be_empty`, or its last line does not end.
pub fn refuse_cut_off(path: &Path, may_be_empty: bool) -> Result<(), CutOff> {
    let Ok(FileText { bytes, .. }) = FileText::read(path) else { return Ok(()) };
    let may_be = may_be_empty && bytes.trim_ascii().is_empty();
    why_cut_off(&bytes).filter(|_| !may_be).map_or(Ok(()), |why| Err(CutOff { path: path.to_owned(), why }))
}

/// What to warn of at the start of a text that does not end as one does, as many do that were written by hand.
pub(super) fn warning_of_end(path: &Path, bytes: &[u8]) -> Option<String> {
    let why = why_cut_off(bytes).filter(|_| !bytes.trim_ascii().is_empty())?;
    Some(format!("{}: {why}; a reload will take nothing over from it", quoted(path)))
}

fn why_cut_off(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        _ if bytes.trim_ascii().is_empty() => Some("there is nothing in the file"),
        [.., b'\n'] => None,
        _ => Some("the last line has no line feed at its end, as if the file had been cut off"),
    }
}

/// What shows that a file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// Each file, and what is to be seen of it where it is there.
type Look = BTreeMap<PathBuf, Option<Seen>>;

fn look_at(files: Vec<PathBuf>) -> Look {
    let look = |path: PathBuf| {
        let seen = look(&path);
        (path, seen)
    };
    files.into_iter().map(look).collect()
}

/// A file that has changed, come or gone from one look to the next.
fn changed_since(before: &Look, now: &Look) -> Option<PathBuf> {
    let changed = now.iter().find(|(path, seen)| before.get(*path) != Some(*seen));
    let gone = || before.iter().find(|(path, _)| !now.contains_key(*path));
    changed.or_else(gone).map(|(path, _)| path.clone())
}

fn look(path: &Path) -> Option<Seen> {
    let Stat { st_dev, st_ino, st_size, st_mtime, st_mtime_nsec, .. } = stat(path).ok()?;
    let nanoseconds = i64::try_from(st_mtime_nsec).unwrap_or_default();
    Some(Seen {
        inode: (st_dev, st_ino),
        size: u64::try_from(st_size).unwrap_or_default(),
        changed: (st_mtime, nanoseconds),
    })
}

#[expect(clippy::disallowed_methods, reason = "the times of files are the system's")]
fn is_fresh(seen: &Seen) -> bool {
    let (seconds, _) = seen.changed;
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    // Whole seconds: reported as of this second or the last one. A time in the future is another machine's clock.
    SystemTime::now().duration_since(changed).is_ok_and(|age| age < 2 * FRESH)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn old_files_and_absent_ones_are_not_waited_for_and_fresh_ones_once() {
        let place = tempfile::tempdir().unwrap();
        let (old, fresh) = (place.path().join("old"), place.path().join("fresh"));
        fs::write(&old, "old\n").unwrap();
        File::options().append(true).open(&old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let absent = place.path().join("absent");
        assert_eq!(wait_until_written(|| vec![old.clone(), absent.clone()]), Ok(false));
        fs::write(&fresh, "fresh\n").unwrap();
        assert_eq!(wait_until_written(|| vec![old.clone(), fresh.clone()]), Ok(true));
    }

    #[test]
    fn what_is_written_while_it_is_read_is_not_taken_for_what_was_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config");
        fs::write(&path, "whole\ncut o").unwrap();
        File::options().append(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let read = || -> Result<String, StillWritten> {
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, "whole\ncut off no more\n").unwrap();
            refuse_cut_off(&path, false).unwrap();
            Ok(text)
        };
        assert_eq!(read_when_written(|| vec![path.clone()], read, |_| Vec::new()), Err(StillWritten(path.clone())));
    }

    #[test]
    fn a_text_ends_with_a_line() {
        assert_eq!(why_cut_off(b"a 1\nb 2\r\n"), None);
        for cut_off in ["", "\n \n", "a 1\nb"] {
            assert!(why_cut_off(cut_off.as_bytes()).is_some(), "{cut_off:?}");
        }
    }

    #[test]
    fn a_file_that_is_written_all_the_time_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("growing");
        let (mut file, is_done) = (File::create(&path).unwrap(), AtomicBool::new(false));
        let found = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    file.write_all(b"more\n").unwrap();
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let found = wait_until_written(|| vec![path.clone()]);
            is_done.store(true, Ordering::Relaxed);
            found
        });
        assert_eq!(found, Err(StillWritten(path)));
    }
}
