//! Very many files waiting at one site: all come, from the first seconds on, and memory does not grow with them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{Sandbox, wait_until};
use crate::server_process::{Options, ServerProcess, is_emptied};
use crate::site::site_config;
use crate::stock::start_stock;
use crate::support::{Certificates, peak_memory, scratch};

const AGENTS: usize = 1_000;

/// The first files' epoch second.
const START: usize = 1_700_000_000;

/// Seconds from one of an agent's files to its next.
const INTERVAL: usize = 300;

/// After so long without another file, none is expected any more.
const TIMEOUT: Duration = Duration::from_secs(60);

fn name_of(number: usize) -> String {
    format!("agent{:04}.{}.data", number % AGENTS, START + INTERVAL * (number / AGENTS))
}

fn number_of(name: &str) -> Option<usize> {
    let (agent, epoch) = name.strip_prefix("agent")?.strip_suffix(".data")?.split_once('.')?;
    let (agent, epoch): (usize, usize) = (agent.parse().ok()?, epoch.parse().ok()?);
    Some((epoch - START) / INTERVAL * AGENTS + agent)
}

fn body_of(number: usize) -> String {
    format!("<agent_data number='{number}'/>\n")
}

#[expect(clippy::disallowed_methods, reason = "what is printed is how long it takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What came of the files that waited.
struct Arrivals {
    /// By their numbers.
    came: Vec<bool>,
    count: usize,
    since: Instant,
    /// When the first file of each tenth was seen.
    tenths: Vec<Duration>,
}

impl Arrivals {
    fn of(files: usize) -> Self {
        Self { came: vec![false; files], count: 0, since: now(), tenths: Vec::new() }
    }

    fn are_complete(&self) -> bool {
        self.count == self.came.len()
    }

    /// Takes what is published out of the incoming directory, as the data server does. Fails on a file that came
    /// before, was never sent, or has other bytes.
    fn take(&mut self, incoming: &Path) {
        for entry in fs::read_dir(incoming).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let number = name.to_str().and_then(number_of).filter(|number| *number < self.came.len());
            let number = number.unwrap_or_else(|| panic!("{name:?} was never sent"));
            assert!(!std::mem::replace(&mut self.came[number], true), "{name:?} came twice");
            assert_eq!(fs::read_to_string(&path).unwrap(), body_of(number), "{name:?}");
            fs::remove_file(&path).unwrap();
            if self.count == self.tenths.len() * self.came.len() / 10 {
                self.tenths.push(self.since.elapsed());
            }
            self.count += 1;
        }
    }

    fn print(&self) {
        let files = f64::from(u32::try_from(self.came.len()).unwrap());
        let (took, first) = (self.since.elapsed().as_secs_f64(), self.tenths[0].as_secs_f64());
        println!("{files} files in {took:.1} s, {:.0} files/s; the first after {first:.2} s", files / took);
        let ends = self.tenths.iter().skip(1).copied().chain([self.since.elapsed()]);
        let lengths = self.tenths.iter().zip(ends).map(|(begin, end)| end.as_secs_f64() - begin.as_secs_f64());
        println!("files/s, tenth by tenth: {:.0?}", lengths.map(|s| files / 10.0 / s).collect::<Vec<_>>());
    }
}

/// Kibibytes that the programs had at the most.
struct Peaks {
    daemon: u64,
    server: u64,
}

/// Has so many files collected over TLS, and looks at each.
fn collect(files: usize, start: impl FnOnce(&Options, &Path) -> Option<ServerProcess>) -> Option<Peaks> {
    let (storage, certificates) = (scratch(), Certificates::new());
    for number in 0..files {
        fs::write(storage.path().join(name_of(number)), body_of(number)).unwrap();
    }
    let server = start(&Options::usual().tls(&certificates), storage.path())?;
    let tls = format!("tls = {{ ca = {:?} }}", certificates.path("ca.pem"));
    let sandbox = Sandbox::with_sites([site_config("site", server.address(), &tls)]);
    let mut arrivals = Arrivals::of(files);
    let daemon = sandbox.start();
    let mut last = (0, now());
    while !arrivals.are_complete() {
        arrivals.take(&sandbox.incoming());
        if arrivals.count > last.0 {
            last = (arrivals.count, now());
        }
        assert!(last.1.elapsed() < TIMEOUT, "{} came, then no more; the log:\n{}", arrivals.count, daemon.log());
        thread::sleep(Duration::from_millis(10));
    }
    arrivals.print();
    wait_until("the site to be empty", || is_emptied(storage.path()).then_some(()));
    let peaks = Peaks { daemon: peak_memory(daemon.id()), server: peak_memory(server.id()) };
    println!("peak memory: daemon {} KiB, server {} KiB", peaks.daemon, peaks.server);
    daemon.stop().assert_code(0);
    arrivals.take(&sandbox.incoming());
    Some(peaks)
}

fn collect_from_ours(files: usize) -> Peaks {
    collect(files, |options, storage| Some(ServerProcess::ours(options, storage))).unwrap()
}

/// KiB.
const MOST: Peaks = Peaks { daemon: 64 << 10, server: 64 << 10 };

#[track_caller]
fn assert_modest(peaks: &Peaks) {
    assert!(
        peaks.daemon <= MOST.daemon && peaks.server <= MOST.server,
        "daemon {} KiB, server {} KiB",
        peaks.daemon,
        peaks.server
    );
}

#[test]
fn thirty_thousand_files_that_wait_come_once_each_and_take_little_memory() {
    assert_modest(&collect_from_ours(30_000));
}

/// `TMPDIR=/a/disk cargo test --release --test it a_million_files_that_wait_come -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes, and two million inodes"]
fn a_million_files_that_wait_come_once_each_and_take_little_memory() {
    assert_modest(&collect_from_ours(1_000_000));
}

/// `STOCK_TENTACLE_SERVER=... TMPDIR=/a/disk cargo test --release --test it a_million_files_that_wait_at_a_stock --
/// --ignored --nocapture`
#[test]
#[ignore = "takes minutes, and two million inodes"]
fn a_million_files_that_wait_at_a_stock_server_come_once_each() {
    if let Some(peaks) = collect(1_000_000, start_stock) {
        assert!(peaks.daemon <= MOST.daemon, "{} KiB", peaks.daemon);
    }
}
