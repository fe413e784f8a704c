//! The control socket: clients on this machine, each with one request.
//!
//! Whatever they do, they cost the connections on the network nothing worth speaking of: at most [`MOST_CLIENTS`] are served at a
//! time, none of them holds more than a request or a piece of an answer, and in one turn each is read from and written to
//! for a bounded time. Where there are more, the one that has made no progress for the longest makes room, of those whose turn
//! it is first, so that clients that say or read nothing keep nobody out. They are no connections as [`Net`](super::Net) counts them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix;
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use super::Event;
use crate::control::{Exchange, Next, PIECE};

/// Clients that are served at a time.
const MOST_CLIENTS: usize = 16;

/// How long a client may make no progress.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nobody is accepted once that has failed: file descriptors come back only as connections end.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads granted to a client in one turn, of [`BLOCK`] bytes.
const READS: usize = 8;

const BLOCK: usize = 16 * 1024;

/// The bits that no connection's and no other listener's token has together.
const TOKEN_BITS: usize = 0b11 << (usize::BITS - 2);

/// The listener's.
const LISTENER: u32 = 0;

/// Names a client of the control socket; never used again for another before four thousand million others came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId(u32);

impl LocalId {
    fn token(self) -> Token {
        Token(TOKEN_BITS | self.0 as usize)
    }

    /// What a token belongs to, where it is one of the control socket's.
    pub(super) fn from_token(token: Token) -> Option<Self> {
        u32::try_from(token.0 ^ TOKEN_BITS).ok().map(Self)
    }
}

/// What a client of the control socket does.
#[derive(Debug)]
pub enum LocalEvent {
    /// It has sent this line, which is to be [answered](super::Net::answer).
    Asked(LocalId, Vec<u8>),
    /// It has all of its answer that is made: the rest may follow.
    Drained(LocalId),
    /// It has gone before it had its whole answer.
    Left(LocalId),
}

impl From<LocalEvent> for Event {
    fn from(event: LocalEvent) -> Self {
        Self::Local(event)
    }
}

#[derive(Debug)]
struct Client {
    socket: UnixStream,
    exchange: Exchange,
    /// When it made progress last.
    since: Instant,
    /// All is sent, and our direction has ended: its end is awaited, so that what it has not read is not taken from it.
    is_parting: bool,
}

/// The control socket and its clients.
#[derive(Debug, Default)]
pub(super) struct LocalClients {
    listener: Option<UnixListener>,
    /// Somebody may wait: cleared only when `accept` would block.
    waiting: bool,
    pause: Option<Instant>,
    clients: BTreeMap<LocalId, Client>,
    last: u32,
}

impl LocalClients {
    /// Serves those who come to `listener` from now on.
    pub(super) fn listen(&mut self, registry: &Registry, listener: unix::net::UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut listener = UnixListener::from_std(listener);
        registry.register(&mut listener, LocalId(LISTENER).token(), Interest::READABLE)?;
        (self.listener, self.waiting) = (Some(listener), true);
        Ok(())
    }

