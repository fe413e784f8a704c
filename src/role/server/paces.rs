//! How much progress connections make, for when some have to make room for others.
//!
//! Progress is bytes that the peer's kernel has acknowledged, and bytes that came, whatever they are: TLS, commands or
//! bodies. It is measured only while there is something that others wait for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::net::ConnId;

/// The time over which progress is measured: less than the 4 s for which stock waits for a silent client, and more than
/// lost packets take to be sent again.
const WINDOW: Duration = Duration::from_secs(2);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The progress of connections.
#[derive(Debug, Default)]
pub(super) struct Paces {
    /// When it was measured last.
    last: Option<Instant>,
    paces: HashMap<ConnId, Pace>,
}

#[derive(Debug)]
struct Pace {
    since: Instant,
    /// Bytes that had moved then.
    bytes: u64,
    /// Bytes a second in the last whole window.
    rate: Option<u64>,
}

impl Paces {
    /// When to measure next.
    pub(super) fn due(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| last + LOOK)
    }

    /// Measures all connections: what each has moved so far, in bytes, or `None` for one that waits for us.
    pub(super) fn measure(&mut self, moved: impl Iterator<Item = (ConnId, Option<u64>)>, now: Instant) {
        self.last = Some(now);
        let mut before = std::mem::take(&mut self.paces);
        for (id, moved) in moved {
            let Some(bytes) = moved else { continue };
            let mut pace = before.remove(&id).unwrap_or(Pace { since: now, bytes, rate: None });
            let time = now.saturating_duration_since(pace.since);
            if time >= WINDOW {
                let rate = u128::from(bytes.saturating_sub(pace.bytes)) * 1000 / time.as_millis().max(1);
                pace = Pace { since: now, bytes, rate: Some(u64::try_from(rate).unwrap_or(u64::MAX)) };
            }
            self.paces.insert(id, pace);
        }
    }

    /// The connection that moves the fewest bytes a second, and how many, among those that move fewer than `least` says for
    /// them. What has not been measured for long enough is none of them.
    pub(super) fn slowest(&self, least: impl Fn(ConnId) -> Option<u64>) -> Option<(ConnId, u64)> {
        let slow = self.paces.iter().filter_map(|(&id, pace)| Some((id, pace.rate?, least(id)?)));
        slow.filter(|&(_, rate, least)| rate < least)
            .map(|(id, rate, _)| (id, rate))
            .min_by_key(|&(id, rate)| (rate, id))
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        if self.last.is_some() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;

    fn id(number: usize) -> ConnId {
        ConnId::new(number, 1)
    }

    /// Two connections of which the first moves so many bytes in each window, and the second twice as many.
    fn measured(windows: u32, bytes: u64) -> (Paces, Instant) {
        let (mut paces, begin) = (Paces::default(), Instant::now());
        for window in 0..=windows {
            let moved = bytes * u64::from(window);
            let connections = [(id(1), Some(moved)), (id(2), Some(2 * moved))];
            paces.measure(connections.into_iter(), begin + window * WINDOW);
        }
        (paces, begin + windows * WINDOW)
    }

    #[test]
    fn the_slowest_is_the_one_with_the_least_progress_below_what_is_due() {
        let (paces, _) = measured(3, 1000);
        assert_eq!(paces.slowest(|_| Some(501)), Some((id(1), 500)));
        assert_eq!(paces.slowest(|_| Some(500)), None);
        assert_eq!(paces.slowest(|each| (each == id(2)).then_some(u64::MAX)), Some((id(2), 1000)));
    }

    #[test]
    fn a_connection_has_a_window_before_it_is_judged_and_after_it_waited_for_us() {
        let (paces, _) = measured(0, 0);
        assert_eq!(paces.slowest(|_| Some(u64::MAX)), None);
        let (mut paces, now) = measured(2, 0);
        assert!(paces.slowest(|_| Some(1)).is_some());
        paces.measure([(id(1), None), (id(2), None)].into_iter(), now);
        paces.measure([(id(1), Some(0)), (id(2), Some(0))].into_iter(), now + LOOK);
        assert_eq!(paces.slowest(|_| Some(u64::MAX)), None);
    }

    #[test]
    fn nothing_is_remembered_once_nobody_waits() {
        let (mut paces, now) = measured(2, 0);
        assert_eq!(paces.due(now), now + LOOK);
        paces.clear();
        assert_eq!((paces.due(now), paces.slowest(|_| Some(u64::MAX))), (now, None));
    }
}
