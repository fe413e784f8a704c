//! Files on their way into a directory whose filesystem may not answer.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use crate::mutex::lock;
use crate::store::fs::error::StoreError;
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::staging_queue::StagingQueue;
use crate::store::fs::temp_file::{ClosedTemp, TempFile};

/// A file in the staging area that the directory's thread makes and writes, after all earlier orders. Dropping it
/// removes the file.
#[derive(Debug)]
pub(super) struct TempBeside {
    dir: Arc<SpoolDir>,
    /// Used by the directory's thread, and locked for as long as its filesystem takes.
    file: Arc<Mutex<Option<TempFile>>>,
    progress: Arc<Mutex<Progress>>,
    size: u64,
}

/// What has become of the file so far.
#[derive(Clone, Debug)]
enum Progress {
    /// It is to be made.
    Opening,
    /// It takes bytes.
    Open,
    Failed(StoreError),
}

impl TempBeside {
    /// Where `check` finds nothing against it.
    pub(super) fn create(dir: &Arc<SpoolDir>, size_hint: u64, check: fn(&SpoolDir) -> Result<(), StoreError>) -> Self {
        Self::begin(dir, 0, move |dir| {
            check(dir)?;
            TempFile::create(Arc::clone(dir), size_hint)
        })
    }

    /// Another file with the bytes that were ordered to be written so far.
    pub(super) fn duplicate(&self) -> Self {
        let (file, progress) = (Arc::clone(&self.file), Arc::clone(&self.progress));
        Self::begin(&self.dir, self.size, move |dir| match (&*lock(&file), lock(&progress).clone()) {
            (_, Progress::Failed(error)) => Err(error),
            (Some(file), _) => {
                let mut copy = TempFile::create(Arc::clone(dir), file.size())?;
                file.read(|bytes| copy.write(bytes))?;
                Ok(copy)
            }
            (None, _) => Err(StoreError::Stopped),
        })
    }

    fn begin(
        dir: &Arc<SpoolDir>,
        size: u64,
        make: impl FnOnce(&Arc<SpoolDir>) -> Result<TempFile, StoreError> + Send + 'static,
    ) -> Self {
        let (file, progress) = (Arc::default(), Arc::new(Mutex::new(Progress::Opening)));
        let this = Self { dir: Arc::clone(dir), file, progress, size };
        this.order(0, {
            let dir = Arc::clone(dir);
            move |file| {
                *file = Some(make(&dir)?);
                Ok(())
            }
        });
        this
    }

    /// Has something done to the file, unless it has failed. If that fails the file is of no more use.
    fn order(&self, bytes: usize, act: impl FnOnce(&mut Option<TempFile>) -> Result<(), StoreError> + Send + 'static) {
        let (file, progress) = (Arc::clone(&self.file), Arc::clone(&self.progress));
        self.queue().push(bytes, move || {
            if let Progress::Failed(_) = *lock(&progress) {
                return;
            }
            let mut file = lock(&file);
            let after = match act(&mut file) {
                Ok(()) => Progress::Open,
                Err(error) => {
                    *file = None;
                    Progress::Failed(error)
                }
            };
            *lock(&progress) = after;
        });
    }

    fn queue(&self) -> &StagingQueue {
        self.dir.staging_queue().expect("a directory without one has files of the other kind")
    }

    fn failure(&self) -> Result<(), StoreError> {
        match &*lock(&self.progress) {
            Progress::Failed(error) => Err(error.clone()),
            Progress::Opening | Progress::Open => Ok(()),
        }
    }

    /// Whether the file is there. If not, the loop is called when it may be.
    pub(super) fn is_open(&self) -> Result<bool, StoreError> {
        self.queue().await_next();
        match &*lock(&self.progress) {
            Progress::Open => Ok(true),
            Progress::Opening => self.queue().check_answers().map(|()| false),
            Progress::Failed(error) => Err(error.clone()),
        }
    }

    /// Whether more bytes are to be written now. If not, the loop is called when they may be.
    pub(super) fn has_room(&self) -> Result<bool, StoreError> {
        self.failure()?;
        self.queue().has_room()
    }

    /// The file's next bytes, to be written. An error is that of an earlier piece.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.failure()?;
        self.size += bytes.len() as u64;
        let bytes = bytes.to_vec();
        self.order(bytes.len(), move |file| match file {
            Some(file) => file.write(&bytes),
            None => Err(StoreError::Stopped),
        });
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The file is whole, once all is written.
    pub(super) fn finish(self) -> Result<ClosedBeside, StoreError> {
        self.failure()?;
        let (tell, answer) = mpsc::sync_channel(1);
        let (file, progress) = (Arc::clone(&self.file), Arc::clone(&self.progress));
        self.queue().push(0, move || {
            let (file, progress) = (lock(&file).take(), lock(&progress).clone());
            let closed = match (file, progress) {
                (_, Progress::Failed(error)) => Err(error),
                (Some(file), _) => file.finish(),
                (None, _) => Err(StoreError::Stopped),
            };
            // Where nobody waits any more, that removes it.
            tell.send(closed).ok();
        });
        Ok(ClosedBeside { dir: Arc::clone(&self.dir), answer })
    }
}

/// A file in the staging area that is whole as soon as the directory's thread has written all of it. Dropping it
/// removes the file.
#[derive(Debug)]
pub(super) struct ClosedBeside {
    pub(super) dir: Arc<SpoolDir>,
    answer: Receiver<Result<ClosedTemp, StoreError>>,
}

impl ClosedBeside {
    /// Waits until the file is whole, unless its filesystem does not answer. For the committer of that filesystem.
    pub(super) fn wait(self) -> Result<ClosedTemp, StoreError> {
        let Self { dir, answer } = self;
        dir.staging_queue().ok_or(StoreError::Stopped)?.wait_for(&answer)
    }
}
