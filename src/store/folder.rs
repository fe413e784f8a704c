//! A directory of the server's storage.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, Mode};
use rustix::io::Errno;

use super::area::Area;
use super::draft::Draft;
use super::error::StoreError;
use super::lister::Lister;
use super::sink::SinkKind;
use super::source::Source;
use crate::proto::FileName;

/// One directory of the storage, with a staging area of its own inside. Clones are the same folder.
///
/// Open a directory once and keep the value: the folder holds its lock, against other values of this process too. A
/// directory that is removed and made anew while it is open must be opened anew; until then nothing can be stored.
#[derive(Clone, Debug)]
pub struct Folder {
    area: Arc<Area>,
}

impl Folder {
    /// Opens `path`, which must exist, locks its staging area, which is made if need be, and removes what an earlier run
    /// has left there. New files get the permissions `file_mode`, whatever the umask.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process works there; whatever would keep files from being stored there.
    pub fn open(path: &Path, file_mode: u32) -> Result<Self, StoreError> {
        let area = Area::open(path, Mode::from_raw_mode(file_mode))?;
        area.lock()?;
        for stage in area.leftovers()? {
            if let Err(error) = area.discard(stage) {
                log::warn!("{error}");
            }
        }
        Ok(Self { area: Arc::new(area) })
    }

    /// Opens a directory inside this one, as [`Folder::open`] does; this folder itself if `relative` leads there.
    ///
    /// # Errors
    /// [`StoreError::Outside`] if `relative` is an absolute path, or leads out through `..` or a link.
    pub fn open_inside(&self, relative: &Path, file_mode: u32) -> Result<Self, StoreError> {
        let path = self.path().join(relative);
        let path = path.canonicalize().map_err(StoreError::std("open the directory", &path))?;
        match path.strip_prefix(self.path()) {
            Err(_) => Err(StoreError::Outside { path, storage: self.path().to_owned() }),
            Ok(below) if below.as_os_str().is_empty() => Ok(self.clone()),
            Ok(_) => Self::open(&path, file_mode),
        }
    }

    /// The directory, as an absolute path without links.
    pub fn path(&self) -> &Path {
        self.area.path()
    }

    /// A new, empty file in the staging area. `size_hint` is how large it is expected to become, in bytes; being wrong
    /// costs time at most.
    pub fn draft(&self, size_hint: u64) -> Result<Draft, StoreError> {
        Draft::create(self.area.clone(), SinkKind::Append, size_hint)
    }

    /// Opens the file of this name. `None` if there is none, or something else: a directory, a link, a FIFO.
    pub fn find(&self, name: &FileName) -> Result<Option<Source>, StoreError> {
        Source::open(self.area.incoming(), name.clone())
            .map_err(StoreError::io("open", &self.area.published_path(name)))
    }

    /// Whether anything has this name, be it a file or not.
    pub fn exists(&self, name: &FileName) -> Result<bool, StoreError> {
        match fs::statat(self.area.incoming(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(StoreError::io("look at", &self.area.published_path(name))(errno)),
        }
    }

    /// Begins to list what is in here.
    pub fn list(&self) -> Result<Lister, StoreError> {
        Lister::new(self.clone())
    }

    pub(super) fn area(&self) -> &Arc<Area> {
        &self.area
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
