//! The account of what the storage holds, in terms of its directories.

use std::sync::Arc;
use std::time::Instant;

use super::storage_dir::StorageDir;
use crate::store::fs::error::StoreError;
use crate::store::fs::space::{Full, Quota, Reservation, SpaceAccount};

impl SpaceAccount {
    /// Counts what is in `storage` and below, if the quota has limits that need it.
    pub fn open(storage: &StorageDir, quota: Quota) -> Result<Self, StoreError> {
        Self::of(Arc::clone(storage.dir()), quota)
    }

    /// The storage directory has been opened anew: what is in there is counted from the next
    /// [`recount`](SpaceAccount::recount) on.
    pub fn set_storage(&self, storage: &StorageDir) {
        self.set_dir(Arc::clone(storage.dir()));
    }

    /// Lets in a file that is to have `size` bytes and goes to `dir`, in place of one of `replaced` bytes if there is
    /// one; an error is the limit in its way. This takes no space from others: the file counts as it
    /// [comes](Reservation::resize), and may find no room after all.
    ///
    /// Where the file to be replaced is removed meanwhile, so much more than the quota can come to be stored.
    pub fn admit(&self, dir: &StorageDir, size: u64, replaced: Option<u64>, now: Instant) -> Result<Reservation, Full> {
        self.reserve(dir.dir(), size, replaced, now)
    }
}
