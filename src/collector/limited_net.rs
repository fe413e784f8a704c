//! The network under limits on its bandwidth: connections that have had their share are read from and written to later.
//!
//! A limit is kept by not reading: what the peer sends beyond it fills the kernel's buffers, and then the peer waits. While it
//! does so it can do nothing about it: its deadlines are off, and the [time](Connection::peer_time) that it is measured by
//! stands still.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::ports::{Connection, Network};
use crate::bandwidth::{Permit, Rate, Throttle, Timetable};
use crate::control::BandwidthAnswer;
use crate::deadline::after;
use crate::net::{ByteStream, CompressedBytes, Compressible, CompressionPlace, ConnId, Event, Failure, Read, Target};
use crate::status_port;
use crate::tls::{PeerDescription, UnixTime};

/// More than was permitted may be moved by so much, and is made up for. Whoever reads the end of a body looks for bytes
/// beyond it at once, and asks for no more of them than this.
const OVERDRAFT: u64 = 4096;

/// How often limits may change, in seconds of the date.
const MINUTE: u64 = 60;

/// A [`Network`] whose connections each belong to a site.
pub(super) struct LimitedNet {
    net: Box<dyn Network>,
    zone: fn() -> TimeZone,
    limits: Limits,
    /// When the limits in force are looked up next.
    look_up_at: Instant,
    throttles: Throttles,
    connections: HashMap<ConnId, Peer>,
}

/// The limits by the time of the week.
struct Limits {
    overall: Timetable,
    /// Of those sites that have one.
    sites: BTreeMap<usize, Timetable>,
}

/// What is received and what is sent, each by itself.
#[derive(Default)]
struct Throttles {
    received: Throttle<ConnId>,
    sent: Throttle<ConnId>,
}

/// A connection's site, and for how long the limits have kept it waiting.
struct Peer {
    site: usize,
    /// Before the wait that is under way.
    waited: Duration,
    wait: Option<Wait>,
}

/// Why a peer can do nothing.
struct Wait {
    since: Instant,
    /// What it has of its deadline afterwards.
    time_left: Option<Duration>,
}

impl LimitedNet {
    /// Without limits. `zone` is where their times are read.
    pub(super) fn new(net: Box<dyn Network>, zone: fn() -> TimeZone) -> Self {
        let look_up_at = net.now();
        let limits = Limits { overall: Timetable::OFF, sites: BTreeMap::new() };
        Self { net, zone, limits, look_up_at, throttles: Throttles::default(), connections: HashMap::new() }
    }

    /// The limit of all sites together, from now on.
    pub(super) fn limit_all(&mut self, limit: &Timetable) {
        let (local, now) = (self.local(), self.net.now());
        self.throttles.limit_all(limit.limit_at(local), now);
        self.limits.overall = limit.clone();
    }

    /// The limit of a site, from now on.
    pub(super) fn limit_site(&mut self, site: usize, limit: &Timetable) {
        let (local, now) = (self.local(), self.net.now());
        self.throttles.limit_site(site, limit.limit_at(local), now);
        if limit.is_off() {
            self.limits.sites.remove(&site);
        } else {
            self.limits.sites.insert(site, limit.clone());
        }
    }

    /// The limit of all sites together.
    pub(super) fn overall_limit(&self) -> BandwidthAnswer {
        self.answer(&self.limits.overall)
    }

    /// That of a site.
    pub(super) fn site_limit(&self, site: usize) -> BandwidthAnswer {
        self.answer(self.limits.sites.get(&site).unwrap_or(&Timetable::OFF))
    }

    fn answer(&self, limit: &Timetable) -> BandwidthAnswer {
        let bytes_per_second = limit.limit_at(self.local()).map(Rate::bytes_per_second);
        BandwidthAnswer { timetable: limit.to_string(), bytes_per_second }
    }

    /// The date and time as the machine's users have them.
    fn local(&self) -> DateTime {
        let seconds = i64::try_from(self.net.date().as_secs()).unwrap_or(i64::MAX);
        let date = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        (self.zone)().to_datetime(date)
    }

