//! The commit protocol: what is done to the disk, in which order, and what an error at any step comes to.
//! The [module `store`](crate::store) has the argument; the tests run it on a model of a disk.

mod publishing;
mod recovery;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::Discriminant;
use std::time::Instant;

use super::disk::{At, Disk};
use super::journal::{Intent, SiteFile};
use super::publish_order::PublishOrder;
use super::publish_queue::PublishQueue;
use super::shared_journal::{SharedJournal, Unwritten};
use crate::proto::quoted;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::{SpoolId, StageId};

/// Commits groups of files, publishes what is committed, and keeps the journal of it.
#[derive(Debug)]
pub(in crate::store) struct Engine<D: Disk> {
    disk: D,
    journal: SharedJournal<D::Journal>,
    queue: PublishQueue,
    to_discard: ToDiscard,
    failing: Failing,
}

/// Abandoned files that the journal on disk may still promise: spoiled, and removed once it does not.
#[derive(Debug, Default)]
struct ToDiscard {
    files: Vec<At>,
    /// How often the journal had been rewritten when the last of them was abandoned.
    rewrites: u64,
}

/// An incoming directory, and the agent of a file for it.
type AgentKey = (SpoolId, Box<[u8]>);

/// What kind of error it was.
type Kind = Discriminant<StoreError>;

/// Agents whose next file could not be published when that was last tried.
#[derive(Debug, Default)]
struct Failing {
    agents: BTreeMap<AgentKey, Kind>,
    /// How many of them there are of each kind in a directory.
    kinds: HashMap<(SpoolId, Kind), usize>,
}

impl Failing {
    /// Whether it is the first of its kind in its directory.
    fn insert(&mut self, key: AgentKey, kind: Kind) -> bool {
        let counted = (key.0, kind);
        let is_first = !self.kinds.contains_key(&counted);
        self.remove(&key);
        self.agents.insert(key, kind);
        *self.kinds.entry(counted).or_default() += 1;
        is_first
    }

    /// Whether it was one of them.
    fn remove(&mut self, key: &AgentKey) -> bool {
        let Some(kind) = self.agents.remove(key) else { return false };
        let counted = (key.0, kind);
        if let Some(count) = self.kinds.get_mut(&counted) {
            *count -= 1;
            if *count == 0 {
                self.kinds.remove(&counted);
            }
        }
        true
    }
}

/// A file to be committed, if none before it in its chain has failed.
#[derive(Debug)]
pub(in crate::store) struct Item {
    pub(in crate::store) intent: Intent,
    pub(in crate::store) chain: PublishOrder,
    /// The number of its order.
    pub(in crate::store) order: u64,
}

/// How committing one file ended.
pub(in crate::store) type Outcome = Result<(), StoreError>;

impl<D: Disk> Engine<D> {
    /// One on a disk whose committed files are in this journal, among others' maybe. What the run before has left is to be
    /// [taken up](Self::recover) first.
    pub(in crate::store) fn new(disk: D, journal: SharedJournal<D::Journal>, queue: PublishQueue) -> Self {
        Self { disk, journal, queue, to_discard: ToDiscard::default(), failing: Failing::default() }
    }

    /// The journal that it shares with others.
    #[cfg(test)]
    pub(in crate::store) fn journal(&self) -> &SharedJournal<D::Journal> {
        &self.journal
    }

    /// Files, and their bytes, that are committed and not published.
    pub(in crate::store) fn waiting(&self) -> (usize, u64) {
        self.queue.waiting()
    }

    /// When [`publish`](Self::publish) is to be called again, whatever comes.
    pub(in crate::store) fn next_look(&self) -> Option<Instant> {
        self.queue.next_look()
    }

