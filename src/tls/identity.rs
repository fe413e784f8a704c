//! Our own certificate and key.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::UnixTime;
use rustls::sign::{CertifiedKey, SigningKey};

use super::authorities::Algorithms;
use super::pem;
use super::report::{CertificateReport, Report, Role};
use super::settings::IdentitySettings;
use super::setup::{FileProblem, SetupError};
use super::x509::Certificate;

use crate::proto::quoted;

/// Our own certificate with its chain and its key.
#[derive(Debug)]
pub(super) struct Identity {
    /// As rustls takes it.
    pub(super) certified_key: Arc<CertifiedKey>,
    /// What to log about the files.
    pub(super) remarks: Vec<String>,
}

impl Identity {
    /// What is to be reported about it as of `now`.
    pub(super) fn report(&self, settings: &IdentitySettings, algorithms: Algorithms, now: UnixTime) -> Report {
        let chain = &self.certified_key.cert;
        let certificates = CertificateReport::all(&settings.cert, Role::Own, chain, algorithms, now);
        let odd = chain.iter().enumerate().filter(|(_, der)| Certificate::parse(der).is_err());
        let odd = odd.map(|(index, der)| {
            let why = Certificate::irregularity(der).map_or_else(
                || "it is not in strict DER".to_owned(),
                |irregularity| format!("{irregularity}, which X.509 does not allow"),
            );
            let (file, number) = (quoted(&settings.cert), index + 1);
            format!("{file}: certificate {number} in it is shown as it is, but strict peers refuse it: {why}")
        });
        Report { certificates, remarks: self.remarks.iter().cloned().chain(odd).collect() }
    }
}

/// Reads a certificate with its chain, and its key, and checks that they belong together.
pub(super) fn load(settings: &IdentitySettings) -> Result<Identity, SetupError> {
    let chain = pem::certificates(&settings.cert)?;
    let key = pem::private_key(&settings.key, settings.passphrase.as_ref())?;
    certify(chain, &key, &settings.cert, &settings.key)
}

/// The same, of PEM that is in memory.
#[cfg(any(test, feature = "demo"))]
pub(super) fn from_pem(cert: &[u8], key: &[u8]) -> Result<Identity, SetupError> {
    let (cert_name, key_name) = (Path::new("(certificate)"), Path::new("(key)"));
    let chain = pem::parse_certificates(cert).map_err(|problem| SetupError::file(cert_name, problem))?;
    let key = pem::parse_key(key, None).map_err(|problem| SetupError::file(key_name, problem))?;
    certify(chain, &key, cert_name, key_name)
}

/// rustls's own constructors read the certificate with webpki, which takes no version 1: peers do, and the decision is
/// theirs.
fn certify(
    chain: pem::Certificates,
    key: &pem::KeyDer,
    cert_path: &Path,
    key_path: &Path,
) -> Result<Identity, SetupError> {
    let key = ring::sign::any_supported_type(key.der())
        .map_err(|error| SetupError::file(key_path, FileProblem::UnusableKey(error.to_string())))?;
    match position_of(&chain, &*key).map_err(|bad| SetupError::file(cert_path, bad))? {
        Some(0) => {
            let certified_key = Arc::new(CertifiedKey::new(chain.ders, key));
            Ok(Identity { certified_key, remarks: chain.remarks })
        }
        other => Err(SetupError::KeyMismatch {
            cert: cert_path.to_owned(),
            key: key_path.to_owned(),
            fits: other.map(|index| index + 1),
        }),
    }
}

/// Which certificate of `chain` is for `key`. All of them are looked at: peers get all of them, and one that is damaged
/// makes every handshake fail.
fn position_of(chain: &pem::Certificates, key: &dyn SigningKey) -> Result<Option<usize>, FileProblem> {
    let mut position = key.public_key().is_none().then_some(0);
    for (index, der) in chain.ders.iter().enumerate() {
        let certified = Certificate::key_of(der).map_err(|_| chain.bad(index))?;
        if position.is_none() && key.public_key().is_some_and(|own| certified == own.as_ref()) {
            position = Some(index);
        }
    }
    Ok(position)
}
