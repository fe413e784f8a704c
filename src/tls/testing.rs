//! Certificates of any shape, sound or not, and handshakes in memory.

mod hellos;
mod pieces;

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier as _};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use super::client_failure::ClientFailure;
use super::failure::{Phase, TlsFailure};
use super::verify::{NoVerification, PolicyVerifier};
use super::{UnixTime, Verify};
use crate::tls::{ClientCertPolicy, Connector, IdentitySettings, TlsSettings};

pub(crate) use self::hellos::{client_hello, server_hello};
pub(super) use self::pieces::*;

/// 2026-06-01, when tests with dates happen.
pub(super) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_780_272_000))
}

/// One element: tag, length, value.
pub(super) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let length = &length[length.iter().position(|&byte| byte != 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![tag];
    if value.len() >= 0x80 {
        der.push(0x80 | u8::try_from(length.len()).unwrap());
    }
    der.extend_from_slice(length);
    der.extend_from_slice(value);
    der
}

/// A name with one common name.
pub(super) fn name(common_name: &str) -> Vec<u8> {
    let pair = [tlv(0x06, &[0x55, 4, 3]), tlv(0x0c, common_name.as_bytes())].concat();
    tlv(0x30, &tlv(0x31, &tlv(0x30, &pair)))
}

/// A certificate before it is signed, version 1 unless configured otherwise, valid from 2020 to 2049.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) version: Option<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) not_before: &'static str,
    pub(super) not_after: &'static str,
    pub(super) key: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
    pub(super) inner_algorithm: &'static [u8],
    pub(super) outer_algorithm: &'static [u8],
}

impl Draft {
    pub(super) fn new(subject: &str, issuer: &str, key: &KeyPair) -> Self {
        Self {
            version: None,
            issuer: name(issuer),
            subject: name(subject),
            not_before: "200101000000Z",
            not_after: "491231235959Z",
            key: key.subject_public_key_info(),
            extensions: Vec::new(),
            inner_algorithm: ECDSA_SHA256,
            outer_algorithm: ECDSA_SHA256,
        }
    }

    /// Makes it version 3, with these extensions.
    pub(super) fn v3(mut self, extensions: &[&[u8]]) -> Self {
        self.version = Some(2);
        self.extensions = extensions.iter().map(|extension| extension.to_vec()).collect();
        self
    }

    pub(super) fn tbs(&self) -> Vec<u8> {
        let version = self.version.map_or_else(Vec::new, |version| tlv(0xa0, &[2, 1, version]));
        let validity = [tlv(0x17, self.not_before.as_bytes()), tlv(0x17, self.not_after.as_bytes())].concat();
        let extensions = match self.extensions.concat() {
            none if none.is_empty() => Vec::new(),
            some => tlv(0xa3, &tlv(0x30, &some)),
        };
        let fields = [
            version,
            tlv(0x02, &[0x2a]),
            tlv(0x30, self.inner_algorithm),
            self.issuer.clone(),
            tlv(0x30, &validity),
            self.subject.clone(),
            self.key.clone(),
            extensions,
        ];
        tlv(0x30, &fields.concat())
    }

    pub(super) fn sign(&self, issuer: &KeyPair) -> CertificateDer<'static> {
        let tbs = self.tbs();
        let signature = issuer.sign(&tbs).unwrap();
        self.seal(&tbs, &signature)
    }

    pub(super) fn seal(&self, tbs: &[u8], signature: &[u8]) -> CertificateDer<'static> {
        let signature = tlv(0x03, &[&[0], signature].concat());
        tlv(0x30, &[tbs, &tlv(0x30, self.outer_algorithm), &signature].concat()).into()
    }
}

/// An authority and a server's key: what most tests begin with.
pub(super) struct Site {
    pub(super) ca_key: KeyPair,
    pub(super) ca: CertificateDer<'static>,
    pub(super) key: KeyPair,
}

impl Site {
    pub(super) fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let ca = Draft::new("CA", "CA", &ca_key).v3(&[CA_TRUE]).sign(&ca_key);
        Self { ca_key, ca, key: KeyPair::generate().unwrap() }
    }

    /// The server's certificate, to be signed by the authority.
    pub(super) fn draft(&self) -> Draft {
        Draft::new("site.example", "CA", &self.key)
    }

    /// The commonest certificate of all: version 1, directly under the authority.
    pub(super) fn v1_leaf(&self) -> CertificateDer<'static> {
        self.draft().sign(&self.ca_key)
    }
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(super) fn certificates_pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| pem("CERTIFICATE", der)).collect()
}

/// Files that live as long as this.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn add(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

