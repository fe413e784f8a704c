//! The commit protocol: what is done to the disk, in which order, and what an error at any step comes to.
//! The [module above](super) has the argument; the tests run it on a model of a disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::area::Likeness;
use super::chain::Chain;
use super::clash::fresh_names;
use super::disk::{At, Disk};
use super::error::StoreError;
use super::journal::{Copy, Intent, Record, SpoolId, StageId, State};
use super::publish_queue::{Notice, Publish, PublishQueue};
use crate::proto::{FileName, quoted};
use crate::sync::AgentFile;

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
    /// Whether the last try to publish has failed, and was told.
    has_failed: bool,
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
pub(super) struct Link {
    pub(super) intent: Intent,
    pub(super) chain: Chain,
}

/// How committing one file ended.
pub(super) type Outcome = Result<(), StoreError>;

/// What became of a committed file that was to be published.
enum Placed {
    /// It has this name in the incoming directory.
    As(FileName),
    /// Its name is taken, and it waits until that is free.
    Taken,
    /// Somebody has removed it from the staging area.
    Lost,
}

impl<D: Disk> Engine<D> {
    /// Takes up what the run before has committed, as its journal says.
    /// `is_damaged`: records of the journal are lost.
    pub(super) fn recover(
        disk: D,
        state: State,
        is_damaged: bool,
        publish: Publish,
        now: Instant,
    ) -> Result<Self, StoreError> {
        let queue = PublishQueue::new(publish);
        let mut engine = Self { disk, state, journal: Journal::Doubtful, queue, voided: Vec::new(), has_failed: false };
        let known = engine.match_spools();
        let spools: BTreeSet<SpoolId> = engine.disk.spools().into_iter().map(|(id, _)| id).collect();
        engine.flush_filesystems(&spools)?;
        let mut useless = Vec::new();
        for &spool in &spools {
            useless.extend(engine.resume(spool, now)?);
            let leftovers = engine.leftovers(spool)?;
            if known.contains(&spool) && !is_damaged {
                useless.extend(leftovers);
            } else {
                engine.adopt(&leftovers)?;
            }
        }
        engine.rewrite()?;
        for spool in spools {
            engine.disk.introduce(spool, known.contains(&spool));
        }
        engine.discard(useless);
        Ok(engine)
    }

    /// Takes up staged files that the journal should know and does not: sites may have none of them any more. Their names
    /// are lost; a data server reads the agent from what is in them.
    fn adopt(&mut self, orphans: &[At]) -> Result<(), StoreError> {
        for &(spool, stage) in orphans {
            let fingerprint = self.disk.measure_staged((spool, stage))?;
            let name = format!("recovered-{stage}.{}.data", stage.number);
            let name = name.parse().expect("digits, letters and dashes make a name");
            let intent = Intent { spool, stage, copy: Copy { site: Arc::from(""), name, fingerprint } };
            self.state.committed.insert(intent.clone());
            self.queue.push(&intent);
        }
        if let Some(&(spool, stage)) = orphans.first() {
            log::warn!(
                "{}: files in the staging area that no journal knows: {}; they are published as recovered-{stage}.{}.data and \
                 the like, and may arrive twice, or in part",
                self.state.spools.get(&spool).map_or_else(String::new, |path| path.display().to_string()),
                orphans.len(),
                stage.number
            );
        }
        Ok(())
    }

