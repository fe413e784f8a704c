//! The commit protocol: what is done to the disk, in which order, and what an error at any step comes to.
//! The [module above](super) has the argument; the tests run it on a model of a disk.

mod publishing;
mod recovery;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::Discriminant;
use std::time::Instant;

use super::disk::{At, Disk};
use super::error::StoreError;
use super::journal::{Intent, Record, SiteFile, SpoolId, StageId, State};
use super::publish_order::PublishOrder;
use super::publish_queue::PublishQueue;
use super::spooled::Spooled;
use crate::proto::quoted;

/// Rewriting pays when the journal has this many records more than twice what is still true.
const SLACK: usize = 4096;

/// Commits groups of files, publishes what is committed, and keeps the journal of it.
#[derive(Debug)]
pub(super) struct Engine<D> {
    disk: D,
    state: State,
    journal: Journal,
    queue: PublishQueue,
    /// Abandoned files that the journal on disk may still promise: spoiled, and removed once it does not.
    voided: Vec<At>,
    failing: Failing,
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

/// What may be done with the journal's file.
#[derive(Clone, Copy, Debug)]
enum Journal {
    /// Append: it has this many records.
    Sound { records: usize },
    /// Rewrite it: an append or a flush has failed, so nobody knows what it holds.
    Doubtful,
}

/// A file to be committed, if none before it in its chain has failed.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) intent: Intent,
    pub(super) chain: PublishOrder,
}

/// How committing one file ended.
pub(super) type Outcome = Result<(), StoreError>;

impl<D: Disk> Engine<D> {
    /// What is committed here, and may still be at the sites.
    pub(super) fn held(&self) -> impl Iterator<Item = &SiteFile> {
        self.state.held.keys()
    }

    /// Files, and their bytes, that are committed and not published.
    pub(super) fn waiting(&self) -> (usize, u64) {
        self.queue.waiting()
    }

    /// How much of each site's is here and was not taken.
    pub(super) fn spooled(&self) -> &Spooled {
        self.queue.spooled()
    }

    /// Files committed in a spool that are not known to be published.
    pub(super) fn left_in(&self, spool: SpoolId) -> usize {
        self.state.committed.iter().filter(|intent| intent.spool == spool).count()
    }

