//! Whose key signed a certificate.

use webpki::RawPublicKeyEntity;

use super::authorities::{Algorithms, weak_key};
use super::x509::{Certificate, contents};

/// Why a signature is not taken for the issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadSignature {
    /// It is that of another key, or of other bytes.
    Wrong,
    /// It is of an algorithm, or by a key, that signatures are not checked with here.
    Unknown,
    /// The certificate or the key cannot be read.
    Malformed,
}

/// Checks that the key of `issuer` signed `certificate`, by the provider's algorithms.
pub(super) fn check(
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    algorithms: Algorithms,
) -> Result<(), BadSignature> {
    // ring calls every signature by such a key wrong.
    if weak_key(issuer.public_key).is_some() {
        return Err(BadSignature::Unknown);
    }
    let algorithm = contents(certificate.outer_algorithm).map_err(|_| BadSignature::Malformed)?;
    let key = issuer.key();
    let key = RawPublicKeyEntity::try_from(&key).map_err(|_| BadSignature::Malformed)?;
    let mut verdict = BadSignature::Unknown;
    for candidate in algorithms.iter().filter(|known| known.signature_alg_id().as_ref() == algorithm) {
        match key.verify_signature(*candidate, certificate.tbs, certificate.signature) {
            Ok(()) => return Ok(()),
            // One identifier stands for several algorithms, by the key's curve: the next may fit.
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => verdict = BadSignature::Wrong,
            Err(_) => return Err(BadSignature::Wrong),
        }
    }
    Err(verdict)
}
