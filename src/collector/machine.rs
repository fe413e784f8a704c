//! What the machine has: memory, disks. Looked at on a thread of its own, which a filesystem may keep waiting.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use log::warn;
use rustix::fs::{Stat, StatVfs, stat, statvfs};

use crate::in_time::in_time;
use crate::memory::resident;
use crate::mutex::lock;
use crate::panics::catch;
use crate::proto::quoted;
use crate::store::{JOURNAL, check_directory};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// Directories that are looked at: most are on one filesystem.
const MOST_DIRECTORIES: usize = 16;

/// A filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// The first directory of ours on it.
    pub(super) directory: PathBuf,
    /// Free and in all, in bytes; `None` where it does not answer.
    pub(super) space: Option<(u64, u64)>,
}

/// What was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// This process's resident memory, in bytes.
    pub(super) memory: Option<u64>,
    /// The journal's size, in bytes.
    pub(super) journal: Option<u64>,
    pub(super) disks: Vec<Disk>,
    /// Why nothing can be stored in a directory, of each in which that is so.
    pub(super) unusable: Vec<String>,
}

/// What the thread is to do.
pub(super) enum Order {
    /// From now on, look at these.
    Directories(Vec<PathBuf>),
    /// Anything that may have to wait for a filesystem.
    Work(Box<dyn FnOnce() + Send>),
}

/// The handle of the thread. It ends some time after this is dropped.
pub(super) struct Machine {
    orders: Sender<Order>,
    sample: Arc<Mutex<Sample>>,
}

impl Machine {
    /// Looks at the state directory from now on.
    pub(super) fn start(state_dir: &Path) -> io::Result<Self> {
        let (orders, queue) = mpsc::channel();
        let sample = Arc::default();
        let (state_dir, seen) = (state_dir.to_owned(), Arc::clone(&sample));
        thread::Builder::new().name("machine".into()).spawn(move || run(&state_dir, &queue, &seen))?;
        Ok(Self { orders, sample })
    }

    /// What the thread does next; without the thread, nothing.
    pub(super) fn order(&self, order: Order) {
        self.orders.send(order).ok();
    }

    /// What was seen last.
    pub(super) fn sample(&self) -> Sample {
        lock(&self.sample).clone()
    }
}

fn run(state_dir: &Path, queue: &Receiver<Order>, sample: &Mutex<Sample>) {
    let mut directories = Vec::new();
    loop {
        let seen = look(state_dir, &directories);
        *lock(sample) = seen;
        match queue.recv_timeout(INTERVAL) {
            Ok(Order::Directories(new)) => directories = new,
            Ok(Order::Work(work)) => {
                if let Err(panicked) = catch(work) {
                    warn!("{panicked}: what it was to do is left out");
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn look(state_dir: &Path, directories: &[PathBuf]) -> Sample {
    let journal = state_dir.join(JOURNAL);
    let size = in_time(&journal.clone(), move || std::fs::metadata(journal).map(|metadata| metadata.len()).ok());
    let (mut disks, mut known, mut unusable) = (Vec::new(), BTreeSet::new(), Vec::new());
    let all = std::iter::once(state_dir).chain(directories.iter().map(PathBuf::as_path));
    for directory in all.take(MOST_DIRECTORIES) {
        let path = directory.to_owned();
        let looked = in_time(directory, move || {
            let usable = check_directory(&path).map_err(|error| error.to_string());
            let bytes = |stat: Stat, space: StatVfs| {
                let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
                (stat.st_dev, bytes(space.f_bavail), bytes(space.f_blocks))
            };
            (usable, stat(&path).ok().zip(statvfs(&path).ok()).map(|(stat, space)| bytes(stat, space)))
        });
        let (usable, space) = looked.unwrap_or_else(|_| (Err(format!("{} does not answer", quoted(directory))), None));
        unusable.extend(usable.err());
        if let Some((_, 0, _)) = space {
            unusable.push(format!("{} is full", quoted(directory)));
        }
        if space.is_none_or(|(device, ..)| known.insert(device)) {
            let space = space.map(|(_, free, total)| (free, total));
            disks.push(Disk { directory: directory.to_owned(), space });
        }
    }
    Sample { memory: resident(), journal: size.ok().flatten(), disks, unusable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_seen_and_a_filesystem_once() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(JOURNAL), b"12345").unwrap();
        let missing = directory.path().join("missing");
        let seen = look(directory.path(), &[directory.path().to_owned(), missing.clone()]);
        assert_eq!(seen.journal, Some(5));
        assert!(seen.memory > Some(0));
        let [first, second] = &seen.disks[..] else { panic!("{seen:?}") };
        assert!(first.space.is_some_and(|(free, total)| free <= total && total > 0), "{seen:?}");
        assert_eq!(second, &Disk { directory: missing, space: None });
        let [unusable] = &seen.unusable[..] else { panic!("{seen:?}") };
        assert!(unusable.contains("missing"), "{unusable}");
    }

    #[test]
    fn work_that_panics_does_not_keep_what_follows_from_being_done() {
        let directory = tempfile::tempdir().unwrap();
        let machine = Machine::start(directory.path()).unwrap();
        machine.order(Order::Work(Box::new(|| panic!("the work panics"))));
        let (done, is_done) = mpsc::channel();
        machine.order(Order::Work(Box::new(move || done.send(()).unwrap())));
        is_done.recv_timeout(Duration::from_secs(30)).expect("it is done");
    }
}
