//! Our own certificate and key.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use super::pem;
use super::settings::IdentitySettings;
use super::setup::{FileProblem, SetupError};
use super::x509::Certificate;

/// Reads a certificate with its chain, and its key, and checks that they belong together.
pub(super) fn load(settings: &IdentitySettings) -> Result<Arc<CertifiedKey>, SetupError> {
    let chain = pem::certificates(&settings.cert)?;
    let key = pem::private_key(&settings.key, settings.passphrase.as_ref())?;
    certify(chain, &key, &settings.cert, &settings.key)
}

/// The same, of PEM that is in memory.
pub(super) fn from_pem(cert: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, SetupError> {
    let (cert_name, key_name) = (Path::new("(certificate)"), Path::new("(key)"));
    let chain = pem::parse_certificates(cert).map_err(|problem| SetupError::file(cert_name, problem))?;
    let key = pem::parse_key(key, None).map_err(|problem| SetupError::file(key_name, problem))?;
    certify(chain, &key, cert_name, key_name)
}

/// rustls's own constructors read the certificate with webpki, which takes no version 1: peers do, and it is theirs to
/// judge.
fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: &pem::KeyDer,
    cert_path: &Path,
    key_path: &Path,
) -> Result<Arc<CertifiedKey>, SetupError> {
    let key = ring::sign::any_supported_type(key.der())
        .map_err(|error| SetupError::file(key_path, FileProblem::UnusableKey(error.to_string())))?;
    match position_of(&chain, &*key).map_err(|bad| SetupError::file(cert_path, bad))? {
        Some(0) => Ok(Arc::new(CertifiedKey::new(chain, key))),
        other => Err(SetupError::KeyMismatch {
            cert: cert_path.to_owned(),
            key: key_path.to_owned(),
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
