//! Replays the recordings of a stock server, and those of ours in the extension.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};
use std::{fs, thread};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde::Deserialize;
use tempfile::TempDir;
use tentacle_sync::proto::Secret;
use tentacle_sync::testing::fake_server::{FakeServer, Files, Filter, Setup, Storage, files_below};

use crate::recordings::{latin1, recordings_of};
use crate::server_process::{Options, ServerProcess, stored_in};
use crate::stock::{start_stock, stock_program};
use crate::support::{Client, SETTLE, TIMEOUT, scratch};

/// Recordings that the fake server does not cover.
const BEYOND_THE_DOUBLE: [(&str, &str); 1] = [("zsend-one", "it opens no ZIP archives")];

/// How many recordings of stock there are at least.
const STOCKS: usize = 51;

/// The mtime of a recording's first file, in seconds; that of each further one is a second later.
const FIRST_WRITTEN: u64 = 1_700_000_000;

/// Sessions replayed at a time: they mostly wait.
const WORKERS: usize = 8;

#[derive(Debug, Deserialize)]
struct Recording {
    name: String,
    server_options: Vec<String>,
    directories: Vec<String>,
    files_before: BTreeMap<String, String>,
    steps: Vec<Step>,
    files_after: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Step {
    HangUp {
        #[expect(dead_code, reason = "the key is what tells this step from the other")]
        client_closes: bool,
    },
    Exchange {
        #[serde(default)]
        send: String,
        #[serde(default)]
        wait_s: f64,
        recv: String,
        closed: bool,
        /// Both texts are what is compressed.
        #[serde(default)]
        deflate: bool,
    },
}

/// Both directions of a compressed session.
struct Codec {
    compress: Compress,
    decompress: Decompress,
}

impl Codec {
    fn new() -> Self {
        Self { compress: Compress::new(Compression::default(), false), decompress: Decompress::new(false) }
    }

    fn send(&mut self, client: &mut Client, bytes: &[u8]) {
        let mut stream = Vec::with_capacity(bytes.len() + 1_000);
        self.compress.compress_vec(bytes, &mut stream, FlushCompress::Sync).unwrap();
        client.send(stream);
    }

    /// As [`receive_outcome`].
    fn receive(&mut self, client: &mut Client, expected: &[u8], closed: bool) -> (Vec<String>, bool) {
        let mut text = Vec::with_capacity(expected.len() + 10_000);
        let mut take = |stream: &[u8], text: &mut Vec<u8>| {
            self.decompress.decompress_vec(stream, text, FlushDecompress::Sync).unwrap();
        };
        while !closed && text.len() < expected.len() {
            let (byte, is_closed) = client.receive(1, TIMEOUT);
            take(&byte, &mut text);
            if is_closed || byte.is_empty() {
                return (normal(&text), is_closed);
            }
        }
        let (rest, is_closed) = client.receive(usize::MAX, if closed { TIMEOUT } else { SETTLE });
        take(&rest, &mut text);
        (normal(&text), is_closed)
    }
}

impl Recording {
    fn load_all() -> Vec<Self> {
        recordings_of("server")
    }

    fn storage(&self) -> TempDir {
        let storage = scratch();
        for directory in &self.directories {
            fs::create_dir(storage.path().join(directory)).unwrap();
        }
        for (place, (path, bytes)) in (0..).zip(files(&self.files_before)) {
            let path = storage.path().join(path);
            fs::write(&path, bytes).unwrap();
            let written = UNIX_EPOCH + Duration::from_secs(FIRST_WRITTEN + place);
            fs::File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
        }
        storage
    }

    /// A fake server that is set up as the options ask for.
    fn setup(&self, storage: Storage) -> Setup {
        let mut setup = Setup { storage, insecure: false, filters: Vec::new(), ..Setup::default() };
        let (mut timeout, mut retries) = (1, 3);
        let mut options = self.server_options.iter();
        while let Some(option) = options.next() {
            let mut value = || options.next().expect("the option has a value");
            match option.as_str() {
                "-I" => setup.insecure = true,
                "-o" => setup.overwrite = true,
                "-i" => setup.filters = value().split(';').map(filter).collect(),
                "-m" => setup.max_size = value().parse().unwrap(),
                "-x" => setup.password = Some(Secret::new(value().clone().into())),
                "-t" => timeout = value().parse().unwrap(),
                "-r" => retries = value().parse().unwrap(),
                other => panic!("{}: the fake server has no option {other}", self.name),
            }
        }
        setup.idle = Duration::from_secs(timeout * (retries + 1));
        setup
    }

