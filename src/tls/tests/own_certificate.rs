use std::sync::Arc;
use std::time::Duration;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;

use crate::tls::failure::TlsFailure;
use crate::tls::testing::*;
use crate::tls::{
    AlertDescription, CertificateProblem, CertificateReport, ClientCertPolicy, Connector, FileProblem,
    IdentitySettings, Role, SetupError, TlsSettings, UnixTime, Verify,
};

#[test]
fn our_certificate_is_presented_and_proven_in_any_shape() {
    let site = Site::new();
    let shapes = [
        ("v1", site.v1_leaf()),
        ("v3", site.draft().v3(&[]).sign(&site.ca_key)),
        ("self-signed v1", Draft::new("us", "us", &site.key).sign(&site.key)),
        ("v1 that says so", Draft { version: Some(0), ..site.draft() }.sign(&site.ca_key)),
        ("from 1950", Draft { not_before: "500101000000Z", ..site.draft() }.sign(&site.ca_key)),
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
        // A rustls server sends certificate_required in both versions.
        assert_eq!(failure, TlsFailure::ClientCertificateDemanded(AlertDescription::CertificateRequired));
    }
}

#[test]
fn a_certificate_for_another_key_is_an_error_that_names_both_files() {
    let (site, files) = (Site::new(), Files::new());
    let other = KeyPair::generate().unwrap();
    let key = files.add("key.pem", site.key.serialize_pem());
    let load = |cert: std::path::PathBuf| {
        let identity = Some(IdentitySettings { cert: cert.clone(), key: key.clone(), passphrase: None });
        let settings = TlsSettings { ca: None, identity, verify: Verify::None, offer: ClientCertPolicy::Auto };
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
    let of = |alert, phase| TlsFailure::from_rustls(&rustls::Error::AlertReceived(alert), phase, &[]);
    assert!(of(AlertDescription::UnknownCA, Phase::Handshake).client_certificate_refused());
    assert!(of(AlertDescription::UnknownCA, Phase::Established).client_certificate_refused());
    let expired = of(AlertDescription::CertificateExpired, Phase::Established);
    assert!(!expired.client_certificate_refused(), "without it, the peer would only say that it wants one");
    assert_eq!(expired, TlsFailure::ClientCertificateRefused(AlertDescription::CertificateExpired));
    assert_eq!(
        of(AlertDescription::HandshakeFailure, Phase::Handshake),
        TlsFailure::ClientCertificateDemanded(AlertDescription::HandshakeFailure)
    );
    assert!(matches!(of(AlertDescription::HandshakeFailure, Phase::Hello), TlsFailure::NothingInCommon(..)));
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
    let settings = TlsSettings {
        ca: Some(ca.clone()),
        identity: Some(identity),
        verify: Verify::Chain,
        offer: ClientCertPolicy::Auto,
    };
    let connector = Connector::new(&settings, now()).unwrap();
    let report = connector.report();
    assert_eq!(report.iter().map(|entry| entry.days_left).collect::<Vec<_>>(), [10, 8614, -2]);
    assert_eq!(report.iter().map(|entry| entry.role).collect::<Vec<_>>(), [Role::Trusted, Role::Trusted, Role::Own]);
    assert_eq!(report[0].shape(), "X.509 v3, self-signed, authority");
    assert_eq!(report[1].shape(), "X.509 v1");
    let warnings = connector.file_warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with(ca.to_str().unwrap()), "{warnings:?}");
    assert!(warnings[0].ends_with("\"CN=CA\" expires in 10 days, on 2026-06-11T00:00:00Z"), "{warnings:?}");
    assert!(warnings[1].contains("vouches for nothing"), "{warnings:?}");
    assert!(warnings[2].ends_with("\"CN=site.example\" expired on 2026-05-30T00:00:00Z"), "{warnings:?}");
}

#[test]
fn checking_nothing_is_warned_about() {
    let unchecked = connector(Verify::None, &[]).policy_warning().unwrap();
    assert!(unchecked.starts_with("verify = \"none\""), "{unchecked}");
    let checked = connector(Verify::Chain, &[Site::new().ca]);
    assert_eq!((checked.policy_warning(), checked.file_warnings()), (None, Vec::new()));
}

