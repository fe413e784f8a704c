//! The state directory: the journal's file, and the lock that makes one process its master.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Durability;
use super::area::leads_to;
use super::error::StoreError;
use super::lacks::flush_directory;
use super::lock::lock;
use crate::proto::quoted;

const LOCK: &str = "lock";

/// A journal open for appending, in a state directory locked for us.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    draft: PathBuf,
    home: Home,
    file: File,
}

/// The state directory.
#[derive(Debug)]
struct Home {
    path: PathBuf,
    dir: File,
    /// Ours while it is open.
    lock: File,
}

impl Home {
    /// Makes the directory if need be, and locks it.
    fn enter(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(StoreError::std("make the state directory", path))?;
        let dir = File::open(path).map_err(StoreError::std("open the state directory", path))?;
        let lock_file = open(&path.join(LOCK), OpenOptions::new().write(true).create(true).truncate(false))?;
        lock(&lock_file, path)?;
        Ok(Self { path: path.to_owned(), dir, lock: lock_file })
    }

    /// Whether whoever looks for it finds this one, and its lock.
    fn is_in_place(&self) -> bool {
        leads_to(&self.path.join(LOCK), &self.lock)
    }
}

impl JournalFile {
    /// Makes the state directory if need be, locks it, and reads the journal in it: empty if there is none.
    pub(super) fn open(state_dir: &Path) -> Result<(Self, Vec<u8>), StoreError> {
        let home = Home::enter(state_dir)?;
        // An error of the disk is told of when the journal is written.
        if let Ok(Some(lack)) = flush_directory(&home.dir) {
            log::warn!("{}: {lack}", quoted(state_dir));
        }
        let path = state_dir.join("journal");
        let content = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(StoreError::std("read the journal", &path))?,
        };
        let file = open(&path, OpenOptions::new().append(true).create(true))?;
        Ok((Self { draft: path.with_extension("new"), path, home, file }, content))
    }

    /// Whether the next start would find it.
    pub(super) fn is_in_place(&self) -> bool {
        leads_to(&self.path, &self.file) && self.home.is_in_place()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(lines).map_err(StoreError::std("write the journal", &self.path))
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::std("flush the journal", &self.path))
    }

    /// Replaces the file by a new one. Never writes to the old one, whatever state an error has left that in. Makes the
    /// state directory again if somebody has removed it.
    pub(super) fn rewrite(&mut self, journal: &[u8], durability: Durability) -> Result<(), StoreError> {
        if !self.home.is_in_place() {
            self.home = Home::enter(&self.home.path)?;
        }
        match std::fs::remove_file(&self.draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::std("remove", &self.draft)(error));
            }
            _ => {}
        }
        let mut file = open(&self.draft, OpenOptions::new().append(true).create_new(true))?;
        let failed = || StoreError::std("rewrite the journal", &self.path);
        file.write_all(journal).map_err(failed())?;
        durability.flush(|| file.sync_data().map_err(failed()))?;
        std::fs::rename(&self.draft, &self.path).map_err(failed())?;
        self.file = file;
        let flush =
            || flush_directory(&self.home.dir).map(drop).map_err(StoreError::io("rewrite the journal", &self.path));
        durability.flush(flush)
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<File, StoreError> {
    options.mode(0o600).open(path).map_err(StoreError::std("open", path))
}
