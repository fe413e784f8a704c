//! Connections relayed to another Tentacle server (`-b`).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tentacle_sync::testing::fake_server::{FakeServer, Setup};

use crate::daemon::wait_until;
use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::stock::start_stock;
use crate::support::{Certificates, Client, LOOPBACK, SETTLE, TIMEOUT, peak_memory, scratch};

fn to(upstream: SocketAddr) -> Options {
    Options::default().arg("-b").arg(upstream.ip().to_string()).arg("-g").arg(upstream.port().to_string())
}

fn relay(upstream: SocketAddr) -> Buffer {
    Buffer::with(to(upstream), "idle_timeout 10s\n")
}

/// All that a client does with a server.
fn use_it(client: &mut Client) {
    client.store("a.1.data", "body");
    assert_eq!(client.take("RECV", "a.1.data"), b"body");
    assert!(client.names("").contains("a.1.data"));
    assert_eq!(client.take("MV", "a.1.data"), b"body");
    client.ask("RECV <a.1.data>", "RECV ERR (file does not exist)");
    client.send("QUIT\n");
    client.expect_closed();
}

#[test]
fn it_relays_to_our_server() {
    let upstream = Buffer::start("idle_timeout 10s\n");
    use_it(&mut relay(upstream.address()).connect());
}

#[test]
fn it_relays_to_a_server_that_behaves_like_stock() {
    let upstream = FakeServer::start(Setup::default()).unwrap();
    use_it(&mut relay(upstream.address()).connect());
}

#[test]
fn it_relays_to_a_stock_server() {
    let storage = scratch();
    let Some(upstream) = start_stock(&Options::usual(), storage.path()) else { return };
    use_it(&mut relay(upstream.address()).connect());
}

#[test]
fn it_takes_tls_off() {
    let certificates = Certificates::new();
    let upstream = Buffer::start("idle_timeout 10s\n");
    let relay = Buffer::with(to(upstream.address()).tls(&certificates), "idle_timeout 10s\n");
    use_it(&mut Client::connect_tls(relay.address(), certificates.client_config(false)).unwrap());
    let options = to(upstream.address()).tls(&certificates).client_certificate(&certificates);
    let relay = Buffer::with(options, "idle_timeout 10s\n");
    use_it(&mut Client::connect_tls(relay.address(), certificates.client_config(true)).unwrap());
    if let Ok(mut client) = Client::connect_tls(relay.address(), certificates.client_config(false)) {
        client.expect_closed();
    }
}

#[test]
fn it_puts_tls_on() {
    let certificates = Certificates::new();
    let options = Options::usual().tls(&certificates).client_certificate(&certificates);
    let upstream = Buffer::with(options, "idle_timeout 10s\n");
    let keys = format!(
        "idle_timeout 10s\nupstream_ssl 1\nupstream_ssl_ca {}\nupstream_ssl_verify chain+name\nupstream_ssl_cert {}\n\
         upstream_ssl_key {}\n",
        certificates.path("ca.pem").to_string_lossy(),
        certificates.path("client.pem").to_string_lossy(),
        certificates.path("client.key").to_string_lossy()
    );
    use_it(&mut Buffer::with(to(upstream.address()), &keys).connect());
    let both = Buffer::with(to(upstream.address()).tls(&certificates), &keys);
    use_it(&mut Client::connect_tls(both.address(), certificates.client_config(false)).unwrap());
}

#[test]
fn an_upstream_whose_certificate_is_not_vouched_for_gets_nothing() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let upstream = Buffer::with(Options::usual().tls(&certificates), "");
    let keys = format!("upstream_ssl 1\nupstream_ssl_ca {}\n", others.path("ca.pem").to_string_lossy());
    let relay = Buffer::with(to(upstream.address()), &keys);
    let mut client = relay.connect();
    client.send("SEND <a.1.data> SIZE 1\n");
    client.expect_closed();
    relay.wait_for_line(&["reason=upstream", "certificate"]);
}

