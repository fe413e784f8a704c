//! Why a connection failed, with advice on what to do about it.

use std::io;

use rustls::{AlertDescription, PeerIncompatible, PeerMisbehaved};

use super::certificate_problem::CertificateProblem;
use super::client_failure::ClientFailure;
use super::hello::Hello;
use super::refusal::Refusal;

/// What a [`Stream`](super::Stream) ends with when it does not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// TLS itself, or the certificates, with a site.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// The same, with a client of ours.
    #[error(transparent)]
    Client(#[from] ClientFailure),
    /// The file that was to be sent.
    #[error("the file cannot be read: {message}")]
    File {
        /// What kind of failure it was.
        kind: io::ErrorKind,
        /// The system's words for it.
        message: String,
    },
    /// The connection under it.
    #[error("the connection broke: {message}")]
    Io {
        /// What kind of failure it was.
        kind: io::ErrorKind,
        /// The system's words for it.
        message: String,
    },
}

impl StreamError {
    /// Whether the peer refused our certificate for its authority; see [`TlsFailure::client_certificate_refused`].
    pub fn client_certificate_refused(&self) -> bool {
        matches!(self, Self::Tls(failure) if failure.client_certificate_refused())
    }

    /// A failure to read the file that is being sent.
    pub(super) fn file(error: &io::Error) -> Self {
        Self::File { kind: error.kind(), message: words(error) }
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Io { kind: error.kind(), message: words(&error) }
    }
}

/// The system's words, without the "(os error 104)" behind them.
fn words(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// When an alert came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// In answer to our first message, before the peer chose anything.
    Hello,
    /// While certificates and keys were exchanged.
    Handshake,
    /// After the handshake was done on our side.
    Established,
}

/// What the peer lacks that we ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// TLS 1.2 or 1.3.
    Version,
    /// A cipher suite, key exchange or signature; the alert does not name which one.
    Algorithm,
}

/// Why TLS with a peer failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// We do not accept the peer's certificate.
    #[error("the peer's certificate is not accepted: {}{}", .0.problem, way_out(.0))]
    Certificate(Refusal),
    /// The peer does not accept our certificate.
    #[error("{}", refused(*.0))]
    ClientCertificateRefused(AlertDescription),
    /// The peer demands a certificate of ours and got none it could use.
    #[error("{}", demanded(*.0))]
    ClientCertificateDemanded(AlertDescription),
    /// There is nothing both sides can do.
    #[error("{}{}", missing(*.0), chosen(.1.as_ref()))]
    NothingInCommon(Missing, Option<Hello>),
    /// The peer does not speak TLS.
    #[error(
        "the peer answers, but not in TLS: either its Tentacle server runs without -e and -k (then switch TLS off for \
         this site), or this is the port of something else"
    )]
    NotTls,
    /// The peer hung up before the handshake was done.
    #[error(
        "the peer closed the connection during the TLS handshake: a Tentacle server without -e and -k does so (then \
         switch TLS off for this site), and so does one that cannot read its own certificate or key"
    )]
    ClosedInHandshake,
    /// Any other alert.
    #[error("the peer ended TLS with the alert {alert:?} {}", phase_text(*.phase))]
    Alert {
        /// The alert.
        alert: AlertDescription,
        /// When.
        phase: Phase,
    },
    /// The peer broke the protocol, or bytes were altered on the way.
    #[error("TLS broke down: {0}")]
    Broken(String),
}

impl TlsFailure {
    /// Whether the peer refused our certificate because it does not have its authority.
    ///
    /// A stock server with `-e -k` but without `-f` asks for a certificate and then judges it by the system's
    /// authorities: it is to be tried again without ours.
    pub fn client_certificate_refused(&self) -> bool {
        matches!(self, Self::ClientCertificateRefused(AlertDescription::UnknownCA))
    }

