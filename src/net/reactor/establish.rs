//! From an address, or an accepted socket, to an open connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::vec;

use mio::Interest;
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::{Event, Net};
use crate::net::conn::{Conn, ConnState, Origin};
use crate::net::listener::Accepted;
use crate::net::readiness::Readiness;
use crate::net::{ConnId, Failure, Phase, Target, proxy};
use crate::tls::{Acceptor, Handshake, Stream, StreamError, TlsFailure, UnixTime};

/// Addresses of one name that are tried; each takes up to the site's timeout.
const MAX_ADDRESSES: usize = 4;

impl Net {
    pub(super) fn resolve(&mut self, id: ConnId) {
        let Some((target, _)) = self.target(id) else { return };
        match self.resolver.ask(id, target.first_hop().0) {
            Some(address) => self.resolved(id, vec![address]),
            None => self.enter(id, ConnState::Resolving),
        }
    }

    pub(super) fn take_answers(&mut self) {
        for (id, answer) in self.resolver.answers() {
            let Some(Conn { state: ConnState::Resolving, origin: Origin::Opened { target, .. }, .. }) = self.conn(id)
            else {
                continue;
            };
            let host = target.first_hop().0.to_string();
            match answer {
                Ok(addresses) => self.resolved(id, addresses),
                Err(error) => self.fail(id, Failure::Resolve { host, error }),
            }
        }
    }

    /// The name was not looked up in time; its last known addresses may do.
    pub(super) fn unresolved(&mut self, id: ConnId) {
        let Some((target, _)) = self.target(id) else { return };
        match self.resolver.time_out(id, target.first_hop().0) {
            Some(addresses) => self.resolved(id, addresses),
            None => self.fail(id, Failure::Timeout(Phase::Resolve)),
        }
    }

    fn resolved(&mut self, id: ConnId, mut addresses: Vec<SocketAddr>) {
        let Some((target, _)) = self.target(id) else { return };
        self.out.push(Event::Resolved(id, addresses.len()));
        addresses.truncate(MAX_ADDRESSES);
        let port = target.first_hop().1;
        for address in &mut addresses {
            address.set_port(port);
        }
        self.connect(id, addresses.into_iter());
    }

    /// Starts TCP to the first of `rest` that takes it.
    pub(super) fn connect(&mut self, id: ConnId, mut rest: vec::IntoIter<SocketAddr>) {
        let Some(address) = rest.next() else { return };
        let local = self.target(id).and_then(|(target, _)| target.local);
        let started = begin(address, local).and_then(|mut tcp| {
            tcp.set_nodelay(true)?;
            self.poll.registry().register(&mut tcp, id.token(), Interest::READABLE | Interest::WRITABLE)?;
            Ok(tcp)
        });
        match started {
            Ok(tcp) => {
                if let Some(conn) = self.conn(id) {
                    conn.readiness = Readiness::default();
                }
                self.enter(id, ConnState::Connecting { tcp, address, rest });
            }
            Err(_) if !rest.as_slice().is_empty() => self.connect(id, rest),
            Err(error) => self.cannot_connect(id, address, error),
        }
    }

    pub(super) fn connecting(
        &mut self,
        id: ConnId,
        tcp: TcpStream,
        address: SocketAddr,
        rest: vec::IntoIter<SocketAddr>,
    ) {
        // As mio's documentation has it: an error first, then whether there is a peer already.
        let outcome = match tcp.take_error() {
            Ok(Some(error)) | Err(error) => Err(error),
            Ok(None) => tcp.peer_addr(),
        };
        match outcome {
            Ok(_) => {
                self.out.push(Event::Connected(id, address));
                self.connected(id, tcp);
            }
            Err(error) if is_pending(&error) => self.restore(id, ConnState::Connecting { tcp, address, rest }),
            Err(_) if !rest.as_slice().is_empty() => self.connect(id, rest),
            Err(error) => self.cannot_connect(id, address, error),
        }
    }

    fn cannot_connect(&mut self, id: ConnId, address: SocketAddr, error: io::Error) {
        let is_proxy = self.target(id).is_some_and(|(target, _)| target.proxy.is_some());
        self.fail(id, Failure::Connect { address, is_proxy, error });
    }

    fn connected(&mut self, id: ConnId, tcp: TcpStream) {
        let Some((target, _)) = self.target(id) else { return };
        match &target.proxy {
            Some(proxy) => {
                let request = proxy::request(&target.host, target.port, proxy.http, proxy.credentials.as_ref());
                self.enter(id, ConnState::Proxying { tcp, request, answer: Vec::new() });
            }
            None => self.start_tls(id, tcp),
        }
    }

