//! What can go wrong on disk, in words that name the path and what to do.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::advice::advice;
pub(in crate::store) use super::advice::{LOCK, SET_GROUP, START_THREAD};
use crate::proto::quoted;

/// Why something could not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{}: cannot {action}: {errno}{}", quoted(path), advice(action, *errno))]
    Io {
        /// What was tried, to be read after "cannot".
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's answer.
        errno: Errno,
    },
    /// Another process holds the lock.
    #[error(
        "{}: in use by another process{}, and one at a time may work there: stop that one first",
        quoted(path), which(path, *holder)
    )]
    Busy {
        /// What it is locked for.
        path: PathBuf,
        /// That process, where the system reports it.
        holder: Option<u32>,
    },
    /// Something else is where a file of ours belongs.
    #[error("{}: is {found}, and a regular file belongs there: remove it, it is made anew", quoted(path))]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// Another user's, who could change what we keep there.
    #[error(
        "{}: belongs to user {owner}, and this runs as user {us}: who made it could change what is kept there; remove it, \
         it is made anew, or run this as that user",
        quoted(path)
    )]
    Foreign {
        /// What was there before us.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others may write to it.
    #[error(
        "{}: others may write to it (mode {mode:04o}): take that right away (chmod go-w), or remove it, it is made anew",
        quoted(path)
    )]
    Exposed {
        /// What was there before us.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The staging area is a mount point or a link elsewhere: a file cannot be renamed out of it.
    #[error("{}: lies on another filesystem than the directory around it: remove it, it is made anew", quoted(.0))]
    OtherFilesystem(PathBuf),
    /// One incoming directory is a copy of the other, staging area and all.
    #[error(
        "{}: its .tentacle-sync is a copy of the one in {}: remove it, it is made anew",
        quoted(.0), quoted(.1)
    )]
    CopiedSpool(PathBuf, PathBuf),
    /// The path leads elsewhere than at the start.
    #[error(
        "{}: is another directory than at the start, or its staging area is: put the old one back (was something \
         mounted over it?), or restart this program to use the new one", quoted(.0)
    )]
    Displaced(PathBuf),
    /// The path leads elsewhere than when what is known of it was seen.
    #[error(
        "{}: is another directory than a moment ago, as when something is mounted over it: what is in it by now is looked \
         at first", quoted(.0)
    )]
    Replaced(PathBuf),
    /// As much is to stay free.
    #[error(
        "{}: {free} bytes are free on that filesystem; {asked} more would leave less than {key} {min}: free some space, or \
         lower {key}",
        quoted(path)
    )]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// What was to be stored there.
        asked: u64,
        /// What is free.
        free: u64,
        /// The limit.
        min: u64,
        /// The limit's name in the configuration.
        key: &'static str,
    },
    /// Its filesystem has not answered in time.
    #[error(
        "{}: its filesystem does not answer: is it frozen, its server or its disk gone? What is for it stays at the sites \
         until it does", quoted(.0)
    )]
    Silent(PathBuf),
    /// The name and every fresh one made from it are taken.
    #[error("{}: taken, and so is every name made from it: is the data server running?", quoted(.0))]
    NoFreeName(PathBuf),
    /// The name is taken, and so long that no fresh one can be made from it.
    #[error(
        "{}: taken by another file, and too long for a fresh name to be made from it (the most is 255 bytes): move the \
         file that is there away; is the data server running?", quoted(.0)
    )]
    NoLongerName(PathBuf),
    /// The name is taken, and nothing may be overwritten.
    #[error("{}: exists already", quoted(.0))]
    Exists(PathBuf),
    /// A link leads out of the storage directory.
    #[error("{}: lies outside the storage directory {}: name a directory inside it", quoted(path), quoted(storage))]
    Outside {
        /// Where the directory is.
        path: PathBuf,
        /// Where it should be.
        storage: PathBuf,
    },
    /// The journal was written by a later version.
    #[error(
        "{}: journal of format {found}, this program reads format {known}: run the newer version, \
         or move the file away (files that are waiting may then arrive twice)",
        quoted(path)
    )]
    JournalFormat {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It would have overtaken a file of its [`PublishOrder`](crate::store::PublishOrder) that could not be published.
    #[error("an earlier file of its agent could not be published, which this one must not overtake")]
    Blocked,
    /// An operation on it has panicked: a bug.
    #[error("{}: an operation on it has panicked", quoted(.0))]
    Panicked(PathBuf),
    /// The thread that makes files durable is gone.
    #[error("the thread that works on the disk has stopped: nothing can be stored until a restart")]
    Stopped,
}

