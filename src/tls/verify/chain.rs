//! `chain`: signed by the CA; the name is not checked.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::PeerPolicy;
use crate::tls::authorities::Authorities;
use crate::tls::certificate_problem::CertificateProblem;

/// What `sync_ca` means at stock.
#[derive(Debug)]
pub(in crate::tls) struct Chain(pub(in crate::tls) Authorities);

impl PeerPolicy for Chain {
    fn accept(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        self.0.verify(leaf, intermediates, now)
    }
}
