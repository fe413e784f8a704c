//! What is done to the files of one incoming directory and its staging area, step by step.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::SpoolDir;
use crate::proto::{FileName, Fingerprint, quoted};
use crate::store::fs::compare::{Comparison, compare, fingerprint};
use crate::store::fs::error::StoreError;
use crate::store::fs::ids::StageId;
use crate::store::fs::lacks::{self, Rights, flush_directory};
use crate::store::fs::open::{self, Found};
use crate::store::fs::source::Identity;

impl SpoolDir {
    /// Where a staged file is, for messages.
    pub(in crate::store) fn staged_path(&self, stage: StageId) -> PathBuf {
        self.staging_path.join(stage.file_name().as_str())
    }

    /// An error if a staged file is not in its place.
    pub(in crate::store) fn check_staged(&self, stage: StageId) -> Result<(), StoreError> {
        let found = fs::statat(&self.staging, stage.file_name().as_str(), AtFlags::SYMLINK_NOFOLLOW);
        found.map(drop).map_err(|errno| StoreError::io("commit", &self.staged_path(stage))(errno))
    }

    /// Makes a new staged file.
    pub(in crate::store) fn create(&self) -> Result<(StageId, File), StoreError> {
        let stage = StageId { session: self.session, number: self.next.fetch_add(1, Ordering::Relaxed) };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno: Errno| StoreError::io("create", &self.staged_path(stage))(errno);
        let file = fs::openat(&self.staging, stage.file_name().as_str(), flags, self.mode).map_err(failed)?;
        // The console needs the group's.
        if self.rights == Rights::Afterwards {
            lacks::set_rights(&file, self.mode).map_err(failed)?;
        }
        Ok((stage, file.into()))
    }

    /// Dates a staged file, in time since 1970: a data server with `use_xml_timestamp 0` stamps what it reads with
    /// that.
    pub(in crate::store) fn set_time(&self, stage: StageId, time: Duration) {
        let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        let times = Timestamps { last_access: time, last_modification: time };
        if let Err(errno) = fs::utimensat(&self.staging, stage.file_name().as_str(), &times, AtFlags::SYMLINK_NOFOLLOW)
        {
            log::debug!("{}: keeps the time of its collection: {errno}", quoted(&self.staged_path(stage)));
        }
    }

    /// Opens a staged file to be read.
    pub(in crate::store) fn open_staged(&self, stage: StageId) -> Result<File, StoreError> {
        let absent = || StoreError::io("open", &self.staged_path(stage))(Errno::NOENT);
        self.find_staged(stage, OFlags::RDONLY, "open")?.ok_or_else(absent)
    }

    /// A staged file, if it is there; `action` is what it is opened for, for messages.
    fn find_staged(&self, stage: StageId, flags: OFlags, action: &'static str) -> Result<Option<File>, StoreError> {
        match open::file(&self.staging, stage.file_name().as_str(), flags, Mode::empty()) {
            Ok(Found::File(file, _)) => Ok(Some(file)),
            Ok(other) => Ok(other.file(&self.staged_path(stage))?.map(|(file, _)| file)),
            Err(errno) => Err(StoreError::io(action, &self.staged_path(stage))(errno)),
        }
    }

    /// Makes a new file without a name: it is gone once it is closed.
    pub(in crate::store) fn create_nameless(&self) -> Result<File, StoreError> {
        let (stage, file) = self.create()?;
        self.discard(stage)?;
        Ok(file)
    }

    /// Removes a staged file, if it is there.
    pub(in crate::store) fn discard(&self, stage: StageId) -> Result<(), StoreError> {
        match fs::unlinkat(&self.staging, stage.file_name().as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(StoreError::io("remove", &self.staged_path(stage))(errno)),
        }
    }

    /// Changes the length of a staged file, so that no recovery takes it for what it was.
    pub(in crate::store) fn invalidate(&self, stage: StageId, was: &Fingerprint) -> Result<(), StoreError> {
        let Some(file) = self.find_staged(stage, OFlags::WRONLY, "empty")? else { return Ok(()) };
        fs::ftruncate(file, u64::from(was.size == 0)).map_err(StoreError::io("empty", &self.staged_path(stage)))
    }

    /// Gives a staged file its name in the incoming directory, unless that is taken: then `false`.
    pub(in crate::store) fn rename_into(&self, stage: StageId, name: &FileName) -> Result<bool, StoreError> {
        match lacks::rename_to_free(&self.staging, stage.file_name().as_bytes(), &self.incoming, name.as_bytes()) {
            Ok(_) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(StoreError::io("publish", &self.published_path(name))(errno)),
        }
    }

