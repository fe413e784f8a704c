//! The thread for what takes long, so that neither the loop nor the storing thread waits for it.
//!
//! Archives are given to the thread one by one, so that clients have them in turn, and those nobody waits for any more are
//! left out.

use std::ffi::OsStr;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use super::archive::{ArchiveError, Packed, UnpackLimits, pack, unpack};
use super::fair_queue::{FairQueue, StillWanted, Wanted};
use super::storage_dir::StorageDir;
use crate::proto::extension::{ContentHash, ContentHasher};
use crate::store::fs::error::{START_THREAD, StoreError};
use crate::store::fs::source::{Identity, Source};
use crate::store::fs::space::SpaceAccount;
use crate::store::fs::temp_file::ClosedTemp;
use crate::store::fs::worker::{Notify, Pause, Work, Worker};

/// What the thread has done for a client.
#[derive(Debug)]
pub enum Finished {
    /// A `ZSEND`'s body was unpacked, to be stored now.
    Unpacked {
        /// The order's.
        ticket: u64,
        /// What was in the archive.
        result: Result<ClosedTemp, ArchiveError>,
    },
    /// A `ZRECV`'s body was made, to be sent now.
    Packed {
        /// The order's.
        ticket: u64,
        /// The archive.
        result: Result<Packed, ArchiveError>,
    },
    /// A file was hashed, to be compared now.
    Hashed {
        /// The order's.
        ticket: u64,
        /// What it holds.
        result: Result<Hashed, ArchiveError>,
    },
}

/// A file that was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Which it is, and in which state it was before it was read.
    pub identity: Identity,
    /// What it held.
    pub hash: ContentHash,
}

/// The handle of the thread. Its methods never wait, but for [`Background::stop`].
#[derive(Debug)]
pub struct Background {
    worker: Worker<ArchiveWork>,
    waiting: FairQueue<Archive>,
}

#[derive(Debug)]
enum Order {
    Archive(Archive),
    Recount(SpaceAccount),
}

/// An archive to be read or made.
#[derive(Debug)]
struct Archive {
    ticket: u64,
    wanted: StillWanted,
    job: Job,
}

#[derive(Debug)]
enum Job {
    Unpack { archive: ClosedTemp, limits: UnpackLimits },
    Pack { dir: StorageDir, source: Source },
    Hash { dir: StorageDir, source: Source },
}

impl Background {
    /// Starts the thread. `notify` is called, on that thread, whenever there are new completions.
    pub fn start(notify: Notify) -> Result<Self, StoreError> {
        let worker = Worker::start(ArchiveWork::default(), notify)
            .map_err(StoreError::std(START_THREAD, Path::new("archives")))?;
        Ok(Self { worker, waiting: FairQueue::new() })
    }

    /// Queues an archive of `client` to be unpacked beside itself, whatever its entry's name. The room set aside for
    /// the archive goes to its content. The work may be given up once the returned value is dropped.
    pub fn unpack(&mut self, ticket: u64, client: IpAddr, archive: ClosedTemp, limits: UnpackLimits) -> Wanted {
        self.queue(ticket, client, Job::Unpack { archive, limits })
    }

    /// Queues a file to be packed for `client`, under its bare name, on the filesystem of `storage_dir`. For as long as
    /// the archive is open it takes room there that no quota counts. The work may be given up once the returned value
    /// is dropped.
    pub fn pack(&mut self, ticket: u64, client: IpAddr, dir: StorageDir, source: Source) -> Wanted {
        self.queue(ticket, client, Job::Pack { dir, source })
    }

    /// Queues a file of `storage_dir` to be hashed for `client`. The work may be given up once the returned value is dropped.
    pub fn hash(&mut self, ticket: u64, client: IpAddr, dir: StorageDir, source: Source) -> Wanted {
        self.queue(ticket, client, Job::Hash { dir, source })
    }

    fn queue(&mut self, ticket: u64, client: IpAddr, job: Job) -> Wanted {
        let (wanting, wanted) = Wanted::new();
        // What is not wanted any more holds files open.
        self.waiting.retain(|archive| archive.wanted.is_wanted());
        self.waiting.push(client, Archive { ticket, wanted, job });
        self.go_on();
        wanting
    }

