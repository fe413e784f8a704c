//! An incoming directory and its staging area, held open: which they are, whether they are in their places, and who works
//! there. What is done to their files is in `files`.

mod files;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::fs::Mode;

use super::answering::{Answering, Wait};
use super::error::StoreError;
use super::ids::SpoolId;
use super::lacks::{self, Examined, Lack, Rights};
use super::lock::lock;
use super::mark::leave_mark;
use super::open::{self, FileId};
use super::setup::{self, Staging};
use super::sink::{OpenSink, SinkKind};
#[cfg(test)]
use super::staging_queue::Deferred;
use super::staging_queue::StagingQueue;
use crate::proto::quoted;

/// Who works on a directory whose filesystem may not answer while others are to go on.
#[derive(Debug)]
struct Beside {
    staging: StagingQueue,
    /// By the committer of that filesystem.
    asked: Answering,
}

/// Directories held open, so that every step works on the directories that were checked.
#[derive(Debug)]
pub(in crate::store) struct SpoolDir {
    pub(in crate::store) id: SpoolId,
    path: PathBuf,
    kind: Staging,
    staging_path: PathBuf,
    incoming: Arc<OwnedFd>,
    staging: OwnedFd,
    beside: Option<Beside>,
    /// The storage directory that it is in, and where in there.
    within: Option<(Arc<OwnedFd>, PathBuf)>,
    incoming_id: FileId,
    staging_id: FileId,
    /// The permissions of new files.
    mode: Mode,
    /// What the filesystem lacks, and how files get their rights. Nothing, and the safe way, where files cannot even be made
    /// just now: the reason is reported when one is to be stored.
    lacks: Vec<Lack>,
    rights: Rights,
    sinks: Arc<dyn OpenSink>,
    /// Distinguishes this value's files from those that others have left.
    session: u64,
    next: AtomicU64,
}

impl SpoolDir {
    /// Opens a directory whose files get the permissions `mode`.
    pub(in crate::store) fn open(incoming: &Path, mode: Mode, kind: Staging) -> Result<Self, StoreError> {
        let path = incoming.canonicalize().map_err(StoreError::std("open the directory", incoming))?;
        let incoming = setup::open_incoming(&path)?;
        Self::of(path, incoming, mode, kind, None)
    }

    /// Opens a directory inside this one, by names alone: whatever becomes of it meanwhile, it is one inside.
    pub(in crate::store) fn open_inside(&self, relative: &Path, mode: Mode) -> Result<Self, StoreError> {
        let path = self.path.join(relative);
        let inside = open::directory(&*self.incoming, relative).map_err(StoreError::io("open the directory", &path))?;
        setup::check_writable(&inside, &path)?;
        let within = Some((Arc::clone(&self.incoming), relative.to_owned()));
        Ok(Self::of(path, inside, mode, self.kind, within)?.writing_through(Arc::clone(&self.sinks)))
    }

    /// New files are written through these from now on.
    pub(in crate::store) fn writing_through(self, sinks: Arc<dyn OpenSink>) -> Self {
        Self { sinks, ..self }
    }

    /// What new files are written through.
    pub(in crate::store) fn sinks(&self) -> &dyn OpenSink {
        &*self.sinks
    }

    fn of(
        path: PathBuf,
        incoming: OwnedFd,
        mode: Mode,
        kind: Staging,
        within: Option<(Arc<OwnedFd>, PathBuf)>,
    ) -> Result<Self, StoreError> {
        let staging_path = path.join(kind.name());
        let staging = setup::open_staging(&incoming, &path, kind)?;
        let id = match kind {
            Staging::Collector => setup::open_id(&staging, &staging_path)?,
            // Without a journal its identity has no use.
            Staging::Server => SpoolId::random(),
        };
        let incoming_id = FileId::of(&incoming).map_err(StoreError::io("look at the directory", &path))?;
        let staging_id = FileId::of(&staging).map_err(StoreError::io("look at the directory", &staging_path))?;
        let (session, next) = (setup::random(), AtomicU64::new(0));
        let Examined { lacks, rights } = lacks::examine(&staging, &staging_path, mode).unwrap_or_default();
        let incoming = Arc::new(incoming);
        let spool_dir = Self {
            id,
            path,
            kind,
            staging_path,
            incoming,
            staging,
            beside: None,
            within,
            incoming_id,
            staging_id,
            mode,
            lacks,
            rights,
            sinks: Arc::new(SinkKind::default()),
            session,
            next,
        };
        if kind == Staging::Collector
            && let Err(error) = spool_dir.leave_mark()
        {
            log::warn!("{error}: a site that serves this very directory, by a wrong address, would not be recognised");
        }
        Ok(spool_dir)
    }

    /// Makes the mark by which a site is known that serves this very directory, if it is not there.
    pub(in crate::store) fn leave_mark(&self) -> Result<(), StoreError> {
        leave_mark(&self.incoming, &self.path, self.id)
    }

    /// Opens an incoming directory again, if the staging area `id` is still in it; makes nothing.
    pub(in crate::store) fn reopen(incoming: &Path, id: SpoolId) -> Result<Option<Self>, StoreError> {
        let kind = Staging::Collector;
        let found = setup::known_id(&incoming.join(kind.name()))?;
        if found != Some(id) {
            return Ok(None);
        }
        Self::open(incoming, setup::FILE_MODE, kind)
            .map(|spool_dir| Some(spool_dir).filter(|spool_dir| spool_dir.id == id))
    }

