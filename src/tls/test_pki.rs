//! Certificates made on the spot, and TLS as stock servers do it: for demonstrations and tests.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};

use super::acceptor::{Acceptor, server_config};
use super::identity;
use super::setup::SetupError;
use super::versions::Versions;

/// An authority whose key is forgotten with it. Its certificates outlive any demonstration.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, as a PEM file.
    pub certificate_pem: String,
    /// The key, as an unencrypted PKCS#8 PEM file.
    pub key_pem: String,
}

/// What a stock server demands of its clients.
#[derive(Clone, Copy, Debug)]
pub enum StockClients<'a> {
    /// No certificate, and it does not ask.
    Anyone,
    /// No certificate; but it asks, and refuses those of authorities it does not have, which are all that matter: stock
    /// with `-e -k`.
    AnyoneOrWellKnown,
    /// One that this authority has signed: stock with `-e -k -f`.
    SignedBy(&'a Authority),
}

/// TLS as a stock server does it: versions 1.2 and 1.3, no resumption.
///
/// # Errors
/// The identity's PEM cannot be read, or its key is not the certificate's.
pub fn stock_tls(identity: &Identity, clients: StockClients<'_>) -> Result<Acceptor, SetupError> {
    let ours = identity::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes())?;
    let mut config = server_config(ring::default_provider(), Versions::Both, verifier(clients)?, ours.certified_key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Acceptor::from_config(config))
}

impl Authority {
    /// A new authority with a fresh key; `name` is its common name.
    pub fn new(name: &str) -> Result<Self, SetupError> {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(library)?;
        CertifiedIssuer::self_signed(params, key).map(Self).map_err(library)
    }

    /// Its own certificate, as a PEM file: what goes into a CA file.
    pub fn certificate_pem(&self) -> String {
        self.0.pem()
    }

    /// An identity for a server at `address`.
    pub fn server(&self, address: IpAddr) -> Result<Identity, SetupError> {
        self.issue(&server_params(address))
    }

    /// An identity for a server at `address` that expired in the year 2000.
    pub fn expired_server(&self, address: IpAddr) -> Result<Identity, SetupError> {
        let mut params = server_params(address);
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(2000, 1, 1);
        self.issue(&params)
    }

    /// An identity for a client.
    pub fn client(&self, name: &str) -> Result<Identity, SetupError> {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Result<Identity, SetupError> {
        let key = KeyPair::generate().map_err(library)?;
        let certificate = params.signed_by(&key, &self.0).map_err(library)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// rustls's own verifier reports a stranger's certificate as stock does: unknown CA.
fn verifier(clients: StockClients<'_>) -> Result<Arc<dyn ClientCertVerifier>, SetupError> {
    let builder = |authority: &Authority| {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).map_err(library)?;
        let provider = Arc::new(ring::default_provider());
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider))
    };
    match clients {
        StockClients::Anyone => Ok(Arc::new(NoClientAuth)),
        StockClients::AnyoneOrWellKnown => {
            builder(&Authority::new("A well-known authority")?)?.allow_unauthenticated().build().map_err(library)
        }
        StockClients::SignedBy(authority) => builder(authority)?.build().map_err(library),
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn server_params(address: IpAddr) -> CertificateParams {
    let mut params = named(&address.to_string());
    params.subject_alt_names = vec![SanType::IpAddress(address)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn library(error: impl fmt::Display) -> SetupError {
    SetupError::Library(error.to_string())
}
