use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

/// A model of connections that always have something to bring, or only now and then, on a clock of its own.
struct Model {
    throttle: Throttle<u32>,
    now: Instant,
    /// The site of each connection, and how it brings.
    peers: BTreeMap<u32, (usize, Peer)>,
    moved: BTreeMap<u32, u64>,
    turns: u64,
}

#[derive(Clone, Copy)]
enum Peer {
    /// Any number of bytes, in reads of so many at most.
    Greedy(u64),
    /// So many bytes each time of this length.
    Slow { bytes: u64, every: Duration, next: Instant },
}

impl Model {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(peers: impl IntoIterator<Item = (usize, Peer)>) -> Self {
        let peers = (0..).zip(peers).collect();
        Self { throttle: Throttle::default(), now: Instant::now(), peers, moved: BTreeMap::new(), turns: 0 }
    }

    fn greedy(sites: &[usize]) -> Self {
        Self::new(sites.iter().map(|site| (*site, Peer::Greedy(64 << 10))))
    }

    fn limit_all(&mut self, limit: &str) {
        self.throttle.limit_all(Some(limit.parse().unwrap()), self.now);
    }

    fn limit_site(&mut self, key: usize, limit: &str) {
        self.throttle.limit_site(key, Some(limit.parse().unwrap()), self.now);
    }

    /// Lets a connection go on until it has to wait, or has brought what it has.
    fn pump(&mut self, id: u32) {
        let Some((site, peer)) = self.peers.get_mut(&id) else { return };
        let site = *site;
        loop {
            let most = match peer {
                Peer::Greedy(most) => *most,
                Peer::Slow { next, .. } if *next > self.now => break,
                Peer::Slow { bytes, .. } => *bytes,
            };
            let count = match self.throttle.ask(site, id, self.now) {
                Permit::Unlimited => most,
                Permit::Bytes(permitted) => permitted.min(most),
                Permit::Wait => break,
            };
            self.throttle.moved(site, id, count);
            *self.moved.entry(id).or_default() += count;
            if let Peer::Slow { every, next, .. } = peer {
                *next += *every;
            }
        }
        self.throttle.turn_ended(site, id);
    }

    /// How many bytes each site moves in a time.
    fn run(&mut self, time: Duration) -> BTreeMap<usize, u64> {
        let end = self.now + time;
        self.moved.clear();
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.pump(id);
        }
        loop {
            let slow = self.peers.values().filter_map(|(_, peer)| match peer {
                Peer::Slow { next, .. } if *next > self.now => Some(*next),
                _ => None,
            });
            let next = slow.chain(self.throttle.due(self.now)).min().expect("somebody has something to bring");
            if next >= end {
                break;
            }
            // As late as a poll that counts in milliseconds.
            self.now = self.now.max(next) + Duration::from_micros(700);
            self.turns += 1;
            let mut woken = self.throttle.grant(self.now);
            let has_some = |peer: &Peer| matches!(peer, Peer::Slow { next, .. } if *next <= self.now);
            woken.extend(self.peers.iter().filter(|(_, (_, peer))| has_some(peer)).map(|(id, _)| *id));
            for id in woken {
                self.pump(id);
            }
        }
        self.now = end;
        let mut of_sites = BTreeMap::new();
        for (id, moved) in &self.moved {
            *of_sites.entry(self.peers[id].0).or_default() += *moved;
        }
        of_sites
    }
}

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn is_within(moved: u64, expected: u64, percent: u64) -> bool {
    moved.abs_diff(expected) * 100 <= expected * percent
}

#[test]
fn a_site_moves_what_its_limit_says_over_ten_seconds() {
    for (limit, bytes) in
        [("8K", 8_u64 << 10), ("64K", 64 << 10), ("512K", 512 << 10), ("10M", 10 << 20), ("1G", 1 << 30)]
    {
        for connections in [1, 8] {
            let mut model = Model::greedy(&vec![7; connections]);
            model.limit_site(7, limit);
            model.run(TEN_SECONDS);
            let moved = model.run(TEN_SECONDS)[&7];
            let percent = if bytes < 64 << 10 { 6 } else { 2 };
            assert!(is_within(moved, bytes * 10, percent), "{limit}, {connections} connections: {moved}");
            assert!(model.turns < 20 * 1500, "{limit}: {} turns", model.turns);
        }
    }
}