    /// What rustls's `error` means at this point of a connection we opened, to a server that began with `first`.
    pub(super) fn from_rustls(error: &rustls::Error, phase: Phase, first: &[u8]) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(Refusal::behind(error)),
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert, phase),
            rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::NothingInCommon(Missing::Version, Hello::of(first)),
            rustls::Error::PeerIncompatible(_)
            | rustls::Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite) => {
                Self::NothingInCommon(Missing::Algorithm, Hello::of(first))
            }
            rustls::Error::InvalidMessage(_) if phase == Phase::Hello => Self::NotTls,
            other => Self::Broken(other.to_string()),
        }
    }

    fn from_alert(alert: AlertDescription, phase: Phase) -> Self {
        match (alert, phase) {
            // A server judges nothing else of ours, so an alert about certificates is about our certificate.
            (
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::AccessDenied,
                _,
            ) => Self::ClientCertificateRefused(alert),
            // TLS 1.3 has an alert for it; in TLS 1.2 OpenSSL sends handshake_failure, once a cipher suite is chosen.
            (AlertDescription::CertificateRequired, _)
            | (AlertDescription::HandshakeFailure, Phase::Handshake | Phase::Established) => {
                Self::ClientCertificateDemanded(alert)
            }
            (AlertDescription::ProtocolVersion, _) => Self::NothingInCommon(Missing::Version, None),
            (AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity, _) => {
                Self::NothingInCommon(Missing::Algorithm, None)
            }
            _ => Self::Alert { alert, phase },
        }
    }
}

/// What those can do besides who choose how a certificate is checked.
fn way_out(refusal: &Refusal) -> String {
    match refusal {
        Refusal { problem: CertificateProblem::NameMismatch { .. }, .. } => {
            ", or use verify = \"chain\", which looks at no names".to_owned()
        }
        Refusal { problem: CertificateProblem::PinMismatch { found }, .. } => {
            format!(": add it to the site's pins (pins = [\"{found}\"])")
        }
        Refusal { pin: Some(sha256), .. } => format!(
            ", or pin this one (verify = \"pin\", pins = [\"{sha256}\"]) once you have compared it at the other end"
        ),
        Refusal { pin: None, .. } => String::new(),
    }
}

fn demanded(alert: AlertDescription) -> String {
    let advice = "set `cert` and `key` for this site, from the authority named by the peer's -f option, and do not set \
                  offer_client_cert = false";
    if alert == AlertDescription::CertificateRequired {
        return format!("the peer demands a client certificate: {advice}");
    }
    format!(
        "the peer ended TLS with the alert {alert:?} after it had chosen a cipher suite. OpenSSL does so in TLS 1.2 where it \
         demands a client certificate and gets none: {advice}. If one was offered, the peer's log may say more"
    )
}

/// What the alert stands for, and then what may be looked at.
fn refused(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => {
            "the peer finds no authority that it trusts above it: the peer's -f has to name our certificate's authority, \
             and our `cert` to hold the intermediate ones, or offer_client_cert has to be false if the peer asks for none \
             (no -f)"
        }
        AlertDescription::CertificateExpired => {
            "to the peer it, or an authority above it, does not count at this time: look at its dates, and at the peer's \
             clock"
        }
        AlertDescription::CertificateRevoked => "to the peer it is revoked",
        AlertDescription::UnsupportedCertificate => {
            "its kind does not suit the peer: its use (extendedKeyUsage has to have clientAuth, or not to be there), its \
             key, how it is signed, or its version; the peer's log may say which"
        }
        AlertDescription::BadCertificate => {
            "to the peer it is damaged, or a signature in its chain does not fit: is the authority that the peer's -f names \
             the one that signed it, and not another one of the same name?"
        }
        AlertDescription::AccessDenied => "the peer has read it, and does not let it in",
        _ => "the alert does not say why; the peer's log may",
    };
    format!("the peer refused our client certificate (alert {alert:?}): {why}")
}

fn missing(missing: Missing) -> &'static str {
    match missing {
        Missing::Version => {
            "the peer has neither TLS 1.2 nor TLS 1.3; TLS 1.1 and older are not spoken here: update the peer's \
             OpenSSL, or lift its -z option"
        }
        Missing::Algorithm => {
            "the peer has no algorithm in common with us: we speak ECDHE (X25519, P-256, P-384) with AES-GCM or \
             ChaCha20-Poly1305, and certificates with RSA from 2048 bits, ECDSA or Ed25519 keys. Plain DHE, static RSA, \
             CBC suites and DSA certificates are missing here: look at the peer's -u option and its certificate's key"
        }
    }
}

fn chosen(hello: Option<&Hello>) -> String {
    hello.map_or_else(String::new, |hello| format!(". The peer chose {hello}"))
}

pub(super) fn phase_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Hello => "in answer to our first message",
        Phase::Handshake => "during the handshake",
        Phase::Established => "after the handshake",
    }
}

/// Whether `bytes`, received where plain Tentacle was expected, are a TLS record: the peer runs with `-e -k`.
///
/// A TLS server answers plain text with an alert, if it answers.
pub fn looks_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, 0x00..=0x04, ..])
}
