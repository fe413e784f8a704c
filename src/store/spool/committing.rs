//! What a committer's thread does.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Spool;
use super::committer::{Completion, Publication, Waiting};
use super::disk::{Disk, RealDisk};
use super::engine::{Engine, Item};
use super::journal::{Intent, SiteFile};
use crate::mutex::lock;
use crate::store::fs::error::StoreError;
use crate::store::fs::worker::{Pause, Work};

/// A committer's orders. They have numbers, which grow.
#[derive(Debug)]
pub(in crate::store) enum Order {
    Publish(Publication, u64),
    /// A spool is open by now that may not have been at the start.
    TakeIn(Spool),
    /// A site no longer has its copy of what was committed before this order was given.
    Forget(SiteFile, u64),
}

/// [`Waiting`], for the loop to see what the committer's thread has.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct SharedWaiting(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    files: AtomicUsize,
    bytes: AtomicU64,
    /// Files committed since the last two were set: whether they wait is not known yet.
    new: AtomicUsize,
}

impl SharedWaiting {
    pub(in crate::store) fn set(&self, (files, bytes): (usize, u64)) {
        self.0.files.store(files, Ordering::Relaxed);
        self.0.bytes.store(bytes, Ordering::Relaxed);
        // Last: a reader that sees none here sees the others as well.
        self.0.new.store(0, Ordering::Release);
    }

    fn add_new(&self, files: usize) {
        self.0.new.fetch_add(files, Ordering::Relaxed);
    }

    pub(in crate::store) fn get(&self) -> Waiting {
        Waiting { files: self.0.files.load(Ordering::Relaxed), bytes: self.0.bytes.load(Ordering::Relaxed) }
    }

    /// Whether all is published whose completion is known.
    pub(in crate::store) fn is_all_published(&self) -> bool {
        self.0.new.load(Ordering::Acquire) == 0 && self.get().files == 0
    }
}

/// How long groups of files took to be made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// Groups.
    pub groups: u64,
    /// Files in them.
    pub files: u64,
    /// Files in the last group.
    pub last_files: u64,
    /// How long the last group took.
    pub last: Duration,
    /// How long the slowest took.
    pub longest: Duration,
}

impl Commits {
    fn add(&mut self, files: u64, took: Duration) {
        let (groups, longest) = (self.groups + 1, self.longest.max(took));
        *self = Self { groups, files: self.files + files, last_files: files, last: took, longest };
    }

    /// Those of two threads: the slower one's last group counts.
    pub(super) fn and(self, other: Self) -> Self {
        let last = if self.last >= other.last { self } else { other };
        Self {
            groups: self.groups + other.groups,
            files: self.files + other.files,
            last_files: last.last_files,
            last: last.last,
            longest: self.longest.max(other.longest),
        }
    }
}

/// [`Commits`], for the loop to see.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct SharedCommits(Arc<Mutex<Commits>>);

impl SharedCommits {
    pub(in crate::store) fn get(&self) -> Commits {
        *lock(&self.0)
    }
}

/// What the thread does.
#[derive(Debug)]
pub(in crate::store) struct Committing<D: Disk> {
    pub(in crate::store) engine: Engine<D>,
    pub(in crate::store) waiting: SharedWaiting,
    pub(in crate::store) commits: SharedCommits,
}

impl Work for Committing<RealDisk> {
    type Order = Order;
    type Completion = Completion;

    const NAME: &'static str = "committer";
    const GROUP: usize = 1024;

    #[expect(clippy::disallowed_methods, reason = "it measures itself, away from the loop and its clock")]
    fn carry_out(&mut self, group: Vec<Order>, now: Instant) -> Vec<Completion> {
        let files = group.iter().filter(|order| matches!(order, Order::Publish(..))).count() as u64;
        let completions = self.carry_out(group, now);
        if files > 0 {
            lock(&self.commits.0).add(files, Instant::now().saturating_duration_since(now));
        }
        completions
    }

    fn go_on(&mut self, now: Instant) -> Pause {
        self.go_on(now)
    }
}

impl<D: Disk> Committing<D> {
    pub(in crate::store) fn new(engine: Engine<D>) -> Self {
        let waiting = SharedWaiting::default();
        waiting.set(engine.waiting());
        Self { engine, waiting, commits: SharedCommits::default() }
    }

    pub(in crate::store) fn carry_out(&mut self, group: Vec<Order>, now: Instant) -> Vec<Completion> {
        let (mut publications, mut gone) = (Vec::new(), Vec::new());
        for order in group {
            match order {
                Order::TakeIn(spool) => self.take_in(&spool, now),
                Order::Publish(publication, number) => publications.push((publication, number)),
                Order::Forget(copy, number) => gone.push((copy, number)),
            }
        }
        // They are about what was completed, so it is older than anything in the group.
        self.engine.forget(gone);
        if publications.is_empty() { Vec::new() } else { self.commit(publications, now) }
    }

    /// Publishes what may be by now.
    pub(in crate::store) fn go_on(&mut self, now: Instant) -> Pause {
        let has_news = self.engine.publish(now);
        self.waiting.set(self.engine.waiting());
        Pause { until: self.engine.next_look(), has_news }
    }

    fn commit(&mut self, group: Vec<(Publication, u64)>, now: Instant) -> Vec<Completion> {
        let (mut tickets, mut items) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        let mut completions = Vec::with_capacity(group.len());
        for (publication, number) in group {
            let ticket = publication.ticket;
            match self.take(publication, number, now) {
                Ok(item) => {
                    tickets.push(ticket);
                    items.push(item);
                }
                Err(error) => completions.push(Completion { ticket, result: Err(error) }),
            }
        }
        let outcomes = self.engine.commit(&items);
        // Before any completion is reported; files are published after that.
        self.waiting.add_new(outcomes.iter().filter(|outcome| outcome.is_ok()).count());
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

    fn take(&mut self, publication: Publication, order: u64, now: Instant) -> Result<Item, StoreError> {
        let Publication { site, name, staged, chain, .. } = publication;
        let chain = chain.unwrap_or_default();
        let fingerprint = staged.fingerprint();
        let taken = self.engine.disk_mut().take_over(staged, &name).inspect_err(|_| chain.mark_broken());
        let ((spool, stage), new) = taken?;
        if let Some(path) = new {
            self.engine.add_spool(spool, path, now).inspect_err(|_| chain.mark_broken())?;
        }
        Ok(Item { intent: Intent { spool, stage, copy: SiteFile { site, name, fingerprint } }, chain, order })
    }
}
