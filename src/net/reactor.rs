//! The only [`mio::Poll`], and the only reader of the clock.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

use super::conn::{Conn, Stage};
use super::readiness::Readiness;
use super::resolve::Resolver;
use super::{ConnId, Failure, Io, Target, proxy};
use crate::tls::{Handshake, Pipe, Received};

const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);

/// Addresses of one name that are tried; each takes up to the site's timeout.
const MAX_ADDRESSES: usize = 4;

/// How long a connection that we have left may take to close at the other end.
const LINGER: Duration = Duration::from_secs(2);

/// Reads granted to a peer that goes on talking after we have left.
const LAST_READS: usize = 16;

/// The scratch buffer all plain connections read into.
const SCRATCH: usize = 64 * 1024;

/// What concerns the loop's user.
#[derive(Debug)]
pub enum Event {
    /// The host has been looked up, or needed no looking up.
    Resolved(ConnId, usize),
    /// TCP stands, to this address: the site's, or the proxy's.
    Connected(ConnId, SocketAddr),
    /// The connection is open, TLS and all: the session begins.
    Opened(ConnId),
    /// The open connection can go on.
    Ready(ConnId),
    /// The connection failed and is gone.
    Failed(ConnId, Failure),
    /// Somebody used the waker.
    Woken,
    /// A signal arrived.
    Signal(i32),
}

