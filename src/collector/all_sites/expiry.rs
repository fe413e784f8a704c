//! Certificates that near their end: ours and the sites'.

use super::Collector;
use crate::collector::http::StatusPort;
use crate::collector::status::SeenTls;
use crate::net::ConnId;
use crate::obs::Shown;
use crate::tls::Connector;

impl Collector {
    /// Watches what the sites' settings name from now on.
    pub(super) fn watch_certificates(&mut self) {
        let connectors = self.sites.iter().flatten().filter_map(|site| site.next_target().tls.as_ref());
        let of_http = self.http.iter().flat_map(StatusPort::certificates);
        self.expiry_log.watch(connectors.flat_map(Connector::report).chain(of_http));
    }

    /// A connection is open: its site has shown its certificate, if it has one.
    pub(super) fn look_at_certificate(&mut self, id: ConnId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let peer = self.net.io(id).and_then(|mut io| io.peer());
        if let Some(status) = self.statuses.get_mut(&session.site()) {
            status.tls = Some(SeenTls::of(peer.as_ref()));
        }
        if let Some(shown) = self.shown(id) {
            self.expiry_log.shown(&shown, self.net.date());
        }
    }

    pub(super) fn log_expiries(&mut self) {
        let date = self.net.date();
        if self.expiry_log.is_due(date) {
            let open: Vec<ConnId> = self.sessions.keys().copied().collect();
            let connected: Vec<Shown> = open.into_iter().filter_map(|id| self.shown(id)).collect();
            self.expiry_log.new_day(&connected, date);
        }
    }

    fn shown(&mut self, id: ConnId) -> Option<Shown> {
        let certificate = self.net.io(id)?.peer()?.certificate?;
        let site = self.sites[self.sessions.get(&id)?.site()].as_ref()?;
        Some((site.name().to_string(), certificate))
    }
}
