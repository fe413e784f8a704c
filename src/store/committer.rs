//! The thread that makes files durable and publishes them, in groups.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::Durability;
use super::answering::in_time;
use super::disk::{Disk, RealDisk};
use super::engine::{Engine, Item};
use super::error::{START_THREAD, StoreError};
use super::hashed_temp::ClosedHashedTemp;
use super::journal::{self, Intent, Replay, SiteFile, SpoolId};
use super::journal_file::JournalFile;
use super::publish_order::PublishOrder;
use super::publish_queue::Publish;
use super::spool::Spool;
use super::spool_dir::SpoolDir;
use super::spooled::{InSpool, Spooled};
use super::worker::{Notify, Pause, Work, Worker};
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

/// [`Waiting`], for the loop to see what the committer's thread has.
#[derive(Clone, Debug, Default)]
struct SharedWaiting(Arc<(AtomicUsize, AtomicU64)>);

impl SharedWaiting {
    fn set(&self, (files, bytes): (usize, u64)) {
        self.0.0.store(files, Ordering::Relaxed);
        self.0.1.store(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> Waiting {
        Waiting { files: self.0.0.load(Ordering::Relaxed), bytes: self.0.1.load(Ordering::Relaxed) }
    }
}

/// The handle of the committer's thread. Its methods never wait for the disk, but for [`Committer::stop`] and
/// [`Committer::start`].
#[derive(Debug)]
pub struct Committer {
    worker: Worker<Committing<RealDisk>>,
    waiting: SharedWaiting,
    spooled: Spooled,
}

#[derive(Debug)]
pub(super) enum Order {
    Publish(Publication),
    /// A spool is open by now that may not have been at the start.
    TakeIn(Spool),
    /// A site no longer has its copy.
    Forget(SiteFile),
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
        policy: CommitPolicy,
        spools: &[Spool],
        notify: Notify,
    ) -> Result<(Self, Vec<Outstanding>), StoreError> {
        let engine = open(state_dir, policy, spools)?;
        let outstanding = engine.held().map(Outstanding::from).collect();
        let committing = Committing::new(engine);
        let (waiting, spooled) = (committing.waiting.clone(), committing.engine.spooled().clone());
        let worker = Worker::start(committing, notify).map_err(StoreError::std(START_THREAD, state_dir))?;
        Ok((Self { worker, waiting, spooled }, outstanding))
    }

    /// Queues a file. An agent's files are published oldest first as far as their names tell, and else in the order they
    /// were queued in; none is committed ahead of an earlier one of its chain.
    pub fn publish(&self, publication: Publication) {
        let ticket = publication.ticket;
        let stopped = || Completion { ticket, result: Err(StoreError::Stopped) };
        self.worker.ask(Order::Publish(publication), stopped);
    }

    /// The site's copy of a published file is gone: deleted there, or no longer listed.
    pub fn forget(&self, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        // Without the thread nothing is published, so there is nothing to forget either.
        self.worker.tell(Order::Forget(SiteFile { site, name, fingerprint }));
    }

    /// A spool was opened, perhaps after the start: what the run before has committed in it is taken up.
    pub fn take_in(&self, spool: Spool) {
        self.worker.tell(Order::TakeIn(spool));
    }

    /// What is committed and waits for its publication.
    pub fn waiting(&self) -> Waiting {
        self.waiting.get()
    }

    /// What is committed of this site, and of all, and was not taken by the data server, whether it is published or not.
    pub fn in_spool(&self, site: &str) -> InSpool {
        self.spooled.of(site)
    }

    /// What was completed since the last call, in order.
    pub fn completions(&self) -> Vec<Completion> {
        self.worker.completions()
    }

    /// How many files were queued whose completion has not been fetched.
    pub fn pending(&self) -> usize {
        self.worker.pending()
    }

    /// Commits what is queued, publishes that as far as its turn has come, ends the thread and unlocks the state directory.
    /// The completions not fetched so far, and what is left for the next start to publish.
    pub fn stop(self) -> (Vec<Completion>, Waiting) {
        let completions = self.worker.stop();
        (completions, self.waiting.get())
    }
}

impl From<&SiteFile> for Outstanding {
    fn from(copy: &SiteFile) -> Self {
        Self { site: copy.site.to_string(), name: copy.name.clone(), fingerprint: copy.fingerprint }
    }
}

#[expect(clippy::disallowed_methods, reason = "the committer's thread has a clock of its own")]
fn open(state_dir: &Path, policy: CommitPolicy, spools: &[Spool]) -> Result<Engine<RealDisk>, StoreError> {
    let (file, content) = JournalFile::open(state_dir)?;
    let replay = journal::replay(&content).map_err(|found| StoreError::JournalFormat {
        path: file.path().to_owned(),
        found,
        known: journal::FORMAT,
    })?;
    warn_of_damage(file.path(), &replay);
    let mut disk = RealDisk::new(policy.durability, file);
    for spool in spools {
        disk.adopt(spool.area())?;
    }
    let is_damaged = !replay.bad_lines.is_empty();
    let known = replay.state.spools.clone();
    let mut engine = Engine::recover(disk, replay.state, is_damaged, policy.publish, Instant::now())?;
    for (id, path) in known {
        let files = engine.left_in(id);
        if files > 0 && spools.iter().all(|spool| spool.area().id != id) {
            take_up_unused(&mut engine, id, &path, files);
        }
    }
    // What need not wait for the data server does not count as waiting from the start.
    engine.publish(Instant::now());
    Ok(engine)
}

/// Takes up the files that are committed in a spool that no site is collected into any more, or none that can be opened: the
/// sites may have none of them.
#[expect(clippy::disallowed_methods, reason = "the committer's thread has a clock of its own")]
fn take_up_unused(engine: &mut Engine<RealDisk>, id: SpoolId, path: &Path, files: usize) {
    let (directory, files) = (quoted(path), Count(files, "file"));
    let (at, device) = (path.to_owned(), engine.disk_mut().device_of_journal());
    let reopened =
        in_time(path, move || SpoolDir::reopen(&at, id)?.map(|area| area.answering_beside(device)).transpose());
    let taken_up = reopened.and_then(|area| {
        let Some(area) = area.map(Arc::new) else { return Ok(false) };
        engine.disk_mut().adopt(&area)?;
        engine.add_spool(id, area.path().to_owned(), Instant::now())?;
        Ok(true)
    });
    match taken_up {
        Ok(true) => log::info!(
            "directory={directory} {files} committed earlier and not known to be published: published as their turn \
             comes, though no site is collected into it just now"
        ),
        Ok(false) => log::warn!(
            "directory={directory} reason=stranded {files} committed earlier may wait in its staging area, and that is \
             not there: bring it back, if it was moved, and start again"
        ),
        Err(error) => log::warn!(
            "directory={directory} reason=stranded {files} committed earlier may wait in its staging area, which is \
             looked at again at the next start: {error}"
        ),
    }
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
    waiting: SharedWaiting,
}

impl Work for Committing<RealDisk> {
    type Order = Order;
    type Completion = Completion;