    /// Puts the limits in force that are to be from this minute on.
    fn look_up(&mut self) {
        let now = self.net.now();
        if now < self.look_up_at {
            return;
        }
        self.look_up_at = after(now, Duration::from_secs(MINUTE - self.net.date().as_secs() % MINUTE));
        if self.limits.overall.is_off() && self.limits.sites.is_empty() {
            return;
        }
        let local = self.local();
        self.throttles.limit_all(self.limits.overall.limit_at(local), now);
        for (site, limit) in &self.limits.sites {
            self.throttles.limit_site(*site, limit.limit_at(local), now);
        }
    }

    /// Opens a connection to a site: [`Network::open`].
    pub(super) fn open(&mut self, site: usize, target: Arc<Target>, offer: bool) -> ConnId {
        let id = self.net.open(target, offer);
        self.connections.insert(id, Peer { site, waited: Duration::ZERO, wait: None });
        id
    }

    /// An open connection: [`Network::io`]. One that is no site's has no limit, as most that are have none.
    pub(super) fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>> {
        let io = self.net.io(id)?;
        Some(match self.connections.get_mut(&id) {
            Some(peer) if peer.was_kept_waiting() || self.throttles.are_limiting(peer.site) => {
                Box::new(LimitedConnection { io, id, peer, throttles: &mut self.throttles })
            }
            _ => io,
        })
    }

    /// [`Network::close`].
    pub(super) fn close(&mut self, id: ConnId) {
        self.forget(id);
        self.net.close(id);
    }

    /// [`status_port::Network::abort`].
    pub(super) fn abort(&mut self, id: ConnId) {
        self.forget(id);
        self.net.abort(id);
    }

    fn forget(&mut self, id: ConnId) {
        let now = self.net.now();
        if let Some(peer) = self.connections.remove(&id) {
            self.throttles.received.forget(peer.site, id, now);
            self.throttles.sent.forget(peer.site, id, now);
        }
    }

    /// One turn: [`Network::poll_once`]. Connections that have waited for their limits, and need do so no longer, are ready.
    pub(super) fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        self.look_up();
        let now = self.net.now();
        for id in self.throttles.grant(now) {
            self.go_on(id, now);
        }
        let until = until.into_iter().chain(self.throttles.due(now)).min();
        let events = self.net.poll_once(until)?;
        for event in &events {
            if let Event::Failed(id, _) = event {
                self.forget(*id);
            }
        }
        Ok(events)
    }

    /// A connection that waited is ready.
    fn go_on(&mut self, id: ConnId, now: Instant) {
        let Some(peer) = self.connections.get_mut(&id) else { return };
        if let Some(Wait { since, time_left }) = peer.wait.take() {
            peer.waited += now.saturating_duration_since(since);
            if let Some(mut io) = self.net.io(id) {
                io.set_deadline(time_left);
            }
        }
        self.net.wake(id);
    }
}

/// What has nothing to do with limits.
impl Deref for LimitedNet {
    type Target = dyn Network;

    fn deref(&self) -> &Self::Target {
        &*self.net
    }
}

impl DerefMut for LimitedNet {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.net
    }
}

impl Peer {
    /// Whether its time is not the clock's.
    fn was_kept_waiting(&self) -> bool {
        self.wait.is_some() || !self.waited.is_zero()
    }
}

impl Throttles {
    fn are_limiting(&self, site: usize) -> bool {
        self.received.is_limited(site) || self.sent.is_limited(site)
    }

    fn limit_all(&mut self, limit: Option<Rate>, now: Instant) {
        self.both().for_each(|throttle| throttle.limit_all(limit, now));
    }

    fn limit_site(&mut self, site: usize, limit: Option<Rate>, now: Instant) {
        self.both().for_each(|throttle| throttle.limit_site(site, limit, now));
    }

    fn grant(&mut self, now: Instant) -> Vec<ConnId> {
        self.both().flat_map(|throttle| throttle.grant(now)).collect()
    }

    fn due(&mut self, now: Instant) -> Option<Instant> {
        self.both().filter_map(|throttle| throttle.due(now)).min()
    }

    fn both(&mut self) -> impl Iterator<Item = &mut Throttle<ConnId>> {
        [&mut self.received, &mut self.sent].into_iter()
    }
}

/// A connection's turn.
struct LimitedConnection<'a> {
    io: Box<dyn Connection + 'a>,
    id: ConnId,
    peer: &'a mut Peer,
    throttles: &'a mut Throttles,
}

