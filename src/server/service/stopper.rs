//! Stopping a server from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops a [`Service`](super::Service), from any thread. Clones stop the same one.
#[derive(Clone, Debug)]
pub struct StopHandle {
    used: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
}

impl StopHandle {
    pub(super) fn new(waker: Arc<mio::Waker>) -> Self {
        Self { used: Arc::default(), waker }
    }

    /// The server is to stop; it does once what is under way has ended.
    pub fn stop(&self) {
        self.used.store(true, Ordering::Release);
        // The waker fails only with the loop gone, and then there is nothing to stop.
        self.waker.wake().ok();
    }

    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }
}
