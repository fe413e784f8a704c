//! Threads that are kept for work of which a few pieces are done at once, time and again.

use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use crate::mutex::lock;

type Order = Box<dyn FnOnce() + Send>;

/// Threads that are started when they are first needed, and end with this.
#[derive(Debug)]
pub(crate) struct ThreadPool {
    name: &'static str,
    most: usize,
    idle: Mutex<Vec<Thread>>,
}

impl ThreadPool {
    /// One without a thread so far. They get this name, and `most` at most are kept.
    pub(crate) fn new(name: &'static str, most: usize) -> Self {
        Self { name, most, idle: Mutex::default() }
    }

    /// Does all of this at once, the first piece on the calling thread, and waits for it; what came of each, in order. For
    /// what no thread can be had it is done on the calling thread as well.
    ///
    /// Nobody else waits for it: another call meanwhile has other threads.
    ///
    /// # Panics
    /// If a piece has panicked, with its panic, and when all others are done.
    pub(crate) fn run<T, F>(&self, mut work: Vec<F>) -> Vec<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let threads = self.take(work.len().saturating_sub(1));
        let elsewhere = work.split_off(work.len() - threads.len());
        let answers: Vec<_> = threads.iter().zip(elsewhere).map(|(thread, work)| thread.order(work)).collect();
        let mut results: Vec<thread::Result<T>> = work.into_iter().map(caught).collect();
        results
            .extend(answers.iter().map(|answer| answer.recv().expect("a thread answers, also where its work panics")));
        self.put_back(threads);
        results.into_iter().map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    }

    /// So many idle threads, or as many as can be had.
    fn take(&self, wanted: usize) -> Vec<Thread> {
        let wanted = wanted.min(self.most);
        let mut threads = {
            let mut idle = lock(&self.idle);
            let left = idle.len().saturating_sub(wanted);
            idle.split_off(left)
        };
        let started = iter::repeat_with(|| Thread::start(self.name)).map_while(Result::ok);
        threads.extend(started.take(wanted - threads.len()));
        threads
    }

    fn put_back(&self, threads: Vec<Thread>) {
        let mut idle = lock(&self.idle);
        idle.extend(threads);
        idle.truncate(self.most);
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        // All are let go of before the first is waited for.
        let ending: Vec<JoinHandle<()>> = lock(&self.idle).drain(..).map(|Thread { handle, .. }| handle).collect();
        for handle in ending {
            // It has caught every panic.
            handle.join().ok();
        }
    }
}

/// It ends when it can get no more orders.
#[derive(Debug)]
struct Thread {
    orders: Sender<Order>,
    handle: JoinHandle<()>,
}

impl Thread {
    fn start(name: &str) -> std::io::Result<Self> {
        let (orders, queue) = mpsc::channel::<Order>();
        let run = move || queue.iter().for_each(|order| order());
        Ok(Self { orders, handle: thread::Builder::new().name(name.to_owned()).spawn(run)? })
    }

    /// Has it do this. All that `work` holds is let go of when the answer is there.
    fn order<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Receiver<thread::Result<T>> {
        let (tell, answer) = mpsc::sync_channel(1);
        let order = Box::new(move || {
            // Who gave the order waits for its answer.
            tell.send(caught(work)).ok();
        });
        self.orders.send(order).expect("a thread takes orders until it is let go of");
        answer
    }
}

