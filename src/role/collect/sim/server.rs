//! The model sites' servers: what they have in common.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::fate::{Fate, Way, What};
use super::ledger::Ledger;
use super::link::Pipe;
use super::ours::Ours;
use super::stock::Stock;
use crate::net::ConnId;
use crate::proto::{FileName, Verb};
use crate::role::server::house::House;

/// A site's files: for each name, the version that is there.
pub(super) type Files = BTreeMap<FileName, usize>;

/// How a site misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mischief {
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
}

pub(super) const MISCHIEF: [Mischief; 13] = [
    Mischief::Refuse,
    Mischief::BlackHole,
    Mischief::HangAfterAccept,
    Mischief::HangAt(Verb::Ls),
    Mischief::HangAt(Verb::Recv),
    Mischief::HangAt(Verb::Mv),
    Mischief::CloseAt(Verb::Ls),
    Mischief::CloseAt(Verb::Recv),
    Mischief::Drip,
    Mischief::Garbage,
    Mischief::SizeOver,
    Mischief::SizeUnder,
    Mischief::EndlessListing,
];

/// What a server works with.
pub(super) struct Shore<'a> {
    pub(super) id: ConnId,
    pub(super) up: &'a mut Pipe,
    pub(super) down: &'a mut Pipe,
    pub(super) files: &'a mut Files,
    pub(super) ledger: &'a mut Ledger,
    pub(super) fate: &'a mut Fate,
    /// When the session is looked after next.
    pub(super) visit: &'a mut Option<Instant>,
}

impl Shore<'_> {
    /// What one read brings.
    pub(super) fn read(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.up.arrived.len());
        if count > 0 {
            self.fate.plan_in(Duration::ZERO, What::Stir(self.id));
        }
        self.up.arrived.drain(..count).collect()
    }

    /// Has the session looked after at that time, if not before.
    pub(super) fn visit_at(&mut self, at: Instant) {
        if self.visit.is_none_or(|planned| planned <= self.fate.now || at < planned) {
            *self.visit = Some(at);
            self.fate.plan(at, What::Serve(self.id));
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        self.down.write(bytes, (self.id, Way::Down), self.fate)
    }

    /// Names, in no order.
    pub(super) fn listing(&mut self) -> Vec<u8> {
        let mut names: Vec<&[u8]> = self.files.keys().map(FileName::as_bytes).collect();
        names.extend([&b"."[..], b"..", b"conf"]);
        self.fate.chance.shuffle(&mut names);
        names.iter().flat_map(|name| [name, &b"\n"[..]].concat()).collect()
    }

    pub(super) fn body(&self, name: &FileName) -> Option<(usize, Vec<u8>)> {
        self.files.get(name).map(|&version| (version, self.ledger.versions[version].bytes.clone()))
    }

    pub(super) fn remove(&mut self, name: &FileName, sent: usize) {
        if let Some(version) = self.files.remove(name) {
            self.ledger.removed(version, sent, self.fate);
        }
    }
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Waiting,
    Over,
}

pub(super) enum Server {
    Deaf,
    Stock(Stock),
    Ours(Box<Ours>),
}

impl Server {
    /// One that is not ours.
    pub(super) fn new(mischief: Option<Mischief>, now: Instant) -> Self {
        match mischief {
            Some(Mischief::HangAfterAccept) => Self::Deaf,
            _ => Self::Stock(Stock::new(mischief, now)),
        }
    }

    /// Goes as far as the connection lets it.
    pub(super) fn serve(&mut self, shore: &mut Shore<'_>, house: Option<&mut House>) -> Turn {
        match (self, house) {
            (Self::Deaf, _) => Turn::Waiting,
            (Self::Stock(stock), _) => stock.serve(shore),
            (Self::Ours(ours), Some(house)) => ours.serve(shore, house),
            (Self::Ours(_), None) => Turn::Over,
        }
    }
}
