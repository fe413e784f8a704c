//! What the run before has left: which committed files are published, and which wait.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use crate::proto::{Count, quoted};
use crate::store::fs::compare::Comparison;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::SpoolId;
use crate::store::spool::disk::{At, Disk};
use crate::store::spool::journal::{Intent, SiteFile};

impl<D: Disk> Engine<D> {
    /// Takes up what the run before has committed, as recorded in the journal that these share: all of them, before any
    /// is used. `is_damaged`: records of the journal are lost.
    pub(in crate::store) fn recover(
        engines: &mut [&mut Self],
        is_damaged: bool,
        now: Instant,
    ) -> Result<(), StoreError> {
        let known: BTreeSet<SpoolId> = engines.iter_mut().flat_map(|engine| engine.match_spools()).collect();
        if is_damaged {
            let open: BTreeSet<SpoolId> = engines.iter().flat_map(|engine| engine.spools()).collect();
            // What is staged in one that is opened later may be what the lost records were about.
            for engine in &*engines {
                engine.journal.change(|state| state.spools.retain(|id, _| open.contains(id)));
            }
        }
        engines.iter_mut().try_for_each(|engine| engine.take_up_all(&known, is_damaged, now))
    }

    fn take_up_all(&mut self, known: &BTreeSet<SpoolId>, is_damaged: bool, now: Instant) -> Result<(), StoreError> {
        let spools = self.spools();
        self.flush_filesystems(&spools)?;
        let mut useless = Vec::new();
        for &spool in &spools {
            useless.extend(self.take_up(spool, known.contains(&spool) && !is_damaged, now)?);
        }
        self.journal.rewrite()?;
        for spool in spools {
            self.disk.record_journal(spool, known.contains(&spool));
        }
        self.discard(useless);
        Ok(())
    }

    fn spools(&self) -> BTreeSet<SpoolId> {
        self.disk.spools().into_iter().map(|(id, _)| id).collect()
    }

    /// The page cache outlives a killed process: what is seen now, intents too, may be on no disk yet. And the run
    /// before may have been one that never flushes.
    fn flush_filesystems(&mut self, spools: &BTreeSet<SpoolId>) -> Result<(), StoreError> {
        for filesystem in self.disk.filesystems(spools) {
            self.disk.sync_filesystem(filesystem[0])?;
        }
        self.journal.sync()
    }

    /// Takes up what the run before has left in a spool: all of it, or nothing if there is an error. Returns the staged
    /// files without an intent. `is_known`: the journal has what was committed there, unless another was kept since.
    fn take_up(&mut self, spool: SpoolId, is_known: bool, now: Instant) -> Result<Vec<At>, StoreError> {
        let leftovers = self.leftovers(spool)?;
        let is_known = is_known && self.disk.is_last(spool)?;
        let orphans = if is_known { Vec::new() } else { self.measure(&leftovers)? };
        let mut useless = self.resume(spool, now)?;
        self.adopt(&orphans);
        if is_known {
            useless.extend(leftovers);
        }
        Ok(useless)
    }

    /// Staged files that the journal should have and does not: sites may have none of them any more. Their names are
    /// lost; a data server reads the agent from what is in them.
    fn measure(&mut self, orphans: &[At]) -> Result<Vec<Intent>, StoreError> {
        let measured = orphans.iter().map(|&(spool, stage)| {
            let fingerprint = self.disk.measure_staged((spool, stage))?;
            let name = format!("recovered-{stage}.{}.data", stage.number);
            let name = name.parse().expect("digits, letters and dashes make a name");
            Ok(Intent { spool, stage, copy: SiteFile { site: Arc::from(""), name, fingerprint } })
        });
        measured.collect()
    }

    fn adopt(&mut self, orphans: &[Intent]) {
        for intent in orphans {
            self.journal.change(|state| state.committed.insert(intent.clone()));
            self.queue.push(intent);
        }
        if let Some(&Intent { spool, stage, .. }) = orphans.first() {
            let path = self.journal.read(|state| state.spools.get(&spool).cloned()).unwrap_or_default();
            log::warn!(
                "directory={} reason=orphaned no journal has {} in the staging area: they are published as \
                 recovered-{stage}.{}.data and the like, and may arrive twice, or in part",
                quoted(&path),
                Count(orphans.len(), "file"),
                stage.number
            );
        }
    }

