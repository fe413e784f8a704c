//! A disk that fails and forgets as real ones do, for tests of the commit protocol and for simulations.

mod committer;
mod disk;
mod fault;
mod harness;
mod site;
mod stepping_sink;
mod store_worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustix::io::Errno;

use super::Durability;
use super::fs::compare::Comparison;
use super::fs::error::StoreError;
use crate::proto::{FileName, Fingerprint};
pub(crate) use crate::store::fs::ids::StageId;

#[cfg(test)]
pub(super) use committer::recovered;
pub(crate) use committer::{ModelCommitter, fail_staging, stage_on};
pub(super) use disk::{ModelDisk, SPOOL};
pub(crate) use fault::{Fault, Moment, Share, Spared};
pub(crate) use site::{FileId, SiteDisk, SiteFault, StorageEvent, When, settle_files};
pub(crate) use stepping_sink::SteppingSinks;
pub(crate) use store_worker::{ModelStoreWorker, at_site, reordered};

/// The names of a filesystem; an inode is known by the staged name it was born under.
#[derive(Clone, Debug, Default)]
struct Names {
    staged: BTreeSet<StageId>,
    published: BTreeMap<FileName, StageId>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Created(StageId),
    Placed(StageId, FileName),
    Discarded(StageId),
    Removed(FileName),
}

impl Names {
    fn apply(&mut self, change: NameChange) {
        match change {
            NameChange::Created(stage) => drop(self.staged.insert(stage)),
            NameChange::Placed(stage, name) => {
                self.staged.remove(&stage);
                self.published.insert(name, stage);
            }
            NameChange::Discarded(stage) => drop(self.staged.remove(&stage)),
            NameChange::Removed(name) => drop(self.published.remove(&name)),
        }
    }
}

#[derive(Clone, Debug)]
struct Inode {
    cached: Fingerprint,
    durable: Option<Fingerprint>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    cached: Vec<u8>,
    durable: Vec<u8>,
}

/// The disk, and what the kernel keeps of it in memory.
#[derive(Debug)]
pub(crate) struct World {
    cached: Names,
    durable: Names,
    /// What `cached` is ahead of `durable`: filesystems keep the order of such changes.
    changes: Vec<NameChange>,
    inodes: BTreeMap<StageId, Inode>,
    journal: Log,
    /// Counts the starts.
    session: u64,
    next: u64,
    faults: VecDeque<(u32, Fault)>,
    /// How many steps were taken.
    steps: u32,
    /// How many of them the last start took.
    recovery: u32,
    /// Whether nothing is synced that need not be.
    pub(crate) durability: Durability,
    down: bool,
    /// Whether it was the machine that went down last.
    has_lost_power: bool,
    chance: fastrand::Rng,
    /// How often something durable may have been lost.
    losses: u64,
    /// What got a name since somebody asked.
    placed: Vec<(StageId, FileName)>,
    pub(super) costs: Costs,
}

/// What was asked of the disk since somebody set this to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    /// Bytes added to the journal.
    pub(super) appended: u64,
    /// Bytes that took the journal's place.
    pub(super) rewritten: u64,
    /// Names tried for a file.
    pub(super) tried: u64,
    /// Files read.
    pub(super) read: u64,
}

impl World {
    /// An empty disk that meets `faults`, each after so many good steps.
    pub(crate) fn new(seed: u64, faults: &[(u32, Fault)]) -> Self {
        Self {
            cached: Names::default(),
            durable: Names::default(),
            changes: Vec::new(),
            inodes: BTreeMap::new(),
            journal: Log::default(),
            session: 0,
            next: 0,
            faults: faults.iter().copied().collect(),
            steps: 0,
            recovery: 0,
            durability: Durability::Fsync,
            down: false,
            has_lost_power: false,
            chance: fastrand::Rng::with_seed(seed),
            losses: 0,
            placed: Vec::new(),
            costs: Costs::default(),
        }
    }

    /// Whether the process must be started again.
    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    /// Whether all faults were met.
    pub(super) fn is_spent(&self) -> bool {
        self.faults.is_empty()
    }

