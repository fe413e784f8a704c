//! What stands behind the spool: a data server that takes the files away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, fs};

use tentacle_sync::testing::fake_server::Files;

use crate::daemon::assert_same;

/// By name, each time with the bytes.
pub(crate) type Taken = BTreeMap<PathBuf, Vec<Vec<u8>>>;

/// Takes files out of the incoming directory as soon as they are published, as the data server does.
pub(crate) struct Consumer {
    enough: Arc<AtomicBool>,
    taken: Arc<Mutex<Taken>>,
    thread: JoinHandle<()>,
}

impl Consumer {
    pub(crate) fn start(incoming: PathBuf) -> Self {
        let (enough, taken): (_, Arc<Mutex<Taken>>) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stop, taking) = (Arc::clone(&enough), Arc::clone(&taken));
        let thread = thread::spawn(move || {
            loop {
                let last = stop.load(Ordering::Acquire);
                take_all(&incoming, &mut taking.lock().unwrap());
                if last {
                    return;
                }
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { enough, taken, thread }
    }

    /// Looks at what it has taken so far; it takes nothing meanwhile.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Taken) -> T) -> T {
        look(&self.taken.lock().unwrap())
    }

    /// Has it take what is there, and ends it.
    pub(crate) fn end(self) -> Taken {
        self.enough.store(true, Ordering::Release);
        self.thread.join().unwrap();
        std::mem::take(&mut *self.taken.lock().unwrap())
    }

    /// Ends it; fails unless it has got each of these files, and once.
    #[track_caller]
    pub(crate) fn assert_got(self, expected: &Files) {
        let taken = self.end();
        let doubled: Vec<_> = taken.iter().filter(|(_, bodies)| bodies.len() > 1).map(|(path, _)| path).collect();
        assert!(doubled.is_empty(), "more than once: {doubled:?}");
        assert_same(&taken.into_iter().map(|(path, mut bodies)| (path, bodies.remove(0))).collect(), expected);
    }
}

fn take_all(incoming: &Path, taken: &mut Taken) {
    for entry in fs::read_dir(incoming).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            taken.entry(path.file_name().unwrap().into()).or_default().push(bytes);
        }
    }
}

/// A number to repeat a run by.
pub(crate) fn seed() -> u64 {
    let seed = env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("TEST_SEED={seed}");
    seed
}