/// A connector that checks by `verify` against `listed`, without a certificate of its own.
pub(super) fn connector(verify: Verify, listed: &[CertificateDer<'_>]) -> Connector {
    let files = Files::new();
    let ca = (!listed.is_empty()).then(|| files.add("ca.pem", certificates_pem(listed)));
    Connector::new(&TlsSettings { ca, identity: None, verify, offer: ClientCertPolicy::Auto }, now()).unwrap()
}

/// A connector that checks nothing and has the given certificate and key.
pub(super) fn connector_with_identity(chain: &[CertificateDer<'_>], key: &KeyPair) -> Connector {
    let files = Files::new();
    let identity = IdentitySettings {
        cert: files.add("cert.pem", certificates_pem(chain)),
        key: files.add("key.pem", key.serialize_pem()),
        passphrase: None,
    };
    let settings =
        TlsSettings { ca: None, identity: Some(identity), verify: Verify::None, offer: ClientCertPolicy::Auto };
    Connector::new(&settings, now()).unwrap()
}

pub(super) const BOTH_VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

fn certified(chain: &[CertificateDer<'_>], key: &KeyPair) -> CertifiedKey {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = ring::sign::any_supported_type(&key).unwrap();
    CertifiedKey::new(chain.iter().map(|der| der.clone().into_owned()).collect(), key)
}

/// A server that shows `chain` and proves it with `key`, whether they belong together or not.
pub(super) fn server_config(
    chain: &[CertificateDer<'_>],
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
    clients: Arc<dyn ClientCertVerifier>,
) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified(chain, key))));
    Arc::new(config)
}

/// A client that shows `chain` and proves it with `key`, whether they belong together or not; it checks nothing.
pub(super) fn client_config(
    chain: &[CertificateDer<'_>],
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier = PolicyVerifier::new(NoVerification, provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Arc::new(if chain.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(chain, key))))
    })
}

/// A client that trusts this authority and no other, as rustls itself judges.
pub(super) fn rustls_client_config(
    trusted: &CertificateDer<'_>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone().into_owned()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// One connection of such a server.
pub(super) fn server(
    chain: &[CertificateDer<'_>],
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
    clients: Arc<dyn ClientCertVerifier>,
) -> ServerConnection {
    ServerConnection::new(server_config(chain, key, version, clients)).unwrap()
}

/// Demands a certificate, takes any that its owner can prove.
#[derive(Debug)]
pub(super) struct AnyClient(PolicyVerifier<NoVerification>);

impl AnyClient {
    pub(super) fn new() -> Arc<Self> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Arc::new(Self(PolicyVerifier::new(NoVerification, algorithms)))
    }
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Runs a handshake to its end, with what follows it; the server's view of a failure.
pub(super) fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), ClientFailure> {
    for _ in 0..8 {
        pass(|wire| client.write_tls(wire), |wire| server.read_tls(wire));
        let phase = match (server.is_handshaking(), server.negotiated_cipher_suite()) {
            (false, _) => Phase::Established,
            (true, Some(_)) => Phase::Handshake,
            (true, None) => Phase::Hello,
        };
        server.process_new_packets().map_err(|error| ClientFailure::from_rustls(&error, phase, &[]))?;
        pass(|wire| server.write_tls(wire), |wire| client.read_tls(wire));
        // What a client refuses, the server gets by alert.
        let _ = client.process_new_packets();
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

/// Runs a handshake to its end, with what follows it; the client's view of a failure.
pub(super) fn run(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), TlsFailure> {
    for _ in 0..8 {
        pass(|wire| client.write_tls(wire), |wire| server.read_tls(wire));
        // What a server refuses, the client gets by alert.
        let _ = server.process_new_packets();
        pass(|wire| server.write_tls(wire), |wire| client.read_tls(wire));
        let phase = if client.is_handshaking() { Phase::Handshake } else { Phase::Established };
        client.process_new_packets().map_err(|error| TlsFailure::from_rustls(&error, phase, &[]))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

/// The alert by which one side learns that the other ends the handshake.
pub(super) fn alert_received(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Option<rustls::AlertDescription> {
    for _ in 0..8 {
        pass(|wire| client.write_tls(wire), |wire| server.read_tls(wire));
        let at_server = server.process_new_packets().err();
        pass(|wire| server.write_tls(wire), |wire| client.read_tls(wire));
        let at_client = client.process_new_packets().err();
        for error in [at_server, at_client].into_iter().flatten() {
            if let rustls::Error::AlertReceived(alert) = error {
                return Some(alert);
            }
        }
    }
    None
}

fn pass(
    mut write: impl FnMut(&mut Vec<u8>) -> std::io::Result<usize>,
    mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>,
) {
    let mut wire = Vec::new();
    while write(&mut wire).unwrap() > 0 {}
    let mut wire = &wire[..];
    while !wire.is_empty() {
        read(&mut wire).unwrap();
    }
}
