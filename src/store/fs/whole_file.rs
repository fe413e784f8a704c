//! Small files that are read whole, and written whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::error::StoreError;
use super::lacks::{self, flush_directory};
use super::on_conflict::OnConflict;
use super::open;

/// The file at `path`, which is in `dir`, if it is there; at most `most` bytes of it.
pub(in crate::store) fn read_whole(dir: &OwnedFd, path: &Path, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let found = open::file(dir, name_of(path), OFlags::RDONLY, Mode::empty()).map_err(StoreError::io("read", path))?;
    let Some((file, _)) = found.file(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(StoreError::std("read", path))?;
    Ok(Some(bytes))
}

/// A file under another name than it is to have in the same directory, until it is whole. Dropping it removes it.
#[derive(Debug)]
pub(in crate::store) struct Draft<'a> {
    dir: &'a OwnedFd,
    /// What it is to be.
    path: &'a Path,
    file: File,
    /// Its name so far.
    name: Option<String>,
}

impl<'a> Draft<'a> {
    /// Makes the file that is to be at `path`, which is in `dir`, under `name` for now. What an earlier run has left under
    /// that name is removed.
    pub(in crate::store) fn create(
        dir: &'a OwnedFd,
        path: &'a Path,
        name: String,
        mode: Mode,
    ) -> Result<Self, StoreError> {
        let failed = |errno: Errno| StoreError::io("write", path)(errno);
        match fs::unlinkat(dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(fs::openat(dir, &name, flags, mode).map_err(failed)?);
        let draft = Self { dir, path, file, name: Some(name) };
        // The umask may have taken some of them.
        lacks::set_rights(&draft.file, mode).map_err(failed)?;
        Ok(draft)
    }

    /// Writes all of it, durably but for its name.
    pub(in crate::store) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.fill(bytes)?;
        self.flush()
    }

    /// Writes all of it.
    pub(in crate::store) fn fill(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::std("write", self.path))
    }

    /// Makes what was written durable, but for the name.
    pub(in crate::store) fn flush(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::std("write", self.path))
    }

    /// The file itself.
    pub(in crate::store) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, durably.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the name is taken, and may not be.
    pub(in crate::store) fn rename(self, on_conflict: OnConflict) -> Result<(), StoreError> {
        let (dir, path) = (self.dir, self.path);
        self.give_name(on_conflict)?;
        flush_directory(dir).map(drop).map_err(StoreError::io("write", path))
    }

    /// Gives the file its name, which is durable once the directory is.
    ///
    /// # Errors
    /// As [`rename`](Self::rename)'s.
    pub(in crate::store) fn give_name(mut self, on_conflict: OnConflict) -> Result<(), StoreError> {
        let old = self.name.take().unwrap_or_default();
        let new = name_of(self.path);
        let renamed = match on_conflict {
            OnConflict::Refuse => lacks::rename_to_free(self.dir, old.as_bytes(), self.dir, new).map(drop),
            OnConflict::Replace => fs::renameat(self.dir, &old, self.dir, new),
        };
        if let Err(errno) = renamed {
            self.name = Some(old);
            return Err(match errno {
                Errno::EXIST => StoreError::Exists(self.path.to_owned()),
                errno => StoreError::io("write", self.path)(errno),
            });
        }
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing more can be done if that fails too; the draft is in nobody's way.
            fs::unlinkat(self.dir, name, AtFlags::empty()).ok();
        }
    }
}

/// Writes the file at `path`, which is in `dir`, with a draft of the name `draft`.
pub(in crate::store) fn write_whole(
    dir: &OwnedFd,
    path: &Path,
    draft: String,
    mode: Mode,
    bytes: &[u8],
    on_conflict: OnConflict,
) -> Result<(), StoreError> {
    let mut draft = Draft::create(dir, path, draft, mode)?;
    draft.write(bytes)?;
    draft.rename(on_conflict)
}

fn name_of(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_draft_is_nothing_until_it_is_renamed_and_never_half_of_anything() {
        let home = tempfile::tempdir().unwrap();
        let dir = fs::open(home.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let path = home.path().join("file");
        let names = || std::fs::read_dir(home.path()).unwrap().count();
        let mode = Mode::from_raw_mode(0o640);
        let write = |bytes: &[u8], on_conflict| write_whole(&dir, &path, "draft".into(), mode, bytes, on_conflict);
        Draft::create(&dir, &path, "draft".into(), mode).unwrap().write(b"dropped").unwrap();
        assert_eq!(names(), 0);
        std::fs::write(home.path().join("draft"), "left by a crash").unwrap();
        write(b"first", OnConflict::Refuse).unwrap();
        assert_eq!(write(b"second", OnConflict::Refuse), Err(StoreError::Exists(path.clone())));
        assert_eq!(read_whole(&dir, &path, 3).unwrap().unwrap(), b"fir");
        write(b"third", OnConflict::Replace).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), names()), (b"third".to_vec(), 1));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(read_whole(&dir, &home.path().join("absent"), 3), Ok(None));
    }
}