    /// When [`publish`](Self::publish) is to be called again, whatever comes.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.queue.next_look()
    }

    pub(super) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Commits a group: makes it durable, and writes down that it is. One outcome for each file.
    pub(super) fn commit(&mut self, group: &[Item]) -> Vec<Outcome> {
        let unflushed = self.flush(group);
        let hindrance = |Item { intent, chain }: &Item| {
            let failure = match unflushed.get(&intent.spool) {
                // Not even promised: a next start would keep that.
                _ if chain.is_broken() => Some(StoreError::Blocked),
                None => self.disk.check_staged((intent.spool, intent.stage)).err(),
                failure => failure.cloned(),
            };
            // At once: the chain's next file may be in this group.
            failure.inspect(|_| chain.break_off())
        };
        let mut failed: HashMap<StageId, StoreError> =
            group.iter().filter_map(|link| Some((link.intent.stage, hindrance(link)?))).collect();
        let (lost, flushed): (Vec<&Item>, Vec<&Item>) =
            group.iter().partition(|link| failed.contains_key(&link.intent.stage));
        self.discard(lost.iter().map(|link| (link.intent.spool, link.intent.stage)));
        let intents: Vec<&Intent> = flushed.iter().map(|link| &link.intent).collect();
        match self.write_intents(&intents) {
            Ok(()) => intents.iter().for_each(|intent| self.queue.push(intent)),
            Err(error) => {
                self.abandon(&intents);
                failed.extend(intents.iter().map(|intent| (intent.stage, error.clone())));
            }
        }
        self.compact();
        let outcome = |Item { intent, chain }: &Item| match failed.remove(&intent.stage) {
            None => Ok(()),
            Some(error) => {
                chain.break_off();
                Err(error)
            }
        };
        group.iter().map(outcome).collect()
    }

    /// Takes note of what the sites no longer have. Durably: what is forgotten of a name must stay so, or the next file
    /// that comes under it would pass for the last one.
    pub(super) fn forget(&mut self, gone: Vec<SiteFile>) {
        let known = gone.into_iter().filter(|copy| self.state.held.remove(copy).is_some());
        let records: Vec<Record> = known.map(Record::Gone).collect();
        if records.is_empty() {
            return;
        }
        let written = match self.journal {
            Journal::Sound { .. } => self.append_durably(&records),
            Journal::Doubtful => self.rewrite(),
        };
        if let Err(error) = written {
            log::warn!("{error}");
        }
        self.compact();
    }

    /// Makes the group's bytes durable. The spools where that failed: nobody knows what is on their disks.
    fn flush(&mut self, group: &[Item]) -> BTreeMap<SpoolId, StoreError> {
        let (mut failures, mut spools) = (BTreeMap::new(), BTreeSet::new());
        for spool in group.iter().map(|link| link.intent.spool).collect::<BTreeSet<_>>() {
            match self.disk.check_place(spool) {
                Ok(()) => drop(spools.insert(spool)),
                Err(error) => drop(failures.insert(spool, error)),
            }
        }
        for filesystem in self.disk.filesystems(&spools) {
            let files: Vec<At> = group
                .iter()
                .map(|link| &link.intent)
                .filter(|intent| filesystem.contains(&intent.spool))
                .map(|intent| (intent.spool, intent.stage))
                .collect();
            if let Err(error) = self.disk.sync_staged(&files) {
                failures.extend(filesystem.into_iter().map(|spool| (spool, error.clone())));
            }
        }
        failures
    }

    /// Writes the intents down, durably. Not before the staged bytes are durable: an intent whose staged file is absent
    /// must mean that it was published, and not that the disk never came to see it.
    fn write_intents(&mut self, intents: &[&Intent]) -> Result<(), StoreError> {
        for &intent in intents {
            self.state.commit(intent.clone());
        }
        self.look_after_journal();
        match self.journal {
            Journal::Doubtful => self.rewrite(),
            Journal::Sound { .. } if intents.is_empty() => Ok(()),
            Journal::Sound { .. } => {
                self.append_durably(&intents.iter().map(|&intent| Record::Intent(intent.clone())).collect::<Vec<_>>())
            }
        }
    }

    /// A journal that somebody has removed, alone or with its directory, has to be written anew.
    fn look_after_journal(&mut self) {
        if let Journal::Sound { .. } = self.journal
            && let Some(path) = self.disk.lost_journal()
        {
            log::warn!("{}: removed, or replaced, while this program runs: it is written anew", quoted(&path));
            self.journal = Journal::Doubtful;
        }
    }

    /// Takes intents back. Their staged files go only after the promise of them is gone from the journal: a promised file
    /// that is absent counts as published.
    fn abandon(&mut self, intents: &[&Intent]) {
        for intent in intents {
            self.state.give_up(intent.stage);
        }
        if self.rewrite().is_ok() {
            return self.discard(intents.iter().map(|intent| (intent.spool, intent.stage)));
        }
        // The last first: if that is cut short, what is left and published at the next start is no agent's later file.
        for intent in intents.iter().rev() {
            let at = (intent.spool, intent.stage);
            if let Err(error) = self.disk.invalidate(at, &intent.copy.fingerprint) {
                log::warn!(
                    "site={} file={} a failed copy stays and may arrive twice: {error}",
                    quoted(&*intent.copy.site),
                    intent.copy.name
                );
            }
            self.voided.push(at);
        }
    }

    /// Appends records that nothing depends on: losing them costs a comparison with the site's copy later.
    fn note(&mut self, records: &[Record]) {
        if let Journal::Sound { .. } = self.journal
            && !records.is_empty()
            && let Err(error) = self.append(records)
        {
            log::warn!("{error}");
        }
    }

    fn append_durably(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.append(records)?;
        self.disk.sync_journal().inspect_err(|_| self.journal = Journal::Doubtful)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut lines = Vec::new();
        for record in records {
            record.encode(&mut lines);
        }
        let appended = self.disk.append(&lines);
        self.journal = match (self.journal, &appended) {
            (Journal::Sound { records: before }, Ok(())) => Journal::Sound { records: before + records.len() },
            _ => Journal::Doubtful,
        };
        appended
    }

    fn compact(&mut self) {
        if let Journal::Sound { records } = self.journal
            && records > 2 * self.state.len() + SLACK
            && let Err(error) = self.rewrite()
        {
            log::warn!("{error}");
        }
    }

    fn rewrite(&mut self) -> Result<(), StoreError> {
        self.journal = Journal::Doubtful;
        self.disk.rewrite(&self.state.snapshot())?;
        self.journal = Journal::Sound { records: self.state.len() };
        let voided = std::mem::take(&mut self.voided);
        self.discard(voided);
        Ok(())
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
