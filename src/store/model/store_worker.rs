//! The keeper on a [site's disk](SiteDisk): what its thread does is done when it is told to. And what else a server does to
//! that disk.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use super::site::SiteDisk;
use crate::proto::FileName;
use crate::store::buffer::storage_disk::{RealShelf, StorageDisk};
use crate::store::buffer::store_group::Change;
use crate::store::buffer::store_worker::{Keeping, Order, StoreRequest, StoreResult};
use crate::store::fs::error::StoreError;
use crate::store::fs::flush::is_few;
use crate::store::fs::ids::StageId;
use crate::store::fs::source::Identity;
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::worker::Work;
use crate::store::{Durability, OnConflict, SpaceAccount, StorageDir};

thread_local! {
    /// Whose server is at work on this thread.
    static SITE: RefCell<Option<SiteDisk>> = const { RefCell::new(None) };
}

/// Lets a site's server work: its drafts are that site's, and its listings in an order of that site's own.
pub(crate) fn at_site<T>(disk: &SiteDisk, work: impl FnOnce() -> T) -> T {
    SITE.set(Some(disk.clone()));
    let done = work();
    SITE.take();
    done
}

/// A step of writing a draft.
pub(in crate::store) fn drafting_step() -> Result<(), StoreError> {
    SITE.with_borrow(|site| site.as_ref().map_or(Ok(()), |disk| disk.step(|_| Ok(()))))
}

/// Puts a listing's lines into an order that is the seed's, and not that of the directory the test runs in.
pub(in crate::store) fn reorder(listing: &mut Vec<u8>) {
    SITE.with_borrow(|site| {
        let Some(disk) = site else { return };
        let mut lines: Vec<&[u8]> = listing.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable();
        disk.shuffle(&mut lines);
        *listing = lines.concat();
    });
}

/// A server's keeper; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct ModelKeeper(Arc<Mutex<WorkDir>>);

#[derive(Debug)]
struct WorkDir {
    keeping: Keeping<SiteShelf>,
    orders: VecDeque<Order>,
    done: Vec<StoreResult>,
}

impl ModelKeeper {
    pub(crate) fn new(disk: SiteDisk, room: SpaceAccount) -> Self {
        let keeping = Keeping { shelf: SiteShelf { disk, real: RealShelf(Durability::None) }, room };
        Self(Arc::new(Mutex::new(WorkDir { keeping, orders: VecDeque::new(), done: Vec::new() })))
    }

    pub(crate) fn keep(&self, keep: StoreRequest) {
        self.locked().orders.push_back(Order::Keep(keep));
    }

    pub(crate) fn remove(&self, folder: StorageDir, name: FileName, identity: Identity) {
        let mut desk = self.locked();
        let found = folder.find(&name).expect("the directory is there");
        if found.is_some_and(|found| found.identity() == identity) {
            let site = &desk.keeping.shelf.disk;
            site.leaves(site.directory(folder.path()), &name);
        }
        desk.orders.push_back(Order::leaving(folder, name, identity));
    }

    pub(crate) fn completions(&self) -> Vec<StoreResult> {
        std::mem::take(&mut self.locked().done)
    }

    /// How many orders wait.
    pub(crate) fn waiting(&self) -> usize {
        self.locked().orders.len()
    }

    /// Carries out a group of at most so many.
    pub(crate) fn carry_out(&self, most: usize) {
        let mut desk = self.locked();
        let most = most.min(<Keeping<SiteShelf> as Work>::GROUP).min(desk.orders.len());
        let group = desk.orders.drain(..most).collect();
        let done = desk.keeping.keep(group);
        desk.done.extend(done);
    }

    fn locked(&self) -> MutexGuard<'_, WorkDir> {
        self.0.lock().expect("no test goes on after a panic")
    }
}

/// The real steps, each of which may meet a fault.
#[derive(Debug)]
struct SiteShelf {
    disk: SiteDisk,
    real: RealShelf,
}

impl StorageDisk for SiteShelf {
    type Folder = Arc<SpoolDir>;
    type Identity = Identity;

    fn filesystem(&self, _: &Arc<SpoolDir>) -> u64 {
        0
    }

    fn directory(&self, area: &Arc<SpoolDir>) -> (u64, u64) {
        (0, self.disk.directory(area.path()) as u64)
    }

    /// No more than is promised: the names are not durable.
    fn sync_staged(&mut self, files: &[(&Arc<SpoolDir>, StageId)]) -> Result<(), StoreError> {
        let at_once = if is_few(files.len()) { 1 } else { files.len() };
        files.chunks(at_once).try_for_each(|files| {
            self.disk.step(|storage| {
                for &(area, stage) in files {
                    storage.flushed(stage, &area.staged_path(stage));
                }
                Ok(())
            })
        })
    }

    fn sync_names(&mut self, area: &Arc<SpoolDir>) -> Result<(), StoreError> {
        let directory = self.disk.directory(area.path());
        self.disk.step(|storage| {
            storage.names_flushed(directory);
            Ok(())
        })
    }

    fn rename_into(
        &mut self,
        area: &Arc<SpoolDir>,
        stage: StageId,
        name: &FileName,
        on_conflict: OnConflict,
    ) -> Result<Change, StoreError> {
        let (disk, real) = (&self.disk, &mut self.real);
        let directory = disk.directory(area.path());
        disk.step(|storage| {
            let bytes = storage.is_to_be_named(&area.staged_path(stage));
            let change = real.rename_into(area, stage, name, on_conflict)?;
            storage.named(directory, stage, name.clone(), bytes);
            Ok(change)
        })
    }

    fn remove(&mut self, area: &Arc<SpoolDir>, name: &FileName, identity: &Identity) -> Result<Change, StoreError> {
        let (disk, real) = (&self.disk, &mut self.real);
        let directory = disk.directory(area.path());
        let removed = disk.step(|storage| {
            let change = real.remove(area, name, identity)?;
            if let Change::Removed(_) = change {
                storage.removed(directory, name);
            }
            Ok(change)
        });
        // A process that has died no longer knows.
        if !disk.is_down() {
            disk.settle(directory, name, removed.is_err());
        }
        removed
    }

    fn discard(&mut self, area: &Arc<SpoolDir>, stage: StageId) -> Result<(), StoreError> {
        let real = &mut self.real;
        self.disk.step(|_| real.discard(area, stage))
    }
}