    /// Gives the thread its next archive once it is done with the last.
    fn go_on(&mut self) {
        while self.worker.pending() == 0
            && let Some(archive) = self.waiting.pop()
        {
            if archive.wanted.is_wanted() {
                self.give(archive);
            }
        }
    }

    fn give(&self, archive: Archive) {
        let ticket = archive.ticket;
        let stopped: fn(u64, ArchiveError) -> Finished = match archive.job {
            Job::Unpack { .. } => |ticket, error| Finished::Unpacked { ticket, result: Err(error) },
            Job::Pack { .. } => |ticket, error| Finished::Packed { ticket, result: Err(error) },
            Job::Hash { .. } => |ticket, error| Finished::Hashed { ticket, result: Err(error) },
        };
        self.worker.ask(Order::Archive(archive), || stopped(ticket, StoreError::Stopped.into()));
    }

    /// Queues a [`SpaceAccount::recount`]; a failure is logged. There is no completion of it, but a notification.
    pub fn recount(&self, space: SpaceAccount) {
        space.recount_queued();
        self.worker.tell(Order::Recount(space));
    }

    /// Whether the thread has not panicked. Once it has, those who wait for it get no completion.
    pub fn is_alive(&self) -> bool {
        self.worker.is_alive()
    }

    /// What was completed since the last call, in order.
    pub fn completions(&mut self) -> Vec<Finished> {
        let completions = self.worker.completions();
        self.go_on();
        completions
    }

    /// How many archives were queued whose completion has not been fetched.
    pub fn pending(&self) -> usize {
        self.worker.pending() + self.waiting.len()
    }

    /// Finishes what is queued and wanted, and ends the thread. The completions not fetched so far.
    pub fn stop(mut self) -> Vec<Finished> {
        while let Some(archive) = self.waiting.pop() {
            self.give(archive);
        }
        self.worker.stop()
    }
}

/// What the thread does.
#[derive(Debug, Default)]
struct ArchiveWork {
    /// Whether something was counted that was not notified of.
    has_counted: bool,
}

impl Work for ArchiveWork {
    type Order = Order;
    type Completion = Finished;

    const NAME: &'static str = "background";
    /// Nothing is gained by grouping, and the first need not wait for the others.
    const GROUP: usize = 1;

    fn carry_out(&mut self, group: Vec<Order>, _: Instant) -> Vec<Finished> {
        self.has_counted = group.iter().any(|order| matches!(order, Order::Recount(_)));
        group.into_iter().filter_map(finish).collect()
    }

    fn go_on(&mut self, _: Instant) -> Pause {
        Pause { until: None, has_news: std::mem::take(&mut self.has_counted) }
    }
}

fn finish(order: Order) -> Option<Finished> {
    match order {
        Order::Archive(Archive { ticket, wanted, job: Job::Unpack { archive, limits } }) => {
            Some(Finished::Unpacked { ticket, result: unpack(archive, limits, &wanted) })
        }
        Order::Archive(Archive { ticket, wanted, job: Job::Pack { dir, source } }) => {
            Some(Finished::Packed { ticket, result: pack(&dir, &source, &wanted) })
        }
        Order::Archive(Archive { ticket, wanted, job: Job::Hash { dir, source } }) => {
            Some(Finished::Hashed { ticket, result: hash(&dir, &source, &wanted) })
        }
        Order::Recount(space) => {
            if let Err(error) = space.recount() {
                log::warn!("{error}: the count stays what it was");
            }
            None
        }
    }
}

/// Bytes that are read of a file before it is asked whether they are still wanted.
const PIECE: usize = 256 * 1024;

