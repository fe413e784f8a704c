//! The thread that makes files durable and publishes them, in groups.

use std::path::Path;
use std::sync::Arc;

use super::Durability;
use super::chain::Chain;
use super::disk::{Disk, RealDisk};
use super::engine::{Engine, Link};
use super::error::StoreError;
use super::journal::{self, Copy, Intent, Record, Replay};
use super::journal_file::JournalFile;
use super::spool::Spool;
use super::stage::Staged;
use super::worker::{Notify, Work, Worker};
use crate::proto::{Count, FileName, Fingerprint, quoted};

/// Enough to see what kind of damage it is.
const BAD_LINES_TOLD: usize = 5;

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
    pub staged: Staged,
    /// The files it must not overtake; `None` if its site may have no copy any more, so that nothing is to hold it back.
    pub chain: Option<Chain>,
}

/// How a [`Publication`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The publication's.
    pub ticket: u64,
    /// `Ok`: the file is safe, as the [`Durability`] chosen understands it, and the site's copy may go. `Err`: the site
    /// must keep its copy; there is none here any more.
    pub result: Result<Published, StoreError>,
}

/// Where a file is found in the incoming directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Under its own name.
    New {
        /// That name.
        name: FileName,
    },
    /// Under a fresh name, since its own was taken by other bytes.
    Renamed {
        /// The fresh name.
        name: FileName,
    },
    /// It was there before.
    Duplicate {
        /// Under this name.
        name: FileName,
    },
}

/// A file that was published by an earlier run, and is not known to be gone from its site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// The site's name.
    pub site: String,
    /// The file's name at the site.
    pub name: FileName,
    /// What was published.
    pub fingerprint: Fingerprint,
}

/// The handle of the committer's thread. Its methods never wait for the disk, but for [`Committer::stop`] and
/// [`Committer::start`].
#[derive(Debug)]
pub struct Committer {
    worker: Worker<Committing<RealDisk>>,
}

#[derive(Debug)]
pub(super) enum Order {
    Publish(Publication),
    /// A record that nothing else depends on.
    Note(Record),
}

impl Order {
    pub(super) fn gone(site: Arc<str>, name: FileName, fingerprint: Fingerprint) -> Self {
        Self::Note(Record::Gone(Copy { site, name, fingerprint }))
    }

    pub(super) fn held(spool: &Spool, site: Arc<str>, name: FileName, fingerprint: Fingerprint) -> Self {
        Self::Note(Record::Held(spool.area().id, Copy { site, name, fingerprint }))
    }
}

impl Committer {
    /// Locks `state_dir` and the spools, finishes what a crash has left, and starts the thread. `notify` is called, on that
    /// thread, whenever there are new completions.
    ///
    /// What is [`Outstanding`] must not be published again: compare and let the site's copy go, or
    /// [`forget`](Committer::forget) it when the site no longer lists it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process works there; whatever keeps the journal from being read or written.
    pub fn start(
        state_dir: &Path,
        durability: Durability,
        spools: &[Spool],
        notify: Notify,
    ) -> Result<(Self, Vec<Outstanding>), StoreError> {
        let engine = open(state_dir, durability, spools)?;
        let outstanding = engine.held().map(Outstanding::from).collect();
        let worker =
            Worker::start(Committing { engine }, notify).map_err(StoreError::std("start a thread for", state_dir))?;
        Ok((Self { worker }, outstanding))
    }

    /// Queues a file. Files are published in the order they were queued in, and none ahead of an earlier one of its chain.
    pub fn publish(&self, publication: Publication) {
        let ticket = publication.ticket;
        let stopped = || Completion { ticket, result: Err(StoreError::Stopped) };
        self.worker.ask(Order::Publish(publication), stopped);
    }

    /// The site's copy of a published file is gone: deleted there, or no longer listed.
    pub fn forget(&self, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        // Without the thread nothing is published, so there is nothing to forget either.
        self.worker.tell(Order::gone(site, name, fingerprint));
    }

    /// The site has a copy all the same of what was published into `spool` before and is forgotten.
    pub fn hold(&self, spool: &Spool, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        self.worker.tell(Order::held(spool, site, name, fingerprint));
    }

