//! What the system lets a process have: files of a size, and a number of them open.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tentacle_sync::testing::fake_server::{FakeServer, Fault, Setup, Verb};

use crate::client_process::{Outcome, WorkDir, at};
use crate::daemon::{Sandbox, assert_complains_once, has_line, staged_in, wait_until};
use crate::program;
use crate::server_process::{free_address, stored_in};
use crate::site::{Site, site_config};
use crate::support::{Client, LOOPBACK, TIMEOUT};

/// The largest file a limited process may write, in bytes.
const LARGEST: u64 = 20_000;

/// A body beyond that.
static LARGE: [u8; 50_000] = [b'x'; 50_000];

/// Lets a process have so much of something from now on, or as much as this one.
fn limit(process: u32, resource: Resource, most: Option<u64>) {
    let maximum = getrlimit(resource).maximum;
    prlimit(Pid::from_raw(process.cast_signed()), resource, Rlimit { current: most.or(maximum), maximum }).unwrap();
}

/// A program that may have only so much. Of another user's process, only root may change the limits.
fn limited(sandbox: &program::Sandbox, limit: &str, program: &str, arguments: &[&str]) -> Command {
    let script = format!("{limit}; exec \"$0\" \"$@\"");
    sandbox.command_of("sh".as_ref(), &[&["-c", &script, program], arguments].concat())
}

/// Starts a server that may have only so much, and waits for it.
fn start_limited_server(sandbox: &program::Sandbox, limit: &str, options: &[&str]) -> (program::Running, SocketAddr) {
    let address = free_address();
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let arguments = [&["-s", "storage", "-a", &ip, "-p", &port], options].concat();
    let mut command = limited(sandbox, limit, env!("CARGO_BIN_EXE_tentacle_server"), &arguments);
    let server = sandbox.launch(program::as_nobody(&mut command));
    wait_until("the server", || TcpStream::connect(address).ok());
    (server, address)
}

#[test]
fn a_server_refuses_what_it_may_not_write_and_goes_on() {
    let sandbox = program::Sandbox::new();
    // A block is 512 bytes, or 1024.
    let (server, address) = start_limited_server(&sandbox, "ulimit -f 40", &[]);
    let mut client = Client::connect(address);
    for number in 0..3 {
        client.ask(&format!("SEND <large{number}.data> SIZE {}", LARGE.len()), "SEND OK");
        client.send(LARGE);
        let answer = client.line();
        assert!(answer.starts_with("SEND ERR"), "{answer}");
    }
    client.store("small.data", "body");
    drop(server);
    let storage = sandbox.path("storage");
    let log = fs::read_to_string(sandbox.path("stderr")).unwrap();
    let parts = ["WARN", storage.to_str().unwrap(), "cannot write: File too large", "LimitFSIZE", "ulimit -f"];
    assert!(has_line(&log, &parts), "{log}");
    assert_complains_once(&log, &["File too large"]);
    assert_eq!(stored_in(&storage).len(), 1);
    let staging = fs::read_dir(storage.join(".tentacle-server")).unwrap();
    assert!(staging.count() <= 1, "halves of files stay");
}

#[test]
fn a_collector_leaves_what_it_may_not_write_at_the_site_and_collects_the_rest() {
    let site = Site::fake("site", 0, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    let daemon = sandbox.start();
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= 1));
    limit(daemon.id(), Resource::Fsize, Some(LARGEST));
    site.peer().put("large.1700000000.data", &LARGE).unwrap();
    let spool = sandbox.incoming();
    daemon.wait_for_line(&["WARN", "site=site reason=store", spool.to_str().unwrap(), "File too large", "LimitFSIZE"]);
    site.peer().put("small.1700000000.data", b"body").unwrap();
    wait_until("the small file", || (sandbox.spool().len() == 1).then_some(()));
    assert!(site.peer().files().unwrap().contains_key(Path::new("large.1700000000.data")));
    assert_complains_once(&daemon.log(), &["File too large"]);
    assert_eq!(staged_in(&spool), [] as [&str; 0]);
    limit(daemon.id(), Resource::Fsize, None);
    wait_until("the large file", || (sandbox.spool().len() == 2).then_some(()));
    daemon.wait_for_line(&["site=site recovered after"]);
    daemon.stop().assert_code(0);
}

