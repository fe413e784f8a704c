//! `tentacle_server` in the background, under a service manager, and through reloads.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::daemon::wait_until;
use crate::program::{Sandbox, as_nobody};
use crate::server_ops::Buffer;
use crate::server_process::{Options, free_address};
use crate::support::{Certificates, Client, TIMEOUT};

/// A process without a parent that waits for it.
pub(crate) struct Daemon(Pid);

impl Daemon {
    /// The one whose command line names this place.
    pub(crate) fn of(sandbox: &Path) -> Self {
        let sandbox = sandbox.to_str().unwrap().to_owned();
        Self(wait_until("the daemon", || {
            fs::read_dir("/proc").unwrap().find_map(|entry| {
                let entry = entry.unwrap();
                let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
                let pid = entry.file_name().to_str()?.parse().ok()?;
                line.contains(&sandbox).then(|| Pid::from_raw(pid)).flatten()
            })
        }))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.0, signal).unwrap();
    }

    pub(crate) fn stop(&self) {
        self.signal(Signal::TERM);
        wait_until("its end", || test_kill_process(self.0).is_err().then_some(()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn in_the_background_it_serves_as_before_with_a_sane_umask_and_a_log_that_can_be_rotated() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let (port, storage, log) = (address.port().to_string(), sandbox.path("storage"), sandbox.path("log"));
    let (storage_name, log_name) = (storage.to_str().unwrap(), log.to_str().unwrap());
    let arguments = ["-a", "127.0.0.1", "-p", &port, "-s", storage_name, "-d", "-l", log_name, "-v", "-o"];
    let (code, said) = sandbox.run(&arguments);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let daemon = Daemon::of(&storage);
    wait_until("the server", || TcpStream::connect(address).ok());
    Client::connect(address).store("a.1.data", "body");
    assert_eq!(storage.join("a.1.data").metadata().unwrap().mode() & 0o777, 0o660);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.0.as_raw_nonzero())).unwrap();
    assert!(status.lines().any(|line| line == "Umask:\t0007"), "{status}");
    fs::rename(&log, sandbox.path("log.1")).unwrap();
    kill_process(daemon.0, Signal::HUP).unwrap();
    wait_until("a new log", || fs::read_to_string(&log).ok()?.contains("reloaded").then_some(()));
    Client::connect(address).store("b.1.data", "body");
    daemon.stop();
    let logs = [sandbox.path("log.1"), log].map(|path| fs::read_to_string(path).unwrap());
    assert!(logs[0].contains("stored=a.1.data") && !logs[0].contains("stored=b.1.data"), "{logs:?}");
    assert!(logs[1].contains("stored=b.1.data") && logs[1].contains("stopped"), "{logs:?}");
}

#[test]
fn in_the_background_or_not_what_keeps_it_from_starting_is_said_at_once() {
    let sandbox = Sandbox::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    sandbox.assert_refused(&["-a", "127.0.0.1", "-p", &port, "-s", "storage", "-d"], 3, &[&port]);
    sandbox.assert_refused(&["-a", "127.0.0.1", "-p", &port, "-s", "absent", "-d"], 3, &[&port]);
    let port = free_address().port().to_string();
    sandbox.assert_refused(&["-a", "127.0.0.1", "-p", &port, "-s", "absent", "-d"], 2, &["absent"]);
}

