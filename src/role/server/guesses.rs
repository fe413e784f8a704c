//! Wrong passwords, slowed down: each from one address makes the next one wait longer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// What the second wrong password waits for the first; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The longest wait: clients with the right password and the same address wait as well.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// An address that has sent no wrong password for so long is like any other.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Addresses that are remembered; beyond that, the one whose wait ends first is forgotten.
const REMEMBERED: usize = 1024;

/// Wrong passwords by address.
#[derive(Debug, Default)]
pub(super) struct Guesses(HashMap<IpAddr, Wrong>);

#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    last: Instant,
    /// When the next password is looked at.
    next: Instant,
}

impl Guesses {
    /// How long a password from `client` has to wait; `None` where it need not.
    pub(super) fn wait(&self, client: IpAddr, now: Instant) -> Option<Duration> {
        let wrong = self.0.get(&network(client))?;
        Some(wrong.next.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// A password from `client` was wrong.
    pub(super) fn was_wrong(&mut self, client: IpAddr, now: Instant) {
        let client = network(client);
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&client) {
            self.make_room(now);
        }
        let wrong = self.0.entry(client).or_insert(Wrong { count: 0, last: now, next: now });
        if now.saturating_duration_since(wrong.last) >= FORGOTTEN {
            wrong.count = 0;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << wrong.count.min(16)).min(LONGEST_WAIT);
        *wrong = Wrong { count: wrong.count.saturating_add(1), last: now, next: now + wait };
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, wrong| now.saturating_duration_since(wrong.last) < FORGOTTEN);
        let first = self.0.iter().min_by_key(|(_, wrong)| wrong.next).map(|(&client, _)| client);
        if let Some(first) = first.filter(|_| self.0.len() >= REMEMBERED) {
            self.0.remove(&first);
        }
    }
}

/// Whoever has one IPv6 address usually has all of its /64.
pub(super) fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn waits_grow_for_each_address_up_to_a_limit_and_are_forgotten() {
        let (mut guesses, mut now) = (Guesses::default(), Instant::now());
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        assert_eq!(guesses.wait(one, now), None);
        let mut waits = Vec::new();
        for _ in 0..40 {
            guesses.was_wrong(one, now);
            let wait = guesses.wait(one, now).unwrap();
            assert_eq!(guesses.wait(other, now), None);
            waits.push(wait);
            now += wait;
            assert_eq!(guesses.wait(one, now), None);
        }
        assert!(waits.is_sorted());
        assert_eq!((waits[0], waits[1], waits[39]), (FIRST_WAIT, 2 * FIRST_WAIT, LONGEST_WAIT));
        now += FORGOTTEN;
        guesses.was_wrong(one, now);
        assert_eq!(guesses.wait(one, now), Some(FIRST_WAIT));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        guesses.was_wrong(address("2001:db8::1"), now);
        assert!(guesses.wait(address("2001:db8::ffff:1"), now).is_some());
        assert!(guesses.wait(address("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for number in 0..3 * u32::try_from(REMEMBERED).unwrap() {
            guesses.was_wrong(std::net::Ipv4Addr::from_bits(number).into(), now);
        }
        assert!(guesses.0.len() <= REMEMBERED);
    }
}
