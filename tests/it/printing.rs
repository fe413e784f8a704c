//! What the server and the client print where nobody can take it, and a log that cannot be written.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat};

use crate::daemon::wait_until;
use crate::mount::Mount;
use crate::program::{Sandbox, as_nobody};
use crate::server_process::{free_address, hand_over_to_server};
use crate::terminal::{CLIENT, SERVER};

/// What the programs print, and their exit status.
fn prints() -> [(&'static str, &'static [&'static str], i32); 8] {
    [
        (SERVER, &["--help"], 0),
        (SERVER, &["-h"], 1),
        (SERVER, &["--version"], 0),
        (SERVER, &["-s", "storage", "--check"], 0),
        (CLIENT, &["--help"], 0),
        (CLIENT, &["-h"], 1),
        (CLIENT, &["--version"], 0),
        (CLIENT, &["-Y"], 1),
    ]
}

fn command(sandbox: &Sandbox, program: &str, arguments: &[&str]) -> Command {
    let mut command = sandbox.command_of(program.as_ref(), arguments);
    as_nobody(command.stderr(Stdio::piped()));
    command
}

#[test]
fn a_reader_that_goes_away_early_is_no_error() {
    let sandbox = Sandbox::new();
    for (program, arguments, code) in prints() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(&sandbox, program, arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{program} {arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("pipe"), "{program} {arguments:?}: {said}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_told_and_no_panic() {
    let sandbox = Sandbox::new();
    for (program, arguments, _) in prints() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(&sandbox, program, arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code().unwrap();
        assert!([1, 3].contains(&code), "{program} {arguments:?}: {code}");
        assert!(said.contains("cannot write to standard output: No space left"), "{program} {arguments:?}: {said}");
    }
}

#[test]
fn where_no_error_can_be_written_the_exit_status_tells() {
    let sandbox = Sandbox::new();
    for (program, arguments, code) in [
        (SERVER, &["-Y"][..], 1),
        (SERVER, &["-s", "storage", "-p", "0"], 2),
        (CLIENT, &["-Y"], 1),
        (CLIENT, &["-a", "127.0.0.1", "absent"], 1),
        (CLIENT, &["-v", "-a", "127.0.0.1", "-p", "9", "-g", "absent"], 1),
    ] {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let status = command(&sandbox, program, arguments).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{program} {arguments:?}");
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_named_with_what_to_do() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("locked")).unwrap();
    fs::set_permissions(sandbox.path("locked"), Permissions::from_mode(0o500)).unwrap();
    let port = free_address().port().to_string();
    let directory = sandbox.path("absent").to_string_lossy().to_string();
    for (log, parts) in [
        ("absent/log", ["absent/log: No such file", &format!("create the directory {directory}")]),
        ("locked/log", ["locked/log: Permission denied", "the right to write there"]),
        ("storage", ["storage: Is a directory", "name a file in it"]),
    ] {
        let parts = [&parts[..], &["log_file (-l)"]].concat();
        let arguments = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", log];
        sandbox.assert_refused(&arguments, 2, &parts);
        sandbox.assert_refused(&[&arguments[..], &["--check"]].concat(), 2, &parts);
    }
}

#[test]
fn a_log_on_a_filesystem_that_is_read_only_is_told_with_what_to_do() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("mounted")).unwrap();
    let Some(mount) = Mount::tmpfs(&sandbox.path("mounted"), "size=256k,mode=777") else { return };
    mount.remount("ro");
    let port = free_address().port().to_string();
    let arguments = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", "mounted/log"];
    let parts = ["log_file (-l)", "Read-only file system", "mount it writable"];
    sandbox.assert_refused(&[&arguments[..], &["--check"]].concat(), 3, &parts);
    sandbox.assert_refused(&arguments, 3, &parts);
}

#[test]
fn a_fifo_is_a_log_for_whoever_reads_it_and_waits_for_nobody_who_does_not() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
    hand_over_to_server(&fifo);
    let port = free_address().port().to_string();
    let arguments = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-v", "-l", "fifo"];
    let parts = ["log_file (-l)", "fifo: a FIFO that nobody reads", "start what reads it first"];
    sandbox.assert_refused(&[&arguments[..], &["--check"]].concat(), 3, &parts);
    sandbox.assert_refused(&arguments, 3, &parts);

    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let reader = File::options().read(true).custom_flags(flags).open(&fifo).unwrap();
    rustix::fs::fcntl_setfl(&reader, OFlags::empty()).unwrap();
    let _server = sandbox.launch(as_nobody(&mut sandbox.command(&arguments)));
    // The end of the file as well, as long as the server has not opened it.
    let first = wait_until("a line of the log", || BufReader::new(&reader).lines().next());
    assert!(first.unwrap().contains("listening on"));
}

#[test]
fn a_stream_of_another_users_as_the_log_is_better_left_out() {
    if !rustix::process::getuid().is_root() {
        println!("SKIPPED: not root");
        return;
    }
    let sandbox = Sandbox::new();
    let port = free_address().port().to_string();
    let (_reader, writer) = std::io::pipe().unwrap();
    let arguments = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", "/dev/stdout"];
    let output = command(&sandbox, SERVER, &arguments).stdout(writer).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/dev/stdout: Permission denied") && said.contains("leave -l"), "{said}");
}
