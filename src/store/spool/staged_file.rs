//! The steps in which a collected file is staged, on whichever thread. A simulation may let each of them fail.

use std::sync::Arc;

use crate::store::fs::error::StoreError;
use crate::store::fs::sink::SinkKind;
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::temp_file::{ClosedTemp, TempFile};

/// An empty file in the staging area, where that is still the one that has its path.
pub(super) fn create(dir: Arc<SpoolDir>, kind: SinkKind, size_hint: u64) -> Result<TempFile, StoreError> {
    dir.check_place()?;
    #[cfg(test)]
    crate::store::model::staging_step()?;
    TempFile::create(dir, kind, size_hint)
}

/// Its next bytes.
pub(super) fn write(file: &mut TempFile, bytes: &[u8]) -> Result<(), StoreError> {
    #[cfg(test)]
    crate::store::model::staging_step()?;
    file.write(bytes)
}

/// The file is whole.
pub(super) fn finish(file: TempFile) -> Result<ClosedTemp, StoreError> {
    #[cfg(test)]
    crate::store::model::staging_step()?;
    file.finish()
}
