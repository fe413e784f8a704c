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
    /// When it was looked at first.
    first: Instant,
    /// The window under way; `None` while the connection waits for us.
    window: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    /// Bytes that had moved then.
    bytes: u64,
    /// Bytes that have moved since.
    since_then: u64,
    /// Bytes a second in the last whole window.
    rate: Option<u64>,
}

impl Window {
    /// The window that is under way now, with so many bytes moved so far.
    fn next(self, bytes: u64, now: Instant) -> Self {
        let (time, moved) = (now.saturating_duration_since(self.since), bytes.saturating_sub(self.bytes));
        if time < WINDOW {
            return Self { since_then: moved, ..self };
        }
        let rate = u128::from(moved) * 1000 / time.as_millis().max(1);
        Self { since: now, bytes, since_then: 0, rate: Some(u64::try_from(rate).unwrap_or(u64::MAX)) }
    }
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
            let Pace { first, window } = before.remove(&id).unwrap_or(Pace { first: now, window: None });
            let window = moved.map(|bytes| {
                window.map_or(Window { since: now, bytes, since_then: 0, rate: None }, |window| window.next(bytes, now))
            });
            self.paces.insert(id, Pace { first, window });
        }
    }

    /// The connection that moves the fewest bytes a second, and how many, among those that move fewer than `least` asks
    /// of them. One that has not been measured for long enough is not among them.
    pub(super) fn slowest(&self, least: impl Fn(ConnId) -> Option<u64>) -> Option<(ConnId, u64)> {
        let slow = self.paces.iter().filter_map(|(&id, pace)| Some((id, pace.window?.rate?, least(id)?)));
        slow.filter(|&(_, rate, least)| rate < least)
            .map(|(id, rate, _)| (id, rate))
            .min_by_key(|&(id, rate)| (rate, id))
    }

    /// The connection that moves the fewest bytes a second, and how many, `among` those that have been here for a window at
    /// least. One that waits for us moves none.
    pub(super) fn least_progress(&self, among: impl Fn(ConnId) -> bool) -> Option<(ConnId, u64)> {
        let last = self.last?;
        let old = self.paces.iter().filter(|(_, pace)| last.saturating_duration_since(pace.first) >= WINDOW);
        let rates = old.map(|(&id, pace)| (id, pace.window.and_then(|window| window.rate).unwrap_or(0)));
        rates.filter(|&(id, _)| among(id)).min_by_key(|&(id, rate)| (rate, id))
    }

    /// Whether one that has not been here for a whole window may turn out to move fewer than `least` bytes a second.
    pub(super) fn has_idle(&self, least: u64) -> bool {
        let of_a_window = least.saturating_mul(WINDOW.as_secs());
        let mut windows = self.paces.values().filter_map(|pace| pace.window);
        windows.any(|window| window.rate.is_none() && window.since_then < of_a_window)
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
    fn among_many_the_one_that_waits_for_us_makes_the_least_progress() {
        let (mut paces, now) = measured(1, 1000);
        assert_eq!(paces.least_progress(|_| true), Some((id(1), 500)));
        assert_eq!(paces.least_progress(|each| each == id(2)), Some((id(2), 1000)));
        paces.measure([(id(1), Some(1000)), (id(2), None), (id(3), Some(0))].into_iter(), now + LOOK);
        assert_eq!(paces.least_progress(|_| true), Some((id(2), 0)), "the third has only just come");
    }

    #[test]
    fn who_has_just_come_is_idle_until_it_has_moved_what_is_due_in_a_window() {
        let (mut paces, now) = measured(0, 0);
        assert!(paces.has_idle(1000));
        let moved = |first, second| [(id(1), Some(first)), (id(2), Some(second))].into_iter();
        paces.measure(moved(2000, 1999), now + LOOK);
        assert!(paces.has_idle(1000));
        paces.measure(moved(2000, 2000), now + LOOK);
        assert!(!paces.has_idle(1000));
        paces.measure(moved(2000, 2000), now + WINDOW);
        assert!(!paces.has_idle(1000), "it is known by now");
    }

    #[test]
    fn nothing_is_remembered_once_nobody_waits() {
        let (mut paces, now) = measured(2, 0);
        assert_eq!(paces.due(now), now + LOOK);
        paces.clear();
        assert_eq!((paces.due(now), paces.slowest(|_| Some(u64::MAX))), (now, None));
    }
}