#[test]
fn the_service_manager_hears_when_it_is_ready_alive_reloading_and_stopping() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
    fs::set_permissions(sandbox.path("notify"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    // The watchdog is for the process that the service manager has started.
    let line = format!(
        "WATCHDOG_PID=$$ exec {} -a 127.0.0.1 -p {} -s storage",
        env!("CARGO_BIN_EXE_tentacle_server"),
        address.port()
    );
    let mut command = sandbox.command_of("sh".as_ref(), &["-c", &line]);
    command.env("NOTIFY_SOCKET", sandbox.path("notify")).env("WATCHDOG_USEC", "200000");
    let running = sandbox.launch(as_nobody(&mut command));
    let heard = |wanted: &str| {
        for _ in 0..1_000 {
            let mut block = [0; 512];
            let length = socket.recv(&mut block).unwrap();
            if String::from_utf8_lossy(&block[..length]).lines().any(|line| line == wanted) {
                return;
            }
        }
        panic!("{wanted} never came");
    };
    heard("READY=1");
    Client::connect(address).store("a.1.data", "body");
    (0..3).for_each(|_| heard("WATCHDOG=1"));
    kill_process(running.pid(), Signal::HUP).unwrap();
    heard("RELOADING=1");
    heard("READY=1");
    kill_process(running.pid(), Signal::TERM).unwrap();
    heard("STOPPING=1");
    assert_eq!(running.wait(), Some(0));
}

#[test]
fn under_a_service_manager_that_waits_for_word_it_does_not_go_to_the_background() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let socket = UnixDatagram::bind(sandbox.path("notify")).unwrap();
    fs::set_permissions(sandbox.path("notify"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    sandbox.write("stock.conf", "daemon 1\n");
    let port = address.port().to_string();
    let arguments = ["-a", "127.0.0.1", "-p", &port, "-s", "storage", "-F", "stock.conf"];
    let mut command = sandbox.command(&arguments);
    let running = sandbox.launch(as_nobody(command.env("NOTIFY_SOCKET", sandbox.path("notify"))));
    let mut block = [0; 512];
    let length = socket.recv(&mut block).unwrap();
    assert!(String::from_utf8_lossy(&block[..length]).contains("READY=1"));
    Client::connect(address).store("a.1.data", "body");
    kill_process(running.pid(), Signal::TERM).unwrap();
    assert_eq!(running.wait(), Some(0));
    let log = fs::read_to_string(sandbox.path("stderr")).unwrap();
    assert!(log.contains("stock.conf:1: daemon: ignored") && log.contains("Type=notify"), "{log}");

    let (code, said) = sandbox.run(&[&arguments[..], &["--check"]].concat());
    assert!(code == Some(0) && said.contains("note: daemon (-d) is ignored under systemd's Type=notify"), "{said}");
    let mut command = sandbox.command(&[&arguments[..], &["--check"]].concat());
    let (code, said) = sandbox.end_of(as_nobody(command.env("NOTIFY_SOCKET", "/run/systemd/notify")));
    assert!(code == Some(0) && said.contains("warning: ") && said.contains("daemon: ignored"), "{said}");
}

/// The serial number of the certificate a server shows.
fn shown(certificates: &Certificates, buffer: &Buffer) -> Vec<u8> {
    let client = Client::connect_tls(buffer.address(), certificates.client_config(false));
    match client.expect("the authority is the same") {
        Client::Tls(stream) => stream.conn.peer_certificates().unwrap()[0].to_vec(),
        Client::Plain(_) => unreachable!(),
    }
}

#[test]
fn another_certificate_is_shown_after_a_reload_and_nobody_is_thrown_out() {
    let certificates = Certificates::new();
    let buffer = Buffer::with(Options::usual().tls(&certificates), "idle_timeout 20s\n");
    let mut open = Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap();
    open.ask("SEND <a.1.data> SIZE 6", "SEND OK");
    open.send("abc");
    let before = shown(&certificates, &buffer);
    let renewed = certificates.authority.server(crate::support::LOOPBACK).unwrap();
    fs::write(certificates.path("server.pem"), &renewed.certificate_pem).unwrap();
    buffer.hang_up();
    buffer.wait_for_line(&["ERROR", "not reloaded", "server.key"]);
    assert_eq!(shown(&certificates, &buffer), before, "a certificate without its key");
    fs::write(certificates.path("server.key"), &renewed.key_pem).unwrap();
    buffer.hang_up();
    assert_ne!(shown(&certificates, &buffer), before);
    open.send("def");
    open.expect("SEND OK\n");
    assert_eq!(buffer.files().len(), 1);
}

#[test]
fn another_configuration_goes_for_whoever_comes_then_and_a_bad_one_for_nobody() {
    let buffer = Buffer::start("idle_timeout 20s\n");
    let mut open = buffer.connect();
    open.ask("SEND <a.1.data> SIZE 1000", "SEND OK");
    buffer.reload("idle_timeout 20s\npassword s3cret\nmax_size 100\n");
    buffer.connect().ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
    for bad in ["max_connections many\n", "max_size none\n", "ssl_cert /absent\n", "allow everything\n"] {
        buffer.reload(&format!("idle_timeout 20s\n{bad}"));
        let mut client = buffer.connect();
        client.ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
        client.ask("SEND <b.1.data> SIZE 101", "SEND ERR (file is too big)");
    }
    assert_eq!(buffer.log().lines().filter(|line| line.contains("not reloaded")).count(), 4, "{}", buffer.log());
    open.send([b'x'; 1000]);
    open.expect("SEND OK\n");
}

#[test]
fn what_waits_for_a_restart_is_told_at_each_reload_until_it_is_as_at_the_start_again() {
    let buffer = Buffer::start("idle_timeout 20s\n");
    let count_logged =
        || buffer.log().lines().filter(|line| line.contains("durability") && line.contains("restart")).count();
    for (durability, times) in [("none", 1), ("none", 2), ("fsync", 2)] {
        buffer.reload(&format!("idle_timeout 20s\ndurability {durability}\n"));
        assert_eq!(count_logged(), times, "{}", buffer.log());
    }
}

#[test]
fn limits_and_filters_change_with_a_reload() {
    let buffer = Buffer::start("idle_timeout 20s\nmax_connections 1\n");
    let mut inside = buffer.connect();
    inside.ask("RECV <x>", "RECV ERR (file does not exist)");
    let mut waiting = buffer.connect();
    waiting.send("RECV <x>\n");
    waiting.expect_silence();
    buffer.reload("idle_timeout 20s\nmax_connections 2\nallow recv from any\n");
    waiting.expect("RECV ERR (file does not exist)\n");
    waiting.ask("SEND <x> SIZE 1", "SEND ERR (not allowed)");
}

#[test]
fn interrupted_it_lets_go_of_who_rests_and_exits_well() {
    let mut buffer = Buffer::start("idle_timeout 20s\n");
    let mut resting = buffer.connect();
    resting.ask("RECV <x>", "RECV ERR (file does not exist)");
    buffer.process().signal(Signal::INT);
    resting.expect_closed();
    assert_eq!(buffer.process().wait(), Some(0));
}

#[test]
fn stopped_and_continued_it_goes_on() {
    let mut buffer = Buffer::start("idle_timeout 20s\n");
    let mut client = buffer.connect();
    client.ask("SEND <a.1.data> SIZE 6", "SEND OK");
    client.send("abc");
    buffer.process().signal(Signal::STOP);
    client.send("def");
    client.expect_silence();
    buffer.process().signal(Signal::CONT);
    client.expect("SEND OK\n");
    assert_eq!(buffer.files().len(), 1);
}
