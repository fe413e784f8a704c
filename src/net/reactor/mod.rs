//! The only [`mio::Poll`], and the only reader of the clock.

mod deadlines;
mod establish;
mod shutdown;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

use super::conn::{Conn, ConnState, Origin};
use super::listener::Listeners;
use super::local::{LocalClients, LocalEvent, LocalId};
use super::readiness::Readiness;
use super::resolve::Resolver;
use super::{CompressionPlace, ConnId, Failure, Io, ListenerConfig, ListenerId, Presence, Target};
use crate::budget::{self, Budget};
use crate::deadline::after;
use crate::proto::extension::History;

const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);

/// The scratch buffer all plain connections read into.
const SCRATCH: usize = 64 * 1024;

/// What concerns the loop's user.
#[derive(Debug)]
pub enum Event {
    /// The host has been looked up, or needed no looking up.
    Resolved(ConnId, usize),
    /// TCP stands, to this address: the site's, or the proxy's.
    Connected(ConnId, SocketAddr),
    /// A connection has come in from this address, at this listener. It stays as it is, and costs little more than its socket, until it
    /// is [admitted](Net::admit) or turned away ([`Net::abort`]). Its peer has to send something within its listener's
    /// timeout.
    Accepted(ConnId, SocketAddr, ListenerId),
    /// The peer of a connection that has come in, and is not admitted yet, has sent something or closed it.
    Arrived(ConnId),
    /// Waiting connections could not be accepted, probably because there are no file descriptors left. They are tried
    /// again after a while.
    AcceptFailed(io::Error),
    /// The connection is open, TLS and all: the session begins.
    Opened(ConnId),
    /// The open connection can go on.
    Ready(ConnId),
    /// The connection failed and is gone.
    Failed(ConnId, Failure),
    /// Of the control socket.
    Local(LocalEvent),
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
    listeners: Listeners,
    local: LocalClients,
    conns: Slab<Conn>,
    /// How many of those came in.
    accepted: usize,
    generation: u32,
    queue: VecDeque<ConnId>,
    deadlines: BTreeSet<(Instant, ConnId)>,
    out: Vec<Event>,
    scratch: Box<[u8]>,
    /// For the state of connections that are compressed, in bytes.
    compression: Budget,
    now: Instant,
    /// `None` before the first turn: what came before that kept nothing waiting.
    max_loop_latency: Option<Duration>,
    /// The longest since it was taken last.
    recent_loop_latency: Duration,
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

/// The time since 1970, by the machine's clock; none where that is before.
#[expect(clippy::disallowed_methods, reason = "as for the time of the loop")]
pub fn date() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
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
            listeners: Listeners::new(),
            local: LocalClients::default(),
            conns: Slab::new(),
            accepted: 0,
            generation: 0,
            queue: VecDeque::new(),
            deadlines: BTreeSet::new(),
            out: Vec::new(),
            scratch: vec![0; SCRATCH].into(),
            compression: Budget::new(budget::COMPRESSION),
            now: clock(),
            max_loop_latency: None,
            recent_loop_latency: Duration::ZERO,
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
    pub fn max_loop_latency(&self) -> Duration {
        self.max_loop_latency.unwrap_or_default()
    }

    /// The same, since this was called last.
    pub fn take_loop_latency(&mut self) -> Duration {
        std::mem::take(&mut self.recent_loop_latency)
    }

    #[cfg(test)]
    pub(super) fn resolver_mut(&mut self) -> &mut Resolver {
        &mut self.resolver
    }

    /// Connections in any stage.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Those of them that were opened here.
    pub fn opened_connections(&self) -> usize {
        self.conns.len() - self.accepted
    }

    /// Starts a connection; `offer` is whether our own certificate may be shown.
    pub fn open(&mut self, target: Arc<Target>, offer: bool) -> ConnId {
        let id = self.add(Origin::Opened { target, offer });
        self.resolve(id);
        id
    }

    fn add(&mut self, origin: Origin) -> ConnId {
        self.generation = self.generation.wrapping_add(1) & 0x7fff_ffff;
        self.accepted += usize::from(origin.is_accepted());
        let entry = self.conns.vacant_entry();
        let id = ConnId::new(entry.key(), self.generation);
        entry.insert(Conn {
            id,
            origin,
            state: ConnState::Resolving,
            readiness: Readiness::default(),
            deadline: None,
            progress_timeout: None,
            unacknowledged: 0,
            compression: None,
            queued: false,
        });
        id
    }

