//! Who may come in, how many at once, and whose turn it is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::guesses::network;
use super::waiting_room::WaitingRoom;
use crate::config::server::{HostsAccess, Limits};
use crate::net::ConnId;

/// Connections that may wait for a place, where the process may have as many files open.
const MOST_WAITING: usize = 1024;

/// How long a client waits before a connection of a network with more than its fair share has to go for it. Most sessions
/// of agents take less, and stock gives a server about four times as long.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why a client is turned away before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// hosts.allow and hosts.deny.
    Denied,
    /// It has as many connections as one client may.
    TooMany(usize),
    /// As many wait as may, and none of another network has more that do.
    Full,
}

/// Counts connections by client, and lets clients in by turns of their networks.
#[derive(Debug)]
pub(super) struct Admission {
    access: Option<HostsAccess>,
    per_client: Option<usize>,
    total: usize,
    most_waiting: usize,
    inside: usize,
    clients: Counts,
    networks: Counts,
    waiting: WaitingRoom,
}

impl Admission {
    pub(super) fn new(access: Option<HostsAccess>, limits: &Limits) -> Self {
        Self {
            access,
            per_client: limits.max_connections_per_client,
            total: limits.max_connections,
            most_waiting: most_waiting(),
            inside: 0,
            clients: Counts::default(),
            networks: Counts::default(),
            waiting: WaitingRoom::default(),
        }
    }

    /// Other rules for whoever comes from now on.
    pub(super) fn change(&mut self, access: Option<HostsAccess>, limits: &Limits) {
        self.access = access;
        self.per_client = limits.max_connections_per_client;
        self.total = limits.max_connections;
    }

    /// How many more may be inside.
    pub(super) fn room(&self) -> usize {
        self.total.saturating_sub(self.inside)
    }

    /// Whether somebody waits for a place.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A connection has come, and waits for its [turn](Self::next). Says which other one waits no more, so that there is
    /// room for it: the last of the network that has the most of them.
    pub(super) fn arrive(&mut self, id: ConnId, client: IpAddr, now: Instant) -> Result<Option<ConnId>, Rejected> {
        if !self.access.as_ref().is_none_or(|access| access.admits(client)) {
            return Err(Rejected::Denied);
        }
        match self.per_client {
            Some(most) if self.clients.of(client) + self.waiting.count(client) >= most => {
                return Err(Rejected::TooMany(most));
            }
            _ => self.waiting.enter(id, client, now),
        }
        if self.waiting.len() <= self.most_waiting {
            return Ok(None);
        }
        let Some((last, client)) = self.waiting.last_of_most() else { return Ok(None) };
        self.waiting.leave(last, client);
        if last == id { Err(Rejected::Full) } else { Ok(Some(last)) }
    }

    /// Lets the connection in whose turn it is, where one waits; it is then to be let [out](Self::leave) again.
    pub(super) fn next(&mut self) -> Option<ConnId> {
        let (id, client) = self.waiting.next(|network| self.networks.of(network))?;
        self.waiting.leave(id, client);
        self.inside += 1;
        self.clients.add(client);
        self.networks.add(network(client));
        Some(id)
    }

    /// A connection is gone: one that waited, or one that was inside.
    pub(super) fn leave(&mut self, id: ConnId, client: IpAddr) {
        if !self.waiting.leave(id, client) {
            self.inside = self.inside.saturating_sub(1);
            self.clients.take(client);
            self.networks.take(network(client));
        }
    }

    /// Whether one of this network's connections may make room for who waits: not where it has fewer than they do.
    pub(super) fn may_replace(&self, network: IpAddr) -> bool {
        self.fewest_of(self.waiting.networks()).is_some_and(|fewest| self.networks.of(network) >= fewest)
    }

    /// The network that has the most connections inside, where another one has waited for long and would still have fewer
    /// after it had one of these places.
    pub(super) fn overdrawn(&self, now: Instant) -> Option<IpAddr> {
        let long_ago = now.checked_sub(LONGEST_WAIT)?;
        let fewest = self.fewest_of(self.waiting.waiting_since(long_ago))?;
        let (network, most) = self.networks.most()?;
        (most > fewest + 1).then_some(network)
    }

    /// How many connections that one of these networks has inside which has the fewest.
    fn fewest_of(&self, networks: impl Iterator<Item = IpAddr>) -> Option<usize> {
        networks.map(|network| self.networks.of(network)).min()
    }
}

/// A quarter of the files that the process may have open: the rest is for what is done inside.
fn most_waiting() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    MOST_WAITING.min(usize::try_from(files / 4).unwrap_or(usize::MAX))
}

/// How many connections each has that has some.
#[derive(Debug, Default)]
struct Counts(HashMap<IpAddr, usize>);

