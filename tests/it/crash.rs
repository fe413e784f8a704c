//! Killed at any moment, and started again: nothing is lost, nothing arrives twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, fs};

use fastrand::Rng;
use tentacle_sync::double::{Double, Files, Fleet, Setup, Tally, Verb};

use crate::daemon::{Place, assert_same, staged_in};
use crate::site::site_config;

const FILES: usize = 2_000;
const KILLS: usize = 50;

/// Commands between two kills, at most. What was fetched but not published before a kill is fetched again.
const MOST_COMMANDS: u64 = 6 * FILES as u64 / KILLS as u64;

/// Takes files out of the incoming directory as soon as they are published, as the data server does.
struct Consumer {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<PathBuf, Vec<Vec<u8>>>>,
}

impl Consumer {
    fn start(incoming: PathBuf) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            let mut taken = BTreeMap::new();
            loop {
                let last = told.load(Ordering::Acquire);
                take_all(&incoming, &mut taken);
                if last {
                    return taken;
                }
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { enough, thread }
    }

    /// All it has taken: by name, each time with its bytes.
    fn finish(self) -> BTreeMap<PathBuf, Vec<Vec<u8>>> {
        self.enough.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

fn take_all(incoming: &Path, taken: &mut BTreeMap<PathBuf, Vec<Vec<u8>>>) {
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
fn seed() -> u64 {
    let seed = env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("CRASH_SEED={seed}");
    seed
}

fn commands(tally: &Tally) -> u64 {
    tally.commands.values().sum()
}

#[test]
fn fifty_kills_lose_nothing_and_double_nothing() {
    let mut rng = Rng::with_seed(seed());
    let double = Double::start(Setup::default()).unwrap();
    let files: Files = Fleet { prefix: "web".into(), agents: 40, seed: 9 }
        .files(FILES)
        .map(|(name, body)| (name.into(), body))
        .collect();
    for (path, bytes) in &files {
        double.put(path, bytes).unwrap();
    }
    let place = Place::with_sites([site_config("site", double.address(), "")]);
    let consumer = Consumer::start(place.incoming());
    for _ in 0..KILLS {
        let until = commands(&double.tally()) + rng.u64(0..=MOST_COMMANDS);
        let mut daemon = place.start();
        // Where the site is empty already, it is killed while it has nothing to do.
        double.wait_for(Duration::from_secs(2), |tally| commands(tally) >= until);
        thread::sleep(Duration::from_micros(rng.u64(0..5_000)));
        daemon.kill();
    }
    let (fetched, left) = (double.tally().count(Verb::Recv), double.files().unwrap().len());
    println!("{fetched} fetched, {left} left after the last kill");
    assert!(left < FILES, "it was never let come that far");
    place.once().assert_code(0);
    let taken = consumer.finish();
    let doubled: Vec<_> = taken.iter().filter(|(_, bodies)| bodies.len() > 1).map(|(path, _)| path).collect();
    assert!(doubled.is_empty(), "more than once: {doubled:?}");
    assert_same(&taken.into_iter().map(|(path, mut bodies)| (path, bodies.remove(0))).collect(), &files);
    assert!(double.files().unwrap().is_empty());
    assert_eq!(staged_in(&place.incoming()), Vec::<String>::new());
}
