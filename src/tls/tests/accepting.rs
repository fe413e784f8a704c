//! Our own server's side: who comes in, by which certificate, and how the others are reported.

use std::borrow::Borrow;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, HandshakeKind};

use crate::tls::testing::*;
use crate::tls::{
    Acceptor, AcceptorSettings, AlertDescription, CertificateProblem, ClientAuth, ClientFailure, FileProblem,
    IdentitySettings, Missing, Purpose, Refusal, SetupError, Sha256, Suites, TlsFailure, UnixTime, UnsupportedShape,
    Verify, Versions, Weakness, Whose,
};

/// What the tests' servers show, and the files of it.
struct Setup {
    site: Site,
    leaf: CertificateDer<'static>,
    files: Files,
}

impl Setup {
    fn new() -> Self {
        let site = Site::new();
        Self { leaf: site.v1_leaf(), site, files: Files::new() }
    }

    fn settings(&self, clients: ClientAuth) -> AcceptorSettings {
        let identity = IdentitySettings {
            cert: self.files.add("server.pem", certificates_pem(std::slice::from_ref(&self.leaf))),
            key: self.files.add("server.key", self.site.key.serialize_pem()),
            passphrase: None,
        };
        AcceptorSettings { identity, clients, versions: Versions::Both, suites: Suites::default() }
    }

    fn acceptor(&self, clients: ClientAuth) -> Acceptor {
        Acceptor::new(&self.settings(clients), now()).unwrap()
    }

