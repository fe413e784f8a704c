//! `pin`: these certificates and no others.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::PeerPolicy;
use crate::tls::certificate_problem::CertificateProblem;
use crate::tls::summary::Sha256;

/// The leaf certificates that are accepted, by SHA-256; neither dates nor signatures count beside that.
#[derive(Debug)]
pub(in crate::tls) struct Pinned(pub(in crate::tls) Vec<Sha256>);

impl PeerPolicy for Pinned {
    fn accept(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        let found = Sha256::of(leaf);
        if self.0.contains(&found) { Ok(()) } else { Err(CertificateProblem::PinMismatch { found }) }
    }
}
