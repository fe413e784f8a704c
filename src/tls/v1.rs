//! X.509 version 1 leaf certificates: what `openssl x509 -req` makes, and webpki refuses.
//!
//! The exception is as narrow as it can be. Such a certificate is read strictly, whole; it counts only directly under
//! an authority of the CA file whose subject is its issuer (RFC 5280, section 7.1) and whose key signed it, by the
//! provider's own algorithms. It never vouches for another.

use webpki::RawPublicKeyEntity;

use super::authorities::{Algorithms, weak_key};
use super::certificate_problem::{CertificateProblem, Weakness};
use super::dn::{Name, is_same};
use super::oids::signature_name;
use super::signature::{self, BadSignature};
use super::x509::{Certificate, Version, contents};

/// A version 1 certificate that was read to its last byte.
#[derive(Debug)]
pub(super) struct Leaf<'a>(Certificate<'a>);

impl<'a> Leaf<'a> {
    /// Reads `der` if it is a version 1 certificate in strict DER, names included, with one signature algorithm.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, NotVersion1> {
        let certificate = Certificate::parse(der).map_err(|_| NotVersion1::Malformed)?;
        if certificate.version != Version::V1 {
            return Err(NotVersion1::OtherVersion);
        }
        if certificate.inner_algorithm != certificate.outer_algorithm {
            return Err(NotVersion1::TwoAlgorithms);
        }
        Name::parse(certificate.issuer).map_err(|_| NotVersion1::Malformed)?;
        Name::parse(certificate.subject).map_err(|_| NotVersion1::Malformed)?;
        RawPublicKeyEntity::try_from(&certificate.key()).map_err(|_| NotVersion1::Malformed)?;
        Ok(Self(certificate))
    }

    /// Whether `issuer` bears the name this certificate gives, and its key signed it.
    pub(super) fn signed_by(&self, issuer: &Certificate<'_>, algorithms: Algorithms) -> Result<(), CertificateProblem> {
        if !is_same(self.0.issuer, issuer.subject) {
            return Err(CertificateProblem::UnknownIssuer { issuer: self.0.issuer_text() });
        }
        if let Some(problem) = weak_key(issuer.public_key) {
            return Err(problem);
        }
        signature::check(&self.0, issuer, algorithms).map_err(|bad| match bad {
            BadSignature::Wrong => CertificateProblem::BadSignature { issuer: self.0.issuer_text() },
            BadSignature::Unknown => {
                let name = contents(self.0.outer_algorithm).map_or_else(|_| String::new(), signature_name);
                CertificateProblem::Weak(Weakness::SignatureAlgorithm(name))
            }
            BadSignature::Malformed => CertificateProblem::Malformed,
        })
    }
}

/// Why some bytes are not taken for a version 1 certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotVersion1 {
    /// They are not one in strict DER.
    #[error("not a certificate in strict DER")]
    Malformed,
    /// A later version.
    #[error("not X.509 version 1")]
    OtherVersion,
    /// The signed and the unsigned name of the signature's algorithm differ.
    #[error("two signature algorithms")]
    TwoAlgorithms,
}

/// The body of the fuzz target for the version 1 reader: whatever is accepted is made of slices of the input that, put
/// together again, are the input.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub fn fuzz_v1(data: &[u8]) {
    let Ok(Leaf(certificate)) = Leaf::parse(data) else { return };
    let within = data.as_ptr_range();
    for part in
        [certificate.tbs, certificate.issuer, certificate.subject, certificate.public_key, certificate.signature]
    {
        let part = part.as_ptr_range();
        assert!(within.start <= part.start && part.end <= within.end, "a part lies outside of the input");
    }
    assert_eq!(rebuild(&certificate).as_deref(), Ok(data), "accepted, but not the one DER encoding of its parts");
    assert_eq!(certificate.extensions, None);
    let _ = certificate.issuer_text();
}

/// Encodes a certificate's parts anew.
#[cfg(any(test, feature = "fuzzing"))]
fn rebuild(certificate: &Certificate<'_>) -> der::Result<Vec<u8>> {
    use der::asn1::{AnyRef, BitStringRef};
    use der::{Encode, Tag};
    let signature = BitStringRef::from_bytes(certificate.signature)?.to_der()?;
    let parts = [certificate.tbs, certificate.outer_algorithm, &signature].concat();
    AnyRef::new(Tag::Sequence, &parts)?.to_der()
}
