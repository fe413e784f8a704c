//! How the server is reached, and under which name it is checked.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::console::Console;
use super::reason::{Reason, plain};
use crate::config::client::{ClientIdentity, ClientSettings, ClientTls};
use crate::config::proxy;
use crate::net::{HttpVersion, Target};
use crate::passphrase::{self, PassphraseError};
use crate::proto::shown;
use crate::tls::{
    AlertDescription, CertificateProblem, CertificateReport, ClientCertPolicy, Connector, IdentitySettings, Refusal,
    TlsFailure, TlsSettings, UnixTime, Verify,
};

/// How long connecting, and TLS, may take at least: stock does not limit them.
const LEAST_SETUP: Duration = Duration::from_secs(30);

/// How the server is reached.
#[derive(Clone, Debug)]
pub(super) struct Route {
    target: Arc<Target>,
    certificate: Certificate,
}

/// What becomes of a certificate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certificate {
    /// There is none.
    None,
    /// It is shown if the server asks.
    Offered,
    /// The server does not have its authority: the certificate is not offered.
    KeptBack,
}

impl Route {
    /// Reads what the settings name, and asks for a passphrase.
    pub(super) fn new(settings: &ClientSettings, console: Console) -> Result<Self, Reason> {
        let tls = settings.tls.as_ref().map(|tls| connector(tls, console)).transpose()?;
        let has_one = tls.as_ref().is_some_and(Connector::has_identity);
        let certificate = if has_one { Certificate::Offered } else { Certificate::None };
        let target = Target {
            host: settings.server.host.as_str().into(),
            port: settings.server.port,
            local: settings.local.as_deref().map(local_address).transpose()?,
            proxy: settings.proxy.as_ref().map(|settings| proxy(settings, HttpVersion::Http10)),
            tls,
            timeout: settings.timeout.max(LEAST_SETUP),
            quick_ack: true,
        };
        Ok(Self { target: Arc::new(target), certificate })
    }

    pub(super) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target)
    }

    pub(super) fn offers_certificate(&self) -> bool {
        self.certificate == Certificate::Offered
    }

    /// Another way after this one has failed, if there is one:
    /// - a stock server with `-e -k` but without `-f` needs no certificate of ours, and refuses one of a private CA;
    /// - stock's certificates carry an address, which is what its client checks them against, whatever the `-a` option is.
    pub(super) fn fallback(mut self, reason: Reason, console: Console) -> Result<Self, Reason> {
        match &reason {
            Reason::Tls { failure, .. } if self.offers_certificate() && failure.client_certificate_refused() => {
                console.log("The server does not know our certificate's authority: going on without a certificate");
                self.certificate = Certificate::KeptBack;
                Ok(self)
            }
            // It does need one: its first refusal names what is wrong.
            Reason::Tls { failure: TlsFailure::ClientCertificateDemanded(_), reached }
                if self.certificate == Certificate::KeptBack =>
            {
                let failure = TlsFailure::ClientCertificateRefused(AlertDescription::UnknownCA);
                Err(Reason::Tls { failure, reached: *reached })
            }
            Reason::Tls {
                failure: TlsFailure::Certificate(Refusal { problem: CertificateProblem::NameMismatch { .. }, .. }),
                reached,
                ..
            } if self.target.proxy.is_none() && self.target.host.parse::<IpAddr>().is_err() => {
                let name = &self.target.host;
                console.log(format_args!("The server's certificate is not for {name}: trying {reached}"));
                self.target = Arc::new(Target { host: reached.to_string().into(), ..(*self.target).clone() });
                Ok(self)
            }
            _ => Err(reason),
        }
    }
}

fn local_address(name: &str) -> Result<IpAddr, Reason> {
    let failed = |why| Reason::Local { name: name.to_owned(), why };
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let mut addresses = (name, 0).to_socket_addrs().map_err(|error| failed(plain(&error)))?;
    addresses.next().map(|address| address.ip()).ok_or_else(|| failed("it has no address".to_owned()))
}

fn connector(tls: &ClientTls, console: Console) -> Result<Connector, Reason> {
    let settings = TlsSettings {
        ca: tls.ca.clone(),
        identity: tls.identity.as_ref().map(identity).transpose()?,
        verify: if tls.ca.is_some() { Verify::ChainAndName } else { Verify::None },
        offer: ClientCertPolicy::Auto,
    };
    let connector = Connector::new(&settings, UnixTime::now())?;
    connector.report().iter().flat_map(CertificateReport::warnings).for_each(|warning| console.log(warning));
    if tls.ca.is_none() {
        console.log("The server's certificate is not checked: -f does that");
    }
    Ok(connector)
}

fn identity(identity: &ClientIdentity) -> Result<IdentitySettings, PassphraseError> {
    let ClientIdentity { cert, key, ask_passphrase } = identity;
    let passphrase = ask_passphrase.then(|| passphrase::ask(&shown(key))).transpose()?;
    Ok(IdentitySettings { cert: cert.clone(), key: key.clone(), passphrase })
}