/// What `work` came to, or its panic. What it shares is as in [`catch`](crate::panics::catch).
fn caught<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::TryRecvError;
    use std::thread::{Thread as Current, ThreadId, current};

    use super::*;

    /// Pieces of work that return the numbers from 0, and the threads that do them.
    fn pieces(count: usize) -> Vec<impl FnOnce() -> (usize, Current)> {
        (0..count).map(|number| move || (number, current())).collect()
    }

    /// The threads that did so many pieces, all of which were done once and are in order.
    fn threads_of(pool: &ThreadPool, count: usize) -> Vec<ThreadId> {
        let (numbers, threads): (Vec<_>, Vec<_>) = pool.run(pieces(count)).into_iter().unzip();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
        threads.iter().map(Current::id).collect()
    }

    #[test]
    fn each_piece_is_done_once_on_a_thread_of_its_own_and_threads_are_kept() {
        let pool = ThreadPool::new("pool", 15);
        let mut known = BTreeSet::new();
        let unique = |threads: &[ThreadId]| threads.iter().map(|id| format!("{id:?}")).collect::<BTreeSet<_>>();
        for count in (0..=16).chain((0..=16).rev()) {
            let threads = threads_of(&pool, count);
            assert!(threads.first().is_none_or(|first| *first == current().id()));
            let threads = unique(&threads);
            assert_eq!(threads.len(), count);
            known.extend(threads);
        }
        assert_eq!(known.len(), 16, "none was started twice");
    }

    #[test]
    fn threads_have_a_name_and_are_started_when_they_are_needed() {
        let pool = ThreadPool::new("pool", 15);
        assert_eq!(threads_of(&pool, 1), [current().id()]);
        assert_eq!(lock(&pool.idle).len(), 0);
        let done = pool.run(pieces(3));
        assert_eq!(done.iter().skip(1).map(|(_, thread)| thread.name()).collect::<Vec<_>>(), [Some("pool"); 2]);
        assert_eq!(lock(&pool.idle).len(), 2);
    }

    #[test]
    fn more_pieces_than_threads_are_done_on_the_calling_thread() {
        let pool = ThreadPool::new("pool", 3);
        let threads = threads_of(&pool, 10);
        assert_eq!(threads.iter().filter(|id| **id == current().id()).count(), 7);
    }

    #[test]
    fn a_panic_reaches_the_caller_when_all_other_pieces_are_done_and_the_threads_go_on() {
        let pool = ThreadPool::new("pool", 15);
        for bad in 0..16 {
            let done = Arc::new(AtomicUsize::new(0));
            let piece = |number| {
                let done = Arc::clone(&done);
                move || {
                    assert_ne!(number, bad, "this one panics");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            };
            let panic = caught(|| pool.run((0..16).map(piece).collect())).unwrap_err();
            assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("this one panics")));
            assert_eq!(done.load(Ordering::Relaxed), 15);
            assert_eq!((Arc::strong_count(&done), lock(&pool.idle).len()), (1, 15));
        }
    }

    #[test]
    fn who_comes_meanwhile_does_not_wait() {
        let pool = ThreadPool::new("pool", 2);
        let (go_on, hang) = mpsc::channel::<()>();
        let (tell, begun) = mpsc::channel();
        let hang = Arc::new(Mutex::new(hang));
        let hanging = || {
            let (hang, tell) = (Arc::clone(&hang), tell.clone());
            move || {
                tell.send(()).unwrap();
                lock(&hang).recv().ok();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| pool.run(vec![hanging(), hanging(), hanging()]));
            (0..3).for_each(|_| begun.recv().unwrap());
            assert_eq!(threads_of(&pool, 3).len(), 3);
            drop(go_on);
        });
        assert_eq!(lock(&pool.idle).len(), 2, "no more are kept");
    }

    thread_local! {
        /// Let go of when its thread ends.
        static HELD: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
    }

    #[test]
    fn the_threads_end_with_their_owner() {
        let pool = ThreadPool::new("pool", 15);
        let (sender, ended) = mpsc::channel();
        let mut senders = vec![None];
        senders.resize(16, Some(sender));
        pool.run(senders.into_iter().map(|sender| move || HELD.set(sender)).collect());
        assert_eq!(ended.try_recv(), Err(TryRecvError::Empty));
        drop(pool);
        assert_eq!(ended.try_recv(), Err(TryRecvError::Disconnected));
    }
}
