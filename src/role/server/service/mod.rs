//! All clients on one loop.

mod guests;
mod reload;
mod stopper;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

pub(super) use self::reload::policy;
use self::reload::{entrance, target};
pub use self::stopper::Stopper;
use super::complaints::Complaints;
use super::gate::Gate;
use super::relay::Relay;
use super::session::Session;
use super::storage::{Storage, open_root};
use crate::config::server::{Limits, ListenAddress, Mode, ServerConfig};
use crate::net::{ConnId, Entrance, Event, ListenerId, Net, OPEN_MORE_FILES, Target};
use crate::proto::server::Policy;
use crate::role::Watchdog;
use crate::store::{Folder, StoreError};
use crate::tls::{SetupError, SuitesError, VersionsError};

/// How often a quota's count is made anew, since other programs come and go in the storage directory too.
const RECOUNT: Duration = Duration::from_secs(300);

/// Connections that linger once they were told to go, where no more may be inside: a client that closes does not linger.
const GOING: usize = 64;

/// How long what is under way may take once the server has been told to stop.
const STOPPING: Duration = Duration::from_secs(10);

/// Why the server cannot start, or cannot take a configuration over.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The storage directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificates and keys.
    #[error("{}{}", .0, where_the_passphrase_goes(.0))]
    Tls(#[from] SetupError),
    /// `-z`.
    #[error("ssl_version (-z): {0}")]
    Versions(#[from] VersionsError),
    /// `-u`.
    #[error("ssl_cipher (-u): {0}")]
    Suites(#[from] SuitesError),
    /// An address to listen on.
    #[error("cannot listen on {address}: {error}{}", listen_advice(.error))]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The loop.
    #[error("cannot set up the event loop: {0}")]
    Io(#[from] io::Error),
}

impl StartError {
    /// Whether a value, or a file that it names, is to blame: not an address that is taken.
    pub fn is_of_configuration(&self) -> bool {
        !matches!(self, Self::Listen { .. } | Self::Io(_))
    }
}

fn where_the_passphrase_goes(error: &SetupError) -> &'static str {
    if error.is_for_want_of_a_passphrase() {
        " (-w; ssl_password_file, and upstream_ssl_password_file with -b)"
    } else {
        ""
    }
}

fn listen_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; is another Tentacle server running?",
        io::ErrorKind::AddrNotAvailable => "; it is none of this machine's addresses",
        io::ErrorKind::PermissionDenied => "; ports below 1024 are root's: start as root, with --user",
        _ => "",
    }
}

/// A server that listens, with nothing else open and no thread started: the process may still become another user's and go
/// to the background.
pub struct Bound {
    net: Net,
    listeners: Vec<ListenerId>,
    config: ServerConfig,
    target: Option<Arc<Target>>,
}

/// What clients are served with.
enum Hall {
    Storage(Box<Storage>, Arc<Policy>),
    Relay(Arc<Target>),
}

/// What a connection is to us.
enum Guest {
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
    hall: Hall,
    gate: Gate,
    guests: HashMap<ConnId, (SocketAddr, Guest)>,
    complaints: Complaints,
    /// When to look at which connections again, whatever their sockets say.
    later: BTreeSet<(Instant, ConnId)>,
    next_recount: Instant,
    stopper: Stopper,
    /// When the server has been told to stop: the time by which it will, whatever is under way.
    stop_by: Option<Instant>,
}

/// Reads what the configuration names, certificates and all, and listens nowhere.
///
/// # Errors
/// What would keep a server from starting.
pub fn check(config: &ServerConfig) -> Result<(), StartError> {
    entrance(config)?;
    match &config.mode {
        Mode::Store(settings) => Folder::check(&settings.directory)?,
        Mode::Relay(relay) => drop(target(relay, config)?),
    }
    Ok(())
}

impl Bound {
    /// Reads certificates and listens.
    pub fn new(config: ServerConfig) -> Result<Self, StartError> {
        let mut net = Net::new()?;
        let entrance = Arc::new(entrance(&config)?);
        let target = match &config.mode {
            Mode::Relay(relay) => Some(Arc::new(target(relay, &config)?)),
            Mode::Store(_) => None,
        };
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.extend(listen(&mut net, address, config.port, &entrance)?);
        }
        Ok(Self { net, listeners, config, target })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|&listener| self.net.local_address(listener).ok()).collect()
    }

    /// Opens the storage directory, where there is one.
    pub fn open_storage(&self) -> Result<Option<Folder>, StoreError> {
        match &self.config.mode {
            Mode::Store(settings) => open_root(settings, self.config.process.umask).map(Some),
            Mode::Relay(_) => Ok(None),
        }
    }

    /// Starts the threads that the storage directory needs.
    pub fn start(self, root: Option<Folder>) -> Result<Service, StartError> {
        let Self { net, listeners, config, target } = self;
        let hall = match (&config.mode, root, target) {
            (Mode::Relay(_), _, Some(target)) => Hall::Relay(target),
            (Mode::Store(settings), Some(root), _) => {
                let notify = || {
                    let waker = net.waker();
                    // The waker fails only with the loop gone, and then nobody waits.
                    Box::new(move || drop(waker.wake())) as _
                };
                let storage = Storage::start(settings.clone(), config.process.umask, root, notify)?;
                Hall::Storage(Box::new(storage), Arc::new(policy(settings)))
            }
            _ => return Err(io::Error::other("the storage directory has not been opened").into()),
        };
        let (now, stopper) = (net.now(), Stopper::new(net.waker()));
        Ok(Service {
            gate: Gate::new(config.hosts_access.clone(), &config.limits),
            net,
            listeners,
            limits: config.limits,
            started: config,
            hall,
            guests: HashMap::new(),
            complaints: Complaints::default(),
            later: BTreeSet::new(),
            next_recount: now + RECOUNT,
            stopper,
            stop_by: None,
        })
    }
}

