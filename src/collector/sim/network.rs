//! The world's network, and the loop on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{ClientEnd, Layer, Link, Piece};
use super::scheduler::{Direction, Scheduler, SimEvent};
use super::server::{Misbehavior, ServerEnd, ServerIo, Turn};
use super::socket::Tls;
use super::world::{FIRST_PORT, Site, World};
use crate::net::{ConnId, Event, Failure, Phase, Target};
use crate::tls::{Handshake, StreamError, TlsFailure};

/// Turns without the clock moving on that nothing sound takes.
const MOST_TURNS_AT_ONCE: u32 = 20_000;

/// How soon it is looked whether a server has a place for a connection that waits.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a connection that was left may take to close at the other end.
const LINGER: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn connections(&self) -> usize {
        self.counted.len()
    }

    pub(super) fn link(&mut self, id: ConnId) -> Option<(&mut Link, &mut Scheduler)> {
        Some((self.links.get_mut(&id)?, &mut self.scheduler))
    }

    pub(super) fn open(&mut self, target: Arc<Target>, offer: bool) -> ConnId {
        self.opened += 1;
        let id = ConnId::new(self.opened as usize, self.opened);
        let site = usize::from(target.port - FIRST_PORT);
        let deadline = self.scheduler.now + target.timeout;
        let link = Link::new(site, ClientEnd::Connecting { target, offer }, deadline, &mut self.scheduler);
        self.links.insert(id, link);
        self.counted.insert(id);
        let open = self.counted.iter().map(|id| &self.links[id]).filter(|link| !link.is_left());
        // Those that were left linger beside them.
        assert!(open.clone().count() <= self.max_connections, "more connections than there may be");
        let most = self.sites[site].connections;
        assert!(open.filter(|link| link.site == site).count() <= most, "more connections than the site is to have");
        let wait = self.scheduler.latency() + self.scheduler.latency();
        let (refuse, ignore) = (self.scheduler.fault_rates.refuse, self.scheduler.fault_rates.ignore);
        let misbehavior = self.sites[site].misbehavior;
        if misbehavior == Some(Misbehavior::Refuse) || self.scheduler.strikes(refuse) {
            self.scheduler.plan_in(wait, SimEvent::Refused(id));
        } else if misbehavior != Some(Misbehavior::BlackHole) && !self.scheduler.strikes(ignore) {
            self.scheduler.plan_in(wait, SimEvent::Connected(id));
        }
        self.scheduler.note(|| format!("{id:?} is opened to site {site}"));
        id
    }

    pub(super) fn wake(&mut self, id: ConnId) {
        self.ready.insert(id);
    }

    pub(super) fn close(&mut self, id: ConnId) {
        let Some((link, scheduler)) = self.link(id) else { return };
        match std::mem::replace(&mut link.near, ClientEnd::Gone) {
            ClientEnd::Open { layer, .. } if !link.is_broken => {
                link.deadline = Some(scheduler.now + LINGER);
                match layer {
                    Layer::Plain { .. } => self.leave(id),
                    Layer::Secured(mut tls) => {
                        tls.send_close_notify();
                        link.near = ClientEnd::Closing(tls);
                        self.ready.insert(id);
                    }
                }
            }
            other => {
                link.near = other;
                self.abort(id);
            }
        }
    }

    /// The last bytes of TLS go out, then the collector's direction ends.
    fn closing(&mut self, id: ConnId) {
        let Some((link, scheduler)) = self.link(id) else { return };
        let (ClientEnd::Closing(tls), kernel) = link.near_kernel(id, scheduler) else { return };
        match tls.flush(kernel) {
            Ok(true) => {
                link.up.note_goodbye();
                self.leave(id);
            }
            Ok(false) => {}
            Err(_) => self.abort(id),
        }
    }

    /// The collector's direction ends.
    fn leave(&mut self, id: ConnId) {
        let Some((link, scheduler)) = self.link(id) else { return };
        link.near = ClientEnd::Leaving;
        link.down.arrived.clear();
        link.up.send(Piece::End, (id, Direction::Up), scheduler);
        if link.down.ended {
            self.abort(id);
        }
    }

    pub(super) fn abort(&mut self, id: ConnId) {
        let Some((link, scheduler)) = self.link(id) else { return };
        link.drop_near(id, scheduler);
        let is_over = link.far.is_none();
        self.counted.remove(&id);
        if is_over {
            self.links.remove(&id);
        }
    }

    /// One turn of the loop.
    pub(super) fn poll_once(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        self.oracle.counts.steps += 1;
        self.plan_staging();
        if self.out.is_empty() && self.ready.is_empty() {
            let deadline = self.counted.iter().filter_map(|id| self.links[id].deadline).min();
            let next = [self.scheduler.next_planned(), deadline, until].into_iter().flatten().min();
            self.scheduler.now = self.scheduler.now.max(next.expect("a world always has something to come"));
        }
        self.check_progress();
        self.death = self.death.or(self.disk_death());
        if self.death.is_none() {
            self.pass();
        }
        if self.death.is_some() {
            return Err(io::Error::other("the process is no more"));
        }
        self.expire();
        let spurious = self.scheduler.fault_rates.spurious;
        if self.scheduler.strikes(spurious) {
            self.ready.extend(self.scheduler.chance.choice(&self.counted));
        }
        let mut ready: Vec<ConnId> = std::mem::take(&mut self.ready).into_iter().collect();
        self.scheduler.chance.shuffle(&mut ready);
        for id in ready {
            self.advance(id);
        }
        self.oracle.check(&self.scheduler);
        Ok(std::mem::take(&mut self.out))
    }

    /// Brings a connection as far as its socket lets it.
    fn advance(&mut self, id: ConnId) {
        match self.links.get(&id).map(|link| &link.near) {
            Some(ClientEnd::Securing(_)) => self.securing(id),
            Some(ClientEnd::Open { .. }) => self.out.push(Event::Ready(id)),
            Some(ClientEnd::Closing(_)) => self.closing(id),
            Some(ClientEnd::Connecting { .. } | ClientEnd::Leaving | ClientEnd::Gone) | None => {}
        }
    }

    /// Nothing spins.
    fn check_progress(&mut self) {
        let (at, turns) = self.still;
        self.still = if at == self.scheduler.now { (at, turns + 1) } else { (self.scheduler.now, 0) };
        if turns > MOST_TURNS_AT_ONCE {
            self.scheduler.fail(format_args!("the loop spins"));
        }
    }

    pub(super) fn connected(&mut self, id: ConnId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let ClientEnd::Connecting { target, offer } = &link.near else { return };
        let (target, offer, site) = (Arc::clone(target), *offer, &self.sites[link.site]);
        if site.buffer.as_ref().is_some_and(|buffer| !buffer.server.is_up()) {
            return self.refused(id);
        }
        link.far = Some(ServerEnd::new(id, site, self.scheduler.now));
        self.scheduler.plan_in(Duration::ZERO, SimEvent::Serve(id));
        match &target.tls {
            None => self.opened(id, Layer::Plain { buffered: Vec::new() }),
            Some(connector) => {
                let session = connector.connect(&target.host, offer).expect("the site has a sound name");
                link.near = ClientEnd::Securing(Tls::new(session));
                link.deadline = Some(self.scheduler.now + target.timeout);
                self.ready.insert(id);
            }
        }
    }

    fn securing(&mut self, id: ConnId) {
        let Some((link, scheduler)) = self.link(id) else { return };
        let (ClientEnd::Securing(tls), kernel) = link.near_kernel(id, scheduler) else { return };
        match tls.handshake(kernel) {
            Ok(Handshake::WantMore) => {}
            Ok(Handshake::Done) => {
                if let ClientEnd::Securing(tls) = std::mem::replace(&mut link.near, ClientEnd::Gone) {
                    self.oracle.counts.secured += 1;
                    self.oracle.counts.resumed += u64::from(tls.is_resumed());
                    self.opened(id, Layer::Secured(tls));
                }
            }
            Err(failure) => self.fail(id, failure.into()),
        }
    }

    fn opened(&mut self, id: ConnId, layer: Layer) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.near = ClientEnd::Open { layer, readable: true };
        link.deadline = None;
        self.out.push(Event::Opened(id));
    }

    pub(super) fn refused(&mut self, id: ConnId) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT));
        self.fail(id, Failure::Connect { address, is_proxy: false, error: io::ErrorKind::ConnectionRefused.into() });
    }

    fn fail(&mut self, id: ConnId, failure: Failure) {
        self.scheduler.note(|| format!("{id:?} fails: {failure}"));
        let is_untrusted = matches!(failure, Failure::Stream(StreamError::Tls(TlsFailure::Certificate(_))));
        let was_securing = matches!(self.links.get(&id), Some(Link { near: ClientEnd::Securing(_), .. }));
        self.oracle.counts.unsecured += u64::from(was_securing && !is_untrusted);
        self.abort(id);
        self.out.push(Event::Failed(id, failure));
    }

    fn expire(&mut self) {
        let now = self.scheduler.now;
        let is_late = |id: &&ConnId| self.links[*id].deadline.is_some_and(|at| at <= now);
        for id in self.counted.iter().filter(is_late).copied().collect::<Vec<_>>() {
            match self.links[&id].near {
                ClientEnd::Connecting { .. } => self.fail(id, Failure::Timeout(Phase::Connect)),
                ClientEnd::Securing(_) => self.fail(id, Failure::Timeout(Phase::Handshake)),
                ClientEnd::Open { .. } => self.fail(id, Failure::Timeout(Phase::Session)),
                ClientEnd::Closing(_) | ClientEnd::Leaving | ClientEnd::Gone => self.abort(id),
            }
        }
    }

    pub(super) fn arrive(&mut self, id: ConnId, way: Direction) {
        let (mut cut, stall) = (self.scheduler.fault_rates.cut, self.scheduler.fault_rates.stall);
        let Some((link, scheduler)) = self.links.get_mut(&id).map(|link| (link, &mut self.scheduler)) else { return };
        if let ClientEnd::Securing(_) = link.near {
            // It is short, and is to be seen to be cut.
            cut *= 8;
        }
        if scheduler.strikes(cut) || scheduler.strikes(stall) {
            // Ours lets nothing go before its client shows that it has it.
            if self.sites[link.site].buffer.is_none() {
                self.oracle.link_fails(Some(link.site));
            }
            self.oracle.counts.cuts += 1;
            if scheduler.chance.bool() {
                link.cut(id, scheduler);
            } else {
                scheduler.note(|| format!("{id:?} stalls"));
                link.up.stall();
                link.down.stall();
            }
            return;
        }
        let pipe = if way == Direction::Up { &mut link.up } else { &mut link.down };
        let Some(piece) = pipe.next_arrival() else { return };
        let is_reset = matches!(piece, Piece::Reset);
        match piece {
            Piece::Bytes(bytes) => pipe.arrived.extend(bytes),
            Piece::End => pipe.ended = true,
            Piece::Reset => {}
        }
        match way {
            Direction::Up if is_reset => link.far = None,
            Direction::Up if link.far.is_none() && !link.up.arrived.is_empty() => {
                link.up.arrived.clear();
                link.down.send(Piece::Reset, (id, Direction::Down), scheduler);
                if self.sites[link.site].buffer.is_none() {
                    self.oracle.link_fails(Some(link.site));
                }
            }
            Direction::Up => self.serve(id),
            Direction::Down => self.arrive_near(id, is_reset),
        }
    }

    fn arrive_near(&mut self, id: ConnId, is_reset: bool) {
        let Some((link, scheduler)) = self.links.get_mut(&id).map(|link| (link, &mut self.scheduler)) else { return };
        match &mut link.near {
            ClientEnd::Securing(_) | ClientEnd::Open { .. } | ClientEnd::Closing(_) => {
                if let ClientEnd::Open { readable, .. } = &mut link.near {
                    *readable = true;
                }
                link.is_broken |= is_reset;
                self.ready.insert(id);
            }
            ClientEnd::Leaving => {
                link.down.arrived.clear();
                if link.down.ended || is_reset {
                    self.abort(id);
                }
            }
            ClientEnd::Gone if !link.down.arrived.is_empty() => {
                link.down.arrived.clear();
                link.up.send(Piece::Reset, (id, Direction::Up), scheduler);
            }
            ClientEnd::Connecting { .. } | ClientEnd::Gone => {}
        }
    }

    /// Whether a stock server serves as many connections that came before this one as it has places for.
    fn waits_for_place(&self, id: ConnId) -> bool {
        let Some(Link { site, far: Some(_), .. }) = self.links.get(&id) else { return false };
        let before = self.links.range(..id).filter(|(_, link)| link.site == *site && link.far.is_some());
        self.sites[*site].buffer.is_none() && before.count() >= self.sites[*site].places
    }

    /// Lets the server's side of a connection go on.
    pub(super) fn serve(&mut self, id: ConnId) {
        if self.waits_for_place(id) {
            self.scheduler.plan_in(LOOK_AGAIN, SimEvent::Serve(id));
            return;
        }
        let Self { links, sites, oracle, scheduler, .. } = self;
        let Some(link) = links.get_mut(&id) else { return };
        oracle.on_sound_link = link.is_sound();
        let Link { far: Some(ServerEnd { server, cover }), up, down, site, session, .. } = link else { return };
        let (Site { files, buffer, .. }, at) = (&mut sites[*site], *site);
        let mut server_io = ServerIo { id, site: at, up, down, cover, files, oracle, scheduler, session };
        let is_ours = buffer.is_some();
        if server.serve(&mut server_io, buffer.as_mut().map(|buffer| &mut buffer.server)) == Turn::Over {
            if !is_ours && link.has_unread_far() {
                // Commands that were sent ahead: what it had sent may be lost.
                oracle.link_fails(Some(at));
            }
            link.drop_far(id, scheduler);
            if matches!(link.near, ClientEnd::Gone) {
                links.remove(&id);
            }
        } else {
            // The reader has made room, perhaps.
            self.ready.insert(id);
        }
        self.look_after(at);
    }
}
