//! The steps that keeping files takes on disk, without a journal: as a trait, so that
//! [`store_group`](super::store_group) can be run on a model of a disk; and as the real thing.

use std::sync::Arc;

use super::store_group::Change;
use crate::proto::FileName;
use crate::store::fs::durability::Durability;
use crate::store::fs::error::StoreError;
use crate::store::fs::flush::{flush_threads, sync_staged_files};
use crate::store::fs::ids::StageId;
use crate::store::fs::on_conflict::OnConflict;
use crate::store::fs::source::Identity;
use crate::store::fs::spool_dir::SpoolDir;
use crate::thread_pool::ThreadPool;

/// What happens to a disk. Every method is one step; a crash comes between two of them, or within one.
pub(in crate::store) trait StorageDisk {
    /// A handle of a directory.
    type Dir;
    /// Which file it is.
    type Identity;

    /// The filesystem the directory is on.
    fn filesystem(&self, dir: &Self::Dir) -> u64;
    /// Which directory it is, however many handles there are of it.
    fn directory(&self, dir: &Self::Dir) -> (u64, u64);
    /// Makes the bytes of staged files durable. All are on one filesystem.
    fn sync_staged(&mut self, files: &[(&Self::Dir, StageId)]) -> Result<(), StoreError>;
    /// Makes the names in the directory durable.
    fn sync_names(&mut self, dir: &Self::Dir) -> Result<(), StoreError>;
    /// Moves a staged file to its name. After a crash it has happened or not.
    fn rename_into(
        &mut self,
        dir: &Self::Dir,
        stage: StageId,
        name: &FileName,
        on_conflict: OnConflict,
    ) -> Result<Change, StoreError>;
    /// Whether the file of this name has this identity.
    fn is_still(&self, dir: &Self::Dir, name: &FileName, identity: &Self::Identity) -> Result<bool, StoreError>;
    /// Removes the file of this name if it still has this identity.
    fn remove(&mut self, dir: &Self::Dir, name: &FileName, identity: &Self::Identity) -> Result<Change, StoreError>;
    /// Removes a staged file.
    fn discard(&mut self, dir: &Self::Dir, stage: StageId) -> Result<(), StoreError>;
}

/// The disk itself.
#[derive(Debug)]
pub(in crate::store) struct RealStorageDisk {
    durability: Durability,
    flush_threads: ThreadPool,
}

impl RealStorageDisk {
    pub(in crate::store) fn new(durability: Durability) -> Self {
        Self { durability, flush_threads: flush_threads() }
    }
}

impl StorageDisk for RealStorageDisk {
    type Dir = Arc<SpoolDir>;
    type Identity = Identity;

    fn filesystem(&self, dir: &Arc<SpoolDir>) -> u64 {
        dir.device()
    }

    fn directory(&self, dir: &Arc<SpoolDir>) -> (u64, u64) {
        dir.directory()
    }

    fn sync_staged(&mut self, files: &[(&Arc<SpoolDir>, StageId)]) -> Result<(), StoreError> {
        self.durability.flush(|| sync_staged_files(files, &self.flush_threads).map(drop))
    }

    fn sync_names(&mut self, dir: &Arc<SpoolDir>) -> Result<(), StoreError> {
        self.durability.flush(|| dir.sync_names())
    }

    fn rename_into(
        &mut self,
        dir: &Arc<SpoolDir>,
        stage: StageId,
        name: &FileName,
        on_conflict: OnConflict,
    ) -> Result<Change, StoreError> {
        match on_conflict {
            OnConflict::Refuse if dir.rename_into(stage, name)? => Ok(Change::Added),
            OnConflict::Refuse => Err(StoreError::Exists(dir.published_path(name))),
            OnConflict::Replace => Ok(dir.replace(stage, name)?.map_or(Change::Added, Change::Replaced)),
        }
    }

    fn is_still(&self, dir: &Arc<SpoolDir>, name: &FileName, identity: &Identity) -> Result<bool, StoreError> {
        Ok(dir.look(name)? == Some(*identity))
    }

    fn remove(&mut self, dir: &Arc<SpoolDir>, name: &FileName, identity: &Identity) -> Result<Change, StoreError> {
        Ok(if dir.remove(name, identity)? { Change::Removed(identity.size) } else { Change::Nothing })
    }

    fn discard(&mut self, dir: &Arc<SpoolDir>, stage: StageId) -> Result<(), StoreError> {
        dir.discard(stage)
    }
}
