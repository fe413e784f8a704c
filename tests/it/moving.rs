//! A file that is moved is gone only once its client has it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::daemon::wait_until;
use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::support::{Certificates, Client, TIMEOUT};

const NAME: &str = "web01.1700000000.data";

/// Larger than what the kernel takes at once, for a client that does not read.
const LARGE: usize = 16 << 20;

/// A server, and how to reach it.
struct Fixture {
    buffer: Buffer,
    tls: Option<Arc<ClientConfig>>,
    _certificates: Certificates,
}

impl Fixture {
    fn new(by_tls: bool) -> Self {
        let certificates = Certificates::new();
        let options = if by_tls { Options::usual().tls(&certificates) } else { Options::usual() };
        let tls = by_tls.then(|| certificates.client_config(false));
        Self { buffer: Buffer::with(options, "idle_timeout 15s\n"), tls, _certificates: certificates }
    }

    fn connect(&self) -> Client {
        connect(self.buffer.address(), self.tls.as_ref())
    }

    /// A client to whom `NAME` has been promised, and the file's size.
    fn promised(&self, body: &[u8]) -> Client {
        self.buffer.put(NAME, body);
        let mut client = self.connect();
        assert_eq!(client.announced("MV", NAME), body.len());
        client.send("MV OK\n");
        client
    }

    #[track_caller]
    fn assert_goes(&self) {
        wait_until("the file to go", || (!self.buffer.holds(NAME)).then_some(()));
    }

    /// Fails unless the file is there when the server has seen that its client is gone.
    #[track_caller]
    fn assert_stays(&self, body: &[u8]) {
        self.buffer.wait_for_line(&["client=127.0.0.1 reason="]);
        let mut other = self.connect();
        assert!(other.names("").contains(NAME));
        assert!(other.take("RECV", NAME) == body);
        assert!(self.buffer.holds(NAME));
    }
}

fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Client {
    match tls {
        None => Client::connect(address),
        Some(config) => Client::connect_tls(address, Arc::clone(config)).unwrap(),
    }
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|number| u8::try_from(number % 251).unwrap()).collect()
}

/// A sync server without a plan: it lists, and moves; each time something breaks right after `MV OK`.
fn moves_and_breaks_every_time(by_tls: bool, files: usize) {
    let fixture = Fixture::new(by_tls);
    for number in 0..files {
        fixture.buffer.put(&format!("web{number:04}.1700000000.data"), format!("body {number}\n"));
    }
    let before = fixture.buffer.files();
    for name in fixture.connect().names("") {
        let mut client = fixture.connect();
        client.announced("MV", &name);
        client.send("MV OK\n");
        client.reset();
    }
    // By then, all resets have been seen.
    fixture.connect().take("LS", "");
    assert_eq!(fixture.buffer.files(), before);
}

#[test]
fn a_thousand_files_moved_by_clients_that_break_off_at_once_are_all_kept() {
    moves_and_breaks_every_time(false, 1_000);
}

#[test]
fn so_are_those_of_clients_under_tls() {
    moves_and_breaks_every_time(true, 200);
}

#[test]
fn a_file_of_which_half_was_read_stays() {
    for by_tls in [false, true] {
        let (fixture, body) = (Fixture::new(by_tls), large());
        let mut client = fixture.promised(&body);
        assert_eq!(client.receive(LARGE / 2, TIMEOUT).0.len(), LARGE / 2);
        client.reset();
        fixture.assert_stays(&body);
    }
}

#[test]
fn a_file_stays_for_a_client_that_closes_before_its_end() {
    let (fixture, body) = (Fixture::new(false), large());
    let mut client = fixture.promised(&body);
    assert_eq!(client.receive(LARGE / 2, TIMEOUT).0.len(), LARGE / 2);
    client.close();
    fixture.assert_stays(&body);
}

#[test]
fn a_small_file_stays_for_a_client_that_closes_without_reading_it() {
    let fixture = Fixture::new(false);
    let client = fixture.promised(b"small");
    client.close();
    fixture.assert_stays(b"small");
}

#[test]
fn a_client_that_read_it_all_and_closes_has_it() {
    for by_tls in [false, true] {
        let fixture = Fixture::new(by_tls);
        let mut client = fixture.promised(b"body");
        client.expect("body");
        client.close();
        fixture.assert_goes();
    }
}

#[test]
fn the_next_command_shows_that_the_client_has_it() {
    for by_tls in [false, true] {
        let fixture = Fixture::new(by_tls);
        let mut client = fixture.promised(b"body");
        client.expect("body");
        client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
        assert_eq!(fixture.connect().names(""), [].into());
        fixture.assert_goes();
    }
}

#[test]
fn a_tls_connection_cut_by_whomever_shows_nothing() {
    let fixture = Fixture::new(true);
    let mut client = fixture.promised(b"body");
    client.expect("body");
    client.end_direction();
    fixture.assert_stays(b"body");
}

