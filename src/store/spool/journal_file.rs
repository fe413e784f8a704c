//! The state directory: the journal's file, and the lock that makes one process its master.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::proto::quoted;
use crate::store::fs::durability::Durability;
use crate::store::fs::error::StoreError;
use crate::store::fs::lacks::flush_directory;
use crate::store::fs::lock::lock;
use crate::store::fs::open::{self, is_in_place, leads_to};

const LOCK: &str = "lock";
/// The journal's name in the state directory.
pub(crate) const JOURNAL: &str = "journal";

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A journal open for appending, in a state directory locked for us.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    new_path: PathBuf,
    home: StateDir,
    file: File,
}

/// The state directory, locked: no other process changes what is in it, as long as this is there.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    dir: OwnedFd,
    /// Ours while it is open.
    lock: File,
}

impl StateDir {
    /// Makes the directory if need be, and locks it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process works there; whatever keeps it from being made or locked.
    pub fn enter(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(StoreError::std("make the state directory", path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(path, flags, Mode::empty()).map_err(StoreError::io("open the state directory", path))?;
        let lock_file = open_private(&dir, path, LOCK, OFlags::WRONLY)?;
        lock(&lock_file, path)?;
        Ok(Self { path: path.to_owned(), dir, lock: lock_file })
    }

    /// Whether the path still leads to this file, and its lock.
    fn is_in_place(&self) -> bool {
        leads_to(&self.path, &self.dir) && is_in_place(&self.dir, LOCK, &self.lock)
    }
}

impl JournalFile {
    /// Makes the state directory if need be, locks it, and reads the journal in it: empty if there is none.
    pub(super) fn open(state_dir: &Path) -> Result<(Self, Vec<u8>), StoreError> {
        let home = StateDir::enter(state_dir)?;
        // An error of the disk is reported when the journal is written.
        if let Ok(Some(lack)) = flush_directory(&home.dir) {
            log::warn!("{}: {lack}", quoted(state_dir));
        }
        let path = state_dir.join(JOURNAL);
        let mut file = open_private(&home.dir, state_dir, JOURNAL, OFlags::RDWR | OFlags::APPEND)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(StoreError::std("read the journal", &path))?;
        Ok((Self { new_path: path.with_extension("new"), path, home, file }, content))
    }

    /// Whether the next start would find it.
    pub(super) fn is_in_place(&self) -> bool {
        is_in_place(&self.home.dir, JOURNAL, &self.file) && self.home.is_in_place()
    }

    /// The filesystem that it is on.
    pub(super) fn device(&self) -> Option<u64> {
        fs::fstat(&self.file).map(|stat| stat.st_dev).ok()
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
            self.home = StateDir::enter(&self.home.path)?;
        }
        match std::fs::remove_file(&self.new_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::std("remove", &self.new_path)(error));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        let created = options.append(true).create_new(true).mode(PRIVATE.as_raw_mode()).open(&self.new_path);
        let mut file = created.map_err(StoreError::std("open", &self.new_path))?;
        let failed = || StoreError::std("rewrite the journal", &self.path);
        file.write_all(journal).map_err(failed())?;
        durability.flush(|| file.sync_data().map_err(failed()))?;
        std::fs::rename(&self.new_path, &self.path).map_err(failed())?;
        self.file = file;
        let flush =
            || flush_directory(&self.home.dir).map(drop).map_err(StoreError::io("rewrite the journal", &self.path));
        durability.flush(flush)
    }
}

/// Opens a file of the state directory that is ours alone; makes it if need be.
fn open_private(dir: &OwnedFd, path: &Path, name: &str, flags: OFlags) -> Result<File, StoreError> {
    let path = path.join(name);
    let found = open::file(dir, name, flags | OFlags::CREATE, PRIVATE).map_err(StoreError::io("open", &path))?;
    let (file, _) = found.file(&path)?.ok_or_else(|| StoreError::io("open", &path)(Errno::NOENT))?;
    open::make_private(&file, &path, dir)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn open(path: &Path) -> Result<Vec<u8>, StoreError> {
        JournalFile::open(path).map(|(_, content)| content)
    }

    #[test]
    fn a_fifo_in_the_place_of_a_state_file_is_an_error_and_keeps_nobody_waiting() {
        for name in ["journal", "lock"] {
            let dir = tempfile::tempdir().unwrap();
            mknodat(CWD, dir.path().join(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            let (sender, receiver) = mpsc::channel();
            let path = dir.path().to_owned();
            thread::spawn(move || sender.send(open(&path)));
            let opened = receiver.recv_timeout(Duration::from_secs(30)).expect("it does not hang");
            let error = opened.unwrap_err().to_string();
            assert!(error.contains(&format!("{name}: is a FIFO")) && error.contains("remove it"), "{error}");
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_state_file_is_refused() {
        for name in ["journal", "lock"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("target"), "").unwrap();
            std::os::unix::fs::symlink("target", dir.path().join(name)).unwrap();
            let error = open(dir.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("{name}: is a link")), "{error}");
        }
    }

    #[test]
    fn a_state_file_of_another_users_is_refused_and_one_that_others_may_write_to_is_made_private() {
        for name in ["journal", "lock"] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join(name);
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
            open(dir.path()).unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            if std::os::unix::fs::chown(&file, Some(4321), None).is_err() {
                println!("SKIPPED: only root gives a file to another user");
                continue;
            }
            let error = open(dir.path()).unwrap_err();
            assert!(error.to_string().contains(&format!("{name}: belongs to user 4321")), "{error}");
            assert!(error.is_lasting());
        }
    }
}
