//! Deadlines from configured values and from what peers announce: however large these are, no sum overflows.

use std::time::{Duration, Instant};

/// What stands for "never" where the clock cannot hold a deadline: a century.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The time `wait` after `now`.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now + NEVER)
}

/// When a body of `size` bytes that begins `now` has to be whole: it may be silent for as long as `idle`, and has a second
/// for each `min_rate` bytes. `None` for no limit, where `min_rate` is 0.
pub(crate) fn body_due(now: Instant, size: u64, idle: Duration, min_rate: u64) -> Option<Instant> {
    let seconds = size.checked_div(min_rate)?;
    Some(after(now, idle.saturating_add(Duration::from_secs(seconds))))
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
            let due = body_due(now, size, idle, min_rate);
            prop_assert_eq!(due.is_none(), min_rate == 0);
            prop_assert!(due.is_none_or(|due| due >= after(now, idle).min(now + NEVER)));
        }
    }

    #[test]
    fn a_body_has_its_silence_and_a_second_for_each_so_many_bytes() {
        let now = Instant::now();
        let idle = Duration::from_secs(4);
        assert_eq!(body_due(now, 640, idle, 64), Some(now + Duration::from_secs(14)));
        assert_eq!(body_due(now, 63, idle, 64), Some(now + idle));
    }
}
