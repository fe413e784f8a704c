//! The fake server itself: its limits, its TLS, its faults.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tentacle_sync::testing::fake_server::{
    AgentFiles, FakeServer, Fault, FaultRule, Setup, StockClients, Storage, Verb, WritePattern, WrongSize, stock_tls,
};

use crate::support::{Certificates, Client, LOOPBACK, SETTLE, TIMEOUT, scratch};

/// With one file, `a`, of ten bytes in two lines.
fn start(setup: Setup) -> FakeServer {
    let fake = FakeServer::start(setup).unwrap();
    fake.put("a", b"1234\n6789\n").unwrap();
    fake
}

fn misbehaving(faults: FaultRule) -> (FakeServer, Client) {
    let fake = start(Setup { faults: vec![faults], ..Setup::default() });
    let client = Client::connect(fake.address());
    (fake, client)
}

fn holds_a(fake: &FakeServer) -> bool {
    fake.files().unwrap().contains_key(Path::new("a"))
}

fn encrypted(certificates: &Certificates, clients: StockClients<'_>, faults: Vec<FaultRule>) -> FakeServer {
    let tls = Some(stock_tls(&certificates.server, clients).unwrap());
    start(Setup { tls, faults, ..Setup::default() })
}

#[test]
fn it_counts_and_logs_what_it_sees() {
    let fake = start(Setup::default());
    let mut client = Client::connect(fake.address());
    client.ask("RECV <nope>", "RECV ERR (file does not exist)");
    client.ask("RECV <?>", "RECV ERR (file has an invalid file name)");
    assert_eq!(fake.tally().count(Verb::Recv), 2);
    assert_eq!((fake.tally().accepted, fake.tally().open), (1, 1));
    let log = fake.log();
    assert_eq!((log[0].connection, log[0].verb, log[0].name.as_str()), (1, Verb::Recv, "nope"));
    client.send("QUIT\n");
    client.expect_closed();
    assert!(fake.wait_for(TIMEOUT, |tally| tally.open == 0));
    assert!(!fake.wait_for(Duration::from_millis(1), |tally| tally.accepted > 1));
}

#[test]
fn the_eleventh_connection_waits_for_a_place() {
    let fake = start(Setup { max_connections: 10, ..Setup::default() });
    let mut seated: Vec<Client> = (0..10).map(|_| Client::connect(fake.address())).collect();
    for client in &mut seated {
        client.ask("RECV <a>", "RECV SIZE 10");
    }
    let mut waiting = Client::connect(fake.address());
    waiting.send("RECV <a>\n");
    waiting.expect_silence();
    seated.pop();
    waiting.expect("RECV SIZE 10\n");
}

#[test]
fn a_moved_file_is_gone_before_the_client_reads_it() {
    for write in [WritePattern::Stock, WritePattern::Whole] {
        let fake = start(Setup { write, ..Setup::default() });
        let mut client = Client::connect(fake.address());
        client.ask("MV <a>", "MV SIZE 10");
        client.send("MV OK\n");
        let gone = (0..300).any(|_| {
            thread::sleep(SETTLE);
            !holds_a(&fake)
        });
        assert!(gone);
    }
}

#[test]
fn a_directory_is_served_as_memory_is() {
    let storage = scratch();
    let fleet = AgentFiles { prefix: "site".into(), agents: 2, seed: 9 };
    let fake = FakeServer::start(Setup { storage: Storage::Directory(storage.path().to_owned()), ..Setup::default() })
        .unwrap();
    for (name, body) in fleet.files(3) {
        fake.put(&name, &body).unwrap();
        assert_eq!(fs::read(storage.path().join(name)).unwrap(), body);
    }
    assert_eq!(fake.files().unwrap(), fleet.files(3).map(|(name, body)| (name.into(), body)).collect());
}

#[test]
fn a_hundred_thousand_names_are_listed() {
    let fake = FakeServer::start(Setup::default()).unwrap();
    for number in 0..100_000 {
        fake.put(format!("agent.{number:08}.data"), b"x").unwrap();
    }
    let directories = ".\n..\ncollections\nconf\nmd5\n".len();
    let size = 100_000 * "agent.00000000.data\n".len() + directories;
    let mut client = Client::connect(fake.address());
    client.ask("LS <>", &format!("LS SIZE {size}"));
    client.send("LS OK\n");
    assert_eq!(client.receive(size, TIMEOUT).0.len(), size);
}

