//! Hearing of changes in the centre's directories: inotify, and a thread that waits for it.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, PipeReader, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{FsWord, statfs};
use rustix::io::Errno;

use super::directories::Folder;
use crate::mutex::lock;
use crate::panics::catch;
use crate::sync::remote_config::Item;

/// So many names that changed at once are no longer kept apart.
const MOST_NAMES: usize = 10_000;

/// What changes a file or a directory. A write counts once the file is closed, or a large one would be read again and again.
const CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Filesystems that other machines write to, which inotify does not hear of: NFS, CIFS, SMB2, FUSE, Ceph, 9P, AFS, OCFS2,
/// GFS2.
const SHARED: [FsWord; 9] =
    [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x00c3_6400, 0x0102_1997, 0x5346_414f, 0x7461_636f, 0x0116_1970];

/// What has changed and was not taken yet.
#[derive(Debug)]
enum Changes {
    /// Names in watched directories.
    Named(BTreeSet<(i32, Box<[u8]>)>),
    /// More than was kept.
    All,
}

impl Default for Changes {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Changes {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Named(names) if names.is_empty())
    }

    fn add(&mut self, watch: i32, name: &[u8]) {
        match self {
            Self::Named(names) if names.len() < MOST_NAMES => {
                names.insert((watch, name.into()));
            }
            _ => *self = Self::All,
        }
    }
}

/// Why changes may not be heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unheard {
    /// Other machines may write there.
    Shared,
    /// The system's answer.
    Refused(Errno),
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared => f.write_str("other machines may write to its filesystem, which is not heard of here"),
            Self::Refused(errno) => {
                let advice = match *errno {
                    Errno::NOSPC => " (sysctl fs.inotify.max_user_watches has the most)",
                    Errno::MFILE => " (sysctl fs.inotify.max_user_instances has the most)",
                    _ => "",
                };
                write!(f, "changes are not heard of: inotify: {errno}{advice}")
            }
        }
    }
}

/// What is to be looked at again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Items(BTreeSet<Item>),
    All,
}

/// The watches on the directories.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Arc<OwnedFd>,
    changes: Arc<Mutex<Changes>>,
    /// By folder.
    watched: [Option<i32>; 3],
}

/// The thread that waits for changes. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    _end: PipeWriter,
}

impl Watch {
    pub(super) fn new() -> Result<Self, Unheard> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(Unheard::Refused)?;
        Ok(Self { inotify: Arc::new(inotify), changes: Arc::default(), watched: [None; 3] })
    }

    /// What a thread is to wait for.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting { inotify: Arc::clone(&self.inotify), changes: Arc::clone(&self.changes) }
    }

    /// Watches the directories that are there now, and no others; why some may not be heard of.
    pub(super) fn cover(&mut self, incoming: &Path) -> Option<Unheard> {
        let mut unheard = None;
        for (folder, watched) in Folder::ALL.into_iter().zip(&mut self.watched) {
            let path = folder.path(incoming);
            let added = match inotify::add_watch(&*self.inotify, &path, CHANGES) {
                Ok(watch) => Some(watch),
                Err(Errno::NOENT | Errno::NOTDIR) => None,
                Err(errno) => {
                    unheard = Some(Unheard::Refused(errno));
                    None
                }
            };
            if let Some(old) = watched.filter(|old| Some(*old) != added) {
                // A directory that is gone has no watch any more.
                inotify::remove_watch(&*self.inotify, old).ok();
            }
            *watched = added;
            if added.is_some() && statfs(&path).is_ok_and(|filesystem| SHARED.contains(&filesystem.f_type)) {
                unheard = unheard.or(Some(Unheard::Shared));
            }
        }
        unheard
    }

    #[cfg(test)]
    pub(super) fn watched(&self) -> [Option<i32>; 3] {
        self.watched
    }

    /// What has changed since the last call.
    pub(super) fn take(&mut self) -> Changed {
        let Changes::Named(names) = std::mem::take(&mut *lock(&self.changes)) else { return Changed::All };
        let mut items = BTreeSet::new();
        for (watch, name) in names {
            for (folder, _) in Folder::ALL.into_iter().zip(self.watched).filter(|(_, watched)| *watched == Some(watch))
            {
                items.extend(folder.item(&name));
                if name.is_empty() {
                    return Changed::All;
                }
            }
        }
        Changed::Items(items)
    }
}

