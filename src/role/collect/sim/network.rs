//! The world's network, and the loop on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::fate::{Fate, Way, What};
use super::link::{Link, Near, Piece};
use super::ours::Ours;
use super::server::{Mischief, Server, Shore, Turn};
use super::world::{FIRST_PORT, Site, World};
use crate::net::{ConnId, Event, Failure, Phase, Target};

/// Turns without the clock moving on that nothing sound takes.
const MOST_TURNS_AT_ONCE: u32 = 20_000;

/// How long a connection that was left may take to close at the other end.
const LINGER: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn connections(&self) -> usize {
        self.counted.len()
    }

    pub(super) fn link(&mut self, id: ConnId) -> Option<(&mut Link, &mut Fate)> {
        Some((self.links.get_mut(&id)?, &mut self.fate))
    }

    pub(super) fn open(&mut self, target: &Target) -> ConnId {
        self.opened += 1;
        let id = ConnId::new(self.opened as usize, self.opened);
        let site = usize::from(target.port - FIRST_PORT);
        let link = Link::new(site, self.fate.now + target.timeout, &mut self.fate);
        self.links.insert(id, link);
        self.counted.insert(id);
        let open = self.counted.iter().map(|id| &self.links[id]).filter(|link| link.near != Near::Leaving);
        // Those that were left linger beside them.
        assert!(open.clone().count() <= self.max_connections, "more connections than there may be");
        let most = self.sites[site].connections;
        assert!(open.filter(|link| link.site == site).count() <= most, "more connections than the site is to have");
        let wait = self.fate.latency() + self.fate.latency();
        let (refuse, ignore) = (self.fate.weather.refuse, self.fate.weather.ignore);
        let mischief = self.sites[site].mischief;
        if mischief == Some(Mischief::Refuse) || self.fate.strikes(refuse) {
            self.fate.plan_in(wait, What::Refused(id));
        } else if mischief != Some(Mischief::BlackHole) && !self.fate.strikes(ignore) {
            self.fate.plan_in(wait, What::Connected(id));
        }
        self.fate.note(|| format!("{id:?} is opened to site {site}"));
        id
    }

    pub(super) fn wake(&mut self, id: ConnId) {
        self.ready.insert(id);
    }

    pub(super) fn close(&mut self, id: ConnId) {
        let Some((link, fate)) = self.link(id) else { return };
        if !matches!(link.near, Near::Open { broken: false, .. }) {
            return self.abort(id);
        }
        link.near = Near::Leaving;
        link.down.arrived.clear();
        link.up.send(Piece::End, (id, Way::Up), fate);
        link.deadline = Some(fate.now + LINGER);
        if link.down.ended {
            self.abort(id);
        }
    }

    pub(super) fn abort(&mut self, id: ConnId) {
        let Some((link, fate)) = self.link(id) else { return };
        link.drop_near(id, fate);
        let is_over = link.far.is_none();
        self.counted.remove(&id);
        if is_over {
            self.links.remove(&id);
        }
    }

    /// One turn of the loop.
    pub(super) fn turn(&mut self, until: Option<Instant>) -> io::Result<Vec<Event>> {
        self.ledger.tally.steps += 1;
        if self.out.is_empty() && self.ready.is_empty() {
            let deadline = self.counted.iter().filter_map(|id| self.links[id].deadline).min();
            let next = [self.fate.next_planned(), deadline, until].into_iter().flatten().min();
            self.fate.now = self.fate.now.max(next.expect("a world always has something to come"));
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
        let spurious = self.fate.weather.spurious;
        if self.fate.strikes(spurious) {
            self.ready.extend(self.fate.chance.choice(&self.counted));
        }
        let mut ready: Vec<ConnId> = std::mem::take(&mut self.ready).into_iter().collect();
        self.fate.chance.shuffle(&mut ready);
        let mut events = std::mem::take(&mut self.out);
        ready.retain(|id| self.links.get(id).is_some_and(|link| matches!(link.near, Near::Open { .. })));
        events.extend(ready.into_iter().map(Event::Ready));
        self.ledger.check(&self.fate);
        Ok(events)
    }

    /// Nothing spins.
    fn check_progress(&mut self) {
        let (at, turns) = self.still;
        self.still = if at == self.fate.now { (at, turns + 1) } else { (self.fate.now, 0) };
        if turns > MOST_TURNS_AT_ONCE {
            self.fate.violated(format_args!("the loop spins"));
        }
    }

    pub(super) fn connected(&mut self, id: ConnId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.near == Near::Connecting) else { return };
        if self.sites[link.site].buffer.as_ref().is_some_and(|buffer| !buffer.house.is_up()) {
            return self.refused(id);
        }
        link.near = Near::Open { buffered: Vec::new(), readable: true, broken: false };
        link.deadline = None;
        let site = &self.sites[link.site];
        link.far = Some(match &site.buffer {
            Some(buffer) => Server::Ours(Box::new(Ours::new(id, &buffer.house))),
            None => Server::new(site.mischief, self.fate.now),
        });
        self.out.push(Event::Opened(id));
        self.fate.plan_in(Duration::ZERO, What::Serve(id));
    }

    pub(super) fn refused(&mut self, id: ConnId) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT));
        self.fail(id, Failure::Connect { address, error: io::ErrorKind::ConnectionRefused.into() });
    }

    fn fail(&mut self, id: ConnId, failure: Failure) {
        self.fate.note(|| format!("{id:?} fails: {failure}"));
        self.abort(id);
        self.out.push(Event::Failed(id, failure));
    }

    fn expire(&mut self) {
        let now = self.fate.now;
        let is_late = |id: &&ConnId| self.links[*id].deadline.is_some_and(|at| at <= now);
        for id in self.counted.iter().filter(is_late).copied().collect::<Vec<_>>() {
            match self.links[&id].near {
                Near::Connecting => self.fail(id, Failure::Timeout(Phase::Connect)),
                Near::Open { .. } => self.fail(id, Failure::Timeout(Phase::Session)),
                Near::Leaving | Near::Gone => self.abort(id),
            }
        }
    }

    pub(super) fn arrive(&mut self, id: ConnId, way: Way) {
        let (cut, stall) = (self.fate.weather.cut, self.fate.weather.stall);
        let Some((link, fate)) = self.links.get_mut(&id).map(|link| (link, &mut self.fate)) else { return };
        if fate.strikes(cut) || fate.strikes(stall) {
            self.ledger.link_fails(Some(link.site));
            self.ledger.tally.cuts += 1;
            if fate.chance.bool() {
                link.cut(id, fate);
            } else {
                fate.note(|| format!("{id:?} stalls"));
                link.up.stall();
                link.down.stall();
            }
            return;
        }
        let pipe = if way == Way::Up { &mut link.up } else { &mut link.down };
        let Some(piece) = pipe.next_arrival() else { return };
        let is_reset = matches!(piece, Piece::Reset);
        match piece {
            Piece::Bytes(bytes) => pipe.arrived.extend(bytes),
            Piece::End => pipe.ended = true,
            Piece::Reset => {}
        }
        match way {
            Way::Up if is_reset => link.far = None,
            Way::Up if link.far.is_none() && !link.up.arrived.is_empty() => {
                link.up.arrived.clear();
                link.down.send(Piece::Reset, (id, Way::Down), fate);
            }
            Way::Up => self.serve(id),
            Way::Down => self.arrive_near(id, is_reset),
        }
    }

    fn arrive_near(&mut self, id: ConnId, is_reset: bool) {
        let Some((link, fate)) = self.links.get_mut(&id).map(|link| (link, &mut self.fate)) else { return };
        match &mut link.near {
            Near::Open { readable, broken, .. } => {
                *readable = true;
                *broken |= is_reset;
                self.ready.insert(id);
            }
            Near::Leaving => {
                link.down.arrived.clear();
                if link.down.ended || is_reset {
                    self.abort(id);
                }
            }
            Near::Gone if !link.down.arrived.is_empty() => {
                link.down.arrived.clear();
                link.up.send(Piece::Reset, (id, Way::Up), fate);
            }
            Near::Connecting | Near::Gone => {}
        }
    }

    /// Lets the server's side of a connection go on.
    pub(super) fn serve(&mut self, id: ConnId) {
        let Self { links, sites, ledger, fate, .. } = self;
        let Some(link) = links.get_mut(&id) else { return };
        ledger.on_sound_link = link.is_sound();
        let Link { far: Some(server), up, down, site, visit, .. } = link else { return };
        let (Site { files, buffer, .. }, at) = (&mut sites[*site], *site);
        let shore = &mut Shore { id, up, down, files, ledger, fate, visit };
        if server.serve(shore, buffer.as_mut().map(|buffer| &mut buffer.house)) == Turn::Over {
            link.drop_far(id, fate);
            if link.near == Near::Gone {
                links.remove(&id);
            }
        } else {
            // The reader has made room, perhaps.
            self.ready.insert(id);
        }
        self.look_after(at);
    }
}
