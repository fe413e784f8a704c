//! The status port: what a program is at, over HTTP, on the loop that does its work. What there is to be asked for is the
//! program's: its [`Resource`]s, and how its [`Host`] answers them.
//!
//! Whatever its clients do, they cost the program nothing worth speaking of: at most [`MOST_CLIENTS`] are served at a time,
//! and each is heard for a bounded part of a turn. Where there are more clients, the one that has made no progress for the
//! longest makes room, of those whose turn it is.

mod client;
mod serving;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::client::Client;
pub(crate) use self::serving::{adopt, answer, go_on, hear, take_event};
use crate::config::HttpSettings;
use crate::http::{Access, Openness, Rejection, Request, Response};
use crate::net::{ByteStream, ConnId, Io, ListenerConfig, ListenerId, Net};
use crate::tls::{Acceptor, AcceptorSettings, CertificateReport, ClientAuth, SetupError, Suites, UnixTime, Versions};

/// Clients that are served at a time.
pub(crate) const MOST_CLIENTS: usize = 64;

/// Clients that are let in in one turn: over TLS, each costs up to a millisecond.
const ADMITTED: usize = 4;

/// The longest that a request may take to come, and a client to do its part of TLS.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// The loop: [`Net`], whose methods these are.
pub(crate) trait Network {
    fn now(&self) -> Instant;
    /// The date.
    fn date(&self) -> UnixTime;
    /// An open connection.
    fn client(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>>;
    fn wake(&mut self, id: ConnId);
    fn admit(&mut self, id: ConnId);
    fn half_close(&mut self, id: ConnId);
    fn abort(&mut self, id: ConnId);
    fn listen(&mut self, address: SocketAddr, listener_config: Arc<ListenerConfig>) -> io::Result<ListenerId>;
    fn stop_listening(&mut self, listener: ListenerId);
}

/// An open connection: [`Io`], whose methods these are.
pub(crate) trait Connection: ByteStream {
    fn now(&self) -> Instant;
    fn set_deadline(&mut self, wait: Option<Duration>);
    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>);
}

/// Something that can be asked for.
pub(crate) trait Resource: Sized {
    /// What a request asks for.
    ///
    /// # Errors
    /// There is no such thing.
    fn of(request: &Request) -> Result<Self, Rejection>;

    /// How much it tells.
    fn openness(&self) -> Openness;
}

/// Answers that are being made: clients wait for them.
pub(crate) trait Answers {
    /// A client waits no more.
    fn forget(&mut self, client: ConnId);

    /// When there is something to do for them without an event.
    fn due(&self, now: Instant) -> Option<Instant>;
}

/// A program that serves a status port.
pub(crate) trait Host {
    /// What can be asked for.
    type Resource: Resource;
    /// What it makes answers with.
    type Answers: Answers;

    /// The port, where it is served, and the loop.
    fn parts(&mut self) -> (&mut Option<StatusPort<Self::Answers>>, &mut dyn Network);

    /// What it makes answers with, where none were made before.
    ///
    /// # Errors
    /// The system's.
    fn start_answers(&self) -> io::Result<Self::Answers>;

    /// Who may ask does so. `None` where the answer is being made, and will be [given](answer) to the client.
    ///
    /// # Errors
    /// It cannot be answered.
    fn respond(&mut self, client: ConnId, resource: Self::Resource) -> Result<Option<Response>, Rejection>;
}

/// Where it is served, and to whom.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) settings: HttpSettings,
    pub(crate) listener_config: Arc<ListenerConfig>,
}

/// A port that is served.
pub(crate) struct StatusPort<A> {
    served: Served,
    listener: ListenerId,
    access: Access,
    clients: BTreeMap<ConnId, Client>,
    /// Clients that have said something and are not let in yet.
    arrived: VecDeque<ConnId>,
    pub(crate) answers: A,
}

impl<A: Answers> StatusPort<A> {
    /// Serves it. Where that fails, the answers are given back.
    ///
    /// # Errors
    /// Why it is not served.
    pub(crate) fn open(net: &mut dyn Network, served: Served, answers: A) -> Result<Self, (String, A)> {
        let Served { address, settings, listener_config } = &served;
        let listener = match net.listen(*address, Arc::clone(listener_config)) {
            Ok(listener) => listener,
            Err(error) => return Err((format!("cannot listen on {address}: {error}"), answers)),
        };
        let access = Access { token: settings.token.clone(), names: settings.hosts.clone() };
        let (clients, arrived) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { served, listener, access, clients, arrived, answers })
    }

    /// Where it is to be asked.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.served.listener_config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.served.address)
    }

    /// Those of its files.
    pub(crate) fn certificates(&self) -> &[CertificateReport] {
        self.served.listener_config.tls.as_ref().map_or(&[], Acceptor::report)
    }

    /// How many of the loop's connections are its clients'.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The client that makes room for another: `None` where all wait for us.
    fn most_idle(&self) -> Option<ConnId> {
        let idle = self.clients.iter().filter_map(|(&id, client)| Some((client.idle_since()?, id)));
        idle.min().map(|(_, id)| id)
    }

    /// A client is gone.
    fn forget(&mut self, id: ConnId) {
        self.clients.remove(&id);
        self.arrived.retain(|other| *other != id);
        self.answers.forget(id);
    }

    /// When there is something to do without an event.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if self.arrived.is_empty() { self.answers.due(now) } else { Some(now) }
    }

    /// Serves it no more. What answers are made with may serve another.
    fn close(mut self, net: &mut dyn Network) -> (Served, A) {
        net.stop_listening(self.listener);
        for id in std::mem::take(&mut self.clients).into_keys() {
            net.abort(id);
            self.answers.forget(id);
        }
        (self.served, self.answers)
    }
}

/// What clients pass through on their way in.
///
/// # Errors
/// A file of its certificates cannot be used.
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

impl Network for Net {
    fn now(&self) -> Instant {
        self.now()
    }

    fn date(&self) -> UnixTime {
        UnixTime::now()
    }

    fn client(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>> {
        self.io(id).map(|io| Box::new(io) as Box<dyn Connection>)
    }

    fn wake(&mut self, id: ConnId) {
        self.wake(id);
    }

    fn admit(&mut self, id: ConnId) {
        self.admit(id);
    }

    fn half_close(&mut self, id: ConnId) {
        self.half_close(id);
    }

    fn abort(&mut self, id: ConnId) {
        self.abort(id);
    }

    fn listen(&mut self, address: SocketAddr, listener_config: Arc<ListenerConfig>) -> io::Result<ListenerId> {
        self.listen(address, listener_config)
    }

    fn stop_listening(&mut self, listener: ListenerId) {
        self.stop_listening(listener);
    }
}

impl Connection for Io<'_> {
    fn now(&self) -> Instant {
        self.now()
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        self.set_deadline(wait);
    }

    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>) {
        self.drain_by(wait, drained_by);
    }
}
