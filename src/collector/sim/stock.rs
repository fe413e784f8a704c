//! A site with stock's server, traps included, or with one that misbehaves.

use std::time::{Duration, Instant};

use super::server::{Misbehavior, ServerIo, Turn};
use super::world::Site;
use crate::proto::{Answer, Command, FileName, PasswordDigest, Refusal, Reply, Verb};
use crate::testing::stock_archive;

/// What one read takes at most, in bytes.
const READ_BLOCK: usize = 46_080;

/// What one write takes at most, in bytes: under TLS a record.
const WRITE_BLOCK: usize = 1024;

/// How long it waits for a client.
const IDLE: Duration = Duration::from_secs(4);

const BETWEEN_DRIPS: Duration = Duration::from_secs(2);

/// Names listed that nobody gets.
const WITHHELD: usize = 100;

/// A listing announced to be larger than any that is taken, in bytes.
const ENDLESS: u64 = 1 << 32;

/// As stock holds a session.
pub(super) struct Stock {
    state: State,
    misbehavior: Option<Misbehavior>,
    /// Whether it knows `ZRECV`.
    packs: bool,
    held: Vec<u8>,
    /// To be written.
    out: Vec<u8>,
    /// When the next byte may be written, where they come one by one.
    drips_at: Option<Instant>,
    idle_at: Instant,
    /// The last listing.
    listed: Vec<u8>,
}

enum State {
    /// The client has to log in.
    Password(PasswordDigest),
    Command,
    /// A body of so many bytes was announced.
    Answer(Verb, u64, Body),
    /// One is on its way; with `MV` the file goes after its last byte was taken by the kernel, whether the client gets
    /// it or not.
    Writing(Option<(FileName, usize)>),
    /// Never sends anything again.
    Stuck,
}

enum Body {
    Listing(Vec<u8>),
    /// Made when it was announced.
    Archive(FileName, Vec<u8>),
    File(FileName),
}

impl Stock {
    pub(super) fn new(site: &Site, now: Instant) -> Self {
        let (misbehavior, password) = (site.misbehavior, site.password.secret());
        let drips_at = (misbehavior == Some(Misbehavior::Drip)).then_some(now);
        let state = password.map_or(State::Command, |password| State::Password(PasswordDigest::of(&password)));
        Self {
            state,
            misbehavior,
            packs: site.packs,
            held: Vec::new(),
            out: Vec::new(),
            drips_at,
            idle_at: now + IDLE,
            listed: Vec::new(),
        }
    }

    pub(super) fn serve(&mut self, server_io: &mut ServerIo<'_>) -> Turn {
        loop {
            if let State::Stuck = self.state {
                return Turn::Waiting;
            }
            if !self.write(server_io) {
                return self.rest(server_io);
            }
            if let State::Writing(moved) = &mut self.state {
                if let Some((name, sent)) = moved.take()
                    && self.misbehavior != Some(Misbehavior::KeepMoved)
                {
                    server_io.remove(&name, sent);
                }
                self.state = State::Command;
            }
            let Some(bytes) = server_io.read(READ_BLOCK) else { return Turn::Over };
            if bytes.is_empty() {
                return self.rest(server_io);
            }
            self.idle_at = server_io.scheduler.now + IDLE;
            self.held.extend(bytes);
            if !self.held.contains(&b'\n') {
                continue;
            }
            // All that has come is one line.
            let held = std::mem::take(&mut self.held);
            let Some(line) = held.strip_suffix(b"\n").filter(|line| !line.contains(&b'\n')) else { return Turn::Over };
            if self.execute(line, server_io).is_none() {
                return Turn::Over;
            }
        }
    }

    fn rest(&self, server_io: &mut ServerIo<'_>) -> Turn {
        if server_io.scheduler.now >= self.idle_at {
            return Turn::Over;
        }
        server_io.visit_at(self.idle_at);
        Turn::Waiting
    }

    /// Whether all is out.
    fn write(&mut self, server_io: &mut ServerIo<'_>) -> bool {
        let now = server_io.scheduler.now;
        let most = match self.drips_at {
            Some(at) if at > now => 0,
            Some(_) => 1,
            None => usize::MAX,
        };
        let mut written = 0;
        loop {
            let left = most.min(self.out.len());
            let taken = if left > 0 { server_io.write(&self.out[..left.min(WRITE_BLOCK)]) } else { 0 };
            self.out.drain(..taken);
            written += taken;
            if taken == 0 || self.drips_at.is_some() {
                break;
            }
        }
        if written > 0 {
            self.idle_at = now + IDLE;
            self.drips_at = self.drips_at.map(|_| now + BETWEEN_DRIPS);
        }
        if let Some(at) = self.drips_at
            && !self.out.is_empty()
        {
            server_io.visit_at(at.max(now + Duration::from_millis(1)));
        }
        self.out.is_empty() && server_io.flush()
    }

