//! What is shown of a certificate, and the SHA-256 it is pinned by.

use std::fmt;

use der::DateTime;
use rustls::pki_types::UnixTime;

use super::dn::Name;
use super::report::{date_problem, days, days_left};
use super::x509::{Certificate, Validity, Version};

/// The SHA-256 of a certificate's DER encoding: what a pin is, and what `openssl x509 -fingerprint -sha256` prints.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.as_ref());
        Self(sha256)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Whom it is about.
    pub subject: String,
    /// What it may be known by, as far as it can be read: the common name, and the alternative names that are DNS
    /// names, mail or IP addresses, or URIs. As they stand, for comparison: to be escaped before they are shown.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// From when to when it counts.
    pub validity: Validity,
    /// What it is pinned by.
    pub sha256: Sha256,
    /// Its X.509 version.
    pub version: Version,
    /// It names itself as its issuer.
    pub self_signed: bool,
    /// It may sign others: CA:TRUE, or a self-signed version 1 certificate.
    pub authority: bool,
}

impl CertificateSummary {
    /// Reads what is to be shown; `None` for what is no certificate.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::parse(der).ok()?;
        Some(Self {
            subject: certificate.subject_text(),
            names: names(&certificate),
            issuer: certificate.issuer_text(),
            validity: certificate.validity,
            sha256: Sha256::of(der),
            version: certificate.version,
            self_signed: certificate.is_self_issued(),
            authority: is_authority(&certificate),
        })
    }
}

impl CertificateSummary {
    /// How long it still counts, such as `2 days left`, or `expired`.
    pub fn time_left(&self, now: UnixTime) -> String {
        if now > self.validity.not_after {
            return "expired".to_owned();
        }
        format!("{} left", days(days_left(self.validity, now)))
    }

    /// What is to be reported of its dates, where its end is near or it does not count: `expires in 2 days, on ...`.
    pub fn date_problem(&self, now: UnixTime) -> Option<String> {
        date_problem(self.validity, now)
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}", utc(self.not_before), utc(self.not_after))
    }
}

fn names(certificate: &Certificate<'_>) -> Vec<String> {
    let subject = Name::parse(certificate.subject).ok();
    let common_name = subject.as_ref().and_then(Name::common_name).map(str::to_owned);
    let names = certificate.alternative_names().unwrap_or_default();
    let mut names: Vec<String> = names.into_iter().map(|name| name.text).collect();
    if let Some(common_name) = common_name.filter(|name| !names.contains(name)) {
        names.insert(0, common_name);
    }
    names
}

/// Whether a listed certificate may vouch for others: CA:TRUE, or version 1 (which has no such field) and self-signed.
pub(super) fn is_authority(certificate: &Certificate<'_>) -> bool {
    match certificate.version {
        Version::V1 => certificate.is_self_issued(),
        Version::V2 => false,
        Version::V3 => certificate.is_authority().unwrap_or(false),
    }
}

/// A point in time as `2026-01-31T12:00:00Z`.
pub(super) fn utc(time: UnixTime) -> String {
    DateTime::from_unix_duration(std::time::Duration::from_secs(time.as_secs()))
        .map_or_else(|_| format!("{} s after 1970", time.as_secs()), |time| time.to_string())
}
