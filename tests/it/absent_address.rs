//! Several addresses to listen on, some of which the machine does not have.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use crate::daemon::wait_until;
use crate::program::{Sandbox, as_nobody};
use crate::server_process::free_address;
use crate::support::{Client, LOOPBACK};

/// Of a network for documentation (RFC 5737): no machine's.
const ABSENT: &str = "192.0.2.77";

#[test]
fn an_address_that_is_not_there_is_warned_of_and_the_others_are_served() {
    let sandbox = Sandbox::new();
    let address = free_address();
    let port = address.port().to_string();
    let mut command = sandbox.command(&["-s", "storage", "-a", &format!("{ABSENT},127.0.0.1"), "-p", &port]);
    let _running = sandbox.launch(as_nobody(&mut command));
    wait_until("the server", || TcpStream::connect(address).ok());
    Client::connect(address).store("a.1.data", "body");
    let log = fs::read_to_string(sandbox.path("stderr")).unwrap();
    assert!(log.contains("WARN") && log.contains(&format!("{ABSENT}:{port}")), "{log}");
}

#[test]
fn no_address_that_is_there_and_one_that_is_in_use_are_errors() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    sandbox.assert_refused(
        &["-s", "storage", "-a", "192.0.2.76,192.0.2.77", "-p", &port],
        3,
        &["192.0.2.77", "none of"],
    );
    sandbox.assert_refused(&["-s", "storage", "-a", "192.0.2.77,127.0.0.1", "-p", &port], 3, &["127.0.0.1", "in use"]);
}

/// Gives this thread, and what it starts, a network of its own; `false`, after printing so, where it may not.
fn is_in_a_network_of_its_own() -> bool {
    let made = unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| errno.to_string()).and_then(|()| ip("link set lo up"));
    assert!(made.is_ok() || std::env::var_os("CHAIN_TEST_REQUIRED").is_none(), "{made:?}");
    if let Err(reason) = &made {
        println!("SKIPPED: no network of its own: {reason}");
    }
    made.is_ok()
}

fn ip(arguments: &str) -> Result<(), String> {
    let status = Command::new("ip").args(arguments.split(' ')).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("ip {arguments}: {status}")) }
}

#[test]
fn an_address_that_comes_later_is_served_from_then_on_and_after_a_reload() {
    if !is_in_a_network_of_its_own() {
        return;
    }
    let addresses = [ABSENT, "2001:db8::77"];
    let sandbox = Sandbox::new();
    let port = free_address().port();
    let listed = format!("127.0.0.1,{}", addresses.join(","));
    let mut command = sandbox.command(&["-s", "storage", "-a", &listed, "-p", &port.to_string(), "-v"]);
    let running = sandbox.launch(as_nobody(&mut command));
    wait_until("the server", || TcpStream::connect((LOOPBACK, port)).ok());
    let log = || fs::read_to_string(sandbox.path("stderr")).unwrap();
    wait_until("it to listen", || addresses.iter().all(|address| log().contains(address)).then_some(()));
    for address in addresses.map(|address| SocketAddr::from((address.parse::<IpAddr>().unwrap(), port))) {
        assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
        let at_once = if address.is_ipv6() { " nodad" } else { "" };
        ip(&format!("addr add {} dev lo{at_once}", address.ip())).unwrap();
        // The kernel gives an address of IPv6 its route a while after it has taken the address.
        wait_until("the route", || TcpStream::connect(address).ok());
        Client::connect(address).store(&format!("{}.1.data", port + u16::from(address.is_ipv6())), "body");
    }
    rustix::process::kill_process(running.pid(), rustix::process::Signal::HUP).unwrap();
    wait_until("the reload", || log().contains("reloaded").then_some(()));
    Client::connect((ABSENT.parse::<IpAddr>().unwrap(), port).into()).store("after.1.data", "body");
}