    /// From now on nobody waits for this directory's filesystem longer than need be, unless that is the one given: where
    /// the journal is, nothing can be done without it.
    pub(in crate::store) fn answering_beside(mut self, device: Option<u64>) -> Result<Self, StoreError> {
        if device != Some(self.incoming_id.device) {
            self.beside =
                Some(Beside { staging: StagingQueue::start(&self.path)?, asked: Answering::start(&self.path)? });
        }
        Ok(self)
    }

    /// From now on, files are staged in it when a simulation orders it.
    #[cfg(test)]
    pub(in crate::store) fn deferred(mut self) -> Result<(Self, Deferred), StoreError> {
        let (staging, deferred) = StagingQueue::deferred(&self.path);
        self.beside = Some(Beside { staging, asked: Answering::start(&self.path)? });
        Ok((self, deferred))
    }

    /// Does something here, and waits for it so long at most.
    pub(in crate::store) fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        wait: Wait,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(beside) = &self.beside else { return work(self) };
        let spool_dir = Arc::clone(self);
        beside.asked.ask(wait, move || work(&spool_dir))
    }

    /// Does something here that nobody waits for.
    pub(in crate::store) fn tell(self: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) {
        let Some(queue) = self.staging_queue() else { return work(self) };
        let spool_dir = Arc::clone(self);
        queue.push(0, move || work(&spool_dir));
    }

    /// The number of its filesystem, if others than those of this one are to go on where it does not answer.
    pub(in crate::store) fn filesystem_beside(&self) -> Option<u64> {
        self.beside.as_ref().map(|_| self.incoming_id.device)
    }

    /// What is to be staged in it, if the loop must not wait for its filesystem.
    pub(in crate::store) fn staging_queue(&self) -> Option<&StagingQueue> {
        self.beside.as_ref().map(|beside| &beside.staging)
    }

    /// Whether files can still be staged here: no thread that does that has panicked.
    pub(in crate::store) fn can_stage(&self) -> bool {
        self.staging_queue().is_none_or(StagingQueue::is_alive)
    }

    /// An error if its filesystem does not answer.
    pub(in crate::store) fn check_answers(&self) -> Result<(), StoreError> {
        let Some(Beside { staging, asked }) = &self.beside else { return Ok(()) };
        if asked.is_silent() { Err(StoreError::Silent(self.path.clone())) } else { staging.check_answers() }
    }

    /// The incoming directory.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Warns of what the filesystem lacks, but for what it is `known` to.
    pub(in crate::store) fn warn_of_lacks(&self, known: &[Lack]) {
        for lack in self.lacks.iter().filter(|lack| !known.contains(lack)) {
            log::warn!("{}: {lack}", quoted(&self.path));
        }
    }

    pub(in crate::store) fn lacks(&self) -> &[Lack] {
        &self.lacks
    }

    /// The number of the filesystem.
    pub(in crate::store) fn device(&self) -> u64 {
        self.incoming_id.device
    }

    /// Which directory this is, by whatever path it was opened: its filesystem and its inode.
    pub(in crate::store) fn directory(&self) -> (u64, u64) {
        (self.incoming_id.device, self.incoming_id.inode)
    }

    /// Whether the paths still lead to the directories that are held open.
    pub(in crate::store) fn is_in_place(&self) -> bool {
        let incoming = match &self.within {
            None => FileId::behind(&self.path),
            // Not if it was moved out, and a link leads there.
            Some((storage, relative)) => open::directory(&**storage, relative).and_then(FileId::of).ok(),
        };
        incoming == Some(self.incoming_id) && FileId::at(&*self.incoming, self.kind.name()) == Some(self.staging_id)
    }

    /// An error if another directory has the path by now: nobody would find what is put into this one.
    pub(in crate::store) fn check_place(&self) -> Result<(), StoreError> {
        if self.is_in_place() { Ok(()) } else { Err(StoreError::Displaced(self.path.clone())) }
    }

    /// The incoming directory itself.
    pub(in crate::store) fn incoming(&self) -> &OwnedFd {
        &self.incoming
    }

    /// The journal that was the last to record this staging area, by its path; `None` if no journal ever did.
    pub(in crate::store) fn last_journal(&self) -> Result<Option<PathBuf>, StoreError> {
        setup::read_last_journal(&self.staging, &self.staging_path)
    }

    /// Records the journal that has this staging area from now on.
    pub(in crate::store) fn set_last_journal(&self, journal: &Path) -> Result<(), StoreError> {
        setup::write_last_journal(&self.staging, &self.staging_path, journal)
    }

    /// Keeps other processes from sweeping this staging area, or finds that one of them is already here.
    pub(in crate::store) fn lock(&self) -> Result<(), StoreError> {
        lock(&self.staging, &self.staging_path)?;
        // They are in nobody's way.
        if let Err(error) = setup::sweep_drafts(&self.staging, &self.staging_path) {
            log::warn!("{error}");
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "spool_dir_tests.rs"]
mod tests;
