//! Files on their way in whose bytes are measured, so that copies can be compared later.

use std::sync::Arc;

use super::answering::Wait;
use super::error::StoreError;
use super::journal::StageId;
use super::sink::SinkKind;
use super::spool_dir::SpoolDir;
use super::temp_file::{ClosedTemp, TempFile};
use crate::proto::{Fingerprint, Fingerprinter};

/// A file in the staging area that is being written. Dropping it removes the file.
#[derive(Debug)]
pub struct HashedTemp {
    draft: TempFile,
    running: Fingerprinter,
}

impl HashedTemp {
    pub(super) fn create(area: Arc<SpoolDir>, kind: SinkKind, wait: Wait, size_hint: u64) -> Result<Self, StoreError> {
        #[cfg(test)]
        super::model::staging_step()?;
        Ok(Self { draft: TempFile::create_within(area, kind, wait, size_hint)?, running: Fingerprinter::default() })
    }

    /// The file's next bytes. After an error the file is of no use: drop it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        #[cfg(test)]
        super::model::staging_step()?;
        self.draft.write(bytes)?;
        self.running.update(bytes);
        Ok(())
    }

    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.draft.size()
    }

    /// Another file with the bytes that were written so far.
    pub fn duplicate(&self) -> Result<Self, StoreError> {
        let mut copy = Self::create(Arc::clone(self.draft.area()), SinkKind::default(), Wait::OnlyCopy, self.size())?;
        self.draft.read(|bytes| copy.write(bytes))?;
        Ok(copy)
    }

    /// From now on the disk is waited for longer: there is no other copy of these bytes.
    pub fn is_only_copy(&mut self) {
        self.draft.is_only_copy();
    }

    /// The file is whole.
    pub fn finish(self) -> Result<ClosedHashedTemp, StoreError> {
        #[cfg(test)]
        super::model::staging_step()?;
        Ok(ClosedHashedTemp { written: self.draft.finish()?, fingerprint: self.running.finish() })
    }
}

/// A whole file in the staging area, closed, not durable yet. Dropping it removes the file.
#[derive(Debug)]
pub struct ClosedHashedTemp {
    written: ClosedTemp,
    fingerprint: Fingerprint,
}

impl ClosedHashedTemp {
    /// What was written.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn area(&self) -> &Arc<SpoolDir> {
        self.written.area()
    }

    /// Hands the file over: it is no longer removed with this value.
    pub(super) fn hand_over(self) -> (Arc<SpoolDir>, StageId) {
        self.written.hand_over()
    }
}
