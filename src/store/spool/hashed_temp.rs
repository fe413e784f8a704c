//! Files on their way in whose bytes are measured, so that copies can be compared later.

use std::sync::Arc;

use super::temp_beside::{ClosedBeside, TempBeside};
use crate::proto::{Fingerprint, Fingerprinter, Md5Hasher, Md5Sum};
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::StageId;
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::temp_file::{ClosedTemp, TempFile};

/// A file in the staging area that is being written. Dropping it removes the file.
///
/// Where its filesystem may stop answering, no call here waits for that: orders are carried out later, and their errors
/// show with a later call, or when the file is committed.
#[derive(Debug)]
pub struct HashedTemp {
    file: Open,
    running: Fingerprinter,
    /// For a comparison with a copy of which no other hash is known.
    md5: Option<Md5Hasher>,
}

#[derive(Debug)]
enum Open {
    Here(TempFile),
    Beside(TempBeside),
}

impl HashedTemp {
    /// A file of which there is another copy: [committing](crate::store::Committer) it finds out whether the directory is in
    /// its place.
    pub(in crate::store) fn create(dir: Arc<SpoolDir>, size_hint: u64) -> Result<Self, StoreError> {
        Self::create_if(dir, size_hint, |_| Ok(()))
    }

    /// A file of which there may be no other copy: not where the directory is not in its place.
    pub(in crate::store) fn create_in_place(dir: Arc<SpoolDir>, size_hint: u64) -> Result<Self, StoreError> {
        Self::create_if(dir, size_hint, SpoolDir::check_place)
    }

    fn create_if(
        dir: Arc<SpoolDir>,
        size_hint: u64,
        check: fn(&SpoolDir) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let file = if dir.staging_queue().is_some() {
            Open::Beside(TempBeside::create(&dir, size_hint, check))
        } else {
            check(&dir)?;
            Open::Here(TempFile::create(dir, size_hint)?)
        };
        Ok(Self { file, running: Fingerprinter::default(), md5: None })
    }

    /// What is to be written is measured by MD5 as well.
    pub fn measure_md5(&mut self) {
        self.md5 = Some(Md5Hasher::default());
    }

    /// Whether the file is there; if not, the committer's `notify` is called when it may be. It takes bytes before as well.
    pub fn is_open(&self) -> Result<bool, StoreError> {
        match &self.file {
            Open::Here(_) => Ok(true),
            Open::Beside(file) => file.is_open(),
        }
    }

    /// Whether bytes are to be written now; if not, the committer's `notify` is called when they may be. They are taken all
    /// the same, and then held in memory.
    pub fn has_room(&self) -> Result<bool, StoreError> {
        match &self.file {
            Open::Here(_) => Ok(true),
            Open::Beside(file) => file.has_room(),
        }
    }

    /// The file's next bytes. After an error the file is of no use: drop it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match &mut self.file {
            Open::Here(file) => file.write(bytes)?,
            Open::Beside(file) => file.write(bytes)?,
        }
        self.running.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        Ok(())
    }

    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        match &self.file {
            Open::Here(file) => file.size(),
            Open::Beside(file) => file.size(),
        }
    }

    /// Another file with the bytes that were written so far.
    pub fn duplicate(&self) -> Result<Self, StoreError> {
        match &self.file {
            Open::Here(file) => {
                let mut copy = Self::create(Arc::clone(file.dir()), self.size())?;
                file.read(|bytes| copy.write(bytes))?;
                Ok(copy)
            }
            Open::Beside(file) => {
                let (running, md5) = (self.running.clone(), self.md5.clone());
                Ok(Self { file: Open::Beside(file.duplicate()), running, md5 })
            }
        }
    }

    /// The file is whole.
    pub fn finish(self) -> Result<ClosedHashedTemp, StoreError> {
        let written = match self.file {
            Open::Here(file) => Closed::Here(file.finish()?),
            Open::Beside(file) => Closed::Beside(file.finish()?),
        };
        Ok(ClosedHashedTemp { written, fingerprint: self.running.finish(), md5: self.md5.map(Md5Hasher::finish) })
    }
}

/// A whole file in the staging area, closed, not durable yet. Dropping it removes the file.
#[derive(Debug)]
pub struct ClosedHashedTemp {
    written: Closed,
    fingerprint: Fingerprint,
    md5: Option<Md5Sum>,
}

#[derive(Debug)]
enum Closed {
    Here(ClosedTemp),
    Beside(ClosedBeside),
}

impl ClosedHashedTemp {
    /// What was written.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether what was written is what `known` is of; by its MD5, if [that was measured](HashedTemp::measure_md5), where
    /// nothing else is known.
    pub fn is(&self, known: Fingerprint) -> bool {
        self.fingerprint == known || (self.md5.is_some() && self.md5 == known.md5())
    }

    pub(in crate::store) fn dir(&self) -> &Arc<SpoolDir> {
        match &self.written {
            Closed::Here(file) => file.dir(),
            Closed::Beside(file) => &file.dir,
        }
    }

    /// Hands the file over, as soon as it is closed: it is no longer removed with this value. An error if it could not be
    /// written, or its filesystem does not answer.
    pub(in crate::store) fn hand_over(self) -> Result<(Arc<SpoolDir>, StageId), StoreError> {
        match self.written {
            Closed::Here(file) => Ok(file.hand_over()),
            Closed::Beside(file) => Ok(file.wait()?.hand_over()),
        }
    }
}
