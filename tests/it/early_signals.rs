//! Signals that come as soon as a program has logged its first line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Sandbox as SyncdSandbox, wait_until};
use crate::program::{Sandbox, as_nobody};
use crate::server_process::free_address;
use crate::supervised::Daemon;

/// Without the handlers in place, nearly every one of these ended the program.
const TIMES: usize = 25;

/// A program whose log the test reads.
fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0)
}

#[test]
fn a_server_that_is_told_to_reload_as_soon_as_it_listens_stays() {
    for _ in 0..TIMES {
        let sandbox = Sandbox::new();
        let port = free_address().port().to_string();
        let mut command = sandbox.command(&["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-v"]);
        let mut server = as_nobody(piped(&mut command)).spawn().unwrap();
        let pid = Pid::from_child(&server);
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut until = |part: &str| lines.by_ref().map_while(Result::ok).find(|line| line.contains(part));
        assert!(until("listening on").is_some());
        kill_process(pid, Signal::HUP).unwrap();
        let reloaded = until("reloaded");
        kill_process(pid, Signal::TERM).unwrap();
        let status = server.wait().unwrap();
        assert!(reloaded.is_some() && status.code() == Some(0), "{reloaded:?} {status}");
    }
}

#[test]
fn a_server_in_the_background_that_is_told_to_reload_as_soon_as_it_listens_stays() {
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        let address = free_address();
        let (port, storage, log) = (address.port().to_string(), sandbox.path("storage"), sandbox.path("log"));
        let names = [&storage, &log].map(|path| path.to_str().unwrap());
        let arguments = ["-s", names[0], "-a", "127.0.0.1", "-p", &port, "-d", "-v", "-l", names[1]];
        assert_eq!(sandbox.run(&arguments), (Some(0), String::new()));
        let daemon = Daemon::of(&storage);
        while !fs::read_to_string(&log).unwrap_or_default().contains("listening on") {}
        daemon.signal(Signal::HUP);
        wait_until("the reload", || fs::read_to_string(&log).ok()?.contains("reloaded").then_some(()));
        drop(TcpStream::connect(address).unwrap());
        daemon.stop();
    }
}

#[test]
fn a_collector_that_is_told_to_reload_as_soon_as_it_logs_stays() {
    let sandbox = SyncdSandbox::with_sites([
        "[[site]]\nname = \"a\"\naddress = \"127.0.0.1\"\nport = 9\n",
        "[[site]]\nname = \"b\"\naddress = \"127.0.0.1\"\nport = 9\ntimeout = 3\n",
    ]);
    for _ in 0..TIMES {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tentacle-syncd"));
        command.args(["run", "--config"]).arg(sandbox.config()).env_remove("STATE_DIRECTORY");
        let mut daemon = piped(&mut command).spawn().unwrap();
        let pid = Pid::from_child(&daemon);
        let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
        assert!(lines.next().is_some());
        kill_process(pid, Signal::HUP).unwrap();
        let reloaded = lines.by_ref().map_while(Result::ok).find(|line| line.contains("reloaded"));
        kill_process(pid, Signal::TERM).unwrap();
        let status = daemon.wait().unwrap();
        assert!(reloaded.is_some() && status.code() == Some(0), "{reloaded:?} {status}");
    }
}
