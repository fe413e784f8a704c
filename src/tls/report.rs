//! What is to be reported about certificates before they are used: dates, shapes, dangers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::authorities::{Algorithms, LEAST_RSA_BITS};
use super::dn::is_same;
use super::refusal::has_known_kind;
use super::signature::{self, BadSignature};
use super::summary::{CertificateSummary, utc};
use super::x509::{Certificate, Validity, Version, rsa_bits};

use crate::proto::quoted;

/// From when on a certificate's end is worth a warning.
pub(super) const SOON: Duration = Duration::from_secs(30 * DAY);
/// In seconds.
pub(super) const DAY: u64 = 24 * 60 * 60;

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// In the CA file.
    Trusted,
    /// Our own.
    Own,
    /// Sent along with our own.
    OwnChain,
}

/// What is to be reported about the certificates of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// Each certificate, in the order of the files.
    pub(super) certificates: Vec<CertificateReport>,
    /// What stands in the files and has no effect, one line each.
    pub(super) remarks: Vec<String>,
}

impl Report {
    /// Adds the report on another file.
    pub(super) fn extend(&mut self, other: Self) {
        self.certificates.extend(other.certificates);
        self.remarks.extend(other.remarks);
    }

    /// What to log at every start, one line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.remarks.iter().cloned().chain(self.certificates.iter().flat_map(CertificateReport::warnings)).collect()
    }
}

/// One certificate of the configuration, for `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateReport {
    /// Where it stands.
    pub file: PathBuf,
    /// What it is used for.
    pub role: Role,
    /// Its content.
    pub certificate: CertificateSummary,
    /// Whole days until it expires, negative once it has.
    pub days_left: i64,
    /// What should be seen to, one sentence each; empty when all is well.
    pub problems: Vec<String>,
    /// What does no harm as it is, and may be a surprise, or will.
    pub remarks: Vec<String>,
}

impl CertificateReport {
    /// Looks at the certificates of one file; the first of [`Role::Own`] is ours, the others its chain. Those that
    /// cannot be read are left out.
    pub(super) fn all(
        file: &Path,
        role: Role,
        certificates: &[CertificateDer<'_>],
        algorithms: Algorithms,
        now: UnixTime,
    ) -> Vec<Self> {
        let roles = std::iter::once(role).chain(std::iter::repeat(match role {
            Role::Trusted => Role::Trusted,
            Role::Own | Role::OwnChain => Role::OwnChain,
        }));
        let known = certificates.iter().map(|der| CertificateSummary::of(der));
        let mut reports: Vec<Self> =
            roles.zip(known).filter_map(|(role, known)| Some(Self::new(file, role, known?, now))).collect();
        let parsed: Vec<_> = certificates.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
        for (report, certificate) in reports.iter_mut().zip(&parsed) {
            report.problems.extend(key_problem(certificate, report.role, algorithms));
            if is_signed_by_none_of(&parsed, certificate, algorithms) {
                report.add_misfit();
            }
        }
        if role == Role::Trusted {
            excuse_leftovers(&mut reports, now);
        }
        reports
    }

    fn new(file: &Path, role: Role, certificate: CertificateSummary, now: UnixTime) -> Self {
        let days_left = days_left(certificate.validity, now);
        let (mut problems, mut remarks) = (Vec::new(), Vec::new());
        // What counts still does no harm.
        let of_dates = if certificate.validity.covers(now) { &mut remarks } else { &mut problems };
        of_dates.extend(date_problem(certificate.validity, now));
        if role == Role::Trusted && !certificate.authority && !certificate.self_signed {
            problems.push("neither an authority (CA:TRUE) nor self-signed: it vouches for nothing".to_owned());
        }
        Self { file: file.to_owned(), role, certificate, days_left, problems, remarks }
    }

    /// Whether something is believed for it at this time.
    pub(super) fn vouches(&self, now: UnixTime) -> bool {
        let CertificateSummary { authority, self_signed, validity, .. } = self.certificate;
        self.role == Role::Trusted && (authority || self_signed) && validity.covers(now)
    }

    /// Peers get our own chain and check it; that an authority's own signature fits is nothing they look at.
    fn add_misfit(&mut self) {
        let issuer = &self.certificate.issuer;
        let misfit = format!("is signed by another key than that of {issuer:?} in the same file");
        match self.role {
            Role::Trusted => self.remarks.push(format!("{misfit}: it is damaged, or the one that signed it is missing")),
            Role::Own | Role::OwnChain => self.problems.push(format!(
                "{misfit}: one of them is damaged, or has to be replaced by the one that belongs there; peers that check \
                 it refuse us"
            )),
        }
    }

    /// The problems as warnings that stand alone.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.problems.iter().chain(&self.remarks).map(|problem| {
            format!("{}: the certificate of {:?} {problem}", quoted(&self.file), self.certificate.subject)
        })
    }

    /// The shape in a few words, such as `X.509 v1, self-signed`.
    pub fn shape(&self) -> String {
        let version = match self.certificate.version {
            Version::V1 => "X.509 v1",
            Version::V2 => "X.509 v2",
            Version::V3 => "X.509 v3",
        };
        let self_signed = if self.certificate.self_signed { ", self-signed" } else { "" };
        let authority = if self.certificate.authority { ", authority" } else { "" };
        format!("{version}{self_signed}{authority}")
    }
}

