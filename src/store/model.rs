//! A disk that fails and forgets as real ones do, for tests of the commit protocol and for simulations.

mod committer;
mod fault;
mod keeper;
mod life;
mod site;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use rustix::io::Errno;

use super::Durability;
use super::area::Likeness;
use super::disk::{At, Disk};
use super::error::StoreError;
use super::flush::is_few;
use super::journal::SpoolId;
pub(crate) use super::journal::StageId;
use super::keep::{Change, IfTaken};
use super::shelf::Shelf;
use super::stage::Staged;
use crate::proto::{FileName, Fingerprint};

pub(super) use committer::staging_step;
pub(crate) use committer::{ModelCommitter, fail_staging, stage_on};
pub(crate) use fault::{Fault, Moment, Share, Spared};
pub(crate) use keeper::{ModelKeeper, at_site};
pub(super) use keeper::{drafting_step, reorder};
pub(crate) use site::{FileId, Happening, Mishap, SiteDisk, When};

pub(super) const SPOOL: SpoolId = SpoolId(7);

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
}

/// Shared with the engine that works on it.
#[derive(Clone, Debug)]
pub(crate) struct ModelDisk(pub(super) Rc<RefCell<World>>);

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

    fn likeness(&self, stage: Option<StageId>, wanted: &Fingerprint) -> Likeness {
        match stage {
            None => Likeness::Absent,
            Some(stage) if self.inodes[&stage].cached == *wanted => Likeness::Same,
            Some(_) => Likeness::Different,
        }
    }
}

/// One folder; a file is known by its inode.
impl Shelf for ModelDisk {
    type Folder = ();
    type Identity = StageId;

    fn filesystem(&self, (): &()) -> u64 {
        0
    }

    fn directory(&self, (): &()) -> (u64, u64) {
        (0, 0)
    }

    /// No more than is promised: the names are not durable.
    fn sync_staged(&mut self, files: &[(&(), StageId)]) -> Result<(), StoreError> {
        self.0.borrow_mut().step(|world| files.iter().for_each(|((), stage)| world.sync_bytes(*stage)))
    }

    fn sync_names(&mut self, (): &()) -> Result<(), StoreError> {
        Disk::sync_names(self, SPOOL)
    }

    fn place(&mut self, (): &(), stage: StageId, name: &FileName, if_taken: IfTaken) -> Result<Change, StoreError> {
        let taken = self.0.borrow().find(name).map(|file| self.0.borrow().read(file).size);
        match if_taken {
            IfTaken::Refuse if Disk::place(self, (SPOOL, stage), name)? => Ok(Change::Added),
            IfTaken::Refuse => Err(StoreError::Exists(name.to_string().into())),
            IfTaken::Replace => {
                self.0.borrow_mut().step(|world| world.change(NameChange::Placed(stage, name.clone())))?;
                Ok(taken.map_or(Change::Added, Change::Replaced))
            }
        }
    }

    fn remove(&mut self, (): &(), name: &FileName, identity: &StageId) -> Result<Change, StoreError> {
        self.0.borrow_mut().step(|world| {
            if world.find(name) != Some(*identity) {
                return Change::Nothing;
            }
            world.change(NameChange::Removed(name.clone()));
            Change::Removed(world.read(*identity).size)
        })
    }

    fn discard(&mut self, (): &(), stage: StageId) -> Result<(), StoreError> {
        Disk::discard(self, (SPOOL, stage))
    }
}

impl Disk for ModelDisk {
    fn spools(&self) -> Vec<(SpoolId, PathBuf)> {
        vec![(SPOOL, "model".into())]
    }

    fn filesystems(&self, spools: &BTreeSet<SpoolId>) -> Vec<Vec<SpoolId>> {
        spools.iter().map(|&spool| vec![spool]).collect()
    }

    fn take_over(&mut self, staged: Staged) -> Result<(At, Option<PathBuf>), StoreError> {
        Ok(((SPOOL, self.0.borrow_mut().stage(staged.fingerprint())), None))
    }

