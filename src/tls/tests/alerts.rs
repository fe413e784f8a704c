//! By which alert a peer learns that we refuse its certificate (RFC 8446, section 6.2), and what we make of alerts.

use rcgen::KeyPair;
use rustls::ClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::NoClientAuth;

use crate::tls::testing::*;
use crate::tls::{
    Acceptor, AcceptorSettings, AlertDescription, ClientAuth, ClientFailure, IdentitySettings, Phase, Suites,
    TlsFailure, Verify, Versions,
};

/// Certificates that are refused under the authority of `site`, and the alert for each.
fn refused(site: &Site, other_purpose: &[u8]) -> Vec<(&'static str, CertificateDer<'static>, AlertDescription)> {
    let stranger = KeyPair::generate().unwrap();
    let sha1 = Draft { inner_algorithm: ECDSA_SHA1, outer_algorithm: ECDSA_SHA1, ..site.draft() };
    let past = Draft { not_after: "210101000000Z", ..site.draft() };
    let future = Draft { not_before: "490101000000Z", ..site.draft() };
    let untrue = [&CA_TRUE[..CA_TRUE.len() - 1], &[1]].concat();
    vec![
        ("expired v1", past.sign(&site.ca_key), AlertDescription::CertificateExpired),
        ("expired v3", past.v3(&[]).sign(&site.ca_key), AlertDescription::CertificateExpired),
        ("not yet valid", future.sign(&site.ca_key), AlertDescription::CertificateExpired),
        ("of a stranger", Draft::new("a", "b", &site.key).v3(&[]).sign(&stranger), AlertDescription::UnknownCA),
        ("self-signed", Draft::new("a", "a", &site.key).sign(&site.key), AlertDescription::UnknownCA),
        ("signed by another key", site.draft().sign(&stranger), AlertDescription::BadCertificate),
        ("odd DER", site.draft().v3(&[&untrue]).sign(&site.ca_key), AlertDescription::BadCertificate),
        ("SHA-1", sha1.v3(&[]).sign(&site.ca_key), AlertDescription::UnsupportedCertificate),
        ("for others", site.draft().v3(&[other_purpose]).sign(&site.ca_key), AlertDescription::UnsupportedCertificate),
        ("CA:TRUE", site.draft().v3(&[CA_TRUE]).sign(&site.ca_key), AlertDescription::UnsupportedCertificate),
    ]
}

#[test]
fn a_site_hears_what_is_wrong_with_its_certificate() {
    let site = Site::new();
    let connector = connector(Verify::Chain, std::slice::from_ref(&site.ca));
    for (shape, leaf, alert) in refused(&site, ONLY_CLIENTS) {
        for version in BOTH_VERSIONS {
            let mut client = connector.connect("10.0.0.7", false).unwrap();
            let mut server = server(std::slice::from_ref(&leaf), &site.key, version, std::sync::Arc::new(NoClientAuth));
            assert_eq!(alert_received(&mut client, &mut server), Some(alert), "{shape}, {version:?}");
        }
    }
}

#[test]
fn a_client_hears_what_is_wrong_with_its_certificate() {
    let (site, files) = (Site::new(), Files::new());
    let identity = IdentitySettings {
        cert: files.add("server.pem", certificates_pem(&[site.v1_leaf()])),
        key: files.add("server.key", site.key.serialize_pem()),
        passphrase: None,
    };
    let clients = ClientAuth::Required { ca: files.add("ca.pem", certificates_pem(std::slice::from_ref(&site.ca))) };
    let settings = AcceptorSettings { identity, clients, versions: Versions::Both, suites: Suites::default() };
    let acceptor = Acceptor::new(&settings, now()).unwrap();
    for (shape, leaf, alert) in refused(&site, ONLY_SERVERS) {
        for version in BOTH_VERSIONS {
            let config = client_config(std::slice::from_ref(&leaf), &site.key, version);
            let mut client = ClientConnection::new(config, "10.0.0.7".try_into().unwrap()).unwrap();
            let heard = alert_received(&mut client, &mut acceptor.accept().unwrap());
            assert_eq!(heard, Some(alert), "{shape}, {version:?}");
        }
    }
}

#[test]
fn a_refusal_is_forgotten_before_the_next_certificate_is_looked_at() {
    let (site, stranger) = (Site::new(), KeyPair::generate().unwrap());
    let connector = connector(Verify::Chain, std::slice::from_ref(&site.ca));
    let handshake = |key: &KeyPair, leaf: CertificateDer<'static>| {
        let mut client = connector.connect("10.0.0.7", false).unwrap();
        let mut server = server(&[leaf], key, BOTH_VERSIONS[1], std::sync::Arc::new(NoClientAuth));
        run(&mut client, &mut server)
    };
    // Nobody asks for what stands behind this one.
    let mut client = connector.connect("10.0.0.7", false).unwrap();
    let expired = Draft { not_after: "210101000000Z", ..site.draft() }.sign(&site.ca_key);
    let mut server = server(&[expired], &site.key, BOTH_VERSIONS[1], std::sync::Arc::new(NoClientAuth));
    alert_received(&mut client, &mut server).unwrap();
    let words = handshake(&stranger, site.v1_leaf()).unwrap_err().to_string();
    assert!(words.contains("could not prove to hold its key"), "{words}");
}

#[test]
fn an_alert_is_quoted_and_what_it_does_not_say_is_not_claimed() {
    let of_site = |alert, phase| TlsFailure::from_rustls(&rustls::Error::AlertReceived(alert), phase, &[]).to_string();
    let of_client =
        |alert| ClientFailure::from_rustls(&rustls::Error::AlertReceived(alert), Phase::Handshake, &[]).to_string();
    for (alert, name) in [
        (AlertDescription::UnknownCA, "UnknownCA"),
        (AlertDescription::BadCertificate, "BadCertificate"),
        (AlertDescription::CertificateExpired, "CertificateExpired"),
        (AlertDescription::UnsupportedCertificate, "UnsupportedCertificate"),
        (AlertDescription::CertificateUnknown, "CertificateUnknown"),
    ] {
        for words in [of_site(alert, Phase::Established), of_client(alert)] {
            assert!(words.contains(&format!("(alert {name})")), "{words}");
        }
    }
    let unknown = of_site(AlertDescription::CertificateUnknown, Phase::Established);
    assert!(unknown.contains("does not say why"), "{unknown}");
    // OpenSSL means a missing certificate by it, others may mean something else.
    let failure = of_site(AlertDescription::HandshakeFailure, Phase::Handshake);
    assert!(failure.contains("alert HandshakeFailure") && failure.contains("OpenSSL does so"), "{failure}");
    let required = of_site(AlertDescription::CertificateRequired, Phase::Established);
    assert!(required.starts_with("the peer demands a client certificate"), "{required}");
}
