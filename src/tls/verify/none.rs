//! `none`: any certificate will do.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::PeerPolicy;
use crate::tls::certificate_problem::CertificateProblem;

/// Encrypted, with any peer.
#[derive(Debug)]
pub(in crate::tls) struct NoVerification;

impl PeerPolicy for NoVerification {
    fn accept(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        Ok(())
    }
}
