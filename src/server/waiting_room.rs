//! Who has come, and has no place yet.
//!
//! In Tentacle the client sends first, in the clear as under TLS. So a connection needs a place once its client has
//! sent something, and not before: until then it costs a file descriptor and a few hundred bytes, and what is sent
//! stays in the kernel.
//!
//! Places are given by turns of [networks](network), so that one which sends many clients keeps no other out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use super::guesses::network;
use crate::net::ConnId;

/// Connections that wait, by network.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom(BTreeMap<IpAddr, Queue>);

/// The connections of one network, in the order in which they came or sent.
#[derive(Debug, Default)]
struct Queue {
    silent: VecDeque<Waiting>,
    /// Connections whose clients have sent something.
    ready: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: ConnId,
    client: IpAddr,
    since: Instant,
}

impl WaitingRoom {
    /// How many wait, whether their clients have sent something or not.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(Queue::len).sum()
    }

    /// How many of one client's connections wait.
    pub(super) fn count(&self, client: IpAddr) -> usize {
        let queue = self.0.get(&network(client));
        queue.map_or(0, |queue| queue.silent.iter().chain(&queue.ready).filter(|one| one.client == client).count())
    }

    /// The connection waits from now on, for its client to send something first.
    pub(super) fn enter(&mut self, id: ConnId, client: IpAddr, now: Instant) {
        self.0.entry(network(client)).or_default().silent.push_back(Waiting { id, client, since: now });
    }

    /// The connection's client has sent something: it waits for a place from now on, behind all others of its network.
    pub(super) fn has_sent(&mut self, id: ConnId, client: IpAddr, now: Instant) {
        if let Some(queue) = self.0.get_mut(&network(client))
            && let Some(waiting) = take(&mut queue.silent, id)
        {
            queue.ready.push_back(Waiting { since: now, ..waiting });
        }
    }

    /// The connection waits no more. Returns whether it did.
    pub(super) fn leave(&mut self, id: ConnId, client: IpAddr) -> bool {
        let Some(queue) = self.0.get_mut(&network(client)) else { return false };
        let waited = take(&mut queue.silent, id).or_else(|| take(&mut queue.ready, id)).is_some();
        if queue.len() == 0 {
            self.0.remove(&network(client));
        }
        waited
    }

    /// The connection that is the first to go: of the network that has the most here, the one that has been silent for the
    /// longest, else the one that came last.
    pub(super) fn dispensable(&self) -> Option<(ConnId, IpAddr)> {
        let most = self.0.values().max_by_key(|queue| (queue.len(), Reverse(queue.first_since())))?;
        most.silent.front().or(most.ready.back()).map(|waiting| (waiting.id, waiting.client))
    }

    /// Whose turn it is: of the networks with the least `rank`, the connection that waits for a place the longest.
    pub(super) fn next<R: Ord>(&self, rank: impl Fn(IpAddr) -> R) -> Option<(ConnId, IpAddr)> {
        let (_, first) = self.ready().min_by_key(|&(network, first)| (rank(network), first.since, first.id))?;
        Some((first.id, first.client))
    }

    /// The networks of which connections wait for a place, and since when.
    pub(super) fn networks(&self) -> impl Iterator<Item = (IpAddr, Instant)> {
        self.ready().map(|(network, first)| (network, first.since))
    }

    fn ready(&self) -> impl Iterator<Item = (IpAddr, Waiting)> {
        self.0.iter().filter_map(|(&network, queue)| Some((network, *queue.ready.front()?)))
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.silent.len() + self.ready.len()
    }

    fn first_since(&self) -> Option<Instant> {
        self.silent.front().or(self.ready.front()).map(|waiting| waiting.since)
    }
}

fn take(queue: &mut VecDeque<Waiting>, id: ConnId) -> Option<Waiting> {
    let position = queue.iter().position(|waiting| waiting.id == id)?;
    queue.remove(position)
}
