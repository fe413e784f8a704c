//! `tentacle_server` as a program: its options, its output, and its exit status.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::daemon::wait_until;
use crate::server_process::{NOBODY, free_address, hand_over_to_server};
use crate::support::{Certificates, Client, LOOPBACK, scratch};

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Where the program runs: a directory with a storage directory in it.
pub(crate) struct Sandbox(TempDir);

impl Sandbox {
    pub(crate) fn new() -> Self {
        let sandbox = Self(scratch());
        fs::create_dir(sandbox.path("storage")).unwrap();
        hand_over_to_server(sandbox.0.path());
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        hand_over_to_server(&self.path(name));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_tentacle_server").as_ref(), arguments)
    }

    pub(crate) fn command_of(&self, program: &OsStr, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).process_group(0);
        command
    }

    pub(crate) fn launch(&self, command: &mut Command) -> Running {
        let file = |name| File::create(self.path(name)).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Running(child)
    }

    /// Runs it to its end, as a user that stock would not refuse; its exit code and all its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.end_of(as_nobody(&mut self.command(arguments)))
    }

    pub(crate) fn end_of(&self, command: &mut Command) -> (Option<i32>, String) {
        let mut running = self.launch(command);
        let status = wait_until("its end", || running.0.try_wait().unwrap());
        (status.code(), self.said())
    }

    pub(crate) fn said(&self) -> String {
        ["stdout", "stderr"].map(|name| fs::read_to_string(self.path(name)).unwrap()).concat()
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        let (found, said) = self.run(arguments);
        let is_clear = parts.iter().all(|part| said.contains(part));
        assert!(found == Some(code) && is_clear, "{arguments:?}: {found:?}: {said}");
    }
}

/// As a user that stock would not refuse.
pub(crate) fn as_nobody(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// A process that does not outlive its test.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed()).unwrap()
    }

    pub(crate) fn stop(self) -> Option<i32> {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.wait()
    }

    pub(crate) fn wait(mut self) -> Option<i32> {
        wait_until("its end", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_command_line_that_cannot_be_used_is_explained_and_exits_with_1() {
    let sandbox = Sandbox::new();
    sandbox.assert_refused(&[], 1, &["-s", "-b"]);
    sandbox.assert_refused(&["-s", "storage", "-Y"], 1, &["-Y"]);
    sandbox.assert_refused(&["-s", "storage", "-p"], 1, &["-p"]);
    // As at stock.
    sandbox.assert_refused(&["-s", "storage", "-S", "install"], 2, &["Windows"]);
    sandbox.assert_refused(&["-h"], 1, &["Usage"]);
}

#[test]
fn a_value_that_cannot_be_used_is_explained_and_exits_with_2() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["-p", "70000"][..],
        &["-c", "many"],
        &["-m", "-1"],
        &["-t", "0"],
        &["-a", "1.2.3.4.5,,/"],
        &["-F", "absent.conf"],
        &["-i", "(:conf"],
    ] {
        let arguments = [&["-s", "storage"], arguments].concat();
        sandbox.assert_refused(&arguments, 2, &[arguments[2]]);
    }
}

#[test]
fn a_rule_about_certificates_needs_clients_that_have_some() {
    let sandbox = Sandbox::new();
    sandbox.write("server.conf", &format!("allow all from any pin {}\n", "ab".repeat(32)));
    sandbox.assert_refused(&["-s", "storage", "-F", "server.conf"], 2, &["server.conf", "allow"]);
}

#[test]
fn keys_and_certificates_that_cannot_be_used_are_named() {
    let (sandbox, certificates) = (Sandbox::new(), Certificates::new());
    let path = |name| certificates.path(name).to_string_lossy().to_string();
    let [ca, certificate, key, other] = ["ca.pem", "server.pem", "server.key", "client.key"].map(path);
    sandbox.write("no.pem", "-----BEGIN NOTHING-----\n");
    for (arguments, named) in [
        (["-e", &certificate, "-k", "absent.key"], "absent.key"),
        (["-e", "absent.pem", "-k", &key], "absent.pem"),
        (["-e", &certificate, "-k", "no.pem"], "no.pem"),
        (["-e", "no.pem", "-k", &key], "no.pem"),
        (["-e", &certificate, "-k", &other], "client.key"),
        (["-e", &certificate, "-k", &ca], "ca.pem"),
    ] {
        let address = free_address().port().to_string();
        sandbox.assert_refused(&[&["-s", "storage", "-p", &address], &arguments[..]].concat(), 2, &[named]);
        sandbox.assert_refused(&[&["-s", "storage", "--check"], &arguments[..]].concat(), 2, &[named]);
    }
}

