//! Making room for those who wait: for a connection, or for the memory that a listing takes.

use std::time::{Duration, Instant};

use super::{Backend, Client, Service};
use crate::net::ConnId;
use crate::server::Reason;
use crate::server::admission::End;
use crate::server::guesses::network;

/// Bytes a second that a connection has to move while others wait for its place: far less than any link that is in use.
const LEAST: u64 = 1024;

/// Bytes a second of a listing that a client has to take while another client's listing waits for its memory.
const LEAST_OF_LISTING: u64 = 64 * 1024;

/// How long a listing waits for memory before the slowest client has to go, whatever it takes.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Service {
    /// When to look whether somebody has to make room.
    pub(super) fn relief_due(&mut self) -> Option<Instant> {
        let is_needed = self.room() == 0 || self.listing_short_since().is_some();
        is_needed.then(|| self.paces.due(self.net.now()))
    }

    /// Where somebody waits, ends the connection that makes the least progress, if that is little.
    pub(super) fn relieve(&mut self) {
        let now = self.net.now();
        match self.relief_due() {
            None => return self.paces.clear(),
            Some(at) if at > now => return,
            Some(_) => {}
        }
        let net = &self.net;
        let moved = self.clients.iter().filter(|(_, (_, kind))| kind.is_inside());
        let moved = moved.map(|(&id, (_, kind))| (id, if kind.waits_for_us() { None } else { net.moved(id) }));
        self.paces.measure(moved, now);
        if self.room() == 0 && self.admission.has_waiting() {
            self.relieve_waiting(now);
            self.admit();
        }
        if let Some(since) = self.listing_short_since() {
            let is_long = now.saturating_duration_since(since) >= LONGEST_WAIT;
            let least = if is_long { u64::MAX } else { LEAST_OF_LISTING };
            let slowest = self.paces.slowest(|id| {
                let (_, kind) = self.clients.get(&id)?;
                kind.has_listing().then_some(least)
            });
            self.make_room(slowest, "for the memory of a listing");
        }
    }

    /// Somebody waits for a place. One that hardly moves anything is free for it, but for those of a network that has fewer
    /// than who waits; so is the slowest of a network that has more than its fair share.
    fn relieve_waiting(&mut self, now: Instant) {
        if self.admission.room() > 0 {
            return self.net.abort_lingering();
        }
        let inside = |id| Some(network(self.clients.get(&id)?.0.ip().to_canonical()));
        let slowest = self.paces.slowest(|id| self.admission.may_replace(inside(id)?).then_some(LEAST));
        if slowest.is_some() {
            return self.make_room(slowest, "for a connection (max_connections)");
        }
        // A client that moves nothing is ended soon, before any that does.
        if self.paces.has_idle(LEAST) {
            return;
        }
        if let Some(overdrawn) = self.admission.overdrawn(now) {
            let slowest = self.paces.least_progress(|id| inside(id) == Some(overdrawn));
            self.make_room(slowest, "for one of the many connections of its network (max_connections)");
        }
    }

    fn make_room(&mut self, slowest: Option<(ConnId, u64)>, awaited: &'static str) {
        let Some((id, rate)) = slowest else { return };
        match self.clients.get(&id) {
            // It asks for nothing, and may connect again when it does.
            Some((peer, kind)) if kind.is_resting() => {
                log::debug!("client={peer} makes room: others wait {awaited}");
                self.drain_one(id, End::Slow);
            }
            _ => self.fail(id, &Reason::Crowded { rate, awaited }),
        }
    }

    fn listing_short_since(&mut self) -> Option<Instant> {
        match &mut self.backend {
            Backend::Storage(storage, _) => storage.listings().short_since(),
            Backend::Relay(_) => None,
        }
    }
}

impl Client {
    /// Whether it has one of the places that are limited.
    fn is_inside(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Upstream(_))
    }

    fn waits_for_us(&self) -> bool {
        matches!(self, Self::Session(session) if session.waits_for_us())
    }

    fn has_listing(&self) -> bool {
        matches!(self, Self::Session(session) if session.has_listing())
    }
}
