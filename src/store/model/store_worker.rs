//! The storing thread on a [site's disk](SiteDisk): its work is done when a test calls for it. And what else a server
//! does to that disk.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use super::site::SiteDisk;
use crate::proto::FileName;
use crate::store::buffer::storage_disk::{RealStorageDisk, StorageDisk};
use crate::store::buffer::store_group::Change;
use crate::store::buffer::store_worker::{Concluded, Order, StoreRequest, StoreWork};
use crate::store::fs::error::StoreError;
use crate::store::fs::flush::is_few;
use crate::store::fs::ids::StageId;
use crate::store::fs::source::Identity;
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::worker::Work;
use crate::store::{Durability, Listing, OnConflict, SpaceAccount, StorageDir};

thread_local! {
    /// Whose server is at work on this thread.
    static SITE: RefCell<Option<SiteDisk>> = const { RefCell::new(None) };
}

/// Lets a site's server work: its temporary files are that site's.
pub(crate) fn at_site<T>(disk: &SiteDisk, work: impl FnOnce() -> T) -> T {
    SITE.set(Some(disk.clone()));
    let done = work();
    SITE.take();
    done
}

/// A step of writing a temporary file.
pub(super) fn writing_step() -> Result<(), StoreError> {
    SITE.with_borrow(|site| site.as_ref().map_or(Ok(()), |disk| disk.step(|_| Ok(()))))
}

/// A listing with its lines in an order that is the seed's, and not that of the directory the test runs in; one of files has
/// an order of its own.
pub(crate) fn reordered(listing: Arc<Listing>, disk: &SiteDisk) -> Arc<Listing> {
    if !listing.page(None, 1).files.is_empty() {
        return listing;
    }
    let mut lines: Vec<&[u8]> = listing.as_bytes().split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    disk.shuffle(&mut lines);
    Arc::new(Listing::of(lines.concat()))
}

/// A server's storing thread; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct ModelStoreWorker(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    work: StoreWork<SiteStorageDisk>,
    orders: VecDeque<Order>,
    done: Vec<Concluded>,
}

impl ModelStoreWorker {
    pub(crate) fn new(disk: SiteDisk, space: SpaceAccount) -> Self {
        let work =
            StoreWork { disk: SiteStorageDisk { site: disk, real: RealStorageDisk::new(Durability::None) }, space };
        Self(Arc::new(Mutex::new(Inner { work, orders: VecDeque::new(), done: Vec::new() })))
    }

    pub(crate) fn store(&self, request: StoreRequest) {
        self.locked().orders.push_back(Order::Store(request));
    }

    pub(crate) fn remove(&self, dir: StorageDir, name: FileName, identity: Identity, ticket: Option<u64>) {
        let mut inner = self.locked();
        let found = dir.find(&name).expect("the directory is there");
        if found.is_some_and(|found| found.identity() == identity) {
            let site = &inner.work.disk.site;
            site.removal_ordered(site.directory(dir.path()), &name);
        }
        inner.orders.push_back(Order::removal(dir, name, identity, ticket));
    }

    pub(crate) fn completions(&self) -> Vec<Concluded> {
        std::mem::take(&mut self.locked().done)
    }

    /// How many orders wait.
    pub(crate) fn waiting(&self) -> usize {
        self.locked().orders.len()
    }

    /// Carries out a group of at most so many.
    pub(crate) fn carry_out(&self, most: usize) {
        let mut inner = self.locked();
        let most = most.min(<StoreWork<SiteStorageDisk> as Work>::GROUP).min(inner.orders.len());
        let group = inner.orders.drain(..most).collect();
        let done = inner.work.store(group);
        inner.done.extend(done);
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test goes on after a panic")
    }
}

/// The real steps, each of which may meet a fault.
#[derive(Debug)]
struct SiteStorageDisk {
    site: SiteDisk,
    real: RealStorageDisk,
}

impl StorageDisk for SiteStorageDisk {
    type Dir = Arc<SpoolDir>;
    type Identity = Identity;

    fn filesystem(&self, _: &Arc<SpoolDir>) -> u64 {
        0
    }

    fn directory(&self, dir: &Arc<SpoolDir>) -> (u64, u64) {
        (0, self.site.directory(dir.path()) as u64)
    }

    /// No more than is promised: the names are not durable.
    fn sync_staged(&mut self, files: &[(&Arc<SpoolDir>, StageId)]) -> Result<(), StoreError> {
        let at_once = if is_few(files.len()) { 1 } else { files.len() };
        files.chunks(at_once).try_for_each(|files| {
            self.site.step(|storage| {
                for &(dir, stage) in files {
                    storage.flushed(stage, &dir.staged_path(stage));
                }
                Ok(())
            })
        })
    }

    fn sync_names(&mut self, dir: &Arc<SpoolDir>) -> Result<(), StoreError> {
        let directory = self.site.directory(dir.path());
        self.site.step(|storage| {
            storage.names_flushed(directory);
            Ok(())
        })
    }

    fn rename_into(
        &mut self,
        dir: &Arc<SpoolDir>,
        stage: StageId,
        name: &FileName,
        on_conflict: OnConflict,
    ) -> Result<Change, StoreError> {
        let (disk, real) = (&self.site, &mut self.real);
        let directory = disk.directory(dir.path());
        disk.step(|storage| {
            let bytes = storage.is_to_be_named(&dir.staged_path(stage));
            let change = real.rename_into(dir, stage, name, on_conflict)?;
            storage.named(directory, stage, name.clone(), bytes);
            Ok(change)
        })
    }

    fn is_still(&self, dir: &Arc<SpoolDir>, name: &FileName, identity: &Identity) -> Result<bool, StoreError> {
        self.real.is_still(dir, name, identity)
    }

    fn remove(&mut self, dir: &Arc<SpoolDir>, name: &FileName, identity: &Identity) -> Result<Change, StoreError> {
        let (disk, real) = (&self.site, &mut self.real);
        let directory = disk.directory(dir.path());
        let removed = disk.step(|storage| {
            let change = real.remove(dir, name, identity)?;
            if let Change::Removed(_) = change {
                storage.removed(directory, name);
            }
            Ok(change)
        });
        // A process that has died does no bookkeeping.
        if !disk.is_down() {
            disk.removal_done(directory, name, removed.is_err());
        }
        removed
    }

    fn discard(&mut self, dir: &Arc<SpoolDir>, stage: StageId) -> Result<(), StoreError> {
        let real = &mut self.real;
        self.site.step(|_| real.discard(dir, stage))
    }
}
