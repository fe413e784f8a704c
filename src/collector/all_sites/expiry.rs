//! Certificates that near their end, ours and the sites': logged at once, and then daily.

use super::Collector;
use crate::collector::status::SeenTls;
use crate::net::ConnId;
use crate::obs::announce;
use crate::tls::Connector;

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
        let peer = self.net.io(id).and_then(|mut io| io.peer());
        if let Some(status) = self.statuses.get_mut(&session.site()) {
            status.tls = Some(SeenTls::of(peer.as_ref()));
        }
        let Some(certificate) = peer.and_then(|peer| peer.certificate) else { return };
        if let Some(announcement) = self.expiries.saw(site.name(), &certificate, self.net.date()) {
            announce("site", &announcement);
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
        self.expiries.due(date).iter().for_each(|announcement| announce("site", announcement));
    }
}
