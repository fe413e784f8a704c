//! Certificates that near their end, ours and the sites': said at once, and then daily.

use log::{error, warn};

use super::Collector;
use crate::net::ConnId;
use crate::proto::quoted;
use crate::tls::{Announcement, Connector};

impl Collector {
    /// Watches what the sites' settings name from now on.
    pub(super) fn watch_certificates(&mut self) {
        let connectors = self.sites.iter().flatten().filter_map(|site| site.next_target().tls.as_ref());
        self.expiries.watch(connectors.flat_map(Connector::report));
    }

    /// A connection is open: its site has shown its certificate.
    pub(super) fn look_at_certificate(&mut self, id: ConnId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(site) = &self.sites[session.site()] else { return };
        let Some(certificate) = self.net.io(id).and_then(|mut io| io.certificate()) else { return };
        if let Some(announcement) = self.expiries.saw(site.name(), &certificate, self.net.date()) {
            say(&announcement);
        }
    }

    /// Once a day. Sites whose connections are kept open show nothing anew, and are looked at again.
    pub(super) fn announce_expiries(&mut self) {
        let date = self.net.date();
        if !self.expiries.is_due(date) {
            return;
        }
        let open: Vec<ConnId> = self.sessions.keys().copied().collect();
        for id in open {
            self.look_at_certificate(id);
        }
        self.expiries.due(date).iter().for_each(say);
    }
}

fn say(announcement: &Announcement) {
    let Announcement { is_urgent, peers, text } = announcement;
    let site = peers.as_ref().map(|names| format!("site={} reason=certificate ", quoted(names))).unwrap_or_default();
    if *is_urgent {
        error!("{site}{text}");
    } else {
        warn!("{site}{text}");
    }
}