/// The connections, and the loop that moves them.
pub struct Net {
    poll: Poll,
    events: Events,
    waker: Arc<mio::Waker>,
    signals: Option<Signals>,
    resolver: Resolver,
    conns: Slab<Conn>,
    generation: u32,
    queue: VecDeque<ConnId>,
    deadlines: BTreeSet<(Instant, ConnId)>,
    out: Vec<Event>,
    scratch: Box<[u8]>,
    now: Instant,
    /// `None` before the first turn: what came before that kept nothing waiting.
    longest_turn: Option<Duration>,
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

impl Net {
    /// A loop without connections. The process may have as many files open from now on as its hard limit allows.
    pub fn new() -> io::Result<Self> {
        raise_open_files();
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            events: Events::with_capacity(1024),
            resolver: Resolver::new(Arc::clone(&waker)),
            poll,
            waker,
            signals: None,
            conns: Slab::new(),
            generation: 0,
            queue: VecDeque::new(),
            deadlines: BTreeSet::new(),
            out: Vec::new(),
            scratch: vec![0; SCRATCH].into(),
            now: clock(),
            longest_turn: None,
        })
    }

    /// From now on these signals arrive as [`Event::Signal`] and have no other effect.
    pub fn take_signals(&mut self, signals: &[i32]) -> io::Result<()> {
        let mut source = Signals::new(signals)?;
        self.poll.registry().register(&mut source, SIGNALS, Interest::READABLE)?;
        self.signals = Some(source);
        Ok(())
    }

    /// Makes a turn end early, from any thread; it reports [`Event::Woken`].
    pub fn waker(&self) -> Arc<mio::Waker> {
        Arc::clone(&self.waker)
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The longest that anything ready had to wait for the loop to come back to it.
    pub fn longest_turn(&self) -> Duration {
        self.longest_turn.unwrap_or_default()
    }

    /// Connections in any stage.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Starts a connection; `offer` says whether our own certificate may be shown.
    pub fn open(&mut self, target: Arc<Target>, offer: bool) -> ConnId {
        self.generation = self.generation.wrapping_add(1) & 0x7fff_ffff;
        let entry = self.conns.vacant_entry();
        let id = ConnId::new(entry.key(), self.generation);
        entry.insert(Conn {
            id,
            target,
            offer,
            stage: Stage::Resolving,
            readiness: Readiness::default(),
            deadline: None,
            queued: false,
        });
        self.resolve(id);
        id
    }

    /// An open connection, to read from and write to.
    pub fn io(&mut self, id: ConnId) -> Option<Io<'_>> {
        matches!(self.conn(id)?.stage, Stage::Open { .. }).then(|| Io::new(self, id))
    }

    /// A connection that exists, and the buffer to read it with.
    pub(super) fn conn_and_scratch(&mut self, id: ConnId) -> (&mut Conn, &mut [u8]) {
        (&mut self.conns[id.slot()], &mut self.scratch)
    }

    /// Leaves an open connection: what was written goes out, then both ends close. No further event names it.
    pub fn close(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        match std::mem::replace(&mut conn.stage, Stage::Failed) {
            Stage::Open { mut pipe } => {
                pipe.close();
                conn.stage = Stage::Closing { pipe };
                self.set_deadline(id, Some(self.now + LINGER));
                self.enqueue(id);
            }
            _ => self.abort(id),
        }
    }

    /// Drops a connection as it is. No further event names it.
    pub fn abort(&mut self, id: ConnId) {
        if self.conn(id).is_some() {
            self.set_deadline(id, None);
            self.conns.remove(id.slot());
        }
    }

    /// Reports an open connection as ready in the next turn, whatever its socket says.
    pub fn wake(&mut self, id: ConnId) {
        self.enqueue(id);
    }

    /// One turn: waits for something to do, at most until `until`, does it, and says what concerns the caller.
    pub fn turn(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        let before = clock();
        let took = self.longest_turn.map(|longest| longest.max(before.saturating_duration_since(self.now)));
        self.longest_turn = Some(took.unwrap_or_default());
        let next = self.deadlines.first().map(|&(at, _)| at).into_iter().chain(until).min();
        let timeout = if self.queue.is_empty() && self.out.is_empty() {
            next.map(|at| at.saturating_duration_since(before))
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.now = clock();
        self.merge_events();
        for _ in 0..self.queue.len() {
            let Some(id) = self.queue.pop_front() else { break };
            if let Some(conn) = self.conn(id) {
                conn.queued = false;
                self.advance(id);
            }
        }
        self.expire();
        Ok(std::mem::take(&mut self.out))
    }

    fn merge_events(&mut self) {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match event.token() {
                WAKER => {
                    self.take_answers();
                    self.out.push(Event::Woken);
                }
                SIGNALS => self.out.extend(self.signals.iter_mut().flat_map(|s| s.pending().map(Event::Signal))),
                token => {
                    let id = ConnId::from_token(token);
                    if let Some(conn) = self.conn(id) {
                        conn.readiness.merge(event);
                        self.enqueue(id);
                    }
                }
            }
        }
        self.events = events;
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.slot()).filter(|conn| conn.id.generation() == id.generation())
    }

    fn enqueue(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id)
            && !conn.queued
        {
            conn.queued = true;
            self.queue.push_back(id);
        }
    }

    pub(super) fn set_deadline(&mut self, id: ConnId, deadline: Option<Instant>) {
        let Some(conn) = self.conns.get_mut(id.slot()) else { return };
        let old = std::mem::replace(&mut conn.deadline, deadline);
        if let Some(old) = old {
            self.deadlines.remove(&(old, id));
        }
        self.deadlines.extend(deadline.map(|at| (at, id)));
    }

    fn expire(&mut self) {
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= self.now
        {
            let phase = self.conn(id).map(|conn| conn.stage.phase());
            let Some(phase) = phase else {
                self.deadlines.pop_first();
                continue;
            };
            match self.retire(id) {
                // Another address of the same name may answer.
                Some(Stage::Connecting { rest, .. }) if !rest.as_slice().is_empty() => self.connect(id, rest),
                Some(Stage::Closing { .. }) => self.abort(id),
                _ => self.fail(id, Failure::Timeout(phase)),
            }
        }
    }

    /// Takes the stage out and the deadline off.
    fn retire(&mut self, id: ConnId) -> Option<Stage> {
        self.set_deadline(id, None);
        self.conn(id).map(|conn| std::mem::replace(&mut conn.stage, Stage::Failed))
    }

    fn fail(&mut self, id: ConnId, failure: Failure) {
        self.abort(id);
        self.out.push(Event::Failed(id, failure));
    }

    fn enter(&mut self, id: ConnId, stage: Stage) {
        let now = self.now;
        let Some(conn) = self.conn(id) else { return };
        let deadline = match stage {
            Stage::Open { .. } | Stage::Failed => None,
            _ => Some(now + conn.target.timeout),
        };
        conn.stage = stage;
        self.set_deadline(id, deadline);
        self.enqueue(id);
    }

    fn resolve(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        let target = Arc::clone(&conn.target);
        let (host, port) = target.first_hop();
        match self.resolver.ask(id, host, port) {
            Ok(Some(address)) => self.resolved(id, vec![address]),
            Ok(None) => self.enter(id, Stage::Resolving),
            Err(error) => self.fail(id, Failure::Resolve { host: host.to_string(), error }),
        }
    }

    fn take_answers(&mut self) {
        let answers: Vec<_> = self.resolver.answers().collect();
        for (id, answer) in answers {
            let Some(Conn { stage: Stage::Resolving, target, .. }) = self.conn(id) else { continue };
            let host = target.first_hop().0.to_string();
            match answer {
                Ok(addresses) => self.resolved(id, addresses),
                Err(error) => self.fail(id, Failure::Resolve { host, error }),
            }
        }
    }

    fn resolved(&mut self, id: ConnId, mut addresses: Vec<SocketAddr>) {
        self.out.push(Event::Resolved(id, addresses.len()));
        addresses.truncate(MAX_ADDRESSES);
        self.connect(id, addresses.into_iter());
    }

    /// Starts TCP to the first of `rest` that takes it.
    fn connect(&mut self, id: ConnId, mut rest: std::vec::IntoIter<SocketAddr>) {
        let Some(address) = rest.next() else { return };
        let started = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_nodelay(true)?;
            self.poll.registry().register(&mut stream, id.token(), Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        match started {
            Ok(stream) => {
                if let Some(conn) = self.conn(id) {
                    conn.readiness = Readiness::default();
                }
                self.enter(id, Stage::Connecting { stream, address, rest });
            }
            Err(_) if !rest.as_slice().is_empty() => self.connect(id, rest),
            Err(error) => self.fail(id, Failure::Connect { address, error }),
        }
    }

    /// Brings a connection as far as its socket lets it.
    fn advance(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        match std::mem::replace(&mut conn.stage, Stage::Failed) {
            Stage::Resolving => conn.stage = Stage::Resolving,
            Stage::Connecting { stream, address, rest } => self.connecting(id, stream, address, rest),
            Stage::Proxying { stream, request, answer } => self.proxying(id, stream, request, answer),
            Stage::Securing { pipe } => self.securing(id, pipe),
            Stage::Open { pipe } => {
                conn.stage = Stage::Open { pipe };
                self.out.push(Event::Ready(id));
            }
            Stage::Closing { pipe } => self.closing(id, pipe),
            Stage::Failed => self.abort(id),
        }
    }

    fn connecting(&mut self, id: ConnId, stream: TcpStream, address: SocketAddr, rest: std::vec::IntoIter<SocketAddr>) {
        // As mio's documentation has it: an error first, then whether there is a peer already.
        let outcome = match stream.take_error() {
            Ok(Some(error)) | Err(error) => Err(error),
            Ok(None) => stream.peer_addr(),
        };
        match outcome {
            Ok(_) => {
                self.out.push(Event::Connected(id, address));
                self.connected(id, stream);
            }
            Err(error) if is_pending(&error) => self.restore(id, Stage::Connecting { stream, address, rest }),
            Err(_) if !rest.as_slice().is_empty() => self.connect(id, rest),
            Err(error) => self.fail(id, Failure::Connect { address, error }),
        }
    }

    /// Puts a stage back that could not go on; its deadline stands.
    fn restore(&mut self, id: ConnId, stage: Stage) {
        if let Some(conn) = self.conn(id) {
            conn.stage = stage;
        }
    }

    fn connected(&mut self, id: ConnId, stream: TcpStream) {
        let Some(conn) = self.conn(id) else { return };
        let target = Arc::clone(&conn.target);
        match &target.proxy {
            Some(proxy) => {
                let request = proxy::request(&target.host, target.port, proxy.credentials.as_ref());
                self.enter(id, Stage::Proxying { stream, request, answer: Vec::new() });
            }
            None => self.secure(id, stream),
        }
    }

    fn proxying(&mut self, id: ConnId, stream: TcpStream, mut request: Vec<u8>, mut answer: Vec<u8>) {
        match proxy::exchange(&stream, &mut request, &mut answer) {
            Ok(true) => self.secure(id, stream),
            Ok(false) => self.restore(id, Stage::Proxying { stream, request, answer }),
            Err(failure) => self.fail(id, failure),
        }
    }

    fn secure(&mut self, id: ConnId, stream: TcpStream) {
        let Some(conn) = self.conn(id) else { return };
        let target = Arc::clone(&conn.target);
        let Some(connector) = &target.tls else {
            return self.opened(id, Pipe::plain(stream, target.quick_ack));
        };
        match connector.connect(&target.host, conn.offer) {
            Ok(tls) => self.enter(id, Stage::Securing { pipe: Pipe::tls(stream, tls, target.quick_ack) }),
            Err(failure) => self.fail(id, failure.into()),
        }
    }

    fn securing(&mut self, id: ConnId, mut pipe: Pipe) {
        match pipe.handshake() {
            Ok(Handshake::Done) => self.opened(id, pipe),
            Ok(Handshake::WantMore) => self.restore(id, Stage::Securing { pipe }),
            Err(failure) => self.fail(id, failure.into()),
        }
    }

    fn opened(&mut self, id: ConnId, pipe: Pipe) {
        self.set_deadline(id, None);
        let Some(conn) = self.conn(id) else { return };
        // What the handshake left unread or unwritten shows at the first try.
        conn.readiness = Readiness { read: true, write: true };
        conn.stage = Stage::Open { pipe };
        self.out.push(Event::Opened(id));
    }

    /// The last bytes go out, then whatever the peer still has to say goes nowhere, until it closes as well.
    fn closing(&mut self, id: ConnId, mut pipe: Pipe) {
        match pipe.flush() {
            Ok(true) if pipe.shutdown_write().is_ok() => {}
            Ok(false) => return self.restore(id, Stage::Closing { pipe }),
            _ => return self.abort(id),
        }
        for _ in 0..LAST_READS {
            match pipe.read(usize::MAX, &mut self.scratch, <[u8]>::len) {
                Ok(Received::Bytes(_)) => {}
                Ok(Received::WouldBlock) => return self.restore(id, Stage::Closing { pipe }),
                Ok(Received::Eof) | Err(_) => break,
            }
        }
        self.abort(id);
    }
}

/// The usual soft limit of 1024 is there for `select`, which nobody uses here. Without the right to raise it, the
/// connections beyond it fail one by one, each with its reason.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn is_pending(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotConnected
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}
