//! A connection of the model network: two ends, and between them two queues that cut, hold up and forget.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::scheduler::{Direction, Scheduler, SimEvent};
use super::server::ServerEnd;
use super::socket::{Kernel, Tls};
use crate::net::{Compression, ConnId, Target};
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
    /// Under TLS: what was written and what was taken of it, in bytes, and whether the writer has ended its direction.
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
    fn new(scheduler: &mut Scheduler) -> Self {
        let room = 1 << scheduler.chance.u32(9..17);
        Self {
            flying: VecDeque::new(),
            arrived: VecDeque::new(),
            ended: false,
            written: 0,
            taken: 0,
            is_meant_to_end: false,
            left_at: scheduler.now,
            busy_until: scheduler.now,
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
    pub(super) fn write(&mut self, bytes: &[u8], at: (ConnId, Direction), scheduler: &mut Scheduler) -> usize {
        let mut most = self.room().take(bytes.len());
        if most > 1 && scheduler.strikes(100_000) {
            most = scheduler.chance.usize(1..=most);
        }
        let bunch = if at.1 == Direction::Up { scheduler.fault_rates.bunch } else { 0 };
        match self.flying.back_mut() {
            // Something on the way has held the last one up: they arrive as one.
            Some(Piece::Bytes(last)) if scheduler.strikes(bunch) => last.extend(&bytes[..most]),
            _ => self.send_bytes(&bytes[..most], at, scheduler),
        }
        most
    }

    /// Sends what there is room for.
    fn send_bytes(&mut self, bytes: &[u8], at: (ConnId, Direction), scheduler: &mut Scheduler) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = if scheduler.strikes(100_000) { scheduler.chance.usize(1..=rest.len()) } else { rest.len() };
            self.send(Piece::Bytes(rest[..cut].to_vec()), at, scheduler);
            rest = &rest[cut..];
        }
    }

    /// Sends what there is room for, and what is sent at once may travel together.
    pub(super) fn send_records(&mut self, records: &[u8], at: (ConnId, Direction), scheduler: &mut Scheduler) {
        match self.flying.back_mut() {
            Some(Piece::Bytes(last)) if self.left_at == scheduler.now && scheduler.chance.bool() => {
                last.extend(records);
            }
            _ => self.send_bytes(records, at, scheduler),
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

    /// TLS has received something: it comes to an orderly end where the writer has ended, and there only, and after all
    /// that was written.
    pub(super) fn note_received(&mut self, received: Received, scheduler: &Scheduler) {
        match received {
            Received::Bytes(count) => self.taken += count as u64,
            Received::Eof { orderly: true } if !self.is_meant_to_end => {
                scheduler.fail(format_args!("a connection that was cut seems to have ended in good order"));
            }
            Received::Eof { orderly: true } if self.taken < self.written => {
                scheduler.fail(format_args!("of {} bytes {} came before the end", self.written, self.taken));
            }
            Received::Eof { orderly: false } if self.is_meant_to_end && !self.stalled => {
                scheduler.fail(format_args!("a connection that was ended in good order seems to have been cut"));
            }
            Received::Eof { .. } | Received::WouldBlock => {}
        }
    }

    pub(super) fn send(&mut self, piece: Piece, (id, way): (ConnId, Direction), scheduler: &mut Scheduler) {
        if self.stalled {
            if let Piece::Bytes(bytes) = piece {
                self.flying.push_back(Piece::Bytes(bytes));
            }
            return;
        }
        self.left_at = scheduler.now;
        self.busy_until = self.busy_until.max(scheduler.now) + scheduler.latency();
        self.flying.push_back(piece);
        scheduler.plan(self.busy_until, SimEvent::Arrival(id, way));
    }

    pub(super) fn next_arrival(&mut self) -> Option<Piece> {
        if self.stalled { None } else { self.flying.pop_front() }
    }

    /// The sender's kernel drops some of what it has not sent.
    fn drop_unsent(&mut self, scheduler: &mut Scheduler) {
        if self.is_meant_to_end {
            return;
        }
        let kept = scheduler.chance.usize(..=self.flying.len());
        self.flying.truncate(kept);
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
pub(super) enum ClientEnd {
    Connecting {
        target: Arc<Target>,
        /// Whether our own certificate may be shown.
        offer: bool,
    },
    /// TLS is under way.
    Securing(Tls),
    Open {
        layer: Layer,
        /// As far as the loop has been notified.
        readable: bool,
    },
    /// Left by the session; TLS has last bytes to send.
    Closing(Tls),
    /// Left by the session; it lingers.
    Leaving,
    Gone,
}

/// A session's connection.
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
    pub(super) near: ClientEnd,
    /// What its session's bytes pass through at its end, once it has agreed on that.
    pub(super) compression: Option<Box<Compression>>,
    /// The collector's socket is reset.
    pub(super) is_broken: bool,
    pub(super) deadline: Option<Instant>,
    /// The server's side; `None` where there is none, or no longer.
    pub(super) far: Option<ServerEnd>,
    /// When that is looked after next.
    pub(super) session: Option<Instant>,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
}

impl Link {
    pub(super) fn new(site: usize, near: ClientEnd, deadline: Instant, scheduler: &mut Scheduler) -> Self {
        let (up, down) = (Pipe::new(scheduler), Pipe::new(scheduler));
        let deadline = Some(deadline);
        Self { site, near, compression: None, is_broken: false, deadline, far: None, session: None, up, down }
    }

    /// Whether nothing has gone wrong with it.
    pub(super) fn is_sound(&self) -> bool {
        let is_near = matches!(
            self.near,
            ClientEnd::Securing(_) | ClientEnd::Open { .. } | ClientEnd::Closing(_) | ClientEnd::Leaving
        );
        is_near && !self.is_broken && !self.up.stalled && !self.down.stalled
    }

    /// Whether its session has left it.
    pub(super) fn is_left(&self) -> bool {
        matches!(self.near, ClientEnd::Closing(_) | ClientEnd::Leaving)
    }

    /// The collector's kernel, and what is at work on it.
    pub(super) fn near_kernel<'a>(
        &'a mut self,
        id: ConnId,
        scheduler: &'a mut Scheduler,
    ) -> (&'a mut ClientEnd, Kernel<'a>) {
        let Self { near, up, down, is_broken, .. } = self;
        (near, Kernel { id, way: Direction::Up, outward: up, inward: down, is_broken: *is_broken, scheduler })
    }

    /// The collector closes its socket as it is.
    pub(super) fn drop_near(&mut self, id: ConnId, scheduler: &mut Scheduler) {
        let unread = !self.down.arrived.is_empty();
        match std::mem::replace(&mut self.near, ClientEnd::Gone) {
            ClientEnd::Securing(_) | ClientEnd::Open { .. } | ClientEnd::Closing(_) if !self.is_broken => {
                self.up.send(if unread { Piece::Reset } else { Piece::End }, (id, Direction::Up), scheduler);
            }
            // Its end was sent already.
            ClientEnd::Leaving if unread => self.up.send(Piece::Reset, (id, Direction::Up), scheduler),
            _ => {}
        }
        self.deadline = None;
    }

    /// Whether there is something that the server has not read. If it closes, the connection is reset.
    pub(super) fn has_unread_far(&self) -> bool {
        !self.up.arrived.is_empty()
    }

    /// The server closes its socket.
    pub(super) fn drop_far(&mut self, id: ConnId, scheduler: &mut Scheduler) {
        if self.far.take().is_none() {
            return;
        }
        let last = if self.has_unread_far() {
            self.down.drop_unsent(scheduler);
            Piece::Reset
        } else {
            Piece::End
        };
        self.down.send(last, (id, Direction::Down), scheduler);
    }

    /// The connection breaks: either side gets an error, or both, or the machine at this end is gone. Or somebody on
    /// the way ends it in both directions, which only TLS tells from an end by the peer.
    pub(super) fn cut(&mut self, id: ConnId, scheduler: &mut Scheduler) {
        self.up.stall();
        self.down.stall();
        if self.is_secured() && scheduler.chance.bool() {
            scheduler.note(|| format!("{id:?} is ended by somebody else"));
            self.up.ended = true;
            self.down.ended = true;
            if let ClientEnd::Open { readable, .. } = &mut self.near {
                *readable = true;
            }
            scheduler.plan_in(Duration::ZERO, SimEvent::Serve(id));
            return scheduler.plan_in(Duration::ZERO, SimEvent::SpuriousWake(id));
        }
        let heard = scheduler.chance.u32(..4);
        scheduler.note(|| format!("{id:?} is cut, heard of by {heard:02b}"));
        if heard & 1 == 1 {
            self.far = None;
        }
        if heard & 2 == 2
            && matches!(self.near, ClientEnd::Securing(_) | ClientEnd::Open { .. } | ClientEnd::Closing(_))
        {
            self.is_broken = true;
            scheduler.plan_in(Duration::ZERO, SimEvent::SpuriousWake(id));
        }
    }

    fn is_secured(&self) -> bool {
        matches!(
            self.near,
            ClientEnd::Securing(_) | ClientEnd::Closing(_) | ClientEnd::Open { layer: Layer::Secured(_), .. }
        )
    }
}
