//! Files that must not overtake each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::StoreError;

/// Files of which none may be published ahead of one that was queued before it. Once one of them cannot be published, the
/// later ones are not either ([`StoreError::HeldBack`]): whoever queued them hears of both, and begins a new chain with
/// the first. Clones are the same chain.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    broken: Arc<AtomicBool>,
}

impl Chain {
    /// Whether one of its files could not be published.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether no file that is queued belongs to it.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.broken) == 1
    }

    pub(super) fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Takes a step towards the publication of the next file, if none before it has failed.
    pub(super) fn advance<T>(&self, step: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.is_broken() {
            return Err(StoreError::HeldBack);
        }
        step().inspect_err(|_| self.break_off())
    }
}
