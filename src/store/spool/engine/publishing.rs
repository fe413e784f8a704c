//! Committed files get their names, each agent's in its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::mem::discriminant;
use std::time::Instant;

use super::{AgentKey, Engine};
use crate::proto::{FileName, quoted};
use crate::store::fs::compare::Comparison;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::{SpoolId, StageId};
use crate::store::spool::disk::Disk;
use crate::store::spool::fresh_name::fresh_names;
use crate::store::spool::journal::{Intent, SiteFile};
use crate::store::spool::publish_queue::Notice;
use crate::sync::{AgentFile, agent};

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
    /// Publishes the committed files whose turn it is. Whether anything has changed.
    pub(in crate::store) fn publish(&mut self, now: Instant) -> bool {
        let Self { queue, disk, .. } = self;
        let ready = queue.ready(now, |spool, name| disk.is_published(spool, name));
        ready.notices.iter().for_each(|notice| self.log_notice(notice));
        let mut placed = Vec::new();
        let mut in_place = BTreeMap::new();
        for files in ready.agents {
            let waiting: Vec<Intent> = self
                .journal
                .read(|state| files.iter().filter_map(|&stage| state.committed.get(stage).cloned()).collect());
            let Some(first) = waiting.first() else { continue };
            let spool = first.spool;
            let key = (spool, agent(&first.copy.name).into());
            // Its first file was in the way, whatever has come after it: tried again at the next look.
            if !ready.is_look && self.failing.agents.contains_key(&key) {
                continue;
            }
            // Nobody would find what gets its name in a directory that was moved away.
            let check = in_place.entry(spool).or_insert_with(|| self.disk.check_place(spool)).clone();
            let outcome = check.and_then(|()| self.publish_in_order(waiting, now, &mut placed));
            self.note_outcome(key, outcome, now);
        }
        if placed.is_empty() {
            return ready.any_taken;
        }
        let published = self.sync_placed(&placed);
        self.journal.published(published);
        self.discard_pending();
        true
    }

    /// Logs each kind of error once in a directory, until there is none any more.
    fn note_outcome(&mut self, key: AgentKey, outcome: Result<(), StoreError>, now: Instant) {
        match outcome {
            Ok(()) => {
                if self.failing.remove(&key) && self.failing.agents.is_empty() {
                    log::info!("all committed files are published again");
                }
            }
            Err(error) => {
                if self.failing.insert(key, discriminant(&error)) {
                    log::error!(
                        "reason=publish committed files wait in the staging area until they can be published: {error}"
                    );
                }
                self.queue.retry(now);
            }
        }
    }

    /// Publishes one agent's files, none after one that fails; `placed` are those that have left the staging area.
    fn publish_in_order(
        &mut self,
        files: Vec<Intent>,
        now: Instant,
        placed: &mut Vec<Intent>,
    ) -> Result<(), StoreError> {
        for intent in files {
            match self.publish_file(&intent)? {
                Placed::As(name) => {
                    self.queue.published(&intent, name, now);
                    placed.push(intent);
                }
                Placed::Taken => self.queue.is_taken(&intent, now),
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
    fn publish_file(&mut self, intent: &Intent) -> Result<Placed, StoreError> {
        let at = (intent.spool, intent.stage);
        let SiteFile { site, name: own, fingerprint } = &intent.copy;
        let site = quoted(&**site);
        let fresh = fresh_names(own).take_while(|_| self.queue.renames(intent));
        for name in iter::once(own.clone()).chain(fresh) {
            match self.disk.rename_into(at, &name) {
                Ok(true) if name == *own => return Ok(Placed::As(name)),
                Ok(true) => {
                    log::warn!("site={site} file={own} published as {name}: the spool has another file of that name");
                    return Ok(Placed::As(name));
                }
                Ok(false) => {}
                // Not read for another error: it would be at each look.
                Err(error) if !error.is_missing() => return Err(error),
                Err(error) => match self.disk.compare_staged(at, fingerprint) {
                    Ok(Comparison::Absent) => {
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

    fn log_notice(&self, notice: &Notice) {
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
                if let Some(path) = self.journal.read(|state| state.spools.get(spool).cloned()) {
                    log::info!("directory={} files are taken again", quoted(&path));
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