/// Whether some of these bear the issuer's name, and none has its key.
fn is_signed_by_none_of(listed: &[Certificate<'_>], certificate: &Certificate<'_>, algorithms: Algorithms) -> bool {
    let mut issuers = listed.iter().filter(|issuer| is_same(issuer.subject, certificate.issuer)).peekable();
    issuers.peek().is_some()
        && issuers.all(|issuer| signature::check(certificate, issuer, algorithms) == Err(BadSignature::Wrong))
}

/// What an authority that has expired leaves behind where another one of the file counts: rotation is done so.
fn excuse_leftovers(reports: &mut [CertificateReport], now: UnixTime) {
    if !reports.iter().any(|report| report.vouches(now)) {
        return;
    }
    for report in reports.iter_mut().filter(|report| report.certificate.validity.not_after < now) {
        let expired = date_problem(report.certificate.validity, now);
        report.problems.retain(|problem| Some(problem) != expired.as_ref());
        report.remarks.extend(expired.map(|expired| format!("{expired}; others of this file still count")));
    }
}

/// Why an authority's key cannot be used to check what it signed.
fn key_problem(certificate: &Certificate<'_>, role: Role, algorithms: Algorithms) -> Option<String> {
    if role != Role::Trusted {
        return None;
    }
    if let Some(bits) = rsa_bits(certificate.public_key).filter(|bits| *bits < LEAST_RSA_BITS) {
        return Some(format!("has an RSA key of only {bits} bits, so nothing that it signed is accepted"));
    }
    let known = has_known_kind(certificate.public_key, algorithms);
    (!known).then(|| {
        "has a key of a kind that signatures are not checked with here (RSA, ECDSA on P-256 or P-384, and Ed25519 are), \
         so nothing that it signed is accepted"
            .to_owned()
    })
}

/// What is wrong with these dates, or will be soon.
pub(super) fn date_problem(validity: Validity, now: UnixTime) -> Option<String> {
    let Validity { not_before, not_after } = validity;
    if now < not_before {
        Some(format!("counts only from {}", utc(not_before)))
    } else if now > not_after {
        Some(format!("expired on {}", utc(not_after)))
    } else if not_after.as_secs() - now.as_secs() < SOON.as_secs() {
        Some(format!("expires in {}, on {}", days(days_left(validity, now)), utc(not_after)))
    } else {
        None
    }
}

/// Whole days, in words.
pub(super) fn days(count: i64) -> String {
    match count {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    }
}

/// Whole days until a certificate expires, negative once it has.
pub(super) fn days_left(validity: Validity, now: UnixTime) -> i64 {
    days_between(now, validity.not_after)
}

/// Whole days from `now` to `end`, negative once that is over.
pub fn days_between(now: UnixTime, end: UnixTime) -> i64 {
    (seconds(end) - seconds(now)).div_euclid(DAY.cast_signed())
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
