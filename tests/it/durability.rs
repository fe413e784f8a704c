//! A file whose sender was answered that it is stored, is stored; what is not whole has no name.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::consumer::seed;
use crate::server_ops::Buffer;
use crate::support::TIMEOUT;

const CLIENTS: usize = 50;
const KILLS: usize = 15;

/// What became of one name.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// The server has answered that it has the file.
    Stored(Vec<u8>),
    /// It did not come to that answer.
    Unsure(Vec<u8>),
}

/// Sends files of its own until the server is gone; each under a name that is used once.
fn send_until_it_is_gone(address: SocketAddr, prefix: &str, mut rng: Rng) -> Vec<(String, Sent)> {
    let mut sent = Vec::new();
    let Ok(socket) = TcpStream::connect(address) else { return sent };
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut reader = BufReader::new(socket);
    for number in 0.. {
        let name = format!("{prefix}-{number}.1700000000.data");
        let body = body_of(&name, rng.usize(1..20_000));
        let outcome = send_one(&mut reader, &name, &body, &mut rng);
        let is_over = outcome.is_none();
        sent.push((name, if is_over { Sent::Unsure(body) } else { Sent::Stored(body) }));
        if is_over {
            break;
        }
    }
    sent
}

/// `None` once the server is gone.
fn send_one(server: &mut BufReader<TcpStream>, name: &str, body: &[u8], rng: &mut Rng) -> Option<()> {
    server.get_mut().write_all(format!("SEND <{name}> SIZE {}\n", body.len()).as_bytes()).ok()?;
    expect_ok(server)?;
    let (first, rest) = body.split_at(rng.usize(0..body.len()));
    server.get_mut().write_all(first).ok()?;
    if rng.u8(..) < 16 {
        thread::sleep(Duration::from_millis(1));
    }
    server.get_mut().write_all(rest).ok()?;
    expect_ok(server)
}

fn expect_ok(server: &mut BufReader<TcpStream>) -> Option<()> {
    let mut line = String::new();
    server.by_ref().take(64).read_line(&mut line).ok()?;
    if line.is_empty() {
        return None;
    }
    assert_eq!(line, "SEND OK\n");
    Some(())
}

/// Bytes that show which file and which place in it they belong to.
fn body_of(name: &str, size: usize) -> Vec<u8> {
    (0..).flat_map(|number: u32| format!("{name}:{number}\n").into_bytes()).take(size).collect()
}

/// Every file that was answered is there, and there is none that is not whole.
fn assert_kept(buffer: &Buffer, sent: &BTreeMap<String, Sent>) {
    let files = buffer.files();
    for (name, sent) in sent {
        match (sent, files.get(Path::new(name))) {
            (Sent::Stored(body), Some(found)) => assert!(body == found, "{name} is not as it was sent"),
            (Sent::Stored(_), None) => panic!("{name} was answered, and is lost"),
            (Sent::Unsure(body), Some(found)) => assert!(body == found, "{name} is there in part"),
            (Sent::Unsure(_), None) => {}
        }
    }
    for name in files.keys() {
        assert!(sent.contains_key(name.to_str().unwrap()), "{} was never sent", name.to_string_lossy());
    }
}

#[test]
fn killed_while_fifty_clients_send_it_has_all_it_answered_for_and_nothing_in_part() {
    let mut rng = Rng::with_seed(seed());
    let mut buffer = Buffer::start("max_connections 100\n");
    let mut sent = BTreeMap::new();
    for kill in 0..KILLS {
        let address = buffer.address();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (prefix, rng) = (format!("k{kill}c{client}"), rng.fork());
                thread::spawn(move || send_until_it_is_gone(address, &prefix, rng))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.u64(5..250)));
        buffer.kill();
        sent.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
        assert_kept(&buffer, &sent);
        buffer.restart();
    }
    let stored = sent.values().filter(|sent| matches!(sent, Sent::Stored(_))).count();
    println!("{stored} of {} were answered", sent.len());
    assert!(stored > KILLS, "it was never let come that far");
    assert_kept(&buffer, &sent);
    let staging = buffer.storage().join(".tentacle-server");
    // The server listens before it sweeps.
    crate::daemon::wait_until("the staging area to be swept", || {
        (fs::read_dir(&staging).unwrap().count() <= 1).then_some(())
    });
}

#[test]
fn a_file_on_its_way_in_has_no_name_yet() {
    let buffer = Buffer::start("idle_timeout 20s\n");
    let mut slow = buffer.connect();
    slow.ask("SEND <slow.1.data> SIZE 200", "SEND OK");
    let mut other = buffer.connect();
    for _ in 0..199 {
        slow.send("x");
        assert_eq!(other.names(""), [].into());
        assert_eq!(other.names("..").len(), 0);
    }
    other.ask("RECV <slow.1.data>", "RECV ERR (file does not exist)");
    other.ask("MV <slow.1.data>", "MV ERR");
    slow.send("x");
    slow.expect("SEND OK\n");
    assert_eq!(other.names(""), ["slow.1.data".to_owned()].into());
}

#[test]
fn a_file_that_is_replaced_is_the_old_one_or_the_new_one() {
    let buffer = Buffer::start("");
    let (address, done) = (buffer.address(), AtomicBool::new(false));
    let versions: Vec<Vec<u8>> = (0..4_u8).map(|version| vec![b'0' + version; 30_000 + usize::from(version)]).collect();
    buffer.connect().store("a.conf", &versions[0]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = crate::support::Client::connect(address);
            for version in versions.iter().cycle().take(60) {
                client.store("a.conf", version);
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut reader = buffer.connect();
        while !done.load(Ordering::Relaxed) {
            let body = reader.take("RECV", "a.conf");
            assert!(versions.contains(&body), "{} bytes of no version", body.len());
        }
    });
}

#[test]
fn a_sender_that_breaks_off_leaves_nothing() {
    let buffer = Buffer::start("");
    for part in ["", "x", "xxxxx"] {
        let mut client = buffer.connect();
        client.ask("SEND <half.1.data> SIZE 6", "SEND OK");
        client.send(part);
        client.close();
    }
    buffer.connect().take("LS", "");
    crate::daemon::wait_until("the staging area to be empty", || {
        let staging = fs::read_dir(buffer.storage().join(".tentacle-server")).unwrap();
        (staging.count() <= 1).then_some(())
    });
    assert_eq!(buffer.connect().names(""), [].into());
}
