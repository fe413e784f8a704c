//! The model network and the model committer, as the collector sees them.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{ClientEnd, Layer, Link};
use super::scheduler::{Direction, SimEvent};
use super::socket::{Kernel, Tls};
use super::world::World;
use crate::budget::Budget;
use crate::collector::ports::{Connection, Network, Publisher};
use crate::net::{
    ByteStream, CompressedBytes, Compressible, Compression, CompressionPlace, ConnId, Event, Failure, ListenerConfig,
    ListenerId, LocalId, Read, Target,
};
use crate::proto::extension::History;
use crate::proto::{FileName, Fingerprint};
use crate::status_port;
use crate::store::model::ModelCommitter;
use crate::store::{Commits, Completion, InSpool, Publication, Spool, Waiting};
use crate::tls::{PeerDescription, Received, Sent, StreamError, UnixTime};

/// How many bytes a connection may read before the others have their turn.
const BUDGET: usize = 256 * 1024;

/// More files than any site has waiting for the disk.
const MOST_PENDING: usize = 520;

/// The world, as a collector uses it.
#[derive(Clone)]
pub(super) struct Ports(pub(super) Rc<RefCell<World>>);

impl status_port::Network for Ports {
    fn now(&self) -> Instant {
        self.0.borrow().scheduler.now
    }

    fn date(&self) -> UnixTime {
        date(&self.0)
    }

    fn wake(&mut self, id: ConnId) {
        self.0.borrow_mut().wake(id);
    }

    fn abort(&mut self, id: ConnId) {
        self.0.borrow_mut().abort(id);
    }

    /// Nobody asks anything in this world.
    fn listen(&mut self, _: SocketAddr, _: Arc<ListenerConfig>) -> io::Result<ListenerId> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn stop_listening(&mut self, _: ListenerId) {}

    fn admit(&mut self, _: ConnId) {}

    fn half_close(&mut self, _: ConnId) {}

    fn client(&mut self, id: ConnId) -> Option<Box<dyn status_port::Connection + '_>> {
        self.io(id).map(|io| io as Box<dyn status_port::Connection>)
    }
}

impl Network for Ports {
    fn max_loop_latency(&self) -> Duration {
        Duration::ZERO
    }

    fn take_loop_latency(&mut self) -> Duration {
        Duration::ZERO
    }

    fn connections(&self) -> usize {
        self.0.borrow().connections()
    }

    fn open(&mut self, target: Arc<Target>, offer: bool) -> ConnId {
        self.0.borrow_mut().open(target, offer)
    }

    fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>> {
        let is_open = matches!(self.0.borrow_mut().link(id)?.0.near, ClientEnd::Open { .. });
        is_open.then(|| Box::new(End { world: &self.0, id, budget: BUDGET }) as Box<dyn Connection>)
    }

    fn close(&mut self, id: ConnId) {
        self.0.borrow_mut().close(id);
    }

    fn listen_locally(&mut self, _: UnixListener) -> io::Result<()> {
        Ok(())
    }

    fn answer(&mut self, _: LocalId, _: &[u8]) {}

    fn tell(&mut self, _: LocalId, _: &[u8]) {}

    fn finish_answer(&mut self, _: LocalId) {}

    fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        self.0.borrow_mut().poll_once(until)
    }
}

/// The collector's end of a connection, for one turn.
struct End<'a> {
    world: &'a RefCell<World>,
    id: ConnId,
    budget: usize,
}

fn reset() -> Failure {
    Failure::Io(io::ErrorKind::ConnectionReset.into())
}

