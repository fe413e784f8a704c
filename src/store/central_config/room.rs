//! What is to stay free on the filesystem of the centre's directories.

use rustix::fs::{fstat, fstatvfs};

use super::directories::{Directories, Directory};
use crate::store::fs::error::StoreError;
use crate::sync::remote_config::Item;

/// The key of the limit.
const KEY: &str = "remote_config_min_free";

/// Room for what is to be published next.
pub(super) struct Room<'a> {
    directories: &'a Directories,
    /// What is free for a filesystem's files, by its number, less what was let in.
    free: Vec<(u64, u64)>,
}

impl<'a> Room<'a> {
    pub(super) fn new(directories: &'a Directories) -> Self {
        Self { directories, free: Vec::new() }
    }

    /// Room for an item's content, where `min_free` bytes stay free.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take(&mut self, item: &Item, content: &[u8], min_free: u64) -> Result<(), StoreError> {
        // Publishing it says that there is no such directory.
        let Some(directory) = self.directories.content(item) else { return Ok(()) };
        let asked = content.len() as u64;
        let free = self.free_in(directory);
        if asked > free.saturating_sub(min_free) {
            let path = directory.path().to_owned();
            return Err(StoreError::NoRoom { path, asked, free: *free, min: min_free, key: KEY });
        }
        *free -= asked;
        Ok(())
    }

    /// What is free where a directory is. A filesystem that does not report it is taken to be endless.
    fn free_in(&mut self, directory: &Directory) -> &mut u64 {
        let device = fstat(&directory.dir).map_or(0, |stat| stat.st_dev);
        let index = self.free.iter().position(|(known, _)| *known == device).unwrap_or_else(|| {
            let free = fstatvfs(&directory.dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
            self.free.push((device, free));
            self.free.len() - 1
        });
        &mut self.free[index].1
    }
}
