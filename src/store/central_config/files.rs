//! Single files of the centre, read as seldom as can be.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::agent_conf::{AgentConf, parse};
use super::directories::{Directories, Directory};
use crate::proto::{FileName, Md5Sum};
use crate::store::fs::compare::md5_sum;
use crate::store::fs::open::{self, Found};
use crate::sync::remote_config::{Item, ItemKind, parse_md5};

/// The most bytes of a configuration: agents read theirs at each interval, and have a few KiB.
pub const MAX_CONFIGURATION: u64 = 1 << 20;
/// The most bytes of a collection.
pub const MAX_COLLECTION: u64 = 64 << 20;

/// The most bytes of a file with an MD5: 32, and what an editor leaves behind them.
const MAX_MD5: u64 = 64;

/// A file that was written to so recently may be written to again within one tick of its filesystem's clock (two seconds on
/// FAT), and its times would not show it.
const SETTLED: Duration = Duration::from_secs(3);

/// Why a file that is there cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something else is in its place, which these words name.
    NotAFile(&'static str),
    /// It is larger than what is read.
    TooLarge {
        /// The most bytes.
        most: u64,
    },
    /// The system's answer.
    Unreadable(Errno),
    /// Of the file that should have an MD5: it has something else.
    NoMd5,
    /// With it, more would be held in memory than may be.
    NoMemory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile(found) => write!(f, "is {found}, and a regular file belongs there"),
            Self::TooLarge { most } => write!(f, "is larger than {most} bytes, the most that is sent to a site"),
            Self::Unreadable(errno @ (Errno::ACCESS | Errno::PERM)) => {
                write!(f, "cannot be read: {errno}: give the user this runs as the right to")
            }
            Self::Unreadable(errno) => write!(f, "cannot be read: {errno}"),
            Self::NoMemory => f.write_str("waits until other collections are sent"),
            Self::NoMd5 => f.write_str("does not hold an MD5 of 32 hexadecimal digits"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// Which file it was, in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same, of the inode: unlike the one before, no program sets it.
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            changed: (stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
        }
    }

    /// Whether a later write would show in it.
    #[expect(clippy::disallowed_methods, reason = "files are dated by the clock of the machine")]
    fn is_settled(&self) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        changed.and_then(|changed| SystemTime::now().duration_since(changed).ok()).is_some_and(|age| age > SETTLED)
    }
}

/// What was found in a file that is there.
#[derive(Clone, Debug)]
pub(super) struct Known<T> {
    /// `None` if the file is to be read again whatever its state.
    stamp: Option<Stamp>,
    pub(super) found: Result<T, Fault>,
}

impl<T> Known<T> {
    /// Of the same state of the file, this was found.
    pub(super) fn with<U>(&self, found: U) -> Known<U> {
        self.with_found(Ok(found))
    }

    pub(super) fn with_found<U>(&self, found: Result<U, Fault>) -> Known<U> {
        Known { stamp: self.stamp, found }
    }
}

/// An item's content, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) fingerprint: Md5Sum,
    /// What a configuration asks for, and whose it is.
    pub(super) conf: AgentConf,
}

/// What is in a file, if it is there: what was `known` of it, unless it has changed since.
fn look<T>(
    directory: &Directory,
    name: &FileName,
    known: Option<Known<T>>,
    read: impl FnOnce(File, &Stat) -> Result<T, Fault>,
) -> Option<Known<T>> {
    let unreadable = |errno| Some(Known { stamp: None, found: Err(Fault::Unreadable(errno)) });
    let before = match fs::statat(&directory.dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Stamp::of(&stat),
        Err(Errno::NOENT) => return None,
        Err(errno) => return unreadable(errno),
    };
    if let Some(known) = known.filter(|known| known.stamp == Some(before)) {
        return Some(known);
    }
    // It is dated before it is read: what is written meanwhile shows the next time.
    match open::file(&directory.dir, name.as_bytes(), OFlags::RDONLY, Mode::empty()) {
        Ok(Found::File(file, stat)) => {
            let stamp = Some(Stamp::of(&stat)).filter(Stamp::is_settled);
            Some(Known { stamp, found: read(file, &stat) })
        }
        Ok(Found::Nothing) => None,
        Ok(Found::Other(found)) => Some(Known { stamp: None, found: Err(Fault::NotAFile(found)) }),
        Err(errno) => unreadable(errno),
    }
}

/// An item's content, if it fits its MD5 as it is read; `read` reads it in its directory.
pub(super) fn read_fitting(
    directories: &Directories,
    item: &Item,
    read: impl FnOnce(&Directory) -> Option<(Arc<[u8]>, Md5Sum)>,
) -> Option<(Arc<[u8]>, Md5Sum)> {
    let md5 = look_at_md5(&directories.md5s, item, None)?.found.ok()?;
    let (content, sum) = read(directories.content(item)?)?;
    (sum.size > 0 && sum.md5 == md5).then_some((content, sum))
}

