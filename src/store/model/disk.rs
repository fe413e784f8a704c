//! The steps of publishing and keeping on the [model of a disk](super).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use super::{Inode, Log, NameChange, World};
use rustix::io::Errno;

use crate::proto::{FileName, Fingerprint};
use crate::store::buffer::storage_disk::StorageDisk;
use crate::store::buffer::store_group::Change;
use crate::store::fs::compare::Comparison;
use crate::store::fs::error::StoreError;
use crate::store::fs::flush::is_few;
use crate::store::fs::ids::{SpoolId, StageId};
use crate::store::spool::Spool;
use crate::store::spool::disk::{At, Disk, JournalDisk};
use crate::store::spool::hashed_temp::ClosedHashedTemp;
use crate::store::{Durability, OnConflict};

/// The only one there is.
pub(in crate::store) const SPOOL: SpoolId = SpoolId(7);

/// Shared with the engine that works on it.
#[derive(Clone, Debug)]
pub(in crate::store) struct ModelDisk(pub(in crate::store) Rc<RefCell<World>>);

/// One directory; a file is identified by its inode.
impl StorageDisk for ModelDisk {
    type Dir = ();
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

    fn rename_into(
        &mut self,
        (): &(),
        stage: StageId,
        name: &FileName,
        on_conflict: OnConflict,
    ) -> Result<Change, StoreError> {
        let taken = self.0.borrow().find(name).map(|file| self.0.borrow().read(file).size);
        match on_conflict {
            OnConflict::Refuse if Disk::rename_into(self, (SPOOL, stage), name)? => Ok(Change::Added),
            OnConflict::Refuse => Err(StoreError::Exists(name.to_string().into())),
            OnConflict::Replace => {
                self.0.borrow_mut().step(|world| world.change(NameChange::Placed(stage, name.clone())))?;
                Ok(taken.map_or(Change::Added, Change::Replaced))
            }
        }
    }

    fn is_still(&self, (): &(), name: &FileName, identity: &StageId) -> Result<bool, StoreError> {
        Ok(self.0.borrow().find(name) == Some(*identity))
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

impl JournalDisk for ModelDisk {
    fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let mut world = self.0.borrow_mut();
        let torn = world.chance.usize(..=lines.len());
        world.costs.appended += lines.len() as u64;
        let appended = world.step(|world| world.journal.cached.extend_from_slice(lines));
        if appended.is_err() && !world.down {
            world.journal.cached.extend_from_slice(&lines[..torn]);
        }
        appended
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.borrow_mut().durably(|world| world.journal.durable.clone_from(&world.journal.cached))
    }

    fn lost(&self) -> Option<PathBuf> {
        None
    }

    fn rewrite(&mut self, journal: &[u8]) -> Result<(), StoreError> {
        let cached = journal.to_vec();
        self.0.borrow_mut().step(|world| {
            world.costs.rewritten += cached.len() as u64;
            let durable = if world.durability == Durability::Fsync { cached.clone() } else { Vec::new() };
            world.journal = Log { cached, durable };
        })
    }
}

impl Disk for ModelDisk {
    type Journal = Self;

    fn spools(&self) -> Vec<(SpoolId, PathBuf)> {
        vec![(SPOOL, "model".into())]
    }

    fn filesystems(&self, spools: &BTreeSet<SpoolId>) -> Vec<Vec<SpoolId>> {
        spools.iter().map(|&spool| vec![spool]).collect()
    }

    fn record_journal(&mut self, _: SpoolId, _: bool) {}

    fn is_last(&self, _: SpoolId) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn take_in(&mut self, _: &Spool) -> Result<Option<(SpoolId, PathBuf)>, StoreError> {
        Ok(None)
    }

    fn let_go(&mut self, _: SpoolId) {}

    fn take_over(&mut self, staged: ClosedHashedTemp, _: &FileName) -> Result<(At, Option<PathBuf>), StoreError> {
        let fingerprint = staged.fingerprint();
        let (dir, stage) = staged.hand_over()?;
        // It is on the model from now on.
        dir.discard(stage)?;
        Ok(((SPOOL, self.0.borrow_mut().stage(fingerprint)), None))
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

    fn check_place(&self, _: SpoolId) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_staged(&self, (_, stage): At) -> Result<(), StoreError> {
        assert!(self.0.borrow().cached.staged.contains(&stage), "{stage} is not there");
        Ok(())
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

    fn rename_into(&mut self, (_, stage): At, name: &FileName) -> Result<bool, StoreError> {
        let missing = || StoreError::Io { action: "publish", path: "model".into(), errno: Errno::NOENT };
        let placed = self.0.borrow_mut().step(|world| {
            world.costs.tried += 1;
            if !world.cached.staged.contains(&stage) {
                return Err(missing());
            }
            let free = !world.cached.published.contains_key(name);
            if free {
                world.placed.push((stage, name.clone()));
                world.change(NameChange::Placed(stage, name.clone()));
            }
            Ok(free)
        });
        placed?
    }

    fn compare_staged(&mut self, (_, stage): At, wanted: &Fingerprint) -> Result<Comparison, StoreError> {
        self.0.borrow_mut().step(|world| {
            world.costs.read += 1;
            let stage = world.cached.staged.get(&stage).copied();
            world.likeness(stage, wanted)
        })
    }

    fn measure_staged(&mut self, (_, stage): At) -> Result<Fingerprint, StoreError> {
        let mut world = self.0.borrow_mut();
        world.costs.read += 1;
        Ok(world.read(stage))
    }

    fn is_published(&mut self, _: SpoolId, name: &FileName) -> bool {
        self.0.borrow().find(name).is_some()
    }

    fn published_names(&mut self, _: SpoolId) -> Result<Vec<FileName>, StoreError> {
        Ok(self.0.borrow().published())
    }

    fn discard(&mut self, (_, stage): At) -> Result<(), StoreError> {
        self.0.borrow_mut().step(|world| world.change(NameChange::Discarded(stage)))
    }

    fn invalidate(&mut self, (_, stage): At, _: &Fingerprint) -> Result<(), StoreError> {
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
