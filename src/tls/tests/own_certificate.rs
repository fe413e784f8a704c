use std::sync::Arc;
use std::time::Duration;

use rcgen::KeyPair;

use crate::tls::failure::TlsFailure;
use crate::tls::testing::*;
use crate::tls::{
    AlertDescription, CertificateProblem, Connector, FileProblem, IdentitySettings, Offer, Role, SetupError,
    TlsSettings, UnixTime, Verify,
};

#[test]
fn our_certificate_is_presented_and_proven_in_any_shape() {
    let site = Site::new();
    let shapes = [
        ("v1", site.v1_leaf()),
        ("v3", site.draft().v3(&[]).sign(&site.ca_key)),
        ("self-signed v1", Draft::new("us", "us", &site.key).sign(&site.key)),
        ("self-signed CA:TRUE", Draft::new("us", "us", &site.key).v3(&[CA_TRUE]).sign(&site.key)),
    ];
    for (shape, leaf) in shapes {
        let connector = connector_with_identity(&[leaf.clone(), site.ca.clone()], &site.key);
        for version in BOTH_VERSIONS {
            let mut client = connector.connect("10.0.0.7", true).unwrap();
            let mut server = server(&[site.v1_leaf()], &site.key, version, AnyClient::new());
            run(&mut client, &mut server).unwrap();
            assert_eq!(server.peer_certificates().unwrap(), [leaf.clone(), site.ca.clone()], "{shape}");
        }
    }
}

#[test]
fn our_certificate_stays_home_when_it_is_not_to_be_offered() {
    let site = Site::new();
    let connector = connector_with_identity(&[site.v1_leaf()], &site.key);
    for version in BOTH_VERSIONS {
        let mut client = connector.connect("10.0.0.7", false).unwrap();
        let mut server = server(&[site.v1_leaf()], &site.key, version, AnyClient::new());
        let failure = run(&mut client, &mut server).unwrap_err();
        assert!(!failure.client_certificate_refused());
        // A rustls server says certificate_required in both versions.
        assert_eq!(failure, TlsFailure::ClientCertificateDemanded);
    }
}

#[test]
fn a_certificate_for_another_key_is_an_error_that_names_both_files() {
    let (site, files) = (Site::new(), Files::new());
    let other = KeyPair::generate().unwrap();
    let key = files.add("key.pem", site.key.serialize_pem());
    let load = |cert: std::path::PathBuf| {
        let identity = Some(IdentitySettings { cert: cert.clone(), key: key.clone(), passphrase: None });
        let settings = TlsSettings { ca: None, identity, verify: Verify::None, offer: Offer::Auto };
        (Connector::new(&settings, now()).map(drop), cert)
    };
    let (result, cert) =
        load(files.add("other.pem", certificates_pem(&[Draft::new("a", "CA", &other).sign(&site.ca_key)])));
    assert_eq!(result, Err(SetupError::KeyMismatch { cert, key: key.clone(), fits: None }));
    let (result, cert) = load(files.add("swapped.pem", certificates_pem(&[site.ca.clone(), site.v1_leaf()])));
    let error = SetupError::KeyMismatch { cert, key: key.clone(), fits: Some(2) };
    assert_eq!(result, Err(error.clone()));
    assert!(error.to_string().ends_with("our own certificate has to come first"), "{error}");
}

#[test]
fn a_refusal_of_our_certificate_is_told_from_other_alerts() {
    use crate::tls::Phase;
    let of = |alert, phase| TlsFailure::from_rustls(&rustls::Error::AlertReceived(alert), phase);
    assert!(of(AlertDescription::UnknownCA, Phase::Handshake).client_certificate_refused());
    assert!(of(AlertDescription::UnknownCA, Phase::Established).client_certificate_refused());
    let expired = of(AlertDescription::CertificateExpired, Phase::Established);
    assert!(!expired.client_certificate_refused(), "without it, the peer would only say that it wants one");
    assert_eq!(expired, TlsFailure::ClientCertificateRefused(AlertDescription::CertificateExpired));
    assert_eq!(of(AlertDescription::HandshakeFailure, Phase::Handshake), TlsFailure::ClientCertificateDemanded);
    assert!(matches!(of(AlertDescription::HandshakeFailure, Phase::Hello), TlsFailure::NothingInCommon(_)));
}

