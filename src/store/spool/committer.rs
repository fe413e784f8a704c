//! The threads that make files durable and publish them, in groups.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::{io, iter};

use super::Spool;
use super::committing::{Commits, Committing, Order, SharedCommits, SharedWaiting};
use super::disk::RealDisk;
use super::engine::Engine;
use super::engines::{EngineBuilder, Engines};
use super::hashed_temp::ClosedHashedTemp;
use super::journal::SiteFile;
use super::publish_order::PublishOrder;
use super::publish_queue::Publish;
use super::spooled::InSpool;
use crate::proto::{FileName, Fingerprint};
use crate::store::fs::durability::Durability;
use crate::store::fs::error::{START_THREAD, StoreError};
use crate::store::fs::spool_dir::SpoolDir;
use crate::store::fs::worker::Worker;

/// A file to be made durable and published.
#[derive(Debug)]
pub struct Publication {
    /// Comes back with the [`Completion`].
    pub ticket: u64,
    /// Where the file is from.
    pub site: Arc<str>,
    /// Its name there, and here unless that is taken.
    pub name: FileName,
    /// Its bytes.
    pub staged: ClosedHashedTemp,
    /// The files that must be committed before it; `None` if its site has no copy any more, so that nothing holds it back.
    pub chain: Option<PublishOrder>,
}

/// How committing a [`Publication`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The publication's.
    pub ticket: u64,
    /// `Ok`: the file is safe, as the [`Durability`] chosen understands it, will be published, and the site's copy may go.
    /// `Err`: the site must keep its copy; there is none here any more.
    pub result: Result<(), StoreError>,
}

/// A file that was committed by an earlier run, and is not known to be gone from its site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// The site's name.
    pub site: String,
    /// The file's name at the site.
    pub name: FileName,
    /// What was committed.
    pub fingerprint: Fingerprint,
}

/// How a [`Committer`] works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitPolicy {
    /// When a file is safe.
    pub durability: Durability,
    /// When a committed file is published.
    pub publish: Publish,
}

/// What is committed and not published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Waiting {
    fn plus(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }
}

/// The handle of the committer's threads: one for the directories on the journal's filesystem, and one for each other, so
/// that a filesystem that does not answer costs nobody else's files anything. Its methods never wait for the disk, but for
/// [`Committer::stop`] and [`Committer::start`].
pub struct Committer {
    main: Thread,
    /// By their filesystems' numbers.
    beside: BTreeMap<u64, Thread>,
    /// Where files are staged. Not owned: a directory that nobody uses is unlocked, and may be opened anew.
    staged_in: Vec<Weak<SpoolDir>>,
    engines: EngineBuilder,
    notify: CommitterNotify,
    /// How many orders there were.
    orders: AtomicU64,
}

/// Called whenever there are new completions, and when something was staged that somebody waits for; on the thread that has
/// done it.
pub type CommitterNotify = Arc<dyn Fn() + Send + Sync>;

/// The thread that works on one filesystem.
struct Thread {
    worker: Worker<Committing<RealDisk>>,
    waiting: SharedWaiting,
    commits: SharedCommits,
}

impl Thread {
    fn start(engine: Engine<RealDisk>, notify: &CommitterNotify) -> io::Result<Self> {
        let committing = Committing::new(engine);
        let (waiting, commits) = (committing.waiting.clone(), committing.commits.clone());
        let notify = Arc::clone(notify);
        Ok(Self { worker: Worker::start(committing, Box::new(move || notify()))?, waiting, commits })
    }
}

impl Committer {
    /// Locks `state_dir` and the spools, finishes what a crash has left, and starts the threads. `notify` is called, on
    /// one of them, whenever there are new completions.
    ///
    /// What is [`Outstanding`] must not be published again: compare and let the site's copy go, or
    /// [`forget`](Committer::forget) it when the site no longer lists it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process works there; whatever keeps the journal from being read or written.
    pub fn start(
        state_dir: &Path,
        policy: CommitPolicy,
        spools: &[Spool],
        notify: CommitterNotify,
    ) -> Result<(Self, Vec<Outstanding>), StoreError> {
        for spool in spools {
            spool.set_notify(&notify);
        }
        let (builder, engines) = Engines::open(state_dir, policy, spools)?;
        let outstanding = builder.journal().read(|state| state.held.iter().map(|(copy, _)| copy.into()).collect());
        let start = |engine| Thread::start(engine, &notify).map_err(StoreError::std(START_THREAD, state_dir));
        let main = start(engines.main)?;
        let beside = engines.beside.into_iter().map(|(filesystem, engine)| Ok((filesystem, start(engine)?)));
        let beside = beside.collect::<Result<_, StoreError>>()?;
        let staged_in = spools.iter().map(|spool| Arc::downgrade(spool.dir())).collect();
        Ok((Self { main, beside, staged_in, engines: builder, notify, orders: AtomicU64::new(0) }, outstanding))
    }

