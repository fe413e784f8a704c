//! A refused certificate, from the verifier to the connection's failure.
//!
//! rustls chooses the alert for the peer by the `CertificateError` a verifier answers with, and the variants with the
//! right alerts carry nothing of ours. So what is wrong goes beside it. rustls calls a verifier from within
//! `process_new_packets`, whose error is looked at before that thread does anything else: one place for each thread is
//! enough, and each verification empties it first.

use std::cell::RefCell;

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;

use super::authorities::{Algorithms, weak_key};
use super::certificate_problem::CertificateProblem;
use super::summary::Sha256;
use super::x509::Certificate;

/// Why a certificate is not accepted, and whether a pin would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with it.
    pub problem: CertificateProblem,
    /// What to pin, where that gets around the problem.
    pub pin: Option<Sha256>,
}

thread_local! {
    static LAST: RefCell<Option<Refusal>> = const { RefCell::new(None) };
}

impl Refusal {
    /// The refusal of `leaf`. A pin helps only where its key is one that handshakes can be proven with.
    pub(super) fn of(problem: CertificateProblem, leaf: &CertificateDer<'_>, algorithms: Algorithms) -> Self {
        let key = problem.is_overridden_by_a_pin().then(|| Certificate::key_of(leaf).ok()).flatten();
        let is_provable = |key: &&[u8]| weak_key(key).is_none() && has_known_kind(key, algorithms);
        Self { problem, pin: key.filter(is_provable).map(|_| Sha256::of(leaf)) }
    }

    /// Forgets the last one of this thread.
    pub(super) fn forget() {
        LAST.set(None);
    }

    /// Leaves it for [`Refusal::behind`], and returns the error for rustls.
    pub(super) fn into_rustls(self) -> rustls::Error {
        let error = self.problem.to_rustls();
        LAST.set(Some(self));
        error.into()
    }

    /// What stands behind rustls's error, which has just come from `process_new_packets`.
    pub(super) fn behind(error: &CertificateError) -> Self {
        match LAST.take() {
            Some(refusal) if refusal.problem.to_rustls() == *error || is_ours(error, &refusal.problem) => refusal,
            _ => Self { problem: CertificateProblem::of_rustls(error), pin: None },
        }
    }
}

/// rustls compares errors of others as unequal to everything.
fn is_ours(error: &CertificateError, problem: &CertificateProblem) -> bool {
    matches!(error, CertificateError::Other(other) if other.0.downcast_ref() == Some(problem))
}

/// Whether keys of this kind can sign a handshake here.
pub(super) fn has_known_kind(key: &[u8], algorithms: Algorithms) -> bool {
    Certificate::kind_of_key(key)
        .is_ok_and(|kind| algorithms.iter().any(|algorithm| algorithm.public_key_alg_id().as_ref() == kind))
}

impl From<CertificateProblem> for Refusal {
    /// Without a pin.
    fn from(problem: CertificateProblem) -> Self {
        Self { problem, pin: None }
    }
}
