//! Where files land.

use std::path::Path;
use std::sync::Arc;

use super::area::Area;
use super::error::StoreError;
use super::mark::mark_name;
use super::setup::{FILE_MODE, Staging};
use super::sink::SinkKind;
use super::stage::Stage;

/// One incoming directory, shared by all sites whose files land there. Clones are the same spool.
///
/// Open a directory once and keep the value: what is staged through it stays untouched when a
/// [`Committer`](super::Committer) is stopped and another one started.
#[derive(Clone, Debug)]
pub struct Spool {
    area: Arc<Area>,
    sink: SinkKind,
}

impl Spool {
    /// Opens `incoming`, which must exist, and the staging area inside it, which is made if need be.
    ///
    /// # Errors
    /// Whatever would keep files from being stored there: no directory, no right to write, a read-only or full disk.
    pub fn open(incoming: &Path) -> Result<Self, StoreError> {
        let area = Area::open(incoming, FILE_MODE, Staging::Collector)?;
        area.warn_of_lacks(&[]);
        Ok(Self { area: Arc::new(area), sink: SinkKind::default() })
    }

    /// The same spool, with files written in another way from now on.
    #[must_use]
    pub fn with_sink(self, sink: SinkKind) -> Self {
        Self { sink, ..self }
    }

    /// The incoming directory, as an absolute path without links.
    pub fn incoming(&self) -> &Path {
        self.area.path()
    }

    /// A new, empty file in the staging area. `size_hint` is how large it is expected to become, in bytes; being wrong
    /// costs time at most.
    ///
    /// # Errors
    /// [`StoreError::Displaced`] if another directory has its path by now: nobody would find what is published in this
    /// one. Whatever else the disk comes up with.
    pub fn stage(&self, size_hint: u64) -> Result<Stage, StoreError> {
        self.area.check_place()?;
        Stage::create(self.area.clone(), self.sink, size_hint)
    }

    /// What a listing of the incoming directory has, and that of no other.
    pub(crate) fn mark(&self) -> String {
        mark_name(self.area.id)
    }

    pub(super) fn area(&self) -> &Arc<Area> {
        &self.area
    }
}