    fn requiring(&self, listed: &[impl Borrow<CertificateDer<'static>>]) -> Acceptor {
        let listed: Vec<_> = listed.iter().map(|der| der.borrow().clone()).collect();
        self.acceptor(ClientAuth::Required { ca: self.files.add("ca.pem", certificates_pem(&listed)) })
    }
}

/// A client that shows `chain`, proves it with `key`, and offers one version.
fn client(
    chain: &[impl Borrow<CertificateDer<'static>>],
    key: &KeyPair,
    version: &'static rustls::SupportedProtocolVersion,
) -> ClientConnection {
    let chain: Vec<_> = chain.iter().map(|der| der.borrow().clone()).collect();
    ClientConnection::new(client_config(&chain, key, version), "10.0.0.7".try_into().unwrap()).unwrap()
}

/// What becomes of a client that shows the certificates `sent`; the same in both versions of TLS.
fn verdict(
    acceptor: &Acceptor,
    sent: &[impl Borrow<CertificateDer<'static>>],
    key: &KeyPair,
) -> Result<(), ClientFailure> {
    let [first, second] = BOTH_VERSIONS.map(|version| {
        let mut server = acceptor.accept().unwrap();
        handshake(&mut client(sent, key, version), &mut server)
    });
    assert_eq!(first, second, "TLS 1.2 and 1.3 disagree");
    first
}

fn refused(problem: CertificateProblem) -> Result<(), ClientFailure> {
    Err(ClientFailure::Certificate(problem))
}

const NOBODY: &[CertificateDer<'static>] = &[];

#[test]
fn client_certificates_of_every_common_shape_are_taken() {
    let (setup, site) = (Setup::new(), Site::new());
    let acceptor = setup.requiring(&[&site.ca]);
    assert_eq!(verdict(&acceptor, &[site.v1_leaf()], &site.key), Ok(()), "v1 under the CA");
    let middle_key = KeyPair::generate().unwrap();
    let middle = Draft::new("middle", "CA", &middle_key).v3(&[CA_TRUE]).sign(&site.ca_key);
    let below = Draft::new("us", "middle", &site.key).v3(&[ONLY_CLIENTS]).sign(&middle_key);
    for (shape, sent) in [
        ("v3", vec![site.draft().v3(&[]).sign(&site.ca_key)]),
        ("v3 for clients", vec![site.draft().v3(&[ONLY_CLIENTS]).sign(&site.ca_key)]),
        ("v3 under an intermediate", vec![below, middle]),
    ] {
        assert_eq!(verdict(&acceptor, &sent, &site.key), Ok(()), "{shape}");
    }
    let v1_ca = Draft::new("CA", "CA", &site.ca_key).sign(&site.ca_key);
    let leaf = site.draft().v3(&[]).sign(&site.ca_key);
    assert_eq!(verdict(&setup.requiring(&[v1_ca]), &[leaf], &site.key), Ok(()), "v3 under a v1 CA");
}

#[test]
fn self_signed_client_certificates_are_taken_when_they_are_listed() {
    let setup = Setup::new();
    let key = KeyPair::generate().unwrap();
    let draft = Draft::new("us", "us", &key);
    for leaf in [draft.sign(&key), draft.clone().v3(&[CA_TRUE]).sign(&key)] {
        assert_eq!(verdict(&setup.requiring(&[&leaf]), &[&leaf], &key), Ok(()));
        let unlisted = CertificateProblem::SelfSignedUnlisted { sha256: Sha256::of(&leaf) };
        assert_eq!(verdict(&setup.requiring(&[Site::new().ca]), &[&leaf], &key), refused(unlisted));
    }
}

#[test]
fn unsound_client_certificates_are_refused_with_a_reason() {
    let (setup, site) = (Setup::new(), Site::new());
    let acceptor = setup.requiring(&[&site.ca]);
    let verdict = |leaf: CertificateDer<'static>| verdict(&acceptor, &[leaf], &site.key);
    let authority = site.draft().v3(&[CA_TRUE]).sign(&site.ca_key);
    let unsupported = CertificateProblem::UnsupportedShape(UnsupportedShape::AuthorityAsLeaf);
    assert!(unsupported.to_string().ends_with("another one has to be made"), "{unsupported}");
    let pin = Some(Sha256::of(&authority));
    let of_a_site = TlsFailure::Certificate(Refusal { problem: unsupported.clone(), pin }).to_string();
    assert!(of_a_site.contains("or pin this one"), "{of_a_site}");
    assert_eq!(verdict(authority), refused(unsupported));

    let other = Site::new();
    let same_name = Draft::new("us", "CA", &site.key).sign(&other.ca_key);
    assert_eq!(verdict(same_name), refused(CertificateProblem::BadSignature { issuer: "CN=CA".to_owned() }));
    let stranger = Draft::new("us", "Other", &site.key).sign(&other.ca_key);
    assert_eq!(verdict(stranger), refused(CertificateProblem::UnknownIssuer { issuer: "CN=Other".to_owned() }));

    let for_servers = site.draft().v3(&[ONLY_SERVERS]).sign(&site.ca_key);
    let purpose = CertificateProblem::WrongPurpose(Purpose::Client);
    assert!(purpose.to_string().contains("lacks clientAuth"), "{purpose}");
    assert_eq!(verdict(for_servers), refused(purpose));

    let expired = Draft { not_after: "210101000000Z", ..site.draft() }.sign(&site.ca_key);
    let not_after = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_609_459_200));
    assert_eq!(verdict(expired), refused(CertificateProblem::Expired { whose: Whose::Leaf, not_after }));

    let sha1 = Draft { inner_algorithm: ECDSA_SHA1, outer_algorithm: ECDSA_SHA1, ..site.draft() };
    let weak = CertificateProblem::Weak(Weakness::SignatureAlgorithm("SHA-1 and ECDSA".to_owned()));
    assert_eq!(verdict(sha1.sign(&site.ca_key)), refused(weak));
}

#[test]
fn a_client_has_to_hold_the_key_whether_its_certificate_is_required_or_not() {
    let (setup, site, other) = (Setup::new(), Site::new(), KeyPair::generate().unwrap());
    for acceptor in [setup.requiring(&[&site.ca]), setup.acceptor(ClientAuth::Optional)] {
        let verdict = verdict(&acceptor, &[site.v1_leaf()], &other);
        assert_eq!(verdict, refused(CertificateProblem::BadHandshakeSignature));
    }
}

#[test]
fn a_client_without_a_certificate_is_taken_unless_one_is_required() {
    let (setup, site) = (Setup::new(), Site::new());
    assert_eq!(verdict(&setup.acceptor(ClientAuth::NotAsked), NOBODY, &site.key), Ok(()));
    assert_eq!(verdict(&setup.acceptor(ClientAuth::Optional), NOBODY, &site.key), Ok(()));
    assert_eq!(verdict(&setup.requiring(&[&site.ca]), NOBODY, &site.key), Err(ClientFailure::NoCertificate));
    let mut server = setup.requiring(&[&site.ca]).accept().unwrap();
    let mut client = connector(Verify::None, &[]).connect("10.0.0.7", false).unwrap();
    assert_eq!(
        run(&mut client, &mut server),
        Err(TlsFailure::ClientCertificateDemanded(AlertDescription::CertificateRequired)),
        "and hears so"
    );
}

#[test]
fn an_optional_certificate_may_be_anybodys_and_shows_by_its_pin() {
    let (setup, site) = (Setup::new(), Site::new());
    let acceptor = setup.acceptor(ClientAuth::Optional);
    let alone = Draft::new("us", "us", &site.key).v3(&[CA_TRUE]).sign(&site.key);
    let expired = Draft { not_after: "210101000000Z", ..site.draft() }.sign(&site.ca_key);
    for leaf in [alone, expired] {
        for version in BOTH_VERSIONS {
            let mut server = acceptor.accept().unwrap();
            handshake(&mut client(&[&leaf], &site.key, version), &mut server).unwrap();
            assert_eq!(server.peer_certificates().unwrap(), std::slice::from_ref(&leaf));
        }
    }
    let mut server = setup.acceptor(ClientAuth::NotAsked).accept().unwrap();
    handshake(&mut client(&[site.v1_leaf()], &site.key, BOTH_VERSIONS[1]), &mut server).unwrap();
    assert_eq!(server.peer_certificates(), None, "who is not asked shows nothing");
}

#[test]
fn our_own_certificate_is_shown_in_any_shape_and_with_its_chain() {
    let setup = Setup::new();
    let site = &setup.site;
    let middle_key = KeyPair::generate().unwrap();
    let middle = Draft::new("middle", "CA", &middle_key).v3(&[CA_TRUE]).sign(&site.ca_key);
    let below = Draft::new("site.example", "middle", &site.key).v3(&[]).sign(&middle_key);
    let alone = Draft::new("site", "site", &site.key).v3(&[CA_TRUE]).sign(&site.key);
    for (listed, chain) in [
        (&site.ca, vec![site.v1_leaf()]),
        (&site.ca, vec![site.draft().v3(&[]).sign(&site.ca_key)]),
        (&site.ca, vec![below, middle]),
        (&alone, vec![alone.clone()]),
    ] {
        let mut settings = setup.settings(ClientAuth::NotAsked);
        settings.identity.cert = setup.files.add("shape.pem", certificates_pem(&chain));
        let acceptor = Acceptor::new(&settings, now()).unwrap();
        let mut client = connector(Verify::Chain, std::slice::from_ref(listed)).connect("10.0.0.7", false).unwrap();
        run(&mut client, &mut acceptor.accept().unwrap()).unwrap();
        assert_eq!(client.peer_certificates().unwrap(), chain);
    }
}

#[test]
fn a_client_that_trusts_another_authority_is_told_of_as_such() {
    let (setup, other) = (Setup::new(), Site::new());
    let leaf = setup.site.draft().v3(&[&alternative_names(&[], &[[10, 0, 0, 7]])]).sign(&setup.site.ca_key);
    let mut settings = setup.settings(ClientAuth::NotAsked);
    settings.identity.cert = setup.files.add("v3.pem", certificates_pem(&[leaf]));
    let acceptor = Acceptor::new(&settings, now()).unwrap();
    let stranger = Draft::new("Other", "Other", &other.ca_key).v3(&[CA_TRUE]).sign(&other.ca_key);
    for (trusted, alert, words) in [
        (stranger, AlertDescription::UnknownCA, "no authority that it trusts"),
        (other.ca, AlertDescription::DecryptError, "same name as ours"),
    ] {
        for version in BOTH_VERSIONS {
            let config = rustls_client_config(&trusted, version);
            let mut client = ClientConnection::new(config, "10.0.0.7".try_into().unwrap()).unwrap();
            let failure = handshake(&mut client, &mut acceptor.accept().unwrap()).unwrap_err();
            assert_eq!(failure, ClientFailure::CertificateRefused(alert));
            assert!(failure.to_string().contains(words), "{failure}");
        }
    }
}

#[test]
fn sessions_resume_in_both_versions_and_keep_the_clients_certificate() {
    let setup = Setup::new();
    let kinds = [HandshakeKind::Full, HandshakeKind::Resumed];
    assert_kinds_of_two_connections(&setup.acceptor(ClientAuth::Optional), &Site::new(), kinds);
}

#[test]
fn where_clients_certificates_are_verified_those_of_all_connections_are() {
    let (setup, site) = (Setup::new(), Site::new());
    let kinds = [HandshakeKind::Full, HandshakeKind::Full];
    assert_kinds_of_two_connections(&setup.requiring(&[&site.ca]), &site, kinds);
}

#[track_caller]
fn assert_kinds_of_two_connections(acceptor: &Acceptor, site: &Site, expected: [HandshakeKind; 2]) {
    let leaf = site.v1_leaf();
    for version in BOTH_VERSIONS {
        let config = client_config(std::slice::from_ref(&leaf), &site.key, version);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut client = ClientConnection::new(config.clone(), "10.0.0.7".try_into().unwrap()).unwrap();
            let mut server = acceptor.accept().unwrap();
            handshake(&mut client, &mut server).unwrap();
            assert_eq!(server.peer_certificates().unwrap(), std::slice::from_ref(&leaf));
            kinds.push(server.handshake_kind().unwrap());
        }
        assert_eq!(kinds, expected, "{version:?}");
    }
}

#[test]
fn a_session_from_before_a_reload_does_not_get_around_what_is_required_now() {
    let (setup, site) = (Setup::new(), Site::new());
    for version in BOTH_VERSIONS {
        let config = client_config(NOBODY, &site.key, version);
        let meet_by = |acceptor: Acceptor| {
            let mut client = ClientConnection::new(config.clone(), "10.0.0.7".try_into().unwrap()).unwrap();
            handshake(&mut client, &mut acceptor.accept().unwrap())
        };
        assert_eq!(meet_by(setup.acceptor(ClientAuth::NotAsked)), Ok(()));
        assert_eq!(meet_by(setup.requiring(&[&site.ca])), Err(ClientFailure::NoCertificate));
    }
}

#[test]
fn files_are_read_anew_by_each_new_acceptor() {
    let setup = Setup::new();
    let settings = setup.settings(ClientAuth::NotAsked);
    let shown = || {
        let mut client = connector(Verify::None, &[]).connect("10.0.0.7", false).unwrap();
        run(&mut client, &mut Acceptor::new(&settings, now()).unwrap().accept().unwrap()).unwrap();
        client.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown(), setup.leaf);
    let renewed = setup.site.draft().v3(&[]).sign(&setup.site.ca_key);
    setup.files.add("server.pem", certificates_pem(std::slice::from_ref(&renewed)));
    assert_eq!(shown(), renewed);
    setup.files.add("server.pem", "");
    let path = settings.identity.cert.clone();
    let error = SetupError::File { path, problem: FileProblem::Empty };
    assert_eq!(Acceptor::new(&settings, now()).map(drop), Err(error));
}

#[test]
fn an_encrypted_key_without_a_passphrase_is_told_from_one_with_a_wrong_one() {
    use crate::proto::Secret;
    let setup = Setup::new();
    let mut settings = setup.settings(ClientAuth::NotAsked);
    settings.identity.cert = setup.files.add("rsa.pem", include_str!("../testdata/ca.openssl.pem"));
    settings.identity.key = setup.files.add("rsa.key", include_str!("../testdata/rsa.encrypted.pem"));
    let mut with = |passphrase: Option<&str>| {
        settings.identity.passphrase = passphrase.map(|text| Secret::new(text.into()));
        match Acceptor::new(&settings, now()) {
            Ok(_) => Ok(()),
            Err(SetupError::File { problem, .. }) => Err(problem),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(with(None), Err(FileProblem::PassphraseMissing));
    assert_eq!(with(Some("guess")), Err(FileProblem::PassphraseWrong));
    assert_eq!(with(Some("site-passphrase")), Ok(()));
}

#[test]
fn versions_and_suites_are_held_to() {
    let setup = Setup::new();
    let limited = |versions, suites: &str| {
        let suites = Suites::from_option(suites).unwrap();
        Acceptor::new(&AcceptorSettings { versions, suites, ..setup.settings(ClientAuth::NotAsked) }, now()).unwrap()
    };
    let meet_by = |acceptor: &Acceptor, version| {
        let mut server = acceptor.accept().unwrap();
        handshake(&mut client(NOBODY, &setup.site.key, version), &mut server)
            .map(|()| server.negotiated_cipher_suite().unwrap().suite())
    };
    let [tls12, tls13] = BOTH_VERSIONS;
    let missing = |what| Err(ClientFailure::NothingInCommon(what, None));
    assert_eq!(meet_by(&limited(Versions::Only13, "ALL"), tls12), missing(Missing::Version));
    assert_eq!(meet_by(&limited(Versions::Only12, "ALL"), tls13), missing(Missing::Version));
    let chosen = limited(Versions::Both, "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256");
    let suite = rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    assert_eq!(meet_by(&chosen, tls12), Ok(suite), "in our order");
    assert!(meet_by(&chosen, tls13).is_ok(), "TLS 1.3 has its own suites");
    // The server's key is ECDSA.
    assert_eq!(meet_by(&limited(Versions::Both, "aRSA"), tls12), missing(Missing::Algorithm));
}

#[test]
fn clients_that_offer_application_protocols_are_served() {
    let setup = Setup::new();
    let mut config = (*client_config(NOBODY, &setup.site.key, BOTH_VERSIONS[1])).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = ClientConnection::new(config.into(), "10.0.0.7".try_into().unwrap()).unwrap();
    assert_eq!(handshake(&mut client, &mut setup.acceptor(ClientAuth::NotAsked).accept().unwrap()), Ok(()));
}

#[test]
fn what_should_be_seen_to_is_reported() {
    let (setup, site) = (Setup::new(), Site::new());
    let mut settings = setup.settings(ClientAuth::Required { ca: setup.files.add("ca.pem", "") });
    let ClientAuth::Required { ca } = settings.clients.clone() else { unreachable!() };
    let error = SetupError::File { path: ca, problem: FileProblem::Empty };
    assert_eq!(Acceptor::new(&settings, now()).map(drop), Err(error));
    setup.files.add("ca.pem", certificates_pem(std::slice::from_ref(&site.ca)));
    let expired = Draft { not_after: "260530000000Z", ..setup.site.draft() }.sign(&setup.site.ca_key);
    settings.identity.cert = setup.files.add("expired.pem", certificates_pem(&[expired]));
    let acceptor = Acceptor::new(&settings, now()).unwrap();
    assert_eq!(acceptor.report().len(), 2);
    assert!(acceptor.warnings()[0].contains("expired on 2026-05-30"), "{:?}", acceptor.warnings());
}
