//! Why a connection failed, in words that say what to do about it.

use std::io;
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, OtherError, PeerIncompatible};

use super::client_failure::ClientFailure;
use super::summary::{Sha256, utc};
use super::x509::Purpose;

/// What a [`Pipe`](super::Pipe) ends with when it does not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipeError {
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

impl PipeError {
    /// Whether the peer refused our certificate for its authority; see [`TlsFailure::client_certificate_refused`].
    pub fn client_certificate_refused(&self) -> bool {
        matches!(self, Self::Tls(failure) if failure.client_certificate_refused())
    }

    /// A failure to read the file that is being sent.
    pub(super) fn file(error: &io::Error) -> Self {
        Self::File { kind: error.kind(), message: words(error) }
    }
}

impl From<io::Error> for PipeError {
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
    /// A cipher suite, key exchange or signature; which one, the peer did not tell.
    Algorithm,
}

/// Why TLS with a peer failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// We do not accept the peer's certificate.
    #[error("the peer's certificate is not accepted: {}{}", .0, .0.way_out())]
    Certificate(CertificateProblem),
    /// The peer does not accept our certificate.
    #[error("{}", refused(*.0))]
    ClientCertificateRefused(AlertDescription),
    /// The peer wants a certificate of ours and got none it could use.
    #[error(
        "the peer demands a client certificate: set `cert` and `key` for this site, from the authority named by the \
         peer's -f option, and do not set offer_client_cert = false"
    )]
    ClientCertificateDemanded,
    /// There is nothing both sides can do.
    #[error("{}", missing(*.0))]
    NothingInCommon(Missing),
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
        /// What it said.
        alert: AlertDescription,
        /// When.
        phase: Phase,
    },
    /// The peer broke the protocol, or bytes were altered on the way.
    #[error("TLS broke down: {0}")]
    Broken(String),
}

impl TlsFailure {
    /// Whether the peer refused our certificate because it does not know its authority.
    ///
    /// A stock server with `-e -k` but without `-f` asks for a certificate and then judges it by the system's
    /// authorities: it is to be tried again without ours.
    pub fn client_certificate_refused(&self) -> bool {
        matches!(self, Self::ClientCertificateRefused(AlertDescription::UnknownCA))
    }

    /// What rustls's `error` means at this point of a connection we opened.
    pub(super) fn from_rustls(error: &rustls::Error, phase: Phase) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(CertificateProblem::from_rustls(error)),
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert, phase),
            rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::NothingInCommon(Missing::Version),
            rustls::Error::PeerIncompatible(_) => Self::NothingInCommon(Missing::Algorithm),
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
            // TLS 1.3 has an alert for it; in TLS 1.2 OpenSSL says handshake_failure, once a cipher suite is chosen.
            (AlertDescription::CertificateRequired, _)
            | (AlertDescription::HandshakeFailure, Phase::Handshake | Phase::Established) => {
                Self::ClientCertificateDemanded
            }
            (AlertDescription::ProtocolVersion, _) => Self::NothingInCommon(Missing::Version),
            (AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity, _) => {
                Self::NothingInCommon(Missing::Algorithm)
            }
            _ => Self::Alert { alert, phase },
        }
    }
}

fn refused(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => {
            "the peer does not know its authority: the peer's -f has to name our certificate's authority, or \
             offer_client_cert has to be false if the peer asks for none (no -f)"
        }
        AlertDescription::CertificateExpired => "it has expired, or the peer's clock is wrong",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::UnsupportedCertificate => "its kind or purpose does not suit the peer",
        _ => "the peer did not say why; its log may",
    };
    format!("the peer refused our client certificate ({alert:?}): {why}")
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