#[test]
fn it_stops_at_once_whatever_it_is_doing() {
    let certificates = Certificates::new();
    let long = Duration::from_secs(3_600);
    let at_recv = |trick: Fault| Setup { faults: vec![trick.at(Verb::Recv)], idle: long, ..Setup::default() };
    let mut setups = vec![
        Setup { idle: long, ..Setup::default() },
        Setup { max_connections: 1, idle: long, ..Setup::default() },
        Setup { faults: vec![Fault::HangAfterAccept.always()], ..Setup::default() },
        at_recv(Fault::Hang),
        at_recv(Fault::Slow(long)),
        at_recv(Fault::StallBody { after: 1 }),
        at_recv(Fault::DripBody { bytes: 1, every: long }),
    ];
    let tls = Some(stock_tls(&certificates.server, StockClients::Anyone).unwrap());
    setups.push(Setup { tls, faults: vec![Fault::HangInTls.always()], idle: long, ..Setup::default() });
    for setup in setups {
        let fake = start(setup);
        let address = fake.address();
        let mut clients = [Client::connect(address), Client::connect(address)];
        for client in &mut clients {
            client.send("RECV <a>\n");
            client.receive(usize::MAX, Duration::from_millis(20));
            client.send("RECV OK\n");
            client.receive(usize::MAX, Duration::from_millis(20));
        }
        drop(fake);
        assert!(clients.iter_mut().all(|client| client.receive(usize::MAX, TIMEOUT).1));
    }
}

#[test]
fn mischief_passes_when_its_occasions_are_over() {
    let (fake, mut client) = misbehaving(Fault::Close.at(Verb::Recv).after(1).once());
    client.ask("RECV <nope>", "RECV ERR (file does not exist)");
    client.send("RECV <nope>\n");
    client.expect_closed();
    let mut client = Client::connect(fake.address());
    client.ask("RECV <nope>", "RECV ERR (file does not exist)");
    fake.set_mischief(vec![Fault::Refuse.at(Verb::Ls)]);
    client.ask("LS <>", "LS ERR");
    client.ask("LS <>", "LS ERR");
}

#[test]
fn answers_can_be_withheld_replaced_or_late() {
    let (_double, mut client) = misbehaving(Fault::HangAfterAccept.always());
    client.send("LS <>\n");
    client.expect_silence();
    let (_double, mut client) = misbehaving(Fault::Hang.at(Verb::Ls));
    client.send("LS <>\n");
    client.expect_silence();
    let (_double, mut client) = misbehaving(Fault::Reset.at(Verb::Ls));
    client.send("LS <>\n");
    client.expect_closed();
    let (_double, mut client) = misbehaving(Fault::Garbage(3_000).at(Verb::Ls));
    client.send("LS <>\n");
    assert_eq!(client.receive(3_000, TIMEOUT).0.len(), 3_000);
    let (_double, mut client) = misbehaving(Fault::Slow(Duration::from_millis(5)).at(Verb::Ls));
    client.send("LS <>\n");
    client.expect("LS SIZE");
    let (_double, mut client) = misbehaving(Fault::CloseAfter.at(Verb::Recv));
    client.ask("RECV <nope>", "RECV ERR (file does not exist)");
    client.expect_closed();
}

#[test]
fn sizes_can_be_lies() {
    for (lie, announced) in [
        (WrongSize::Over(2), "MV SIZE 12"),
        (WrongSize::Under(4), "MV SIZE 6"),
        (WrongSize::Literally("9223372036854775808"), "MV SIZE 9223372036854775808"),
        (WrongSize::Literally("many"), "MV SIZE many"),
    ] {
        let (_double, mut client) = misbehaving(Fault::WrongSize(lie).at(Verb::Mv));
        client.ask("MV <a>", announced);
        client.send("MV OK\n");
        client.expect("1234\n6789\n");
        client.expect_silence();
    }
}

#[test]
fn a_file_can_change_or_vanish_after_its_size_was_told() {
    let (_double, mut client) = misbehaving(Fault::OverwriteBetween(b"other".to_vec()).at(Verb::Mv));
    client.ask("MV <a>", "MV SIZE 10");
    client.send("MV OK\n");
    client.expect("other");
    let (_double, mut client) = misbehaving(Fault::VanishBetween.at(Verb::Recv));
    client.ask("RECV <a>", "RECV SIZE 10");
    client.send("RECV OK\n");
    client.expect_closed();
}

