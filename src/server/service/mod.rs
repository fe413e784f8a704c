//! All clients on one loop.

mod connections;
mod control;
mod crowding;
mod error;
mod expiry;
mod http;
mod listen;
mod reload;
mod stopper;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use self::control::ControlClients;
pub use self::error::StartError;
use self::listen::listen;
pub(super) use self::reload::policy;
use self::reload::{listener_config, target, wall_clock};
pub use self::stopper::StopHandle;
use super::admission::{Admission, End};
use super::http::{Awaiting, StatusPort};
use super::paces::Paces;
use super::relay::Relay;
use super::session::Session;
use super::status::ServerStatus;
use super::storage::{Storage, open_root, unusable_dirs};
use super::throttled_log::{Subject, ThrottledLog};
use crate::config::HttpSettings;
use crate::config::server::{Limits, Mode, ServerConfig};
use crate::net::{ConnId, Event, ListenerConfig, ListenerId, Net, OPEN_MORE_FILES, Target, lacks_files};
use crate::obs::{ExpiryLog, Watchdog};
use crate::proto::server::Policy;
use crate::proto::{Count, quoted};
use crate::status_port::{self, Served};
use crate::store::{StorageDir, StoreError, check_threads};
use crate::tls::{Acceptor, UnixTime};

/// How often a quota's count is made anew, since other programs come and go in the storage directory too.
const RECOUNT: Duration = Duration::from_secs(300);

/// Connections that linger once they were asked to go, where no more may be inside: a client that closes does not
/// linger.
const MAX_LINGERING: usize = 64;

/// How long what is under way may take once the server has been asked to stop.
const STOPPING: Duration = Duration::from_secs(10);

/// What becomes of connections that could not be accepted.
const RETRIED: &str = "those that wait are tried again in a while";

/// A server that listens, with nothing else open and no thread started: the process may still become another user's and go
/// to the background.
pub struct Bound {
    net: Net,
    listeners: Vec<ListenerId>,
    config: ServerConfig,
    listener_config: Arc<ListenerConfig>,
    target: Option<Arc<Target>>,
    http: Option<StatusPort>,
}

/// What clients are served with.
enum Backend {
    Storage(Box<Storage>, Arc<Policy>),
    Relay(Arc<Target>),
}

/// What a connection is to us.
enum Client {
    /// A client that waits for a place.
    Waiting,
    /// A client whose TLS is under way.
    Arriving,
    /// A client on the storage directory.
    Session(Box<Session>),
    /// A client whose bytes are relayed.
    Relay(Box<Relay>),
    /// The other half of that client's relay.
    Upstream(ConnId),
}

/// A server at work.
pub struct Service {
    net: Net,
    listeners: Vec<ListenerId>,
    /// What the start came by: some of it changes with a restart alone.
    started: ServerConfig,
    limits: Limits,
    backend: Backend,
    admission: Admission,
    clients: BTreeMap<ConnId, (SocketAddr, Client)>,
    log: ThrottledLog,
    paces: Paces,
    status: ServerStatus,
    control: ControlClients,
    /// The status port.
    http: Option<StatusPort>,
    /// Where it listens.
    addresses: Vec<SocketAddr>,
    /// When the first of our own certificates ends.
    certificate_end: Option<UnixTime>,
    /// When to look at which connections again, whether their sockets are ready or not.
    wakeups: BTreeSet<(Instant, ConnId)>,
    next_recount: Instant,
    expiry_log: ExpiryLog,
    stopper: StopHandle,
    /// When the server has been asked to stop: the time by which it will, whatever is under way.
    stop_by: Option<Instant>,
}

/// Reads certificates and keys, and listens nowhere. What a start would warn of.
///
/// # Errors
/// What would keep a server from starting.
pub fn check_tls(config: &ServerConfig) -> Result<Vec<String>, StartError> {
    let mut warnings = match &config.mode {
        Mode::Relay(relay) => target(relay, config)?.1,
        Mode::Store(_) => Vec::new(),
    };
    match listener_config(config) {
        Err(StartError::Tls(error)) if error.is_for_want_of_a_passphrase() && config.asks_for_passphrase() => {
            warnings.push("the private key was not read: its passphrase is asked for at the start".to_owned());
        }
        listener_config => warnings.extend(listener_config?.1),
    }
    let http = status_port::listener_config(&config.http, UnixTime::now()).map_err(StartError::Http)?;
    warnings.extend(http.tls.iter().flat_map(Acceptor::warnings).map(ToString::to_string));
    Ok(warnings)
}