    /// Holds the recorded session with the server; all that was otherwise.
    fn replay(&self, server: SocketAddr) -> Vec<String> {
        let mut client = Client::connect(server);
        let mut codec = Codec::new();
        let mut differences = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let Step::Exchange { send, wait_s, recv, closed, deflate } = step else { break };
            let outcome = if *deflate {
                codec.send(&mut client, &latin1(send));
                codec.receive(&mut client, &latin1(recv), *closed)
            } else {
                client.send(latin1(send));
                let timeout = TIMEOUT.max(Duration::from_secs_f64(wait_s * 2.0));
                receive_outcome(&mut client, &latin1(recv), *closed, timeout)
            };
            if outcome != (normal(&latin1(recv)), *closed) {
                differences.push(format!("{} step {number}: {outcome:?}, not {recv:?} closed={closed}", self.name));
            }
            if outcome.1 {
                break;
            }
        }
        differences
    }

    /// Compares the files at the end, which a server may be a little late with.
    fn compare(&self, held: impl Fn() -> Files) -> Option<String> {
        let expected = files(&self.files_after);
        for _ in 0..40 {
            if held() == expected {
                return None;
            }
            thread::sleep(SETTLE);
        }
        Some(format!("{} files: {:?}, not {:?}", self.name, held().keys(), expected.keys()))
    }
}

/// What comes where `expected` should, and whether the server has closed after it.
fn receive_outcome(client: &mut Client, expected: &[u8], closed: bool, timeout: Duration) -> (Vec<String>, bool) {
    if closed {
        let (received, closed) = client.receive(usize::MAX, timeout);
        return (normal(&received), closed);
    }
    // The length of a normalised answer is its server's own.
    let wanted = if is_archive_size(expected) { 1 } else { expected.len() };
    let (mut received, _) = client.receive(wanted, timeout);
    let (more, closed) = client.receive(usize::MAX, SETTLE);
    received.extend(more);
    (normal(&received), closed)
}

/// Lines in an order that does not depend on the filesystem's, without sizes that depend on paths.
fn normal(answer: &[u8]) -> Vec<String> {
    if is_archive_size(answer) {
        return vec!["ZRECV SIZE n".into()];
    }
    let mut lines: Vec<String> =
        answer.split_inclusive(|&b| b == b'\n').map(|line| untimed(line).escape_ascii().to_string()).collect();
    let is_listing = lines.iter().any(|line| line == ".\\n") && lines.iter().any(|line| line == "..\\n");
    if is_listing {
        lines.sort();
    }
    lines
}

