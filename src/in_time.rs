//! Looking at a path whose filesystem may not answer: one that is frozen, whose server is gone (NFS) or hangs (FUSE).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::mutex::lock;
use crate::panics::{Panicked, catch};

/// How long an answer is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What is being looked at.
static LOOKS: Mutex<BTreeMap<PathBuf, Look>> = Mutex::new(BTreeMap::new());

/// One of those has come back, or is overdue.
static CHANGED: Condvar = Condvar::new();

/// A look at a path, whose thread has not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Who asked waits for it.
    Awaited,
    /// Nobody does any more.
    Overdue,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It did not come in time, or one about the same path did not and has not come yet.
    Overdue,
    /// No thread could be started to ask.
    NoThread(io::Error),
    /// The work has panicked.
    Panicked,
}

/// Does `work`, which is about `path`, on a thread that is waited for some seconds. As long as one about this path has not
/// come back there is no other: who asks meanwhile waits for it as long as who asked before does.
pub(crate) fn in_time<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    let Some(mut looks) = wait_for_turn(path) else { return Err(NoAnswer::Overdue) };
    looks.insert(path.to_owned(), Look::Awaited);
    drop(looks);
    let (tell, answer) = mpsc::sync_channel(1);
    let asked = path.to_owned();
    let run = move || {
        let answer = catch(work);
        // First: who is answered may ask again.
        come_back(&asked);
        tell.send(answer).ok();
    };
    if let Err(error) = thread::Builder::new().name("directory".into()).spawn(run) {
        come_back(path);
        return Err(NoAnswer::NoThread(error));
    }
    match answer.recv_timeout(LONGEST_WAIT) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Panicked)) | Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Panicked),
        Err(RecvTimeoutError::Timeout) => {
            if let Some(look) = lock(&LOOKS).get_mut(path) {
                *look = Look::Overdue;
            }
            CHANGED.notify_all();
            Err(NoAnswer::Overdue)
        }
    }
}

/// Waits until nobody looks at the path; `None` where a look at it is overdue.
fn wait_for_turn(path: &Path) -> Option<MutexGuard<'static, BTreeMap<PathBuf, Look>>> {
    let is_awaited = |looks: &mut BTreeMap<PathBuf, Look>| looks.get(path) == Some(&Look::Awaited);
    let waited = CHANGED.wait_timeout_while(lock(&LOOKS), LONGEST_WAIT, is_awaited);
    let (looks, _) = waited.unwrap_or_else(PoisonError::into_inner);
    (!looks.contains_key(path)).then_some(looks)
}

fn come_back(path: &Path) {
    lock(&LOOKS).remove(path);
    CHANGED.notify_all();
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
    fn a_path_that_somebody_looks_at_just_now_is_waited_for() {
        let path = Path::new("/looked/at");
        let (tell, is_looked_at) = mpsc::channel();
        let (go_on, hold) = mpsc::channel::<()>();
        let first = move || {
            tell.send(()).unwrap();
            hold.recv().is_ok()
        };
        thread::scope(|scope| {
            let one = scope.spawn(|| in_time(path, first));
            is_looked_at.recv().unwrap();
            let other = scope.spawn(|| in_time(path, || 2));
            // Whether or not it waits by now.
            go_on.send(()).unwrap();
            assert!(matches!(one.join().unwrap(), Ok(true)));
            assert!(matches!(other.join().unwrap(), Ok(2)), "two that look at once are no sign of a disk that hangs");
        });
    }

    #[test]
    fn a_look_that_panics_is_not_waited_for_by_the_next() {
        let path = Path::new("/panics");
        let panics = in_time(path, || assert!(path.is_relative(), "it panics"));
        assert!(matches!(panics, Err(NoAnswer::Panicked)));
        assert!(in_time(path, || 1).is_ok());
    }
}
