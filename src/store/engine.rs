//! The commit protocol: what is done to the disk, in which order, and what an error at any step comes to.
//! The [module above](super) has the argument; the tests run it on a model of a disk.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::iter;
use std::path::PathBuf;

use super::area::Likeness;
use super::chain::Chain;
use super::clash::fresh_names;
use super::committer::Published;
use super::disk::{At, Disk};
use super::error::StoreError;
use super::journal::{Copy, Intent, Record, SpoolId, StageId, State};

/// Rewriting pays when the journal has this many records more than twice what is still true.
const SLACK: usize = 4096;

/// Publishes groups of files, and keeps the journal of it.
#[derive(Debug)]
pub(super) struct Engine<D> {
    disk: D,
    state: State,
    journal: Journal,
    /// Abandoned files that the journal on disk may still promise: spoiled, and removed once it does not.
    voided: Vec<At>,
}

/// What may be done with the journal's file.
#[derive(Clone, Copy, Debug)]
enum Journal {
    /// Append: it has this many records.
    Sound { records: usize },
    /// Rewrite it: an append or a flush has failed, so nobody knows what it holds.
    Doubtful,
}

/// A file to be published, if none before it in its chain has failed.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) intent: Intent,
    pub(super) chain: Chain,
}

/// How publishing one file ended.
pub(super) type Outcome = Result<Published, StoreError>;

/// What became of a staged file whose publishing did not fail.
enum Placed {
    /// It has its name in the incoming directory.
    Moved(Published),
    /// It is left over: the same bytes are there already.
    LeftOver(Published),
}

impl<D: Disk> Engine<D> {
    /// Finishes what the run before had under way, as its journal says.
    pub(super) fn recover(disk: D, state: State) -> Result<Self, StoreError> {
        let mut engine = Self { disk, state, journal: Journal::Doubtful, voided: Vec::new() };
        let known = engine.match_spools();
        let spools: BTreeSet<SpoolId> = engine.disk.spools().into_iter().map(|(id, _)| id).collect();
        let mut useless = engine.finish(&spools)?;
        for spool in spools {
            engine.disk.introduce(spool, known.contains(&spool));
            useless.extend(engine.disk.leftovers(spool)?.into_iter().map(|stage| (spool, stage)));
        }
        engine.discard(useless);
        Ok(engine)
    }

    /// Finishes what the run before had under way in these spools. The staged files that are of no use any more.
    fn finish(&mut self, spools: &BTreeSet<SpoolId>) -> Result<Vec<At>, StoreError> {
        // The page cache outlives a killed process: what is seen now, intents too, may be on no disk yet. And the run
        // before may have been one that never flushes.
        for filesystem in self.disk.filesystems(spools) {
            self.disk.sync_filesystem(filesystem[0])?;
        }
        self.disk.sync_journal()?;
        let (published, useless) = self.resume(spools);
        for &spool in spools {
            self.disk.sync_names(spool)?;
        }
        for stage in published {
            self.state.published(stage);
        }
        self.rewrite()?;
        Ok(useless)
    }

    /// A staging area whose identity has changed is another one: what was published through the old one may be lost.
    /// Those that the journal knows.
    fn match_spools(&mut self) -> BTreeSet<SpoolId> {
        let mut known = BTreeSet::new();
        for (id, path) in self.disk.spools() {
            let is_replaced = |(old, at): (&SpoolId, &PathBuf)| (*at == path && *old != id).then_some(*old);
            let replaced: Vec<SpoolId> = self.state.spools.iter().filter_map(is_replaced).collect();
            for old in replaced {
                log::warn!(
                    "{}: not the directory of the last run, though in its place: its files may arrive twice",
                    path.display()
                );
                self.state.drop_spool(old);
            }
            if self.state.spools.insert(id, path).is_some() {
                known.insert(id);
            }
        }
        known
    }

