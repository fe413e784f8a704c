//! Files that are being moved: each goes to one client at a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::mutex::lock;
use crate::store::Identity;

/// The files that clients are being moved. Clones are the same set.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<HashSet<Identity>>>);

/// One client's hold on a file; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    file: Identity,
}

impl Claims {
    /// Takes the file, unless another client has it.
    pub(super) fn take(&self, file: Identity) -> Option<Claim> {
        self.locked().insert(file).then(|| Claim { claims: self.clone(), file })
    }

    /// Whether a client has it.
    pub(super) fn is_taken(&self, file: &Identity) -> bool {
        self.locked().contains(file)
    }

    /// Each change is whole before the lock is free.
    fn locked(&self) -> MutexGuard<'_, HashSet<Identity>> {
        lock(&self.0)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.locked().remove(&self.file);
    }
}
