//! More clients than connections, and some of them slow.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::daemon::wait_until;
use crate::guesses;
use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::slow_readers::{SIZE, body, connect, read_slowly};
use crate::support::{Certificates, Client, TIMEOUT};

/// Clients that send a body a few bytes at a time, and connect again when they are cut off.
struct Dripping {
    ended: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Dripping {
    fn start(buffer: &Buffer, count: usize) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let start = |number: usize| {
            let (address, ended) = (buffer.address(), Arc::clone(&ended));
            thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let mut client = Client::connect(address);
                    client.send(format!("SEND <slow{number}.1.data> SIZE 100000\n"));
                    let mut is_closed = false;
                    while !is_closed && !ended.load(Ordering::Relaxed) {
                        (_, is_closed) = client.receive(8, Duration::from_millis(100));
                        client.send("0123456789");
                    }
                }
            })
        };
        let threads = (0..count).map(start).collect();
        Self { ended, threads }
    }
}

impl Drop for Dripping {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn dripping_clients_in_all_places_make_room_for_others() {
    let buffer = Buffer::start("");
    let dripping = Dripping::start(&buffer, 10);
    thread::sleep(Duration::from_millis(500));
    for number in 0..5 {
        buffer.connect().store(&format!("a{number}.1.data"), "body");
    }
    drop(dripping);
    buffer.wait_for_line(&["client=127.0.0.1 reason=slow", "max_connections"]);
}

#[test]
fn handshakes_and_silence_in_all_places_make_room_for_others() {
    let certificates = Certificates::new();
    let buffer = Buffer::with(Options::usual().arg("-c").arg("3").tls(&certificates), "idle_timeout 60s\n");
    let connect = || Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap();
    let _silent = [connect(), connect()];
    let _unfinished = buffer.connect();
    for number in 0..3 {
        connect().store(&format!("a{number}.1.data"), "body");
    }
}

#[test]
fn a_slow_and_steady_reader_keeps_its_place_while_others_wait() {
    let buffer = Buffer::with(Options::usual().arg("-c").arg("1"), "idle_timeout 60s\n");
    buffer.put("a.1.data", body(SIZE));
    let mut reader = Client::Plain(connect(buffer.address()));
    assert_eq!(reader.announced("RECV", "a.1.data"), SIZE);
    reader.send("RECV OK\n");
    let mut waiting = buffer.connect();
    waiting.send("SEND <b.1.data> SIZE 4\n");
    assert!(read_slowly(reader.socket(), SIZE) == body(SIZE), "{}", buffer.log());
    reader.send("QUIT\n");
    waiting.expect("SEND OK\n");
}

#[test]
fn slow_clients_keep_their_places_while_nobody_waits() {
    let buffer = Buffer::with(Options::usual().arg("-c").arg("2"), "idle_timeout 60s\n");
    let mut inside = [buffer.connect(), buffer.connect()];
    for client in &mut inside {
        client.ask("SEND <a.1.data> SIZE 60", "SEND OK");
    }
    for _ in 0..35 {
        thread::sleep(Duration::from_millis(100));
        for client in &mut inside {
            client.send("x");
        }
    }
    for client in &mut inside {
        client.send([b'x'; 25]);
    }
    inside[0].expect("SEND OK\n");
}

#[test]
fn clients_that_have_quit_and_take_the_rest_slowly_make_room_for_others() {
    let buffer = Buffer::with(Options::usual().arg("-c").arg("5"), "idle_timeout 60s\n");
    buffer.put("a.1.data", body(SIZE));
    let ended = Arc::new(AtomicBool::new(false));
    let mut leaving: Vec<Client> = Vec::new();
    let mut enter = || {
        let mut client = Client::Plain(connect(buffer.address()));
        assert_eq!(client.announced("RECV", "a.1.data"), SIZE);
        client.send("RECV OK\nQUIT\n");
        leaving.push(client);
    };
    (0..64).for_each(|_| enter());
    let is_ended = Arc::clone(&ended);
    let slow = thread::spawn(move || {
        while !is_ended.load(Ordering::Relaxed) {
            for client in &leaving {
                client.socket().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                // Those that were dropped have nothing to read any more.
                let _count = client.socket().read(&mut [0; 500]).unwrap_or(0);
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    buffer.connect().store("b.1.data", "body");
    ended.store(true, Ordering::Relaxed);
    slow.join().unwrap();
}

/// Lets threads see that this one is done with them, also where its test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An address of this machine's that is none of the other clients'.
const CROWD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

/// Whether the server has closed the connection.
fn is_closed(client: &mut Client) -> bool {
    client.receive(1, Duration::from_millis(1)).1
}

#[test]
fn a_crowd_from_one_address_that_says_nothing_waits_behind_others() {
    let buffer = Buffer::with(Options::usual(), "idle_timeout 60s\n");
    let mut crowd: Vec<Client> = (0..40).map(|_| guesses::from(CROWD, buffer.address())).collect();
    buffer.connect().store("a.1.data", "body");
    let closed = crowd.iter_mut().filter_map(|client| is_closed(client).then_some(())).count();
    assert!(closed <= 15, "{closed} of those that came before had their turn before");
}

#[test]
fn clients_from_one_address_that_move_enough_make_room_for_those_of_others() {
    let buffer = Buffer::with(Options::usual(), "idle_timeout 60s\n");
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&ended);
        for number in 0..10 {
            let mut client = guesses::from(CROWD, buffer.address());
            client.ask(&format!("SEND <steady{number}.1.data> SIZE 1900000"), "SEND OK");
            let ended = &ended;
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    client.send([b'x'; 500]);
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        for number in 0..3 {
            buffer.connect().store(&format!("a{number}.1.data"), "body");
        }
    });
    buffer.wait_for_line(&["client=127.0.0.99 reason=slow", "many connections of its network"]);
}

#[test]
fn those_who_guess_passwords_from_one_address_wait_behind_others() {
    let buffer = Buffer::with(Options::usual().password("secret"), "idle_timeout 60s\n");
    let (ended, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _ends = Ends(&ended);
        for _ in 0..30 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let mut client = guesses::from(CROWD, buffer.address());
                    client.send(guesses::pass("a guess"));
                    if client.receive(1, TIMEOUT).1 {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        wait_until("guesses", || (answers.load(Ordering::Relaxed) >= 30).then_some(()));
        let before = answers.load(Ordering::Relaxed);
        let mut client = buffer.connect();
        client.send(guesses::pass("secret"));
        client.expect("PASS OK\n");
        client.store("a.1.data", "body");
        let answered = answers.load(Ordering::Relaxed) - before;
        assert!(answered <= 15, "{answered} guesses had their turn before");
    });
}

/// Clients of many addresses, all of which send something and nothing more, again and again.
fn crowd_of_many(buffer: &Buffer, addresses: u8, each: usize) -> Vec<Client> {
    let from = |address| guesses::from(Ipv4Addr::new(127, 0, 1, address), buffer.address());
    let mut crowd: Vec<Client> = (1..=addresses).flat_map(|address| (0..each).map(move |_| from(address))).collect();
    for client in &mut crowd {
        client.send("S");
    }
    crowd
}

#[test]
fn crowds_from_as_many_addresses_as_there_are_places_wait_behind_a_new_one() {
    let buffer = Buffer::with(Options::usual(), "idle_timeout 60s\n");
    let mut crowd = crowd_of_many(&buffer, 12, 20);
    buffer.connect().store("a.1.data", "body");
    let closed = crowd.iter_mut().filter_map(|client| is_closed(client).then_some(())).count();
    assert!(closed <= 20, "{closed} of those that came before had their turn before");
}

#[test]
fn clients_that_have_sent_nothing_take_no_place() {
    let buffer = Buffer::with(Options::usual().arg("-c").arg("2"), "idle_timeout 60s\n");
    let mut silent: Vec<Client> =
        (1..=40).map(|address| guesses::from(Ipv4Addr::new(127, 0, 1, address), buffer.address())).collect();
    for number in 0..3 {
        buffer.connect().store(&format!("a{number}.1.data"), "body");
    }
    assert!(!silent.iter_mut().any(is_closed), "{}", buffer.log());
}

#[test]
fn a_client_that_never_sends_anything_is_ended_in_time() {
    let buffer = Buffer::with(Options::usual(), "idle_timeout 1s\n");
    buffer.connect().expect_closed();
    buffer.wait_for_line(&["client=127.0.0.1 reason=timeout", "first byte", "idle_timeout"]);
}

#[test]
fn honest_clients_of_one_address_are_not_cut_for_others_that_move_nothing() {
    let buffer = Buffer::with(Options::usual(), "idle_timeout 60s\n");
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&ended);
        let honest: Vec<_> = (0..3)
            .map(|number| {
                let mut client = guesses::from(CROWD, buffer.address());
                client.ask(&format!("SEND <honest{number}.1.data> SIZE 40000"), "SEND OK");
                scope.spawn(move || {
                    for _ in 0..40 {
                        client.send([b'x'; 1_000]);
                        thread::sleep(Duration::from_millis(200));
                    }
                    client.expect("SEND OK\n");
                })
            })
            .collect();
        for address in 1..=20 {
            let (ended, buffer) = (&ended, &buffer);
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let mut client = guesses::from(Ipv4Addr::new(127, 0, 1, address), buffer.address());
                    client.send("S");
                    let mut is_open = true;
                    while is_open && !ended.load(Ordering::Relaxed) {
                        is_open = !client.receive(1, Duration::from_millis(100)).1;
                    }
                }
            });
        }
        for thread in honest {
            thread.join().unwrap();
        }
    });
}
