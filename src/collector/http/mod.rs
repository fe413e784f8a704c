//! The status port: what the daemon and its sites are at, over HTTP, on the loop that collects.
//!
//! Whatever its clients do, they cost the sites nothing worth speaking of: at most [`MOST_CLIENTS`] are served at a time, each
//! is heard for a bounded part of a turn, and what concerns all sites is gathered in slices and put together on a thread of
//! its own, at most once a second, and once for all who ask meanwhile. Where there are more clients, the one that has made no
//! progress for the longest makes room, of those whose turn it is.

mod client;
mod history;
mod pages;
mod resource;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::client::{Client, Step};
pub(super) use self::history::{History, SiteNow};
pub(super) use self::pages::{Asked, Made, Pages, Subject};
pub(super) use self::resource::Resource;
use crate::config::HttpSettings;
use crate::http::Access;
use crate::net::{ConnId, ListenerConfig, ListenerId};
use crate::tls::{Acceptor, AcceptorSettings, CertificateReport, ClientAuth, SetupError, Suites, UnixTime, Versions};

/// Clients that are served at a time.
pub(super) const MOST_CLIENTS: usize = 64;

/// Clients that are let in in one turn: over TLS, each costs up to a millisecond.
pub(super) const ADMITTED: usize = 4;

/// The longest that a request may take to come, and a client to do its part of TLS.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Where it is served, and to whom.
pub(super) struct HttpPort {
    pub(super) settings: HttpSettings,
    pub(super) listener_config: Arc<ListenerConfig>,
    pub(super) listener: ListenerId,
    pub(super) access: Access,
    pub(super) clients: BTreeMap<ConnId, Client>,
    /// Clients that have said something and are not let in yet.
    pub(super) arrived: VecDeque<ConnId>,
    pub(super) pages: Pages,
    pub(super) history: History,
}

impl HttpPort {
    pub(super) fn new(
        settings: HttpSettings,
        listener_config: Arc<ListenerConfig>,
        listener: ListenerId,
        pages: Pages,
        history: History,
    ) -> Self {
        let access = Access { token: settings.token.clone(), names: settings.hosts.clone() };
        let (clients, arrived) = (BTreeMap::new(), VecDeque::new());
        Self { settings, listener_config, listener, access, clients, arrived, pages, history }
    }

    /// Those of its files.
    pub(super) fn certificates(&self) -> &[CertificateReport] {
        self.listener_config.tls.as_ref().map_or(&[], Acceptor::report)
    }

    /// The client that makes room for another: `None` where all wait for us.
    pub(super) fn most_idle(&self) -> Option<ConnId> {
        let idle = self.clients.iter().filter_map(|(&id, client)| Some((client.idle_since()?, id)));
        idle.min().map(|(_, id)| id)
    }

    /// A client is gone.
    pub(super) fn forget(&mut self, id: ConnId) {
        self.clients.remove(&id);
        self.arrived.retain(|other| *other != id);
        self.pages.forget(id);
    }

    /// When there is something to do without an event.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let has_work = !self.arrived.is_empty() || self.pages.is_gathering();
        if has_work { now } else { self.history.due(now) }
    }
}

/// What clients pass through on their way in.
pub(crate) fn listener_config(settings: &HttpSettings, now: UnixTime) -> Result<ListenerConfig, SetupError> {
    let acceptor = |identity: &_| {
        let clients = settings.client_ca.clone().map_or(ClientAuth::NotAsked, |ca| ClientAuth::Required { ca });
        let (versions, suites) = (Versions::default(), Suites::default());
        let settings = AcceptorSettings { identity: Clone::clone(identity), clients, versions, suites };
        Acceptor::new(&settings, now)
    };
    let tls = settings.identity.as_ref().map(acceptor).transpose()?;
    Ok(ListenerConfig { tls, quick_ack: false, timeout: REQUEST_TIME })
}
