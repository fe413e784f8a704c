//! The model disk in a life: what is done to it from outside, and what is to be seen of it.

use super::{Fault, NameChange, Spared, StageId, World};
use crate::proto::{FileName, Fingerprint};
use crate::store::Durability;
use crate::store::spool::journal::replay;

impl World {
    /// The process dies here and now.
    pub(crate) fn kill(&mut self) {
        self.down = true;
    }

    /// The machine does.
    pub(crate) fn cut_power(&mut self) {
        self.down = true;
        self.lose_power(Spared::BY_CHANCE);
    }

    /// Whether it was the machine that went down last, and not the process alone.
    pub(crate) fn has_lost_power(&self) -> bool {
        self.has_lost_power
    }

    /// How many steps were taken.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// How many steps the last start took that came to its end.
    pub(crate) fn recovery(&self) -> u32 {
        self.recovery
    }

    /// Somebody else has put a file there.
    pub(crate) fn put(&mut self, name: FileName, bytes: Fingerprint) {
        let file = self.stage(bytes);
        self.change(NameChange::Placed(file, name));
        self.sync_bytes(file);
        self.sync_all_names();
    }

    /// After so many more good steps, this happens.
    pub(crate) fn inject(&mut self, steps: u32, fault: Fault) {
        self.faults.push_back((steps, fault));
    }

    /// Meets no more faults.
    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The names published, in their order.
    pub(crate) fn published(&self) -> Vec<FileName> {
        self.cached.published.keys().cloned().collect()
    }

    /// The data server takes one file, and flushes nothing.
    pub(crate) fn take(&mut self, name: &FileName) -> Option<StageId> {
        let file = self.find(name)?;
        self.change(NameChange::Removed(name.clone()));
        Some(file)
    }

    /// The files of these bytes that are published, or committed, and would be after what the durability promises to
    /// withstand.
    pub(crate) fn kept(&self, bytes: &Fingerprint) -> Vec<StageId> {
        let (names, journal) = match self.durability {
            Durability::None => (&self.cached, &self.journal.cached),
            Durability::Fsync => (&self.durable, &self.journal.durable),
        };
        let is_whole = |file: &StageId| match self.durability {
            Durability::None => self.inodes[file].cached == *bytes,
            Durability::Fsync => self.inodes[file].durable == Some(*bytes),
        };
        let mut kept: Vec<StageId> = names.published.values().copied().filter(is_whole).collect();
        let staged: Vec<StageId> = names.staged.iter().copied().filter(is_whole).collect();
        if !staged.is_empty() {
            let committed = replay(journal).expect("the journal is of our format").state.committed;
            kept.extend(staged.into_iter().filter(|&file| committed.get(file).is_some()));
        }
        kept
    }

    /// How often something durable may have been lost.
    pub(crate) fn losses(&self) -> u64 {
        self.losses
    }

    /// What got a name since the last call.
    pub(crate) fn placed(&mut self) -> Vec<(StageId, FileName)> {
        std::mem::take(&mut self.placed)
    }
}