/// An item's content, read whole.
pub(super) fn read_anew(directory: &Directory, item: &Item) -> Option<(Arc<[u8]>, Md5Sum)> {
    let content = read_content(directory, item).ok()??;
    let sum = Md5Sum::of(&content);
    Some((content.into(), sum))
}

/// What an item's content is, if it is there.
pub(super) fn look_at_content(
    directory: &Directory,
    item: &Item,
    known: Option<Known<Content>>,
) -> Option<Known<Content>> {
    let most = most(item);
    look(directory, &item.content_name(), known, |file, stat| {
        if is_larger(stat, most) {
            return Err(Fault::TooLarge { most });
        }
        match item.kind() {
            ItemKind::Configuration => {
                let bytes = read_at_most(file, most)?;
                Ok(Content { fingerprint: Md5Sum::of(&bytes), conf: parse(&bytes) })
            }
            ItemKind::Collection => {
                let fingerprint = md5_sum(&mut file.take(most + 1))?;
                let content = Content { fingerprint, conf: AgentConf::default() };
                if fingerprint.size > most { Err(Fault::TooLarge { most }) } else { Ok(content) }
            }
        }
    })
}

/// What an item's other file says, if it is there.
pub(super) fn look_at_md5(
    directory: &Directory,
    item: &Item,
    known: Option<Known<[u8; 16]>>,
) -> Option<Known<[u8; 16]>> {
    look(directory, &item.md5_name(), known, |file, _| {
        let bytes = read_at_most(file, MAX_MD5).map_err(|fault| match fault {
            Fault::TooLarge { .. } => Fault::NoMd5,
            fault => fault,
        })?;
        parse_md5(&bytes).ok_or(Fault::NoMd5)
    })
}

/// An item's content and its fingerprint, if it is there. `room`: the most bytes that may be held anew.
pub(super) fn look_at_bytes(
    directory: &Directory,
    item: &Item,
    known: Option<Known<(Arc<[u8]>, Md5Sum)>>,
    room: u64,
) -> Option<Known<(Arc<[u8]>, Md5Sum)>> {
    // Its bytes are held already, unless it is another by now.
    let own = known.as_ref().and_then(|known| known.found.as_ref().ok()).map_or(0, |(_, of)| of.size);
    look(directory, &item.content_name(), known, |file, stat| {
        if is_larger(stat, most(item)) {
            return Err(Fault::TooLarge { most: most(item) });
        }
        if is_larger(stat, room.saturating_add(own)) {
            return Err(Fault::NoMemory);
        }
        let bytes = read_at_most(file, most(item))?;
        let fingerprint = Md5Sum::of(&bytes);
        Ok((bytes.into(), fingerprint))
    })
}

/// An item's content, if it is there.
pub(super) fn read_content(directory: &Directory, item: &Item) -> Result<Option<Vec<u8>>, Fault> {
    match open::file(&directory.dir, item.content_name().as_bytes(), OFlags::RDONLY, Mode::empty()) {
        Ok(Found::File(_, stat)) if is_larger(&stat, most(item)) => Err(Fault::TooLarge { most: most(item) }),
        Ok(Found::File(file, _)) => read_at_most(file, most(item)).map(Some),
        Ok(Found::Nothing) => Ok(None),
        Ok(Found::Other(found)) => Err(Fault::NotAFile(found)),
        Err(errno) => Err(Fault::Unreadable(errno)),
    }
}

fn most(item: &Item) -> u64 {
    match item.kind() {
        ItemKind::Configuration => MAX_CONFIGURATION,
        ItemKind::Collection => MAX_COLLECTION,
    }
}

fn is_larger(stat: &Stat, most: u64) -> bool {
    u64::try_from(stat.st_size).is_ok_and(|size| size > most)
}

fn read_at_most(file: File, most: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(Fault::TooLarge { most }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_file_is_read_again_only_if_it_may_have_changed() {
        let count = Cell::new(0);
        let look = |directory: &Path, known| {
            let name: FileName = "Cargo.toml".parse().unwrap();
            look(&Directory::open(directory.to_owned()).unwrap(), &name, known, |_, _| {
                count.set(count.get() + 1);
                Ok(count.get())
            })
        };
        // It is older than this test.
        let old = Path::new(env!("CARGO_MANIFEST_DIR"));
        let known = look(old, look(old, None));
        assert_eq!(known.unwrap().found, Ok(1));
        let fresh = tempfile::tempdir().unwrap();
        std::fs::write(fresh.path().join("Cargo.toml"), "").unwrap();
        let known = look(fresh.path(), look(fresh.path(), None));
        assert_eq!(known.unwrap().found, Ok(3), "it may be written to again within one tick");
        let other = look(fresh.path(), look(old, None));
        assert_eq!(other.unwrap().found, Ok(5));
    }
}
