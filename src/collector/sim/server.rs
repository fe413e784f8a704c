//! The model sites' servers: what they have in common.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::link::Pipe;
use super::oracle::Oracle;
use super::scheduler::{Direction, Scheduler, SimEvent};
use super::session::ServerSession;
use super::socket::{Kernel, Tls};
use super::stock::Stock;
use super::world::Site;
use crate::net::{ConnId, Failure, FileSent};
use crate::proto::{FileName, Secret, Verb};
use crate::server::test_server::TestServer;
use crate::tls::{Handshake, Received, Sent, StreamError};

/// How long a server waits for TLS to be done.
const HANDSHAKE: Duration = Duration::from_secs(8);

/// A site's files: for each name, the version that is there.
pub(super) type Files = BTreeMap<FileName, usize>;

/// How a site misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misbehavior {
    Refuse,
    BlackHole,
    HangAfterAccept,
    HangAt(Verb),
    CloseAt(Verb),
    Drip,
    Garbage,
    SizeOver,
    SizeUnder,
    EndlessListing,
    /// It lists very many names and gives none of these files, nor any other.
    Withhold,
    /// It sends what it is to delete, and has it all the same.
    KeepMoved,
    /// Its certificate is somebody else's.
    Impostor,
    /// It asks for another password than the configured one.
    OtherPassword,
}

pub(super) const MISBEHAVIORS: [Misbehavior; 17] = [
    Misbehavior::Refuse,
    Misbehavior::BlackHole,
    Misbehavior::HangAfterAccept,
    Misbehavior::HangAt(Verb::Ls),
    Misbehavior::HangAt(Verb::Recv),
    Misbehavior::HangAt(Verb::Mv),
    Misbehavior::CloseAt(Verb::Ls),
    Misbehavior::CloseAt(Verb::Recv),
    Misbehavior::Drip,
    Misbehavior::Garbage,
    Misbehavior::SizeOver,
    Misbehavior::SizeUnder,
    Misbehavior::EndlessListing,
    Misbehavior::Withhold,
    Misbehavior::KeepMoved,
    Misbehavior::Impostor,
    Misbehavior::OtherPassword,
];

impl Misbehavior {
    /// The reason that the collector has to report at least.
    pub(super) fn required_reason(self) -> Option<&'static str> {
        match self {
            Self::Impostor => Some("tls"),
            Self::OtherPassword => Some("password"),
            _ => None,
        }
    }
}

/// What a server works with.
pub(super) struct ServerIo<'a> {
    pub(super) id: ConnId,
    /// Whose server it is.
    pub(super) site: usize,
    pub(super) up: &'a mut Pipe,
    pub(super) down: &'a mut Pipe,
    pub(super) cover: &'a mut TlsState,
    pub(super) files: &'a mut Files,
    pub(super) oracle: &'a mut Oracle,
    pub(super) scheduler: &'a mut Scheduler,
    /// When the session is looked after next.
    pub(super) session: &'a mut Option<Instant>,
}

