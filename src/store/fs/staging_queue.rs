//! What is staged in a directory whose filesystem may not answer: by a thread of the directory's own, which the loop
//! gives orders and never waits for. A caller without room for more orders, or that needs the result of one, is
//! notified.

#[cfg(test)]
use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{START_THREAD, StoreError};
use crate::mutex::lock;
use crate::panics::catch;

/// A directory that is at one order for so long does not answer.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// How much may wait to be written in one directory, in bytes.
const MOST_QUEUED: u64 = 4 << 20;

/// What an order costs beside the bytes that it holds.
const COST: u64 = 256;

/// From one look at whether a directory is silent to the next, while its answer is waited for.
const LOOK: Duration = Duration::from_millis(250);

type Notify = Arc<dyn Fn() + Send + Sync>;

type Order = Box<dyn FnOnce() + Send>;

/// The orders that one directory's thread has not carried out.
#[derive(Debug)]
pub(in crate::store) struct StagingQueue {
    path: PathBuf,
    orders: Sender<Order>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What the orders cost that are not done.
    queued: u64,
    /// When the order was begun that is under way.
    since: Option<Instant>,
    /// Whether somebody is to be called when the next order is done.
    is_awaited: bool,
    /// Whether an order has panicked: none is carried out any more.
    has_panicked: bool,
    notify: Option<Notify>,
}

impl Debug for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { queued, since, is_awaited, has_panicked, notify: _ } = self;
        let mut state = f.debug_struct("State");
        state.field("queued", queued).field("since", since).field("is_awaited", is_awaited);
        state.field("has_panicked", has_panicked).finish()
    }
}

impl State {
    fn panicked(&mut self) {
        self.has_panicked = true;
        if let Some(notify) = &self.notify {
            notify();
        }
    }
}

impl StagingQueue {
    /// The queue of the directory at `path`, with a thread that carries it out.
    pub(in crate::store) fn start(path: &Path) -> Result<Self, StoreError> {
        let (queue, orders) = Self::new(path);
        let state = Arc::clone(&queue.state);
        let run = move || {
            if catch(|| orders.iter().for_each(|order| order())).is_err() {
                lock(&state).panicked();
            }
        };
        let thread = thread::Builder::new().name("staging".into()).spawn(run);
        thread.map(|_| queue).map_err(StoreError::std(START_THREAD, path))
    }

    fn new(path: &Path) -> (Self, Receiver<Order>) {
        let (sender, orders) = mpsc::channel();
        (Self { path: path.to_owned(), orders: sender, state: Arc::default() }, orders)
    }

    /// A queue whose orders are carried out when a simulation orders it.
    #[cfg(test)]
    pub(in crate::store) fn deferred(path: &Path) -> (Self, Deferred) {
        let (queue, orders) = Self::new(path);
        let calls = Arc::new(AtomicBool::new(false));
        let called = Arc::clone(&calls);
        queue.set_notify(Arc::new(move || called.store(true, Ordering::Relaxed)));
        (queue, Deferred { orders, waiting: VecDeque::new(), calls })
    }

    /// `notify` is called, on the directory's thread, when an order is done that somebody waits for.
    pub(in crate::store) fn set_notify(&self, notify: Notify) {
        lock(&self.state).notify = Some(notify);
    }

    /// Has something done, after all that was ordered before. The order holds so many `bytes`. It is taken whether there is
    /// [room](Self::has_room) or not.
    pub(in crate::store) fn push(&self, bytes: usize, order: impl FnOnce() + Send + 'static) {
        let cost = bytes as u64 + COST;
        lock(&self.state).queued += cost;
        let state = Arc::clone(&self.state);
        let order = Box::new(move || {
            lock(&state).since = Some(now());
            order();
            let mut state = lock(&state);
            state.queued -= cost;
            state.since = None;
            if std::mem::take(&mut state.is_awaited)
                && let Some(notify) = &state.notify
            {
                notify();
            }
        });
        // Without the thread, an order's answer is the error that it has stopped.
        self.orders.send(order).ok();
    }

    /// Whether no order has panicked. Once one has, no file is staged here any more.
    pub(in crate::store) fn is_alive(&self) -> bool {
        !lock(&self.state).has_panicked
    }

    /// Whether more may be ordered. If not, who asks is called when it may be.
    pub(in crate::store) fn has_room(&self) -> Result<bool, StoreError> {
        let mut state = lock(&self.state);
        if state.queued < MOST_QUEUED {
            return Ok(true);
        }
        state.is_awaited = true;
        drop(state);
        self.check_answers().map(|()| false)
    }

    /// The caller is notified when the next order is done. The results of earlier orders can be seen after this call.
    pub(in crate::store) fn await_next(&self) {
        lock(&self.state).is_awaited = true;
    }

