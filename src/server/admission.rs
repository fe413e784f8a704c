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

/// How long a client waits for a place before a connection of a network with more than its fair share has to go for it:
/// longer than those are let that move nothing. Stock gives a server about 4 s.
const LONGEST_WAIT: Duration = Duration::from_millis(2500);

/// Networks of which it is remembered when they were served; beyond that, the one that was served first is forgotten.
const REMEMBERED: usize = 1024;

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
    served: HashMap<IpAddr, Served>,
    /// How many connections have been let in.
    turns: u64,
}

/// What a network has had lately, in the order in which networks are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Served {
    /// Whether its last connection that ended was made to, for moving too little.
    was_slow: bool,
    /// When it had a connection let in, in turns.
    turn: u64,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// For its own reasons.
    Own,
    /// It moved too little while others waited.
    Slow,
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
            served: HashMap::new(),
            turns: 0,
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

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        self.inside
    }

    /// How many wait for a place, or for their client's first byte.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether somebody waits for a place.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.networks().next().is_some()
    }

    /// A connection has come. It has its [turn](Self::next) once its client [has sent](Self::has_sent) something. Returns
    /// which other one waits no more, so that there is room for it.
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
        let Some((gone, client)) = self.waiting.dispensable() else { return Ok(None) };
        self.waiting.leave(gone, client);
        if gone == id { Err(Rejected::Full) } else { Ok(Some(gone)) }
    }

    /// The client of a connection that waits has sent something.
    pub(super) fn has_sent(&mut self, id: ConnId, client: IpAddr, now: Instant) {
        self.waiting.has_sent(id, client, now);
    }

    /// Lets the connection in whose turn it is, where one waits; it is then to be let [out](Self::leave) again. Networks
    /// with the fewest connections inside come first; among these, those that were not ended for moving too little; and
    /// among these, the one whose last turn is the longest ago.
    pub(super) fn next(&mut self) -> Option<ConnId> {
        let rank = |network| (self.networks.of(network), self.served.get(&network).copied().unwrap_or_default());
        let (id, client) = self.waiting.next(rank)?;
        self.waiting.leave(id, client);
        self.inside += 1;
        self.clients.add(client);
        self.networks.add(network(client));
        self.turns += 1;
        let turn = self.turns;
        self.served_lately(client).turn = turn;
        Some(id)
    }

    /// A connection is gone: one that waited, or one that was inside.
    pub(super) fn leave(&mut self, id: ConnId, client: IpAddr, end: End) {
        if !self.waiting.leave(id, client) {
            self.inside = self.inside.saturating_sub(1);
            self.clients.take(client);
            self.networks.take(network(client));
            self.served_lately(client).was_slow = end == End::Slow;
        }
    }

    fn served_lately(&mut self, client: IpAddr) -> &mut Served {
        let network = network(client);
        if self.served.len() >= REMEMBERED && !self.served.contains_key(&network) {
            let first = self.served.iter().min_by_key(|(_, served)| served.turn).map(|(&network, _)| network);
            first.map(|first| self.served.remove(&first));
        }
        self.served.entry(network).or_default()
    }

    /// Whether one of this network's connections may make room for who waits: not where it has fewer than they do.
    pub(super) fn may_replace(&self, network: IpAddr) -> bool {
        let fewest = self.waiting.networks().map(|(network, _)| self.networks.of(network)).min();
        fewest.is_some_and(|fewest| self.networks.of(network) >= fewest)
    }

    /// The network that has the most connections inside, where another one has waited for long, would still have fewer
    /// after it had one of these places, and has used its last one.
    pub(super) fn overdrawn(&self, now: Instant) -> Option<IpAddr> {
        let long_ago = now.checked_sub(LONGEST_WAIT)?;
        let waiting = self.waiting.networks().filter(|&(network, since)| {
            since <= long_ago && !self.served.get(&network).is_some_and(|served| served.was_slow)
        });
        let fewest = waiting.map(|(network, _)| self.networks.of(network)).min()?;
        let (network, most) = self.networks.most()?;
        (most > fewest + 1).then_some(network)
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

    /// Connections of these numbers come from a client, who sends something at once.
    fn come(admission: &mut Admission, client: IpAddr, numbers: std::ops::Range<usize>, now: Instant) {
        for number in numbers {
            admission.arrive(id(number), client, now).unwrap();
            admission.has_sent(id(number), client, now);
        }
    }

    /// Lets in as many as there is room for.
    fn admit(admission: &mut Admission) -> Vec<ConnId> {
        (0..admission.room()).map_while(|_| admission.next()).collect()
    }

    #[test]
    fn each_client_and_all_of_them_have_a_limit() {
        let (mut admission, now) = (admission(3, Some(2)), Instant::now());
        come(&mut admission, ONE, 1..3, now);
        // Those that wait count as well.
        assert_eq!(admission.arrive(id(3), ONE, now), Err(Rejected::TooMany(2)));
        assert_eq!(admit(&mut admission), [id(1), id(2)]);
        assert_eq!(admission.arrive(id(3), ONE, now), Err(Rejected::TooMany(2)));
        come(&mut admission, OTHER, 4..6, now);
        assert_eq!(admit(&mut admission), [id(4)]);
        assert!(admission.room() == 0 && admission.has_waiting());
        admission.leave(id(5), OTHER, End::Own);
        assert!(!admission.has_waiting());
        admission.leave(id(1), ONE, End::Own);
        assert_eq!((admission.room(), admission.arrive(id(6), ONE, now)), (1, Ok(None)));
    }

    #[test]
    fn who_has_sent_nothing_has_no_turn() {
        let (mut admission, now) = (admission(1, None), Instant::now());
        admission.arrive(id(1), ONE, now).unwrap();
        assert_eq!((admission.has_waiting(), admission.next()), (false, None));
        admission.has_sent(id(1), ONE, now);
        assert_eq!((admission.has_waiting(), admission.next()), (true, Some(id(1))));
    }

    #[test]
    fn networks_take_turns_however_many_each_sends() {
        let (mut admission, now) = (admission(2, None), Instant::now());
        come(&mut admission, ONE, 0..6, now);
        assert_eq!(admit(&mut admission), [id(0), id(1)]);
        come(&mut admission, OTHER, 10..12, now + Duration::from_secs(1));
        admission.leave(id(0), ONE, End::Own);
        assert_eq!(admit(&mut admission), [id(10)]);
        admission.leave(id(1), ONE, End::Own);
        assert_eq!(admit(&mut admission), [id(2)]);
        admission.leave(id(10), OTHER, End::Own);
        assert_eq!(admit(&mut admission), [id(11)]);
    }

    #[test]
    fn a_network_that_was_never_served_comes_before_those_that_were_and_those_that_moved_nothing_come_last() {
        let (mut admission, now) = (admission(1, None), Instant::now());
        let third: IpAddr = "10.0.0.3".parse().unwrap();
        come(&mut admission, ONE, 0..3, now);
        come(&mut admission, OTHER, 10..12, now);
        assert_eq!(admit(&mut admission), [id(0)]);
        admission.leave(id(0), ONE, End::Slow);
        assert_eq!(admit(&mut admission), [id(10)]);
        come(&mut admission, third, 20..21, now + Duration::from_secs(1));
        admission.leave(id(10), OTHER, End::Own);
        assert_eq!(admit(&mut admission), [id(20)]);
        admission.leave(id(20), third, End::Own);
        assert_eq!(admit(&mut admission), [id(11)], "the first one's turn is longer ago, but it moved nothing");
    }

    #[test]
    fn a_network_with_more_than_its_share_is_overdrawn_once_another_has_waited_for_long() {
        let (mut admission, now) = (admission(4, None), Instant::now());
        come(&mut admission, ONE, 0..9, now);
        admit(&mut admission);
        let later = now + LONGEST_WAIT;
        assert_eq!(admission.overdrawn(later), None, "nobody else waits");
        come(&mut admission, OTHER, 10..19, now);
        assert_eq!(admission.overdrawn(now), None);
        for number in 0..2 {
            assert_eq!(admission.overdrawn(later), Some(ONE));
            admission.leave(id(number), ONE, End::Slow);
            admit(&mut admission);
        }
        assert_eq!(admission.overdrawn(later), None, "two have two each");
        assert!(admission.may_replace(ONE));
        (4..9).chain([2]).for_each(|number| admission.leave(id(number), ONE, End::Own));
        admit(&mut admission);
        assert!(admission.may_replace(OTHER) && !admission.may_replace(ONE), "one has one, and only the other waits");
    }

    #[test]
    fn nobody_makes_room_for_a_network_whose_last_connection_moved_nothing() {
        let (mut admission, now) = (admission(3, None), Instant::now());
        come(&mut admission, OTHER, 10..11, now);
        admit(&mut admission);
        come(&mut admission, ONE, 0..3, now);
        admit(&mut admission);
        admission.leave(id(10), OTHER, End::Slow);
        admit(&mut admission);
        come(&mut admission, OTHER, 11..12, now);
        assert_eq!(admission.overdrawn(now + LONGEST_WAIT), None);
    }

    #[test]
    fn who_comes_while_all_may_wait_takes_the_room_of_one_of_many() {
        let (mut admission, now) = (admission(0, None), Instant::now());
        admission.most_waiting = 3;
        come(&mut admission, ONE, 0..2, now);
        admission.arrive(id(2), ONE, now).unwrap();
        assert_eq!(admission.arrive(id(3), ONE, now), Ok(Some(id(2))), "the one that has been silent for the longest");
        admission.has_sent(id(3), ONE, now);
        assert_eq!(admission.arrive(id(10), OTHER, now), Ok(Some(id(3))), "else the last of the network with the most");
        assert_eq!(admission.arrive(id(4), ONE, now), Err(Rejected::Full));
        assert_eq!(admission.waiting.len(), 3);
    }

    #[test]
    fn what_is_remembered_of_networks_is_bounded() {
        let (mut admission, now) = (admission(1, None), Instant::now());
        for number in 0..3 * u32::try_from(REMEMBERED).unwrap() {
            let client = std::net::Ipv4Addr::from_bits(number).into();
            come(&mut admission, client, 0..1, now);
            admit(&mut admission);
            admission.leave(id(0), client, End::Own);
        }
        assert_eq!(admission.served.len(), REMEMBERED);
    }
}
