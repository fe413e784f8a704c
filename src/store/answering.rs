//! Asking a filesystem that may not answer: one that is frozen, whose server is gone (NFS) or hangs (FUSE). It is asked on
//! a thread of its own, which is waited for so long and no longer; while it does not answer, who asks hears so at once.
//!
//! What timed out is carried out all the same as soon as the filesystem answers, and nothing else is before it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::error::StoreError;
use crate::mutex::lock;

/// A directory that did not answer is left alone for so long after it did: the loop is never kept for more than a tenth of
/// its time.
const REST: Duration = Duration::from_secs(30);

/// How long an answer is waited for, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// By the loop, which serves other sites.
    Loop,
    /// By the loop, with the only copy of a file.
    OnlyCopy,
    /// By the committer's thread.
    Commit,
    /// By the committer's thread, for what has been written to come to the disk.
    Flush,
}

impl Wait {
    fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Loop => 3,
            Self::OnlyCopy | Self::Commit => 10,
            Self::Flush => 60,
        })
    }
}

type Order = Box<dyn FnOnce() + Send>;

/// What is asked of one directory: by the loop, which must not wait for a flush of the committer's, and by that.
#[derive(Debug)]
pub(super) struct Answering {
    by_loop: Line,
    by_committer: Line,
}

impl Answering {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { by_loop: Line::start(path)?, by_committer: Line::start(path)? })
    }

    pub(super) fn ask<T: Send + 'static>(
        &self,
        wait: Wait,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match wait {
            Wait::Loop | Wait::OnlyCopy => self.by_loop.ask(wait, work),
            Wait::Commit | Wait::Flush => self.by_committer.ask(wait, work),
        }
    }

    /// Has something done that nobody waits for.
    pub(super) fn tell(&self, work: impl FnOnce() + Send + 'static) {
        self.by_loop.orders.send(Box::new(work)).ok();
    }

    /// Whether what is asked now would be refused.
    pub(super) fn is_silent(&self) -> bool {
        self.by_loop.is_silent() || self.by_committer.is_silent()
    }
}

/// A thread that does one thing after the other.
#[derive(Debug)]
struct Line {
    path: PathBuf,
    orders: Sender<Order>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Answering,
    /// What was asked has not been answered in time.
    Overdue,
    /// It was at last.
    RestingUntil(Instant),
}

impl Line {
    fn start(path: &Path) -> Result<Self, StoreError> {
        let (orders, queue) = mpsc::channel::<Order>();
        let run = move || queue.iter().for_each(|order| order());
        let thread = thread::Builder::new().name("directory".into()).spawn(run);
        thread.map_err(StoreError::std(super::error::START_THREAD, path))?;
        Ok(Self { path: path.to_owned(), orders, state: Arc::new(Mutex::new(State::Answering)) })
    }

    fn is_silent(&self) -> bool {
        let mut state = lock(&self.state);
        if let State::RestingUntil(until) = *state
            && until <= now()
        {
            *state = State::Answering;
        }
        !matches!(*state, State::Answering)
    }

    fn ask<T: Send + 'static>(
        &self,
        wait: Wait,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // With the only copy of a file in hand it is asked all the same.
        if wait != Wait::OnlyCopy && self.is_silent() {
            return Err(StoreError::Silent(self.path.clone()));
        }
        let (tell, answer) = mpsc::sync_channel(1);
        let state = Arc::clone(&self.state);
        let order = Box::new(move || {
            let answer = work();
            let mut state = lock(&state);
            if matches!(*state, State::Overdue) {
                *state = State::RestingUntil(now() + REST);
            }
            // Nobody waits any more if it was overdue.
            tell.send(answer).ok();
        });
        self.orders.send(order).map_err(|_| StoreError::Stopped)?;
        match answer.recv_timeout(wait.time()) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(StoreError::Stopped),
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(&self.state);
                // It may have come just now.
                answer.try_recv().unwrap_or_else(|_| {
                    *state = State::Overdue;
                    Err(StoreError::Silent(self.path.clone()))
                })
            }
        }
    }
}

/// What is being looked at on a thread that has not come back.
static OVERDUE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Does `work`, which is about `path`, on a thread that is waited for as long as the loop waits. As long as one about
/// this path has not come back there is no other.
pub(super) fn in_time<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    if !lock(&OVERDUE).insert(path.to_owned()) {
        return Err(StoreError::Silent(path.to_owned()));
    }
    let (tell, answer) = mpsc::sync_channel(1);
    let about = path.to_owned();
    let run = move || {
        let answer = work();
        lock(&OVERDUE).remove(&about);
        tell.send(answer).ok();
    };
    if let Err(error) = thread::Builder::new().name("directory".into()).spawn(run) {
        lock(&OVERDUE).remove(path);
        return Err(StoreError::std(super::error::START_THREAD, path)(error));
    }
    match answer.recv_timeout(Wait::Loop.time()) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Disconnected) => Err(StoreError::Stopped),
        Err(RecvTimeoutError::Timeout) => Err(StoreError::Silent(path.to_owned())),
    }
}

#[expect(clippy::disallowed_methods, reason = "for how long a disk is silent has nothing to do with the loop's time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_answer_is_waited_for_once_and_left_alone_for_a_while_after_it_did() {
        let line = Line::start(Path::new("/silent")).unwrap();
        assert_eq!(line.ask(Wait::Loop, || Ok(7)), Ok(7));
        let (go_on, hang) = mpsc::channel::<()>();
        let hanging = line.ask(Wait::Loop, move || {
            hang.recv().ok();
            Ok(())
        });
        assert_eq!(hanging, Err(StoreError::Silent("/silent".into())));
        // If this were waited for, the only copy's order could not come to its turn.
        assert!(line.ask(Wait::Loop, || -> Result<(), _> { unreachable!("it is refused at once") }).is_err());
        go_on.send(()).unwrap();
        assert_eq!(line.ask(Wait::OnlyCopy, || Ok(8)), Ok(8));
        assert!(line.is_silent(), "it rests");
        *lock(&line.state) = State::RestingUntil(now());
        assert_eq!(line.ask(Wait::Loop, || Ok(9)), Ok(9));
    }

    #[test]
    fn a_path_that_is_being_looked_at_is_not_looked_at_by_another_thread() {
        let path = Path::new("/never/answers");
        let (go_on, hang) = mpsc::channel::<()>();
        let hangs = in_time(path, move || {
            hang.recv().ok();
            Ok(())
        });
        assert_eq!(hangs, Err(StoreError::Silent(path.to_owned())));
        assert_eq!(in_time(path, || Ok(1)), Err(StoreError::Silent(path.to_owned())));
        go_on.send(()).unwrap();
        while in_time(path, || Ok(1)).is_err() {
            thread::yield_now();
        }
    }
}
