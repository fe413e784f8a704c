//! Opening an incoming directory: checks, and the making of the staging area.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::error::{SET_GROUP, StoreError};
use super::ids::SpoolId;
use super::lacks;
use super::on_conflict::OnConflict;
use super::open;
use super::whole_file::{read_whole, write_whole};
use crate::proto::{COLLECTOR_STAGING, SERVER_STAGING};

/// Whose staging area: a collector and a server may well work in one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Staging {
    Collector,
    Server,
}

impl Staging {
    /// The staging area's name.
    pub(in crate::store) fn name(self) -> &'static str {
        match self {
            // The data server looks at `*.data` in the incoming directory itself only.
            Self::Collector => COLLECTOR_STAGING,
            Self::Server => SERVER_STAGING,
        }
    }
}

/// What published files may be: read and written by the user and by the group, which is the web console's.
pub(in crate::store) const FILE_MODE: Mode = Mode::from_raw_mode(0o660);

const ID: &str = "id";
const LAST_JOURNAL: &str = "journal";

/// In bytes, with the line's end: Linux has no longer ones.
const LONGEST_PATH: u64 = 4096;

/// In bytes; more than it has.
const LONGEST_ID: u64 = 64;

/// Whether files can be stored in this directory, as far as its rights show.
///
/// # Errors
/// What would keep them from it.
pub fn check_directory(path: &Path) -> Result<(), StoreError> {
    open_incoming(path).map(drop)
}

/// Opens the incoming directory, if files can be stored in it.
pub(in crate::store) fn open_incoming(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = fs::open(path, flags, Mode::empty()).map_err(StoreError::io("open the directory", path))?;
    check_writable(&dir, path)?;
    Ok(dir)
}

/// An error if no files can be stored in this directory, as far as its rights show.
pub(in crate::store) fn check_writable(dir: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    fs::accessat(dir, c".", access, AtFlags::empty()).map_err(StoreError::io("store files", path))
}

/// Opens or makes the staging area: ours alone, its files the group's that the incoming directory is of.
pub(in crate::store) fn open_staging(incoming: &OwnedFd, path: &Path, staging: Staging) -> Result<OwnedFd, StoreError> {
    let name = staging.name();
    let staging = path.join(name);
    let failed = |errno: Errno| StoreError::io("make the staging area", &staging)(errno);
    match fs::mkdirat(incoming, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = fs::openat(incoming, name, flags, Mode::empty()).map_err(failed)?;
    let (outer, inner) = (fs::fstat(incoming).map_err(failed)?, fs::fstat(&dir).map_err(failed)?);
    if outer.st_dev != inner.st_dev {
        return Err(StoreError::OtherFilesystem(staging));
    }
    open::make_private(&dir, &staging, incoming)?;
    // Made before the incoming directory got its group: files would be published with the old one.
    let is_setgid = |mode| Mode::from_raw_mode(mode).contains(Mode::SGID);
    if is_setgid(outer.st_mode) && (outer.st_gid != inner.st_gid || !is_setgid(inner.st_mode)) {
        fs::fchown(&dir, None, Some(fs::Gid::from_raw(outer.st_gid))).map_err(StoreError::io(SET_GROUP, &staging))?;
        lacks::set_rights(&dir, Mode::RWXU | Mode::SGID).map_err(failed)?;
    }
    fs::accessat(&dir, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()).map_err(failed)?;
    Ok(dir)
}

/// Reads the staging area's identity, after writing one if there is none that can be read.
pub(in crate::store) fn open_id(staging: &OwnedFd, path: &Path) -> Result<SpoolId, StoreError> {
    let read = || read(staging, path, ID, LONGEST_ID);
    let id = |text: Vec<u8>| parse_id(&text);
    let on_conflict = match read()?.map(id) {
        Some(Some(id)) => return Ok(id),
        Some(None) => OnConflict::Replace,
        None => OnConflict::Refuse,
    };
    write_id(staging, path, on_conflict)?;
    match read()? {
        Some(text) => id(text).ok_or_else(|| StoreError::io("read the identity in", path)(Errno::IO)),
        None => Err(StoreError::io("read the identity in", path)(Errno::NOENT)),
    }
}

/// The identity of the staging area at this path; `None` if there is none.
pub(in crate::store) fn known_id(path: &Path) -> Result<Option<SpoolId>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::open(path, flags, Mode::empty()) {
        Ok(staging) => Ok(read(&staging, path, ID, LONGEST_ID)?.and_then(|text| parse_id(&text))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(StoreError::io("read the identity in", path)(errno)),
    }
}

fn parse_id(text: &[u8]) -> Option<SpoolId> {
    std::str::from_utf8(text).ok()?.trim_end().parse().ok()
}

/// Writes a fresh identity; with `OnConflict::Refuse`, one that was written meanwhile stays.
fn write_id(staging: &OwnedFd, path: &Path, on_conflict: OnConflict) -> Result<(), StoreError> {
    match write(staging, path, ID, format!("{}\n", SpoolId::random()).as_bytes(), on_conflict) {
        Err(StoreError::Exists(_)) => Ok(()),
        written => written,
    }
}

/// The journal that was the last to record this staging area, by its path; `None` if no journal ever did.
pub(in crate::store) fn read_last_journal(staging: &OwnedFd, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let text = read(staging, path, LAST_JOURNAL, LONGEST_PATH)?.unwrap_or_default();
    Ok(text.strip_suffix(b"\n").map(|journal| OsStr::from_bytes(journal).into()))
}

/// Records the journal that has this staging area from now on.
pub(in crate::store) fn write_last_journal(staging: &OwnedFd, path: &Path, journal: &Path) -> Result<(), StoreError> {
    let text = [journal.as_os_str().as_bytes(), b"\n"].concat();
    write(staging, path, LAST_JOURNAL, &text, OnConflict::Replace)
}

/// Removes what records of journals a kill has left half written. For who has locked the staging area: nobody else writes
/// any.
pub(in crate::store) fn sweep_drafts(staging: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    let failed = |errno: Errno| StoreError::io("sweep", path)(errno);
    for entry in fs::Dir::read_from(staging).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let rest = entry.file_name().to_bytes().strip_prefix(LAST_JOURNAL.as_bytes());
        if rest.is_some_and(|rest| rest.starts_with(b".")) {
            fs::unlinkat(staging, entry.file_name(), AtFlags::empty()).map_err(failed)?;
        }
    }
    Ok(())
}

/// A file of the staging area, if it is there; at most `most` bytes of it.
fn read(staging: &OwnedFd, path: &Path, name: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    read_whole(staging, &path.join(name), most)
}

/// Writes a file of the staging area, whole or not at all.
fn write(staging: &OwnedFd, path: &Path, name: &str, text: &[u8], on_conflict: OnConflict) -> Result<(), StoreError> {
    let temp = format!("{name}.{:016x}", random());
    write_whole(staging, &path.join(name), temp, FILE_MODE, text, on_conflict)
}

/// Unlike any other: seeded by the system.
pub(in crate::store) fn random() -> u64 {
    RandomState::new().hash_one(())
}