impl End<'_> {
    /// The socket's bytes, or what is left of the last read.
    fn fetch(&mut self, most: usize) -> Result<Result<Vec<u8>, Read>, Failure> {
        let mut world = self.world.borrow_mut();
        let Some((link, scheduler)) = world.link(self.id) else { return Ok(Err(Read::Blocked)) };
        let ClientEnd::Open { layer: Layer::Plain { buffered }, readable } = &mut link.near else {
            return Ok(Err(Read::Blocked));
        };
        if !buffered.is_empty() {
            return Ok(Ok(buffered.drain(..most.min(buffered.len())).collect()));
        }
        if link.is_broken {
            return Err(reset());
        }
        if !*readable {
            return Ok(Err(Read::Blocked));
        }
        let mut count = most.min(link.down.arrived.len());
        if count == 0 && link.down.ended {
            return Ok(Err(Read::Eof { orderly: true }));
        }
        if count == 0 {
            *readable = false;
            return Ok(Err(Read::Blocked));
        }
        if scheduler.strikes(100_000) {
            count = scheduler.chance.usize(1..=count);
        }
        scheduler.plan_in(Duration::ZERO, SimEvent::Serve(self.id));
        Ok(Ok(link.down.arrived.drain(..count).collect()))
    }

    fn read_plain(&mut self, most: usize, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let mut bytes = match self.fetch(most)? {
            Ok(bytes) => bytes,
            Err(read) => return Ok(read),
        };
        let taken = take(&bytes);
        bytes.drain(..taken);
        if let Some((link, _)) = self.world.borrow_mut().link(self.id)
            && let ClientEnd::Open { layer: Layer::Plain { buffered }, .. } = &mut link.near
        {
            bytes.append(buffered);
            *buffered = bytes;
        }
        Ok(Read::Bytes(taken))
    }

    fn read_secured(&mut self, most: usize, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let mut world = self.world.borrow_mut();
        let Some((link, scheduler)) = world.link(self.id) else { return Ok(Read::Blocked) };
        let (near, kernel) = link.near_kernel(self.id, scheduler);
        let ClientEnd::Open { layer: Layer::Secured(tls), readable } = near else { return Ok(Read::Blocked) };
        if !*readable && !tls.has_buffered() {
            return Ok(Read::Blocked);
        }
        let received = tls.work(kernel, |stream| stream.receive(most, take))?;
        if received == Received::WouldBlock {
            *readable = false;
        }
        link.down.note_received(received, scheduler);
        Ok(match received {
            Received::Bytes(count) => Read::Bytes(count),
            Received::WouldBlock => Read::Blocked,
            Received::Eof { orderly } => Read::Eof { orderly },
        })
    }

    /// Whether there is a process to write.
    fn is_alive(&self) -> bool {
        self.world.borrow().disk_death().is_none()
    }

    /// Lets compression act, where the session has agreed on it.
    fn compressed<T>(&mut self, act: impl FnOnce(&mut Compression, &mut Bare<'_, '_>) -> T) -> Option<T> {
        let mut compression = self.world.borrow_mut().link(self.id)?.0.compression.take()?;
        let outcome = act(&mut compression, &mut Bare(self));
        if let Some((link, _)) = self.world.borrow_mut().link(self.id) {
            link.compression = Some(compression);
        }
        Some(outcome)
    }

    fn is_secured(&self) -> bool {
        let mut world = self.world.borrow_mut();
        matches!(world.link(self.id), Some((Link { near: ClientEnd::Open { layer: Layer::Secured(_), .. }, .. }, _)))
    }

    /// Lets TLS act, where there is any.
    fn secured<T>(
        &mut self,
        act: impl FnOnce(&mut Tls, Kernel<'_>) -> Result<T, StreamError>,
    ) -> Result<Option<T>, Failure> {
        let mut world = self.world.borrow_mut();
        let Some((link, scheduler)) = world.link(self.id) else { return Ok(None) };
        match link.near_kernel(self.id, scheduler) {
            (ClientEnd::Open { layer: Layer::Secured(tls), .. }, kernel) => Ok(Some(act(tls, kernel)?)),
            _ => Ok(None),
        }
    }
}

impl ByteStream for End<'_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        if self.budget == 0 {
            self.world.borrow_mut().wake(self.id);
            return Ok(Read::Blocked);
        }
        let read = self.compressed(|compression, io| compression.read(io, most, take));
        let Some(read) = read else { return Bare(self).read(most, take) };
        if let Ok(Read::Bytes(count)) = read {
            self.budget = self.budget.saturating_sub(count);
        }
        read
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let written = self.compressed(|compression, io| compression.write(io, bytes));
        written.unwrap_or_else(|| Bare(self).write(bytes))
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        let flushed = self.compressed(|compression, io| compression.flush(io));
        flushed.unwrap_or_else(|| Bare(self).flush())
    }
}

impl Compressible for End<'_> {
    fn compression_place(&mut self) -> Option<CompressionPlace> {
        self.world.borrow_mut().scheduler.chance.u32(..8).checked_sub(1)?;
        CompressionPlace::of(&Budget::new(u64::MAX), History::SinceFlush)
    }

    fn compress(&mut self, place: CompressionPlace) {
        let mut world = self.world.borrow_mut();
        if let Some((link, scheduler)) = world.link(self.id) {
            scheduler.note(|| format!("{:?} is compressed", self.id));
            link.compression = Some(Box::new(Compression::new(place)));
        }
    }

    fn compressed_bytes(&mut self) -> Option<CompressedBytes> {
        let mut world = self.world.borrow_mut();
        Some(world.link(self.id)?.0.compression.as_ref()?.bytes())
    }
}

/// The same, of the bytes as they come and leave.
struct Bare<'end, 'a>(&'end mut End<'a>);

