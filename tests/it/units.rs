//! The units for systemd, and the programs under it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{Setup, Verb};

use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::site::Site;
use crate::support::{TIMEOUT, scratch};
use crate::terminal::SERVER;

const SYNCD: &str = env!("CARGO_BIN_EXE_tentacle-syncd");

/// Where the programs may not be missing the tool.
const REQUIRED: &str = "SYSTEMD_TESTS_REQUIRED";

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)).unwrap()
}

const UNITS: [&str; 2] = ["tentacle-syncd.service", "tentacle_server.service"];

#[test]
fn systemd_takes_the_units_as_they_are() {
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os(REQUIRED).is_none(), "there is no systemd-analyze");
        eprintln!("skipped: there is no systemd-analyze");
        return;
    }
    let sandbox = scratch();
    for name in UNITS {
        let text = unit(name).replace("/usr/local/bin/tentacle-syncd", SYNCD);
        let path = sandbox.path().join(name);
        fs::write(&path, text.replace("/usr/local/bin/tentacle_server", SERVER)).unwrap();
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        let about_it: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(verified.status.success() && about_it.is_empty(), "{said}");
    }
}

#[test]
fn a_reload_is_checked_before_it_is_asked_for() {
    for name in UNITS {
        let unit = unit(name);
        let commands: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
        let [check, signal] = commands[..] else { panic!("{commands:?}") };
        assert!(check.contains(" check --syntax-only") || check.ends_with(" --check"), "{check}");
        assert!(signal.ends_with("kill -HUP $MAINPID"), "{signal}");
        for key in ["Type=notify", "WatchdogSec="] {
            assert!(unit.lines().any(|line| line.starts_with(key)), "{name}: {key}");
        }
    }
}

/// A service manager's end of the socket that daemons report to.
struct Manager(UnixDatagram, PathBuf);

impl Manager {
    fn new(sandbox: &Sandbox) -> Self {
        let path = sandbox.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(socket, path)
    }

    /// Waits for a message with this line; all its lines.
    #[track_caller]
    fn receive(&self, wanted: &str) -> Vec<String> {
        for _ in 0..1_000 {
            let mut block = [0; 4096];
            let length = self.0.recv(&mut block).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let lines: Vec<String> = String::from_utf8_lossy(&block[..length]).lines().map(str::to_owned).collect();
            if lines.iter().any(|line| line.starts_with(wanted)) {
                return lines;
            }
        }
        panic!("{wanted} never came");
    }

    fn start(&self, sandbox: &Sandbox, command: &str) -> Daemon {
        // The watchdog is for the process that the service manager has started.
        let line = format!("WATCHDOG_PID=$$ exec {SYNCD} {command} --config {}", sandbox.config().to_string_lossy());
        sandbox.launch_as("sh".as_ref(), ["-c", &line].map(OsStr::new), |command| {
            command.env("NOTIFY_SOCKET", &self.1).env("WATCHDOG_USEC", "200000");
        })
    }
}

#[test]
fn the_service_manager_hears_how_the_daemon_is() {
    let (good, bad) = (Site::fake("good", 5, Setup::default()), Site::fake("bad", 5, Setup::default()));
    let sandbox = Sandbox::new();
    let missing = format!("password_file = {:?}", sandbox.path("missing"));
    sandbox.configure("", [good.config("interval = 1"), bad.config(&missing)]);
    let manager = Manager::new(&sandbox);
    let daemon = manager.start(&sandbox, "run");
    let ready = manager.receive("READY=1");
    assert!(ready.contains(&"STATUS=collecting from 2 sites, 1 of which fail (bad)".to_owned()), "{ready:?}");
    (0..3).for_each(|_| drop(manager.receive("WATCHDOG=1")));

    sandbox.configure("", [good.config("interval = 1"), bad.config("interval = 1")]);
    daemon.signal(Signal::HUP);
    let reloading = manager.receive("RELOADING=1");
    assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    manager.receive("READY=1");
    manager.receive("STATUS=collecting from 2 sites");
    daemon.signal(Signal::TERM);
    manager.receive("STOPPING=1");
    daemon.wait().assert_code(0);
}

