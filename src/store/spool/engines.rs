//! The engines of a process: one for what is on the journal's filesystem, and one for each other filesystem, as each
//! may stop answering. They share the journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Spool;
use super::committer::CommitPolicy;
use super::disk::{Claims, RealDisk, RealJournal};
use super::engine::Engine;
use super::journal::{self, Replay};
use super::journal_file::JournalFile;
use super::publish_queue::PublishQueue;
use super::shared_journal::SharedJournal;
use super::spooled::Spooled;
use crate::proto::{Count, quoted};
use crate::store::fs::answering::in_time;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::SpoolId;
use crate::store::fs::spool_dir::SpoolDir;

/// Enough to see what kind of damage it is.
const BAD_LINES_TOLD: usize = 5;

/// Makes engines that share a journal.
pub(super) struct EngineBuilder {
    policy: CommitPolicy,
    journal: SharedJournal<RealJournal>,
    /// The journal's path.
    path: PathBuf,
    /// The filesystem that it is on.
    device: Option<u64>,
    claims: Claims,
    spooled: Spooled,
}

impl EngineBuilder {
    /// One without directories.
    pub(super) fn build(&self) -> Engine<RealDisk> {
        let disk = RealDisk::new(self.policy.durability, self.path.clone(), self.claims.clone());
        Engine::new(disk, self.journal.clone(), PublishQueue::new(self.policy.publish, self.spooled.clone()))
    }

    pub(super) fn journal(&self) -> &SharedJournal<RealJournal> {
        &self.journal
    }

    /// How much of each site's is here and was not taken.
    pub(super) fn spooled(&self) -> &Spooled {
        &self.spooled
    }
}

/// Engines, and the directories that they work on.
pub(super) struct Engines {
    /// Of directories whose filesystem is the journal's.
    pub(super) main: Engine<RealDisk>,
    /// Of the others, by their filesystems' numbers.
    pub(super) beside: BTreeMap<u64, Engine<RealDisk>>,
}

impl Engines {
    /// Locks `state_dir` and the spools, and takes up what the run before has left.
    #[expect(clippy::disallowed_methods, reason = "the committer's threads have a clock of their own")]
    pub(super) fn open(
        state_dir: &Path,
        policy: CommitPolicy,
        spools: &[Spool],
    ) -> Result<(EngineBuilder, Self), StoreError> {
        let (file, content) = JournalFile::open(state_dir)?;
        let replay = journal::replay(&content).map_err(|found| StoreError::JournalFormat {
            path: file.path().to_owned(),
            found,
            known: journal::FORMAT,
        })?;
        warn_of_damage(file.path(), &replay);
        let (is_damaged, known) = (!replay.bad_lines.is_empty(), replay.state.spools.clone());
        let (path, device) = (file.path().to_owned(), file.device());
        let journal = SharedJournal::new(RealJournal { durability: policy.durability, file }, replay.state);
        let (claims, spooled) = (Claims::default(), Spooled::default());
        let builder = EngineBuilder { policy, journal, path, device, claims, spooled };
        let mut engines = Self { main: builder.build(), beside: BTreeMap::new() };
        for spool in spools {
            engines.of(spool.dir(), &builder).disk_mut().adopt(spool.dir())?;
        }
        Engine::recover(&mut engines.all().collect::<Vec<_>>(), is_damaged, Instant::now())?;
        for (id, path) in known {
            let files = builder.journal.read(|state| state.left_in(id));
            if files > 0 && spools.iter().all(|spool| spool.dir().id != id) {
                engines.take_up_unused(&builder, id, &path, files);
            }
        }
        // What need not wait for the data server does not count as waiting from the start.
        for engine in engines.all() {
            engine.publish(Instant::now());
        }
        Ok((builder, engines))
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Engine<RealDisk>> {
        std::iter::once(&mut self.main).chain(self.beside.values_mut())
    }

    /// The engine that works on this directory, or will.
    fn of(&mut self, dir: &SpoolDir, builder: &EngineBuilder) -> &mut Engine<RealDisk> {
        match dir.filesystem_beside() {
            None => &mut self.main,
            Some(filesystem) => self.beside.entry(filesystem).or_insert_with(|| builder.build()),
        }
    }

    /// Takes up the files that are committed in a spool that no site is collected into any more, or none that can be
    /// opened: the sites may have none of them.
    #[expect(clippy::disallowed_methods, reason = "the committer's threads have a clock of their own")]
    fn take_up_unused(&mut self, builder: &EngineBuilder, id: SpoolId, path: &Path, files: usize) {
        let (directory, files) = (quoted(path), Count(files, "file"));
        let (at, device) = (path.to_owned(), builder.device);
        let reopened =
            in_time(path, move || SpoolDir::reopen(&at, id)?.map(|dir| dir.answering_beside(device)).transpose());
        let taken_up = reopened.and_then(|dir| {
            let Some(dir) = dir.map(Arc::new) else { return Ok(false) };
            let engine = self.of(&dir, builder);
            engine.disk_mut().adopt(&dir)?;
            engine.add_spool(id, dir.path().to_owned(), Instant::now())?;
            Ok(true)
        });
        match taken_up {
            Ok(true) => log::info!(
                "directory={directory} {files} committed earlier and not known to be published: published as their turn \
                 comes, though no site is collected into it just now"
            ),
            Ok(false) => log::warn!(
                "directory={directory} reason=stranded {files} committed earlier may wait in its staging area, and that is \
                 not there: bring it back, if it was moved, and start again"
            ),
            Err(error) => log::warn!(
                "directory={directory} reason=stranded {files} committed earlier may wait in its staging area, which is \
                 looked at again at the next start: {error}"
            ),
        }
    }
}

fn warn_of_damage(journal: &Path, replay: &Replay) {
    let journal = quoted(journal);
    for line in replay.bad_lines.iter().take(BAD_LINES_TOLD) {
        log::warn!("{journal}:{line}: not a record, skipped: a file may arrive twice");
    }
    if let Some(more @ 1..) = replay.bad_lines.len().checked_sub(BAD_LINES_TOLD) {
        log::warn!("{journal}: skipped {} more that cannot be read: files may arrive twice", Count(more, "line"));
    }
    if let Some(line) = replay.torn_line {
        log::warn!(
            "{journal}:{line}: cut short, as by a loss of power or a full disk, and skipped; where somebody has damaged it, \
             files may arrive twice"
        );
    }
}