    /// When there is something to do without an event.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let accept = (self.waiting && self.listener.is_some()).then(|| self.pause.unwrap_or(now));
        self.clients.values().filter_map(Client::deadline).chain(accept).min()
    }

    /// The socket of `id` is ready for something.
    pub(super) fn ready(&mut self, id: LocalId, now: Instant, out: &mut Vec<Event>) {
        if id.0 == LISTENER {
            self.waiting = true;
        } else {
            self.advance(id, now, out);
        }
    }

    /// Drops clients that are late, and accepts those that wait.
    pub(super) fn poll_once(&mut self, registry: &Registry, now: Instant, out: &mut Vec<Event>) {
        let late = |client: &Client| client.deadline().is_some_and(|deadline| deadline <= now);
        let late: Vec<LocalId> = self.clients.iter().filter(|(_, client)| late(client)).map(|(&id, _)| id).collect();
        for id in late {
            self.drop_client(id, out);
        }
        if self.pause.is_some_and(|until| now < until) {
            return;
        }
        self.pause = None;
        // Of those who come in one turn, each is listened to before the next ones may take its place.
        for _ in 0..MOST_CLIENTS {
            let Some(listener) = self.listener.as_ref().filter(|_| self.waiting) else { return };
            match listener.accept() {
                Ok((socket, _)) => self.add(socket, registry, now, out),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.waiting = false,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                // Of file descriptors, or of memory: connections on the network report that with more to say.
                Err(_) => self.pause = Some(now + PAUSE),
            }
            if self.pause.is_some() {
                return;
            }
        }
    }

    fn add(&mut self, mut socket: UnixStream, registry: &Registry, now: Instant, out: &mut Vec<Event>) {
        if self.clients.len() >= MOST_CLIENTS
            && let Some((&idle, _)) =
                self.clients.iter().min_by_key(|(_, client)| (client.deadline().is_none(), client.since))
        {
            self.drop_client(idle, out);
        }
        let id = LocalId(self.last.checked_add(1).unwrap_or(LISTENER + 1));
        if registry.register(&mut socket, id.token(), Interest::READABLE | Interest::WRITABLE).is_err() {
            return;
        }
        self.last = id.0;
        self.clients.insert(id, Client { socket, exchange: Exchange::new(), since: now, is_parting: false });
        self.advance(id, now, out);
    }

    fn drop_client(&mut self, id: LocalId, out: &mut Vec<Event>) {
        if self.clients.remove(&id).is_some_and(|client| client.exchange.next() != Next::Read) {
            out.push(LocalEvent::Left(id).into());
        }
    }

    /// More of a client's answer.
    pub(super) fn answer(&mut self, id: LocalId, more: &[u8], now: Instant, out: &mut Vec<Event>) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.exchange.answer(more);
            self.advance(id, now, out);
        }
    }

    /// More of an answer that has no end of its own. A client that does not read it is parted with.
    pub(super) fn tell(&mut self, id: LocalId, more: &[u8], now: Instant, out: &mut Vec<Event>) {
        let unread = self.clients.get(&id).map_or(0, |client| client.exchange.unsent().len());
        if unread + more.len() > PIECE {
            self.drop_client(id, out);
        } else {
            self.answer(id, more, now, out);
        }
    }

    /// A client's answer is whole.
    pub(super) fn finish(&mut self, id: LocalId, now: Instant, out: &mut Vec<Event>) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.exchange.finish();
            self.advance(id, now, out);
        }
    }

    /// Brings a client as far as its socket lets it.
    fn advance(&mut self, id: LocalId, now: Instant, out: &mut Vec<Event>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let is_over = match client.read(now) {
            Ok(Input::Request(line)) => {
                out.push(LocalEvent::Asked(id, line).into());
                false
            }
            Ok(Input::Nothing) => false,
            Ok(Input::End) => client.is_parting || client.exchange.next() == Next::Read,
            Err(_) => true,
        };
        let before = client.exchange.unsent().len();
        if is_over || client.write(now).is_err() {
            return self.drop_client(id, out);
        }
        match client.exchange.next() {
            Next::Answer if before > 0 => out.push(LocalEvent::Drained(id).into()),
            Next::Over if !client.is_parting => {
                client.is_parting = true;
                // One that has gone already needs no end.
                let _ = client.socket.shutdown(Shutdown::Write);
            }
            _ => {}
        }
    }
}

/// What reading came to.
enum Input {
    Request(Vec<u8>),
    Nothing,
    End,
}

impl Client {
    /// By when it must have made progress; `None` where that is ours to make.
    fn deadline(&self) -> Option<Instant> {
        (self.exchange.next() != Next::Answer).then(|| self.since + PATIENCE)
    }

    /// Takes what has come. What a client says after its request is thrown away: left unread, it would have the system
    /// take the answer's end from it.
    fn read(&mut self, now: Instant) -> io::Result<Input> {
        let mut block = [0; BLOCK];
        for _ in 0..READS {
            match self.socket.read(&mut block) {
                Ok(0) => return Ok(self.exchange.ended().map_or(Input::End, Input::Request)),
                Ok(count) => {
                    if self.exchange.next() == Next::Read {
                        self.since = now;
                    }
                    if let Some(line) = self.exchange.received(&block[..count]) {
                        return Ok(Input::Request(line));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Input::Nothing)
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        while self.exchange.next() == Next::Write {
            match self.socket.write(self.exchange.unsent()) {
                Ok(count) => {
                    self.exchange.sent(count);
                    self.since = now;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