    /// A staging area whose identity has changed is another one: what was published through the old one may be lost.
    /// Returns those that the journal has.
    fn match_spools(&mut self) -> BTreeSet<SpoolId> {
        let mut known = BTreeSet::new();
        for (id, path) in self.disk.spools() {
            let is_replaced = |(old, at): (&SpoolId, &PathBuf)| (*at == path && *old != id).then_some(*old);
            let replaced: Vec<SpoolId> =
                self.journal.read(|state| state.spools.iter().filter_map(is_replaced).collect());
            for old in replaced {
                log::warn!(
                    "{}: not the directory of the last run, though in its place: its files may arrive twice",
                    quoted(&path)
                );
                let waiting = self.journal.read(|state| state.left_in(old));
                if waiting > 0 {
                    log::warn!(
                        "directory={} reason=stranded {} committed earlier may wait in the staging area of the directory \
                         that was here: once that is back in its place, a start publishes them under names of ours",
                        quoted(&path),
                        Count(waiting, "file")
                    );
                }
                self.journal.change(|state| state.drop_spool(old));
            }
            if self.journal.change(|state| state.spools.insert(id, path)).is_some() {
                known.insert(id);
            }
        }
        known
    }

    /// Looks what became of the files that were committed through this spool, and queues those that are not published.
    /// The staged files that came to nothing.
    fn resume(&mut self, spool: SpoolId, now: Instant) -> Result<Vec<At>, StoreError> {
        let (mut useless, mut waiting) = (Vec::new(), Vec::new());
        let of_spool = |file: &&Intent| file.spool == spool;
        let committed: Vec<Intent> =
            self.journal.read(|state| state.committed.iter().filter(of_spool).cloned().collect());
        for intent in committed {
            let at = (intent.spool, intent.stage);
            match self.disk.compare_staged(at, &intent.copy.fingerprint)? {
                Comparison::Same => waiting.push(intent),
                // It was whole and durable before the journal had it, and only publishing takes it away.
                Comparison::Absent => {
                    self.journal.change(|state| state.committed.remove(intent.stage));
                }
                Comparison::Different => {
                    let SiteFile { site, name, .. } = &intent.copy;
                    let site = quoted(&**site);
                    log::warn!(
                        "site={site} file={name} reason=damaged its staged copy is not what was committed; it is fetched \
                         again if the site still has it"
                    );
                    self.journal.change(|state| state.give_up(intent.stage));
                    useless.push(at);
                }
            }
        }
        self.disk.sync_names(spool)?;
        for name in self.disk.published_names(spool)? {
            self.queue.found(spool, name, now);
        }
        for intent in &waiting {
            self.queue.push(intent);
        }
        Ok(useless)
    }

    /// Staged files of earlier runs that the journal does not have.
    fn leftovers(&mut self, spool: SpoolId) -> Result<Vec<At>, StoreError> {
        let leftovers = self.disk.leftovers(spool)?.into_iter();
        Ok(self.journal.read(|state| {
            leftovers.filter(|&stage| state.committed.get(stage).is_none()).map(|stage| (spool, stage)).collect()
        }))
    }

    /// Takes a spool in that was not there at the start, and takes up what the run before has committed in it. Lets it go
    /// again if that fails: its files must not be published before those that wait there.
    pub(in crate::store) fn add_spool(&mut self, id: SpoolId, path: PathBuf, now: Instant) -> Result<(), StoreError> {
        let is_known = self.journal.read(|state| state.spools.contains_key(&id));
        let flushed = self.flush_filesystems(&BTreeSet::from([id]));
        let useless = match flushed.and_then(|()| self.take_up(id, is_known, now)) {
            Ok(useless) => useless,
            Err(error) => {
                self.disk.let_go(id);
                return Err(error);
            }
        };
        self.journal.change(|state| state.spools.insert(id, path));
        // Before the damaged ones go: one that the journal still has, and that is absent, counts as published.
        match self.journal.rewrite() {
            Ok(()) => self.discard(useless),
            Err(error) => {
                log::warn!("{error}");
                for file in useless {
                    self.discard_after_rewrite(file);
                }
            }
        }
        self.disk.record_journal(id, is_known);
        Ok(())
    }
}