#[test]
fn settings_that_could_accept_nobody_are_errors() {
    let settings = |verify| TlsSettings { ca: None, identity: None, verify, offer: ClientCertPolicy::Auto };
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
        let TlsFailure::Certificate(refusal) = &failure else { panic!("{failure}") };
        assert!(matches!(refusal.problem, CertificateProblem::Expired { .. }), "{failure}");
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

/// What is reported of a CA file with these certificates.
fn report_on(listed: &[CertificateDer<'_>]) -> Vec<CertificateReport> {
    connector(Verify::Chain, listed).report().to_vec()
}

#[test]
fn an_expired_authority_beside_one_that_counts_is_no_problem() {
    let (site, other) = (Site::new(), Site::new());
    let old = |until| Draft { not_after: until, ..Draft::new("CA", "CA", &other.ca_key) };
    let expired = old("260530000000Z").v3(&[CA_TRUE]).sign(&other.ca_key);
    let leftover = &report_on(&[expired.clone(), site.ca.clone()])[0];
    assert_eq!(leftover.problems, Vec::<String>::new());
    assert!(leftover.remarks[0].starts_with("expired on 2026-05-30"), "{leftover:?}");
    assert_eq!(leftover.warnings().count(), 1, "and yet it is warned of");
    let alone = &report_on(&[expired])[0];
    assert!(alone.problems[0].starts_with("expired on 2026-05-30"), "{alone:?}");
    let soon = old("260611000000Z").v3(&[CA_TRUE]).sign(&other.ca_key);
    let soon = &report_on(&[soon, site.ca])[0];
    assert_eq!(soon.problems, Vec::<String>::new(), "it still counts");
    assert!(soon.remarks[0].starts_with("expires in 10 days"), "{soon:?}");
}

#[test]
fn an_authority_whose_key_cannot_be_used_is_named() {
    let site = Site::new();
    let short = Draft { key: rsa_1024_key(), ..Draft::new("Short", "Short", &site.ca_key) };
    let short = &report_on(&[site.ca.clone(), short.v3(&[CA_TRUE]).sign(&site.ca_key)])[1];
    assert!(short.problems[0].contains("RSA key of only 1024 bits"), "{short:?}");
    // Of a curve that nobody uses.
    let key = tlv(0x30, &[tlv(0x30, &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 1, 42]), vec![3, 2, 0, 4]].concat());
    let odd = Draft { key, ..Draft::new("Odd", "Odd", &site.ca_key) }.v3(&[CA_TRUE]).sign(&site.ca_key);
    let odd = &report_on(&[site.ca, odd])[1];
    assert!(odd.problems[0].contains("a key of a kind that signatures are not checked with"), "{odd:?}");
}

#[test]
fn an_altered_certificate_is_found_by_its_signature() {
    let site = Site::new();
    let alter = |der: &CertificateDer<'_>| {
        let mut altered = der.to_vec();
        // In the signature, at the very end.
        *altered.last_mut().unwrap() ^= 1;
        CertificateDer::from(altered)
    };
    let listed = &report_on(&[alter(&site.ca)])[0];
    assert!(listed.remarks[0].contains("is damaged, or the one that signed it is missing"), "{listed:?}");
    assert_eq!(report_on(std::slice::from_ref(&site.ca))[0].remarks, Vec::<String>::new());

    let middle_key = KeyPair::generate().unwrap();
    let middle = Draft::new("middle", "CA", &middle_key).v3(&[CA_TRUE]).sign(&site.ca_key);
    let leaf = Draft::new("us", "middle", &site.key).v3(&[]).sign(&middle_key);
    let other_middle = Draft::new("middle", "CA", &site.ca_key).v3(&[CA_TRUE]).sign(&site.ca_key);
    for (chain, sound) in [
        ([leaf.clone(), middle.clone(), site.ca.clone()], true),
        ([leaf.clone(), alter(&middle), site.ca.clone()], false),
        ([leaf.clone(), other_middle, site.ca.clone()], false),
    ] {
        let connector = connector_with_identity(&chain, &site.key);
        let misfit = connector
            .report()
            .iter()
            .any(|entry| entry.problems.iter().any(|problem| problem.contains("peers that check it refuse us")));
        assert_eq!(misfit, !sound, "{:?}", connector.report());
    }
    let alone = connector_with_identity(&[leaf], &site.key);
    assert_eq!(alone.report()[0].problems, Vec::<String>::new(), "who signed it need not be in the file");
}

#[test]
fn a_certificate_of_ours_that_we_would_not_take_is_served_with_a_warning() {
    let site = Site::new();
    let odd = Draft { version: Some(0), ..site.draft() }.sign(&site.ca_key);
    let warnings = connector_with_identity(&[odd], &site.key).file_warnings();
    let warning = warnings.iter().find(|warning| warning.contains("it spells out that it is of version 1"));
    assert!(warning.is_some_and(|warning| warning.contains("certificate 1 ")), "{warnings:?}");
}
