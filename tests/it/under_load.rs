//! Reloads and restarts under load lose nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::Files;

use crate::server_ops::Buffer;
use crate::support::{Client, TIMEOUT};

/// Clients that send files, one connection after the other, until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    address: Arc<Mutex<SocketAddr>>,
    clients: Vec<JoinHandle<Outcome>>,
}

#[derive(Debug, Default)]
struct Outcome {
    stored: BTreeMap<String, String>,
    /// Connections that ended in the middle of a file.
    broken: usize,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, address) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(address)));
        let clients = (0..8)
            .map(|client| {
                let (stop, address) = (Arc::clone(&stop), Arc::clone(&address));
                thread::spawn(move || send_until(&stop, &address, client))
            })
            .collect();
        Self { stop, address, clients }
    }

    fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for client in self.clients {
            let outcome = client.join().unwrap();
            all.stored.extend(outcome.stored);
            all.broken += outcome.broken;
        }
        all
    }
}

fn send_until(stop: &AtomicBool, address: &Mutex<SocketAddr>, client: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let address = *address.lock().unwrap();
        let Ok(socket) = std::net::TcpStream::connect_timeout(&address, TIMEOUT) else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        let mut connection = Client::Plain(socket);
        for part in 0..3 {
            let (name, body) = (format!("c{client}-{number}-{part}.1.data"), format!("{client} {number} {part}\n"));
            match send(&mut connection, &name, &body) {
                Sent::Stored => drop(outcome.stored.insert(name, body)),
                Sent::NotBegun => break,
                Sent::InPart => {
                    outcome.broken += 1;
                    break;
                }
            }
        }
    }
    outcome
}

enum Sent {
    Stored,
    NotBegun,
    InPart,
}

fn send(connection: &mut Client, name: &str, body: &str) -> Sent {
    connection.send(format!("SEND <{name}> SIZE {}\n", body.len()));
    if connection.line() != "SEND OK" {
        return Sent::NotBegun;
    }
    connection.send(body);
    if connection.line() == "SEND OK" { Sent::Stored } else { Sent::InPart }
}

fn assert_holds_all(files: &Files, stored: &BTreeMap<String, String>) {
    for (name, body) in stored {
        assert_eq!(files.get(name.as_ref() as &std::path::Path).map(Vec::as_slice), Some(body.as_bytes()), "{name}");
    }
}

#[test]
fn reloads_disturb_nobody_who_sends() {
    let buffer = Buffer::start("max_connections 100\n");
    let load = Load::start(buffer.address());
    for round in 0..20 {
        buffer.reload(if round % 2 == 0 { "max_connections 100\nmax_size 3MB\n" } else { "max_connections none\n" });
    }
    let outcome = load.end();
    assert_eq!(outcome.broken, 0);
    assert!(outcome.stored.len() > 20, "{}", outcome.stored.len());
    assert_holds_all(&buffer.files(), &outcome.stored);
}

#[test]
fn told_to_stop_under_load_it_ends_no_file_in_its_middle() {
    let mut buffer = Buffer::start("max_connections 100\n");
    let load = Load::start(buffer.address());
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(150));
        buffer.process().signal(Signal::TERM);
        assert_eq!(buffer.process().wait(), Some(0));
        buffer.restart();
        *load.address.lock().unwrap() = buffer.address();
    }
    thread::sleep(Duration::from_millis(150));
    let outcome = load.end();
    assert_eq!(outcome.broken, 0, "answered with the first OK, and then left alone");
    assert_holds_all(&buffer.files(), &outcome.stored);
}