    /// Carries out the intents of the run before: those that are published now, and the files that came to nothing.
    fn resume(&mut self, spools: &BTreeSet<SpoolId>) -> (Vec<StageId>, Vec<At>) {
        let (mut published, mut useless, mut failed) = (Vec::new(), Vec::new(), HashSet::new());
        let intents = self.state.intents.values().filter(|intent| spools.contains(&intent.spool));
        for intent in intents.cloned().collect::<Vec<_>>() {
            let at = (intent.spool, intent.stage);
            let origin = intent.copy.origin();
            match self.resume_one(&intent, !intent.is_only && failed.contains(&origin)) {
                Ok(Some(Placed::LeftOver(_))) => {
                    published.push(intent.stage);
                    useless.push(at);
                }
                Ok(Some(Placed::Moved(_)) | None) => published.push(intent.stage),
                Err(reason) => {
                    let Copy { site, name, .. } = &intent.copy;
                    log::warn!("{site}: {name}: was being published at the last stop, will be fetched again: {reason}");
                    self.state.intents.remove(&intent.stage);
                    useless.push(at);
                    failed.insert(origin);
                }
            }
        }
        (published, useless)
    }

    /// `None`: it is published already. `is_late`: what its agent wrote before it will be fetched again.
    fn resume_one(&mut self, intent: &Intent, is_late: bool) -> Result<Option<Placed>, String> {
        let at = (intent.spool, intent.stage);
        let likeness = self.disk.compare_staged(at, &intent.copy.fingerprint).map_err(|error| error.to_string())?;
        match likeness {
            // It was whole and durable before the intent was written, and only publishing takes it away.
            Likeness::Absent => Ok(None),
            Likeness::Different => Err("its staged copy is damaged".to_owned()),
            Likeness::Same if is_late => Err(StoreError::HeldBack.to_string()),
            Likeness::Same => self.place(intent).map(Some).map_err(|error| error.to_string()),
        }
    }

    /// What is published here, and may still be at the sites.
    pub(super) fn held(&self) -> impl Iterator<Item = &Copy> {
        self.state.held.keys()
    }

    pub(super) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Takes a spool in that was not there at the start, and finishes what the run before had under way in it.
    pub(super) fn add_spool(&mut self, id: SpoolId, path: PathBuf) {
        let is_known = self.state.spools.insert(id, path.clone()).is_some();
        self.note(&[Record::Spool(id, path)]);
        let finished = self.finish(&BTreeSet::from([id])).and_then(|useless| Ok((useless, self.disk.leftovers(id)?)));
        self.disk.introduce(id, is_known);
        match finished {
            Ok((useless, left)) => self.discard(useless.into_iter().chain(left.into_iter().map(|stage| (id, stage)))),
            // What is not finished now is at the next start.
            Err(error) => log::warn!("{error}"),
        }
    }

    /// Publishes a group, in its order. One outcome for each file.
    pub(super) fn commit(&mut self, group: &[Link]) -> Vec<Outcome> {
        let unflushed = self.flush(group);
        let hindrance = |Link { intent, chain }: &Link| match unflushed.get(&intent.spool) {
            // Not even promised: a next start would keep that.
            _ if chain.is_broken() => Some(StoreError::HeldBack),
            failure => failure.cloned(),
        };
        let mut outcomes: HashMap<StageId, Outcome> =
            group.iter().filter_map(|link| Some((link.intent.stage, Err(hindrance(link)?)))).collect();
        let (lost, flushed): (Vec<&Link>, Vec<&Link>) =
            group.iter().partition(|link| outcomes.contains_key(&link.intent.stage));
        self.discard(lost.iter().map(|link| (link.intent.spool, link.intent.stage)));
        let intents: Vec<&Intent> = flushed.iter().map(|link| &link.intent).collect();
        match self.promise(&intents) {
            Ok(()) => outcomes.extend(self.publish(&flushed)),
            Err(error) => {
                self.abandon(&intents);
                outcomes.extend(intents.iter().map(|intent| (intent.stage, Err(error.clone()))));
            }
        }
        self.compact();
        let outcome = |Link { intent, chain }: &Link| {
            let outcome = outcomes.remove(&intent.stage).expect("each file was held back, lost, failed or published");
            outcome.inspect_err(|_| chain.break_off())
        };
        group.iter().map(outcome).collect()
    }

    /// Takes note of what the sites have, and no longer have.
    pub(super) fn amend(&mut self, records: Vec<Record>) {
        let mut news = Vec::with_capacity(records.len());
        for record in records {
            if !matches!(&record, Record::Gone(copy) if !self.state.held.contains_key(copy)) {
                self.state.apply(record.clone());
                news.push(record);
            }
        }
        self.note(&news);
        self.compact();
    }

