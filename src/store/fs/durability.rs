//! When a file counts as safe.

use super::error::StoreError;

/// When a file counts as safe, so that the site's copy may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Its bytes and its name have been flushed to the disk.
    #[default]
    Fsync,
    /// The kernel has it: survives us, not the machine.
    None,
}

impl Durability {
    /// Flushes something, where that is asked for.
    pub(in crate::store) fn flush(self, flush: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        match self {
            Self::Fsync => flush(),
            Self::None => Ok(()),
        }
    }
}
