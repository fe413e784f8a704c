//! A small model of a data server's choice of files, and of what it makes of counters: as the shipped configuration has
//! it (`dataserver_smart_queue 1`), newest first for each agent, by modification time in whole seconds, one file of an
//! agent in each scan. The rate of a counter needs a later measurement than the last: an earlier one is dropped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// From one scan to the next.
const SCAN: Duration = Duration::from_millis(20);

/// What is in the database: for each agent the values of its counter, in the order they were taken in.
pub(crate) type Rows = BTreeMap<String, Vec<u64>>;

/// A running data server.
pub(crate) struct DataServer {
    stop: Arc<AtomicBool>,
    rows: Arc<Mutex<Rows>>,
    thread: JoinHandle<()>,
}

impl DataServer {
    pub(crate) fn start(incoming: PathBuf) -> Self {
        let (stop, rows): (_, Arc<Mutex<Rows>>) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, filled) = (Arc::clone(&stop), Arc::clone(&rows));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                scan(&incoming, &mut filled.lock().unwrap());
                thread::sleep(SCAN);
            }
        });
        Self { stop, rows, thread }
    }

    /// How many values are in the database.
    pub(crate) fn count(&self) -> usize {
        self.rows.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Ends it; the database.
    pub(crate) fn end(self) -> Rows {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap();
        std::mem::take(&mut *self.rows.lock().unwrap())
    }
}

/// A file as an agent sends it; only its counter matters.
pub(crate) fn agent_data(agent: &str, counter: u64) -> String {
    format!("<agent_data agent_name='{agent}'><data>{counter}</data></agent_data>\n")
}

/// The agent that a file's name stands for, if the data server takes it: `^(.*)[\._]\d+\.data$`.
fn agent_of(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".data")?;
    let agent = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    (agent.len() < stem.len()).then(|| agent.strip_suffix(['.', '_']))?
}

/// Takes one file of each agent: the newest.
fn scan(incoming: &Path, rows: &mut Rows) {
    let mut newest: BTreeMap<String, (SystemTime, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(incoming).unwrap() {
        let path = entry.unwrap().path();
        let Some(agent) = path.file_name().and_then(|name| agent_of(name.to_str()?)) else { continue };
        let modified = whole_seconds(fs::metadata(&path).unwrap().modified().unwrap());
        let file = (modified, path.clone());
        let first = newest.entry(agent.to_owned()).or_insert_with(|| file.clone());
        if file > *first {
            *first = file;
        }
    }
    for (_, path) in newest.into_values() {
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let between = |before: &str, after: char| text.split_once(before)?.1.split_once(after).map(|(value, _)| value);
        let agent = between("agent_name='", '\'').expect("a whole file names its agent").to_owned();
        let counter = between("<data>", '<').and_then(|value| value.parse().ok()).expect("and has a counter");
        let values: &mut Vec<u64> = rows.entry(agent).or_default();
        if values.last().is_none_or(|&last| last < counter) {
            values.push(counter);
        }
    }
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
