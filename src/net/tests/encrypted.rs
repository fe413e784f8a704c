use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::exchange::{file, send, transferred};
use super::{Server, listener_config};
use crate::net::{ConnId, Event, Failure, FileSent, ListenerConfig, Phase, Read, Target};
use crate::tls::test_pki::{Authority, Identity};
use crate::tls::{
    Acceptor, AcceptorSettings, ClientAuth, ClientCertPolicy, ClientFailure, ClientPreface, Connector,
    IdentitySettings, Sha256, StreamError, Suites, TlsFailure, TlsSettings, UnixTime, Verify, Versions,
};

/// An authority, and the files of what it issued.
struct Pki {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        Self { authority: Authority::new("CA").unwrap(), directory: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    fn ca(&self) -> PathBuf {
        self.file("ca.pem", &self.authority.certificate_pem())
    }

    fn identity(&self, identity: &Identity) -> IdentitySettings {
        let cert = self.file("cert.pem", &identity.certificate_pem);
        IdentitySettings { cert, key: self.file("key.pem", &identity.key_pem), passphrase: None }
    }

    fn acceptor(&self, clients: ClientAuth) -> Acceptor {
        let identity = self.identity(&self.authority.server([127, 0, 0, 1].into()).unwrap());
        let settings = AcceptorSettings { identity, clients, versions: Versions::Both, suites: Suites::default() };
        Acceptor::new(&settings, UnixTime::now()).unwrap()
    }

