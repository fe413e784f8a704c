//! What a collector reaches the outside through: as traits, so that all of it can be run on a simulated world.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::{Compressible, ConnId, Event, Io, LocalId, Net, Target, date};
use crate::proto::{FileName, Fingerprint};
use crate::status_port;
use crate::store::{Commits, Committer, Completion, InSpool, Publication, Spool, Waiting};
use crate::tls::{PeerDescription, UnixTime};

/// The loop: [`Net`], whose methods these are.
pub(super) trait Network: status_port::Network {
    fn max_loop_latency(&self) -> Duration;
    fn take_loop_latency(&mut self) -> Duration;
    /// Connections to sites, in any stage.
    fn connections(&self) -> usize;
    fn open(&mut self, target: Arc<Target>, offer: bool) -> ConnId;
    fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>>;
    fn close(&mut self, id: ConnId);
    /// The control socket: its clients are answered.
    fn listen_locally(&mut self, listener: UnixListener) -> io::Result<()>;
    fn answer(&mut self, client: LocalId, more: &[u8]);
    fn tell(&mut self, client: LocalId, more: &[u8]);
    fn finish_answer(&mut self, client: LocalId);
    fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>>;
}

/// An open connection, as its session uses it: [`Io`], whose methods these are.
pub(super) trait Connection: Compressible + status_port::Connection {
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
    /// How long the connection has until its deadline, if it has one.
    fn time_left(&mut self) -> Option<Duration>;
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

    fn close(&mut self, id: ConnId) {
        self.close(id);
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

    fn time_left(&mut self) -> Option<Duration> {
        self.time_left()
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