    /// What was completed since the last call, in order.
    pub fn completions(&self) -> Vec<Completion> {
        self.worker.completions()
    }

    /// How many files were queued whose completion has not been fetched.
    pub fn pending(&self) -> usize {
        self.worker.pending()
    }

    /// Publishes what is queued, ends the thread and unlocks the state directory. The completions not fetched so far.
    pub fn stop(self) -> Vec<Completion> {
        self.worker.stop()
    }
}

impl From<&Copy> for Outstanding {
    fn from(copy: &Copy) -> Self {
        Self { site: copy.site.to_string(), name: copy.name.clone(), fingerprint: copy.fingerprint }
    }
}

fn open(state_dir: &Path, durability: Durability, spools: &[Spool]) -> Result<Engine<RealDisk>, StoreError> {
    let (file, content) = JournalFile::open(state_dir)?;
    let replay = journal::replay(&content).map_err(|found| StoreError::JournalFormat {
        path: file.path().to_owned(),
        found,
        known: journal::FORMAT,
    })?;
    warn_of_damage(file.path(), &replay);
    let mut disk = RealDisk::new(durability, file);
    for spool in spools {
        disk.adopt(spool.area())?;
    }
    Engine::recover(disk, replay.state)
}

fn warn_of_damage(journal: &Path, replay: &Replay) {
    let journal = quoted(journal);
    for line in replay.bad_lines.iter().take(BAD_LINES_TOLD) {
        log::warn!("{journal}:{line}: not a record, skipped: a file may arrive twice");
    }
    if let Some(more @ 1..) = replay.bad_lines.len().checked_sub(BAD_LINES_TOLD) {
        log::warn!("{journal}: skipped {} more that cannot be read: files may arrive twice", Count(more, "line"));
    }
    if let Some(line) = replay.torn_line {
        log::warn!(
            "{journal}:{line}: cut short, as by a loss of power or a full disk, and skipped; where somebody has damaged it, \
             files may arrive twice"
        );
    }
}

/// What the thread does.
#[derive(Debug)]
pub(super) struct Committing<D> {
    pub(super) engine: Engine<D>,
}

impl Work for Committing<RealDisk> {
    type Order = Order;
    type Completion = Completion;

    const NAME: &'static str = "committer";
    const GROUP: usize = 1024;

    fn carry_out(&mut self, group: Vec<Order>) -> Vec<Completion> {
        self.carry_out(group)
    }
}

impl<D: Disk> Committing<D> {
    pub(super) fn carry_out(&mut self, group: Vec<Order>) -> Vec<Completion> {
        let (mut publications, mut notes) = (Vec::new(), Vec::new());
        for order in group {
            match order {
                Order::Publish(publication) => publications.push(publication),
                Order::Note(record) => notes.push(record),
            }
        }
        // They are about what was completed, so it is older than anything in the group.
        self.engine.amend(notes);
        if publications.is_empty() { Vec::new() } else { self.commit(publications) }
    }

    fn commit(&mut self, group: Vec<Publication>) -> Vec<Completion> {
        let (mut tickets, mut links) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        let mut completions = Vec::with_capacity(group.len());
        for publication in group {
            let ticket = publication.ticket;
            match self.take(publication) {
                Ok(link) => {
                    tickets.push(ticket);
                    links.push(link);
                }
                Err(error) => completions.push(Completion { ticket, result: Err(error) }),
            }
        }
        let outcomes = self.engine.commit(&links);
        completions.extend(tickets.into_iter().zip(outcomes).map(|(ticket, result)| Completion { ticket, result }));
        completions
    }

    fn take(&mut self, publication: Publication) -> Result<Link, StoreError> {
        let Publication { site, name, staged, chain, .. } = publication;
        let (is_only, chain) = (chain.is_none(), chain.unwrap_or_default());
        let fingerprint = staged.fingerprint();
        let taken = self.engine.disk_mut().take_over(staged).inspect_err(|_| chain.break_off());
        let ((spool, stage), new) = taken?;
        if let Some(path) = new {
            self.engine.add_spool(spool, path);
        }
        Ok(Link { intent: Intent { spool, stage, copy: Copy { site, name, fingerprint }, is_only }, chain })
    }
}

#[cfg(test)]
#[path = "committer_tests.rs"]
mod tests;
