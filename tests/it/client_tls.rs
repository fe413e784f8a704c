//! `tentacle_client` and certificates: which ones it takes, and how it reports the others.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tentacle_sync::testing::fake_server::{
    Authority, FakeServer, Identity, Setup, StockClients, WritePattern, stock_tls,
};

use crate::client_process::WorkDir;
use crate::support::Certificates;

/// Not where any server listens.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 99));

/// A server that shows this certificate.
fn showing(identity: &Identity, clients: StockClients<'_>) -> FakeServer {
    let tls = Some(stock_tls(identity, clients).unwrap());
    FakeServer::start(Setup { tls, overwrite: true, write: WritePattern::Whole, ..Setup::default() }).unwrap()
}

#[test]
fn with_f_the_certificate_has_to_be_of_the_ca_and_for_the_server() {
    let (ours, stranger) = (Certificates::new(), Certificates::new());
    let work_dir = WorkDir::with(&[("a.data", b"abc")]);
    let file = |name: &str| ours.path(name).to_str().unwrap().to_owned();
    let run = |fake: &FakeServer, host: &str| {
        let (port, ca) = (fake.address().port().to_string(), file("ca.pem"));
        work_dir.run(["-v", "-c", "-f", &ca, "-a", host, "-p", &port, "a.data"])
    };
    let right = showing(&ours.server, StockClients::Anyone);
    run(&right, "127.0.0.1").assert_done();
    // Its certificate carries the address only, which stock checks whatever the name is.
    let by_name = run(&right, "localhost");
    by_name.assert_done();
    assert!(by_name.stdout.contains("is not for localhost: trying 127.0.0.1"), "{by_name}");
    let misnamed = showing(&ours.authority.server(ELSEWHERE).unwrap(), StockClients::Anyone);
    let outcome = run(&misnamed, "127.0.0.1");
    outcome.assert_fails("The server's certificate is not for 127.0.0.1 but for 127.0.0.99.");
    assert!(outcome.stdout.contains("[log] -f checks the name as well"), "{outcome}");
    run(&misnamed, "localhost").assert_fails("The server's certificate is not for 127.0.0.1 but for 127.0.0.99.");
    let foreign = showing(&stranger.server, StockClients::Anyone);
    run(&foreign, "127.0.0.1").assert_fails_saying(&["[err] The server's certificate is not accepted: "]);
    for refused in [&misnamed, &foreign] {
        assert!(refused.files().unwrap().is_empty());
    }
    // Without -f nothing is checked, which -v reports.
    let port = foreign.address().port().to_string();
    let unchecked = work_dir.run(["-v", "-c", "-a", "127.0.0.1", "-p", &port, "a.data"]);
    unchecked.assert_done();
    assert!(unchecked.stdout.contains("certificate is not checked: -f does that"), "{unchecked}");
}

#[test]
fn a_certificate_is_asked_for_in_plain_words() {
    let (ours, stranger) = (Certificates::new(), Certificates::new());
    let demanding = showing(&ours.server, StockClients::SignedBy(&ours.authority));
    let work_dir = WorkDir::with(&[("a.data", b"abc")]);
    let none = work_dir.run_at(demanding.address(), ["-v", "-c", "a.data"]);
    none.assert_fails("The server demands a client certificate.");
    assert!(none.stdout.contains("[log] -e and -k name it"), "{none}");
    let file = |name: &str| stranger.path(name).to_str().unwrap().to_owned();
    let foreign =
        work_dir.run_at(demanding.address(), ["-e", &file("client.pem"), "-k", &file("client.key"), "a.data"]);
    foreign.assert_fails("The server refused our certificate (DecryptError).");
    let unheard_of = Authority::new("Somebody else").unwrap().client("collector").unwrap();
    work_dir.write("unheard-of.pem", (unheard_of.certificate_pem + &unheard_of.key_pem).as_bytes());
    work_dir
        .run_at(demanding.address(), ["-e", "unheard-of.pem", "a.data"])
        .assert_fails("The server refused our certificate (UnknownCA).");
    assert!(demanding.files().unwrap().is_empty());
    // Not a certificate at all, or of another key.
    let swapped =
        work_dir.run_at(demanding.address(), ["-e", &file("client.key"), "-k", &file("client.key"), "a.data"]);
    swapped.assert_fails_saying(&["client.key", "certificate"]);
    let mismatched =
        work_dir.run_at(demanding.address(), ["-e", &file("client.pem"), "-k", &file("server.key"), "a.data"]);
    mismatched.assert_fails_saying(&["client.pem", "another key"]);
}

#[test]
fn plain_and_tls_that_meet_say_so() {
    let certificates = Certificates::new();
    let work_dir = WorkDir::with(&[("a.data", b"abc")]);
    let secure = showing(&certificates.server, StockClients::Anyone);
    work_dir.run_at(secure.address(), ["-v", "a.data"]).assert_fails_saying(&["[err] ", "-c, or -e and -k"]);
    let plain = FakeServer::start(Setup::default()).unwrap();
    let outcome = work_dir.run_at(plain.address(), ["-v", "-c", "a.data"]);
    outcome.assert_fails_saying(&["[err] The server", "leave out -c"]);
}

#[test]
fn a_certificate_of_ours_that_has_expired_is_told_of_though_the_servers_is_not_checked() {
    let certificates = Certificates::new();
    let server = showing(&certificates.server, StockClients::Anyone);
    let key = KeyPair::generate().unwrap();
    let mut old = CertificateParams::new(Vec::new()).unwrap();
    (old.not_before, old.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let pem = old.self_signed(&key).unwrap().pem() + &key.serialize_pem();
    let work_dir = WorkDir::with(&[("a.data", b"abc"), ("old.pem", pem.as_bytes())]);
    let outcome = work_dir.run_at(server.address(), ["-v", "-e", "old.pem", "a.data"]);
    assert!(outcome.stdout.contains("expired on 2020-01-01"), "{outcome}");
    assert!(outcome.stdout.contains("certificate is not checked: -f does that"), "{outcome}");
}