    const NAME: &'static str = "committer";
    const GROUP: usize = 1024;

    fn carry_out(&mut self, group: Vec<Order>, now: Instant) -> Vec<Completion> {
        self.carry_out(group, now)
    }

    fn go_on(&mut self, now: Instant) -> Pause {
        self.go_on(now)
    }
}

impl<D: Disk> Committing<D> {
    pub(super) fn new(engine: Engine<D>) -> Self {
        let waiting = SharedWaiting::default();
        waiting.set(engine.waiting());
        Self { engine, waiting }
    }

    pub(super) fn carry_out(&mut self, group: Vec<Order>, now: Instant) -> Vec<Completion> {
        let (mut publications, mut gone) = (Vec::new(), Vec::new());
        for order in group {
            match order {
                Order::TakeIn(spool) => self.take_in(&spool, now),
                Order::Publish(publication) => publications.push(publication),
                Order::Forget(copy) => gone.push(copy),
            }
        }
        // They are about what was completed, so it is older than anything in the group.
        self.engine.forget(gone);
        if publications.is_empty() { Vec::new() } else { self.commit(publications, now) }
    }

    /// Publishes what may be by now.
    pub(super) fn go_on(&mut self, now: Instant) -> Pause {
        let has_news = self.engine.publish(now);
        self.waiting.set(self.engine.waiting());
        Pause { until: self.engine.next_look(), has_news }
    }

    fn commit(&mut self, group: Vec<Publication>, now: Instant) -> Vec<Completion> {
        let (mut tickets, mut links) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        let mut completions = Vec::with_capacity(group.len());
        for publication in group {
            let ticket = publication.ticket;
            match self.take(publication, now) {
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

    fn take_in(&mut self, spool: &Spool, now: Instant) {
        let taken = self.engine.disk_mut().take_in(spool);
        let added = taken.and_then(|new| new.map_or(Ok(()), |(id, path)| self.engine.add_spool(id, path, now)));
        if let Err(error) = added {
            // The next file for it, or the next start, tries again.
            log::warn!("{error}");
        }
    }

    fn take(&mut self, publication: Publication, now: Instant) -> Result<Item, StoreError> {
        let Publication { site, name, staged, chain, .. } = publication;
        let chain = chain.unwrap_or_default();
        let fingerprint = staged.fingerprint();
        let taken = self.engine.disk_mut().take_over(staged, &name).inspect_err(|_| chain.break_off());
        let ((spool, stage), new) = taken?;
        if let Some(path) = new {
            self.engine.add_spool(spool, path, now).inspect_err(|_| chain.break_off())?;
        }
        Ok(Item { intent: Intent { spool, stage, copy: SiteFile { site, name, fingerprint } }, chain })
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod recovery_tests;
#[cfg(test)]
#[path = "committer_tests.rs"]
mod tests;