#[test]
fn a_storage_directory_that_cannot_be_used_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    fs::create_dir(sandbox.path("locked")).unwrap();
    fs::set_permissions(sandbox.path("locked"), Permissions::from_mode(0o500)).unwrap();
    for directory in ["absent", "file", "locked"] {
        let port = free_address().port().to_string();
        sandbox.assert_refused(&["-s", directory, "-p", &port], 2, &[directory]);
        sandbox.assert_refused(&["-s", directory, "--check"], 2, &[directory]);
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    sandbox.assert_refused(&["-s", "storage", "-a", "127.0.0.1", "-p", &port], 3, &[&port, "another"]);
    sandbox.assert_refused(&["-s", "storage", "-a", "192.0.2.77", "-p", &port], 3, &["192.0.2.77"]);
}

#[test]
fn a_storage_directory_has_one_server() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let port = address.port().to_string();
    let mut command = sandbox.command(&["-s", "storage", "-a", "127.0.0.1", "-p", &port]);
    let _running = sandbox.launch(as_nobody(&mut command));
    wait_until("the first server", || TcpStream::connect(address).ok());
    let port = free_address().port().to_string();
    sandbox.assert_refused(&["-s", "storage", "-a", "127.0.0.1", "-p", &port], 3, &["storage", "in use"]);
}

#[test]
fn check_says_what_is_in_force_and_listens_nowhere() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (code, said) = sandbox.run(&["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-x", "s3cret", "--check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&port) && said.contains("storage") && !said.contains("s3cret"), "{said}");
    assert_eq!(fs::read_dir(sandbox.path("storage")).unwrap().count(), 0);
}

#[test]
fn quiet_is_quiet_and_no_more() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let port = address.port().to_string();
    let mut command =
        sandbox.command(&["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-x", "s3cret", "-q", "-t", "1"]);
    let running = sandbox.launch(as_nobody(&mut command));
    wait_until("the server", || TcpStream::connect(address).ok());
    let mut client = Client::connect(address);
    client.send(format!("PASS {}\n", "0".repeat(32)));
    client.expect_closed();
    let mut client = Client::connect(address);
    client.send("SEND <a.1.data> SIZE 5\n");
    client.expect_closed();
    let mut client = Client::connect(address);
    client.ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
    client.store("a.1.data", "body");
    client.send("FOO\n");
    client.expect_closed();
    assert_eq!(running.stop(), Some(0));
    assert_eq!(sandbox.said(), "");
    assert_eq!(fs::read(sandbox.path("storage/a.1.data")).unwrap(), b"body");
}

#[test]
fn verbose_it_logs_what_stock_logs_of_requests() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let port = address.port().to_string();
    let mut command = sandbox.command(&["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-v", "-I"]);
    let running = sandbox.launch(as_nobody(&mut command));
    wait_until("the server", || TcpStream::connect(address).ok());
    let mut client = Client::connect(address);
    client.store("a.1.data", "body");
    for (line, answer, logged) in [
        ("SEND <a.1.data> SIZE 4", "SEND ERR (file already exists)", "refused=a.1.data: file already exists"),
        (
            "SEND <b.data> SIZE 99999999",
            "SEND ERR (file is too big)",
            "file is too big: \"SEND <b.data> SIZE 99999999\"",
        ),
        ("SEND <b?> SIZE 4", "SEND ERR (invalid file name)", "invalid file name: \"SEND <b?> SIZE 4\""),
        ("RECV <none>", "RECV ERR (file does not exist)", "refused=none: file does not exist"),
    ] {
        client.ask(line, answer);
        wait_until(logged, || sandbox.said().contains(logged).then_some(()));
    }
    client.take("LS", "");
    client.ask("RECV <a.1.data>", "RECV SIZE 4");
    client.send("NO\n");
    client.ask("RECV <none>", "RECV ERR (file does not exist)");
    for logged in ["listed bytes=", "declined"] {
        wait_until(logged, || sandbox.said().contains(logged).then_some(()));
    }
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn root_is_refused_unless_it_says_what_it_wants() {
    if !is_root() {
        println!("SKIPPED: not root");
        return;
    }
    let sandbox = Sandbox::new();
    let port = free_address().port().to_string();
    let usual = ["-s", "storage", "-a", "127.0.0.1", "-p", &port];
    let (code, said) = sandbox.end_of(&mut sandbox.command(&usual));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--user") && said.contains("--allow-root"), "{said}");
    let (code, said) = sandbox.end_of(&mut sandbox.command(&[&usual[..], &["--user", "nobody-of-that-name"]].concat()));
    assert!(code == Some(2) && said.contains("nobody-of-that-name"), "{code:?} {said}");
    // A check looks at the directory as that user.
    let check = [&usual[..], &["--check", "--user", "nobody"]].concat();
    assert_eq!(sandbox.end_of(&mut sandbox.command(&check)).0, Some(0));
    std::os::unix::fs::chown(sandbox.path("storage"), Some(0), Some(0)).unwrap();
    let (code, said) = sandbox.end_of(&mut sandbox.command(&check));
    assert!(code == Some(2) && said.contains("storage: cannot store files: Permission denied"), "{code:?} {said}");
}