    /// An error if the filesystem does not answer, or nobody asks it any more.
    pub(in crate::store) fn check_answers(&self) -> Result<(), StoreError> {
        let State { since, has_panicked, .. } = *lock(&self.state);
        if has_panicked {
            return Err(StoreError::Stopped);
        }
        let is_silent = since.is_some_and(|since| now().saturating_duration_since(since) >= SILENT_AFTER);
        if is_silent { Err(StoreError::Silent(self.path.clone())) } else { Ok(()) }
    }

    /// Waits for an order's result, unless the filesystem does not answer. Not for the loop.
    pub(in crate::store) fn wait_for<T>(&self, answer: &Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(StoreError::Stopped),
                Err(RecvTimeoutError::Timeout) => self.check_answers()?,
            }
        }
    }
}

/// What a directory's thread would have to do.
#[cfg(test)]
pub(crate) struct Deferred {
    orders: Receiver<Order>,
    waiting: VecDeque<Order>,
    calls: Arc<AtomicBool>,
}

#[cfg(test)]
impl Deferred {
    /// Whether there is anything to carry out.
    pub(crate) fn has_orders(&mut self) -> bool {
        self.waiting.extend(self.orders.try_iter());
        !self.waiting.is_empty()
    }

    /// Carries out the next order; whether somebody is to be called.
    pub(crate) fn carry_out(&mut self) -> bool {
        if self.has_orders()
            && let Some(order) = self.waiting.pop_front()
        {
            order();
        }
        self.calls.swap(false, Ordering::Relaxed)
    }
}

#[expect(clippy::disallowed_methods, reason = "for how long a disk is silent has nothing to do with the loop's time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A queue whose orders are carried out when the test orders it, and how often somebody was notified.
    fn scene() -> (StagingQueue, Receiver<Order>, Arc<AtomicUsize>) {
        let (queue, orders) = StagingQueue::new(Path::new("/directory"));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        queue.set_notify(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        (queue, orders, calls)
    }

    fn carry_out(orders: &Receiver<Order>) {
        for order in orders.try_iter() {
            order();
        }
    }

    #[test]
    fn who_finds_no_room_is_called_once_when_an_order_is_done() {
        let (queue, orders, calls) = scene();
        let mut pieces = 0;
        while queue.has_room() == Ok(true) {
            queue.push(256 << 10, || ());
            pieces += 1;
        }
        assert!((2..=16).contains(&pieces), "{pieces} pieces are held");
        carry_out(&orders);
        assert_eq!((calls.load(Ordering::Relaxed), queue.has_room()), (1, Ok(true)));
        queue.push(1, || ());
        carry_out(&orders);
        assert_eq!(calls.load(Ordering::Relaxed), 1, "nobody waits");
        queue.await_next();
        queue.push(1, || ());
        carry_out(&orders);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn orders_that_hold_nothing_are_bounded_too() {
        let (queue, orders, _) = scene();
        while queue.has_room() == Ok(true) {
            queue.push(0, || ());
        }
        assert!(orders.try_iter().count() < 100_000);
    }

    #[test]
    fn a_directory_that_is_too_long_at_one_order_is_silent_until_that_is_done() {
        let (queue, orders, _) = scene();
        let (tell, answer) = mpsc::sync_channel(1);
        queue.push(4 << 20, move || tell.send(Ok(7)).unwrap());
        assert_eq!((queue.check_answers(), queue.has_room()), (Ok(()), Ok(false)), "nothing is under way");
        lock(&queue.state).since = now().checked_sub(SILENT_AFTER);
        let silent = || StoreError::Silent("/directory".into());
        assert_eq!((queue.check_answers(), queue.has_room()), (Err(silent()), Err(silent())));
        assert_eq!(queue.wait_for(&answer), Err(silent()));
        carry_out(&orders);
        assert_eq!((queue.wait_for(&answer), queue.check_answers()), (Ok(7), Ok(())));
        drop(orders);
        queue.push(0, || unreachable!("the thread is gone"));
        assert_eq!(queue.wait_for(&answer), Err(StoreError::Stopped));
    }

    #[test]
    fn a_thread_that_panics_is_noticed_and_takes_no_more_orders() {
        let queue = StagingQueue::start(Path::new("/directory")).unwrap();
        let (sender, calls) = mpsc::channel();
        queue.set_notify(Arc::new(move || sender.send(()).unwrap()));
        queue.push(4 << 20, || panic!("an order panics"));
        let called = calls.recv_timeout(Duration::from_secs(30));
        called.expect("the loop is called");
        assert!(!queue.is_alive());
        assert_eq!((queue.check_answers(), queue.has_room()), (Err(StoreError::Stopped), Err(StoreError::Stopped)));
    }
}
