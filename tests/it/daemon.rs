//! The program under test, run as a user runs it: with a configuration, a state directory and a spool of its own.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tentacle_sync::testing::fake_server::Files;

use crate::support::scratch;

/// How long the program may take for anything: far more than it needs on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// From one look at the program to the next.
const PAUSE: Duration = Duration::from_millis(10);

/// The staging area, as the spool names it.
const STAGING: &str = ".tentacle-sync";

/// Repeats `look` until it finds something; fails the test where that takes beyond all patience.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..TIMEOUT.as_millis() / PAUSE.as_millis() {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(PAUSE);
    }
    panic!("in vain: waited for {what}");
}

/// A directory for one daemon: configuration, state, spool, and its log.
pub(crate) struct Sandbox {
    root: TempDir,
    runs: AtomicU32,
}

impl Sandbox {
    /// With an empty spool and no configuration.
    pub(crate) fn new() -> Self {
        let sandbox = Self { root: scratch(), runs: AtomicU32::new(0) };
        fs::create_dir(sandbox.incoming()).unwrap();
        sandbox
    }

    /// With a configuration of these sites, which do not retry.
    pub(crate) fn with_sites<S: AsRef<str>>(sites: impl IntoIterator<Item = S>) -> Self {
        let sandbox = Self::new();
        sandbox.configure("", sites);
        sandbox
    }

    /// Writes the configuration: `sync` is added to `[sync]`. No data server takes what is published, so that all of it
    /// is published at once unless `sync` sets otherwise.
    pub(crate) fn configure<S: AsRef<str>>(&self, sync: &str, sites: impl IntoIterator<Item = S>) {
        let (state, incoming) = (self.state(), self.incoming());
        let publish = if sync.contains("publish") { "" } else { "publish = \"at-once\"\n" };
        let mut text = format!("[sync]\nstate_dir = {state:?}\nincoming_dir = {incoming:?}\n{publish}{sync}\n");
        text.push_str("[defaults]\nretries = 0\n");
        for site in sites {
            text.push_str(site.as_ref());
        }
        self.write("tentacle-syncd.toml", text);
    }

    /// Writes a file that only we can read.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("tentacle-syncd.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.path("incoming")
    }

    /// What the files in the staging area hold.
    pub(crate) fn staged_bytes(&self) -> Vec<Vec<u8>> {
        let staging = self.incoming().join(STAGING);
        // One may go meanwhile.
        staged_in(&self.incoming()).iter().filter_map(|name| fs::read(staging.join(name)).ok()).collect()
    }

    /// One round of all sites.
    pub(crate) fn once(&self) -> Outcome {
        self.start_with("once", &[]).wait()
    }

    /// One of the commands that take `--config`, to its end.
    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Outcome {
        self.start_with(command, arguments).wait()
    }

    /// The daemon.
    pub(crate) fn start(&self) -> Daemon {
        self.start_with("run", &[])
    }

    /// One of the commands that take `--config`. Root may run it: some places are shared with a server, which may not
    /// be root.
    fn start_with(&self, command: &str, arguments: &[&str]) -> Daemon {
        let config = self.config();
        let all = [OsStr::new(command), OsStr::new("--config"), config.as_os_str()];
        let allowed = ["run", "once"].contains(&command).then_some(OsStr::new("--allow-root"));
        self.launch(all.into_iter().chain(allowed).chain(arguments.iter().map(OsStr::new)))
    }

    /// The program with just these arguments.
    pub(crate) fn launch<'a>(&self, arguments: impl IntoIterator<Item = &'a OsStr>) -> Daemon {
        self.launch_as(env!("CARGO_BIN_EXE_tentacle-syncd").as_ref(), arguments, |_| {})
    }

    /// What ends up as the program, with what `prepare` adds to its surroundings.
    pub(crate) fn launch_as<'a>(
        &self,
        program: &OsStr,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        prepare: impl FnOnce(&mut Command),
    ) -> Daemon {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let (stdout, stderr) = (self.path(&format!("stdout.{run}")), self.path(&format!("stderr.{run}")));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_remove("STATE_DIRECTORY")
            .env_remove("RUNTIME_DIRECTORY")
            .env_remove("JOURNAL_STREAM")
            .env("TMPDIR", self.root.path())
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap());
        prepare(&mut command);
        let process = command.spawn().unwrap();
        Daemon { process, stdout, stderr }
    }

    /// What the data server would find.
    pub(crate) fn spool(&self) -> Files {
        spool_of(&self.incoming())
    }

    /// The names of what the data server would find.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.incoming()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Fails unless exactly these files are in the spool, and nothing half beside them.
    #[track_caller]
    pub(crate) fn assert_holds(&self, expected: &Files) {
        assert_same(&self.spool(), expected);
        assert_eq!(staged_in(&self.incoming()), Vec::<String>::new(), "left in the staging area");
    }
}