fn hash(dir: &StorageDir, source: &Source, wanted: &StillWanted) -> Result<Hashed, ArchiveError> {
    let path = dir.path().join(OsStr::from_bytes(source.name().as_bytes()));
    let (mut hasher, mut piece, mut at) = (ContentHasher::default(), vec![0; PIECE], 0);
    loop {
        if !wanted.is_wanted() {
            return Err(ArchiveError::Unwanted);
        }
        match source.file().read_at(&mut piece, at) {
            Ok(0) => return Ok(Hashed { identity: source.identity(), hash: hasher.finish() }),
            Ok(count) => {
                hasher.update(&piece[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::std("read", &path)(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::zip::ZipError;
    use crate::store::fs::space::Quota;

    const LIMITS: UnpackLimits = UnpackLimits { max_size: 100, max_ratio: 100 };
    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A storage directory with one file in it, which takes long to pack.
    fn storage_with_much() -> (tempfile::TempDir, StorageDir) {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("much")).unwrap();
        file.set_len(3 << 30).unwrap();
        let storage = StorageDir::open(dir.path(), 0o660).unwrap();
        (dir, storage)
    }

    #[test]
    fn what_nobody_waits_for_is_not_made() {
        let (_dir, storage) = storage_with_much();
        let mut background = Background::start(Box::new(|| {})).unwrap();
        let source = || storage.find(&"much".parse().unwrap()).unwrap().unwrap();
        let under_way = background.pack(1, CLIENT, storage.clone(), source());
        let queued = [2, 3].map(|ticket| background.pack(ticket, CLIENT, storage.clone(), source()));
        assert_eq!(background.pending(), 3);
        drop(queued);
        drop(under_way);
        let wanted = background.unpack(4, CLIENT, storage.create_temp(0).unwrap().finish().unwrap(), LIMITS);
        assert_eq!(background.pending(), 2, "those that were queued are gone");
        // The large archive is not waited for.
        let mut finished = Vec::new();
        while background.pending() > 0 {
            finished.extend(background.completions());
            std::thread::yield_now();
        }
        let [
            Finished::Packed { ticket: 1, result: Err(ArchiveError::Unwanted) },
            Finished::Unpacked { ticket: 4, result: Err(ArchiveError::Zip(ZipError::Malformed(_))) },
        ] = finished.as_slice()
        else {
            panic!("{finished:?}")
        };
        drop(wanted);
    }

    #[test]
    fn a_file_packed_and_unpacked_again_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "bytes").unwrap();
        let storage = StorageDir::open(dir.path(), 0o660).unwrap();
        let mut background = Background::start(Box::new(|| {})).unwrap();
        let source = storage.find(&"a".parse().unwrap()).unwrap().unwrap();
        let _packed = background.pack(1, CLIENT, storage.clone(), source);
        let _unpacked = background.unpack(2, CLIENT, storage.create_temp(0).unwrap().finish().unwrap(), LIMITS);
        let finished = background.stop();
        let [
            Finished::Packed { ticket: 1, result: Ok(packed) },
            Finished::Unpacked { ticket: 2, result: Err(ArchiveError::Zip(ZipError::Malformed(_))) },
        ] = finished.as_slice()
        else {
            panic!("{finished:?}")
        };
        let mut archive = vec![0; usize::try_from(packed.size).unwrap()];
        packed.file.read_exact_at(&mut archive, 0).unwrap();
        let mut temp = storage.create_temp(packed.size).unwrap();
        temp.write(&archive).unwrap();
        let mut background = Background::start(Box::new(|| {})).unwrap();
        let _unpacked = background.unpack(3, CLIENT, temp.finish().unwrap(), LIMITS);
        let finished = background.stop();
        let [Finished::Unpacked { ticket: 3, result: Ok(written) }] = finished.as_slice() else {
            panic!("{finished:?}")
        };
        assert_eq!(std::fs::read(written.path()).unwrap(), b"bytes");
    }

    #[test]
    fn a_recount_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let storage = StorageDir::open(dir.path(), 0o660).unwrap();
        let space = SpaceAccount::open(&storage, Quota::default()).unwrap();
        std::fs::write(dir.path().join("a"), "bytes").unwrap();
        let background = Background::start(Box::new(|| {})).unwrap();
        background.recount(space.clone());
        assert_eq!(background.pending(), 0);
        assert!(background.stop().is_empty());
        assert_eq!(space.stored(), (1, 5));
    }
}
