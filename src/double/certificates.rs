//! Throwaway certificates, and TLS as stock servers do it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

/// A certificate authority that lives as long as a test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes one with a fresh key; `name` is its common name.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        CertifiedIssuer::self_signed(params, key).map(Self).map_err(io::Error::other)
    }

    /// Its own certificate, as a PEM file.
    pub fn certificate_pem(&self) -> String {
        self.0.pem()
    }

    /// An identity for a server at `address`.
    pub fn server(&self, address: IpAddr) -> io::Result<Identity> {
        self.issue(&server_params(address))
    }

    /// An identity for a server at `address` that expired in the year 2000.
    pub fn expired_server(&self, address: IpAddr) -> io::Result<Identity> {
        let mut params = server_params(address);
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(2000, 1, 1);
        self.issue(&params)
    }

    /// An identity for a client.
    pub fn client(&self, name: &str) -> io::Result<Identity> {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> io::Result<Identity> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.0).map_err(io::Error::other)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn roots(&self) -> io::Result<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).map_err(io::Error::other)?;
        Ok(Arc::new(roots))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").finish_non_exhaustive()
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, as a PEM file.
    pub certificate_pem: String,
    /// The key, as an unencrypted PKCS#8 PEM file.
    pub key_pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// What a server wants of its clients.
#[derive(Clone, Copy, Debug)]
pub enum Clients<'a> {
    /// No certificate, and it does not ask.
    Anyone,
    /// No certificate; but it asks, and refuses those of authorities it does not know, which are all that matter:
    /// stock with `-e -k`.
    AnyoneOrWellKnown,
    /// One that this authority has signed: stock with `-e -k -f`.
    SignedBy(&'a Authority),
}

/// TLS as a stock server does it: versions 1.2 and 1.3, no resumption.
///
/// # Errors
/// The identity's PEM cannot be read, or its key is not the certificate's.
pub fn server_config(identity: &Identity, clients: Clients<'_>) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier(clients)?)
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn verifier(clients: Clients<'_>) -> io::Result<Arc<dyn ClientCertVerifier>> {
    let builder = |roots| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(roots, provider)
    };
    let verifier = match clients {
        Clients::Anyone => return Ok(WebPkiClientVerifier::no_client_auth()),
        Clients::AnyoneOrWellKnown => {
            builder(Authority::new("A well-known authority")?.roots()?).allow_unauthenticated().build()
        }
        Clients::SignedBy(authority) => builder(authority.roots()?).build(),
    };
    verifier.map_err(io::Error::other)
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn server_params(address: IpAddr) -> CertificateParams {
    let mut params = named(&address.to_string());
    params.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