    fn target(&self, server: &Server, identity: Option<&Identity>) -> Arc<Target> {
        let identity = identity.map(|identity| self.identity(identity));
        let settings = TlsSettings {
            ca: Some(self.ca()),
            identity,
            verify: Verify::ChainAndName,
            offer: ClientCertPolicy::Always,
        };
        Arc::new(Target {
            host: "127.0.0.1".into(),
            port: server.address.port(),
            local: None,
            proxy: None,
            tls: Some(Connector::new(&settings, UnixTime::now()).unwrap()),
            timeout: Duration::from_secs(10),
            quick_ack: true,
        })
    }
}

/// A client's and a server's connection, both of one loop.
fn pair(server: &mut Server, target: Arc<Target>) -> (ConnId, ConnId) {
    let client = server.net.open(target, true);
    let mut opened = None;
    let mut accepted = None;
    server.until(|_, events| {
        for event in events {
            match event {
                Event::Opened(id) if id == client => opened = Some(id),
                Event::Opened(id) => accepted = Some(id),
                Event::Failed(_, failure) => panic!("{failure}"),
                _ => {}
            }
        }
        opened.zip(accepted)
    })
}

pub(super) fn encrypted() -> (Server, ConnId, ConnId) {
    let pki = Pki::new();
    let mut server = Server::new(listener_config(Some(pki.acceptor(ClientAuth::NotAsked))));
    let target = pki.target(&server, None);
    let (client, accepted) = pair(&mut server, target);
    (server, client, accepted)
}

fn failure(server: &mut Server, wanted: impl Fn(ConnId) -> bool) -> Failure {
    server.until(|_, events| {
        events.into_iter().find_map(|event| match event {
            Event::Failed(id, failure) if wanted(id) => Some(failure),
            _ => None,
        })
    })
}

#[test]
fn a_client_is_described_by_its_certificate() {
    let pki = Pki::new();
    let mut server = Server::new(listener_config(Some(pki.acceptor(ClientAuth::Required { ca: pki.ca() }))));
    let identity = pki.authority.client("plant-7").unwrap();
    let target = pki.target(&server, Some(&identity));
    for _ in 0..2 {
        let (client, accepted) = pair(&mut server, Arc::clone(&target));
        let peer = server.io(accepted).peer().unwrap();
        assert!(!peer.resumed, "its certificate is verified each time");
        let certificate = peer.certificate.unwrap();
        assert_eq!(certificate.names, ["plant-7"]);
        let der = rustls_pemfile::certs(&mut identity.certificate_pem.as_bytes()).next().unwrap().unwrap();
        assert_eq!(certificate.sha256, Sha256::of(&der));
        let shown = server.io(client).peer().unwrap().certificate.unwrap();
        assert_eq!(shown.names, ["127.0.0.1"], "once, though it is the common name as well");
        // A ticket comes with the first bytes.
        assert!(server.io(accepted).write(b"x").unwrap() > 0);
        assert_eq!(server.read(client), Ok(b"x".to_vec()));
        server.net.abort(client);
        server.net.abort(accepted);
    }
}

#[test]
fn a_client_without_the_required_certificate_is_refused_and_both_ends_say_why() {
    let pki = Pki::new();
    let mut server = Server::new(listener_config(Some(pki.acceptor(ClientAuth::Required { ca: pki.ca() }))));
    let target = pki.target(&server, None);
    let client = server.net.open(target, true);
    let failed = failure(&mut server, |id| id != client);
    assert!(matches!(failed, Failure::Stream(StreamError::Client(ClientFailure::NoCertificate))), "{failed}");
    assert_eq!(failed.reason(), "tls");
    // The client may take the handshake for done, and gets the alert when it reads.
    let heard = server.until(|net, events| {
        let failed = events.into_iter().find_map(|event| match event {
            Event::Failed(id, failure) if id == client => Some(failure),
            _ => None,
        });
        failed.or_else(|| net.io(client)?.read(64, <[u8]>::len).err())
    });
    assert!(matches!(heard, Failure::Stream(StreamError::Tls(TlsFailure::ClientCertificateDemanded(_)))), "{heard}");
}

#[test]
fn plain_clients_at_a_tls_port_are_recognised() {
    let pki = Pki::new();
    let mut server = Server::new(listener_config(Some(pki.acceptor(ClientAuth::NotAsked))));
    for (said, opening) in [
        (&b"SEND <a.data> SIZE 10\n"[..], ClientPreface::PlainTentacle),
        (b"LS <*>\n", ClientPreface::PlainTentacle),
        (b"GET / HTTP/1.1\r\n\r\n", ClientPreface::Http),
        (b"SSH-2.0-OpenSSH\r\n", ClientPreface::Unknown),
    ] {
        let mut client = server.client();
        client.write_all(said).unwrap();
        match failure(&mut server, |_| true) {
            Failure::Stream(StreamError::Client(ClientFailure::NotTls(found))) => assert_eq!(found, opening),
            other => panic!("{other}"),
        }
        let mut answer = [0; 2];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x15, 3], "an alert, which plain clients know TLS by");
    }
}

#[test]
fn a_client_that_offers_only_what_we_do_not_have_is_quoted() {
    use crate::tls::testing::client_hello;
    let pki = Pki::new();
    let mut server = Server::new(listener_config(Some(pki.acceptor(ClientAuth::NotAsked))));
    for (hello, what, offer) in [
        (
            client_hello(0x0302, &[0x002f], &[]),
            "no version of TLS in common",
            "at most TLS 1.1 with TLS_RSA_WITH_AES_128",
        ),
        (
            client_hello(0x0303, &[0x009c, 0x00ff], &[]),
            "no algorithm in common",
            "TLS 1.2 with TLS_RSA_WITH_AES_128_GCM",
        ),
        (client_hello(0x0303, &[0x002f], &[0x0302, 0x0301]), "no version of TLS in common", "TLS 1.1, TLS 1.0 with"),
    ] {
        let mut client = server.client();
        client.write_all(&hello).unwrap();
        let failed = failure(&mut server, |_| true).to_string();
        assert!(failed.contains(what) && failed.contains(". The client offers ") && failed.contains(offer), "{failed}");
    }
}

#[test]
fn a_tls_client_at_a_plain_port_shows_in_its_first_bytes() {
    let pki = Pki::new();
    let mut server = Server::plain();
    let target = pki.target(&server, None);
    server.net.open(target, false);
    let accepted = server.opened();
    assert!(crate::tls::looks_like_tls(&server.read(accepted).unwrap()));
}

