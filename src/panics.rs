//! Panics on threads that nobody joins. What a thread does then, its owner decides: whoever waits for one that is gone
//! would wait for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Work has panicked. Its message is on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread has panicked")]
pub(crate) struct Panicked;

/// Does `work`; a panic becomes an error. What `work` shares is behind locks under which each change is whole: see
/// [`lock`](crate::mutex::lock).
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}