impl StoreError {
    /// What is wrong, whichever file it was found with; of a whole disk, whatever was tried.
    pub fn log_key(&self) -> String {
        match self {
            Self::Io { errno: errno @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO), .. } => {
                errno.to_string()
            }
            Self::Io { action, errno, .. } => format!("{action}: {errno}"),
            Self::NoRoom { path, key, .. } => format!("{key}: {}", quoted(path)),
            other => other.to_string(),
        }
    }

    /// What it is about, where that is a file or a directory.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Busy { path, .. }
            | Self::NotAFile { path, .. }
            | Self::Foreign { path, .. }
            | Self::Exposed { path, .. }
            | Self::OtherFilesystem(path)
            | Self::CopiedSpool(path, _)
            | Self::Displaced(path)
            | Self::Replaced(path)
            | Self::NoRoom { path, .. }
            | Self::Silent(path)
            | Self::Panicked(path)
            | Self::NoFreeName(path)
            | Self::NoLongerName(path)
            | Self::Exists(path)
            | Self::Outside { path, .. }
            | Self::JournalFormat { path, .. } => Some(path),
            Self::Blocked | Self::Stopped => None,
        }
    }

    /// For `map_err`: what was tried on which path.
    pub(in crate::store) fn io<E: Into<Errno>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |error| Self::Io { action, path: path.to_owned(), errno: error.into() }
    }

    /// Like [`StoreError::io`], for errors of the standard library.
    pub(in crate::store) fn std(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Self::Io { action, path: path.to_owned(), errno }
        }
    }

    /// Whether it stays as it is until somebody steps in: no room, no right, a disk or a process in the way may pass.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::NotAFile { .. }
            | Self::Foreign { .. }
            | Self::Exposed { .. }
            | Self::OtherFilesystem(_)
            | Self::CopiedSpool(..)
            | Self::JournalFormat { .. } => true,
            Self::Io { .. }
            | Self::Busy { .. }
            | Self::Displaced(_)
            | Self::Replaced(_)
            | Self::NoRoom { .. }
            | Self::Silent(_)
            | Self::Panicked(_)
            | Self::NoFreeName(_)
            | Self::NoLongerName(_)
            | Self::Exists(_)
            | Self::Outside { .. }
            | Self::Blocked
            | Self::Stopped => false,
        }
    }

    /// Whether what the configuration names cannot be used: it is not there, or not for this user. What another try may
    /// cure is none of that: no room, a lock, a thread, a disk.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::Io { action, errno, .. } => {
                let is_of_path = matches!(
                    *errno,
                    Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NAMETOOLONG
                );
                is_of_path && ![LOCK, START_THREAD].contains(action)
            }
            Self::Outside { .. } => true,
            other => other.is_lasting(),
        }
    }

    /// Whether the directory or file asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { errno: Errno::NOENT | Errno::NOTDIR, .. })
    }

    /// Whether no other file could be stored there just now either: the disk is full or read-only, or another one.
    pub fn concerns_all(&self) -> bool {
        self.is_full() || matches!(self, Self::Displaced(_) | Self::Silent(_) | Self::Io { errno: Errno::ROFS, .. })
    }

    /// Whether the filesystem does not answer.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_))
    }

    /// Whether this process, or the whole system, has as many files open as it may.
    pub fn lacks_files(&self) -> bool {
        matches!(self, Self::Io { errno: Errno::MFILE | Errno::NFILE, .. })
    }

    /// Whether there is no room: the disk is full, or the quota used up. Room may come back, so trying later is right.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { errno: Errno::NOSPC | Errno::DQUOT, .. })
    }
}

fn which(path: &Path, holder: Option<u32>) -> String {
    match holder {
        Some(pid) => format!(", pid {pid}"),
        None => format!(" (`fuser -v {}` shows which)", quoted(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(errno: Errno) -> StoreError {
        StoreError::io("write", Path::new("/spool/x"))(errno)
    }

    #[test]
    fn a_message_names_the_path_and_what_to_do() {
        let text = failed(Errno::NOSPC).to_string();
        assert!(text.starts_with("/spool/x: cannot write: No space left on device"), "{text}");
        assert!(text.ends_with(": free some space on that filesystem"), "{text}");
    }

    #[test]
    fn what_another_try_may_cure_is_not_of_the_configuration() {
        let of = |action, errno| StoreError::io(action, Path::new("/spool/x"))(errno).is_of_configuration();
        assert!(of("open the directory", Errno::NOENT) && of("store files", Errno::ACCESS));
        assert!(!of("write", Errno::NOSPC) && !of(LOCK, Errno::NOLCK) && !of(START_THREAD, Errno::PERM));
        assert!(!StoreError::Busy { path: "/state".into(), holder: None }.is_of_configuration());
    }

    #[test]
    fn a_process_that_is_in_the_way_is_named_or_how_to_find_it() {
        let busy = |holder| StoreError::Busy { path: "/state".into(), holder }.to_string();
        let text = busy(Some(17));
        assert!(
            text.starts_with("/state: in use by another process, pid 17, and one at a time may work there: stop that"),
            "{text}"
        );
        let text = busy(None);
        assert!(
            text.starts_with("/state: in use by another process (`fuser -v /state` shows which), and one at"),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_disk_is_one_log_key() {
        let other = StoreError::io("create", Path::new("/spool/y"))(Errno::NOSPC);
        assert_eq!(failed(Errno::NOSPC).log_key(), other.log_key());
        assert_ne!(failed(Errno::NOSPC).log_key(), failed(Errno::ROFS).log_key());
        let other = StoreError::io("create", Path::new("/spool/x"))(Errno::ACCESS);
        assert_ne!(failed(Errno::ACCESS).log_key(), other.log_key());
    }

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_full() {
        assert!(failed(Errno::NOSPC).is_full());
        assert!(failed(Errno::DQUOT).is_full());
        assert!(!failed(Errno::IO).is_full());
        assert!(!StoreError::Stopped.is_full());
    }
}