    /// Queues a file. An agent's files are published oldest first as far as their names show it, and else in the order
    /// they were queued in; none is committed ahead of an earlier one of its chain.
    pub fn publish(&self, publication: Publication) {
        let ticket = publication.ticket;
        let stopped = || Completion { ticket, result: Err(StoreError::Stopped) };
        let worker = &self.thread_of(publication.staged.dir()).worker;
        worker.ask(Order::Publish(publication, self.next_order()), stopped);
    }

    /// The site's copy of a published file is gone: deleted there, or no longer listed.
    pub fn forget(&self, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        // Without the thread nothing is published, so there is nothing to forget either.
        self.main.worker.tell(Order::Forget(SiteFile { site, name, fingerprint }, self.next_order()));
    }

    /// A spool was opened, perhaps after the start: what the run before has committed in it is taken up.
    pub fn take_in(&mut self, spool: Spool) {
        if let Some(filesystem) = spool.dir().filesystem_beside()
            && let Entry::Vacant(entry) = self.beside.entry(filesystem)
        {
            match Thread::start(self.engines.build(), &self.notify) {
                Ok(thread) => drop(entry.insert(thread)),
                Err(error) => log::warn!("{}", StoreError::std(START_THREAD, spool.incoming())(error)),
            }
        }
        spool.set_notify(&self.notify);
        self.staged_in.retain(|dir| dir.strong_count() > 0);
        self.staged_in.push(Arc::downgrade(spool.dir()));
        self.thread_of(spool.dir()).worker.tell(Order::TakeIn(spool));
    }

    fn thread_of(&self, dir: &SpoolDir) -> &Thread {
        dir.filesystem_beside().and_then(|filesystem| self.beside.get(&filesystem)).unwrap_or(&self.main)
    }

    fn threads(&self) -> impl Iterator<Item = &Thread> {
        iter::once(&self.main).chain(self.beside.values())
    }

    /// Numbers are in the order in which orders are given, to whichever thread.
    fn next_order(&self) -> u64 {
        self.orders.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is committed and waits for its publication.
    pub fn waiting(&self) -> Waiting {
        self.threads().map(|thread| thread.waiting.get()).fold(Waiting::default(), Waiting::plus)
    }

    /// Whether nothing that is known to be committed waits for its publication. [`Committer::waiting`] leaves out what was
    /// committed just now, most of which is published at once.
    pub fn is_all_published(&self) -> bool {
        self.threads().all(|thread| thread.waiting.is_all_published())
    }

    /// What is committed of this site, and of all, and was not taken by the data server, whether it is published or not.
    pub fn in_spool(&self, site: &str) -> InSpool {
        self.engines.spooled().of(site)
    }

    /// What was completed since the last call; of each filesystem in order.
    pub fn completions(&self) -> Vec<Completion> {
        self.threads().flat_map(|thread| thread.worker.completions()).collect()
    }

    /// Whether no thread has panicked, of those that stage files as well. Where one has, what it was given is never
    /// completed: the process is to be started anew.
    pub fn is_alive(&self) -> bool {
        let mut staged_in = self.staged_in.iter().filter_map(Weak::upgrade);
        self.threads().all(|thread| thread.worker.is_alive()) && staged_in.all(|dir| dir.can_stage())
    }

    /// How long commits have taken.
    pub fn commits(&self) -> Commits {
        self.threads().map(|thread| thread.commits.get()).fold(Commits::default(), Commits::and)
    }

    /// How many files were queued whose completion has not been fetched.
    pub fn pending(&self) -> usize {
        self.threads().map(|thread| thread.worker.pending()).sum()
    }

    /// Commits what is queued, publishes that as far as its turn has come, ends the threads and unlocks the state
    /// directory. The completions not fetched so far, and what is left for the next start to publish.
    pub fn stop(self) -> (Vec<Completion>, Waiting) {
        let (mut completions, mut waiting) = (Vec::new(), Waiting::default());
        // The one that every site may need comes first: another's filesystem may not answer.
        for Thread { worker, waiting: of_thread, .. } in iter::once(self.main).chain(self.beside.into_values()) {
            completions.extend(worker.stop());
            waiting = waiting.plus(of_thread.get());
        }
        (completions, waiting)
    }
}

impl From<SiteFile> for Outstanding {
    fn from(SiteFile { site, name, fingerprint }: SiteFile) -> Self {
        Self { site: site.to_string(), name, fingerprint }
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod recovery_tests;
#[cfg(test)]
#[path = "committer_tests.rs"]
mod tests;
