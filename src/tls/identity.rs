//! Our own certificate and key.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use super::pem;
use super::settings::IdentitySettings;
use super::setup::{FileProblem, SetupError};
use super::x509::Certificate;

/// Reads a certificate with its chain, and its key, and checks that they belong together.
///
/// rustls's own constructors read the certificate with webpki, which takes no version 1: peers do, and it is theirs to
/// judge.
pub(super) fn load(settings: &IdentitySettings) -> Result<Arc<CertifiedKey>, SetupError> {
    let chain = pem::certificates(&settings.cert)?;
    let key = pem::private_key(&settings.key, settings.passphrase.as_ref())?;
    let key = ring::sign::any_supported_type(key.der())
        .map_err(|error| SetupError::file(&settings.key, FileProblem::UnusableKey(error.to_string())))?;
    match position_of(&chain, &*key).map_err(|bad| SetupError::file(&settings.cert, bad))? {
        Some(0) => Ok(Arc::new(CertifiedKey::new(chain, key))),
        other => Err(SetupError::KeyMismatch {
            cert: settings.cert.clone(),
            key: settings.key.clone(),
            fits: other.map(|index| index + 1),
        }),
    }
}

/// Which certificate of `chain` is for `key`.
fn position_of(chain: &[CertificateDer<'_>], key: &dyn SigningKey) -> Result<Option<usize>, FileProblem> {
    let Some(public_key) = key.public_key() else { return Ok(Some(0)) };
    for (index, der) in chain.iter().enumerate() {
        let certificate = Certificate::parse(der).map_err(|_| FileProblem::BadCertificate(index + 1))?;
        if certificate.public_key == public_key.as_ref() {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
