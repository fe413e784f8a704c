//! Ends of certificates that come near, logged once a day while a program runs: ours, those of CA files, and peers'.
//!
//! Pure: time is an argument, and the lines to log are the result.

use std::collections::HashMap;

use rustls::pki_types::UnixTime;

use super::report::{CertificateReport, DAY, Role, SOON, date_problem};
use super::summary::{CertificateSummary, Sha256};
use super::x509::Validity;
use crate::proto::quoted;

/// From when on an end is urgent, in seconds.
const URGENT: u64 = 7 * DAY;

/// The most peers' certificates that are remembered: those whose end is near. Beyond that, new ones are not.
const MOST_PEERS: usize = 10_000;

/// The most peers that are named for one certificate.
const MOST_NAMES: usize = 3;

/// What to log of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// It is in its last week, or over.
    pub is_urgent: bool,
    /// Who has shown it, separated by commas; `None` for one of our own files.
    pub peers: Option<String>,
    /// The sentence.
    pub text: String,
}

/// The certificates in use whose ends are watched.
#[derive(Debug)]
pub struct Expiries {
    /// Those of our files, each once however many sites use it.
    files: Vec<CertificateReport>,
    peers: HashMap<Sha256, Peer>,
    /// The last day that had its announcements, counted from 1970.
    day: u64,
}

#[derive(Debug)]
struct Peer {
    names: Vec<String>,
    has_more: bool,
    subject: String,
    validity: Validity,
    /// The day it was shown last.
    seen: u64,
}

impl Expiries {
    /// Watches nothing yet. What concerns the day of `now` has been logged, with the warnings of the start.
    pub fn new(now: UnixTime) -> Self {
        Self { files: Vec::new(), peers: HashMap::new(), day: day(now) }
    }

    /// Watches these certificates of our files, in place of those before.
    pub fn watch<'a>(&mut self, reports: impl IntoIterator<Item = &'a CertificateReport>) {
        self.files.clear();
        let mut known = std::collections::HashSet::new();
        for report in reports {
            if known.insert((&report.file, report.certificate.sha256)) {
                self.files.push(report.clone());
            }
        }
    }

    /// A peer has shown its certificate. Returns what is to be logged of it where it is near its end and new.
    pub fn saw(&mut self, peer: &str, certificate: &CertificateSummary, now: UnixTime) -> Option<Announcement> {
        let (today, sha256) = (day(now), certificate.sha256);
        if certificate.validity.not_after.as_secs() >= now.as_secs() + SOON.as_secs() {
            return None;
        }
        if let Some(known) = self.peers.get_mut(&sha256) {
            known.add(peer, today);
            return None;
        }
        let CertificateSummary { subject, validity, .. } = certificate;
        let new = Peer {
            names: vec![peer.to_owned()],
            has_more: false,
            subject: subject.clone(),
            validity: *validity,
            seen: today,
        };
        let announcement = new.announcement(&sha256, now);
        if self.peers.len() < MOST_PEERS {
            self.peers.insert(sha256, new);
        }
        announcement
    }

    /// Whether a day has begun that had no announcements: report those that are connected by [`Expiries::saw`] first.
    pub fn is_due(&self, now: UnixTime) -> bool {
        day(now) != self.day
    }

    /// What to log on a new day. Peers that showed up neither on this nor on the day before are forgotten: they have a
    /// new certificate, or are gone.
    pub fn due(&mut self, now: UnixTime) -> Vec<Announcement> {
        if !self.is_due(now) {
            return Vec::new();
        }
        self.day = day(now);
        self.peers.retain(|_, peer| peer.seen + 1 >= day(now));
        let files = self.files.iter().filter(|report| !self.is_leftover(report, now));
        let mut announcements: Vec<_> = files.filter_map(|report| of_file(report, now)).collect();
        let mut peers: Vec<_> = self.peers.iter().collect();
        peers.sort_by_key(|(_, peer)| (peer.validity.not_after.as_secs(), peer.names.first()));
        announcements.extend(peers.into_iter().filter_map(|(sha256, peer)| peer.announcement(sha256, now)));
        announcements
    }

    /// An authority that has expired beside another one that counts.
    fn is_leftover(&self, report: &CertificateReport, now: UnixTime) -> bool {
        report.role == Role::Trusted
            && report.certificate.validity.not_after < now
            && self.files.iter().any(|other| other.file == report.file && other.vouches(now))
    }
}

impl Peer {
    fn add(&mut self, name: &str, today: u64) {
        self.seen = today;
        if self.names.iter().any(|known| known == name) {
            return;
        }
        if self.names.len() < MOST_NAMES {
            self.names.push(name.to_owned());
        } else {
            self.has_more = true;
        }
    }

    fn announcement(&self, sha256: &Sha256, now: UnixTime) -> Option<Announcement> {
        let problem = date_problem(self.validity, now)?;
        let more = if self.has_more { ",..." } else { "" };
        Some(Announcement {
            is_urgent: is_urgent(self.validity, now),
            peers: Some(format!("{}{more}", self.names.join(","))),
            text: format!("the certificate of {:?} {problem}: renew it there (its SHA-256 is {sha256})", self.subject),
        })
    }
}

