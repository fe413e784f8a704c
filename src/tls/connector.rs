//! From settings to TLS connections.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection};

use super::authorities::Authorities;
use super::failure::{Phase, TlsFailure};
use super::identity;
use super::report::{CertificateReport, Report};
use super::settings::{TlsSettings, Verify};
use super::setup::SetupError;
use super::summary::Sha256;
use super::verify::{Chain, ChainAndName, NoVerification, Pinned, PolicyVerifier};
use super::x509::Purpose;

/// How many servers' sessions are kept for resumption, per set of settings. rustls counts eight tickets a server.
const REMEMBERED_SERVERS: usize = 1024;
const TICKETS_PER_SERVER: usize = 8;

/// Makes TLS connections by one set of settings. Clones share sessions to resume, and cost next to nothing.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    with_identity: Option<Client>,
    without_identity: Client,
    verifier: Arc<dyn ServerCertVerifier>,
    is_unchecked: bool,
    report: Report,
}

/// A configuration, and the sessions that it resumes.
#[derive(Debug)]
struct Client {
    config: Arc<ClientConfig>,
    sessions: Arc<ClientSessionMemoryCache>,
}

/// A site's address that can stand in no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Neither an IP address nor a host name.
    #[error("{0:?} is neither an IP address nor a host name, so TLS cannot be spoken to it")]
    BadHost(String),
    /// rustls would not begin.
    #[error("TLS cannot begin: {0}")]
    Library(String),
}

impl Connector {
    /// Reads the files that `settings` name; dates are looked at as of `now`, for the warnings.
    pub fn new(settings: &TlsSettings, now: UnixTime) -> Result<Self, SetupError> {
        let provider = Arc::new(ring::default_provider());
        let (verifier, mut report) = verifier(settings, provider.signature_verification_algorithms, now)?;
        let without_identity = client_config(&provider, &verifier, None)?;
        let with_identity = match &settings.identity {
            None => None,
            Some(identity) => {
                let ours = identity::load(identity)?;
                report.extend(ours.report(identity, provider.signature_verification_algorithms.all, now));
                Some(client_config(&provider, &verifier, Some(ours.certified_key))?)
            }
        };
        let is_unchecked = settings.verify == Verify::None;
        Ok(Self(Arc::new(Inner { with_identity, without_identity, verifier, is_unchecked, report })))
    }

    /// Begins a connection to `host`, a name or an IP address without brackets. Our own certificate, where there is
    /// one, is offered if `offer` is true.
    pub fn connect(&self, host: &str, offer: bool) -> Result<ClientConnection, ConnectError> {
        let client = match &self.0.with_identity {
            Some(client) if offer => client,
            _ => &self.0.without_identity,
        };
        ClientConnection::new(Arc::clone(&client.config), server_name(host)?)
            .map_err(|error| ConnectError::Library(error.to_string()))
    }

    /// Looks at the certificate of a session with `host` that was resumed, as of `now`: rustls does so only when it begins.
    /// Where it is not accepted any more, the next connection begins a session.
    pub fn check_resumed(
        &self,
        host: &str,
        certificates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), TlsFailure> {
        let (Some((leaf, intermediates)), Ok(name)) = (certificates.split_first(), server_name(host)) else {
            return Ok(());
        };
        let accepted = self.0.verifier.verify_server_cert(leaf, intermediates, &name, &[], now);
        accepted.map(drop).map_err(|error| {
            for client in self.0.with_identity.iter().chain([&self.0.without_identity]) {
                client.sessions.remove_tls12_session(&name);
                while client.sessions.take_tls13_ticket(&name).is_some() {}
            }
            TlsFailure::from_rustls(&error, Phase::Handshake, &[])
        })
    }

    /// Whether there is a certificate of our own to offer.
    pub fn has_identity(&self) -> bool {
        self.0.with_identity.is_some()
    }

    /// What to log at every start about the settings' files, one line each. Other connectors of the same files have the
    /// same lines.
    pub fn file_warnings(&self) -> Vec<String> {
        self.0.report.warnings()
    }