#[test]
fn check_says_that_root_would_be_refused() {
    if !is_root() {
        println!("SKIPPED: not root");
        return;
    }
    let sandbox = Sandbox::new();
    let check = |more: &[&str]| {
        let (code, said) = sandbox.end_of(&mut sandbox.command(&[&["-s", "storage", "--check"], more].concat()));
        assert_eq!(code, Some(0), "{said}");
        said.contains("warning: refusing to run as root")
    };
    assert!(check(&[]));
    assert!(!check(&["--allow-root"]) && !check(&["--user", "nobody"]));
}

#[test]
fn somebody_else_cannot_become_another() {
    let sandbox = Sandbox::new();
    let port = free_address().port().to_string();
    sandbox.assert_refused(
        &["-s", "storage", "-a", "127.0.0.1", "-p", &port, "--user", "daemon"],
        1,
        &["daemon", "root"],
    );
}

/// Starts it as root, and waits until it is there.
fn as_root(sandbox: &Sandbox, arguments: &[&str]) -> (Running, Client) {
    let address = free_address();
    let port = address.port().to_string();
    let usual = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-l", "log", "-v"];
    let running = sandbox.launch(&mut sandbox.command(&[&usual[..], arguments].concat()));
    wait_until("the server", || TcpStream::connect(address).ok());
    (running, Client::connect(address))
}

#[test]
fn root_may_become_nobody_who_owns_what_is_stored_and_the_log() {
    if !is_root() {
        println!("SKIPPED: not root");
        return;
    }
    let sandbox = Sandbox::new();
    let (running, mut client) = as_root(&sandbox, &["--user", "nobody"]);
    // It listens while it is root still, and serves when it no longer is.
    client.store("a.1.data", "body");
    let status = fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let ids = |key: &str| -> Vec<String> {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert!(ids("Uid:").iter().chain(&ids("Gid:")).all(|id| *id == NOBODY.to_string()), "{status}");
    assert!(ids("Groups:").iter().all(|id| *id == NOBODY.to_string()), "{status}");
    assert!(ids("CapEff:").iter().all(|set| set.bytes().all(|digit| digit == b'0')), "{status}");
    assert_eq!(sandbox.path("storage/a.1.data").metadata().unwrap().uid(), NOBODY);
    fs::rename(sandbox.path("log"), sandbox.path("log.1")).unwrap();
    kill_process(running.pid(), Signal::HUP).unwrap();
    wait_until("a new log", || fs::read_to_string(sandbox.path("log")).ok()?.contains("reloaded").then_some(()));
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn root_may_stay_root_if_it_says_so() {
    if !is_root() {
        println!("SKIPPED: not root");
        return;
    }
    let sandbox = Sandbox::new();
    let (running, mut client) = as_root(&sandbox, &["--allow-root"]);
    client.store("a.1.data", "body");
    assert_eq!(sandbox.path("storage/a.1.data").metadata().unwrap().uid(), 0);
    assert_eq!(running.stop(), Some(0));
}
