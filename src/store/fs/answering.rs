//! Asking a filesystem that may not answer: one that is frozen, whose server is gone (NFS) or hangs (FUSE). Its
//! committer, or who opens it, asks it on a thread of its own, and waits for that thread so long and no longer; while
//! it does not answer, every caller gets an error at once.
//!
//! What timed out is carried out all the same as soon as the filesystem answers, and nothing else is before it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::error::StoreError;
use crate::in_time::{self, NoAnswer};
use crate::mutex::lock;
use crate::panics::catch;

/// How long the directory's committer waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Wait {
    /// The operation need not wait for the disk.
    Commit,
    /// The operation flushes what was written.
    Flush,
}

impl Wait {
    fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Commit => 10,
            Self::Flush => 60,
        })
    }
}

type Order = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after the other that the directory's committer asks.
#[derive(Debug)]
pub(in crate::store) struct Answering {
    path: PathBuf,
    orders: Sender<Order>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Answering,
    /// What was asked has not been answered in time, and is not yet.
    Overdue,
}

impl Answering {
    pub(in crate::store) fn start(path: &Path) -> Result<Self, StoreError> {
        let (orders, queue) = mpsc::channel::<Order>();
        let run = move || queue.iter().for_each(|order| order());
        let thread = thread::Builder::new().name("directory".into()).spawn(run);
        thread.map_err(StoreError::std(super::error::START_THREAD, path))?;
        Ok(Self { path: path.to_owned(), orders, state: Arc::new(Mutex::new(State::Answering)) })
    }

    /// Whether what is asked now would be refused.
    pub(in crate::store) fn is_silent(&self) -> bool {
        matches!(*lock(&self.state), State::Overdue)
    }

    pub(in crate::store) fn ask<T: Send + 'static>(
        &self,
        wait: Wait,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask_within(wait.time(), work)
    }

    fn ask_within<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.is_silent() {
            return Err(StoreError::Silent(self.path.clone()));
        }
        let (tell, answer) = mpsc::sync_channel(1);
        let state = Arc::clone(&self.state);
        let path = self.path.clone();
        let order = Box::new(move || {
            let answer = catch(work).unwrap_or_else(|_| Err(StoreError::Panicked(path)));
            *lock(&state) = State::Answering;
            // Nobody waits any more if it was overdue.
            tell.send(answer).ok();
        });
        self.orders.send(order).map_err(|_| StoreError::Stopped)?;
        match answer.recv_timeout(time) {
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

/// Does `work`, which is about `path`, on a thread of its own: see [`in_time`](in_time::in_time).
pub(in crate::store) fn in_time<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    in_time::in_time(path, work).unwrap_or_else(|none| {
        Err(match none {
            NoAnswer::Overdue => StoreError::Silent(path.to_owned()),
            NoAnswer::NoThread(error) => StoreError::std(super::error::START_THREAD, path)(error),
            NoAnswer::Panicked => StoreError::Panicked(path.to_owned()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_answer_is_waited_for_once() {
        let directory = Answering::start(Path::new("/silent")).unwrap();
        let soon = Duration::from_millis(50);
        assert_eq!(directory.ask(Wait::Commit, || Ok(7)), Ok(7));
        let (go_on, hang) = mpsc::channel::<()>();
        let hanging = directory.ask_within(soon, move || {
            hang.recv().ok();
            Ok(())
        });
        assert_eq!(hanging, Err(StoreError::Silent("/silent".into())));
        assert!(directory.ask(Wait::Commit, || -> Result<(), _> { unreachable!("it is refused at once") }).is_err());
        go_on.send(()).unwrap();
        while directory.is_silent() {
            thread::yield_now();
        }
        assert_eq!(directory.ask(Wait::Commit, || Ok(9)), Ok(9));
    }

    #[test]
    fn work_that_panics_is_an_error_and_the_next_is_done() {
        let directory = Answering::start(Path::new("/panics")).unwrap();
        let panics = || -> Result<u32, _> { panic!("the work panics") };
        assert_eq!(directory.ask(Wait::Commit, panics), Err(StoreError::Panicked("/panics".into())));
        assert_eq!(directory.ask(Wait::Commit, || Ok(7)), Ok(7));
    }

    #[test]
    fn work_that_panics_late_does_not_leave_the_directory_silent() {
        let directory = Answering::start(Path::new("/panics")).unwrap();
        let (go_on, hang) = mpsc::channel::<()>();
        let late = directory.ask_within(Duration::from_millis(50), move || -> Result<(), _> {
            hang.recv().ok();
            panic!("the work panics");
        });
        assert_eq!(late, Err(StoreError::Silent("/panics".into())));
        go_on.send(()).unwrap();
        for _ in 0..3000 {
            if !directory.is_silent() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it is silent");
    }
}