impl ServerIo<'_> {
    /// TLS, where there is any, and what it works on.
    fn secured(&mut self) -> Option<(&mut Tls, Kernel<'_>)> {
        let Self { id, up, down, cover, scheduler, .. } = self;
        let kernel = Kernel { id: *id, way: Direction::Down, outward: down, inward: up, is_broken: false, scheduler };
        match cover {
            TlsState::Secured(tls) | TlsState::Securing(tls, _) => Some((tls, kernel)),
            TlsState::Bare => None,
        }
    }

    /// Goes on with the handshake; `None` where none is under way any more.
    fn secure(&mut self) -> Option<Turn> {
        let TlsState::Securing(_, due) = *self.cover else { return None };
        if due <= self.scheduler.now {
            return Some(Turn::Over);
        }
        let (tls, kernel) = self.secured()?;
        match tls.handshake(kernel) {
            Ok(Handshake::Done) => {
                if let TlsState::Securing(tls, _) = std::mem::replace(self.cover, TlsState::Bare) {
                    *self.cover = TlsState::Secured(tls);
                }
                None
            }
            Ok(Handshake::WantMore) => {
                self.visit_at(due);
                Some(Turn::Waiting)
            }
            Err(failure) => {
                self.scheduler.note(|| format!("{:?}: the server gives up: {failure}", self.id));
                Some(Turn::Over)
            }
        }
    }

    /// Shows the next bytes to `take`, which returns how many of them it took.
    pub(super) fn receive(&mut self, most: usize, take: impl FnOnce(&[u8]) -> usize) -> Result<Received, StreamError> {
        let Some((tls, kernel)) = self.secured() else { return Ok(self.receive_bare(most, take)) };
        let received = tls.work(kernel, |stream| stream.receive(most, take))?;
        self.up.note_received(received, self.scheduler);
        Ok(received)
    }

    fn receive_bare(&mut self, most: usize, take: impl FnOnce(&[u8]) -> usize) -> Received {
        let most = most.min(self.up.arrived.len());
        if most == 0 {
            return if self.up.ended { Received::Eof { orderly: true } } else { Received::WouldBlock };
        }
        let taken = take(&self.up.arrived.make_contiguous()[..most]);
        if taken > 0 {
            self.scheduler.plan_in(Duration::ZERO, SimEvent::SpuriousWake(self.id));
        }
        self.up.arrived.drain(..taken);
        Received::Bytes(taken)
    }

    /// What one read brings; `None` where nothing more will come.
    pub(super) fn read(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let take = |shown: &[u8]| {
                bytes.extend(shown);
                shown.len()
            };
            match self.receive(most, take) {
                // TLS has had its own to do.
                Ok(Received::Bytes(0)) => {}
                Ok(Received::Bytes(_) | Received::WouldBlock) => return Some(bytes),
                Ok(Received::Eof { .. }) | Err(_) => return None,
            }
        }
    }

    /// Whether there are bytes to read, for TLS at least.
    pub(super) fn has_input(&mut self) -> bool {
        !self.up.arrived.is_empty() || matches!(self.cover, TlsState::Secured(tls) if tls.has_buffered())
    }

    /// Whether TLS holds nothing back.
    pub(super) fn is_flushed(&mut self) -> bool {
        !matches!(self.cover, TlsState::Secured(tls) if !tls.is_flushed())
    }

    /// Passes on what TLS holds; whether nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        self.secured().is_none_or(|(tls, kernel)| tls.flush(kernel).is_ok_and(|flushed| flushed))
    }

    /// The end itself is sent last, under TLS.
    pub(super) fn send_close_notify(&mut self) {
        if let TlsState::Secured(tls) = self.cover {
            tls.send_close_notify();
        }
    }

    /// Passes on the last bytes; whether nothing is left.
    pub(super) fn end(&mut self) -> bool {
        let is_flushed = self.flush();
        if is_flushed {
            self.down.note_goodbye();
        }
        is_flushed
    }

    /// Has the session looked after at that time, if not before.
    pub(super) fn visit_at(&mut self, at: Instant) {
        if self.session.is_none_or(|planned| planned <= self.scheduler.now || at < planned) {
            *self.session = Some(at);
            self.scheduler.plan(at, SimEvent::Serve(self.id));
        }
    }

    /// Writes as much of `bytes` as goes. Under TLS that may not have left yet.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let Some((tls, kernel)) = self.secured() else {
            return self.down.write(bytes, (self.id, Direction::Down), self.scheduler);
        };
        match tls.work(kernel, |stream| stream.send(bytes)) {
            Ok(Sent::Bytes(count)) => {
                self.down.note_written(count);
                count
            }
            Ok(Sent::WouldBlock) | Err(_) => 0,
        }
    }

    /// Writes bytes of `file`, as [`Shore::write`] does.
    pub(super) fn send_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure> {
        if let Some((tls, kernel)) = self.secured() {
            let sent = tls.work(kernel, |stream| stream.send_file(file, offset, count, &mut [0; 16 * 1024]))?;
            if let FileSent::Bytes(count) = sent {
                self.down.note_written(usize::try_from(count).unwrap_or(usize::MAX));
            }
            return Ok(sent);
        }
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset).map_err(Failure::Io)?;
        Ok(match self.write(&bytes) {
            0 => FileSent::Blocked,
            count => FileSent::Bytes(count as u64),
        })
    }

    /// Names, in no order.
    pub(super) fn listing(&mut self) -> Vec<u8> {
        let mut names: Vec<&[u8]> = self.files.keys().map(FileName::as_bytes).collect();
        names.extend([&b"."[..], b"..", b"conf"]);
        self.scheduler.chance.shuffle(&mut names);
        names.iter().flat_map(|name| [name, &b"\n"[..]].concat()).collect()
    }

    /// A listing that was true before is given once more: what was deleted since is in it.
    pub(super) fn lag(&mut self, listing: &[u8]) {
        let names = listing.split(|&byte| byte == b'\n').filter_map(|name| FileName::new(name).ok());
        let gone = names.filter(|name| !self.files.contains_key(name));
        self.oracle.doubts.listed_all_the_same(self.site, gone);
    }

    pub(super) fn body(&self, name: &FileName) -> Option<(usize, Vec<u8>)> {
        self.files.get(name).map(|&version| (version, self.oracle.versions[version].bytes.clone()))
    }

    pub(super) fn remove(&mut self, name: &FileName, sent: usize) {
        if let Some(version) = self.files.remove(name) {
            self.oracle.moved(version, sent, self.scheduler);
        }
    }
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Waiting,
    Over,
}

