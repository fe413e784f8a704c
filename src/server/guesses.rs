//! Wrong passwords, slowed down: after some from one address, further ones are looked at one after the other, with a pause
//! that grows. No password waits for long: clients with the right one may have the same address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The pause after the first wrong password; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two passwords, and the longest that one waits however many wait before it.
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
    /// When the next password may be looked at.
    next: Instant,
}

impl Wrong {
    fn pause(self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.count.saturating_sub(1).min(16)).min(LONGEST_WAIT)
    }
}

impl Guesses {
    /// When a password that `client` has sent is to be looked at. The next one from there has its turn after it.
    pub(super) fn check_at(&mut self, client: IpAddr, now: Instant) -> Instant {
        let Some(wrong) = self.0.get_mut(&network(client)) else { return now };
        let check_at = wrong.next.clamp(now, now + LONGEST_WAIT);
        wrong.next = check_at + wrong.pause();
        check_at
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
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        wrong.next = wrong.next.max(now + wrong.pause());
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
    fn pauses_grow_for_each_address_up_to_a_limit_and_are_forgotten() {
        let (mut guesses, mut now) = (Guesses::default(), Instant::now());
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        assert_eq!(guesses.check_at(one, now), now);
        let mut waits = Vec::new();
        for _ in 0..40 {
            guesses.was_wrong(one, now);
            let check_at = guesses.check_at(one, now);
            assert_eq!(guesses.check_at(other, now), now);
            waits.push(check_at - now);
            now = check_at;
        }
        assert!(waits.is_sorted());
        assert_eq!((waits[0], waits[1], waits[39]), (FIRST_PAUSE, 2 * FIRST_PAUSE, LONGEST_WAIT));
        now += FORGOTTEN;
        guesses.was_wrong(one, now);
        assert_eq!(guesses.check_at(one, now), now + FIRST_PAUSE);
    }

    #[test]
    fn passwords_that_come_at_once_have_their_turns_in_order_and_none_waits_for_long() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let one = address("10.0.0.1");
        (0..5).for_each(|_| guesses.was_wrong(one, now));
        let turns: Vec<Instant> = (0..10).map(|_| guesses.check_at(one, now)).collect();
        assert!(turns.is_sorted() && turns[0] > now && turns[1] - turns[0] == 16 * FIRST_PAUSE);
        assert_eq!(turns[9], now + LONGEST_WAIT);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        guesses.was_wrong(address("2001:db8::1"), now);
        assert!(guesses.check_at(address("2001:db8::ffff:1"), now) > now);
        assert_eq!(guesses.check_at(address("2001:db8:0:1::1"), now), now);
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