/// Tries what storing needs, where anything is stored. What a start would warn of.
///
/// # Errors
/// What would keep a server from starting.
pub fn check_storage(config: &ServerConfig) -> Result<Vec<String>, StoreError> {
    let Mode::Store(settings) = &config.mode else { return Ok(Vec::new()) };
    check_threads()?;
    let (directory, lacks) = (quoted(&settings.directory), StorageDir::check(&settings.directory)?);
    let lacks = lacks.iter().map(|lack| format!("{directory}: {lack}"));
    Ok(lacks.chain(unusable_dirs(settings)).collect())
}

/// The status port, where there is to be one. Without it, clients are served all the same.
fn open_http(net: &mut Net, settings: &HttpSettings) -> Option<StatusPort> {
    let address = settings.listen?;
    let config = status_port::listener_config(settings, UnixTime::now()).map_err(|error| error.to_string());
    let opened = config.and_then(|config| {
        config.tls.iter().flat_map(Acceptor::warnings).for_each(|warning| log::warn!("{warning}"));
        let opened = StatusPort::open(
            net,
            Served { address, settings: settings.clone(), listener_config: Arc::new(config) },
            Awaiting::default(),
        );
        opened.map_err(|(why, _)| why)
    });
    match opened {
        Ok(port) => {
            info!("status port: {}", port.url());
            Some(port)
        }
        Err(why) => {
            log::warn!("reason=http the status port is not served before a reload: {why}");
            None
        }
    }
}

impl Bound {
    /// Reads certificates, and listens on `net`.
    pub fn new(mut net: Net, config: ServerConfig) -> Result<Self, StartError> {
        let (listener_config, mut warnings) = listener_config(&config)?;
        let listener_config = Arc::new(listener_config);
        let mut upstream = None;
        if let Mode::Relay(relay) = &config.mode {
            let (target, more) = target(relay, &config)?;
            upstream = Some(Arc::new(target));
            warnings.extend(more);
        }
        for warning in warnings {
            log::warn!("{warning}");
        }
        let listeners = listen(&mut net, &config, &listener_config)?;
        let http = open_http(&mut net, &config.http);
        Ok(Self { net, listeners, config, listener_config, target: upstream, http })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|&listener| self.net.local_address(listener).ok()).collect()
    }

    /// Opens the storage directory, where there is one.
    pub fn open_storage(&self) -> Result<Option<StorageDir>, StoreError> {
        match &self.config.mode {
            Mode::Store(settings) => open_root(settings, self.config.process.umask).map(Some),
            Mode::Relay(_) => Ok(None),
        }
    }

    /// Starts the threads that the storage directory needs.
    pub fn start(self, root: Option<StorageDir>) -> Result<Service, StartError> {
        let addresses = self.addresses();
        let Self { net, listeners, config, listener_config, target, http } = self;
        let mut expiry_log = ExpiryLog::new("peer", UnixTime::now());
        expiry_log.watch(expiry::reports(&listener_config, target.as_deref(), http.as_ref()));
        let certificate_end = expiry::first_end(&listener_config, target.as_deref());
        let backend = match (&config.mode, root, target) {
            (Mode::Relay(_), _, Some(target)) => Backend::Relay(target),
            (Mode::Store(settings), Some(root), _) => {
                let notify = || {
                    let waker = net.waker();
                    // The waker fails only with the loop gone, and then nobody waits.
                    Box::new(move || drop(waker.wake())) as _
                };
                let storage = Storage::start(settings.clone(), config.process.umask, root, notify)?;
                Backend::Storage(Box::new(storage), Arc::new(policy(settings, Some(wall_clock))))
            }
            _ => return Err(io::Error::other("the storage directory has not been opened").into()),
        };
        let (now, stopper) = (net.now(), StopHandle::new(net.waker()));
        Ok(Service {
            admission: Admission::new(config.hosts_access.clone(), &config.limits),
            net,
            listeners,
            limits: config.limits,
            started: config,
            backend,
            clients: BTreeMap::new(),
            log: ThrottledLog::default(),
            paces: Paces::default(),
            status: ServerStatus::new(now, UnixTime::now()),
            control: ControlClients::default(),
            http,
            addresses,
            certificate_end,
            wakeups: BTreeSet::new(),
            next_recount: now + RECOUNT,
            expiry_log,
            stopper,
            stop_by: None,
        })
    }
}

impl Service {
    /// What stops this server, from any thread.
    pub fn stopper(&self) -> StopHandle {
        self.stopper.clone()
    }