    pub(super) fn proxying(&mut self, id: ConnId, tcp: TcpStream, mut request: Vec<u8>, mut answer: Vec<u8>) {
        match proxy::exchange(&tcp, &mut request, &mut answer) {
            Ok(true) => self.start_tls(id, tcp),
            Ok(false) => self.restore(id, ConnState::Proxying { tcp, request, answer }),
            Err(failure) => self.fail(id, failure),
        }
    }

    fn start_tls(&mut self, id: ConnId, tcp: TcpStream) {
        let Some((target, offer)) = self.target(id) else { return };
        match target.tls.as_ref().map(|connector| connector.connect(&target.host, offer)) {
            None => self.opened(id, Stream::plain(tcp, target.quick_ack)),
            Some(Ok(tls)) => {
                self.enter(id, ConnState::Handshaking { stream: Stream::tls(tcp, tls, target.quick_ack) });
            }
            Some(Err(failure)) => self.fail(id, failure.into()),
        }
    }

    /// A connection has come in. What it costs beyond its socket waits until the loop's user admits it.
    pub(super) fn arrived(&mut self, accepted: Accepted) {
        let Accepted { mut tcp, peer, listener, listener_config } = accepted;
        let id = self.add(Origin::Accepted { listener_config });
        self.out.push(Event::Accepted(id, peer, listener));
        let registered = tcp.set_nodelay(true).and_then(|()| {
            self.poll.registry().register(&mut tcp, id.token(), Interest::READABLE | Interest::WRITABLE)
        });
        match registered {
            Ok(()) => self.enter(id, ConnState::Accepted { tcp }),
            Err(error) => self.fail(id, Failure::Io(error)),
        }
    }

    /// Lets a connection that has come in go on: through TLS, where its listener has that. Its time to do so begins
    /// now.
    pub fn admit(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        match std::mem::replace(&mut conn.state, ConnState::Failed) {
            ConnState::Accepted { tcp } => self.accept_tls(id, tcp),
            other => conn.state = other,
        }
    }

    fn accept_tls(&mut self, id: ConnId, tcp: TcpStream) {
        let Some(Conn { origin: Origin::Accepted { listener_config }, .. }) = self.conn(id) else { return };
        let listener_config = Arc::clone(listener_config);
        match listener_config.tls.as_ref().map(Acceptor::accept) {
            None => self.opened(id, Stream::plain(tcp, listener_config.quick_ack)),
            Some(Ok(tls)) => {
                self.enter(id, ConnState::Handshaking { stream: Stream::tls(tcp, tls, listener_config.quick_ack) });
            }
            Some(Err(failure)) => self.fail(id, failure.into()),
        }
    }

    pub(super) fn handshaking(&mut self, id: ConnId, mut stream: Stream) {
        match stream.handshake() {
            Ok(Handshake::Done) => match self.check_resumed(id, &stream) {
                Ok(()) => self.opened(id, stream),
                Err(failure) => self.fail(id, StreamError::from(failure).into()),
            },
            Ok(Handshake::WantMore) => self.restore(id, ConnState::Handshaking { stream }),
            Err(failure) => self.fail(id, failure.into()),
        }
    }

    /// Whether a site's certificate is still accepted where an earlier session goes on.
    fn check_resumed(&mut self, id: ConnId, stream: &Stream) -> Result<(), TlsFailure> {
        let (Some(certificates), Some((target, _))) = (stream.resumed_certificates(), self.target(id)) else {
            return Ok(());
        };
        let connector = target.tls.as_ref();
        connector.map_or(Ok(()), |connector| connector.check_resumed(&target.host, certificates, UnixTime::now()))
    }

    fn opened(&mut self, id: ConnId, stream: Stream) {
        self.set_deadline(id, None);
        let Some(conn) = self.conn(id) else { return };
        // What the handshake left unread shows at the first try.
        conn.readiness = Readiness { read: true, ..conn.readiness };
        conn.state = ConnState::Open { stream };
        self.out.push(Event::Opened(id));
    }

    /// Where a connection that we began goes, and whether our own certificate may be shown.
    fn target(&mut self, id: ConnId) -> Option<(Arc<Target>, bool)> {
        match &self.conn(id)?.origin {
            Origin::Opened { target, offer } => Some((Arc::clone(target), *offer)),
            Origin::Accepted { .. } => None,
        }
    }
}

/// Starts TCP to `remote`, from the address given or any.
fn begin(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(local) = local else { return TcpStream::connect(remote) };
    let family = if remote.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddr::new(local, 0))?;
    match connect(&socket, &remote) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from_std(socket.into())),
        Err(errno) => Err(errno.into()),
    }
}

fn is_pending(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotConnected || error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error())
}