    /// The page cache outlives a killed process: what is seen now, intents too, may be on no disk yet. And the run before may
    /// have been one that never flushes.
    fn flush_filesystems(&mut self, spools: &BTreeSet<SpoolId>) -> Result<(), StoreError> {
        for filesystem in self.disk.filesystems(spools) {
            self.disk.sync_filesystem(filesystem[0])?;
        }
        self.disk.sync_journal()
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
                    quoted(&path)
                );
                self.state.drop_spool(old);
            }
            if self.state.spools.insert(id, path).is_some() {
                known.insert(id);
            }
        }
        known
    }

    /// Looks what became of the files that were committed through this spool, and queues those that are not published.
    /// The staged files that came to nothing.
    fn resume(&mut self, spool: SpoolId, now: Instant) -> Result<Vec<At>, StoreError> {
        let (mut useless, mut waiting) = (Vec::new(), Vec::new());
        let committed: Vec<Intent> = self.state.committed.iter().filter(|file| file.spool == spool).cloned().collect();
        for intent in committed {
            let at = (intent.spool, intent.stage);
            match self.disk.compare_staged(at, &intent.copy.fingerprint)? {
                Likeness::Same => waiting.push(intent),
                // It was whole and durable before the journal knew it, and only publishing takes it away.
                Likeness::Absent => drop(self.state.committed.remove(intent.stage)),
                Likeness::Different => {
                    let Copy { site, name, .. } = &intent.copy;
                    let site = quoted(&**site);
                    log::warn!(
                        "site={site} file={name} reason=damaged its staged copy is not what was committed; it is fetched \
                         again if the site still has it"
                    );
                    self.state.give_up(intent.stage);
                    useless.push(at);
                }
            }
        }
        self.disk.sync_names(spool)?;
        for name in self.disk.published_names(spool)? {
            self.queue.published(spool, name, now);
        }
        for intent in &waiting {
            self.queue.push(intent);
        }
        Ok(useless)
    }

    /// Staged files of earlier runs that the journal does not know.
    fn leftovers(&mut self, spool: SpoolId) -> Result<Vec<At>, StoreError> {
        let leftovers = self.disk.leftovers(spool)?.into_iter();
        Ok(leftovers.filter(|&stage| self.state.committed.get(stage).is_none()).map(|stage| (spool, stage)).collect())
    }

    /// What is committed here, and may still be at the sites.
    pub(super) fn held(&self) -> impl Iterator<Item = &Copy> {
        self.state.held.keys()
    }

    /// Files, and their bytes, that are committed and not published.
    pub(super) fn waiting(&self) -> (usize, u64) {
        self.queue.waiting()
    }

    /// When [`publish`](Self::publish) is to be called again, whatever comes.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.queue.next_look()
    }

    pub(super) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// Takes a spool in that was not there at the start, and takes up what the run before has committed in it.
    pub(super) fn add_spool(&mut self, id: SpoolId, path: PathBuf, now: Instant) -> Result<(), StoreError> {
        let is_known = self.state.spools.insert(id, path.clone()).is_some();
        self.note(&[Record::Spool(id, path)]);
        self.disk.introduce(id, is_known);
        self.flush_filesystems(&BTreeSet::from([id]))?;
        let mut useless = self.resume(id, now)?;
        let leftovers = self.leftovers(id)?;
        if is_known {
            useless.extend(leftovers);
        } else {
            self.adopt(&leftovers)?;
        }
        // Before the damaged ones go: one that the journal still has, and that is absent, counts as published.
        self.rewrite()?;
        self.discard(useless);
        Ok(())
    }

    /// Commits a group: makes it durable, and writes down that it is. One outcome for each file.
    pub(super) fn commit(&mut self, group: &[Link]) -> Vec<Outcome> {
        let unflushed = self.flush(group);
        let hindrance = |Link { intent, chain }: &Link| match unflushed.get(&intent.spool) {
            // Not even promised: a next start would keep that.
            _ if chain.is_broken() => Some(StoreError::HeldBack),
            None => self.disk.check_staged((intent.spool, intent.stage)).err(),
            failure => failure.cloned(),
        };
        let mut failed: HashMap<StageId, StoreError> =
            group.iter().filter_map(|link| Some((link.intent.stage, hindrance(link)?))).collect();
        let (lost, flushed): (Vec<&Link>, Vec<&Link>) =
            group.iter().partition(|link| failed.contains_key(&link.intent.stage));
        self.discard(lost.iter().map(|link| (link.intent.spool, link.intent.stage)));
        let intents: Vec<&Intent> = flushed.iter().map(|link| &link.intent).collect();
        match self.promise(&intents) {
            Ok(()) => intents.iter().for_each(|intent| self.queue.push(intent)),
            Err(error) => {
                self.abandon(&intents);
                failed.extend(intents.iter().map(|intent| (intent.stage, error.clone())));
            }
        }
        self.compact();
        let outcome = |Link { intent, chain }: &Link| match failed.remove(&intent.stage) {
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
    pub(super) fn forget(&mut self, gone: Vec<Copy>) {
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
    fn flush(&mut self, group: &[Link]) -> BTreeMap<SpoolId, StoreError> {
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
    fn promise(&mut self, intents: &[&Intent]) -> Result<(), StoreError> {
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

    /// Publishes the committed files whose turn it is. Whether anything has changed.
    pub(super) fn publish(&mut self, now: Instant) -> bool {
        let Self { queue, disk, .. } = self;
        let ready = queue.ready(now, |spool, name| disk.is_published(spool, name));
        ready.notices.iter().for_each(|notice| self.tell(notice));
        let mut placed = Vec::new();
        for files in ready.agents {
            if let Err(error) = self.publish_in_order(&files, now, &mut placed) {
                if !std::mem::replace(&mut self.has_failed, true) {
                    log::error!(
                        "reason=publish committed files wait in the staging area until they can be published: {error}"
                    );
                }
                self.queue.retry(now);
            }
        }
        if placed.is_empty() {
            return ready.any_taken;
        }
        if std::mem::replace(&mut self.has_failed, false) {
            log::info!("committed files are published again");
        }
        let published = self.sync_placed(&placed);
        for &stage in &published {
            self.state.committed.remove(stage);
        }
        self.note(&published.into_iter().map(Record::Published).collect::<Vec<_>>());
        self.compact();
        true
    }

    /// Publishes one agent's files, none after one that fails; `placed` are those that have left the staging area.
    fn publish_in_order(
        &mut self,
        files: &[StageId],
        now: Instant,
        placed: &mut Vec<Intent>,
    ) -> Result<(), StoreError> {
        for intent in files.iter().filter_map(|&stage| self.state.committed.get(stage).cloned()).collect::<Vec<_>>() {
            match self.place(&intent)? {
                Placed::As(name) => {
                    self.queue.remove(&intent);
                    self.queue.published(intent.spool, name, now);
                    placed.push(intent);
                }
                Placed::Taken => self.queue.published(intent.spool, intent.copy.name, now),
                Placed::Lost => {
                    self.queue.remove(&intent);
                    placed.push(intent);
                }
            }
        }
        Ok(())
    }

    /// Makes the names of files just published durable; those that are. Where that fails the journal keeps them, for the
    /// next start to see what became of them: a failed flush is not tried again as if it were clean.
    fn sync_placed(&mut self, placed: &[Intent]) -> Vec<StageId> {
        let spools: BTreeSet<SpoolId> = placed.iter().map(|intent| intent.spool).collect();
        let mut synced = BTreeSet::new();
        for spool in spools {
            match self.disk.sync_names(spool) {
                Ok(()) => drop(synced.insert(spool)),
                Err(error) => {
                    log::warn!("{error}; what was just published may arrive twice if the machine loses power");
                }
            }
        }
        placed.iter().filter(|intent| synced.contains(&intent.spool)).map(|intent| intent.stage).collect()
    }

    /// Moves one staged file to its name, or to a fresh one where it need not wait for its own; never over anything.
    fn place(&mut self, intent: &Intent) -> Result<Placed, StoreError> {
        let at = (intent.spool, intent.stage);
        let Copy { site, name: own, fingerprint } = &intent.copy;
        let site = quoted(&**site);
        let fresh = fresh_names(own).take_while(|_| self.queue.renames(intent));
        for name in iter::once(own.clone()).chain(fresh) {
            match self.disk.place(at, &name) {
                Ok(true) if name == *own => return Ok(Placed::As(name)),
                Ok(true) => {
                    log::warn!("site={site} file={own} published as {name}: the spool has another file of that name");
                    return Ok(Placed::As(name));
                }
                Ok(false) => {}
                Err(error) => match self.disk.compare_staged(at, fingerprint) {
                    Ok(Likeness::Absent) => {
                        log::error!(
                            "site={site} file={own} reason=lost it is no longer in the staging area: somebody has removed \
                             it, unless it was published just now"
                        );
                        return Ok(Placed::Lost);
                    }
                    _ => return Err(error),
                },
            }
        }
        if !self.queue.renames(intent) {
            return Ok(Placed::Taken);
        }
        let taken = self.disk.published_path(intent.spool, own);
        let can_grow = fresh_names(own).next().is_some();
        Err(if can_grow { StoreError::NoFreeName(taken) } else { StoreError::NoLongerName(taken) })
    }

    fn tell(&self, notice: &Notice) {
        match notice {
            Notice::Idle { spool, example, published, waiting } => {
                let path = self.disk.published_path(*spool, example);
                let (directory, cause) = (quoted(path.parent().unwrap_or(&path)), why_not_taken(example));
                log::warn!(
                    "directory={directory} file={example} reason=idle nothing has been taken for 5 minutes, and this file \
                     is the oldest: {cause}; published={published} waiting={waiting}"
                );
            }
            Notice::Resumed { spool } => {
                if let Some(path) = self.state.spools.get(spool) {
                    log::info!("directory={} files are taken again", quoted(path));
                }
            }
            Notice::Ignored { spool, name } => {
                let path = self.disk.published_path(*spool, name);
                let (directory, cause) = (quoted(path.parent().unwrap_or(&path)), why_not_taken(name));
                log::warn!(
                    "directory={directory} file={name} reason=ignored left there for 5 minutes while others were taken, so \
                     its agent's next files no longer wait for it: {cause}"
                );
            }
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
            if let Err(error) = self.disk.void(at, &intent.copy.fingerprint) {
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

/// The likely cause that a data server leaves a file of this name.
fn why_not_taken(name: &FileName) -> &'static str {
    if AgentFile::parse(name).is_none() {
        "the data server takes only names that end in a serial, such as web01.1700000000.data"
    } else if !name.as_bytes().is_ascii() {
        "is the data server running, and with a UTF-8 locale (LANG in its unit)? in the C locale it does not take names \
         that are not ASCII"
    } else {
        "is the data server running, does it read this directory (incomingdir), and may it read and delete the file?"
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