#[test]
fn a_start_that_fails_never_says_that_it_is_ready() {
    let sandbox =
        Sandbox::with_sites(["\n[[site]]\nname = \"site\"\naddress = \"127.0.0.1\"\nincoming_dir = \"missing\"\n"]);
    let manager = Manager::new(&sandbox);
    manager.start(&sandbox, "run").wait().assert_code(3);
    manager.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(manager.0.recv(&mut [0; 512]).is_err());
}

/// What goes to a standard error that is, or is not, the journal's.
fn logged(sandbox: &Sandbox, command: &str, is_journal: bool) -> String {
    let stderr = sandbox.path("stderr.journal");
    let file = File::create(&stderr).unwrap();
    let stat = file.metadata().unwrap();
    let inode = if is_journal { stat.ino() } else { stat.ino() + 1 };
    let mut daemon = Command::new(SYNCD);
    daemon.arg(command).arg("--config").arg(sandbox.config()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    daemon.env("JOURNAL_STREAM", format!("{}:{inode}", stat.dev())).status().unwrap();
    fs::read_to_string(stderr).unwrap()
}

#[test]
fn the_journal_gets_priorities_and_anything_else_gets_times() {
    let (good, bad) = (Site::fake("good", 5, Setup::default()), Site::fake("bad", 5, Setup::default()));
    let sandbox = Sandbox::new();
    let refusing = format!("password_file = {:?}", sandbox.path("missing"));
    sandbox.configure("", [good.config("tls = { verify = \"none\" }\ntimeout = 2"), bad.config(&refusing)]);
    let log = logged(&sandbox, "once", true);
    for line in ["<3>[ERROR] site=bad", "<4>[WARN] ", "<6>[INFO] state in "] {
        assert!(log.lines().any(|found| found.starts_with(line)), "{line}: {log}");
    }
    assert!(log.lines().all(|line| line.starts_with('<')), "{log}");
    let log = logged(&sandbox, "once", false);
    assert!(log.lines().all(|line| line.starts_with("20")), "{log}");
    sandbox.write("tentacle-syncd.toml", "nonsense = 1\nmore = 2\n");
    let log = logged(&sandbox, "once", true);
    assert!(log.lines().count() > 1 && log.lines().all(|line| line.starts_with("<3>")), "{log}");
    assert!(!logged(&sandbox, "once", false).contains("<3>"));
}

#[test]
fn a_reload_goes_to_no_other_of_the_usual_files() {
    let (chosen, other) = (Site::fake("chosen", 5, Setup::default()), Site::fake("other", 5, Setup::default()));
    let sandbox = Sandbox::with_sites([chosen.config("interval = 1")]);
    let text = format!(
        "sync_address {}\nsync_port {}\nincomingdir {}\n",
        other.address().ip(),
        other.address().port(),
        sandbox.incoming().to_string_lossy()
    );
    sandbox.write("pandora_server.conf", text);
    // In a mount namespace of its own, /etc holds both of the usual files and nothing else.
    let script = format!(
        "mount -t tmpfs tmpfs /etc && mkdir /etc/tentacle-sync /etc/pandora && cp tentacle-syncd.toml /etc/tentacle-sync && \
         cp pandora_server.conf /etc/pandora && exec {SYNCD} run"
    );
    let arguments = ["--mount", "sh", "-c", &script].map(OsStr::new);
    let daemon = sandbox.launch_as("unshare".as_ref(), arguments, |command| {
        command.env("STATE_DIRECTORY", sandbox.state());
    });
    if !wait_until("a start, or a refusal", || {
        let log = daemon.log();
        let (is_started, is_refused) = (log.contains("collecting from 1 site"), log.contains("unshare: "));
        (is_started || is_refused).then_some(is_started)
    }) {
        assert!(std::env::var_os("MOUNT_TESTS_REQUIRED").is_none(), "{}", daemon.log());
        eprintln!("skipped: no mount namespace can be made here");
        return;
    }
    daemon.wait_for_line(&["/etc/tentacle-sync/tentacle-syncd.toml: collecting from 1 site"]);
    fs::remove_file(format!("/proc/{}/root/etc/tentacle-sync/tentacle-syncd.toml", daemon.id())).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["not reloaded", "/etc/tentacle-sync/tentacle-syncd.toml", "no such file"]);
    let rounds = chosen.peer().tally().count(Verb::Ls);
    assert!(chosen.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= rounds + 2), "it goes on");
    daemon.stop().assert_code(0);
    other.assert_untouched();
}
