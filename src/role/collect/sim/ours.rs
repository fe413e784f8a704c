//! A site with our server: its machine as it is, and storage as it has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::{Shore, Turn};
use crate::proto::server::{self, Policy};
use crate::proto::{FileName, Refusal, Verb};

/// How long it waits for a client.
const IDLE: Duration = Duration::from_secs(15);

/// A session.
pub(super) struct Ours {
    machine: server::Server,
    body: Vec<u8>,
    /// What is offered to be moved.
    offered: Option<(FileName, usize)>,
    /// What may go once the client has it.
    moved: Vec<(FileName, usize)>,
    pipelined: bool,
    idle_at: Instant,
}

impl Ours {
    pub(super) fn new(now: Instant) -> Self {
        let policy = Policy { insecure: true, ..Policy::default() };
        Self {
            machine: server::Server::new(Arc::new(policy)),
            body: Vec::new(),
            offered: None,
            moved: Vec::new(),
            pipelined: false,
            idle_at: now + IDLE,
        }
    }

    pub(super) fn serve(&mut self, shore: &mut Shore<'_>) -> Turn {
        loop {
            let written = shore.write(self.machine.transmit());
            self.machine.transmitted(written);
            if !self.machine.transmit().is_empty() {
                return self.rest(shore);
            }
            let turn = match self.machine.want() {
                server::Want::Line => self.read_line(shore),
                server::Want::Supply(_) => self.supply(shore),
                server::Want::Flush => {
                    self.machine.body_left(self.pipelined).expect("it is wanted");
                    None
                }
                server::Want::Closed if self.moved.is_empty() => Some(Turn::Over),
                server::Want::Closed => Some(self.await_end(shore)),
                want => unreachable!("a collector sends nothing, and events are answered at once: {want:?}"),
            };
            while let Some(event) = self.machine.poll_event() {
                self.handle(event, shore);
            }
            match turn {
                None => self.idle_at = shore.fate.now + IDLE,
                Some(Turn::Waiting) => return self.rest(shore),
                Some(Turn::Over) => return Turn::Over,
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

    fn read_line(&mut self, shore: &mut Shore<'_>) -> Option<Turn> {
        let bytes: Vec<u8> = shore.up.arrived.iter().copied().collect();
        if bytes.is_empty() {
            return Some(if shore.up.ended { self.end(shore) } else { Turn::Waiting });
        }
        match self.machine.handle_input(&bytes) {
            Ok(taken) => {
                shore.read(taken);
                None
            }
            Err(_) => Some(Turn::Over),
        }
    }

    fn supply(&mut self, shore: &mut Shore<'_>) -> Option<Turn> {
        self.pipelined = !shore.up.arrived.is_empty();
        let sent = shore.write(&self.body);
        if sent == 0 {
            return Some(Turn::Waiting);
        }
        self.body.drain(..sent);
        self.machine.body_moved(sent as u64).expect("it was wanted");
        None
    }

    /// The client has quit: how it closes shows whether it has what it was moved.
    fn await_end(&mut self, shore: &mut Shore<'_>) -> Turn {
        shore.read(usize::MAX);
        if shore.up.ended { self.end(shore) } else { Turn::Waiting }
    }

    fn end(&mut self, shore: &mut Shore<'_>) -> Turn {
        if !self.moved.is_empty() && !shore.down.is_acknowledged() {
            shore.visit_at(shore.fate.now + Duration::from_millis(50));
            return Turn::Waiting;
        }
        // Whatever was still due, the session is over.
        let _ = self.machine.handle_eof(true);
        Turn::Over
    }

    fn handle(&mut self, event: server::Event, shore: &mut Shore<'_>) {
        let answered = match event {
            server::Event::Asked { verb, name } => match shore.body(&name) {
                Some((version, body)) => {
                    let size = body.len() as u64;
                    self.body = body;
                    self.offered = (verb == Verb::Mv).then_some((name, version));
                    self.machine.announce(size)
                }
                None => self.machine.refuse(Refusal::Missing),
            },
            server::Event::ListAsked { .. } => {
                self.body = shore.listing();
                self.offered = None;
                self.machine.announce(self.body.len() as u64)
            }
            server::Event::Accepted { .. } => {
                self.moved.extend(self.offered.take());
                Ok(())
            }
            server::Event::Taken => {
                for (name, version) in std::mem::take(&mut self.moved) {
                    if shore.files.get(&name) == Some(&version) {
                        shore.remove(&name, version);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        };
        answered.expect("the session waits for it");
    }
}
