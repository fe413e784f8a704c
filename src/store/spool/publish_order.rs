//! Files that must not overtake each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Files of which none may be committed ahead of one that was queued before it. Once one of them cannot be committed,
/// the later ones are not either ([`StoreError::Blocked`](crate::store::StoreError::Blocked)): whoever queued them gets
/// both errors, and begins a new chain with the first. Clones are the same chain.
#[derive(Clone, Debug, Default)]
pub struct PublishOrder {
    broken: Arc<AtomicBool>,
}

impl PublishOrder {
    /// Whether one of its files could not be committed.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether no file that is queued belongs to it.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.broken) == 1
    }

    pub(super) fn mark_broken(&self) {
        self.broken.store(true, Ordering::Release);
    }
}
