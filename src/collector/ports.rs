//! What a collector reaches the outside through: as traits, so that all of it can be run on a simulated world.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::{Compressible, ConnId, Event, Io, ListenerConfig, ListenerId, LocalId, Net, Target, date};
use crate::proto::{FileName, Fingerprint};
use crate::store::{Commits, Committer, Completion, InSpool, Publication, Spool, Waiting};
use crate::tls::{PeerDescription, UnixTime};

/// The loop: [`Net`], whose methods these are.
pub(super) trait Network {
    fn now(&self) -> Instant;
    /// The date, for certificates.
    fn date(&self) -> UnixTime;
    fn max_loop_latency(&self) -> Duration;
    fn take_loop_latency(&mut self) -> Duration;
    /// Connections to sites, in any stage.
    fn connections(&self) -> usize;
    fn open(&mut self, target: Arc<Target>, offer: bool) -> ConnId;
    fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>>;
    fn wake(&mut self, id: ConnId);
    fn close(&mut self, id: ConnId);
    fn abort(&mut self, id: ConnId);
    /// The status port: its clients' connections are those that come in.
    fn listen(&mut self, address: SocketAddr, listener_config: Arc<ListenerConfig>) -> io::Result<ListenerId>;
    fn stop_listening(&mut self, listener: ListenerId);
    fn admit(&mut self, id: ConnId);
    fn half_close(&mut self, id: ConnId);
    /// The control socket: its clients are answered.
    fn listen_locally(&mut self, listener: UnixListener) -> io::Result<()>;
    fn answer(&mut self, client: LocalId, more: &[u8]);
    fn tell(&mut self, client: LocalId, more: &[u8]);
    fn finish_answer(&mut self, client: LocalId);
    fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>>;
}

/// An open connection, as its session uses it: [`Io`], whose methods these are.
pub(super) trait Connection: Compressible {
    fn now(&self) -> Instant;
    /// The time that the peer's pace is measured by: it stands still while a limit of ours keeps the peer waiting.
    fn peer_time(&self) -> Instant {
        self.now()
    }
    /// The date.
    fn date(&self) -> UnixTime;
    /// The same, to the nanosecond where that is known: since 1970.
    fn exact_date(&self) -> Duration {
        Duration::from_secs(self.date().as_secs())
    }
    /// What the site has shown, over TLS.
    fn peer(&mut self) -> Option<PeerDescription>;
    fn has_buffered(&mut self) -> bool;
    fn has_ended(&mut self) -> bool;
    fn has_unsent(&mut self) -> bool;
    fn wake(&mut self);
    fn set_deadline(&mut self, wait: Option<Duration>);
    /// How long the connection has until its deadline, if it has one.
    fn time_left(&mut self) -> Option<Duration>;
    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>);
}

/// Who makes files durable and publishes them: [`Committer`], whose methods these are.
pub(super) trait Publisher {
    fn publish(&mut self, publication: Publication);
    fn forget(&mut self, site: Arc<str>, name: FileName, fingerprint: Fingerprint);
    fn take_in(&mut self, spool: Spool);
    fn waiting(&self) -> Waiting;
    fn is_all_published(&self) -> bool;
    fn in_spool(&self, site: &str) -> InSpool;
    fn is_alive(&self) -> bool;
    fn commits(&self) -> Commits;
    fn completions(&mut self) -> Vec<Completion>;
    fn stop(self: Box<Self>) -> Waiting;
}

impl Network for Net {
    fn now(&self) -> Instant {
        self.now()
    }

    fn date(&self) -> UnixTime {
        UnixTime::now()
    }

    fn max_loop_latency(&self) -> Duration {
        self.max_loop_latency()
    }

    fn take_loop_latency(&mut self) -> Duration {
        self.take_loop_latency()
    }

    fn connections(&self) -> usize {
        self.opened_connections()
    }

    fn open(&mut self, target: Arc<Target>, offer: bool) -> ConnId {
        self.open(target, offer)
    }

    fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>> {
        self.io(id).map(|io| Box::new(io) as Box<dyn Connection>)
    }

    fn wake(&mut self, id: ConnId) {
        self.wake(id);
    }

    fn close(&mut self, id: ConnId) {
        self.close(id);
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

    fn admit(&mut self, id: ConnId) {
        self.admit(id);
    }

    fn half_close(&mut self, id: ConnId) {
        self.half_close(id);
    }

    fn listen_locally(&mut self, listener: UnixListener) -> io::Result<()> {
        self.listen_locally(listener)
    }

    fn answer(&mut self, client: LocalId, more: &[u8]) {
        self.answer(client, more);
    }

    fn tell(&mut self, client: LocalId, more: &[u8]) {
        self.tell(client, more);
    }

    fn finish_answer(&mut self, client: LocalId) {
        self.finish_answer(client);
    }

    fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        self.poll_once(until)
    }
}

impl Connection for Io<'_> {
    fn now(&self) -> Instant {
        self.now()
    }

    fn date(&self) -> UnixTime {
        UnixTime::now()
    }

    fn exact_date(&self) -> Duration {
        date()
    }

    fn peer(&mut self) -> Option<PeerDescription> {
        self.peer()
    }

    fn has_buffered(&mut self) -> bool {
        self.has_buffered()
    }

    fn has_ended(&mut self) -> bool {
        self.has_ended()
    }

    fn has_unsent(&mut self) -> bool {
        self.has_unsent()
    }

    fn wake(&mut self) {
        self.wake();
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        self.set_deadline(wait);
    }

    fn time_left(&mut self) -> Option<Duration> {
        self.time_left()
    }

    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>) {
        self.drain_by(wait, drained_by);
    }
}

impl Publisher for Committer {
    fn publish(&mut self, publication: Publication) {
        Self::publish(self, publication);
    }

    fn forget(&mut self, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        Self::forget(self, site, name, fingerprint);
    }

    fn take_in(&mut self, spool: Spool) {
        Self::take_in(self, spool);
    }

    fn waiting(&self) -> Waiting {
        Self::waiting(self)
    }

    fn is_all_published(&self) -> bool {
        Self::is_all_published(self)
    }

    fn in_spool(&self, site: &str) -> InSpool {
        Self::in_spool(self, site)
    }

    fn is_alive(&self) -> bool {
        Self::is_alive(self)
    }

    fn commits(&self) -> Commits {
        Self::commits(self)
    }

    fn completions(&mut self) -> Vec<Completion> {
        Self::completions(self)
    }

    fn stop(self: Box<Self>) -> Waiting {
        Self::stop(*self).1
    }
}
