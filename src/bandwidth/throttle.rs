//! One limit for all sites together, shared in turns, and one beneath it for each of them.
//!
//! ```text
//!                                    credit of the site          turn, and credit for all
//! a connection asks ──► its site waits ──► Saving ──► Turn ──► granted a piece, and woken ──► what is left goes back
//!        └──► at once, where nobody waits and there is credit
//! ```
//! Sites take turns, and so do the connections of one site, each with a piece at a time: a site with more connections, more
//! files or larger ones has no more than another that could take as much, and what one does not take the others have.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use super::rate::Rate;
use super::token_bucket::TokenBucket;

/// What a connection may move now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// There is no limit.
    Unlimited,
    /// Move so many bytes, at least one.
    Bytes(u64),
    /// Nothing: it is among those that [`Throttle::grant`] returns when it may.
    Wait,
}

/// One direction of all connections, named `C`, of all sites, named by their keys.
#[derive(Debug)]
pub(crate) struct Throttle<C> {
    /// The limit for all.
    overall: Option<TokenBucket>,
    sites: HashMap<usize, Site<C>>,
    /// Sites whose next connection goes on as soon as there is credit for all.
    turns: VecDeque<usize>,
    /// Sites that have to wait for credit of their own, and until when.
    saving: BTreeSet<(Instant, usize)>,
    /// What connections that were woken may move. It is taken out of the buckets.
    granted: HashMap<C, u64>,
}

#[derive(Debug)]
struct Site<C> {
    limit: Option<TokenBucket>,
    waiting: VecDeque<C>,
    place: Place,
}

/// Where a site stands: nowhere if none of its connections waits, and only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Saving(Instant),
    Turn,
}

impl<C> Default for Site<C> {
    fn default() -> Self {
        Self { limit: None, waiting: VecDeque::new(), place: Place::Nowhere }
    }
}

impl<C> Default for Throttle<C> {
    fn default() -> Self {
        let (sites, granted) = (HashMap::new(), HashMap::new());
        Self { overall: None, sites, turns: VecDeque::new(), saving: BTreeSet::new(), granted }
    }
}

impl<C: Copy + Eq + Hash> Throttle<C> {
    /// The limit for all sites together, from `now` on.
    pub(crate) fn limit_all(&mut self, limit: Option<Rate>, now: Instant) {
        change(&mut self.overall, limit, now);
    }

    /// The limit of a site, from `now` on.
    pub(crate) fn limit_site(&mut self, key: usize, limit: Option<Rate>, now: Instant) {
        let site = self.sites.entry(key).or_default();
        change(&mut site.limit, limit, now);
        self.place(key, now);
    }

    /// Whether there is a limit for what a site moves.
    pub(crate) fn is_limited(&self, key: usize) -> bool {
        self.overall.is_some() || self.sites.get(&key).is_some_and(|site| site.limit.is_some())
    }

    /// What a connection of a site may do. One that is to wait, or has moved something, tells its
    /// [end of turn](Self::turn_ended).
    pub(crate) fn ask(&mut self, key: usize, connection: C, now: Instant) -> Permit {
        if !self.is_limited(key) {
            return Permit::Unlimited;
        }
        if let Some(&granted) = self.granted.get(&connection) {
            return Permit::Bytes(granted);
        }
        let site = self.sites.entry(key).or_default();
        let is_queue = !site.waiting.is_empty() || (self.overall.is_some() && !self.turns.is_empty());
        let buckets = self.overall.iter_mut().chain(&mut site.limit);
        match buckets.map(|bucket| bucket.credit(now)).min() {
            Some(credit @ 1..) if !is_queue => Permit::Bytes(credit),
            _ => {
                if !site.waiting.contains(&connection) {
                    site.waiting.push_back(connection);
                }
                if site.place == Place::Nowhere {
                    self.place(key, now);
                }
                Permit::Wait
            }
        }
    }

