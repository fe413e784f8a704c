//! Certificates that near their end: ours and the peers'.

use super::{Backend, Client, Service};
use crate::net::{ConnId, ListenerConfig, Target};
use crate::obs::Shown;
use crate::server::http::StatusPort;
use crate::tls::{Acceptor, CertificateReport, Connector, Role, UnixTime};

/// The certificates of the files that these were made of.
pub(super) fn reports<'a>(
    listener_config: &'a ListenerConfig,
    target: Option<&'a Target>,
    http: Option<&'a StatusPort>,
) -> impl Iterator<Item = &'a CertificateReport> {
    let ours = listener_config.tls.iter().flat_map(Acceptor::report);
    let upstream = target.and_then(|target| target.tls.as_ref());
    let of_http = http.into_iter().flat_map(StatusPort::certificates);
    ours.chain(upstream.into_iter().flat_map(Connector::report)).chain(of_http)
}

/// When the first of the certificates ends that we show to clients, or to the server behind us.
pub(super) fn first_end(listener_config: &ListenerConfig, target: Option<&Target>) -> Option<UnixTime> {
    let ours = reports(listener_config, target, None).filter(|report| report.role != Role::Trusted);
    ours.map(|report| report.certificate.validity.not_after).min_by_key(UnixTime::as_secs)
}

impl Service {
    /// A connection is open: its peer has shown its certificate, if it has one.
    pub(super) fn look_at_certificate(&mut self, id: ConnId) {
        if let Some(shown) = self.shown(id) {
            self.expiry_log.shown(&shown, UnixTime::now());
        }
    }

    pub(super) fn log_expiries(&mut self) {
        let date = UnixTime::now();
        if self.expiry_log.is_due(date) {
            let open: Vec<ConnId> = self.clients.keys().copied().collect();
            let connected: Vec<Shown> = open.into_iter().filter_map(|id| self.shown(id)).collect();
            self.expiry_log.new_day(&connected, date);
        }
    }

    fn shown(&mut self, id: ConnId) -> Option<Shown> {
        let certificate = self.net.io(id)?.peer()?.certificate?;
        let name = match (self.clients.get(&id)?, &self.backend) {
            ((_, Client::Upstream(_)), Backend::Relay(target)) => target.host.to_string(),
            ((peer, _), _) => peer.ip().to_string(),
        };
        Some((name, certificate))
    }
}
