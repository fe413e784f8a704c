//! A thread that is given orders in groups, and the mail between it and the loop.

use crate::mutex::lock;
use crate::panics::catch;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Called on a worker's thread whenever there are new completions.
pub(in crate::store) type Notify = Box<dyn Fn() + Send>;

/// What a thread does with its orders.
pub(in crate::store) trait Work: Send + 'static {
    /// Its orders.
    type Order: Debug + Send + 'static;
    /// How an order ended.
    type Completion: Debug + Send + 'static;

    /// Its thread's name.
    const NAME: &'static str;
    /// The most orders carried out as one group: bounds how long the first of them waits for the last.
    const GROUP: usize;

    /// Carries out a group, in its order. One completion for each order that is waited for.
    fn carry_out(&mut self, group: Vec<Self::Order>, now: Instant) -> Vec<Self::Completion>;

    /// Does what is due without an order: called at the start, after each group, and when the time it asked for has come.
    fn go_on(&mut self, _now: Instant) -> Pause {
        Pause::default()
    }
}

/// What [`Work::go_on`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Pause {
    /// When it is to be called again, if no order comes before.
    pub(in crate::store) until: Option<Instant>,
    /// Whether the loop should look.
    pub(in crate::store) has_news: bool,
}

/// The handle of a thread that does some [`Work`]. Only [`Worker::stop`] waits for it.
#[derive(Debug)]
pub(in crate::store) struct Worker<W: Work> {
    orders: Sender<W::Order>,
    done: Done<W::Completion>,
    pending: AtomicUsize,
    alive: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Completions are whole whenever the lock is free, also after a panic.
#[derive(Debug)]
struct Done<C>(Arc<Mutex<Vec<C>>>);

impl<C> Done<C> {
    fn locked(&self) -> MutexGuard<'_, Vec<C>> {
        lock(&self.0)
    }
}

impl<W: Work> Worker<W> {
    pub(in crate::store) fn start(work: W, notify: Notify) -> std::io::Result<Self> {
        let (orders, queue) = mpsc::channel();
        let done = Arc::new(Mutex::new(Vec::new()));
        let alive = Arc::new(AtomicBool::new(true));
        let (theirs, is_alive) = (Done(done.clone()), alive.clone());
        let work = move || {
            if catch(|| run(work, &queue, &theirs, &*notify)).is_err() {
                is_alive.store(false, Ordering::Release);
                notify();
            }
        };
        let thread = thread::Builder::new().name(W::NAME.to_owned()).spawn(work)?;
        Ok(Self { orders, done: Done(done), pending: AtomicUsize::new(0), alive, thread })
    }

    /// Whether the thread has not panicked. Once it has, what is pending stays so.
    pub(in crate::store) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Queues an order that a completion will come for; `stopped` if the thread is gone.
    pub(in crate::store) fn ask(&self, order: W::Order, stopped: impl FnOnce() -> W::Completion) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        if self.orders.send(order).is_err() {
            self.done.locked().push(stopped());
        }
    }

    /// Queues an order that nobody waits for; without the thread it is lost.
    pub(in crate::store) fn tell(&self, order: W::Order) {
        self.orders.send(order).ok();
    }

    /// For another thread that [tells](Self::tell). The thread of this one does not end before that lets go of it.
    pub(in crate::store) fn orders(&self) -> Sender<W::Order> {
        self.orders.clone()
    }

    /// What was completed since the last call, in order.
    pub(in crate::store) fn completions(&self) -> Vec<W::Completion> {
        let done = std::mem::take(&mut *self.done.locked());
        self.pending.fetch_sub(done.len(), Ordering::Relaxed);
        done
    }

    /// How many orders were [asked](Self::ask) whose completion has not been fetched.
    pub(in crate::store) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Lets the thread finish what is queued, and ends it. The completions not fetched so far.
    pub(in crate::store) fn stop(self) -> Vec<W::Completion> {
        let Self { orders, done, alive, thread, .. } = self;
        drop(orders);
        if thread.join().is_err() || !alive.load(Ordering::Acquire) {
            log::error!("the {}'s thread has panicked", W::NAME);
        }
        std::mem::take(&mut *done.locked())
    }
}

/// While one group is being worked on the next one gathers; a lone order is not held back.
#[expect(clippy::disallowed_methods, reason = "a worker's thread has a clock of its own")]
fn run<W: Work>(mut work: W, queue: &Receiver<W::Order>, done: &Done<W::Completion>, notify: &(dyn Fn() + Send)) {
    loop {
        let Pause { until, has_news } = work.go_on(Instant::now());
        if has_news {
            notify();
        }
        let first = match until {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => queue.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        let first = match first {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let group = std::iter::once(first).chain(queue.try_iter()).take(W::GROUP).collect();
        let completions = work.carry_out(group, Instant::now());
        if !completions.is_empty() {
            done.locked().extend(completions);
            notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles numbers; keeps quiet about odd ones; panics at zero.
    struct Doubling;

    impl Work for Doubling {
        type Order = u32;
        type Completion = u32;
        const NAME: &'static str = "doubling";
        const GROUP: usize = 4;

        fn carry_out(&mut self, group: Vec<u32>, _: Instant) -> Vec<u32> {
            assert!(group.len() <= Self::GROUP && !group.contains(&0));
            group.into_iter().filter(|number| number.is_multiple_of(2)).map(|number| number * 2).collect()
        }
    }

    #[test]
    fn what_is_asked_is_completed_in_order_and_what_is_told_is_not_waited_for() {
        let (sender, calls) = mpsc::channel();
        let worker = Worker::start(Doubling, Box::new(move || sender.send(()).unwrap())).unwrap();
        for number in 1..=100 {
            worker.ask(2 * number, || unreachable!("the thread lives"));
            worker.tell(2 * number - 1);
        }
        let mut completed = Vec::new();
        while worker.pending() > 0 {
            calls.recv().unwrap();
            completed.extend(worker.completions());
        }
        assert_eq!(completed, (1..=100).map(|number| 4 * number).collect::<Vec<_>>());
        assert!(worker.stop().is_empty());
    }

    #[test]
    fn stopping_finishes_what_is_queued() {
        let worker = Worker::start(Doubling, Box::new(|| {})).unwrap();
        (1..=50).for_each(|number| worker.ask(2 * number, || unreachable!("the thread lives")));
        assert_eq!(worker.stop().len(), 50);
    }

    #[test]
    fn a_thread_that_panics_says_so() {
        let (sender, calls) = mpsc::channel();
        let worker = Worker::start(Doubling, Box::new(move || sender.send(()).unwrap())).unwrap();
        assert!(worker.is_alive());
        worker.ask(0, || unreachable!("the thread lives"));
        calls.recv().unwrap();
        assert!(!worker.is_alive());
    }

    #[test]
    fn what_a_thread_that_is_gone_is_asked_completes_at_once() {
        let worker = Worker::start(Doubling, Box::new(|| {})).unwrap();
        worker.tell(0);
        while !worker.thread.is_finished() {
            thread::yield_now();
        }
        worker.ask(2, || 7);
        assert_eq!((worker.pending(), worker.completions(), worker.pending()), (1, vec![7], 0));
    }
}