#[test]
fn what_comes_at_once_after_a_pause_is_a_tenth_of_a_second_at_most() {
    let mut model = Model::greedy(&[7]);
    model.limit_site(7, "512K");
    model.now += Duration::from_secs(3600);
    let moved = model.run(Duration::from_secs(1))[&7];
    assert!(is_within(moved, (512 << 10) * 11 / 10, 3), "{moved}");
}

#[test]
fn sites_share_one_limit_alike_however_many_connections_they_have() {
    let mut model = Model::greedy(&[1, 2, 2, 2, 2, 2, 2, 2, 2, 3]);
    model.limit_all("512K");
    model.run(TEN_SECONDS);
    let moved = model.run(TEN_SECONDS);
    assert!(is_within(moved.values().sum(), (512 << 10) * 10, 2), "{moved:?}");
    for (site, moved) in &moved {
        assert!(is_within(*moved, (512 << 10) * 10 / 3, 2), "site {site}: {moved}");
    }
}

#[test]
fn what_a_site_does_not_take_of_its_share_the_others_have() {
    let slow = |model: &Model| Peer::Slow { bytes: 512, every: Duration::from_millis(50), next: model.now };
    let mut model = Model::greedy(&[1, 2]);
    let third = slow(&model);
    model.peers.insert(9, (3, third));
    model.limit_all("512K");
    model.limit_site(2, "64K");
    model.run(TEN_SECONDS);
    let moved = model.run(TEN_SECONDS);
    assert!(is_within(moved.values().sum(), (512 << 10) * 10, 2), "{moved:?}");
    assert!(is_within(moved[&2], (64 << 10) * 10, 2), "{moved:?}");
    assert!(is_within(moved[&3], 512 * 200, 2), "who is below its share is not slowed down: {moved:?}");
}

#[test]
fn a_hundred_sites_have_their_turn_within_seconds_each() {
    let mut model = Model::greedy(&(0..100).collect::<Vec<_>>());
    model.limit_all("1M");
    model.run(TEN_SECONDS);
    let moved = model.run(Duration::from_secs(4));
    assert_eq!(moved.len(), 100);
    assert!(moved.values().all(|moved| is_within(*moved, (1 << 20) * 4 / 100, 60)), "{moved:?}");
}

#[test]
fn another_limit_and_none_count_at_once() {
    let mut model = Model::greedy(&[1, 1, 2]);
    model.limit_all("64K");
    model.run(TEN_SECONDS);
    model.limit_all("10M");
    let moved = model.run(TEN_SECONDS);
    assert!(is_within(moved.values().sum(), (10 << 20) * 10, 2), "{moved:?}");
    model.limit_site(1, "64K");
    let moved = model.run(TEN_SECONDS);
    assert!(is_within(moved[&1], (64 << 10) * 10, 3), "{moved:?}");
    model.throttle.limit_all(None, model.now);
    model.throttle.limit_site(1, None, model.now);
    for (site, id) in [(1, 0), (1, 1), (2, 2)] {
        assert_eq!(model.throttle.ask(site, id, model.now), Permit::Unlimited);
    }
    let mut waited = model.throttle.grant(model.now);
    waited.sort_unstable();
    assert_eq!(waited, [0, 1, 2], "who waited is woken");
    assert_eq!(model.throttle.due(model.now), None);
}

#[test]
fn more_than_was_permitted_is_made_up_for() {
    let mut model = Model::greedy(&[]);
    model.limit_site(1, "64K");
    let (mut moved, end) = (0, model.now + TEN_SECONDS);
    while model.now < end {
        if let Permit::Bytes(permitted) = model.throttle.ask(1, 0, model.now) {
            model.throttle.moved(1, 0, permitted + 4096);
            moved += permitted + 4096;
        }
        model.throttle.turn_ended(1, 0);
        model.now += Duration::from_millis(1);
        model.throttle.grant(model.now);
    }
    assert!(is_within(moved, (64 << 10) * 10, 2), "{moved}");
}

#[test]
fn a_connection_that_is_no_more_holds_nobody_up() {
    let mut model = Model::greedy(&[1, 1, 2]);
    model.limit_all("64K");
    model.limit_site(2, "8K");
    model.run(TEN_SECONDS);
    for id in [0, 2] {
        let (site, _) = model.peers.remove(&id).unwrap();
        model.throttle.forget(site, id, model.now);
    }
    let moved = model.run(TEN_SECONDS);
    assert!(is_within(moved[&1], (64 << 10) * 10, 3), "{moved:?}");
    model.throttle.forget(1, 1, model.now);
    assert_eq!(model.throttle.due(model.now), None);
}