#[test]
fn what_should_be_seen_to_is_reported_with_dates_and_shape() {
    let (site, files) = (Site::new(), Files::new());
    let soon = Draft { not_after: "260611000000Z", ..Draft::new("CA", "CA", &site.ca_key) };
    let expired = Draft { not_after: "260530000000Z", ..site.draft() };
    let ca = files.add("ca.pem", certificates_pem(&[soon.v3(&[CA_TRUE]).sign(&site.ca_key), site.v1_leaf()]));
    let identity = IdentitySettings {
        cert: files.add("cert.pem", certificates_pem(&[expired.sign(&site.ca_key)])),
        key: files.add("key.pem", site.key.serialize_pem()),
        passphrase: None,
    };
    let settings =
        TlsSettings { ca: Some(ca.clone()), identity: Some(identity), verify: Verify::Chain, offer: Offer::Auto };
    let connector = Connector::new(&settings, now()).unwrap();
    let report = connector.report();
    assert_eq!(report.iter().map(|entry| entry.days_left).collect::<Vec<_>>(), [10, 8614, -2]);
    assert_eq!(report.iter().map(|entry| entry.role).collect::<Vec<_>>(), [Role::Trusted, Role::Trusted, Role::Own]);
    assert_eq!(report[0].shape(), "X.509 v3, self-signed, authority");
    assert_eq!(report[1].shape(), "X.509 v1");
    let warnings = connector.warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with(ca.to_str().unwrap()), "{warnings:?}");
    assert!(warnings[0].ends_with("\"CN=CA\" expires in 10 days, on 2026-06-11T00:00:00Z"), "{warnings:?}");
    assert!(warnings[1].contains("vouches for nothing"), "{warnings:?}");
    assert!(warnings[2].ends_with("\"CN=site.example\" expired on 2026-05-30T00:00:00Z"), "{warnings:?}");
}

#[test]
fn checking_nothing_is_warned_about() {
    assert!(connector(Verify::None, &[]).warnings()[0].starts_with("verify = \"none\""));
    assert!(connector(Verify::Chain, &[Site::new().ca]).warnings().is_empty());
}

#[test]
fn settings_that_could_accept_nobody_are_errors() {
    let settings = |verify| TlsSettings { ca: None, identity: None, verify, offer: Offer::Auto };
    assert_eq!(Connector::new(&settings(Verify::Chain), now()).map(drop), Err(SetupError::NoAuthorities));
    assert_eq!(Connector::new(&settings(Verify::ChainAndName), now()).map(drop), Err(SetupError::NoAuthorities));
    assert_eq!(Connector::new(&settings(Verify::Pin(Vec::new())), now()).map(drop), Err(SetupError::NoPins));
    let (files, site) = (Files::new(), Site::new());
    let path = files.add("ca.pem", certificates_pem(&[site.v1_leaf()]));
    let settings = TlsSettings { ca: Some(path.clone()), ..settings(Verify::Chain) };
    let error = SetupError::File { path, problem: FileProblem::NoAuthority };
    assert_eq!(Connector::new(&settings, now()).map(drop), Err(error));
}

#[test]
fn a_second_connection_resumes_the_session_of_the_first() {
    let site = Site::new();
    let connector = connector(Verify::Chain, std::slice::from_ref(&site.ca));
    for version in BOTH_VERSIONS {
        let config = server_config(&[site.v1_leaf()], &site.key, version, Arc::new(rustls::server::NoClientAuth));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut server = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut client = connector.connect("10.0.0.7", true).unwrap();
            run(&mut client, &mut server).unwrap();
            kinds.push(client.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed], "{version:?}");
    }
}

#[test]
fn a_session_does_not_outlive_its_certificate() {
    let site = Site::new();
    let connector = connector(Verify::Chain, std::slice::from_ref(&site.ca));
    let leaf = Draft { not_after: "400101000000Z", ..site.draft() }.sign(&site.ca_key);
    let later = UnixTime::since_unix_epoch(Duration::from_secs(2_240_524_800));
    for version in BOTH_VERSIONS {
        let config =
            server_config(std::slice::from_ref(&leaf), &site.key, version, Arc::new(rustls::server::NoClientAuth));
        let connect = || {
            let mut server = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut client = connector.connect("10.0.0.7", true).unwrap();
            run(&mut client, &mut server).unwrap();
            client
        };
        let (first, second) = (connect(), connect());
        assert_eq!(first.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(second.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        let certificates = second.peer_certificates().unwrap();
        assert_eq!(connector.check_resumed("10.0.0.7", certificates, now()), Ok(()));
        let failure = connector.check_resumed("10.0.0.7", certificates, later).unwrap_err();
        assert!(matches!(failure, TlsFailure::Certificate(CertificateProblem::Expired { .. })), "{failure}");
        let third = connect();
        assert_eq!(third.handshake_kind(), Some(rustls::HandshakeKind::Full), "{version:?}");
    }
}

#[test]
fn hosts_are_names_or_addresses_in_any_common_spelling() {
    let connector = connector(Verify::None, &[]);
    for host in ["10.0.0.7", "::1", "fe80::1%eth0", "site.example", "site.example.", "site_1"] {
        assert!(connector.connect(host, false).is_ok(), "{host}");
    }
    assert!(connector.connect("no such host", false).is_err());
    assert!(connector.connect("", false).is_err());
}