    /// A new process; its journal.
    pub(super) fn start(&mut self) -> Vec<u8> {
        self.down = false;
        self.has_lost_power = false;
        if let Some((0, Fault::Broken)) = self.faults.front() {
            self.faults.pop_front();
        }
        self.session += 1;
        self.journal.cached.clone()
    }

    pub(super) fn stage(&mut self, bytes: Fingerprint) -> StageId {
        let stage = StageId { session: self.session, number: self.next };
        self.next += 1;
        self.inodes.insert(stage, Inode { cached: bytes, durable: None });
        self.change(NameChange::Created(stage));
        stage
    }

    /// The data server takes what is there.
    pub(super) fn consume(&mut self) -> Vec<Fingerprint> {
        self.sync_all_names();
        self.durable.published.clear();
        let published = std::mem::take(&mut self.cached.published);
        published.into_values().map(|stage| self.inodes[&stage].cached).collect()
    }

    /// What has this name.
    pub(crate) fn find(&self, name: &FileName) -> Option<StageId> {
        self.cached.published.get(name).copied()
    }

    /// What reading that file gives.
    pub(crate) fn read(&self, file: StageId) -> Fingerprint {
        self.inodes[&file].cached
    }

    pub(crate) fn staged(&self) -> usize {
        self.cached.staged.len()
    }

    fn change(&mut self, change: NameChange) {
        self.cached.apply(change.clone());
        self.changes.push(change);
    }

    fn sync_bytes(&mut self, stage: StageId) {
        if let Some(inode) = self.inodes.get_mut(&stage) {
            inode.durable = Some(inode.cached);
        }
    }

    fn sync_all_names(&mut self) {
        for change in self.changes.drain(..) {
            self.durable.apply(change);
        }
    }

    fn lose_power(&mut self, spared: Spared) {
        self.losses += 1;
        self.has_lost_power = true;
        self.changes.truncate(spared.names.of(self.changes.len(), &mut self.chance));
        self.sync_all_names();
        self.cached = self.durable.clone();
        for inode in self.inodes.values_mut() {
            let is_spared = spared.bytes.of(1, &mut self.chance) == 1;
            let unsynced = if is_spared { inode.cached } else { Fingerprint::of(b"zeros") };
            inode.cached = inode.durable.unwrap_or(unsynced);
        }
        let Log { cached, durable } = &mut self.journal;
        let unsynced = cached.len() - durable.len();
        cached.truncate(durable.len() + spared.journal.of(unsynced, &mut self.chance));
    }

    /// A step that is left out where nothing is flushed.
    fn durably(&mut self, sync: impl FnOnce(&mut Self)) -> Result<(), StoreError> {
        self.durability.flush(|| self.step(sync))
    }

    /// One step on the disk: whether `act` is carried out, and how it ends.
    fn step<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T, StoreError> {
        let errno = if self.chance.bool() { Errno::IO } else { Errno::NOSPC };
        let failed = || StoreError::Io { action: "work", path: "model".into(), errno };
        if self.down {
            return Err(failed());
        }
        self.steps += 1;
        let fault = match self.faults.front_mut() {
            None => return Ok(act(self)),
            Some((steps @ 1.., _)) => {
                *steps -= 1;
                return Ok(act(self));
            }
            Some((0, fault)) => *fault,
        };
        let acts = match fault {
            Fault::Broken => return Err(failed()),
            Fault::Crash(moment, _) => moment == Moment::After,
            Fault::Kill | Fault::PowerLoss | Fault::Error => self.chance.bool(),
        };
        if acts {
            act(self);
        }
        self.down = fault != Fault::Error;
        match fault {
            Fault::PowerLoss => self.lose_power(Spared::BY_CHANCE),
            Fault::Crash(_, Some(spared)) => self.lose_power(spared),
            _ => {}
        }
        self.faults.pop_front();
        Err(failed())
    }

    fn likeness(&self, stage: Option<StageId>, wanted: &Fingerprint) -> Comparison {
        match stage {
            None => Comparison::Absent,
            Some(stage) if self.inodes[&stage].cached == *wanted => Comparison::Same,
            Some(_) => Comparison::Different,
        }
    }
}
