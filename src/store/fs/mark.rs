//! How a site is known that serves the very directory that is collected into: by an empty directory in it, the *mark*,
//! whose name is like no other. A Tentacle server lists directories, and no command can take one away; a data server
//! looks at `*.data` only.

use std::fs::{create_dir, remove_dir};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode};
use rustix::io::Errno;

use super::error::StoreError;
use super::ids::SpoolId;
use super::setup::known_id;
use crate::proto::{COLLECTOR_MARK, COLLECTOR_STAGING, is_collector_mark};

/// The name of the mark of the staging area `id`.
pub(in crate::store) fn mark_name(id: SpoolId) -> String {
    format!("{COLLECTOR_MARK}{id}")
}

/// Makes the mark of a staging area in its incoming directory, if it is not there; those of areas that are no more go then.
pub(in crate::store) fn leave_mark(incoming: &OwnedFd, path: &Path, id: SpoolId) -> Result<(), StoreError> {
    let mark = mark_name(id);
    match fs::mkdirat(incoming, &mark, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(errno) => return Err(StoreError::io("make the directory", &path.join(mark))(errno)),
    }
    let failed = |errno: Errno| StoreError::io("list the directory", path)(errno);
    for entry in fs::Dir::read_from(incoming).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if is_collector_mark(name.to_bytes()) && name.to_bytes() != mark.as_bytes() {
            // An old mark does no harm.
            fs::unlinkat(incoming, name, AtFlags::REMOVEDIR).ok();
        }
    }
    Ok(())
}

/// The mark of an incoming directory for who does not collect into it: a collector's that has, or one of its own, until it
/// is dropped.
#[derive(Debug)]
pub(crate) struct BorrowedMark {
    name: String,
    made: Option<PathBuf>,
}

impl BorrowedMark {
    /// `None` where there is none and none can be made.
    pub(crate) fn of(incoming: &Path) -> Option<Self> {
        let known = known_id(&incoming.join(COLLECTOR_STAGING)).ok().flatten().map(mark_name);
        if let Some(name) = known.filter(|name| incoming.join(name).exists()) {
            return Some(Self { name, made: None });
        }
        let name = mark_name(SpoolId::random());
        let path = incoming.join(&name);
        create_dir(&path).ok()?;
        Some(Self { name, made: Some(path) })
    }

    /// Whether it is one of `marks`.
    pub(crate) fn is_in(&self, marks: &[Box<[u8]>]) -> bool {
        marks.iter().any(|mark| **mark == *self.name.as_bytes())
    }
}

impl Drop for BorrowedMark {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            // What stays is taken away when a collector makes its own.
            remove_dir(path).ok();
        }
    }
}