fn of_file(report: &CertificateReport, now: UnixTime) -> Option<Announcement> {
    let CertificateReport { file, certificate, .. } = report;
    let problem = date_problem(certificate.validity, now).filter(|_| now >= certificate.validity.not_before)?;
    Some(Announcement {
        is_urgent: is_urgent(certificate.validity, now),
        peers: None,
        text: format!(
            "{}: the certificate of {:?} {problem}: put a new one there, and reload",
            quoted(file),
            certificate.subject
        ),
    })
}

fn is_urgent(validity: Validity, now: UnixTime) -> bool {
    validity.not_after.as_secs() < now.as_secs() + URGENT
}

fn day(time: UnixTime) -> u64 {
    time.as_secs() / DAY
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;

    use super::*;
    use crate::tls::Verify;
    use crate::tls::testing::*;

    /// Noon of a day, counted from that of the tests.
    fn on(days: u64) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(now().as_secs() / DAY * DAY + DAY / 2 + days * DAY))
    }

    /// The tests' day is 2026-06-01.
    fn ending(subject: &str, not_after: &'static str) -> CertificateDer<'static> {
        let site = Site::new();
        Draft { not_after, ..Draft::new(subject, subject, &site.ca_key) }.v3(&[CA_TRUE]).sign(&site.ca_key)
    }

    fn summary(der: &CertificateDer<'_>) -> CertificateSummary {
        CertificateSummary::of(der).unwrap()
    }

    #[test]
    fn a_peers_end_is_said_when_it_is_seen_and_daily_then_and_once_for_all_who_show_it() {
        let certificate = summary(&ending("site", "260611000000Z"));
        let mut expiries = Expiries::new(on(0));
        let first = expiries.saw("a", &certificate, on(0)).unwrap();
        assert_eq!((first.peers.as_deref(), first.is_urgent), (Some("a"), false));
        assert!(first.text.starts_with("the certificate of \"CN=site\" expires in 9 days, on 2026-06-11"), "{first:?}");
        for name in ["a", "b", "c", "d", "e"] {
            assert_eq!(expiries.saw(name, &certificate, on(0)), None, "it has been said today");
        }
        assert_eq!(expiries.due(on(0)), []);
        let daily = expiries.due(on(1));
        assert_eq!(daily.iter().map(|one| one.peers.as_deref()).collect::<Vec<_>>(), [Some("a,b,c,...")]);
        assert!(daily[0].text.contains("expires in 8 days"), "{daily:?}");
        assert_eq!(expiries.due(on(1)), [], "once a day");
    }

    #[test]
    fn the_last_week_is_urgent_and_the_end_as_well() {
        let certificate = summary(&ending("site", "260611000000Z"));
        let mut expiries = Expiries::new(on(0));
        expiries.saw("a", &certificate, on(0));
        let mut said = Vec::new();
        for day in 1..12 {
            expiries.saw("a", &certificate, on(day));
            said.extend(expiries.due(on(day)));
        }
        assert_eq!(said.len(), 11, "every day");
        let urgent: Vec<bool> = said.iter().map(|one| one.is_urgent).collect();
        assert_eq!(urgent.iter().position(|urgent| *urgent), Some(2), "{said:?}");
        assert!(urgent[2..].iter().all(|urgent| *urgent));
        assert!(said[7].text.contains("expires in 1 day,") && said[8].text.contains("expires in less than a day"));
        assert!(said[9].text.contains("expired on 2026-06-11"), "{said:?}");
    }

    #[test]
    fn a_certificate_that_is_shown_no_more_or_ends_later_is_not_spoken_of() {
        let mut expiries = Expiries::new(on(0));
        assert_eq!(expiries.saw("a", &summary(&ending("later", "260715000000Z")), on(0)), None);
        assert!(expiries.saw("a", &summary(&ending("old", "260605000000Z")), on(0)).is_some());
        assert_eq!(expiries.due(on(1)).len(), 1, "it may have had no round yet today");
        assert_eq!(expiries.due(on(2)), []);
    }

    #[test]
    fn a_files_end_is_said_daily_and_once_however_many_sites_use_it() {
        let (soon, later) = (ending("Soon", "260620000000Z"), ending("Later", "270101000000Z"));
        let one = connector(Verify::Chain, &[soon, later]);
        let mut expiries = Expiries::new(on(0));
        expiries.watch(one.report().iter().chain(one.report()));
        assert_eq!(expiries.due(on(0)), [], "the warnings of the start have said it");
        let said = expiries.due(on(1));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].text.contains("\"CN=Soon\" expires in 17 days"), "{said:?}");
        assert_eq!((said[0].peers.clone(), said[0].is_urgent), (None, false));
        // Once it is over, another one of its file still counts.
        assert_eq!(expiries.due(on(30)), []);
        expiries.watch([]);
        assert_eq!(expiries.due(on(31)), [], "what a reload has replaced");
    }

    #[test]
    fn peers_that_are_remembered_have_an_end() {
        let mut expiries = Expiries::new(on(0));
        let mut certificate = summary(&ending("site", "260605000000Z"));
        for count in 0..=MOST_PEERS {
            certificate.sha256 = Sha256::of(&count.to_be_bytes());
            assert!(expiries.saw("a", &certificate, on(0)).is_some());
        }
        assert_eq!(expiries.due(on(1)).len(), MOST_PEERS);
    }
}