#[test]
fn a_body_that_breaks_off_leaves_the_file() {
    let begin = |trick: Fault| {
        let (fake, mut client) = misbehaving(trick.at(Verb::Mv));
        client.ask("MV <a>", "MV SIZE 10");
        client.send("MV OK\n");
        (fake, client)
    };
    for trick in [Fault::StallBody { after: 3 }, Fault::DripBody { bytes: 3, every: Duration::from_secs(3_600) }] {
        let (fake, mut client) = begin(trick);
        client.expect("123");
        client.expect_silence();
        assert!(holds_a(&fake));
    }
    let (fake, mut client) = begin(Fault::CutBody { after: 3 });
    client.expect("123");
    client.expect_closed();
    assert!(holds_a(&fake));
    // A reset may overtake what was sent before it.
    let (fake, mut client) = begin(Fault::ResetBody { after: 3 });
    assert!(client.receive(4, TIMEOUT).1);
    assert!(holds_a(&fake));
}

#[test]
fn a_dripped_body_arrives_whole() {
    let (_double, mut client) =
        misbehaving(Fault::DripBody { bytes: 3, every: Duration::from_millis(2) }.at(Verb::Recv));
    client.ask("RECV <a>", "RECV SIZE 10");
    client.send("RECV OK\n");
    client.expect("1234\n6789\n");
    client.ask("RECV <a>", "RECV SIZE 10");
}

#[test]
fn under_tls_a_record_is_a_read() {
    let certificates = Certificates::new();
    let fake = encrypted(&certificates, StockClients::Anyone, Vec::new());
    let connect = || Client::connect_tls(fake.address(), certificates.client_config(false)).unwrap();
    let mut client = connect();
    // Three records, sent before the first answer.
    client.send("RECV <a>\n");
    client.send("RECV OK\n");
    client.send("MV <nope>\n");
    client.expect("RECV SIZE 10\n1234\n6789\nMV ERR\n");
    client.send("MV <nope>\nMV <nope>\n");
    client.expect_closed();
    assert_eq!((fake.tally().handshakes, fake.tally().client_certificates), (1, 0));
    // A record larger than one read of its plaintext is still read to its end.
    let mut client = connect();
    client.ask("SEND <b> SIZE 5", "SEND OK");
    client.send("12345MV <nope>\n");
    client.expect("SEND OK\nMV ERR\n");
}

#[test]
fn certificates_are_demanded_as_stock_demands_them() {
    let certificates = Certificates::new();
    let handshake = |fake: &FakeServer, with_certificate: bool| {
        let config = certificates.client_config(with_certificate);
        let Ok(mut client) = Client::connect_tls(fake.address(), config) else { return false };
        client.send("MV <nope>\n");
        client.receive(7, TIMEOUT).0 == b"MV ERR\n"
    };
    let asking = encrypted(&certificates, StockClients::AnyoneOrWellKnown, Vec::new());
    assert!(handshake(&asking, false));
    assert!(!handshake(&asking, true));
    let demanding = encrypted(&certificates, StockClients::SignedBy(&certificates.authority), Vec::new());
    assert!(!handshake(&demanding, false));
    assert!(handshake(&demanding, true));
    assert_eq!(demanding.tally().client_certificates, 1);
}

#[test]
fn plain_can_be_spoken_where_tls_is_expected() {
    let certificates = Certificates::new();
    let fake = encrypted(&certificates, StockClients::Anyone, vec![Fault::PlainWhereTls.always().once()]);
    Client::connect(fake.address()).ask("MV <nope>", "MV ERR");
    let mut client = Client::connect_tls(fake.address(), certificates.client_config(false)).unwrap();
    client.ask("MV <nope>", "MV ERR");
}

#[test]
fn a_handshake_can_stop_half_way() {
    let certificates = Certificates::new();
    let fake = encrypted(&certificates, StockClients::Anyone, vec![Fault::HangInTls.always()]);
    let mut tls =
        ClientConnection::new(certificates.client_config(false), ServerName::IpAddress(LOOPBACK.into())).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let mut client = Client::connect(fake.address());
    client.send(hello);
    assert!(!client.receive(1, TIMEOUT).0.is_empty());
    let (_, closed) = client.receive(usize::MAX, SETTLE);
    assert!(!closed);
    assert_eq!(fake.tally().handshakes, 0);
}

#[test]
fn an_expired_certificate_is_refused_by_a_client_that_looks() {
    let certificates = Certificates::new();
    let expired = certificates.authority.expired_server(LOOPBACK).unwrap();
    let tls = Some(stock_tls(&expired, StockClients::Anyone).unwrap());
    let fake = start(Setup { tls, ..Setup::default() });
    let Err(error) = Client::connect_tls(fake.address(), certificates.client_config(false)) else {
        panic!("an expired certificate was taken");
    };
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(fake.tally().handshakes, 0);
}