    /// Accepts connections at `address`; port 0 is a free one. They arrive as [`Event::Accepted`], and pass through
    /// `listener_config`.
    pub fn listen(&mut self, address: SocketAddr, listener_config: Arc<ListenerConfig>) -> io::Result<ListenerId> {
        self.listen_with(address, Presence::Now, listener_config)
    }

    /// The same, where the address may be none of this machine's yet.
    pub fn listen_with(
        &mut self,
        address: SocketAddr,
        presence: Presence,
        listener_config: Arc<ListenerConfig>,
    ) -> io::Result<ListenerId> {
        self.listeners.add(self.poll.registry(), address, presence, listener_config)
    }

    /// Where a listener listens.
    ///
    /// # Errors
    /// There is no such listener any more.
    pub fn local_address(&self, listener: ListenerId) -> io::Result<SocketAddr> {
        self.listeners.local_address(listener)
    }

    /// Lets those who come from now on pass through `listener_config`.
    pub fn set_listener_config(&mut self, listener: ListenerId, listener_config: Arc<ListenerConfig>) {
        self.listeners.set_listener_config(listener, listener_config);
    }

    /// Closes a listener, and with it the connections in the kernel's queue. Those accepted live on.
    pub fn stop_listening(&mut self, listener: ListenerId) {
        self.listeners.remove(listener);
    }

    /// Serves the clients of this control socket from now on.
    pub fn listen_locally(&mut self, listener: UnixListener) -> io::Result<()> {
        self.local.listen(self.poll.registry(), listener)
    }

    /// More of a control socket's client's answer. It is told when the client [has it](LocalEvent::Drained): no more is to be
    /// made before.
    pub fn answer(&mut self, client: LocalId, more: &[u8]) {
        self.local.answer(client, more, self.now, &mut self.out);
    }

    /// More of a control socket's client's answer that has no end: unless it reads, it is parted with.
    pub fn tell(&mut self, client: LocalId, more: &[u8]) {
        self.local.tell(client, more, self.now, &mut self.out);
    }

    /// A control socket's client has its whole answer once it has what is made of it.
    pub fn finish_answer(&mut self, client: LocalId) {
        self.local.finish(client, self.now, &mut self.out);
    }

    /// The progress of an accepted connection: the bytes that its peer's kernel has acknowledged and those that came,
    /// TLS and all; what was compressed counts as it was before. `None` where the system does not report it.
    pub fn moved(&self, id: ConnId) -> Option<u64> {
        let conn = self.conns.get(id.slot()).filter(|conn| conn.id.generation() == id.generation())?;
        let saved = conn.compression.as_ref().map_or(0, |compression| compression.saved());
        crate::sys::moved(conn.state.tcp()?).ok().map(|moved| moved.saturating_add(saved))
    }

