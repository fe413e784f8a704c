//! Looking at a path whose filesystem may not answer: one that is frozen, whose server is gone (NFS) or hangs (FUSE).

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::mutex::lock;
use crate::panics::{Panicked, catch};

/// How long an answer is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What is being looked at on a thread that has not come back.
static OVERDUE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It did not come in time, or one about the same path has not come yet.
    Overdue,
    /// No thread could be started to ask.
    NoThread(io::Error),
    /// The work has panicked.
    Panicked,
}

/// Does `work`, which is about `path`, on a thread that is waited for some seconds. As long as one about this path has not
/// come back there is no other.
pub(crate) fn in_time<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    if !lock(&OVERDUE).insert(path.to_owned()) {
        return Err(NoAnswer::Overdue);
    }
    let (tell, answer) = mpsc::sync_channel(1);
    let asked = path.to_owned();
    let run = move || {
        let answer = catch(work);
        // First: who is answered may ask again.
        lock(&OVERDUE).remove(&asked);
        tell.send(answer).ok();
    };
    if let Err(error) = thread::Builder::new().name("directory".into()).spawn(run) {
        lock(&OVERDUE).remove(path);
        return Err(NoAnswer::NoThread(error));
    }
    match answer.recv_timeout(LONGEST_WAIT) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Panicked)) | Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Panicked),
        Err(RecvTimeoutError::Timeout) => Err(NoAnswer::Overdue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_being_looked_at_is_not_looked_at_by_another_thread() {
        let path = Path::new("/never/answers");
        let (go_on, hang) = mpsc::channel::<()>();
        let hangs = in_time(path, move || hang.recv().is_ok());
        assert!(matches!(hangs, Err(NoAnswer::Overdue)));
        assert!(matches!(in_time(path, || 1), Err(NoAnswer::Overdue)));
        go_on.send(()).unwrap();
        while in_time(path, || 1).is_err() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_look_that_panics_is_not_waited_for_by_the_next() {
        let path = Path::new("/panics");
        let panics = in_time(path, || assert!(path.is_relative(), "it panics"));
        assert!(matches!(panics, Err(NoAnswer::Panicked)));
        assert!(in_time(path, || 1).is_ok());
    }
}
