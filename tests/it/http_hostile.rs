//! Clients of the status port that want nothing but harm, while sites are collected from.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tentacle_sync::testing::fake_server::Setup;

use crate::control::OFTEN;
use crate::daemon::{Sandbox, wait_until};
use crate::http::{configure, start};
use crate::http_client::{get, request};
use crate::http_server::serve;
use crate::site::Site;
use crate::support::{SETTLE, TIMEOUT, peak_memory};

const CONNECTIONS: usize = 10_000;

/// Held open at a time, of each kind: all of the port's places several times over, and few enough for a process's limit.
const HELD: usize = 150;

/// In kibibytes: many times what a daemon of two sites has, and a small part of what is sent to it.
const MOST_MEMORY: u64 = 128 * 1024;

/// Ends the others' threads, also where a test fails.
struct OverWhenDropped<'a>(&'a AtomicBool);

impl Drop for OverWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connects, and lets go of the connection of long ago.
fn connect(address: SocketAddr, held: &mut VecDeque<TcpStream>) -> Option<&mut TcpStream> {
    if held.len() >= HELD {
        held.pop_front();
    }
    let client = TcpStream::connect(address).ok()?;
    client.set_write_timeout(Some(TIMEOUT)).unwrap();
    held.push_back(client);
    held.back_mut()
}

