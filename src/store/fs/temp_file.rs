//! Files on their way in.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::error::StoreError;
use super::ids::StageId;
use super::sink::Sink;
use super::space::{Full, Reservation};
use super::spool_dir::SpoolDir;

/// A file in the staging area that is being written. Dropping it removes the file.
#[derive(Debug)]
pub struct TempFile {
    writing: Writing,
    file: Guard,
    size: u64,
}

/// What the bytes go through; closed where that may take its time.
#[derive(Debug)]
struct Writing {
    dir: Arc<SpoolDir>,
    /// `None` once it has failed.
    sink: Option<Box<dyn Sink>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let sink = self.sink.take();
        self.dir.tell(move |_| drop(sink));
    }
}

impl TempFile {
    pub(in crate::store) fn create(dir: Arc<SpoolDir>, size_hint: u64) -> Result<Self, StoreError> {
        let (stage, file) = dir.create()?;
        let guard = Guard { dir: Arc::clone(&dir), stage, ours: true, reservation: None };
        let sink = dir.sinks().open(file, size_hint).map_err(failed(&dir, stage, "reserve room for"))?;
        Ok(Self { writing: Writing { dir, sink: Some(sink) }, file: guard, size: 0 })
    }

    /// Lets the room for the file go along with it: it is given back if the file is dropped, and used if the
    /// [`StoreWorker`](crate::store::StoreWorker) stores it.
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
        let Guard { dir, stage, .. } = &self.file;
        let Some(mut sink) = self.writing.sink.take() else {
            return Err(failed(dir, *stage, "write")(io::ErrorKind::BrokenPipe.into()));
        };
        sink.write(bytes).map_err(failed(dir, *stage, "write"))?;
        self.writing.sink = Some(sink);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Hands what was written so far to `take`, piece by piece.
    pub(in crate::store) fn read(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Guard { dir, stage, .. } = &self.file;
        let (mut file, mut left) = (dir.open_staged(*stage)?, self.size);
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = file.read(&mut buffer[..most]).map_err(failed(dir, *stage, "read"))?;
            if count == 0 {
                break;
            }
            take(&buffer[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    pub(in crate::store) fn dir(&self) -> &Arc<SpoolDir> {
        &self.file.dir
    }

    /// The file is whole.
    pub fn finish(self) -> Result<ClosedTemp, StoreError> {
        let Self { mut writing, file, size } = self;
        let stage = file.stage;
        let Some(sink) = writing.sink.take() else {
            return Err(failed(&file.dir, stage, "close")(io::ErrorKind::BrokenPipe.into()));
        };
        sink.close().map_err(failed(&file.dir, stage, "close"))?;
        Ok(ClosedTemp { file, size })
    }
}

/// A whole file in the staging area, closed, not durable yet. Dropping it removes the file.
#[derive(Debug)]
pub struct ClosedTemp {
    file: Guard,
    size: u64,
}

impl ClosedTemp {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Opens the file to be read.
    pub(in crate::store) fn open(&self) -> Result<File, StoreError> {
        self.file.dir.open_staged(self.file.stage)
    }

    /// Where the file is, for messages.
    pub(in crate::store) fn path(&self) -> PathBuf {
        self.file.dir.staged_path(self.file.stage)
    }

    pub(in crate::store) fn dir(&self) -> &Arc<SpoolDir> {
        &self.file.dir
    }

    /// Takes the room that was set aside for the file.
    pub(in crate::store) fn take_reservation(&mut self) -> Option<Reservation> {
        self.file.reservation.take()
    }

    /// Hands the file over: it is no longer removed with this value.
    pub(in crate::store) fn hand_over(self) -> (Arc<SpoolDir>, StageId) {
        self.file.release()
    }
}

/// The error of a staged file, whose path is made for that alone.
fn failed(dir: &SpoolDir, stage: StageId, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::std(action, &dir.staged_path(stage))(error)
}

/// Removes its staged file when dropped.
#[derive(Debug)]
struct Guard {
    dir: Arc<SpoolDir>,
    stage: StageId,
    /// Until it is handed over.
    ours: bool,
    reservation: Option<Reservation>,
}

impl Guard {
    fn release(mut self) -> (Arc<SpoolDir>, StageId) {
        self.ours = false;
        (self.dir.clone(), self.stage)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.ours {
            // What stays is swept at the next start.
            let stage = self.stage;
            self.dir.tell(move |dir| drop(dir.discard(stage)));
        }
    }
}