/// All in an incoming directory but the staging area, also while files are being published.
pub(crate) fn spool_of(incoming: &Path) -> Files {
    let names = fs::read_dir(incoming).unwrap().map(|entry| entry.unwrap().file_name());
    // The staging area, and the mark beside it.
    let published = names.filter(|name| !name.as_encoded_bytes().starts_with(b".tentacle-"));
    published.map(|name| (PathBuf::from(&name), fs::read(incoming.join(&name)).unwrap())).collect()
}

/// The names of what is staged and not published.
pub(crate) fn staged_in(incoming: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(incoming.join(STAGING)) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !["id", "journal"].contains(&name.as_str())).collect()
}

/// Compares names first, since whole files are no message.
#[track_caller]
pub(crate) fn assert_same(found: &Files, expected: &Files) {
    let lacking: Vec<_> = expected.keys().filter(|path| !found.contains_key(*path)).collect();
    let beyond: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(lacking.is_empty() && beyond.is_empty(), "lacking {lacking:?}, and not expected {beyond:?}");
    let changed: Vec<_> =
        expected.iter().filter(|(path, bytes)| found[*path] != **bytes).map(|(path, _)| path).collect();
    assert!(changed.is_empty(), "with other bytes: {changed:?}");
}

/// The running program; killed when dropped.
pub(crate) struct Daemon {
    process: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Daemon {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// Waits until a line of the log has all of `parts`.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, parts: &[&str]) -> String {
        let found =
            |log: String| log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned);
        for _ in 0..TIMEOUT.as_millis() / PAUSE.as_millis() {
            if let Some(line) = found(self.log()) {
                return line;
            }
            thread::sleep(PAUSE);
        }
        panic!("no line with {parts:?} in:\n{}", self.log());
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal once it listens to that: before, it is ended as any program that has only just begun.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        wait_until("it to listen to the signal", || self.listens_to(signal).then_some(()));
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Whether the signal is no longer one that ends it at once; see "/proc/pid/status" in `proc(5)`. Also of one that has
    /// ended, where there is nothing to wait for.
    fn listens_to(&self, signal: Signal) -> bool {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.id())) else { return true };
        let mask =
            |name: &str| u64::from_str_radix(status.lines().find_map(|line| line.strip_prefix(name))?.trim(), 16).ok();
        let bit = 1_u64 << (signal.as_raw() - 1);
        status.contains("State:\tZ")
            || ["SigCgt:", "SigBlk:"].iter().filter_map(|name| mask(name)).any(|set| set & bit != 0)
    }

    /// SIGKILL, and the end of it.
    pub(crate) fn kill(&mut self) {
        self.send_kill();
        self.process.wait().unwrap();
    }

    /// SIGKILL. It runs no more from then on, but what it asked the kernel for may go on for a moment.
    pub(crate) fn send_kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// SIGTERM, and what the run came to.
    #[track_caller]
    pub(crate) fn stop(self) -> Outcome {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Outcome {
        for _ in 0..TIMEOUT.as_millis() / PAUSE.as_millis() {
            if let Some(status) = self.process.try_wait().unwrap() {
                let stdout = String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned();
                return Outcome { status, stdout, stderr: self.log() };
            }
            thread::sleep(PAUSE);
        }
        panic!("it does not end; its log:\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Outcome {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Fails unless the exit status is this one.
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "{self}");
        self
    }

    /// Fails unless a line of stdout has all of `parts`.
    #[track_caller]
    pub(crate) fn assert_says(&self, parts: &[&str]) -> &Self {
        assert!(has_line(&self.stdout, parts), "no line with {parts:?} in {self}");
        self
    }

    /// Fails unless a line of stderr has all of `parts`.
    #[track_caller]
    pub(crate) fn assert_logs(&self, parts: &[&str]) -> &Self {
        assert!(has_line(&self.stderr, parts), "no line with {parts:?} in {self}");
        self
    }
}

pub(crate) fn has_line(text: &str, parts: &[&str]) -> bool {
    text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// Fails unless exactly one warning in a program's log has all of `parts`.
#[track_caller]
pub(crate) fn assert_complains_once(log: &str, parts: &[&str]) {
    let complaints = log.lines().filter(|line| line.contains("[WARN]") && parts.iter().all(|part| line.contains(part)));
    assert_eq!(complaints.count(), 1, "{log}");
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}