    /// No more than is promised, whichever way is chosen.
    fn sync_staged(&mut self, files: &[At]) -> Result<(), StoreError> {
        let mut world = self.0.borrow_mut();
        let sync = |world: &mut World, files: &[At]| files.iter().for_each(|&(_, stage)| world.sync_bytes(stage));
        if is_few(files.len()) {
            files.chunks(1).try_for_each(|file| world.durably(|world| sync(world, file)))?;
            return world.durably(World::sync_all_names);
        }
        world.durably(|world| {
            sync(world, files);
            world.sync_all_names();
        })
    }

    fn sync_filesystem(&mut self, _: SpoolId) -> Result<(), StoreError> {
        self.0.borrow_mut().durably(|world| {
            world.inodes.values_mut().for_each(|inode| inode.durable = Some(inode.cached));
            world.sync_all_names();
        })
    }

    fn sync_names(&mut self, _: SpoolId) -> Result<(), StoreError> {
        self.0.borrow_mut().durably(World::sync_all_names)
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let mut world = self.0.borrow_mut();
        let torn = world.chance.usize(..=lines.len());
        let appended = world.step(|world| world.journal.cached.extend_from_slice(lines));
        if appended.is_err() && !world.down {
            world.journal.cached.extend_from_slice(&lines[..torn]);
        }
        appended
    }

    fn sync_journal(&mut self) -> Result<(), StoreError> {
        self.0.borrow_mut().durably(|world| world.journal.durable.clone_from(&world.journal.cached))
    }

    fn rewrite(&mut self, journal: &[u8]) -> Result<(), StoreError> {
        let cached = journal.to_vec();
        self.0.borrow_mut().step(|world| {
            let durable = if world.durability == Durability::Fsync { cached.clone() } else { Vec::new() };
            world.journal = Log { cached, durable };
        })
    }

    fn place(&mut self, (_, stage): At, name: &FileName) -> Result<bool, StoreError> {
        self.0.borrow_mut().step(|world| {
            assert!(world.cached.staged.contains(&stage), "{stage} is placed twice");
            let free = !world.cached.published.contains_key(name);
            if free {
                world.placed.push((stage, name.clone()));
                world.change(NameChange::Placed(stage, name.clone()));
            }
            free
        })
    }

    fn compare_staged(&mut self, (_, stage): At, wanted: &Fingerprint) -> Result<Likeness, StoreError> {
        self.0.borrow_mut().step(|world| {
            let stage = world.cached.staged.get(&stage).copied();
            world.likeness(stage, wanted)
        })
    }

    fn compare_published(&mut self, _: SpoolId, name: &FileName, wanted: &Fingerprint) -> Result<Likeness, StoreError> {
        self.0.borrow_mut().step(|world| {
            let stage = world.cached.published.get(name).copied();
            world.likeness(stage, wanted)
        })
    }

    fn discard(&mut self, (_, stage): At) -> Result<(), StoreError> {
        self.0.borrow_mut().step(|world| world.change(NameChange::Discarded(stage)))
    }

    fn void(&mut self, (_, stage): At, _: &Fingerprint) -> Result<(), StoreError> {
        self.0.borrow_mut().step(|world| {
            if world.cached.staged.contains(&stage) {
                world.losses += 1;
                let void = Fingerprint::of(b"void");
                world.inodes.insert(stage, Inode { cached: void, durable: Some(void) });
            }
        })
    }

    fn leftovers(&mut self, _: SpoolId) -> Result<Vec<StageId>, StoreError> {
        self.0.borrow_mut().step(|world| {
            let session = world.session;
            world.cached.staged.iter().filter(|stage| stage.session != session).copied().collect()
        })
    }

    fn published_path(&self, _: SpoolId, name: &FileName) -> PathBuf {
        name.to_string().into()
    }
}