    /// Gives a staged file its name in the incoming directory, in place of the file that has it, if any: that one's size.
    pub(in crate::store) fn replace(&self, stage: StageId, name: &FileName) -> Result<Option<u64>, StoreError> {
        let before = self.look(name)?.map(|found| found.size);
        fs::renameat(&self.staging, stage.file_name().as_str(), &self.incoming, name.as_bytes())
            .map_err(|errno| StoreError::io("replace", &self.published_path(name))(errno))?;
        Ok(before)
    }

    /// What file has this name; no directory, link or the like.
    pub(in crate::store) fn look(&self, name: &FileName) -> Result<Option<Identity>, StoreError> {
        let failed = |errno: Errno| StoreError::io("look at", &self.published_path(name))(errno);
        Identity::look(&self.incoming, name).map_err(failed)
    }

    /// Removes a file of the incoming directory if it still is this one; whether it was.
    pub(in crate::store) fn remove(&self, name: &FileName, was: &Identity) -> Result<bool, StoreError> {
        if self.look(name)? != Some(*was) {
            return Ok(false);
        }
        match fs::unlinkat(&*self.incoming, name.as_bytes(), AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(StoreError::io("remove", &self.published_path(name))(errno)),
        }
    }

    /// Compares a staged file with what it should be.
    pub(in crate::store) fn compare_staged(
        &self,
        stage: StageId,
        wanted: &Fingerprint,
    ) -> Result<Comparison, StoreError> {
        let path = self.staged_path(stage);
        compare(&self.staging, stage.file_name().as_bytes(), wanted).map_err(StoreError::io("read", &path))
    }

    /// Measures a staged file.
    pub(in crate::store) fn measure_staged(&self, stage: StageId) -> Result<Fingerprint, StoreError> {
        fingerprint(&mut self.open_staged(stage)?).map_err(StoreError::std("read", &self.staged_path(stage)))
    }

    /// Whether something has this name in the incoming directory; also if that is unknown.
    pub(in crate::store) fn is_published(&self, name: &FileName) -> bool {
        !matches!(fs::statat(&*self.incoming, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
    }

    /// The names in the incoming directory, directories' left out where the filesystem reports them.
    pub(in crate::store) fn published_names(&self) -> Result<Vec<FileName>, StoreError> {
        let failed = |errno: Errno| StoreError::io("list the directory", &self.path)(errno);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&*self.incoming).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type() != fs::FileType::Directory {
                names.extend(FileName::new(entry.file_name().to_bytes()).ok());
            }
        }
        Ok(names)
    }

    /// Makes a staged file's bytes durable; reports every write to it that failed and was not reported yet. One that
    /// somebody has taken away shows when it is to get its name.
    pub(in crate::store) fn sync_staged_file(&self, stage: StageId) -> Result<(), StoreError> {
        let Some(file) = self.find_staged(stage, OFlags::RDONLY, "flush")? else { return Ok(()) };
        fs::fdatasync(file).map_err(|errno| StoreError::io("flush", &self.staged_path(stage))(errno))
    }

    /// Makes the names in the staging area durable.
    pub(in crate::store) fn sync_staging(&self) -> Result<(), StoreError> {
        flush_directory(&self.staging).map(drop).map_err(StoreError::io("flush the directory", &self.staging_path))
    }

    /// Makes all that was written to this filesystem durable; reports every write that failed since the last call for
    /// this spool, by any process, and also if its file is closed by now (Linux 5.8).
    pub(in crate::store) fn sync_filesystem(&self) -> Result<(), StoreError> {
        fs::syncfs(&self.staging).map_err(StoreError::io("flush the filesystem", &self.path))
    }

    /// Makes the names in the incoming directory durable.
    pub(in crate::store) fn sync_names(&self) -> Result<(), StoreError> {
        flush_directory(&*self.incoming).map(drop).map_err(StoreError::io("flush the directory", &self.path))
    }

    /// Staged files that an earlier run, or another spool value on this directory, has left.
    pub(in crate::store) fn leftovers(&self) -> Result<Vec<StageId>, StoreError> {
        let failed = |errno: Errno| StoreError::io("list the staging area", &self.staging_path)(errno);
        let mut leftovers = Vec::new();
        for entry in fs::Dir::read_from(&self.staging).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let stage = entry.file_name().to_str().ok().and_then(|name| name.parse::<StageId>().ok());
            leftovers.extend(stage.filter(|stage| stage.session != self.session));
        }
        Ok(leftovers)
    }

    /// Where a published file is, for messages.
    pub(in crate::store) fn published_path(&self, name: &FileName) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.as_bytes()))
    }
}