#[test]
fn a_silent_client_gets_no_further_than_its_entrance_allows() {
    let pki = Pki::new();
    let tls = Some(pki.acceptor(ClientAuth::NotAsked));
    let mut server =
        Server::new(Arc::new(ListenerConfig { tls, quick_ack: false, timeout: Duration::from_millis(20) }));
    let _client = server.client();
    let failed = failure(&mut server, |_| true);
    assert!(matches!(failed, Failure::ClientTimeout(Phase::Handshake)), "{failed}");
    assert_eq!(failed.reason(), "timeout");
    drop(server.client());
    let failed = failure(&mut server, |_| true);
    assert!(matches!(failed, Failure::Stream(StreamError::Client(ClientFailure::ClosedInHandshake))), "{failed}");
}

#[test]
fn a_new_entrance_is_for_those_who_come_from_now_on() {
    let pki = Pki::new();
    let mut server = Server::plain();
    let mut old = server.client();
    let id = server.opened();
    server.net.set_listener_config(server.listener, listener_config(Some(pki.acceptor(ClientAuth::NotAsked))));
    let target = pki.target(&server, None);
    let (_, accepted) = pair(&mut server, target);
    assert!(server.io(accepted).peer().is_some());
    old.write_all(b"QUIT\n").unwrap();
    assert_eq!(server.read(id), Ok(b"QUIT\n".to_vec()));
    assert!(server.io(id).peer().is_none());
}

#[test]
fn an_end_that_was_not_announced_is_told_from_one_that_was() {
    for orderly in [true, false] {
        let (mut server, client, accepted) = encrypted();
        // Tickets that nobody has read would turn the end into a reset.
        assert!(server.io(accepted).write(b"x").unwrap() > 0);
        assert_eq!(server.read(client), Ok(b"x".to_vec()));
        if orderly {
            server.net.close(client);
        } else {
            server.net.abort(client);
        }
        assert_eq!(server.read(accepted), Err(Read::Eof { orderly }));
    }
}

#[test]
fn each_direction_of_tls_ends_by_itself() {
    let (mut server, client, accepted) = encrypted();
    assert!(server.io(client).write(b"question").unwrap() > 0);
    server.net.shutdown_write(client);
    assert_eq!(server.read(accepted), Ok(b"question".to_vec()));
    assert_eq!(server.read(accepted), Err(Read::Eof { orderly: true }));
    assert!(!server.io(accepted).has_input());
    assert_eq!(server.io(accepted).write(b"answer").unwrap(), 6);
    server.net.close(accepted);
    assert_eq!(server.read(client), Ok(b"answer".to_vec()));
    assert_eq!(server.read(client), Err(Read::Eof { orderly: true }));
}

#[test]
fn decrypted_bytes_that_nobody_took_are_input() {
    let (mut server, client, accepted) = encrypted();
    assert!(server.io(client).write(b"two commands").unwrap() > 0);
    server.until(|net, _| matches!(net.io(accepted).unwrap().read(64, |_| 3).unwrap(), Read::Bytes(3)).then_some(()));
    assert!(server.io(accepted).has_input());
    assert_eq!(server.read(accepted), Ok(b" commands".to_vec()));
    assert!(!server.io(accepted).has_input());
}

#[test]
fn a_file_goes_out_whole_under_tls_and_shows_when_it_was_shortened() {
    let (mut server, client, accepted) = encrypted();
    let (file, bytes) = file(300_000);
    let received = transferred(&mut server, accepted, client, &file, bytes.len());
    assert!(received == bytes, "altered on the way");
    assert_eq!(server.io(accepted).send_file(&file, 300_000, 1).unwrap(), FileSent::Short);
    send(&mut server, accepted, &file, 299_000, 1_000);
    assert_eq!(server.read(client).unwrap(), bytes[299_000..]);
}
