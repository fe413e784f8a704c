//! The log lines of certificates that near their end: at once, and then daily.

use log::{Level, log};

use crate::proto::quoted;
use crate::tls::{Announcement, CertificateReport, CertificateSummary, Expiries, UnixTime};

/// Logs certificates that near their end, ours and the peers': when they are first shown, and once on each later day.
#[derive(Debug)]
pub(crate) struct ExpiryLog {
    /// The field that names who has shown a certificate: a collector's `site`, a server's `peer`.
    key: &'static str,
    expiries: Expiries,
}

/// A peer's name, and the certificate that it has shown.
pub(crate) type Shown = (String, CertificateSummary);

impl ExpiryLog {
    /// Watches nothing yet. What concerns the day of `now` has been logged, with the warnings of the start.
    pub(crate) fn new(key: &'static str, now: UnixTime) -> Self {
        Self { key, expiries: Expiries::new(now) }
    }

    /// Watches these certificates of our files, in place of those before.
    pub(crate) fn watch<'a>(&mut self, reports: impl IntoIterator<Item = &'a CertificateReport>) {
        self.expiries.watch(reports);
    }

    /// A peer has shown its certificate.
    pub(crate) fn shown(&mut self, (peer, certificate): &Shown, now: UnixTime) {
        if let Some(announcement) = self.expiries.saw(peer, certificate, now) {
            self.log(&announcement);
        }
    }

    /// Whether a day has begun that is not logged.
    pub(crate) fn is_due(&self, now: UnixTime) -> bool {
        self.expiries.is_due(now)
    }

    /// Logs a new day. Peers that stay connected show nothing anew: `connected` are theirs.
    pub(crate) fn new_day(&mut self, connected: &[Shown], now: UnixTime) {
        for shown in connected {
            self.shown(shown, now);
        }
        for announcement in self.expiries.due(now) {
            self.log(&announcement);
        }
    }

    fn log(&self, Announcement { is_urgent, peers, text }: &Announcement) {
        let level = if *is_urgent { Level::Error } else { Level::Warn };
        let key = self.key;
        let shown =
            peers.as_ref().map(|names| format!("{key}={} reason=certificate ", quoted(names))).unwrap_or_default();
        log!(level, "{shown}{text}");
    }
}