/// What the thread waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    inotify: Arc<OwnedFd>,
    changes: Arc<Mutex<Changes>>,
}

impl Waiting {
    /// Starts the thread. `notify` is called when there is the first change since [`Watch::take`].
    pub(super) fn start(self, notify: impl Fn() + Send + 'static) -> io::Result<Watcher> {
        let (ended, end) = io::pipe()?;
        let wait = move || {
            let why = match catch(|| self.wait(&ended, notify)) {
                Ok(Ok(())) => return,
                Ok(Err(errno)) => errno.to_string(),
                Err(panicked) => panicked.to_string(),
            };
            log::warn!("inotify: {why}: changes of agents' configuration are found late");
        };
        thread::Builder::new().name("watching".to_owned()).spawn(wait)?;
        Ok(Watcher { _end: end })
    }

    fn wait(&self, ended: &PipeReader, notify: impl Fn()) -> Result<(), nix::Error> {
        loop {
            let mut ready = [self.inotify.as_fd(), ended.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut ready, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                polled => polled?,
            };
            if ready[1].any() != Some(false) {
                return Ok(());
            }
            if self.read().map_err(|errno| nix::Error::from_raw(errno.raw_os_error()))? {
                notify();
            }
        }
    }

    /// Takes note of all there is to be read; whether that is the first since it was taken.
    fn read(&self) -> Result<bool, Errno> {
        let mut buffer = [MaybeUninit::uninit(); 8 << 10];
        let mut events = inotify::Reader::new(&*self.inotify, &mut buffer);
        let mut is_first = false;
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(is_first),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            let mut changes = lock(&self.changes);
            is_first |= changes.is_empty();
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                *changes = Changes::All;
            } else {
                // Without a name it is about the directory itself.
                changes.add(event.wd(), event.file_name().unwrap_or_default().to_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Incoming, configuration};
    use super::*;

    #[test]
    fn too_much_at_once_is_all() {
        let incoming = Incoming::new();
        let mut watch = Watch::new().unwrap();
        watch.cover(incoming.path());
        let add = |watch: &Watch, count: usize| {
            let names = (0..count).map(|number| format!("{number:032x}.md5"));
            names.for_each(|name| lock(&watch.changes).add(watch.watched[1].unwrap(), name.as_bytes()));
        };
        add(&watch, 2);
        assert_eq!(watch.take(), Changed::Items(BTreeSet::from([0, 1].map(configuration))));
        add(&watch, MOST_NAMES + 1);
        assert_eq!((watch.take(), watch.take()), (Changed::All, Changed::Items(BTreeSet::new())));
    }

    #[test]
    fn names_that_are_no_items_and_directories_that_are_no_longer_watched_change_nothing() {
        let incoming = Incoming::new();
        let mut watch = Watch::new().unwrap();
        watch.cover(incoming.path());
        let old = watch.watched[0].unwrap();
        std::fs::rename(incoming.path().join("conf"), incoming.path().join("aside")).unwrap();
        std::fs::create_dir(incoming.path().join("conf")).unwrap();
        watch.cover(incoming.path());
        lock(&watch.changes).add(old, b"");
        lock(&watch.changes).add(old, b"00000000000000000000000000000001.conf");
        lock(&watch.changes).add(watch.watched[0].unwrap(), b"pandora_ha_hosts.conf");
        assert_eq!(watch.take(), Changed::Items(BTreeSet::new()));
        lock(&watch.changes).add(watch.watched[0].unwrap(), b"");
        assert_eq!(watch.take(), Changed::All);
    }
}