    pub(in crate::store) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Commits a group: makes it durable, and writes down that it is. One outcome for each file.
    pub(in crate::store) fn commit(&mut self, group: &[Item]) -> Vec<Outcome> {
        let unflushed = self.flush(group);
        let hindrance = |Item { intent, chain, .. }: &Item| {
            let failure = match unflushed.get(&intent.spool) {
                // Not even promised: a next start would keep that.
                _ if chain.is_broken() => Some(StoreError::Blocked),
                None => self.disk.check_staged((intent.spool, intent.stage)).err(),
                failure => failure.cloned(),
            };
            // At once: the chain's next file may be in this group.
            failure.inspect(|_| chain.mark_broken())
        };
        let mut failed: HashMap<StageId, StoreError> =
            group.iter().filter_map(|item| Some((item.intent.stage, hindrance(item)?))).collect();
        let (lost, flushed): (Vec<&Item>, Vec<&Item>) =
            group.iter().partition(|item| failed.contains_key(&item.intent.stage));
        self.discard(lost.iter().map(|item| (item.intent.spool, item.intent.stage)));
        let intents: Vec<(&Intent, u64)> = flushed.iter().map(|item| (&item.intent, item.order)).collect();
        match self.journal.commit(&intents) {
            Ok(()) => intents.iter().for_each(|(intent, _)| self.queue.push(intent)),
            Err(Unwritten { error, may_be_journaled }) => {
                self.abandon(&intents, may_be_journaled);
                failed.extend(intents.iter().map(|(intent, _)| (intent.stage, error.clone())));
            }
        }
        self.discard_pending();
        let outcome = |Item { intent, chain, .. }: &Item| match failed.remove(&intent.stage) {
            None => Ok(()),
            Some(error) => {
                chain.mark_broken();
                Err(error)
            }
        };
        group.iter().map(outcome).collect()
    }

    /// Takes note of what the sites no longer have, of what was committed before the orders of these numbers, by whichever
    /// committer.
    pub(in crate::store) fn forget(&mut self, gone: Vec<(SiteFile, u64)>) {
        self.journal.forget(gone);
        self.discard_pending();
    }

    /// Makes the group's bytes durable. Returns the spools where that failed: it is unknown what is on their disks.
    fn flush(&mut self, group: &[Item]) -> BTreeMap<SpoolId, StoreError> {
        let (mut failures, mut spools) = (BTreeMap::new(), BTreeSet::new());
        for spool in group.iter().map(|item| item.intent.spool).collect::<BTreeSet<_>>() {
            match self.disk.check_place(spool) {
                Ok(()) => drop(spools.insert(spool)),
                Err(error) => drop(failures.insert(spool, error)),
            }
        }
        for filesystem in self.disk.filesystems(&spools) {
            let files: Vec<At> = group
                .iter()
                .map(|item| &item.intent)
                .filter(|intent| filesystem.contains(&intent.spool))
                .map(|intent| (intent.spool, intent.stage))
                .collect();
            if let Err(error) = self.disk.sync_staged(&files) {
                failures.extend(filesystem.into_iter().map(|spool| (spool, error.clone())));
            }
        }
        failures
    }

    /// Removes files whose intents were taken back; only after the promise of them is gone from the journal: a promised
    /// file that is absent counts as published.
    fn abandon(&mut self, intents: &[(&Intent, u64)], may_be_journaled: bool) {
        if !may_be_journaled {
            return self.discard(intents.iter().map(|(intent, _)| (intent.spool, intent.stage)));
        }
        // The last first: if that is cut short, what is left and published at the next start is no agent's later file.
        for (intent, _) in intents.iter().rev() {
            let at = (intent.spool, intent.stage);
            if let Err(error) = self.disk.invalidate(at, &intent.copy.fingerprint) {
                log::warn!(
                    "site={} file={} a failed copy stays and may arrive twice: {error}",
                    quoted(&*intent.copy.site),
                    intent.copy.name
                );
            }
            self.discard_after_rewrite(at);
        }
    }

    /// A file is to be removed as soon as the journal has been rewritten.
    fn discard_after_rewrite(&mut self, file: At) {
        self.to_discard.files.push(file);
        self.to_discard.rewrites = self.journal.rewrites();
    }

    /// Removes what was to be discarded before the journal was rewritten, by any of the committers.
    fn discard_pending(&mut self) {
        if !self.to_discard.files.is_empty() && self.journal.rewrites() > self.to_discard.rewrites {
            let files = std::mem::take(&mut self.to_discard.files);
            self.discard(files);
        }
    }

    /// Removes staged files that nobody waits for. What stays is swept at the next start.
    fn discard(&mut self, files: impl IntoIterator<Item = At>) {
        let mut failures = files.into_iter().filter_map(|at| self.disk.discard(at).err());
        if let Some(first) = failures.next() {
            let more = failures.count();
            let more = if more == 0 { String::new() } else { format!(" (and {more} more like it)") };
            log::warn!("{first}{more}");
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
