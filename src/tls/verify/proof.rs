//! The proof that a peer holds its certificate's key.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use webpki::RawPublicKeyEntity;

use crate::tls::authorities::{Algorithms, weak_key};
use crate::tls::certificate_problem::CertificateProblem;
use crate::tls::refusal::Refusal;
use crate::tls::x509::Certificate;

/// How handshake signatures are checked: by the bare key, since webpki reads no version 1 certificate.
#[derive(Debug)]
pub(super) struct HandshakeSignature(pub(super) WebPkiSupportedAlgorithms);

impl HandshakeSignature {
    /// One scheme of TLS 1.2 stands for several algorithms, by the key's curve.
    pub(super) fn tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = sound_key(cert)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| refused(CertificateProblem::Malformed))?;
        let (_, candidates) = self
            .0
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let proven =
            candidates.iter().any(|candidate| key.verify_signature(*candidate, message, dss.signature()).is_ok());
        if proven {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(refused(CertificateProblem::BadHandshakeSignature))
        }
    }

    pub(super) fn tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &sound_key(cert)?, dss, &self.0)
    }

    /// The algorithms that signatures are checked with.
    pub(super) fn algorithms(&self) -> Algorithms {
        self.0.all
    }

    pub(super) fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The key, whatever shape of certificate it is in: that is for the policy to judge.
fn sound_key<'a>(der: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, Error> {
    let key = Certificate::key_of(der).map_err(|_| refused(CertificateProblem::Malformed))?;
    weak_key(key).map_or(Ok(SubjectPublicKeyInfoDer::from(key)), |weak| Err(refused(weak)))
}

/// No pin helps where the proof of the key fails.
fn refused(problem: CertificateProblem) -> Error {
    Refusal::from(problem).into_rustls()
}