    /// `None`: it closes, without a reply.
    fn execute(&mut self, line: &[u8], server_io: &mut ServerIo<'_>) -> Option<()> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Password(password) => {
                let is_right = matches!(Command::parse(line), Ok(Command::Pass(given)) if given == password);
                return is_right.then(|| Reply::Ok.encode(Verb::Pass, &mut self.out));
            }
            State::Answer(verb, announced, body) => {
                if Answer::parse(verb, line) == Answer::Accept {
                    self.send(verb, announced, body, server_io)?;
                }
                return Some(());
            }
            State::Command | State::Writing(_) | State::Stuck => {}
        }
        match Command::parse(line).ok()? {
            Command::List(_) => {
                let may_lag = !self.listed.is_empty() && self.misbehavior != Some(Misbehavior::KeepMoved);
                let lags = may_lag && server_io.scheduler.strikes(server_io.scheduler.fault_rates.lag);
                if lags {
                    server_io.lag(&self.listed);
                } else {
                    self.listed = server_io.listing();
                    if self.misbehavior == Some(Misbehavior::Withhold) {
                        self.listed.extend((0..WITHHELD).flat_map(|number| format!("x{number}.1.data\n").into_bytes()));
                    }
                }
                let listing = self.listed.clone();
                self.announce(Verb::Ls, listing.len(), Body::Listing(listing))
            }
            Command::Receive(name) => self.offer(Verb::Recv, name, Refusal::Missing, server_io),
            Command::ReceiveZip(name) if self.packs => self.pack(name, server_io),
            Command::Move(name) => self.offer(Verb::Mv, name, Refusal::Unspecified, server_io),
            _ => None,
        }
    }

    /// Begins to send what was announced.
    fn send(&mut self, verb: Verb, announced: u64, body: Body, server_io: &mut ServerIo<'_>) -> Option<()> {
        let (moved, bytes) = match body {
            Body::Listing(bytes) => (None, bytes),
            Body::Archive(name, bytes) => {
                server_io.oracle.received(server_io.site, &name);
                (None, bytes)
            }
            Body::File(name) => {
                let (version, bytes) = server_io.body(&name)?;
                server_io.oracle.sent_more_than(announced, &bytes);
                if verb == Verb::Mv && announced != bytes.len() as u64 {
                    server_io.oracle.is_torn(version);
                }
                ((verb == Verb::Mv).then_some((name, version)), bytes)
            }
        };
        if bytes.is_empty() && verb == Verb::Recv {
            return None;
        }
        self.out = bytes;
        self.state = State::Writing(moved);
        Some(())
    }

    fn offer(&mut self, verb: Verb, name: FileName, refusal: Refusal, server_io: &mut ServerIo<'_>) -> Option<()> {
        if self.misbehavior == Some(Misbehavior::Withhold) {
            Reply::Refused(Refusal::Unspecified).encode(verb, &mut self.out);
            return Some(());
        }
        if let Some((_, bytes)) = server_io.body(&name) {
            if verb == Verb::Recv {
                // An empty file has been received with its size.
                server_io.oracle.received(server_io.site, &name);
            }
            return self.announce(verb, bytes.len(), Body::File(name));
        }
        Reply::Refused(refusal).encode(verb, &mut self.out);
        Some(())
    }

    /// What is packed is what is there by then.
    fn pack(&mut self, name: FileName, server_io: &mut ServerIo<'_>) -> Option<()> {
        if self.misbehavior == Some(Misbehavior::Withhold) {
            Reply::Refused(Refusal::Unspecified).encode(Verb::Zrecv, &mut self.out);
            return Some(());
        }
        let Some((_, bytes)) = server_io.body(&name) else {
            Reply::Refused(Refusal::Missing).encode(Verb::Zrecv, &mut self.out);
            return Some(());
        };
        let mut archive = stock_archive(name.as_bytes(), &bytes).expect("the model's files are small");
        if server_io.scheduler.strikes(server_io.scheduler.fault_rates.damage) {
            let at = server_io.scheduler.chance.usize(..archive.len());
            archive[at] ^= 1 << server_io.scheduler.chance.u8(..8);
        }
        self.announce(Verb::Zrecv, archive.len(), Body::Archive(name, archive))
    }

    fn announce(&mut self, verb: Verb, size: usize, body: Body) -> Option<()> {
        let size = size as u64;
        let size = match self.misbehavior {
            Some(Misbehavior::HangAt(at)) if at == verb => {
                self.state = State::Stuck;
                return Some(());
            }
            Some(Misbehavior::CloseAt(at)) if at == verb => return None,
            Some(Misbehavior::Garbage) => {
                self.out.extend(b"\xff\x00 no such thing\n");
                return Some(());
            }
            Some(Misbehavior::SizeOver) if verb != Verb::Ls => size + 7,
            Some(Misbehavior::SizeUnder) if verb != Verb::Ls => size.saturating_sub(9),
            Some(Misbehavior::EndlessListing) if verb == Verb::Ls => ENDLESS,
            _ => size,
        };
        Reply::Size(size).encode(verb, &mut self.out);
        self.state = State::Answer(verb, size, body);
        Some(())
    }
}
