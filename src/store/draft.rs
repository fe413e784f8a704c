//! Files on their way in.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::area::Area;
use super::error::StoreError;
use super::journal::StageId;
use super::room::{Full, Reservation};
use super::sink::{Sink, SinkKind};

/// A file in the staging area that is being written. Dropping it removes the file.
#[derive(Debug)]
pub struct Draft {
    file: Guard,
    sink: Sink,
    size: u64,
}

impl Draft {
    pub(super) fn create(area: Arc<Area>, kind: SinkKind, size_hint: u64) -> Result<Self, StoreError> {
        #[cfg(test)]
        super::model::drafting_step()?;
        let (stage, file) = area.create()?;
        let path = area.staged_path(stage);
        let guard = Guard { area, stage, ours: true, reservation: None };
        let sink = Sink::new(kind, file, size_hint).map_err(StoreError::std("reserve room for", &path))?;
        Ok(Self { file: guard, sink, size: 0 })
    }

    /// Lets the room for the file go along with it: it is given back if the file is dropped, and used if the
    /// [`Keeper`](super::Keeper) stores it.
    #[must_use]
    pub fn with_reservation(mut self, reservation: Reservation) -> Self {
        self.file.reservation = Some(reservation);
        self
    }

    /// Makes sure of the room for as many bytes more, where room is kept account of.
    ///
    /// # Errors
    /// There is none: drop the file.
    pub fn make_room(&mut self, more: u64) -> Result<(), Full> {
        let size = self.size.saturating_add(more);
        self.file.reservation.as_mut().map_or(Ok(()), |reservation| reservation.resize(size))
    }

    /// Makes sure of the room for one file more, now that all bytes are written.
    ///
    /// # Errors
    /// There is none: drop the file.
    pub fn complete(&mut self) -> Result<(), Full> {
        self.file.reservation.as_mut().map_or(Ok(()), Reservation::complete)
    }

    /// The file's next bytes. After an error the file is of no use: drop it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        #[cfg(test)]
        super::model::drafting_step()?;
        self.sink.write(bytes).map_err(|error| self.file.failed("write", error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Opens what was written so far to be read.
    pub(super) fn open(&self) -> Result<File, StoreError> {
        self.file.area.open_staged(self.file.stage)
    }

    pub(super) fn area(&self) -> &Arc<Area> {
        &self.file.area
    }

    /// The file is whole.
    pub fn finish(self) -> Result<Written, StoreError> {
        #[cfg(test)]
        super::model::drafting_step()?;
        let Self { file, sink, size } = self;
        sink.close().map_err(|error| file.failed("close", error))?;
        Ok(Written { file, size })
    }
}

/// A whole file in the staging area, closed, not durable yet. Dropping it removes the file.
#[derive(Debug)]
pub struct Written {
    file: Guard,
    size: u64,
}

impl Written {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Opens the file to be read.
    pub(super) fn open(&self) -> Result<File, StoreError> {
        self.file.area.open_staged(self.file.stage)
    }

    /// Where the file is, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.file.area.staged_path(self.file.stage)
    }

    pub(super) fn area(&self) -> &Arc<Area> {
        &self.file.area
    }

    /// Takes the room that was set aside for the file.
    pub(super) fn take_reservation(&mut self) -> Option<Reservation> {
        self.file.reservation.take()
    }

    /// Hands the file over: it is no longer removed with this value.
    pub(super) fn hand_over(self) -> (Arc<Area>, StageId) {
        self.file.release()
    }
}

/// Removes its staged file when dropped.
#[derive(Debug)]
struct Guard {
    area: Arc<Area>,
    stage: StageId,
    /// Until it is handed over.
    ours: bool,
    reservation: Option<Reservation>,
}

impl Guard {
    fn failed(&self, action: &'static str, error: std::io::Error) -> StoreError {
        StoreError::std(action, &self.area.staged_path(self.stage))(error)
    }

    fn release(mut self) -> (Arc<Area>, StageId) {
        self.ours = false;
        (self.area.clone(), self.stage)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.ours {
            // What stays is swept at the next start.
            self.area.discard(self.stage).ok();
        }
    }
}
