//! A site with stock's server, traps included, or with one that misbehaves.

use std::time::{Duration, Instant};

use super::server::{Mischief, Shore, Turn};
use crate::proto::{Answer, Command, FileName, Refusal, Reply, Verb};

/// What one read takes at most, in bytes.
const READ_BLOCK: usize = 46_080;

/// How long it waits for a client.
const IDLE: Duration = Duration::from_secs(4);

const BETWEEN_DRIPS: Duration = Duration::from_secs(2);

/// A listing announced to be larger than any that is taken, in bytes.
const ENDLESS: u64 = 1 << 32;

/// As stock holds a session.
pub(super) struct Stock {
    state: State,
    mischief: Option<Mischief>,
    held: Vec<u8>,
    /// To be written.
    out: Vec<u8>,
    /// When the next byte may be written, where they come one by one.
    drips_at: Option<Instant>,
    idle_at: Instant,
}

enum State {
    Command,
    /// A body of so many bytes was announced.
    Answer(Verb, u64, Body),
    /// One is on its way; with `MV` the file goes after its last byte was taken by the kernel, whoever got it.
    Writing(Option<(FileName, usize)>),
    /// Never says anything again.
    Stuck,
}

enum Body {
    Listing(Vec<u8>),
    File(FileName),
}

impl Stock {
    pub(super) fn new(mischief: Option<Mischief>, now: Instant) -> Self {
        let drips_at = (mischief == Some(Mischief::Drip)).then_some(now);
        Self { state: State::Command, mischief, held: Vec::new(), out: Vec::new(), drips_at, idle_at: now + IDLE }
    }

    pub(super) fn serve(&mut self, shore: &mut Shore<'_>) -> Turn {
        loop {
            if let State::Stuck = self.state {
                return Turn::Waiting;
            }
            if !self.write(shore) {
                return self.rest(shore);
            }
            if let State::Writing(moved) = &mut self.state {
                if let Some((name, sent)) = moved.take() {
                    shore.remove(&name, sent);
                }
                self.state = State::Command;
            }
            let bytes = shore.read(READ_BLOCK);
            if bytes.is_empty() {
                return if shore.up.ended { Turn::Over } else { self.rest(shore) };
            }
            self.idle_at = shore.fate.now + IDLE;
            self.held.extend(bytes);
            if !self.held.contains(&b'\n') {
                continue;
            }
            // All that has come is one line.
            let held = std::mem::take(&mut self.held);
            let Some(line) = held.strip_suffix(b"\n").filter(|line| !line.contains(&b'\n')) else { return Turn::Over };
            if self.obey(line, shore).is_none() {
                return Turn::Over;
            }
        }
    }

    fn rest(&self, shore: &mut Shore<'_>) -> Turn {
        if shore.fate.now >= self.idle_at {
            return Turn::Over;
        }
        shore.visit_at(self.idle_at);
        Turn::Waiting
    }

    /// Whether all is out.
    fn write(&mut self, shore: &mut Shore<'_>) -> bool {
        let now = shore.fate.now;
        let most = match self.drips_at {
            Some(at) if at > now => 0,
            Some(_) => 1,
            None => usize::MAX,
        };
        let written = shore.write(&self.out[..most.min(self.out.len())]);
        self.out.drain(..written);
        if written > 0 {
            self.idle_at = now + IDLE;
            self.drips_at = self.drips_at.map(|_| now + BETWEEN_DRIPS);
        }
        if let Some(at) = self.drips_at
            && !self.out.is_empty()
        {
            shore.visit_at(at.max(now + Duration::from_millis(1)));
        }
        self.out.is_empty()
    }

    /// `None`: it closes, without a word.
    fn obey(&mut self, line: &[u8], shore: &mut Shore<'_>) -> Option<()> {
        if let State::Answer(verb, announced, body) = std::mem::replace(&mut self.state, State::Command) {
            if Answer::parse(verb, line) == Answer::Accept {
                let (moved, bytes) = match body {
                    Body::Listing(bytes) => (None, bytes),
                    Body::File(name) => {
                        let (version, bytes) = shore.body(&name)?;
                        shore.ledger.sent_more_than(announced, &bytes);
                        ((verb == Verb::Mv).then_some((name, version)), bytes)
                    }
                };
                if bytes.is_empty() && verb == Verb::Recv {
                    return None;
                }
                self.out = bytes;
                self.state = State::Writing(moved);
            }
            return Some(());
        }
        match Command::parse(line).ok()? {
            Command::List(_) => {
                let listing = shore.listing();
                self.announce(Verb::Ls, listing.len(), Body::Listing(listing))
            }
            Command::Receive(name) => self.offer(Verb::Recv, name, Refusal::Missing, shore),
            Command::Move(name) => self.offer(Verb::Mv, name, Refusal::Unspecified, shore),
            _ => None,
        }
    }

    fn offer(&mut self, verb: Verb, name: FileName, refusal: Refusal, shore: &Shore<'_>) -> Option<()> {
        if let Some((_, bytes)) = shore.body(&name) {
            return self.announce(verb, bytes.len(), Body::File(name));
        }
        Reply::Refused(refusal).encode(verb, &mut self.out);
        Some(())
    }

    fn announce(&mut self, verb: Verb, size: usize, body: Body) -> Option<()> {
        let size = size as u64;
        let size = match self.mischief {
            Some(Mischief::HangAt(at)) if at == verb => {
                self.state = State::Stuck;
                return Some(());
            }
            Some(Mischief::CloseAt(at)) if at == verb => return None,
            Some(Mischief::Garbage) => {
                self.out.extend(b"\xff\x00 no such thing\n");
                return Some(());
            }
            Some(Mischief::SizeOver) if verb != Verb::Ls => size + 7,
            Some(Mischief::SizeUnder) if verb != Verb::Ls => size.saturating_sub(9),
            Some(Mischief::EndlessListing) if verb == Verb::Ls => ENDLESS,
            _ => size,
        };
        Reply::Size(size).encode(verb, &mut self.out);
        self.state = State::Answer(verb, size, body);
        Some(())
    }
}
