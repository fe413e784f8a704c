//! Collecting through TLS: how certificates are checked, and which are offered.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use pkcs8::pkcs5::pbes2;
use pkcs8::{LineEnding, PrivateKeyInfoRef};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tentacle_sync::testing::fake_server::{Authority, Fault, Identity, Setup, StockClients, Verb, stock_tls};

use crate::daemon::{Outcome, Sandbox};
use crate::site::{Access, Kind, Site};
use crate::support::{Certificates, LOOPBACK};

/// Not where any fake server listens.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 99));

/// A fake server that shows this certificate.
fn showing(identity: &Identity, clients: StockClients<'_>) -> Site {
    let tls = Some(stock_tls(identity, clients).unwrap());
    Site::fake("site", 12, Setup { tls, idle: Duration::from_secs(1), ..Setup::default() })
}

/// All that the site has is collected.
#[track_caller]
fn assert_collects(site: &Site, lines: &str) -> Outcome {
    let sandbox = Sandbox::with_sites([site.config(lines)]);
    let outcome = sandbox.once();
    outcome.assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
    outcome
}

/// Nothing of the site is touched, and the reason given has all of `parts`.
#[track_caller]
fn assert_refuses(site: &Site, lines: &str, parts: &[&str]) {
    let sandbox = Sandbox::with_sites([site.config(lines)]);
    sandbox.once().assert_code(1).assert_says(&[&["site: failed: "], parts].concat());
    assert!(sandbox.spool().is_empty());
    site.assert_untouched();
}

fn tls(lines: &str) -> String {
    format!("tls = {{ {lines} }}")
}

fn ca(certificates: &Certificates) -> String {
    format!("ca = {:?}", certificates.path("ca.pem"))
}

/// `ca`, `cert` and `key`.
fn whole_identity(certificates: &Certificates) -> String {
    let [cert, key] = ["client.pem", "client.key"].map(|name| certificates.path(name));
    format!("{}, cert = {cert:?}, key = {key:?}", ca(certificates))
}

fn fingerprint(identity: &Identity) -> String {
    let der = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &der);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[test]
fn a_chain_is_enough_whatever_the_name() {
    let certificates = Certificates::new();
    let site = showing(&certificates.authority.server(ELSEWHERE).unwrap(), StockClients::Anyone);
    assert_collects(&site, &tls(&format!("{}, verify = \"chain\"", ca(&certificates))));
}

#[test]
fn a_chain_and_the_name_are_checked_where_that_is_wanted() {
    let certificates = Certificates::new();
    let lines = tls(&format!("{}, verify = \"chain+name\"", ca(&certificates)));
    assert_collects(&showing(&certificates.server, StockClients::Anyone), &lines);
    let misnamed = showing(&certificates.authority.server(ELSEWHERE).unwrap(), StockClients::Anyone);
    assert_refuses(&misnamed, &lines, &["127.0.0.1", "127.0.0.99", "verify = \"chain\""]);
}

#[test]
fn a_pinned_certificate_needs_no_authority_and_no_other_will_do() {
    let certificates = Certificates::new();
    let other = certificates.authority.server(LOOPBACK).unwrap();
    let lines = |pins: &[String]| tls(&format!("verify = \"pin\", pins = {pins:?}"));
    let pins = [fingerprint(&other), fingerprint(&certificates.server)];
    assert_collects(&showing(&certificates.server, StockClients::Anyone), &lines(&pins));
    let found = fingerprint(&certificates.server).replace(':', "");
    let renewed = showing(&certificates.server, StockClients::Anyone);
    let sandbox = Sandbox::with_sites([renewed.config(&lines(&pins[..1]))]);
    let outcome = sandbox.once();
    let advice =
        ["openssl x509", "if it differs", "if it is the same", "was renewed: add it to the site's pins (pins = ["];
    outcome.assert_code(1).assert_says(&["site: failed: ", "none of the pinned ones"]).assert_says(&advice);
    let said = outcome.stdout.replace(':', "").to_ascii_uppercase();
    assert!(said.contains(&found), "{outcome}");
    renewed.assert_untouched();
}

#[test]
fn without_verification_any_certificate_will_do_and_every_start_warns() {
    let stranger = Certificates::new();
    let outcome = assert_collects(&showing(&stranger.server, StockClients::Anyone), &tls("verify = \"none\""));
    outcome.assert_logs(&["WARN", "site", "verify = \"none\""]);
}

#[test]
fn certificates_of_other_authorities_and_of_other_times_are_refused() {
    let (ours, stranger) = (Certificates::new(), Certificates::new());
    let lines = tls(&ca(&ours));
    let foreign = showing(&stranger.server, StockClients::Anyone);
    assert_refuses(&foreign, &lines, &["certificate is not accepted", "CA file"]);
    let expired = showing(&ours.authority.expired_server(LOOPBACK).unwrap(), StockClients::Anyone);
    assert_refuses(&expired, &lines, &["expired on 2000-01-01", "a new one is needed there"]);
}