/// The server's end of a connection.
pub(super) struct ServerEnd {
    pub(super) server: Server,
    pub(super) cover: TlsState,
}

impl ServerEnd {
    pub(super) fn new(id: ConnId, site: &Site, now: Instant) -> Self {
        let server = match (&site.buffer, site.misbehavior) {
            (Some(buffer), _) => Server::Ours(Box::new(ServerSession::new(id, &buffer.server))),
            (None, Some(Misbehavior::HangAfterAccept)) => Server::Deaf,
            (None, _) => Server::Stock(Stock::new(site, now)),
        };
        let session = site.acceptor.as_ref().map(|acceptor| acceptor.accept().expect("rustls makes servers"));
        let cover = session.map_or(TlsState::Bare, |session| TlsState::Securing(Tls::new(session), now + HANDSHAKE));
        Self { server, cover }
    }

    pub(super) fn is_ours(&self) -> bool {
        matches!(self.server, Server::Ours(_))
    }
}

/// A server's connection.
pub(super) enum TlsState {
    Bare,
    /// TLS is under way, until then at the latest.
    Securing(Tls, Instant),
    Secured(Tls),
}

pub(super) enum Server {
    Deaf,
    Stock(Stock),
    Ours(Box<ServerSession>),
}

impl Server {
    /// Goes as far as the connection lets it.
    pub(super) fn serve(&mut self, server_io: &mut ServerIo<'_>, server: Option<&mut TestServer>) -> Turn {
        if let Self::Deaf = self {
            return Turn::Waiting;
        }
        if let Some(turn) = server_io.secure() {
            return turn;
        }
        match (self, server) {
            (Self::Stock(stock), _) => stock.serve(server_io),
            (Self::Ours(ours), Some(server)) => ours.serve(server_io, server),
            (Self::Deaf, _) | (Self::Ours(_), None) => Turn::Over,
        }
    }
}

/// What a site asks its clients for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SitePassword {
    None,
    /// The configured password.
    Known,
    Other,
}

impl SitePassword {
    pub(super) fn secret(self) -> Option<Secret> {
        match self {
            Self::None => None,
            Self::Known => Some(Secret::new(b"the password".to_vec())),
            Self::Other => Some(Secret::new(b"another password".to_vec())),
        }
    }
}
