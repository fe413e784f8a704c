//! Deadlines from configured values and from what peers announce: however large these are, no sum overflows.

use std::time::{Duration, Instant};

/// What stands for "never" where the clock cannot hold a deadline: a century.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The time `wait` after `now`.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now + NEVER)
}

/// How slowly a body may move.
///
/// The bytes it has moved count, not those it announced: else a client that announces much could be as slow as it
/// likes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyPace {
    since: Instant,
    size: u64,
    idle: Duration,
    min_rate: u64,
}

impl BodyPace {
    /// Of a body of `size` bytes that begins `now`: it may be silent for as long as `idle`, and has a second for each
    /// `min_rate` bytes that have moved. Without a limit where `min_rate` is 0.
    pub(crate) fn new(now: Instant, size: u64, idle: Duration, min_rate: u64) -> Self {
        Self { since: now, size, idle, min_rate }
    }

    /// For so long the peer was not allowed to move bytes.
    pub(crate) fn put_off(&mut self, by: Duration) {
        self.since = after(self.since, by);
    }

    /// By when more has to have moved, as long as `left` bytes of it have not. `None` for no limit.
    pub(crate) fn due(&self, left: u64) -> Option<Instant> {
        let seconds = self.size.saturating_sub(left).checked_div(self.min_rate)?;
        Some(after(self.since, self.idle.saturating_add(Duration::from_secs(seconds))))
    }

    /// How long the next bytes may take `now`, as long as `left` bytes have not moved: as long as silence, or until they are
    /// due.
    pub(crate) fn wait(&self, left: u64, silence: Duration, now: Instant) -> Duration {
        self.due(left).map_or(silence, |due| due.saturating_duration_since(now).min(silence))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any value, the extreme ones often.
    fn extreme() -> impl Strategy<Value = u64> {
        prop_oneof![Just(u64::MAX), Just(i64::MAX.cast_unsigned()), Just(1), Just(0), any::<u64>()]
    }

    proptest! {
        #[test]
        fn no_values_overflow(size in extreme(), seconds in extreme(), min_rate in extreme()) {
            let (now, idle) = (Instant::now(), Duration::from_secs(seconds));
            prop_assert!(after(now, idle) >= now);
            prop_assert!(after(now, Duration::MAX) > now);
            let due = BodyPace::new(now, size, idle, min_rate).due(0);
            prop_assert_eq!(due.is_none(), min_rate == 0);
            prop_assert!(due.is_none_or(|due| due >= after(now, idle).min(now + NEVER)));
        }
    }

    #[test]
    fn a_body_has_its_silence_and_a_second_for_each_so_many_bytes_that_have_moved() {
        let now = Instant::now();
        let idle = Duration::from_secs(4);
        let pace = BodyPace::new(now, 2_000_000, idle, 64);
        assert_eq!(pace.due(2_000_000), Some(now + idle), "what was announced gives no time");
        assert_eq!(pace.due(2_000_000 - 63), Some(now + idle));
        assert_eq!(pace.due(2_000_000 - 640), Some(now + Duration::from_secs(14)));
    }
}
