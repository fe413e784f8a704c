//! How a site's certificate is checked: one policy per file, one place where handshake signatures are.

mod chain;
mod name;
mod none;
mod pin;

use std::fmt::Debug;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use webpki::RawPublicKeyEntity;

pub(super) use chain::Chain;
pub(super) use name::ChainAndName;
pub(super) use none::Unchecked;
pub(super) use pin::Pinned;

use super::authorities::weak_key;
use super::failure::CertificateProblem;
use super::x509::Certificate;

/// Which certificates are accepted from a site.
pub(super) trait Policy: Debug + Send + Sync {
    /// Whether `leaf`, sent with `intermediates`, is accepted for `host` at `now`.
    fn accept(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateProblem>;
}

/// A policy, and the proof that the peer holds the certificate's key, which no policy waives.
#[derive(Debug)]
pub(super) struct PolicyVerifier<P> {
    policy: P,
    algorithms: WebPkiSupportedAlgorithms,
}

impl<P: Policy> PolicyVerifier<P> {
    pub(super) fn new(policy: P, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { policy, algorithms }
    }
}

impl<P: Policy> ServerCertVerifier for PolicyVerifier<P> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.policy.accept(end_entity, intermediates, server_name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    /// By the bare key, since webpki reads no version 1 certificate. One scheme of TLS 1.2 stands for several
    /// algorithms, by the key's curve.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = certificate_with_sound_key(cert)?;
        let key = certificate.key();
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateProblem::Malformed)?;
        let (_, candidates) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let proven =
            candidates.iter().any(|candidate| key.verify_signature(*candidate, message, dss.signature()).is_ok());
        if proven {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateProblem::BadHandshakeSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = certificate_with_sound_key(cert)?;
        verify_tls13_signature_with_raw_key(message, &certificate.key(), dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn certificate_with_sound_key<'a>(der: &'a CertificateDer<'_>) -> Result<Certificate<'a>, CertificateProblem> {
    let certificate = Certificate::parse(der).map_err(|_| CertificateProblem::Malformed)?;
    weak_key(certificate.public_key).map_or(Ok(certificate), Err)
}