/// A relay, a client of it, and the other end of its connection.
fn pair() -> (Buffer, TcpStream, TcpStream) {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let relay = relay(listener.local_addr().unwrap());
    // The first connection was there to see whether the relay is.
    let mut client = relay.connect().into_socket();
    client.write_all(b"client").unwrap();
    loop {
        let (mut upstream, _) = listener.accept().unwrap();
        upstream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut greeting = [0; 6];
        match upstream.read_exact(&mut greeting) {
            Ok(()) => return (relay, client, upstream),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)),
        }
    }
}

#[test]
fn each_direction_ends_on_its_own() {
    let (_relay, mut client, mut upstream) = pair();
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    upstream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"last words");
    upstream.write_all(b"an answer").unwrap();
    drop(upstream);
    heard.clear();
    client.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"an answer");

    let (_relay, mut client, mut upstream) = pair();
    upstream.write_all(b"goodbye").unwrap();
    upstream.shutdown(Shutdown::Write).unwrap();
    heard.clear();
    client.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"goodbye");
    client.write_all(b"still here").unwrap();
    drop(client);
    heard.clear();
    upstream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"still here");
}

/// Writes until the other side takes no more for a while; how much that was.
fn write_until_blocked(sender: &mut TcpStream) -> usize {
    sender.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let block: Vec<u8> = (0..250).cycle().take(250_000).collect();
    let mut sent = 0;
    loop {
        match sender.write(&block[sent % 250..]) {
            Ok(count) => sent += count,
            Err(_) => return sent,
        }
        assert!(sent < 1 << 30, "somebody buffers all of it");
    }
}

#[test]
fn who_does_not_take_bytes_is_not_sent_for_more() {
    for from_client in [true, false] {
        let (mut relay, client, upstream) = pair();
        let (mut sender, mut receiver) = if from_client { (client, upstream) } else { (upstream, client) };
        let before = peak_memory(relay.process().id());
        let sent = write_until_blocked(&mut sender);
        let grown = peak_memory(relay.process().id()).saturating_sub(before);
        assert!(grown < 1024, "{grown} KiB more for {sent} bytes");
        let reader = thread::spawn(move || {
            let mut heard = Vec::new();
            receiver.read_to_end(&mut heard).unwrap();
            heard
        });
        sender.shutdown(Shutdown::Write).unwrap();
        let heard = reader.join().unwrap();
        assert_eq!(heard.len(), sent);
        assert!(heard.iter().enumerate().all(|(place, &byte)| usize::from(byte) == place % 250));
    }
}

#[test]
fn an_upstream_that_refuses_ends_the_connection_with_one_reason() {
    let unused = TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap();
    let relay = relay(unused);
    for _ in 0..3 {
        let mut client = relay.connect();
        client.send("QUIT\n");
        client.expect_closed();
    }
    relay.wait_for_line(&["client=127.0.0.1 reason=upstream", &unused.to_string()]);
    assert_eq!(
        relay.log().lines().filter(|line| line.contains("WARN") && line.contains("reason=")).count(),
        1,
        "{}",
        relay.log()
    );
}

#[test]
fn an_upstream_that_says_nothing_is_not_waited_for_forever() {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let upstream = listener.local_addr().unwrap();
    let silent = Buffer::with(to(upstream), "idle_timeout 400ms\n");
    let mut client = silent.connect();
    client.send("RECV <a>\n");
    client.expect_closed();
    silent.wait_for_line(&["client=127.0.0.1 reason=timeout"]);
    let by_tls = Buffer::with(to(upstream), "idle_timeout 400ms\nupstream_ssl 1\nupstream_ssl_verify none\n");
    by_tls.connect().expect_closed();
    by_tls.wait_for_line(&["client=127.0.0.1 reason=upstream"]);
}