impl ByteStream for Bare<'_, '_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let Self(end) = self;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let read = if end.is_secured() { end.read_secured(most, take) } else { end.read_plain(most, take) }?;
        if let Read::Bytes(count) = read {
            end.budget = end.budget.saturating_sub(count.max(64));
        }
        Ok(read)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let Self(end) = self;
        if !end.is_alive() {
            // Nobody is there to write any more.
            return Err(reset());
        }
        let sent = end.secured(|tls, kernel| tls.work(kernel, |stream| stream.send(bytes)))?;
        let mut world = end.world.borrow_mut();
        let Some((link, scheduler)) = world.link(end.id) else { return Err(reset()) };
        if let Some(sent) = sent {
            let count = if let Sent::Bytes(count) = sent { count } else { 0 };
            link.up.note_written(count);
            return Ok(count);
        }
        if link.is_broken {
            return Err(reset());
        }
        Ok(link.up.write(bytes, (end.id, Direction::Up), scheduler))
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        let Self(end) = self;
        if !end.is_alive() {
            return Ok(true);
        }
        Ok(end.secured(Tls::flush)?.unwrap_or(true))
    }
}

/// Worlds begin at midnight of one day, and end long before any certificate.
fn date(world: &RefCell<World>) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_780_272_000) + world.borrow().scheduler.age())
}

impl status_port::Connection for End<'_> {
    fn now(&self) -> Instant {
        self.world.borrow().scheduler.now
    }

    fn drain_by(&mut self, wait: Duration, _: Option<Instant>) {
        self.set_deadline(Some(wait));
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        let mut world = self.world.borrow_mut();
        if let Some((link, scheduler)) = world.link(self.id) {
            link.deadline = wait.map(|wait| scheduler.now + wait);
        }
    }
}

impl Connection for End<'_> {
    fn date(&self) -> UnixTime {
        date(self.world)
    }

    fn peer(&mut self) -> Option<PeerDescription> {
        None
    }

    fn wake(&mut self) {
        self.world.borrow_mut().wake(self.id);
    }

    fn has_buffered(&mut self) -> bool {
        let mut world = self.world.borrow_mut();
        let link = world.link(self.id).map(|(link, _)| link);
        if link
            .as_ref()
            .and_then(|link| link.compression.as_ref())
            .is_some_and(|compression| compression.has_buffered())
        {
            return true;
        }
        match link.map(|link| &link.near) {
            Some(ClientEnd::Open { layer: Layer::Plain { buffered }, .. }) => !buffered.is_empty(),
            Some(ClientEnd::Open { layer: Layer::Secured(tls), .. }) => tls.has_buffered(),
            _ => false,
        }
    }

    fn has_ended(&mut self) -> bool {
        self.world.borrow_mut().link(self.id).is_some_and(|(link, _)| link.down.ended)
    }

    fn has_unsent(&mut self) -> bool {
        false
    }

    fn time_left(&mut self) -> Option<Duration> {
        let mut world = self.world.borrow_mut();
        let (link, scheduler) = world.link(self.id)?;
        Some(link.deadline?.saturating_duration_since(scheduler.now))
    }
}

impl Publisher for Ports {
    fn publish(&mut self, publication: Publication) {
        let mut world = self.0.borrow_mut();
        let Publication { site, name, .. } = &publication;
        world.scheduler.note(|| format!("{site}: {name} is staged: {:?}", publication.staged.fingerprint()));
        world.process.pending += 1;
        let most = MOST_PENDING * world.sites.len();
        assert!(world.process.pending <= most, "more files wait for the disk than there may");
        world.process.committer.as_mut().expect("a process has a committer").publish(publication);
        world.start_committing();
    }

    fn forget(&mut self, site: Arc<str>, name: FileName, fingerprint: Fingerprint) {
        let mut world = self.0.borrow_mut();
        world.process.committer.as_mut().expect("a process has a committer").forget(site, name, fingerprint);
        world.start_committing();
    }

    /// All of them are there from the start.
    fn take_in(&mut self, _: Spool) {}

    fn waiting(&self) -> Waiting {
        self.0.borrow().process.committer.as_ref().map(ModelCommitter::waiting).unwrap_or_default()
    }

    fn is_all_published(&self) -> bool {
        self.waiting().files == 0
    }

    fn in_spool(&self, site: &str) -> InSpool {
        let world = self.0.borrow();
        world.process.committer.as_ref().map(|committer| committer.in_spool(site)).unwrap_or_default()
    }

    fn is_alive(&self) -> bool {
        !self.0.borrow().process.has_lost_committer
    }

    fn commits(&self) -> Commits {
        Commits::default()
    }

    fn completions(&mut self) -> Vec<Completion> {
        let mut world = self.0.borrow_mut();
        let done = std::mem::take(&mut world.process.done);
        world.process.pending -= done.len();
        done
    }

    fn stop(self: Box<Self>) -> Waiting {
        self.0.borrow_mut().finish_committing();
        Publisher::waiting(&*self)
    }
}
