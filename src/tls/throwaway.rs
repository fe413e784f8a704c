//! Certificates made on the spot, for demonstrations and tests.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::connector::ConnectError;
use super::setup::SetupError;

/// An authority whose key is forgotten with it. Its certificates outlive any demonstration.
#[derive(Debug)]
pub struct ThrowawayPki {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Issued {
    certificate: CertificateDer<'static>,
    cert_pem: String,
    key: KeyPair,
}

/// Whether a server asks its clients for certificates.
#[derive(Debug)]
pub enum ClientCertificates<'a> {
    /// It does not.
    NotAsked,
    /// It asks, takes none, and refuses any that this authority did not sign: a stock server with `-e -k`, without `-f`,
    /// is so with the system's authorities.
    Asked(&'a ThrowawayPki),
    /// It demands one that this authority signed: a stock server with `-e -k -f`.
    Demanded(&'a ThrowawayPki),
}

/// The server's side of TLS.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ServerConfig>);

impl ThrowawayPki {
    /// A new authority of the given name.
    pub fn new(name: &str) -> Result<Self, SetupError> {
        let mut params = params(name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(library)?;
        let certificate = params.self_signed(&key).map_err(library)?;
        Ok(Self { certificate: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate: what goes into a CA file.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate for `names`, host names or IP addresses; the first is its common name as well.
    pub fn server(&self, names: &[&str]) -> Result<Issued, SetupError> {
        let mut params = params(names.first().copied().unwrap_or("server"))?;
        params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params)
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Result<Issued, SetupError> {
        let mut params = params(name)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Result<Issued, SetupError> {
        let key = KeyPair::generate().map_err(library)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(library)?;
        Ok(Issued { certificate: certificate.der().clone(), cert_pem: certificate.pem(), key })
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, SetupError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(library)?;
        Ok(Arc::new(roots))
    }
}

impl Issued {
    /// The certificate.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The key, in PKCS#8.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The certificate's DER.
    pub fn cert_der(&self) -> &[u8] {
        &self.certificate
    }
}

impl Acceptor {
    /// A server that shows `issued`.
    pub fn new(issued: &Issued, clients: &ClientCertificates<'_>) -> Result<Self, SetupError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = |pki: &ThrowawayPki| {
            Ok::<_, SetupError>(WebPkiClientVerifier::builder_with_provider(pki.roots()?, Arc::clone(&provider)))
        };
        let clients = match clients {
            ClientCertificates::NotAsked => Arc::new(NoClientAuth),
            ClientCertificates::Asked(pki) => verifier(pki)?.allow_unauthenticated().build().map_err(library)?,
            ClientCertificates::Demanded(pki) => verifier(pki)?.build().map_err(library)?,
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(library)?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![issued.certificate.clone()], key)
            .map_err(library)?;
        Ok(Self(Arc::new(config)))
    }

    /// The server's side of one connection, for [`Pipe::tls`](super::Pipe::tls).
    pub fn accept(&self) -> Result<ServerConnection, ConnectError> {
        ServerConnection::new(Arc::clone(&self.0)).map_err(|error| ConnectError::Library(error.to_string()))
    }
}

fn params(name: &str) -> Result<CertificateParams, SetupError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(library)?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn alternative_name(name: &str) -> Result<rcgen::SanType, SetupError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(rcgen::SanType::IpAddress(address)),
        Err(_) => name.try_into().map(rcgen::SanType::DnsName).map_err(library),
    }
}

fn library(error: impl std::fmt::Display) -> SetupError {
    SetupError::Library(error.to_string())
}
