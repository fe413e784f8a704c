//! What is to be said about certificates before they are used: dates, shapes, dangers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::summary::{CertificateSummary, utc};
use super::x509::Version;

/// From when on a certificate's end is worth a warning.
const SOON: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 60 * 60;

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

/// One certificate of the configuration, for `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateReport {
    /// Where it stands.
    pub file: PathBuf,
    /// What it is used for.
    pub role: Role,
    /// What it says.
    pub certificate: CertificateSummary,
    /// Whole days until it expires, negative once it has.
    pub days_left: i64,
    /// What should be seen to, one sentence each; empty when all is well.
    pub problems: Vec<String>,
}

impl CertificateReport {
    /// Looks at the certificates of one file; the first of [`Role::Own`] is ours, the others its chain.
    pub(super) fn all(file: &Path, role: Role, certificates: &[CertificateDer<'_>], now: UnixTime) -> Vec<Self> {
        let roles = std::iter::once(role).chain(std::iter::repeat(match role {
            Role::Trusted => Role::Trusted,
            Role::Own | Role::OwnChain => Role::OwnChain,
        }));
        let known = certificates.iter().filter_map(|der| CertificateSummary::of(der));
        roles.zip(known).map(|(role, certificate)| Self::new(file, role, certificate, now)).collect()
    }

    fn new(file: &Path, role: Role, certificate: CertificateSummary, now: UnixTime) -> Self {
        let validity = certificate.validity;
        let days_left = (seconds(validity.not_after) - seconds(now)).div_euclid(DAY.cast_signed());
        let mut problems = Vec::new();
        if now < validity.not_before {
            problems.push(format!("counts only from {}", utc(validity.not_before)));
        } else if now > validity.not_after {
            problems.push(format!("expired on {}", utc(validity.not_after)));
        } else if validity.not_after.as_secs() - now.as_secs() < SOON.as_secs() {
            problems.push(format!("expires in {days_left} days, on {}", utc(validity.not_after)));
        }
        if role == Role::Trusted && !certificate.authority && !certificate.self_signed {
            problems.push("neither an authority (CA:TRUE) nor self-signed: it vouches for nothing".to_owned());
        }
        Self { file: file.to_owned(), role, certificate, days_left, problems }
    }

    /// The problems as warnings that stand alone.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.problems.iter().map(|problem| {
            format!("{}: the certificate of {:?} {problem}", self.file.display(), self.certificate.subject)
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

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