/// 10,000 connections, which say nothing, or half of a request.
fn crowd(address: SocketAddr) -> usize {
    let (mut held, mut came) = (VecDeque::new(), 0);
    for number in 0..CONNECTIONS {
        let Some(client) = connect(address, &mut held) else { continue };
        came += 1;
        if number % 2 == 0 {
            drop(client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: "));
        }
    }
    came
}

/// Requests that come byte for byte, for as long as that goes.
fn dribble(address: SocketAddr, is_over: &AtomicBool) {
    let mut clients: Vec<Option<TcpStream>> = (0..HELD / 2).map(|_| None).collect();
    while !is_over.load(Ordering::Relaxed) {
        for client in &mut clients {
            if client.as_mut().is_none_or(|socket| socket.write_all(b"G").is_err()) {
                *client = TcpStream::connect(address).ok();
            }
        }
        thread::sleep(SETTLE);
    }
}

/// Clients that ask for all there is again and again, and read nothing.
fn ask_and_read_nothing(address: SocketAddr, is_over: &AtomicBool) {
    let mut held = VecDeque::new();
    let asked = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /status.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    while !is_over.load(Ordering::Relaxed) {
        if let Some(client) = connect(address, &mut held) {
            client.set_nonblocking(true).unwrap();
            drop(client.write(asked.as_bytes()));
        }
        thread::sleep(SETTLE / 10);
    }
}

/// Bytes that are no requests, or no requests any more.
fn send_garbage(address: SocketAddr, is_over: &AtomicBool) {
    let mut seed = 1_u32;
    while !is_over.load(Ordering::Relaxed) {
        let Ok(mut client) = TcpStream::connect(address) else { continue };
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        client.set_write_timeout(Some(TIMEOUT)).unwrap();
        let garbage: Vec<u8> = (0..65_536)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            })
            .collect();
        drop(client.write_all("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20).as_bytes()));
        drop(client.write_all(&garbage));
        drop(client.read_to_end(&mut Vec::new()));
    }
}

/// Does `work` again and again, at least 20 times, while all of these are at a port.
fn assail(address: SocketAddr, mut work: impl FnMut(u64)) {
    let is_over = &AtomicBool::new(false);
    let came = thread::scope(|scope| {
        let _over = OverWhenDropped(is_over);
        scope.spawn(|| dribble(address, is_over));
        scope.spawn(|| ask_and_read_nothing(address, is_over));
        scope.spawn(|| send_garbage(address, is_over));
        let crowd = scope.spawn(|| crowd(address));
        let mut number = 0;
        while !crowd.is_finished() || number < 20 {
            number += 1;
            work(number);
        }
        crowd.join().unwrap()
    });
    assert_eq!(came, CONNECTIONS);
}

#[test]
fn whoever_comes_to_the_port_costs_the_sites_nothing() {
    let (mut ours, fake) = (Site::ours("ours", 200), Site::fake("fake", 200, Setup::default()));
    let sandbox = Sandbox::new();
    // The port's clients take none of the sites' connections.
    let few = "max_connections = 2\n[http]";
    let address = configure(&sandbox, "", [ours.config(OFTEN), fake.config(OFTEN)]);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    sandbox.write("tentacle-syncd.toml", text.replace("[http]", few));
    let daemon = start(&sandbox, address);
    assail(address, |number| {
        let name = format!("late.{}.data", 1_700_000_000 + number);
        ours.add(&name, name.as_bytes());
        wait_until("a file that came meanwhile", || sandbox.incoming().join(&name).exists().then_some(()));
    });
    for site in [&ours, &fake] {
        wait_until("all files", || site.files.keys().all(|file| sandbox.incoming().join(file).exists()).then_some(()));
    }
    assert_eq!(get(address, "/healthz").status, 200);
    let metrics = get(address, "/metrics");
    assert_eq!(metrics.series("tentacle_sync_sites_failing"), Some(0.0), "{}", daemon.log());
    assert!(metrics.series("tentacle_sync_connections") <= Some(2.0), "{}", metrics.body);
    let peak = peak_memory(daemon.id());
    assert!(peak < MOST_MEMORY, "{peak} KiB");
    let outcome = daemon.stop();
    outcome.assert_code(0);
    assert!(!outcome.stderr.contains("panicked"), "{outcome}");
}

#[test]
fn whoever_comes_to_a_servers_port_costs_its_clients_nothing() {
    // The port's clients take none of the places.
    let (address, buffer) = serve("max_connections 2\nidle_timeout 60s\n");
    let stored = |number: u64| (format!("late.{}.data", 1_700_000_000 + number), format!("measured {number}"));
    let mut last = 0;
    assail(address, |number| {
        let (name, data) = stored(number);
        let mut agent = buffer.connect();
        agent.store(&name, data);
        last = number;
    });
    for number in 1..=last {
        let (name, _) = stored(number);
        assert!(buffer.holds(&name), "{name}");
    }
    assert_eq!(get(address, "/healthz").status, 200);
    let metrics = get(address, "/metrics");
    assert!(metrics.series("tentacle_server_connections") <= Some(2.0), "{}", metrics.body);
    assert_eq!(
        metrics.series("tentacle_server_accepted_connections_total"),
        Some(f64::from(u32::try_from(last + 1).unwrap())),
        "{}",
        metrics.body
    );
    let peak = peak_memory(buffer.id());
    assert!(peak < MOST_MEMORY, "{peak} KiB");
    assert!(!buffer.log().contains("panicked"), "{}", buffer.log());
}

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let (site, sandbox) = (Site::ours("site", 0), Sandbox::new());
    let address = configure(&sandbox, "", [site.config(OFTEN)]);
    let _daemon = start(&sandbox, address);
    keep_nobody_out(address);
}

#[test]
fn clients_that_say_nothing_keep_nobody_out_of_a_servers_port() {
    let (address, _buffer) = serve("");
    keep_nobody_out(address);
}

fn keep_nobody_out(address: SocketAddr) {
    let mut silent = VecDeque::new();
    for _ in 0..HELD {
        connect(address, &mut silent);
    }
    for _ in 0..10 {
        assert_eq!(get(address, "/healthz").status, 200);
        assert_eq!(get(address, "/metrics").status, 200);
    }
    // The first of them have made room, and the last are there still.
    let is_closed = |client: &mut TcpStream| {
        client.set_read_timeout(Some(SETTLE)).unwrap();
        client.read(&mut [0]).map_or_else(|error| error.kind() != std::io::ErrorKind::WouldBlock, |count| count == 0)
    };
    assert!(is_closed(&mut silent[0]));
    let last = silent.back_mut().unwrap();
    last.set_read_timeout(Some(TIMEOUT)).unwrap();
    last.write_all(request("/healthz", "").as_bytes()).unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