impl Counts {
    fn of(&self, address: IpAddr) -> usize {
        self.0.get(&address).copied().unwrap_or_default()
    }

    fn most(&self) -> Option<(IpAddr, usize)> {
        self.0.iter().map(|(&address, &count)| (address, count)).max_by_key(|&(address, count)| (count, address))
    }

    fn add(&mut self, address: IpAddr) {
        *self.0.entry(address).or_default() += 1;
    }

    fn take(&mut self, address: IpAddr) {
        match self.0.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.0.remove(&address)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn admission(max_connections: usize, max_connections_per_client: Option<usize>) -> Admission {
        let limits = Limits {
            max_connections,
            max_connections_per_client,
            idle_timeout: Duration::from_secs(4),
            body_min_rate: 0,
        };
        Admission::new(None, &limits)
    }

    fn id(number: usize) -> ConnId {
        ConnId::new(number, 1)
    }

    /// Lets in as many as there is room for.
    fn admit(admission: &mut Admission) -> Vec<ConnId> {
        (0..admission.room()).map_while(|_| admission.next()).collect()
    }

    #[test]
    fn each_client_and_all_of_them_have_a_limit() {
        let (mut admission, now) = (admission(3, Some(2)), Instant::now());
        assert_eq!([1, 2].map(|number| admission.arrive(id(number), ONE, now)), [Ok(None); 2]);
        // Those that wait count as well.
        assert_eq!(admission.arrive(id(3), ONE, now), Err(Rejected::TooMany(2)));
        assert_eq!(admit(&mut admission), [id(1), id(2)]);
        assert_eq!(admission.arrive(id(3), ONE, now), Err(Rejected::TooMany(2)));
        assert_eq!([4, 5].map(|number| admission.arrive(id(number), OTHER, now)), [Ok(None); 2]);
        assert_eq!(admit(&mut admission), [id(4)]);
        assert!(admission.room() == 0 && admission.has_waiting());
        admission.leave(id(5), OTHER);
        assert!(!admission.has_waiting());
        admission.leave(id(1), ONE);
        assert_eq!((admission.room(), admission.arrive(id(6), ONE, now)), (1, Ok(None)));
    }

    #[test]
    fn a_network_with_fewer_inside_comes_first_and_among_equals_who_waits_longest() {
        let (mut admission, now) = (admission(2, None), Instant::now());
        for number in 0..6 {
            admission.arrive(id(number), ONE, now).unwrap();
        }
        assert_eq!(admit(&mut admission), [id(0), id(1)]);
        admission.arrive(id(10), OTHER, now + Duration::from_secs(1)).unwrap();
        admission.arrive(id(11), OTHER, now + Duration::from_secs(1)).unwrap();
        admission.leave(id(0), ONE);
        assert_eq!(admit(&mut admission), [id(10)]);
        admission.leave(id(1), ONE);
        assert_eq!(admit(&mut admission), [id(2)]);
        admission.leave(id(10), OTHER);
        assert_eq!(admit(&mut admission), [id(11)]);
    }

    #[test]
    fn a_network_with_more_than_its_share_is_overdrawn_once_another_has_waited_for_long() {
        let (mut admission, now) = (admission(4, None), Instant::now());
        for number in 0..9 {
            admission.arrive(id(number), ONE, now).unwrap();
        }
        admit(&mut admission);
        let later = now + LONGEST_WAIT;
        assert_eq!(admission.overdrawn(later), None, "nobody else waits");
        for number in 10..19 {
            admission.arrive(id(number), OTHER, now).unwrap();
        }
        assert_eq!(admission.overdrawn(now), None);
        for number in 0..2 {
            assert_eq!(admission.overdrawn(later), Some(ONE));
            admission.leave(id(number), ONE);
            admit(&mut admission);
        }
        assert_eq!(admission.overdrawn(later), None, "two have two each");
        assert!(admission.may_replace(ONE));
        (4..9).chain([2]).for_each(|number| admission.leave(id(number), ONE));
        admit(&mut admission);
        assert!(admission.may_replace(OTHER) && !admission.may_replace(ONE), "one has one, and only the other waits");
    }

    #[test]
    fn who_comes_while_all_may_wait_takes_the_room_of_the_last_of_many() {
        let (mut admission, now) = (admission(0, None), Instant::now());
        admission.most_waiting = 3;
        for number in 0..3 {
            assert_eq!(admission.arrive(id(number), ONE, now), Ok(None));
        }
        assert_eq!(admission.arrive(id(3), ONE, now), Err(Rejected::Full));
        assert_eq!(admission.arrive(id(10), OTHER, now), Ok(Some(id(2))));
        assert_eq!(admission.arrive(id(4), ONE, now), Err(Rejected::Full));
        assert_eq!(admission.waiting.len(), 3);
    }
}
