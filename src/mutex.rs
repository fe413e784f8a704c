//! Locks of what is whole whenever they are free.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, also after a panic under the lock: whoever uses this sees to it that each change is whole before the lock is
/// free, so that a panic leaves nothing half done.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
