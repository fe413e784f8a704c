//! From settings to the server's side of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};

use super::authorities::Authorities;
use super::connector::ConnectError;
use super::identity;
use super::report::{CertificateReport, Report};
use super::settings::IdentitySettings;
use super::setup::SetupError;
use super::suites::Suites;
use super::verify::ClientVerifier;
use super::versions::Versions;
use super::x509::Purpose;

/// What a server's TLS is set up by.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptorSettings {
    /// What we show.
    pub identity: IdentitySettings,
    /// The certificate that we ask for.
    pub clients: ClientAuth,
    /// Which versions of TLS are spoken.
    pub versions: Versions,
    /// Which cipher suites are.
    pub suites: Suites,
}

/// Which certificates a server asks of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// None: it does not ask.
    NotAsked,
    /// It asks, and takes any or none. A client that shows one has proven to hold its key, and nothing else: its
    /// SHA-256 means something then, and its names do not.
    Optional,
    /// One that this PEM file's authorities (or self-signed certificates) vouch for.
    Required {
        /// The PEM file.
        ca: PathBuf,
    },
}

/// Accepts TLS connections by one set of settings. Clones share tickets to resume by, and cost next to nothing. Where
/// clients' certificates are verified there are no tickets: each connection's certificate is.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<ServerConfig>,
    verifies_clients: bool,
    warnings: Vec<String>,
    report: Report,
}

impl Acceptor {
    /// Reads the files that `settings` name; dates are looked at as of `now`, for the warnings. Made anew, it reads
    /// them anew, and resumes no session of before.
    pub fn new(settings: &AcceptorSettings, now: UnixTime) -> Result<Self, SetupError> {
        let provider = settings.suites.provider();
        let algorithms = provider.signature_verification_algorithms;
        let identity = identity::load(&settings.identity)?;
        let mut report = identity.report(&settings.identity, algorithms.all, now);
        let verifier: Arc<dyn ClientCertVerifier> = match &settings.clients {
            ClientAuth::NotAsked => Arc::new(NoClientAuth),
            ClientAuth::Optional => Arc::new(ClientVerifier::optional(algorithms)),
            ClientAuth::Required { ca } => {
                let (authorities, trusted) = Authorities::load(ca, Purpose::Client, algorithms.all, now)?;
                report.extend(trusted);
                Arc::new(ClientVerifier::required(authorities, algorithms))
            }
        };
        let mut config = server_config(provider, settings.versions, verifier, identity.certified_key)?;
        config.ignore_client_order = settings.suites.in_our_order();
        let verifies_clients = matches!(settings.clients, ClientAuth::Required { .. });
        if verifies_clients {
            // rustls looks at no certificate again where a session is resumed: one would be good for ever after it expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = ring::Ticketer::new().map_err(|error| SetupError::Library(error.to_string()))?;
        }
        let warnings = report.warnings();
        Ok(Self(Arc::new(Inner { config: Arc::new(config), verifies_clients, warnings, report })))
    }

    /// One that has read no files.
    #[cfg(any(test, feature = "demo"))]
    pub(super) fn from_config(config: ServerConfig) -> Self {
        let (config, verifies_clients) = (Arc::new(config), false);
        Self(Arc::new(Inner { config, verifies_clients, warnings: Vec::new(), report: Report::default() }))
    }

    /// The server's side of one connection, for [`Stream::tls`](super::Stream::tls).
    pub fn accept(&self) -> Result<ServerConnection, ConnectError> {
        ServerConnection::new(Arc::clone(&self.0.config)).map_err(|error| ConnectError::Library(error.to_string()))
    }

    /// Whether the names in its clients' certificates are vouched for.
    pub fn verifies_clients(&self) -> bool {
        self.0.verifies_clients
    }

    /// What to log at every start, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Every certificate of the settings' files, as of the time the acceptor was made.
    pub fn report(&self) -> &[CertificateReport] {
        &self.0.report.certificates
    }
}

/// A server that shows one certificate, of whatever shape: its peers judge it. Clients that offer application protocols
/// are served whichever these are, since it names none itself.
pub(super) fn server_config(
    provider: CryptoProvider,
    versions: Versions,
    clients: Arc<dyn ClientCertVerifier>,
    identity: Arc<CertifiedKey>,
) -> Result<ServerConfig, SetupError> {
    let always: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(identity));
    Ok(ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions.list())
        .map_err(|error| SetupError::Library(error.to_string()))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(always))
}
