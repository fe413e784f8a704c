//! The thread that keeps what clients send, and removes what they have taken.

use std::sync::Arc;
use std::time::Instant;

use super::storage_dir::StorageDir;
use super::storage_disk::{RealStorageDisk, StorageDisk};
use super::store_group::{Change, Outcome, Task, store};
use crate::proto::FileName;
use crate::store::fs::durability::Durability;
use crate::store::fs::error::{START_THREAD, StoreError};
use crate::store::fs::on_conflict::OnConflict;
use crate::store::fs::source::Identity;
use crate::store::fs::space::{Reservation, SpaceAccount};
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::temp_file::ClosedTemp;
use crate::store::fs::worker::{Notify, Work, Worker};

/// A file to be made durable under a name of its directory.
#[derive(Debug)]
pub struct StoreRequest {
    /// Comes back with [`StoreResult`].
    pub ticket: u64,
    /// The file's name.
    pub name: FileName,
    /// Its bytes, written in its directory.
    pub written: ClosedTemp,
    /// Whether it may replace another.
    pub on_conflict: OnConflict,
    /// The one file that it may replace, in this state; any, or none, where this is `None`. Else it is
    /// [`StoreError::Exists`].
    pub expected: Option<Identity>,
}

/// How a [`StoreRequest`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreResult {
    /// The request's.
    pub ticket: u64,
    /// `Ok`: the file is safe, as the [`Durability`] chosen understands it. `Err`: it must be sent again.
    pub result: Result<(), StoreError>,
}

/// What came of a file that was to be removed for a client who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is gone, durably as the [`Durability`] chosen understands it.
    Gone,
    /// Another has its name by now, or it was written to.
    Changed,
    /// There is no file of its name any more.
    Missing,
}

/// What the thread has done for somebody who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concluded {
    /// A [`StoreRequest`] has ended.
    Stored(StoreResult),
    /// A [`StoreWorker::drop_file`] has.
    Dropped {
        /// The order's.
        ticket: u64,
        /// `Err`: the file may be there or not.
        result: Result<Dropped, StoreError>,
    },
}

/// The handle of the storing thread. Its methods never wait for the disk, but for [`StoreWorker::stop`].
///
/// There is one such thread for all directories; orders are carried out in the order they were given in.
#[derive(Debug)]
pub struct StoreWorker {
    worker: Worker<StoreWork<RealStorageDisk>>,
}

#[derive(Debug)]
pub(in crate::store) enum Order {
    Store(StoreRequest),
    /// `ticket`: of who waits for it.
    Remove {
        dir: StorageDir,
        name: FileName,
        identity: Identity,
        ticket: Option<u64>,
    },
}

impl Order {
    /// A file is to be removed; from now on its directory no longer finds or lists it.
    pub(in crate::store) fn removal(dir: StorageDir, name: FileName, identity: Identity, ticket: Option<u64>) -> Self {
        dir.removal_ordered(&name, identity);
        Self::Remove { dir, name, identity, ticket }
    }
}

impl StoreWorker {
    /// Starts the thread. `space` is kept up to date with what is stored and removed. `notify` is called, on that thread,
    /// whenever there are new completions.
    pub fn start(durability: Durability, space: SpaceAccount, notify: Notify) -> Result<Self, StoreError> {
        let path = space.path().to_owned();
        let work = StoreWork { disk: RealStorageDisk::new(durability), space };
        let worker = Worker::start(work, notify).map_err(StoreError::std(START_THREAD, &path))?;
        Ok(Self { worker })
    }

    /// Queues a file to be stored.
    pub fn store(&self, request: StoreRequest) {
        let ticket = request.ticket;
        let stopped = || Concluded::Stored(StoreResult { ticket, result: Err(StoreError::Stopped) });
        self.worker.ask(Order::Store(request), stopped);
    }

    /// Queues a file to be removed; its directory no longer finds or lists it. A newer file of that name stays, and so
    /// does this one if it was written to since. (Should another program put a new file there just between our look and
    /// the removal, that one goes.)
    pub fn remove(&self, dir: StorageDir, name: FileName, identity: Identity) {
        self.worker.tell(Order::removal(dir, name, identity, None));
    }

