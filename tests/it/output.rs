//! Output that cannot be written: no command panics, none leaves anything behind, and collecting goes on.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use rustix::pipe::pipe;
use tempfile::TempDir;
use tentacle_sync::testing::fake_server::{Fault, Setup, Verb};

use crate::daemon::Sandbox;
use crate::site::Site;
use crate::support::scratch;
use crate::terminal::{CLIENT, SERVER, Terminal};

const SYNCD: &str = env!("CARGO_BIN_EXE_tentacle-syncd");

/// Where nothing can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// A full disk.
    Full,
    /// A reader that has gone.
    Closed,
}

impl Sink {
    fn open(self) -> Stdio {
        match self {
            Self::Full => Stdio::from(File::options().write(true).open("/dev/full").unwrap()),
            Self::Closed => {
                let (reader, writer): (OwnedFd, OwnedFd) = pipe().unwrap();
                drop(reader);
                writer.into()
            }
        }
    }
}

const SINKS: [Sink; 2] = [Sink::Full, Sink::Closed];

/// Runs a program with its standard output at `sink`; its exit status and its standard error.
fn run(program: &str, arguments: &[&str], sink: Sink, directory: &Path) -> (ExitStatus, String) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("TMPDIR", directory).env_remove("STATE_DIRECTORY");
    let output = command.stdin(Stdio::null()).stdout(sink.open()).stderr(Stdio::piped()).output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

/// Fails unless the program reports once that it could not write, where there is a reader left, and ends with `code`.
#[track_caller]
fn assert_ends((status, said): (ExitStatus, String), code: i32, sink: Sink) {
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let complaints = said.matches("cannot write to standard output: No space left on device").count();
    assert_eq!(complaints, usize::from(sink == Sink::Full), "{said}");
}

fn sandbox_with(site: &Site) -> Sandbox {
    Sandbox::with_sites([site.config("")])
}

#[test]
fn a_round_is_finished_though_nobody_can_read_of_it() {
    for sink in SINKS {
        let site = Site::fake("site", 20, Setup::default());
        let sandbox = sandbox_with(&site);
        let config = sandbox.config();
        assert_ends(run(SYNCD, &["once", "--config", config.to_str().unwrap()], sink, &sandbox.path("")), 1, sink);
        sandbox.assert_holds(&site.files);
        site.assert_emptied();
    }
}

#[test]
fn check_probe_and_import_end_in_order() {
    let site = Site::fake("site", 3, Setup::default());
    let sandbox = sandbox_with(&site);
    let conf = sandbox.write("pandora_server.conf", "sync_address 192.0.2.1\n");
    let (config, conf) = (sandbox.config(), conf.to_str().unwrap());
    let config = config.to_str().unwrap();
    for sink in SINKS {
        for arguments in [&["check", "--config", config][..], &["probe", "--config", config, "site"], &["import", conf]]
        {
            assert_ends(run(SYNCD, arguments, sink, &sandbox.path("")), 1, sink);
        }
    }
    site.assert_untouched();
}

#[test]
fn a_demo_that_cannot_say_where_its_spool_is_leaves_none() {
    for sink in SINKS {
        let sandbox: TempDir = scratch();
        assert_ends(run(SYNCD, &["demo", "--files", "5"], sink, sandbox.path()), 1, sink);
        assert_eq!(fs::read_dir(sandbox.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_server_ends_in_order() {
    let sandbox = scratch();
    fs::create_dir(sandbox.path().join("storage")).unwrap();
    for sink in SINKS {
        let check = &["-s", "storage", "--check", "--allow-root"];
        for (arguments, code) in [(&["-h"][..], 1), (&["--version"], 0), (check, 0)] {
            // A reader that has gone has read enough.
            let code = if sink == Sink::Full { 3 } else { code };
            assert_ends(run(SERVER, arguments, sink, sandbox.path()), code, sink);
        }
    }
}

#[test]
fn help_is_no_reason_to_panic() {
    let sandbox = scratch();
    for sink in SINKS {
        for (program, argument) in [(SYNCD, "--help"), (SYNCD, "--version"), (CLIENT, "-h")] {
            let (_, said) = run(program, &[argument], sink, sandbox.path());
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

#[test]
fn an_error_that_cannot_be_told_is_an_exit_status_all_the_same() {
    let sandbox = scratch();
    for sink in SINKS {
        for (program, arguments, code) in [
            (SYNCD, &["once", "--config", "missing"][..], 2),
            (SYNCD, &["import", "missing"], 2),
            (SERVER, &["-s", "missing", "--check"], 2),
            (CLIENT, &["missing"], 1),
        ] {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(sandbox.path()).stdin(Stdio::null()).stdout(Stdio::null());
            let status = command.stderr(sink.open()).status().unwrap();
            assert_eq!(status.code(), Some(code), "{program} {arguments:?}");
        }
    }
}

#[test]
fn a_log_line_stands_alone_beside_progress_on_a_terminal() {
    let refusing = Setup { faults: vec![Fault::Refuse.at(Verb::Ls)], ..Setup::default() };
    let sites: Vec<Site> = (0..8).map(|number| Site::fake(&format!("s{number}"), 20, Setup::default())).collect();
    let bad: Vec<Site> = (0..8).map(|number| Site::fake(&format!("b{number}"), 1, refusing.clone())).collect();
    let sandbox = Sandbox::with_sites(sites.iter().chain(&bad).map(|site| site.config("")));
    let config = sandbox.config();
    let arguments = ["once", "--config", config.to_str().unwrap()];
    let (status, shown) = Terminal::wide(500, SYNCD, arguments, &sandbox.path("")).end();
    assert_eq!(status.code(), Some(1), "{shown}");
    let lines: Vec<&str> = shown.split_terminator("\r\n").collect();
    let (last, logged) = lines.split_last().unwrap();
    assert!(last.contains("8 of 16 sites, 8 failed, 160 files, "), "{shown}");
    let count = logged.iter().filter(|line| line.contains("reason=listing")).count();
    assert_eq!(count, 8, "{shown}");
    for line in logged {
        let left = line.rsplit_once("\x1b[K").map_or(*line, |(_, rest)| rest);
        assert!(left.starts_with("20"), "{left:?} in {shown}");
    }
}
