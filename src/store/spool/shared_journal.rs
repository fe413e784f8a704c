//! The journal that the committers share, one committer for each filesystem that may stop answering: one file, and the
//! state that its records add up to. While one of them works on it the others wait, so nothing is done under its lock
//! but that: a filesystem that does not answer keeps nobody from the journal, unless it is the journal's own.

use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::JournalDisk;
use super::journal::{Intent, Record, SiteFile, State};
use crate::mutex::lock;
use crate::proto::quoted;
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::StageId;

/// Rewriting pays when the journal has this many records more than twice what is still true.
const SLACK: usize = 4096;

/// Clones are the same journal.
#[derive(Debug)]
pub(in crate::store) struct SharedJournal<J>(Arc<Mutex<Journal<J>>>);

impl<J> Clone for SharedJournal<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Journal<J> {
    file: J,
    state: State,
    file_state: FileState,
    /// How often it was rewritten.
    rewrites: u64,
}

/// What may be done with the journal's file.
#[derive(Clone, Copy, Debug)]
enum FileState {
    /// Append: it has this many records.
    Intact { records: usize },
    /// Rewrite it: an append or a flush has failed, so it is unknown what it holds.
    Uncertain,
}

/// Intents that could not be written down, and were taken back.
#[derive(Debug)]
pub(in crate::store) struct Unwritten {
    pub(in crate::store) error: StoreError,
    /// Whether the journal on disk may have them all the same.
    pub(in crate::store) may_be_journaled: bool,
}

impl<J: JournalDisk> SharedJournal<J> {
    /// The journal that a run before has left, to be rewritten before it is used.
    pub(in crate::store) fn new(file: J, state: State) -> Self {
        Self(Arc::new(Mutex::new(Journal { file, state, file_state: FileState::Uncertain, rewrites: 0 })))
    }

    /// Each change is whole before the lock is free: what a failure leaves undone is marked as uncertain, or reported.
    fn locked(&self) -> MutexGuard<'_, Journal<J>> {
        lock(&self.0)
    }

    /// What is known.
    pub(in crate::store) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.locked().state)
    }

    /// Changes what is known, for the next [`rewrite`](Self::rewrite) to write down.
    pub(in crate::store) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.locked().state)
    }

    /// Writes intents down, durably, each with the number of its order. Not before the staged bytes are durable: an intent
    /// whose staged file is absent must mean that it was published, and not that the disk never came to see it.
    pub(in crate::store) fn commit(&self, intents: &[(&Intent, u64)]) -> Result<(), Unwritten> {
        let journal = &mut *self.locked();
        let outcome = journal.write_intents(intents).map_err(|error| {
            for (intent, _) in intents {
                journal.state.give_up(intent.stage);
            }
            Unwritten { error, may_be_journaled: journal.rewrite().is_err() }
        });
        journal.compact();
        outcome
    }

    /// Takes note of what the sites no longer have, of what was committed before the orders of these numbers. Durably:
    /// what is forgotten of a name must stay so, or the next file that comes under it would pass for the last one.
    pub(in crate::store) fn forget(&self, gone: Vec<(SiteFile, u64)>) {
        let journal = &mut *self.locked();
        let known = gone.into_iter().filter(|(copy, order)| journal.state.forget(copy, *order));
        let records: Vec<Record> = known.map(|(copy, _)| Record::Gone(copy)).collect();
        if records.is_empty() {
            return;
        }
        let written = match journal.file_state {
            FileState::Intact { .. } => journal.append_durably(&records),
            FileState::Uncertain => journal.rewrite(),
        };
        if let Err(error) = written {
            log::warn!("{error}");
        }
        journal.compact();
    }

    /// Takes note of files that are published. Nothing depends on the records: losing them costs a look at the disk.
    pub(in crate::store) fn published(&self, stages: Vec<StageId>) {
        let journal = &mut *self.locked();
        for &stage in &stages {
            journal.state.committed.remove(stage);
        }
        let records: Vec<Record> = stages.into_iter().map(Record::Published).collect();
        if let FileState::Intact { .. } = journal.file_state
            && !records.is_empty()
            && let Err(error) = journal.append(&records)
        {
            log::warn!("{error}");
        }
        journal.compact();
    }

    /// Writes it anew, durably.
    pub(in crate::store) fn rewrite(&self) -> Result<(), StoreError> {
        self.locked().rewrite()
    }

    /// Makes durable what was read at the start.
    pub(in crate::store) fn sync(&self) -> Result<(), StoreError> {
        self.locked().file.sync()
    }

    /// How often it was rewritten: what was taken back before is in none that a next start can find.
    pub(in crate::store) fn rewrites(&self) -> u64 {
        self.locked().rewrites
    }
}

impl<J: JournalDisk> Journal<J> {
    fn write_intents(&mut self, intents: &[(&Intent, u64)]) -> Result<(), StoreError> {
        for &(intent, order) in intents {
            self.state.commit(intent.clone(), order);
        }
        self.look_after();
        match self.file_state {
            FileState::Uncertain => self.rewrite(),
            FileState::Intact { .. } if intents.is_empty() => Ok(()),
            FileState::Intact { .. } => {
                let records: Vec<Record> = intents.iter().map(|&(intent, _)| Record::Intent(intent.clone())).collect();
                self.append_durably(&records)
            }
        }
    }

    /// One that somebody has removed, alone or with its directory, has to be written anew.
    fn look_after(&mut self) {
        if let FileState::Intact { .. } = self.file_state
            && let Some(path) = self.file.lost()
        {
            log::warn!("{}: removed, or replaced, while this program runs: it is written anew", quoted(&path));
            self.file_state = FileState::Uncertain;
        }
    }

    fn append_durably(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.append(records)?;
        self.file.sync().inspect_err(|_| self.file_state = FileState::Uncertain)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut lines = Vec::new();
        for record in records {
            record.encode(&mut lines);
        }
        let appended = self.file.append(&lines);
        self.file_state = match (self.file_state, &appended) {
            (FileState::Intact { records: before }, Ok(())) => FileState::Intact { records: before + records.len() },
            _ => FileState::Uncertain,
        };
        appended
    }

    fn compact(&mut self) {
        if let FileState::Intact { records } = self.file_state
            && records > 2 * self.state.len() + SLACK
            && let Err(error) = self.rewrite()
        {
            log::warn!("{error}");
        }
    }

    fn rewrite(&mut self) -> Result<(), StoreError> {
        self.file_state = FileState::Uncertain;
        self.file.rewrite(&self.state.snapshot())?;
        self.file_state = FileState::Intact { records: self.state.len() };
        self.rewrites += 1;
        Ok(())
    }
}
