//! What a site with our server has promised its agents, and whether it keeps that.

use std::collections::BTreeSet;
use std::time::Duration;

use super::oracle::Oracle;
use super::scheduler::Scheduler;
use super::server::Files;
use super::version::Place;
use crate::store::model::{FileId, SiteDisk, StorageEvent};

/// How long after a client's death its server may still act on what it sent.
const LATEST_REMOVAL: Duration = Duration::from_secs(30);

/// The books of one site; files are known there by their versions.
pub(super) struct ServerOracle {
    site: usize,
    /// Of every file that ever got a name.
    versions: Vec<usize>,
    /// Files whose agents were answered that they are stored, and that have not been removed or collected since.
    acknowledged: BTreeSet<usize>,
    /// Those that were removed, or that others have durably taken the place of.
    settled: BTreeSet<usize>,
    /// Those that clients have taken, and that are to be removed.
    leaving: BTreeSet<FileId>,
}

impl ServerOracle {
    pub(super) fn new(site: usize) -> Self {
        Self {
            site,
            versions: Vec::new(),
            acknowledged: BTreeSet::new(),
            settled: BTreeSet::new(),
            leaving: BTreeSet::new(),
        }
    }

    /// An agent has been answered that its file is stored.
    pub(super) fn acknowledge(&mut self, version: usize) {
        if !self.settled.contains(&version) {
            self.acknowledged.insert(version);
        }
    }

    /// Brings the books, and `files`, up to date with the disk.
    pub(super) fn take_note(&mut self, disk: &SiteDisk, files: &mut Files, oracle: &mut Oracle, scheduler: &Scheduler) {
        for happening in disk.happened() {
            match happening {
                StorageEvent::Named { file, replaced } => self.named(disk, file, replaced, files, oracle, scheduler),
                StorageEvent::RemovalOrdered(file) => {
                    self.leaving.insert(file);
                    disappear(self.versions[file], files);
                }
                StorageEvent::RemovalFailed(file) => {
                    self.leaving.remove(&file);
                    appear(self.versions[file], files, oracle);
                }
                StorageEvent::Removed(file) => {
                    let version = self.versions[file];
                    if !self.leaving.remove(&file) {
                        let name = &oracle.versions[version].name;
                        scheduler.fail(format_args!("site {} removes {name}, which nobody has taken", self.site));
                    }
                    disappear(version, files);
                    self.acknowledged.remove(&version);
                    self.settled.insert(version);
                    // Its client had it, whatever has become of the connection; but may not have come to keep it.
                    oracle.on_sound_link = oracle.died.is_none_or(|at| scheduler.now > at + LATEST_REMOVAL);
                    oracle.removed(version, version, scheduler);
                }
                StorageEvent::Superseded(file) => {
                    let version = self.versions[file];
                    // Or another one of the same bytes has its place.
                    if !keeps(disk, version, oracle) || oracle.versions[version].place == Place::Overwritten {
                        self.acknowledged.remove(&version);
                        self.settled.insert(version);
                    }
                }
                StorageEvent::PowerLost => self.power_lost(disk, files, oracle, scheduler),
            }
        }
        for &version in &self.acknowledged {
            if !keeps(disk, version, oracle) && !oracle.is_safe(version) {
                let name = &oracle.versions[version].name;
                scheduler.fail(format_args!("site {} has told that it has {name}, and may lose it", self.site));
            }
        }
    }

    fn named(
        &mut self,
        disk: &SiteDisk,
        file: FileId,
        replaced: Option<FileId>,
        files: &mut Files,
        oracle: &mut Oracle,
        scheduler: &Scheduler,
    ) {
        let version = self.version(disk, file, oracle, scheduler);
        assert_eq!(file, self.versions.len(), "files get their names in order");
        self.versions.push(version);
        match replaced.map(|older| self.versions[older]) {
            // Sent again: a collector that was being sent the first one is told that it is another file.
            Some(older) if older == version => oracle.versions[version].appearances += 1,
            Some(older) => oracle.overwritten(older),
            None => {}
        }
        // The agents' own order is not the one their files come in.
        let name = &oracle.versions[version].name;
        let is_before = |&other: &usize| other != version && oracle.versions[other].name == *name;
        oracle.versions[version].is_rewrite |= self.versions.iter().any(is_before);
        self.settled.remove(&version);
        appear(version, files, oracle);
        scheduler.note(|| format!("site {}: {} is stored", self.site, oracle.versions[version].name));
    }

    fn version(&self, disk: &SiteDisk, file: FileId, oracle: &Oracle, scheduler: &Scheduler) -> usize {
        disk.look(file, |file| {
            let is_this = |&version: &usize| {
                let version = &oracle.versions[version];
                version.site == self.site && version.name == file.name && version.bytes == file.bytes
            };
            let found = (0..oracle.versions.len()).rev().find(is_this);
            found.unwrap_or_else(|| scheduler.fail(format_args!("half of {} is at site {}", file.name, self.site)))
        })
    }

    /// What was not durable may be gone, and what was removed may be back, to be collected once more.
    fn power_lost(&mut self, disk: &SiteDisk, files: &mut Files, oracle: &mut Oracle, scheduler: &Scheduler) {
        let there: BTreeSet<usize> =
            disk.files().into_iter().map(|file| self.version(disk, file, oracle, scheduler)).collect();
        files.retain(|_, version| {
            let is_there = there.contains(version);
            if !is_there {
                oracle.versions[*version].place = Place::AtAgent;
            }
            is_there
        });
        for version in there {
            if files.get(&oracle.versions[version].name) != Some(&version) {
                scheduler.note(|| format!("site {}: {} is back", self.site, oracle.versions[version].name));
            }
            appear(version, files, oracle);
        }
    }
}

/// A file is to be seen at the site: if it was not before, it may be collected once more.
fn appear(version: usize, files: &mut Files, oracle: &mut Oracle) {
    let entry = &mut oracle.versions[version];
    if files.insert(entry.name.clone(), version) != Some(version) {
        entry.appearances += 1;
        oracle.appeared(version);
    }
    oracle.versions[version].place = Place::AtSite;
}

fn disappear(version: usize, files: &mut Files) {
    files.retain(|_, there| *there != version);
}

fn keeps(disk: &SiteDisk, version: usize, oracle: &Oracle) -> bool {
    let version = &oracle.versions[version];
    disk.keeps(0, &version.name, &version.bytes)
}
