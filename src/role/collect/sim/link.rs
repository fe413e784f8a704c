//! A connection of the model network: two ends, and between them two queues that cut, hold up and forget.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fate::{Fate, Way, What};
use super::server::Far;
use super::socket::{Kernel, Tls};
use crate::net::{ConnId, Target};
use crate::tls::Received;

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
    /// Under TLS: what was written and what was taken of it, in bytes, and whether the writer has said that this is all.
    written: u64,
    taken: u64,
    is_meant_to_end: bool,
    /// When the last piece that is on its way left, and when it arrives.
    left_at: Instant,
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
            written: 0,
            taken: 0,
            is_meant_to_end: false,
            left_at: fate.now,
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

    pub(super) fn room(&self) -> Room {
        Room { size: self.room, free: self.room.saturating_sub(self.unread()) }
    }

    /// Takes as much as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8], at: (ConnId, Way), fate: &mut Fate) -> usize {
        let mut most = self.room().take(bytes.len());
        if most > 1 && fate.strikes(100_000) {
            most = fate.chance.usize(1..=most);
        }
        self.send_bytes(&bytes[..most], at, fate);
        most
    }

    /// Sends what there is room for.
    fn send_bytes(&mut self, bytes: &[u8], at: (ConnId, Way), fate: &mut Fate) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = if fate.strikes(100_000) { fate.chance.usize(1..=rest.len()) } else { rest.len() };
            self.send(Piece::Bytes(rest[..cut].to_vec()), at, fate);
            rest = &rest[cut..];
        }
    }

    /// Sends what there is room for, and what is sent at once may travel together.
    pub(super) fn send_records(&mut self, records: &[u8], at: (ConnId, Way), fate: &mut Fate) {
        match self.flying.back_mut() {
            Some(Piece::Bytes(last)) if self.left_at == fate.now && fate.chance.bool() => last.extend(records),
            _ => self.send_bytes(records, at, fate),
        }
    }

    /// TLS has taken so many bytes to send.
    pub(super) fn note_written(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// TLS has sent word that nothing follows.
    pub(super) fn note_goodbye(&mut self) {
        self.is_meant_to_end = true;
    }

    /// TLS has received something: it comes to an orderly end where that was meant, and there only, and after all that was
    /// written.
    pub(super) fn note_received(&mut self, received: Received, fate: &Fate) {
        match received {
            Received::Bytes(count) => self.taken += count as u64,
            Received::Eof { orderly: true } if !self.is_meant_to_end => {
                fate.violated(format_args!("a connection that was cut seems to have ended in good order"));
            }
            Received::Eof { orderly: true } if self.taken < self.written => {
                fate.violated(format_args!("of {} bytes {} came before the end", self.written, self.taken));
            }
            Received::Eof { orderly: false } if self.is_meant_to_end && !self.stalled => {
                fate.violated(format_args!("a connection that was ended in good order seems to have been cut"));
            }
            Received::Eof { .. } | Received::WouldBlock => {}
        }
    }

    pub(super) fn send(&mut self, piece: Piece, (id, way): (ConnId, Way), fate: &mut Fate) {
        if self.stalled {
            if let Piece::Bytes(bytes) = piece {
                self.flying.push_back(Piece::Bytes(bytes));
            }
            return;
        }
        self.left_at = fate.now;
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

/// How much a sender's kernel takes.
#[derive(Debug, Default)]
pub(super) struct Room {
    size: usize,
    free: usize,
}

impl Room {
    /// Takes as much of `count` as it can, unless that is little: a kernel waits for more.
    pub(super) fn take(&mut self, count: usize) -> usize {
        let taken = if self.free < self.size / 2 && self.free < count { 0 } else { self.free.min(count) };
        self.free -= taken;
        taken
    }
}

/// The collector's end.
#[derive(Debug)]
pub(super) enum Near {
    Connecting {
        target: Arc<Target>,
        /// Whether our own certificate may be shown.
        offer: bool,
    },
    /// TLS is under way.
    Securing(Tls),
    Open {
        layer: Layer,
        /// As far as the loop has been told.
        readable: bool,
    },
    /// Left by the session; TLS has last bytes to send.
    Closing(Tls),
    /// Left by the session; it lingers.
    Leaving,
    Gone,
}

/// What a session speaks through.
#[derive(Debug)]
pub(super) enum Layer {
    Plain {
        /// Read and not taken.
        buffered: Vec<u8>,
    },
    Secured(Tls),
}

pub(super) struct Link {
    pub(super) site: usize,
    pub(super) near: Near,
    /// The collector's socket is reset.
    pub(super) is_broken: bool,
    pub(super) deadline: Option<Instant>,
    /// The server's side; `None` where there is none, or no longer.
    pub(super) far: Option<Far>,
    /// When that is looked after next.
    pub(super) session: Option<Instant>,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
}

impl Link {
    pub(super) fn new(site: usize, near: Near, deadline: Instant, fate: &mut Fate) -> Self {
        let (up, down) = (Pipe::new(fate), Pipe::new(fate));
        Self { site, near, is_broken: false, deadline: Some(deadline), far: None, session: None, up, down }
    }

    /// Whether nothing has gone wrong with it.
    pub(super) fn is_sound(&self) -> bool {
        let is_near = matches!(self.near, Near::Securing(_) | Near::Open { .. } | Near::Closing(_) | Near::Leaving);
        is_near && !self.is_broken && !self.up.stalled && !self.down.stalled
    }

    /// Whether its session has left it.
    pub(super) fn is_left(&self) -> bool {
        matches!(self.near, Near::Closing(_) | Near::Leaving)
    }

    /// The collector's kernel, and what is at work on it.
    pub(super) fn near_kernel<'a>(&'a mut self, id: ConnId, fate: &'a mut Fate) -> (&'a mut Near, Kernel<'a>) {
        let Self { near, up, down, is_broken, .. } = self;
        (near, Kernel { id, way: Way::Up, outward: up, inward: down, is_broken: *is_broken, fate })
    }

    /// The collector closes its socket as it is.
    pub(super) fn drop_near(&mut self, id: ConnId, fate: &mut Fate) {
        let unread = !self.down.arrived.is_empty();
        match std::mem::replace(&mut self.near, Near::Gone) {
            Near::Securing(_) | Near::Open { .. } | Near::Closing(_) if !self.is_broken => {
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

    /// The connection breaks: either side hears of it, or both, or the machine at this end is gone. Or somebody on the way
    /// ends it in both directions, which only TLS tells from an end that was meant.
    pub(super) fn cut(&mut self, id: ConnId, fate: &mut Fate) {
        self.up.stall();
        self.down.stall();
        if self.is_secured() && fate.chance.bool() {
            fate.note(|| format!("{id:?} is ended by somebody else"));
            self.up.ended = true;
            self.down.ended = true;
            if let Near::Open { readable, .. } = &mut self.near {
                *readable = true;
            }
            fate.plan_in(Duration::ZERO, What::Serve(id));
            return fate.plan_in(Duration::ZERO, What::Stir(id));
        }
        let heard = fate.chance.u32(..4);
        fate.note(|| format!("{id:?} is cut, heard of by {heard:02b}"));
        if heard & 1 == 1 {
            self.far = None;
        }
        if heard & 2 == 2 && matches!(self.near, Near::Securing(_) | Near::Open { .. } | Near::Closing(_)) {
            self.is_broken = true;
            fate.plan_in(Duration::ZERO, What::Stir(id));
        }
    }

    fn is_secured(&self) -> bool {
        matches!(self.near, Near::Securing(_) | Near::Closing(_) | Near::Open { layer: Layer::Secured(_), .. })
    }
}
