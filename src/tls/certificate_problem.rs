//! Why a peer's certificate is not accepted, with advice on what to do about it.

use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, OtherError};

use super::summary::{Sha256, utc};
use super::x509::Purpose;

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// It is no X.509 certificate as DER writes it.
    #[error("it cannot be read as an X.509 certificate in strict DER: make a new one")]
    Malformed,
    /// It is nearly one.
    #[error("{0}, which X.509 does not allow: make a new certificate")]
    Irregular(Irregularity),
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
        "it is not for {wanted:?} but for {}{}: use a name that it carries as the address, or make a certificate with the \
         right one (openssl: subjectAltName={}:{wanted})",
        names(found), misnaming.map(|slip| format!(" ({slip})")).unwrap_or_default(), kind_of(wanted)
    )]
    NameMismatch {
        /// The site's address.
        wanted: String,
        /// The names it carries.
        found: Vec<String>,
        /// Why a name in it does not count, though its author may think so.
        misnaming: Option<Misnaming>,
    },
    /// Pins are set, and it is none of them.
    #[error(
        "it is none of the pinned ones: its SHA-256 is {found}. Compare that with what `openssl x509 -noout -fingerprint \
         -sha256 -in FILE` says of the certificate there: if it differs, another server answers here, or somebody on the \
         way, and the pins are right as they are; if it is the same, the certificate was renewed"
    )]
    PinMismatch {
        /// What the peer presented.
        found: Sha256,
    },
    /// It is of a kind whose chain cannot be checked soundly.
    #[error("{0}: another one has to be made")]
    UnsupportedShape(UnsupportedShape),
    /// Its signature or key is no longer safe, or of a kind we do not have.
    #[error("{0}: make a new certificate with an RSA key of 2048 bits or more, or an ECDSA key, signed with SHA-256")]
    Weak(Weakness),
    /// Its extended key usage does not allow what it is used for.
    #[error("it is not meant for a TLS {0} (extendedKeyUsage lacks {0}Auth)")]
    WrongPurpose(Purpose),
    /// It has an extension that must be understood, and is not.
    #[error("{0}: another one has to be made without it, or with that extension not critical")]
    UnknownCriticalExtension(UnknownExtension),
    /// An authority's limits rule it out, or are of a kind that is not weighed here.
    #[error(
        "an authority above it is limited in the names it may vouch for (nameConstraints), and these limits rule it out \
         or are not understood here (such as those of directory names)"
    )]
    NameLimits,
    /// Anything else the check of the chain found.
    #[error("{0}")]
    Other(String),
}

impl CertificateProblem {
    /// Whether a pin gets around it: a pin takes the place of all checks of the certificate, but not of the proof that
    /// the peer holds its key. What may be an attack, or mends itself, is left out.
    pub(super) fn is_overridden_by_a_pin(&self) -> bool {
        match self {
            Self::Malformed
            | Self::Irregular(_)
            | Self::UnknownIssuer { .. }
            | Self::SelfSignedUnlisted { .. }
            | Self::UnsupportedShape(_)
            | Self::Weak(_)
            | Self::WrongPurpose(_)
            | Self::UnknownCriticalExtension(_)
            | Self::NameLimits
            | Self::Other(_) => true,
            Self::BadSignature { .. }
            | Self::BadHandshakeSignature
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::NameMismatch { .. }
            | Self::PinMismatch { .. } => false,
        }
    }

    /// The error for rustls, which chooses the alert for the peer by it (RFC 8446, section 6.2).
    pub(super) fn to_rustls(&self) -> CertificateError {
        match self {
            // bad_certificate
            Self::Malformed | Self::Irregular(_) | Self::BadSignature { .. } => CertificateError::BadEncoding,
            Self::NameMismatch { .. } => CertificateError::NotValidForName,
            // unknown_ca
            Self::UnknownIssuer { .. } | Self::SelfSignedUnlisted { .. } => CertificateError::UnknownIssuer,
            // certificate_expired, which stands for both
            Self::Expired { .. } => CertificateError::Expired,
            Self::NotYetValid { .. } => CertificateError::NotValidYet,
            // unsupported_certificate
            Self::UnsupportedShape(_) | Self::Weak(_) | Self::WrongPurpose(_) | Self::UnknownCriticalExtension(_) => {
                CertificateError::InvalidPurpose
            }
            // decrypt_error
            Self::BadHandshakeSignature => CertificateError::BadSignature,
            // certificate_unknown
            Self::PinMismatch { .. } | Self::NameLimits | Self::Other(_) => {
                CertificateError::Other(OtherError(Arc::new(self.clone())))
            }
        }
    }

    /// What an error of rustls's own comes to.
    pub(super) fn of_rustls(error: &CertificateError) -> Self {
        match error {
            CertificateError::BadEncoding => Self::Malformed,
            CertificateError::BadSignature => Self::BadHandshakeSignature,
            other => Self::Other(other.to_string()),
        }
    }
}

/// What keeps a certificate from being read that is one but for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Irregularity {
    /// The default is spelled.
    #[error("it spells out that it is of version 1")]
    ExplicitVersion1,
    /// Those are of version 3.
    #[error("it has extensions and is not marked as version 3")]
    ExtensionsWithoutVersion,
    /// Dates that UNIX has no number for.
    #[error("it counts from a time before 1970")]
    BeforeUnix,
}

/// An extension that has to be understood, by its name where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownExtension {
    /// In the peer's own certificate.
    #[error("it has a critical extension that is not understood here ({0})")]
    OfLeaf(String),
    /// In one above it.
    #[error("an authority above it has a critical extension that is not understood here")]
    OfAuthority,
}

/// Why a name in a certificate does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misnaming {
    /// As alternative name.
    #[error("an address counts as IP address, not as DNS name")]
    AddressAsDnsName,
    /// `*` in it.
    #[error("a wildcard counts as alternative name, not as common name")]
    WildcardInCommonName,
    /// E-mail addresses, URIs and the like.
    #[error("its alternative names are none of servers, and beside alternative names its common name does not count")]
    OtherKinds,
}

fn kind_of(host: &str) -> &'static str {
    if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" }
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// The bits of the RSA key.
    #[error("its chain has an RSA key of only {0} bits")]
    ShortRsaKey(usize),
    /// SHA-1, MD5, DSA or something unusual, by its name.
    #[error("it, or an authority above it, is signed with {0}, which is not accepted here")]
    SignatureAlgorithm(String),
}