#[test]
fn a_client_that_read_it_all_and_breaks_off_may_find_it_again() {
    for by_tls in [false, true] {
        let fixture = Fixture::new(by_tls);
        let mut client = fixture.promised(b"body");
        client.expect("body");
        client.reset();
        fixture.assert_stays(b"body");
    }
}

#[test]
fn commands_sent_ahead_show_nothing_until_one_comes_after_the_body() {
    for by_tls in [false, true] {
        let fixture = Fixture::new(by_tls);
        fixture.buffer.put("a", "1");
        fixture.buffer.put("b", "2");
        let mut client = fixture.connect();
        client.send("MV <a>\nMV OK\nMV <b>\nMV OK\nRECV <x>\n");
        client.expect("MV SIZE 1\n1MV SIZE 1\n2RECV ERR (file does not exist)\n");
        client.expect_silence();
        assert!(fixture.buffer.holds("a") && fixture.buffer.holds("b"));
        client.ask("RECV <y>", "RECV ERR (file does not exist)");
        wait_until("both to go", || (!fixture.buffer.holds("a") && !fixture.buffer.holds("b")).then_some(()));
    }
}

#[test]
fn commands_sent_ahead_of_a_break_lose_nothing() {
    let fixture = Fixture::new(false);
    let names: Vec<String> = (0..500).map(|number| format!("web{number}.1.data")).collect();
    for name in &names {
        fixture.buffer.put(name, name);
    }
    let before = fixture.buffer.files();
    for _ in 0..5 {
        let mut client = fixture.connect();
        let commands: Vec<String> = names.iter().map(|name| format!("MV <{name}>\nMV OK\n")).collect();
        client.send(commands.concat());
        client.receive(1_000, TIMEOUT);
        client.reset();
    }
    fixture.connect().take("LS", "");
    assert_eq!(fixture.buffer.files(), before);
}

#[test]
fn a_newer_file_of_the_name_stays() {
    for by_tls in [false, true] {
        let fixture = Fixture::new(by_tls);
        let mut client = fixture.promised(b"older");
        client.expect("older");
        fixture.connect().store(NAME, "newer");
        client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
        client.close();
        let mut other = fixture.connect();
        assert_eq!(other.take("RECV", NAME), b"newer");
        other.send("QUIT\n");
        other.expect_closed();
        assert_eq!(fixture.buffer.files().len(), 1);
    }
}

#[test]
fn a_file_replaced_while_it_is_sent_arrives_as_it_was() {
    let (fixture, body) = (Fixture::new(false), large());
    let mut client = fixture.promised(&body);
    let (first, _) = client.receive(1_000, TIMEOUT);
    fixture.connect().store(NAME, "newer");
    let (rest, _) = client.receive(LARGE - 1_000, TIMEOUT);
    assert!([first, rest].concat() == body);
    client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
    assert_eq!(fixture.connect().take("RECV", NAME), b"newer");
}

#[test]
fn once_it_is_gone_nobody_sees_it() {
    let fixture = Fixture::new(false);
    let mut other = fixture.connect();
    for number in 0..200 {
        let body = format!("body {number}");
        let mut client = fixture.promised(body.as_bytes());
        client.expect(&body);
        client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
        other.ask(&format!("RECV <{NAME}>"), "RECV ERR (file does not exist)");
        other.ask(&format!("MV <{NAME}>"), "MV ERR");
        assert_eq!(other.names(""), [].into());
        other.store(NAME, "another");
    }
}

#[test]
fn a_file_is_moved_to_one_client_at_a_time() {
    let fixture = Fixture::new(false);
    let mut one = fixture.promised(b"body");
    let mut other = fixture.connect();
    // Whoever has it does not show that; the other is not kept waiting for long.
    other.ask(&format!("MV <{NAME}>"), "MV ERR");
    assert_eq!(other.take("RECV", NAME), b"body", "it is there for everybody until it goes");
    one.expect("body");
    other.send(format!("MV <{NAME}>\n"));
    one.ask("RECV <nothing>", "RECV ERR (file does not exist)");
    other.expect("MV ERR\n");
    fixture.assert_goes();
}

#[test]
fn a_file_whose_mover_leaves_is_moved_to_the_next() {
    let fixture = Fixture::new(false);
    let mut one = fixture.promised(b"body");
    one.expect("body");
    let mut other = fixture.connect();
    other.send(format!("MV <{NAME}>\n"));
    one.reset();
    other.expect("MV SIZE 4\n");
    other.send("MV OK\n");
    other.expect("body");
    other.ask("RECV <nothing>", "RECV ERR (file does not exist)");
    fixture.assert_goes();
}

#[test]
fn an_empty_file_is_moved() {
    for by_tls in [false, true] {
        let fixture = Fixture::new(by_tls);
        let mut client = fixture.promised(b"");
        client.ask("RECV <nothing>", "RECV ERR (file does not exist)");
        fixture.assert_goes();
    }
}