    /// Makes the group's bytes durable. The spools where that failed: nobody knows what is on their disks.
    fn flush(&mut self, group: &[Link]) -> BTreeMap<SpoolId, StoreError> {
        let spools = group.iter().map(|link| link.intent.spool).collect();
        let mut failures = BTreeMap::new();
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
    fn promise(&mut self, intents: &[&Intent]) -> Result<(), StoreError> {
        self.state.intents.extend(intents.iter().map(|&intent| (intent.stage, intent.clone())));
        self.look_after_journal();
        match self.journal {
            Journal::Doubtful => self.rewrite(),
            Journal::Sound { .. } if intents.is_empty() => Ok(()),
            Journal::Sound { .. } => {
                let records: Vec<Record> = intents.iter().map(|&intent| Record::Intent(intent.clone())).collect();
                self.append(&records)?;
                self.disk.sync_journal().inspect_err(|_| self.journal = Journal::Doubtful)
            }
        }
    }

    /// A journal that somebody has removed, alone or with its directory, has to be written anew.
    fn look_after_journal(&mut self) {
        if let Journal::Sound { .. } = self.journal
            && let Some(path) = self.disk.lost_journal()
        {
            log::warn!("{}: removed, or replaced, while this program runs: it is written anew", path.display());
            self.journal = Journal::Doubtful;
        }
    }

    /// Gives the files their names.
    fn publish(&mut self, links: &[&Link]) -> HashMap<StageId, Outcome> {
        let (mut outcomes, mut refused) = (HashMap::new(), Vec::new());
        let mut placed = Vec::with_capacity(links.len());
        for Link { intent, chain } in links {
            match chain.advance(|| self.place(intent)) {
                Ok(how) => placed.push((intent, how)),
                Err(error) => {
                    refused.push(intent);
                    outcomes.insert(intent.stage, Err(error));
                }
            }
        }
        let spools: BTreeSet<SpoolId> = placed.iter().map(|(intent, _)| intent.spool).collect();
        let unsynced: BTreeMap<SpoolId, StoreError> =
            spools.into_iter().filter_map(|spool| Some((spool, self.disk.sync_names(spool).err()?))).collect();
        let (mut records, mut left_over) = (Vec::new(), Vec::new());
        for (intent, how) in placed {
            let outcome = match (unsynced.get(&intent.spool), how) {
                // Perhaps durable, perhaps not: the intent stays for the next start to see what became of it.
                (Some(error), _) => Err(error.clone()),
                (None, how) => {
                    self.state.published(intent.stage);
                    records.push(Record::Published(intent.stage));
                    Ok(match how {
                        Placed::Moved(published) => published,
                        Placed::LeftOver(published) => {
                            left_over.push((intent.spool, intent.stage));
                            published
                        }
                    })
                }
            };
            outcomes.insert(intent.stage, outcome);
        }
        self.note(&records);
        self.discard(left_over);
        if !refused.is_empty() {
            self.abandon(&refused);
        }
        outcomes
    }

    /// Moves one staged file to its name, or to a fresh one; never over anything.
    fn place(&mut self, intent: &Intent) -> Result<Placed, StoreError> {
        let at = (intent.spool, intent.stage);
        let own = &intent.copy.name;
        for name in iter::once(own.clone()).chain(fresh_names(own)) {
            if self.disk.place(at, &name)? {
                let fresh = name != *own;
                return Ok(Placed::Moved(if fresh { Published::Renamed { name } } else { Published::New { name } }));
            }
            if self.disk.compare_published(intent.spool, &name, &intent.copy.fingerprint)? == Likeness::Same {
                return Ok(Placed::LeftOver(Published::Duplicate { name }));
            }
        }
        let taken = self.disk.published_path(intent.spool, own);
        let can_grow = fresh_names(own).next().is_some();
        Err(if can_grow { StoreError::NoFreeName(taken) } else { StoreError::NoLongerName(taken) })
    }

    /// Takes intents back. Their staged files go only after the promise of them is gone from the journal: a promised file
    /// that is absent counts as published.
    fn abandon(&mut self, intents: &[&Intent]) {
        for intent in intents {
            self.state.intents.remove(&intent.stage);
        }
        if self.rewrite().is_ok() {
            return self.discard(intents.iter().map(|intent| (intent.spool, intent.stage)));
        }
        for intent in intents {
            let at = (intent.spool, intent.stage);
            if let Err(error) = self.disk.void(at, &intent.copy.fingerprint) {
                log::warn!(
                    "{}: {}: a failed copy stays and may arrive twice: {error}",
                    intent.copy.site,
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
            log::warn!("{first} (and {} more like it)", failures.count());
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
