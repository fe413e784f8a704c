//! How a peer's certificate is checked: one policy per file for sites, one for clients, one place where handshake
//! signatures are.

mod chain;
mod client;
mod name;
mod none;
mod pin;
mod proof;

use std::fmt::Debug;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

pub(super) use chain::Chain;
pub(super) use client::ClientVerifier;
pub(super) use name::ChainAndName;
pub(super) use none::NoVerification;
pub(super) use pin::Pinned;

use super::certificate_problem::CertificateProblem;
use super::refusal::Refusal;
use proof::HandshakeSignature;

/// Which certificates are accepted from a site.
pub(super) trait PeerPolicy: Debug + Send + Sync {
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
    proof: HandshakeSignature,
}

impl<P: PeerPolicy> PolicyVerifier<P> {
    pub(super) fn new(policy: P, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { policy, proof: HandshakeSignature(algorithms) }
    }
}

impl<P: PeerPolicy> ServerCertVerifier for PolicyVerifier<P> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Refusal::forget();
        match self.policy.accept(end_entity, intermediates, server_name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(problem) => Err(Refusal::of(problem, end_entity, self.proof.algorithms()).into_rustls()),
        }
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