impl LimitedConnection<'_> {
    /// What crosses the line counts: of a compressed connection, the compressed bytes.
    fn compressed(&mut self) -> CompressedBytes {
        self.io.compressed_bytes().unwrap_or_default()
    }

    /// How many bytes of `most` may be moved, as `permit` has it; `None` if it is to wait.
    fn permitted(&mut self, permit: Permit, most: u64) -> Option<u64> {
        match permit {
            Permit::Unlimited => Some(most),
            Permit::Bytes(bytes) if most <= bytes.saturating_add(OVERDRAFT) => Some(most),
            Permit::Bytes(bytes) => Some(bytes),
            Permit::Wait => {
                if self.peer.wait.is_none() {
                    self.peer.wait = Some(Wait { since: self.io.now(), time_left: self.io.time_left() });
                    self.io.set_deadline(None);
                }
                None
            }
        }
    }
}

impl ByteStream for LimitedConnection<'_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        let permit = self.throttles.received.ask(self.peer.site, self.id, self.io.now());
        let Some(most) = self.permitted(permit, most) else { return Ok(Read::Blocked) };
        let before = self.compressed();
        let read = self.io.read(most, take)?;
        if let (Read::Bytes(count), Permit::Bytes(_)) = (read, permit) {
            let compressed = self.io.compressed_bytes().map(|bytes| bytes.received - before.received);
            self.throttles.received.moved(self.peer.site, self.id, compressed.unwrap_or(count as u64));
        }
        Ok(read)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let permit = self.throttles.sent.ask(self.peer.site, self.id, self.io.now());
        let Some(most) = self.permitted(permit, bytes.len() as u64) else { return Ok(0) };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
        let before = self.compressed();
        let written = self.io.write(&bytes[..most])?;
        if let Permit::Bytes(_) = permit {
            let compressed = self.io.compressed_bytes().map(|bytes| bytes.sent - before.sent);
            self.throttles.sent.moved(self.peer.site, self.id, compressed.unwrap_or(written as u64));
        }
        Ok(written)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        let before = self.compressed();
        let is_flushed = self.io.flush()?;
        let left = self.compressed().sent - before.sent;
        if left > 0 {
            self.throttles.sent.moved(self.peer.site, self.id, left);
        }
        Ok(is_flushed)
    }
}

impl Compressible for LimitedConnection<'_> {
    fn compression_place(&mut self) -> Option<CompressionPlace> {
        self.io.compression_place()
    }

    fn compress(&mut self, place: CompressionPlace) {
        self.io.compress(place);
    }

    fn compressed_bytes(&mut self) -> Option<CompressedBytes> {
        self.io.compressed_bytes()
    }
}

impl status_port::Connection for LimitedConnection<'_> {
    fn now(&self) -> Instant {
        self.io.now()
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        match &mut self.peer.wait {
            Some(waiting) => waiting.time_left = wait,
            None => self.io.set_deadline(wait),
        }
    }

    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>) {
        match &mut self.peer.wait {
            Some(waiting) => waiting.time_left = Some(wait),
            None => self.io.drain_by(wait, drained_by),
        }
    }
}

impl Connection for LimitedConnection<'_> {
    fn peer_time(&self) -> Instant {
        let now = self.io.now();
        let waits = self.peer.wait.as_ref().map_or(Duration::ZERO, |wait| now.saturating_duration_since(wait.since));
        now.checked_sub(self.peer.waited + waits).unwrap_or(now)
    }

    fn date(&self) -> UnixTime {
        self.io.date()
    }

    fn exact_date(&self) -> Duration {
        self.io.exact_date()
    }

    fn peer(&mut self) -> Option<PeerDescription> {
        self.io.peer()
    }

    fn has_buffered(&mut self) -> bool {
        self.io.has_buffered()
    }

    fn has_ended(&mut self) -> bool {
        self.io.has_ended()
    }

    fn has_unsent(&mut self) -> bool {
        self.io.has_unsent()
    }

    fn wake(&mut self) {
        self.io.wake();
    }

    fn time_left(&mut self) -> Option<Duration> {
        match &self.peer.wait {
            Some(waiting) => waiting.time_left,
            None => self.io.time_left(),
        }
    }
}

impl Drop for LimitedConnection<'_> {
    fn drop(&mut self) {
        self.throttles.received.turn_ended(self.peer.site, self.id);
        self.throttles.sent.turn_ended(self.peer.site, self.id);
    }
}

#[cfg(test)]
#[path = "limited_net_tests.rs"]
mod tests;