/// What a server can do, without what its clock shows.
fn untimed(line: &[u8]) -> Vec<u8> {
    const TIME: &[u8] = b" TIME=";
    let is_there = |at: &usize| line.starts_with(b"CAPS ") && line[*at..].starts_with(TIME);
    let Some(start) = (0..line.len()).find(is_there) else { return line.to_vec() };
    let digits = line[start + TIME.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    [&line[..start], &line[start + TIME.len() + digits..]].concat()
}

fn is_archive_size(answer: &[u8]) -> bool {
    answer.starts_with(b"ZRECV SIZE ")
}

fn filter(rule: &str) -> Filter {
    let (pattern, directory) = rule.split_once(':').unwrap();
    Filter::new(&pattern.strip_prefix(".*").unwrap().replace(r"\.", "."), directory)
}

fn files(recorded: &BTreeMap<String, String>) -> Files {
    recorded.iter().map(|(path, bytes)| (OsString::from_vec(latin1(path)).into(), latin1(bytes))).collect()
}

/// Runs `replay` on each recording, several at a time, and fails if one was otherwise.
fn replay_each(recordings: Vec<Recording>, least: usize, replay: impl Fn(&Recording) -> Vec<String> + Sync) {
    let count = recordings.len();
    assert!(count >= least, "only {count} recordings");
    let queue = Mutex::new(recordings);
    let differences = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(recording) = queue.lock().unwrap().pop() else { return };
                    let found = replay(&recording);
                    differences.lock().unwrap().extend(found);
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
}

fn within_the_double() -> Vec<Recording> {
    let covered = |recording: &Recording| BEYOND_THE_DOUBLE.iter().all(|(name, _)| *name != recording.name);
    let (covered, beyond): (Vec<_>, Vec<_>) = Recording::load_all().into_iter().partition(covered);
    assert_eq!(beyond.len(), BEYOND_THE_DOUBLE.len(), "a name in the list of exceptions is no recording's");
    for (name, reason) in BEYOND_THE_DOUBLE {
        println!("the fake server skips {name}: {reason}");
    }
    covered
}

#[test]
fn the_double_on_a_directory_answers_as_recorded() {
    replay_each(within_the_double(), STOCKS, |recording| {
        let storage = recording.storage();
        let fake = FakeServer::start(recording.setup(Storage::Directory(storage.path().to_owned()))).unwrap();
        let mut differences = recording.replay(fake.address());
        differences.extend(recording.compare(|| fake.files().unwrap()));
        differences
    });
}

#[test]
fn the_double_in_memory_answers_as_recorded() {
    let mut recordings = within_the_double();
    // In memory the filters' directories are always there; and silence costs time once is enough for.
    recordings.retain(|recording| !recording.directories.is_empty() && recording.name != "idle-times-out");
    replay_each(recordings, STOCKS, |recording| {
        let fake = FakeServer::start(recording.setup(Storage::Memory)).unwrap();
        for (path, bytes) in files(&recording.files_before) {
            fake.put(path, &bytes).unwrap();
        }
        let mut differences = recording.replay(fake.address());
        differences.extend(recording.compare(|| fake.files().unwrap()));
        differences
    });
}

#[test]
fn a_stock_server_answers_as_recorded() {
    if stock_program().is_none() {
        return;
    }
    replay_each(Recording::load_all(), STOCKS, |recording| {
        let storage = recording.storage();
        let options = recording.server_options.iter().fold(Options::default(), Options::arg);
        let server = start_stock(&options, storage.path()).unwrap();
        let mut differences = recording.replay(server.address());
        differences.extend(recording.compare(|| files_below(server.storage()).unwrap()));
        differences
    });
}

/// Where ours differs on purpose: the same session, as ours answers it.
fn as_ours(mut recording: Recording) -> Recording {
    let (step, answer) = match recording.name.as_str() {
        // Stock stores what is no archive as it came.
        "zsend-corrupt" => {
            recording.files_after.clear();
            recording.steps.pop();
            (1, "ZSEND ERR\n")
        }
        // Stock takes both for one command, and closes.
        "two-commands-in-one-write-close" => {
            recording.files_after.clear();
            (0, "MV SIZE 4\nkeep")
        }
        // Stock sends nothing and closes.
        "recv-empty-file-closes" => (1, ""),
        // Stock's answer depends on how TCP cuts the line.
        "line-over-1024-closes" => {
            let Step::Exchange { recv, closed, .. } = &mut recording.steps[0] else { panic!("it speaks") };
            recv.clear();
            *closed = true;
            return recording;
        }
        _ => return recording,
    };
    let Step::Exchange { recv, closed, .. } = &mut recording.steps[step] else { panic!("{}", recording.name) };
    (*recv, *closed) = (answer.into(), false);
    recording
}

fn replay_to_ours(recordings: Vec<Recording>, least: usize) {
    replay_each(recordings, least, |recording| {
        let storage = recording.storage();
        let options = recording.server_options.iter().fold(Options::default(), Options::arg);
        let server = ServerProcess::ours(&options, storage.path());
        let mut differences = recording.replay(server.address());
        differences.extend(recording.compare(|| stored_in(server.storage())));
        differences
    });
}

#[test]
fn our_server_answers_as_recorded() {
    replay_to_ours(Recording::load_all().into_iter().map(as_ours).collect(), STOCKS);
}

#[test]
fn our_server_answers_in_the_extension_as_recorded() {
    replay_to_ours(recordings_of("extension"), 20);
}
