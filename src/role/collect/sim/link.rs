//! A connection of the model network: two ends, and between them two queues that cut, hold up and forget.

use std::collections::VecDeque;
use std::time::Instant;

use super::fate::{Fate, Way, What};
use super::server::Server;
use crate::net::ConnId;

/// What is on its way.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Pipe {
    flying: VecDeque<Piece>,
    /// In the receiver's kernel.
    pub(super) arrived: VecDeque<u8>,
    /// Nothing follows what has arrived.
    pub(super) ended: bool,
    /// When the last piece that is on its way arrives.
    busy_until: Instant,
    /// How much may be on its way or unread.
    room: usize,
    stalled: bool,
}

impl Pipe {
    fn new(fate: &mut Fate) -> Self {
        let room = 1 << fate.chance.u32(9..17);
        Self {
            flying: VecDeque::new(),
            arrived: VecDeque::new(),
            ended: false,
            busy_until: fate.now,
            room,
            stalled: false,
        }
    }

    fn unread(&self) -> usize {
        let flying = self.flying.iter().map(|piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 0 });
        self.arrived.len() + flying.sum::<usize>()
    }

    /// Whether the receiver's kernel has all that was sent.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.flying.is_empty()
    }

    /// Takes as much as there is room for, unless that is little: a kernel waits for more.
    pub(super) fn write(&mut self, bytes: &[u8], at: (ConnId, Way), fate: &mut Fate) -> usize {
        let free = self.room.saturating_sub(self.unread());
        let mut most = if free < self.room / 2 && free < bytes.len() { 0 } else { free.min(bytes.len()) };
        if most > 1 && fate.strikes(100_000) {
            most = fate.chance.usize(1..=most);
        }
        let mut rest = &bytes[..most];
        while !rest.is_empty() {
            let cut = if fate.strikes(100_000) { fate.chance.usize(1..=rest.len()) } else { rest.len() };
            self.send(Piece::Bytes(rest[..cut].to_vec()), at, fate);
            rest = &rest[cut..];
        }
        most
    }

    pub(super) fn send(&mut self, piece: Piece, (id, way): (ConnId, Way), fate: &mut Fate) {
        if self.stalled {
            if let Piece::Bytes(bytes) = piece {
                self.flying.push_back(Piece::Bytes(bytes));
            }
            return;
        }
        self.busy_until = self.busy_until.max(fate.now) + fate.latency();
        self.flying.push_back(piece);
        fate.plan(self.busy_until, What::Arrival(id, way));
    }

    pub(super) fn next_arrival(&mut self) -> Option<Piece> {
        if self.stalled { None } else { self.flying.pop_front() }
    }

    /// From now on, nothing arrives.
    pub(super) fn stall(&mut self) {
        self.stalled = true;
    }
}

/// The collector's end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Near {
    Connecting,
    Open {
        /// Read and not taken.
        buffered: Vec<u8>,
        /// As far as the loop has been told.
        readable: bool,
        /// Reset.
        broken: bool,
    },
    /// Left by the session; it lingers.
    Leaving,
    Gone,
}

pub(super) struct Link {
    pub(super) site: usize,
    pub(super) near: Near,
    pub(super) deadline: Option<Instant>,
    /// The server's side; `None` where there is none, or no longer.
    pub(super) far: Option<Server>,
    /// When that is looked after next.
    pub(super) visit: Option<Instant>,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
}

impl Link {
    pub(super) fn new(site: usize, deadline: Instant, fate: &mut Fate) -> Self {
        let (up, down) = (Pipe::new(fate), Pipe::new(fate));
        Self { site, near: Near::Connecting, deadline: Some(deadline), far: None, visit: None, up, down }
    }

    /// Whether nothing has gone wrong with it.
    pub(super) fn is_sound(&self) -> bool {
        let is_near = matches!(self.near, Near::Open { broken: false, .. } | Near::Leaving);
        is_near && !self.up.stalled && !self.down.stalled
    }

    /// The collector closes its socket as it is.
    pub(super) fn drop_near(&mut self, id: ConnId, fate: &mut Fate) {
        let unread = !self.down.arrived.is_empty();
        match std::mem::replace(&mut self.near, Near::Gone) {
            Near::Open { broken: false, .. } => {
                self.up.send(if unread { Piece::Reset } else { Piece::End }, (id, Way::Up), fate);
            }
            // Its end was sent already.
            Near::Leaving if unread => self.up.send(Piece::Reset, (id, Way::Up), fate),
            _ => {}
        }
        self.deadline = None;
    }

    /// The server closes its socket.
    pub(super) fn drop_far(&mut self, id: ConnId, fate: &mut Fate) {
        if self.far.take().is_some() {
            let last = if self.up.arrived.is_empty() { Piece::End } else { Piece::Reset };
            self.down.send(last, (id, Way::Down), fate);
        }
    }

    /// The connection breaks: either side hears of it, or both, or the machine at this end is gone.
    pub(super) fn cut(&mut self, id: ConnId, fate: &mut Fate) {
        self.up.stall();
        self.down.stall();
        let heard = fate.chance.u32(..4);
        fate.note(|| format!("{id:?} is cut, heard of by {heard:02b}"));
        if heard & 1 == 1 {
            self.far = None;
        }
        if let Near::Open { broken, .. } = &mut self.near
            && heard & 2 == 2
        {
            *broken = true;
            fate.plan_in(std::time::Duration::ZERO, What::Stir(id));
        }
    }
}