    /// What stands in the files and has no effect, one line each: of the file warnings those that are not in the report.
    pub fn remarks(&self) -> &[String] {
        &self.0.report.remarks
    }

    /// What to log at every start about how the site is checked.
    pub fn policy_warning(&self) -> Option<&'static str> {
        self.0.is_unchecked.then_some(
            "verify = \"none\": the site's certificate is not checked, so anyone on the way can read and change what is \
             collected",
        )
    }

    /// Every certificate of the settings' files, as of the time the connector was made.
    pub fn report(&self) -> &[CertificateReport] {
        &self.0.report.certificates
    }
}

/// One [`Connector`] for each distinct set of settings, however many sites have it.
#[derive(Debug, Default)]
pub struct Connectors(Vec<(TlsSettings, Connector)>);

impl Connectors {
    /// The connector for `settings`: the one made for equal settings before, or a new one.
    pub fn get(&mut self, settings: &TlsSettings, now: UnixTime) -> Result<Connector, SetupError> {
        if let Some((_, connector)) = self.0.iter().find(|(known, _)| known == settings) {
            return Ok(connector.clone());
        }
        let connector = Connector::new(settings, now)?;
        self.0.push((settings.clone(), connector.clone()));
        Ok(connector)
    }
}

fn verifier(
    settings: &TlsSettings,
    algorithms: WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(Arc<dyn ServerCertVerifier>, Report), SetupError> {
    Ok(match &settings.verify {
        Verify::Chain => {
            let (authorities, report) = authorities(settings, algorithms, now)?;
            (Arc::new(PolicyVerifier::new(Chain(authorities), algorithms)), report)
        }
        Verify::ChainAndName => {
            let (authorities, report) = authorities(settings, algorithms, now)?;
            (Arc::new(PolicyVerifier::new(ChainAndName(authorities), algorithms)), report)
        }
        Verify::Pin(pins) if pins.is_empty() => return Err(SetupError::NoPins),
        Verify::Pin(pins) => {
            let pins = pins.iter().copied().map(Sha256).collect();
            (Arc::new(PolicyVerifier::new(Pinned(pins), algorithms)), Report::default())
        }
        Verify::None => (Arc::new(PolicyVerifier::new(NoVerification, algorithms)), Report::default()),
    })
}

fn authorities(
    settings: &TlsSettings,
    algorithms: WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(Authorities, Report), SetupError> {
    let path = settings.ca.as_deref().ok_or(SetupError::NoAuthorities)?;
    Authorities::load(path, Purpose::Server, algorithms.all, now)
}

/// The configurations with and without our certificate keep their sessions apart: one resumed with the certificate
/// would still present it.
fn client_config(
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<CertifiedKey>>,
) -> Result<Client, SetupError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Library(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier));
    let mut config = match identity {
        Some(identity) => {
            let always: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(identity));
            builder.with_client_cert_resolver(always)
        }
        None => builder.with_no_client_auth(),
    };
    let sessions = Arc::new(ClientSessionMemoryCache::new(REMEMBERED_SERVERS * TICKETS_PER_SERVER));
    config.resumption = Resumption::store(Arc::clone(&sessions) as _);
    Ok(Client { config: Arc::new(config), sessions })
}

/// IPv6 zones (`fe80::1%eth0`) and a name's final dot are ways to get there, and stand in no certificate.
fn server_name(host: &str) -> Result<ServerName<'static>, ConnectError> {
    let name = match host.split_once('%') {
        Some((address, _zone)) => address,
        None => host.strip_suffix('.').unwrap_or(host),
    };
    ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::BadHost(host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::ClientCertPolicy;

    #[test]
    fn equal_settings_share_one_connector_and_others_do_not() {
        let settings = |verify| TlsSettings { ca: None, identity: None, verify, offer: ClientCertPolicy::Auto };
        let now = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
        let mut connectors = Connectors::default();
        let mut get = |verify| connectors.get(&settings(verify), now).unwrap();
        let (first, second) = (get(Verify::None), get(Verify::None));
        let other = get(Verify::Pin(vec![[7; 32]]));
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert!(!Arc::ptr_eq(&first.0, &other.0));
    }
}
