//! Clients' certificates, at a server of ours.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::proof::HandshakeSignature;
use crate::tls::authorities::Authorities;
use crate::tls::refusal::Refusal;

/// The most bytes of authorities' names that clients are sent: a handshake message ends at 64 KiB.
const MAX_HINTS: usize = 32 * 1024;

/// Which certificates are asked of clients, and the proof that they hold the key, which nothing waives.
#[derive(Debug)]
pub(in crate::tls) struct ClientVerifier {
    demand: ClientAuth,
    proof: HandshakeSignature,
    hints: Vec<DistinguishedName>,
}

#[derive(Debug)]
enum ClientAuth {
    /// Any or none.
    Optional,
    /// One that these vouch for.
    Required(Authorities),
}

impl ClientVerifier {
    pub(in crate::tls) fn optional(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { demand: ClientAuth::Optional, proof: HandshakeSignature(algorithms), hints: Vec::new() }
    }

    pub(in crate::tls) fn required(authorities: Authorities, algorithms: WebPkiSupportedAlgorithms) -> Self {
        let subjects = authorities.subjects();
        let hints = if subjects.iter().map(Vec::len).sum::<usize>() <= MAX_HINTS { subjects } else { Vec::new() };
        Self {
            demand: ClientAuth::Required(authorities),
            proof: HandshakeSignature(algorithms),
            hints: hints.into_iter().map(DistinguishedName::from).collect(),
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self.demand, ClientAuth::Required(_))
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Refusal::forget();
        if let ClientAuth::Required(authorities) = &self.demand {
            let verdict = authorities.verify(end_entity, intermediates, now);
            verdict.map_err(|problem| Refusal::from(problem).into_rustls())?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proof.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proof.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.proof.schemes()
    }
}