    /// A connection has moved so many bytes. They may be some more than it was permitted to: that is made up for.
    pub(crate) fn moved(&mut self, key: usize, connection: C, bytes: u64) {
        let granted = self.granted.remove(&connection).unwrap_or(0);
        if granted > bytes {
            self.granted.insert(connection, granted - bytes);
        }
        let more = bytes.saturating_sub(granted);
        self.buckets(key).for_each(|bucket| bucket.take(more));
    }

    /// A connection has moved what it could for now: what is left of its piece goes to the others.
    pub(crate) fn turn_ended(&mut self, key: usize, connection: C) {
        if let Some(left) = self.granted.remove(&connection) {
            self.buckets(key).for_each(|bucket| bucket.give_back(left));
        }
    }

    /// A connection is no more.
    pub(crate) fn forget(&mut self, key: usize, connection: C, now: Instant) {
        self.turn_ended(key, connection);
        if let Some(site) = self.sites.get_mut(&key) {
            site.waiting.retain(|other| *other != connection);
            self.place(key, now);
        }
    }

    /// When [`grant`](Self::grant) has something to do next, unless another connection asks before.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        let saved_up = self.saving.first().map(|&(at, _)| at);
        let turn = (!self.turns.is_empty()).then(|| self.overall.as_mut().map_or(now, |all| all.ready_at(now)));
        saved_up.into_iter().chain(turn).min()
    }

    /// Connections that waited and may go on, each with a piece. They are to be asked to.
    pub(crate) fn grant(&mut self, now: Instant) -> Vec<C> {
        while let Some(&(at, key)) = self.saving.first()
            && at <= now
        {
            self.place(key, now);
        }
        let mut woken = Vec::new();
        while !self.turns.is_empty()
            && self.overall.as_mut().is_none_or(|all| all.ready_at(now) <= now)
            && let Some(key) = self.turns.pop_front()
            && let Some(site) = self.sites.get_mut(&key)
        {
            site.place = Place::Nowhere;
            let connection = site.waiting.pop_front();
            let piece = self.buckets(key).map(|bucket| bucket.piece()).min();
            if let Some((connection, piece)) = connection.zip(piece) {
                self.buckets(key).for_each(|bucket| bucket.take(piece));
                self.granted.insert(connection, piece);
            }
            woken.extend(connection);
            self.place(key, now);
        }
        woken
    }

    fn buckets(&mut self, key: usize) -> impl Iterator<Item = &mut TokenBucket> {
        let limit = self.sites.get_mut(&key).and_then(|site| site.limit.as_mut());
        self.overall.iter_mut().chain(limit)
    }

    /// Puts a site where it belongs. One that has its turn keeps its place among the others.
    fn place(&mut self, key: usize, now: Instant) {
        let Some(site) = self.sites.get_mut(&key) else { return };
        let ready = site.limit.as_mut().map(|limit| limit.ready_at(now)).filter(|at| *at > now);
        let place = match ready {
            _ if site.waiting.is_empty() => Place::Nowhere,
            Some(at) => Place::Saving(at),
            None => Place::Turn,
        };
        let before = std::mem::replace(&mut site.place, place);
        if before == place {
            return;
        }
        match before {
            Place::Nowhere => {}
            Place::Saving(at) => drop(self.saving.remove(&(at, key))),
            Place::Turn => self.turns.retain(|other| *other != key),
        }
        match place {
            Place::Nowhere => {}
            Place::Saving(at) => drop(self.saving.insert((at, key))),
            Place::Turn => self.turns.push_back(key),
        }
    }
}

/// Another limit, or none.
fn change(bucket: &mut Option<TokenBucket>, limit: Option<Rate>, now: Instant) {
    match (bucket.as_mut(), limit) {
        (Some(bucket), Some(rate)) => bucket.set_rate(rate, now),
        (None, Some(rate)) => *bucket = Some(TokenBucket::new(rate, now)),
        (_, None) => *bucket = None,
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