#[test]
fn a_certificate_nobody_wants_is_left_out_from_then_on() {
    let certificates = Certificates::new();
    let site = showing(&certificates.server, StockClients::AnyoneOrWellKnown);
    let lines = format!(
        "{}\ninterval = 1\nkeep_open = 0\nconnections = 1\nextension = false",
        tls(&whole_identity(&certificates))
    );
    let sandbox = Sandbox::with_sites([site.config(&lines)]);
    let daemon = sandbox.start();
    assert!(site.peer().wait_for(crate::support::TIMEOUT, |tally| tally.count(Verb::Ls) >= 3));
    let outcome = daemon.stop();
    outcome.assert_code(0).assert_logs(&["site=site", "refuses our certificate", "going on without"]);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
    let tally = site.peer().tally();
    // A second listing of the first round has shown what the site has deleted.
    let rounds = tally.count(Verb::Ls) - 1;
    assert_eq!((tally.client_certificates, tally.accepted), (0, rounds + 1), "asked once only");
    assert!(!outcome.stderr.contains("reason="), "{outcome}");
}

#[test]
fn a_stock_server_that_wants_no_certificate_is_collected_from_without() {
    let certificates = Certificates::new();
    let Some(site) = Site::behind(Access::Tls, Kind::Stock, 100, &certificates) else { return };
    let outcome = assert_collects(&site, &tls(&whole_identity(&certificates)));
    outcome.assert_logs(&["refuses our certificate", "going on without"]);
}

#[test]
fn a_certificate_that_is_always_offered_is_refused_in_plain_words() {
    let certificates = Certificates::new();
    let site = showing(&certificates.server, StockClients::AnyoneOrWellKnown);
    let lines = tls(&format!("{}, offer_client_cert = true", whole_identity(&certificates)));
    assert_refuses(&site, &lines, &["refused our client certificate", "offer_client_cert has to be false"]);
}

#[test]
fn a_site_that_demands_a_certificate_says_so() {
    let certificates = Certificates::new();
    let demanding = || showing(&certificates.server, StockClients::SignedBy(&certificates.authority));
    assert_refuses(&demanding(), &tls(&ca(&certificates)), &["demands a client certificate", "set `cert` and `key`"]);
    let kept_back = tls(&format!("{}, offer_client_cert = false", whole_identity(&certificates)));
    assert_refuses(&demanding(), &kept_back, &["demands a client certificate"]);
    // Of another authority: the site's first refusal names what is wrong, not the one without a certificate.
    let stranger = certificates.path("stranger.pem");
    let identity = Authority::new("Somebody else").unwrap().client("collector").unwrap();
    fs::write(&stranger, identity.certificate_pem + &identity.key_pem).unwrap();
    let foreign = tls(&format!("{}, cert = {stranger:?}, key = {stranger:?}", ca(&certificates)));
    assert_refuses(&demanding(), &foreign, &["refused our client certificate (alert UnknownCA)", "-f has to name"]);
}

#[test]
fn an_encrypted_key_is_opened_with_its_passphrase() {
    let certificates = Certificates::new();
    let site = showing(&certificates.server, StockClients::SignedBy(&certificates.authority));
    let key = certificates.path("encrypted.key");
    fs::write(&key, encrypted(&certificates.client.key_pem, "open sesame")).unwrap();
    let lines = |passphrase: &str| {
        let cert = certificates.path("client.pem");
        let file = certificates.path(passphrase);
        fs::write(&file, format!("{passphrase}\n")).unwrap();
        tls(&format!("{}, cert = {cert:?}, key = {key:?}, passphrase_file = {file:?}", ca(&certificates)))
    };
    let sandbox = Sandbox::with_sites([site.config(&lines("wrong"))]);
    sandbox.once().assert_code(3).assert_logs(&["site site", "encrypted.key", "passphrase does not open"]);
    assert_collects(&site, &lines("open sesame"));
}

/// The key as `openssl pkcs8 -topk8` writes it.
fn encrypted(key_pem: &str, passphrase: &str) -> String {
    let key = PrivatePkcs8KeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(1_000, b"saltsalt", [7; 16]).unwrap();
    let info = PrivateKeyInfoRef::try_from(key.secret_pkcs8_der()).unwrap();
    let document = info.encrypt_with_params(parameters, passphrase).unwrap();
    document.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap().to_string()
}

#[test]
fn plain_and_tls_do_not_mix_and_say_so() {
    let certificates = Certificates::new();
    let plain = Site::fake("site", 12, Setup { idle: Duration::from_secs(1), ..Setup::default() });
    assert_refuses(&plain, &tls(&ca(&certificates)), &["switch TLS off for this site"]);
    let encrypted = showing(&certificates.server, StockClients::Anyone);
    assert_refuses(&encrypted, "", &["TLS"]);
    let config = stock_tls(&certificates.server, StockClients::Anyone).unwrap();
    let faults = vec![Fault::PlainWhereTls.always()];
    let setup = Setup { tls: Some(config), faults, idle: Duration::from_secs(1), ..Setup::default() };
    let confused = Site::fake("site", 12, setup);
    assert_refuses(&confused, &tls(&ca(&certificates)), &["TLS"]);
}

#[test]
fn a_stock_server_with_tls_is_known_by_its_answer_to_plain_text() {
    let certificates = Certificates::new();
    let Some(site) = Site::behind(Access::Tls, Kind::Stock, 5, &certificates) else { return };
    assert_refuses(&site, "", &["TLS"]);
}