/// Gets the large file from a server that answers only once the client may not write it.
fn get_beyond_the_limit(work_dir: &WorkDir, options: &[&str]) -> Outcome {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let arguments = at(listener.local_addr().unwrap(), [options, &["-g", "large"]].concat());
    let client = work_dir.start(arguments);
    limit(client.id(), Resource::Fsize, Some(LARGEST));
    let (mut connection, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
    let verb = if options.contains(&"-z") { "ZRECV" } else { "RECV" };
    assert_eq!(lines.next().unwrap().unwrap(), format!("{verb} <large>"));
    connection.write_all(format!("{verb} SIZE {}\n", LARGE.len()).as_bytes()).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), format!("{verb} OK"));
    connection.write_all(&LARGE).unwrap();
    Outcome::of(client)
}

#[test]
fn a_client_says_what_it_may_not_write_and_leaves_no_half_of_it() {
    let work_dir = WorkDir::new();
    let outcome = get_beyond_the_limit(&work_dir, &["-v"]);
    outcome.assert_fails_saying(&["Cannot write file 'large': File too large.", "ulimit -f"]);
    let outcome = get_beyond_the_limit(&work_dir, &["-v", "-z"]);
    outcome.assert_fails_saying(&["Cannot use a temporary file in", "File too large.", "ulimit -f"]);
    assert_eq!(work_dir.files().len(), 0);
}

#[test]
fn a_collector_that_may_open_too_few_files_says_so_once_and_what_to_do() {
    let faults = vec![Fault::Slow(Duration::from_millis(200)).at(Verb::Ls)];
    let site = FakeServer::start(Setup { faults, max_connections: 100, ..Setup::default() }).unwrap();
    let config = |number: u32| site_config(&format!("site{number}"), site.address(), "interval = 1\nkeep_open = 0");
    let sandbox = Sandbox::with_sites((0..30).map(config));
    let daemon = sandbox.start();
    let is_listed = |times: u64| site.wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= times);
    assert!(is_listed(30));
    limit(daemon.id(), Resource::Nofile, Some(25));
    daemon.wait_for_line(&["WARN", "reason=files", "too many open files", "LimitNOFILE=", "max_connections"]);
    // Some sites are collected from while others are not, by turns.
    assert!(is_listed(site.tally().count(Verb::Ls) + 60));
    assert_complains_once(&daemon.log(), &["open files"]);
    limit(daemon.id(), Resource::Nofile, None);
    assert!(is_listed(site.tally().count(Verb::Ls) + 60));
    let log = daemon.log();
    assert!(!log.contains("recovered after"), "{log}");
    daemon.stop().assert_code(0);
}

#[test]
fn connections_that_need_more_files_than_may_be_open_are_warned_of() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::new();
    sandbox.configure("max_connections = 500", [site_config("site", site.address(), "connections = 64")]);
    let (config, shell) = (sandbox.config(), program::Sandbox::new());
    let once = ["once", "--config", config.to_str().unwrap()];
    let mut command = limited(&shell, "ulimit -n 100", env!("CARGO_BIN_EXE_tentacle-syncd"), &once);
    assert_eq!(shell.launch(&mut command).wait(), Some(0));
    let log = fs::read_to_string(shell.path("stderr")).unwrap();
    assert_complains_once(&log, &["64 connections", "100", "LimitNOFILE=", "max_connections"]);
    let sandbox = program::Sandbox::new();
    drop(start_limited_server(&sandbox, "ulimit -n 100", &["-c", "500"]));
    let log = fs::read_to_string(sandbox.path("stderr")).unwrap();
    assert_complains_once(&log, &["500 connections", "100", "LimitNOFILE=", "max_connections"]);
}