#[test]
fn a_client_that_breaks_off_does_not_look_like_one_that_has_ended() {
    let (_relay, client, mut upstream) = pair();
    Client::Plain(client).reset();
    let outcome = upstream.read(&mut [0]);
    assert!(outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{outcome:?}");
}

#[test]
fn a_relay_that_dies_does_not_look_like_a_client_that_has_ended() {
    let (mut relay, _client, mut upstream) = pair();
    relay.kill();
    let outcome = upstream.read(&mut [0]);
    assert!(outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{outcome:?}");
}

#[test]
fn tls_cut_by_whomever_does_not_look_like_an_end() {
    let certificates = Certificates::new();
    let upstream = Buffer::start("idle_timeout 10s\n");
    let relay = Buffer::with(to(upstream.address()).tls(&certificates), "idle_timeout 10s\n");
    for (name, is_cut) in [("kept.1.data", true), ("gone.1.data", false)] {
        upstream.put(name, "body");
        let mut client = Client::connect_tls(relay.address(), certificates.client_config(false)).unwrap();
        assert_eq!(client.take("MV", name), b"body");
        if is_cut {
            client.end_direction();
        } else {
            client.close();
        }
        wait_until("the end of it", || upstream.log().contains(&format!("gave={name}")).then_some(()));
    }
    wait_until("the second to go", || (!upstream.holds("gone.1.data")).then_some(()));
    assert!(upstream.holds("kept.1.data"));
}

#[test]
fn files_moved_through_a_relay_by_clients_that_break_off_are_kept() {
    let upstream = Buffer::start("idle_timeout 10s\n");
    let names: Vec<String> = (0..200).map(|number| format!("web{number}.1.data")).collect();
    for name in &names {
        upstream.put(name, format!("body of {name}"));
    }
    let before = upstream.files();
    let relay = relay(upstream.address());
    for (number, name) in names.iter().enumerate() {
        let mut client = relay.connect();
        let size = client.announced("MV", name);
        client.send("MV OK\n");
        client.receive(size.min(number % 3 * 7), SETTLE);
        client.reset();
    }
    thread::sleep(SETTLE);
    relay.connect().take("LS", "");
    assert_eq!(upstream.files().len(), before.len());
    assert!(upstream.files() == before);
}

#[test]
fn large_files_moved_through_a_relay_are_kept_at_whatever_place_the_client_breaks_off() {
    const LARGE: usize = 4 << 20;
    let upstream = Buffer::start("idle_timeout 10s\n");
    upstream.put("large.1.data", vec![b'x'; LARGE]);
    let relay = relay(upstream.address());
    for eighths in 0..=8 {
        let mut client = relay.connect();
        client.announced("MV", "large.1.data");
        client.send("MV OK\n");
        let (heard, _) = client.receive(LARGE / 8 * eighths, TIMEOUT);
        assert_eq!(heard.len(), LARGE / 8 * eighths);
        if eighths < 8 { client.close() } else { client.reset() }
    }
    thread::sleep(SETTLE);
    assert_eq!(relay.connect().take("RECV", "large.1.data").len(), LARGE);
    let mut client = relay.connect();
    assert_eq!(client.take("MV", "large.1.data").len(), LARGE);
    client.close();
    wait_until("the file to go", || (!upstream.holds("large.1.data")).then_some(()));
}

#[test]
fn told_to_stop_a_relay_lets_what_is_under_way_come_to_its_end() {
    let upstream = Buffer::start("idle_timeout 10s\n");
    let mut relay = relay(upstream.address());
    let mut client = relay.connect();
    client.ask("SEND <a.1.data> SIZE 6", "SEND OK");
    client.send("abc");
    relay.process().signal(rustix::process::Signal::TERM);
    client.expect_silence();
    client.send("def");
    client.expect("SEND OK\n");
    client.close();
    assert_eq!(relay.process().wait(), Some(0));
    assert_eq!(upstream.files().len(), 1);
}

#[test]
fn many_clients_are_relayed_at_once() {
    let upstream = Buffer::start("max_connections 100\nidle_timeout 10s\n");
    let relay = Buffer::with(to(upstream.address()), "max_connections 100\nidle_timeout 10s\n");
    let address = relay.address();
    let clients: Vec<_> = (0..40)
        .map(|client| {
            thread::spawn(move || {
                let mut connection = Client::connect(address);
                for number in 0..5 {
                    connection.store(&format!("c{client}-{number}.1.data"), "x".repeat(client * 1_000 + 1));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(upstream.files().len(), 200);
}