pub(super) fn phase_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Hello => "in answer to our first message",
        Phase::Handshake => "during the handshake",
        Phase::Established => "after the handshake",
    }
}

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// It is no X.509 certificate as DER writes it.
    #[error("it cannot be read as an X.509 certificate")]
    Malformed,
    /// Nobody in the CA file signed it.
    #[error("nobody in the CA file signed it; its issuer is {issuer:?}, whose certificate belongs into the CA file")]
    UnknownIssuer {
        /// Whom it names as its issuer.
        issuer: String,
    },
    /// It is self-signed, and not in the CA file.
    #[error(
        "it is self-signed and not itself in the CA file: add it there once you have compared it at the other end \
         (SHA-256 {sha256})"
    )]
    SelfSignedUnlisted {
        /// What to pin.
        sha256: Sha256,
    },
    /// Its alleged issuer did not sign these bytes.
    #[error(
        "its signature does not fit: it names {issuer:?} as its issuer, but the authority of that name in the CA file \
         has another key, or the certificate was altered"
    )]
    BadSignature {
        /// Whom it names as its issuer.
        issuer: String,
    },
    /// The peer does not hold the certificate's key.
    #[error("whoever showed it could not prove to hold its key")]
    BadHandshakeSignature,
    /// Its time is over.
    #[error("{whose} expired on {}; a new one is needed there (or the clock here is wrong)", utc(*.not_after))]
    Expired {
        /// Which certificate.
        whose: Whose,
        /// Its last second.
        not_after: UnixTime,
    },
    /// Its time has not come.
    #[error("{whose} counts only from {}: is the clock right, here and where it was made?", utc(*.not_before))]
    NotYetValid {
        /// Which certificate.
        whose: Whose,
        /// Its first second.
        not_before: UnixTime,
    },
    /// It is for another name.
    #[error(
        "it is not for {wanted:?} but for {}: use that name as the address, or make a certificate with the right name",
        names(found)
    )]
    NameMismatch {
        /// The site's address.
        wanted: String,
        /// The names it carries.
        found: Vec<String>,
    },
    /// Pins are set, and it is none of them.
    #[error(
        "it is none of the pinned ones; its SHA-256 is {found}. If the site's certificate was renewed, compare it at the \
         site and pin the new one"
    )]
    PinMismatch {
        /// What the peer presented.
        found: Sha256,
    },
    /// It is of a kind whose chain cannot be checked soundly.
    #[error("{shape}: another one has to be made")]
    UnsupportedShape {
        /// Which kind.
        shape: UnsupportedShape,
        /// What to pin.
        sha256: Sha256,
    },
    /// Its signature or key is no longer safe, or of a kind we do not have.
    #[error("{0}: make a new certificate with an RSA key of 2048 bits or more, or an ECDSA key, signed with SHA-256")]
    Weak(Weakness),
    /// Its extended key usage does not allow what it is used for.
    #[error("it is not meant for a TLS {0} (extendedKeyUsage lacks {0}Auth)")]
    WrongPurpose(Purpose),
    /// It has an extension that must be understood, and is not.
    #[error("it has a critical extension that is not understood here")]
    UnknownCriticalExtension,
    /// Anything else the check of the chain found.
    #[error("{0}")]
    Other(String),
}

/// Whose dates are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The peer's own certificate.
    Leaf,
    /// An authority above it.
    Authority,
}

impl Whose {
    pub(super) fn leaf_if(is_leaf: bool) -> Self {
        if is_leaf { Self::Leaf } else { Self::Authority }
    }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Leaf => "it",
            Self::Authority => "the certificate of an authority it depends on",
        })
    }
}

/// Shapes of certificates we do not follow a chain for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedShape {
    /// A version 1 certificate signed by an authority that is not itself in the CA file.
    #[error("it is an X.509 version 1 certificate under an intermediate authority")]
    Version1UnderIntermediate,
    /// Version 2 of X.509.
    #[error("it is an X.509 version 2 certificate")]
    Version2,
    /// A name that only stands in the common name, where an authority's names are limited by extension: those limits
    /// are for alternative names.
    #[error("it has no alternative names, and an authority above it is limited in the names it may vouch for")]
    CommonNameUnderConstraints,
    /// A peer's own certificate with CA:TRUE.
    #[error("it is an authority's own certificate (CA:TRUE), signed by another authority and used as a leaf")]
    AuthorityAsLeaf,
}

/// What is weak about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// The bits of the RSA key.
    #[error("its chain has an RSA key of only {0} bits")]
    ShortRsaKey(usize),
    /// SHA-1, MD5, DSA or something unheard of.
    #[error("it is signed with an algorithm that is not accepted (SHA-1, MD5, DSA, or an unusual one)")]
    SignatureAlgorithm,
}

impl CertificateProblem {
    /// What those can do besides who choose how a certificate is checked.
    fn way_out(&self) -> String {
        match self {
            Self::SelfSignedUnlisted { .. } => ", or pin it".to_owned(),
            Self::UnsupportedShape { sha256, .. } => {
                format!(", or this one pinned, once you have compared it at the other end (SHA-256 {sha256})")
            }
            Self::NameMismatch { .. } => ", or use verify = \"chain\"".to_owned(),
            _ => String::new(),
        }
    }

    pub(super) fn from_rustls(error: &CertificateError) -> Self {
        if let CertificateError::Other(OtherError(inner)) = error
            && let Some(problem) = inner.downcast_ref::<Self>()
        {
            return problem.clone();
        }
        match error {
            CertificateError::BadEncoding => Self::Malformed,
            CertificateError::BadSignature => Self::BadHandshakeSignature,
            other => Self::Other(other.to_string()),
        }
    }
}

/// How a verifier hands its verdict through rustls.
impl From<CertificateProblem> for rustls::Error {
    fn from(problem: CertificateProblem) -> Self {
        CertificateError::Other(OtherError(Arc::new(problem))).into()
    }
}

fn names(found: &[String]) -> String {
    let shown: Vec<String> = found.iter().map(|name| name.escape_debug().to_string()).collect();
    if shown.is_empty() { "nobody (it carries no name)".to_owned() } else { shown.join(", ") }
}

/// Whether `bytes`, received where plain Tentacle was expected, are a TLS record: the peer runs with `-e -k`.
///
/// A TLS server answers plain text with an alert, if it answers.
pub fn looks_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, 0x00..=0x04, ..])
}
