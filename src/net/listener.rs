//! Where connections come in.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::{Resource, getrlimit};

use crate::tls::Acceptor;

/// Connections the kernel completes before we take them; it lowers this to its own `somaxconn`.
const BACKLOG: i32 = 1024;

/// Connections taken from one listener in one turn, where the process may have many files open.
const MOST_ACCEPTS: usize = 64;

/// How long nothing is accepted once that has failed: file descriptors come back only as connections end.
const PAUSE: Duration = Duration::from_secs(1);

/// The bit that no connection's token has.
const TOKEN_BIT: usize = 1 << (usize::BITS - 1);

/// What a connection passes through on its way in.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// How to speak TLS, `None` for plain TCP.
    pub tls: Option<Acceptor>,
    /// Have what is not answered yet acknowledged before each wait for more (`TCP_QUICKACK`).
    pub quick_ack: bool,
    /// The longest wait until the TLS handshake is done.
    pub timeout: Duration,
}

/// Whether an address to listen on has to be one of this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Now, or listening fails with [`io::ErrorKind::AddrNotAvailable`].
    Now,
    /// It may become one later, as a cluster's address does that moves from machine to machine: clients come in as soon as
    /// it is there (`IP_FREEBIND`).
    Later,
}

/// Names a listener; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(u32);

impl ListenerId {
    fn token(self) -> Token {
        Token(TOKEN_BIT | self.0 as usize)
    }

    /// The listener a token belongs to, where it is a listener's and not a connection's.
    pub(super) fn from_token(token: Token) -> Option<Self> {
        u32::try_from(token.0 ^ TOKEN_BIT).ok().map(Self)
    }
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    config: Arc<ListenerConfig>,
    /// A connection may wait: cleared only when `accept` would block.
    waiting: bool,
}

/// A connection that has come in.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) tcp: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) listener: ListenerId,
    pub(super) listener_config: Arc<ListenerConfig>,
}

/// All listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    open: BTreeMap<ListenerId, Listener>,
    last: u32,
    pause: Option<Instant>,
    /// Connections taken from one listener in one turn: of those, some may be turned away before the next.
    accepts: usize,
}

impl Listeners {
    pub(super) fn new() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let accepts = usize::try_from(files / 8).unwrap_or(usize::MAX).clamp(1, MOST_ACCEPTS);
        Self { open: BTreeMap::new(), last: 0, pause: None, accepts }
    }

    pub(super) fn add(
        &mut self,
        registry: &Registry,
        address: SocketAddr,
        presence: Presence,
        listener_config: Arc<ListenerConfig>,
    ) -> io::Result<ListenerId> {
        let mut socket = listen_at(address, presence)?;
        let id = ListenerId(self.last + 1);
        registry.register(&mut socket, id.token(), Interest::READABLE)?;
        self.last = id.0;
        self.open.insert(id, Listener { socket, config: listener_config, waiting: true });
        Ok(id)
    }

    pub(super) fn local_address(&self, id: ListenerId) -> io::Result<SocketAddr> {
        self.open.get(&id).ok_or(io::ErrorKind::NotFound)?.socket.local_addr()
    }

    pub(super) fn set_listener_config(&mut self, id: ListenerId, listener_config: Arc<ListenerConfig>) {
        if let Some(listener) = self.open.get_mut(&id) {
            listener.config = listener_config;
        }
    }

    pub(super) fn remove(&mut self, id: ListenerId) {
        self.open.remove(&id);
    }

    pub(super) fn mark_waiting(&mut self, id: ListenerId) {
        if let Some(listener) = self.open.get_mut(&id) {
            listener.waiting = true;
        }
    }

    /// When accepting is to be tried next: not before somebody waits.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let wanted = self.open.values().any(|listener| listener.waiting);
        wanted.then(|| self.pause.unwrap_or(now))
    }

    /// Takes those who wait, and adds them to `arrivals`. After an error, nobody is taken for a while.
    pub(super) fn accept(&mut self, now: Instant, accepted: &mut Vec<Accepted>) -> io::Result<()> {
        if self.pause.is_some_and(|until| now < until) {
            return Ok(());
        }
        self.pause = None;
        for (&id, listener) in &mut self.open {
            listener.accept(id, self.accepts, accepted).inspect_err(|_| self.pause = Some(now + PAUSE))?;
        }
        Ok(())
    }
}

impl Listener {
    fn accept(&mut self, id: ListenerId, most: usize, accepted: &mut Vec<Accepted>) -> io::Result<()> {
        for _ in 0..most {
            if !self.waiting {
                break;
            }
            match self.socket.accept() {
                Ok((tcp, peer)) => {
                    let listener_config = Arc::clone(&self.config);
                    accepted.push(Accepted { tcp, peer, listener: id, listener_config });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.waiting = false,
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Linux reports what happened to a waiting connection as the failure of `accept`: accept(2) recommends to try again
/// after these.
fn concerns_one_connection(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            Errno::INTR
                | Errno::CONNABORTED
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    )
}

/// A socket that listens. An IPv6 one takes no IPv4, so that `0.0.0.0` and `::` can both be listened on.
fn listen_at(address: SocketAddr, presence: Presence) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if presence == Presence::Later {
        match address {
            SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
            SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
        }
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}