    /// The same for somebody who waits for it: [`Concluded::Dropped`].
    pub fn drop_file(&self, ticket: u64, dir: StorageDir, name: FileName, identity: Identity) {
        let stopped = || Concluded::Dropped { ticket, result: Err(StoreError::Stopped) };
        self.worker.ask(Order::removal(dir, name, identity, Some(ticket)), stopped);
    }

    /// Whether the thread has not panicked. Once it has, those who wait for it get no completion.
    pub fn is_alive(&self) -> bool {
        self.worker.is_alive()
    }

    /// What was completed since the last call, in order.
    pub fn completions(&self) -> Vec<Concluded> {
        self.worker.completions()
    }

    /// How many files were queued to be stored whose completion has not been fetched.
    pub fn pending(&self) -> usize {
        self.worker.pending()
    }

    /// Carries out what is queued and ends the thread. The completions not fetched so far.
    pub fn stop(self) -> Vec<Concluded> {
        self.worker.stop()
    }
}

/// What the thread does.
#[derive(Debug)]
pub(in crate::store) struct StoreWork<S> {
    pub(in crate::store) disk: S,
    pub(in crate::store) space: SpaceAccount,
}

/// What is to be reported and counted when a task is done.
enum Account {
    Store { ticket: u64, size: u64, reservation: Option<Reservation> },
    Remove { dir: StorageDir, name: FileName, identity: Identity, ticket: Option<u64> },
}

impl<S: StorageDisk<Dir = Arc<SpoolDir>, Identity = Identity> + Send + 'static> Work for StoreWork<S> {
    type Order = Order;
    type Completion = Concluded;

    const NAME: &'static str = "store";
    const GROUP: usize = 1024;

    fn carry_out(&mut self, group: Vec<Order>, _: Instant) -> Vec<Concluded> {
        self.store(group)
    }
}

impl<S: StorageDisk<Dir = Arc<SpoolDir>, Identity = Identity>> StoreWork<S> {
    pub(in crate::store) fn store(&mut self, group: Vec<Order>) -> Vec<Concluded> {
        let (tasks, accounts): (Vec<_>, Vec<_>) = group.into_iter().map(take).unzip();
        let outcomes = store(&mut self.disk, &tasks);
        accounts.into_iter().zip(outcomes).filter_map(|(account, outcome)| self.conclude(account, outcome)).collect()
    }
}

fn take(order: Order) -> (Task<Arc<SpoolDir>, Identity>, Account) {
    match order {
        Order::Store(StoreRequest { ticket, name, mut written, on_conflict, expected }) => {
            let (size, reservation) = (written.size(), written.take_reservation());
            let (dir, stage) = written.hand_over();
            (Task::Store { dir, stage, name, on_conflict, expected }, Account::Store { ticket, size, reservation })
        }
        Order::Remove { dir, name, identity, ticket } => {
            let task = Task::Remove { dir: dir.dir().clone(), name: name.clone(), identity };
            (task, Account::Remove { dir, name, identity, ticket })
        }
    }
}

impl<S> StoreWork<S> {
    fn conclude(&self, account: Account, outcome: Outcome) -> Option<Concluded> {
        match (account, outcome) {
            (Account::Store { ticket, size, reservation }, outcome) => {
                if let (Some(reservation), Ok(change)) = (reservation, &outcome) {
                    reservation.commit(size, change.replaced());
                }
                Some(Concluded::Stored(StoreResult { ticket, result: outcome.map(drop) }))
            }
            (Account::Remove { dir, name, identity, ticket }, outcome) => {
                dir.removal_done(&name, &identity);
                match &outcome {
                    Ok(Change::Removed(size)) => self.space.removed(*size),
                    Ok(_) => {}
                    Err(error) => log::warn!("{error}: it may be collected again"),
                }
                ticket.map(|ticket| Concluded::Dropped { ticket, result: dropped(&dir, &name, outcome) })
            }
        }
    }
}

fn dropped(dir: &StorageDir, name: &FileName, outcome: Outcome) -> Result<Dropped, StoreError> {
    match outcome? {
        Change::Removed(_) => Ok(Dropped::Gone),
        _ if dir.exists(name)? => Ok(Dropped::Changed),
        _ => Ok(Dropped::Missing),
    }
}

#[cfg(test)]
#[path = "store_worker_tests.rs"]
mod tests;
