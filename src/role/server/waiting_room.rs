//! Who has come, and has no place yet.
//!
//! Places are given by turns of [networks](network), so that one which sends many clients keeps no other out. A
//! connection that waits costs a file descriptor and a few hundred bytes; what its client sends stays in the kernel.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use super::guesses::network;
use crate::net::ConnId;

/// Connections that wait, by network, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom(BTreeMap<IpAddr, VecDeque<Waiting>>);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: ConnId,
    client: IpAddr,
    since: Instant,
}

impl WaitingRoom {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(VecDeque::len).sum()
    }

    /// How many of one client's connections wait.
    pub(super) fn count(&self, client: IpAddr) -> usize {
        self.0.get(&network(client)).map_or(0, |queue| queue.iter().filter(|waiting| waiting.client == client).count())
    }

    /// The client waits from now on, behind all others of its network.
    pub(super) fn enter(&mut self, id: ConnId, client: IpAddr, now: Instant) {
        self.0.entry(network(client)).or_default().push_back(Waiting { id, client, since: now });
    }

    /// The connection waits no more. Says whether it did.
    pub(super) fn leave(&mut self, id: ConnId, client: IpAddr) -> bool {
        let Some(queue) = self.0.get_mut(&network(client)) else { return false };
        let Some(position) = queue.iter().position(|waiting| waiting.id == id) else { return false };
        queue.remove(position);
        if queue.is_empty() {
            self.0.remove(&network(client));
        }
        true
    }

    /// The connection that came last of the network that has the most here.
    pub(super) fn last_of_most(&self) -> Option<(ConnId, IpAddr)> {
        let most = self.0.values().max_by_key(|queue| queue.len())?;
        most.back().map(|waiting| (waiting.id, waiting.client))
    }

    /// Whose turn it is: of the networks with the fewest connections `inside`, the one that waits the longest.
    pub(super) fn next(&self, inside: impl Fn(IpAddr) -> usize) -> Option<(ConnId, IpAddr)> {
        let first = self.heads().min_by_key(|&(network, head)| (inside(network), head.since, head.id))?;
        Some((first.1.id, first.1.client))
    }

    /// The networks of which connections wait.
    pub(super) fn networks(&self) -> impl Iterator<Item = IpAddr> {
        self.0.keys().copied()
    }

    /// The networks of which a connection has waited since `before`, or longer.
    pub(super) fn waiting_since(&self, before: Instant) -> impl Iterator<Item = IpAddr> {
        self.heads().filter(move |(_, head)| head.since <= before).map(|(network, _)| network)
    }

    fn heads(&self) -> impl Iterator<Item = (IpAddr, Waiting)> {
        self.0.iter().filter_map(|(&network, queue)| Some((network, *queue.front()?)))
    }
}
