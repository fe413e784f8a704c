//! Certificates that near their end, ours and the peers': logged at once, and then daily.

use super::{Backend, Client, Service};
use crate::net::{ConnId, ListenerConfig, Target};
use crate::obs::announce;
use crate::tls::{Acceptor, CertificateReport, Connector, Expiries, UnixTime};

/// What is watched of the files that these were made of.
pub(super) fn watched(listener_config: &ListenerConfig, target: Option<&Target>) -> Expiries {
    let mut expiries = Expiries::new(UnixTime::now());
    expiries.watch(reports(listener_config, target));
    expiries
}

/// The certificates of our files.
pub(super) fn reports<'a>(
    listener_config: &'a ListenerConfig,
    target: Option<&'a Target>,
) -> impl Iterator<Item = &'a CertificateReport> {
    let ours = listener_config.tls.iter().flat_map(Acceptor::report);
    let upstream = target.and_then(|target| target.tls.as_ref());
    ours.chain(upstream.into_iter().flat_map(Connector::report))
}

impl Service {
    /// A connection is open: its peer has shown its certificate, if it has one.
    pub(super) fn look_at_certificate(&mut self, id: ConnId) {
        let shown = self.net.io(id).and_then(|mut io| io.peer()).and_then(|peer| peer.certificate);
        let Some(certificate) = shown else { return };
        let name = match (self.clients.get(&id), &self.backend) {
            (Some((_, Client::Upstream(_))), Backend::Relay(target)) => target.host.to_string(),
            (Some((peer, _)), _) => peer.ip().to_string(),
            (None, _) => return,
        };
        if let Some(announcement) = self.expiries.saw(&name, &certificate, UnixTime::now()) {
            announce("peer", &announcement);
        }
    }

    /// Once a day. Who stays connected shows nothing anew, and is looked at again.
    pub(super) fn announce_expiries(&mut self) {
        let date = UnixTime::now();
        if !self.expiries.is_due(date) {
            return;
        }
        let open: Vec<ConnId> = self.clients.keys().copied().collect();
        for id in open {
            self.look_at_certificate(id);
        }
        self.expiries.due(date).iter().for_each(|announcement| announce("peer", announcement));
    }
}
