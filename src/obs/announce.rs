//! The log lines of certificates that near their end.

use log::{Level, log};

use crate::proto::quoted;
use crate::tls::Announcement;

/// Logs it. `key` is the field that names who has shown the certificate: a collector's `site`, a server's `peer`.
pub(crate) fn announce(key: &str, announcement: &Announcement) {
    let Announcement { is_urgent, peers, text } = announcement;
    let level = if *is_urgent { Level::Error } else { Level::Warn };
    let shown = peers.as_ref().map(|names| format!("{key}={} reason=certificate ", quoted(names))).unwrap_or_default();
    log!(level, "{shown}{text}");
}