    /// An open connection, to read from and write to.
    pub fn io(&mut self, id: ConnId) -> Option<Io<'_>> {
        self.conn(id)?.state.session_stream()?;
        Some(Io::new(self, id))
    }

    /// One of the connections that can be compressed: what a client sends is short, and has no need of a history.
    pub(super) fn compression_place(&mut self, id: ConnId) -> Option<CompressionPlace> {
        let is_accepted = self.conn(id)?.origin.is_accepted();
        CompressionPlace::of(&self.compression, if is_accepted { History::Kept } else { History::SinceFlush })
    }

    /// The buffer that [`Net::return_scratch`] gets back.
    pub(super) fn take_scratch(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.scratch)
    }

    pub(super) fn return_scratch(&mut self, scratch: Box<[u8]>) {
        self.scratch = scratch;
    }

    /// A connection that exists, and the buffer to read it with.
    pub(super) fn conn_and_scratch(&mut self, id: ConnId) -> (&mut Conn, &mut [u8]) {
        (&mut self.conns[id.slot()], &mut self.scratch)
    }

    /// Drops a connection as it is. No further event names it.
    pub fn abort(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if let Conn { state: ConnState::Resolving, origin: Origin::Opened { target, .. }, .. } = conn {
            let target = Arc::clone(target);
            self.resolver.withdraw(id, target.first_hop().0);
        }
        self.set_deadline(id, None);
        let conn = self.conns.remove(id.slot());
        self.accepted -= usize::from(conn.origin.is_accepted());
    }

    /// Reports an open connection as ready in the next turn, whether its socket is or not.
    pub fn wake(&mut self, id: ConnId) {
        self.enqueue(id);
    }

    /// One turn: waits for something to do, at most until `until`, does it, and returns the events for the caller.
    pub fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        let (before, last_turn) = (clock(), self.now);
        let turn = before.saturating_duration_since(last_turn);
        // What came before the first turn was no turn.
        let took = self.max_loop_latency.map(|longest| longest.max(turn));
        self.recent_loop_latency = self.recent_loop_latency.max(took.map_or(Duration::ZERO, |_| turn));
        self.max_loop_latency = Some(took.unwrap_or_default());
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let next = [deadline, self.listeners.due(before), self.local.due(before), until].into_iter().flatten().min();
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
        self.expire(last_turn);
        self.accept();
        self.local.poll_once(self.poll.registry(), self.now, &mut self.out);
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
                    if let Some(client) = LocalId::from_token(token) {
                        self.local.ready(client, self.now, &mut self.out);
                    } else if let Some(listener) = ListenerId::from_token(token) {
                        self.listeners.mark_waiting(listener);
                    } else {
                        self.merge_event(ConnId::from_token(token), event);
                    }
                }
            }
        }
        self.events = events;
    }

    fn merge_event(&mut self, id: ConnId, event: &mio::event::Event) {
        if let Some(conn) = self.conn(id) {
            conn.readiness.merge(event);
            self.enqueue(id);
        }
    }

    fn accept(&mut self) {
        let mut accepted = Vec::new();
        let outcome = self.listeners.accept(self.now, &mut accepted);
        for accepted in accepted {
            self.arrived(accepted);
        }
        self.out.extend(outcome.err().map(Event::AcceptFailed));
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

    /// Takes the stage out and the deadline off.
    fn retire(&mut self, id: ConnId) -> Option<ConnState> {
        self.set_deadline(id, None);
        self.conn(id).map(|conn| std::mem::replace(&mut conn.state, ConnState::Failed))
    }

    fn fail(&mut self, id: ConnId, failure: Failure) {
        self.abort(id);
        self.out.push(Event::Failed(id, failure));
    }

    /// Goes on to a stage on the way to an open connection.
    fn enter(&mut self, id: ConnId, state: ConnState) {
        let now = self.now;
        let Some(conn) = self.conn(id) else { return };
        let deadline = after(now, conn.origin.timeout());
        conn.state = state;
        self.set_deadline(id, Some(deadline));
        self.enqueue(id);
    }

    /// Brings a connection as far as its socket lets it.
    fn advance(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        match std::mem::replace(&mut conn.state, ConnState::Failed) {
            ConnState::Resolving => conn.state = ConnState::Resolving,
            ConnState::Connecting { tcp, address, rest } => self.connecting(id, tcp, address, rest),
            ConnState::Proxying { tcp, request, answer } => self.proxying(id, tcp, request, answer),
            ConnState::Accepted { tcp } => {
                // What has come waits in the kernel until the connection is admitted; a peer that is gone never is.
                let Readiness { read, reset, .. } = conn.readiness;
                conn.state = ConnState::Accepted { tcp };
                if reset {
                    self.fail(id, Failure::Io(io::ErrorKind::ConnectionReset.into()));
                } else if read {
                    self.set_deadline(id, None);
                    self.out.push(Event::Arrived(id));
                }
            }
            ConnState::Handshaking { stream } => self.handshaking(id, stream),
            open @ (ConnState::Open { .. } | ConnState::Ended { .. }) => {
                conn.state = open;
                self.out.push(Event::Ready(id));
            }
            ConnState::Ending { stream } => self.ending(id, stream),
            ConnState::Closing { stream } => self.closing(id, stream),
            ConnState::Lingering { stream } => self.lingering(id, stream),
            ConnState::Failed => self.abort(id),
        }
    }

    /// Puts a stage back that could not go on; its deadline stands.
    fn restore(&mut self, id: ConnId, state: ConnState) {
        if let Some(conn) = self.conn(id) {
            conn.state = state;
        }
    }
}

/// The usual soft limit of 1024 is there for `select`, which nobody uses here. Without the right to raise it, the
/// connections beyond it fail one by one, each with its reason.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