    /// Serves until `on_signal` answers a signal that the loop takes with `false`, or a [`StopHandle`] is used, and
    /// what is under way has ended, at most 10 s later.
    pub fn run(mut self, watchdog: &mut Watchdog, mut on_signal: impl FnMut(&mut Self, i32) -> bool) -> io::Result<()> {
        while !self.is_finished() {
            let later = self.wakeups.first().map(|&(at, _)| at);
            let wake = [
                later,
                self.listing_due(),
                self.relief_due(),
                Some(self.recount_due()),
                self.control.due(),
                self.http_due(),
                self.stop_by,
            ];
            let until = wake.into_iter().flatten().chain(watchdog.due(self.net.now())).min();
            for event in self.net.poll_once(until)? {
                match event {
                    Event::Signal(signal) => {
                        if !on_signal(&mut self, signal) {
                            self.stopper.stop();
                        }
                    }
                    other => self.handle(other),
                }
            }
            if self.stopper.was_used() && self.stop_by.is_none() {
                self.drain();
            }
            self.run_timers();
            if self.listing_due().is_some_and(|at| at <= self.net.now()) {
                self.list();
            }
            self.admit();
            self.relieve();
            self.answer_waiting();
            self.go_on_with_http();
            self.check_threads()?;
            watchdog.feed(self.net.now());
        }
        if let Backend::Storage(storage, _) = self.backend {
            storage.stop();
        }
        Ok(())
    }

    /// When a listing that is being made goes on.
    fn listing_due(&mut self) -> Option<Instant> {
        match &mut self.backend {
            Backend::Storage(storage, _) => storage.listings().due(self.net.now()),
            Backend::Relay(_) => None,
        }
    }

    /// When what is stored is counted anew: sooner where a client found no room.
    fn recount_due(&self) -> Instant {
        match &self.backend {
            Backend::Storage(storage, _) => {
                storage.recount_due().map_or(self.next_recount, |due| due.min(self.next_recount))
            }
            Backend::Relay(_) => self.next_recount,
        }
    }

    /// How many more may come in: those that were asked to go and linger have a limit as well.
    fn room(&self) -> usize {
        let going = self.connections().saturating_sub(self.clients.len());
        let most_going = self.limits.max_connections.max(MAX_LINGERING);
        self.admission.room().min(most_going.saturating_sub(going))
    }

    /// Connections of clients, and those to a server that is relayed to.
    fn connections(&self) -> usize {
        self.net.connections().saturating_sub(self.http_clients())
    }

    /// Nobody comes in any more; who is resting leaves at once.
    fn drain(&mut self) {
        info!("stopping: {} open", Count(self.clients.len(), "connection"));
        self.stop_by = Some(self.net.now() + STOPPING);
        for listener in self.listeners.drain(..) {
            self.net.stop_listening(listener);
        }
        let resting: Vec<ConnId> =
            self.clients.iter().filter_map(|(&id, (_, kind))| kind.is_resting().then_some(id)).collect();
        for id in resting {
            self.drain_one(id, End::Own);
        }
    }

    fn is_finished(&self) -> bool {
        self.stop_by.is_some_and(|stop_by| self.connections() == 0 || self.net.now() >= stop_by)
    }

    fn handle(&mut self, event: Event) {
        let Some(event) = status_port::take_event(self, event) else { return };
        match event {
            Event::Accepted(id, peer, listener) if self.listeners.contains(&listener) => self.arrived(id, peer),
            // Nobody listens there any more.
            Event::Accepted(id, ..) => self.net.abort(id),
            Event::Arrived(id) => self.has_sent(id),
            Event::Opened(id) => self.opened(id),
            Event::Ready(id) => self.pump(id),
            Event::Failed(id, failure) => self.failed(id, failure),
            Event::Woken => self.take_done(),
            Event::AcceptFailed(error) => {
                let (word, advice) = if lacks_files(&error) { ("files", OPEN_MORE_FILES) } else { ("accept", RETRIED) };
                let text = format!("reason={word} no connection can be accepted: {error}; {advice}");
                self.log.warn(Subject::Listener, word, &text, self.net.now());
            }
            Event::Local(event) => self.asked_locally(event),
            Event::Resolved(..) | Event::Connected(..) | Event::Signal(_) => {}
        }
    }

    /// Without its threads a server could but let its clients wait: one that is started anew serves them.
    fn check_threads(&self) -> io::Result<()> {
        match &self.backend {
            Backend::Storage(storage, _) if !storage.is_alive() => {
                Err(io::Error::other("a thread of the storage has panicked"))
            }
            _ => Ok(()),
        }
    }

    /// Runs the timers that are due.
    fn run_timers(&mut self) {
        let now = self.net.now();
        while let Some(&(at, id)) = self.wakeups.first()
            && at <= now
        {
            self.wakeups.pop_first();
            self.net.wake(id);
        }
        if now >= self.recount_due()
            && let Backend::Storage(storage, _) = &self.backend
        {
            storage.recount();
        }
        if now >= self.next_recount {
            self.next_recount = now + RECOUNT;
            self.log_expiries();
        }
    }
}

impl Client {
    /// Whether it can be sent away without a loss.
    fn is_resting(&self) -> bool {
        match self {
            Self::Waiting | Self::Arriving => true,
            Self::Session(session) => session.is_resting(),
            Self::Relay(_) | Self::Upstream(_) => false,
        }
    }
}
