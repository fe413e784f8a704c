//! The thread for what takes long, so that neither the loop nor the keeper waits for it.

use std::path::Path;
use std::time::Instant;

use super::archive::{ArchiveError, Limits, Packed, pack, unpack};
use super::draft::Written;
use super::error::{START_THREAD, StoreError};
use super::folder::Folder;
use super::room::Room;
use super::source::Source;
use super::worker::{Notify, Work, Worker};

/// What the thread has done for a client.
#[derive(Debug)]
pub enum Finished {
    /// A `ZSEND`'s body was unpacked, to be stored now.
    Unpacked {
        /// The order's.
        ticket: u64,
        /// What was in the archive.
        result: Result<Written, ArchiveError>,
    },
    /// A `ZRECV`'s body was made, to be sent now.
    Packed {
        /// The order's.
        ticket: u64,
        /// The archive.
        result: Result<Packed, ArchiveError>,
    },
}

/// The handle of the thread. Its methods never wait, but for [`Background::stop`].
#[derive(Debug)]
pub struct Background {
    worker: Worker<Labour>,
}

#[derive(Debug)]
enum Order {
    Unpack { ticket: u64, archive: Written, limits: Limits },
    Pack { ticket: u64, folder: Folder, source: Source },
    Recount(Room),
}

impl Background {
    /// Starts the thread. `notify` is called, on that thread, whenever there are new completions.
    pub fn start(notify: Notify) -> Result<Self, StoreError> {
        let worker = Worker::start(Labour, notify).map_err(StoreError::std(START_THREAD, Path::new("archives")))?;
        Ok(Self { worker })
    }

    /// Queues an archive to be unpacked beside itself, whatever its entry's name. The room set aside for the archive goes
    /// to what was in it.
    pub fn unpack(&self, ticket: u64, archive: Written, limits: Limits) {
        let stopped = || Finished::Unpacked { ticket, result: Err(StoreError::Stopped.into()) };
        self.worker.ask(Order::Unpack { ticket, archive, limits }, stopped);
    }

    /// Queues a file to be packed, under its bare name, on the filesystem of `folder`. For as long as the archive is open
    /// it takes room there that no quota counts.
    pub fn pack(&self, ticket: u64, folder: Folder, source: Source) {
        let stopped = || Finished::Packed { ticket, result: Err(StoreError::Stopped.into()) };
        self.worker.ask(Order::Pack { ticket, folder, source }, stopped);
    }

    /// Queues a [`Room::recount`]; a failure is logged.
    pub fn recount(&self, room: Room) {
        self.worker.tell(Order::Recount(room));
    }

    /// Whether the thread has not panicked. Once it has, nobody who waits for it hears of it.
    pub fn is_alive(&self) -> bool {
        self.worker.is_alive()
    }

    /// What was completed since the last call, in order.
    pub fn completions(&self) -> Vec<Finished> {
        self.worker.completions()
    }

    /// How many archives were queued whose completion has not been fetched.
    pub fn pending(&self) -> usize {
        self.worker.pending()
    }

    /// Finishes what is queued and ends the thread. The completions not fetched so far.
    pub fn stop(self) -> Vec<Finished> {
        self.worker.stop()
    }
}

/// What the thread does.
#[derive(Debug)]
struct Labour;

impl Work for Labour {
    type Order = Order;
    type Completion = Finished;

    const NAME: &'static str = "background";
    /// Nothing is gained by grouping, and the first need not wait for the others.
    const GROUP: usize = 1;

    fn carry_out(&mut self, group: Vec<Order>, _: Instant) -> Vec<Finished> {
        group.into_iter().filter_map(finish).collect()
    }
}

fn finish(order: Order) -> Option<Finished> {
    match order {
        Order::Unpack { ticket, archive, limits } => {
            Some(Finished::Unpacked { ticket, result: unpack(archive, limits) })
        }
        Order::Pack { ticket, folder, source } => Some(Finished::Packed { ticket, result: pack(&folder, &source) }),
        Order::Recount(room) => {
            if let Err(error) = room.recount() {
                log::warn!("{error}: the count stays what it was");
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::Quota;
    use super::*;

    const LIMITS: Limits = Limits { max_size: 100, max_ratio: 100 };

    #[test]
    fn a_file_packed_and_unpacked_again_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "bytes").unwrap();
        let folder = Folder::open(dir.path(), 0o660).unwrap();
        let background = Background::start(Box::new(|| {})).unwrap();
        let source = folder.find(&"a".parse().unwrap()).unwrap().unwrap();
        background.pack(1, folder.clone(), source);
        background.unpack(2, folder.draft(0).unwrap().finish().unwrap(), LIMITS);
        let finished = background.stop();
        let [
            Finished::Packed { ticket: 1, result: Ok(packed) },
            Finished::Unpacked { ticket: 2, result: Err(ArchiveError::Malformed(_)) },
        ] = finished.as_slice()
        else {
            panic!("{finished:?}")
        };
        let mut archive = vec![0; usize::try_from(packed.size).unwrap()];
        std::os::unix::fs::FileExt::read_exact_at(&packed.file, &mut archive, 0).unwrap();
        let mut draft = folder.draft(packed.size).unwrap();
        draft.write(&archive).unwrap();
        let background = Background::start(Box::new(|| {})).unwrap();
        background.unpack(3, draft.finish().unwrap(), LIMITS);
        let finished = background.stop();
        let [Finished::Unpacked { ticket: 3, result: Ok(written) }] = finished.as_slice() else {
            panic!("{finished:?}")
        };
        assert_eq!(std::fs::read(written.path()).unwrap(), b"bytes");
    }

    #[test]
    fn a_recount_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), 0o660).unwrap();
        let room = Room::open(folder, Quota::default()).unwrap();
        std::fs::write(dir.path().join("a"), "bytes").unwrap();
        let background = Background::start(Box::new(|| {})).unwrap();
        background.recount(room.clone());
        assert_eq!(background.pending(), 0);
        assert!(background.stop().is_empty());
        assert_eq!(room.stored(), (1, 5));
    }
}