/// One listener for each address this comes to.
fn listen(
    net: &mut Net,
    address: &ListenAddress,
    port: u16,
    entrance: &Arc<Entrance>,
) -> Result<Vec<ListenerId>, StartError> {
    let failed = |address: String| move |error| StartError::Listen { address, error };
    let addresses: Vec<SocketAddr> = match address {
        ListenAddress::Any => {
            let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            // Where there is no IPv6, nobody misses it.
            let by_v6 = net.listen((Ipv6Addr::UNSPECIFIED, port).into(), Arc::clone(entrance)).ok();
            let by_v4 = net.listen(everywhere, Arc::clone(entrance)).map_err(failed(everywhere.to_string()))?;
            return Ok(by_v6.into_iter().chain([by_v4]).collect());
        }
        ListenAddress::Ip(ip) => vec![(*ip, port).into()],
        ListenAddress::Name(name) => (name.as_str(), port).to_socket_addrs().map_err(failed(name.clone()))?.collect(),
    };
    let each = addresses.into_iter();
    each.map(|address| net.listen(address, Arc::clone(entrance)).map_err(failed(address.to_string()))).collect()
}

impl Service {
    /// From now on these signals are what [`run`](Self::run) hands on.
    pub fn take_signals(&mut self, signals: &[i32]) -> io::Result<()> {
        self.net.take_signals(signals)
    }

    /// What stops this server, from any thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until `on_signal` answers a signal with `false`, or a [`Stopper`] is used, and what is under way has ended,
    /// at most 10 s later.
    pub fn run(mut self, watchdog: &mut Watchdog, mut on_signal: impl FnMut(&mut Self, i32) -> bool) -> io::Result<()> {
        while !self.is_finished() {
            self.net.set_room(self.room());
            let wake = [self.later.first().map(|&(at, _)| at), Some(self.next_recount), self.stop_by];
            let until = wake.into_iter().flatten().chain(watchdog.due(self.net.now())).min();
            for event in self.net.turn(until)? {
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
            self.look_again();
            self.check_threads()?;
            watchdog.feed(self.net.now());
        }
        if let Hall::Storage(storage, _) = self.hall {
            storage.stop();
        }
        Ok(())
    }

    /// How many more may come in: those who were told to go and linger have a limit as well.
    fn room(&self) -> usize {
        let going = self.net.connections().saturating_sub(self.guests.len());
        let most_going = self.limits.max_connections.max(GOING);
        self.gate.room().min(most_going.saturating_sub(going))
    }

    /// Nobody comes in any more; who is resting leaves at once.
    fn drain(&mut self) {
        info!("stopping: {} connections are open", self.guests.len());
        self.stop_by = Some(self.net.now() + STOPPING);
        for listener in self.listeners.drain(..) {
            self.net.stop_listening(listener);
        }
        let resting: Vec<ConnId> =
            self.guests.iter().filter_map(|(&id, (_, guest))| guest.is_resting().then_some(id)).collect();
        for id in resting {
            self.send_away(id);
        }
    }

    fn is_finished(&self) -> bool {
        self.stop_by.is_some_and(|stop_by| self.net.connections() == 0 || self.net.now() >= stop_by)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted(id, peer) => self.arrived(id, peer),
            Event::Opened(id) => self.opened(id),
            Event::Ready(id) => self.pump(id),
            Event::Failed(id, failure) => self.failed(id, failure),
            Event::Woken => self.take_done(),
            Event::AcceptFailed(error) => {
                let text = format!("no connection can be accepted: {error}; {OPEN_MORE_FILES}");
                self.complaints.warn(None, "accept", &text, self.net.now());
            }
            Event::Resolved(..) | Event::Connected(..) | Event::Signal(_) => {}
        }
    }

    /// Without its threads a server could but let its clients wait: one that is started anew serves them.
    fn check_threads(&self) -> io::Result<()> {
        match &self.hall {
            Hall::Storage(storage, _) if !storage.is_alive() => {
                Err(io::Error::other("a thread of the storage has panicked"))
            }
            _ => Ok(()),
        }
    }

    /// What time alone brings.
    fn look_again(&mut self) {
        let now = self.net.now();
        while let Some(&(at, id)) = self.later.first()
            && at <= now
        {
            self.later.pop_first();
            self.net.wake(id);
        }
        if now >= self.next_recount {
            self.next_recount = now + RECOUNT;
            if let Hall::Storage(storage, _) = &self.hall {
                storage.recount();
            }
        }
    }
}

impl Guest {
    /// Whether it can be sent away without a loss.
    fn is_resting(&self) -> bool {
        match self {
            Self::Arriving => true,
            Self::Session(session) => session.is_resting(),
            Self::Relay(_) | Self::Upstream(_) => false,
        }
    }
}
