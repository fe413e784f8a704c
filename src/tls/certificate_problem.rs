//! Why a peer's certificate is not accepted, in words that say what to do about it.

use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, OtherError};

use super::summary::{Sha256, utc};
use super::x509::Purpose;

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

impl CertificateProblem {
    /// What those can do besides who choose how a certificate is checked.
    pub(super) fn way_out(&self) -> String {
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
