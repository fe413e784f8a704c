//! How far a site's clock is from ours.

use std::time::{Duration, Instant};

/// For so long, what is known more exactly is kept.
const KEPT: Duration = Duration::from_secs(600);

/// How far it was when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collector) struct Difference {
    /// In milliseconds; more than 0 where the site's clock is ahead of ours.
    pub(in crate::collector) ahead: i64,
    /// It may be so many milliseconds more or less: half of the time from the question to the answer.
    pub(in crate::collector) uncertainty: u64,
    /// When it was seen.
    pub(in crate::collector) at: Instant,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::collector) struct SeenClock(Option<Difference>);

impl SeenClock {
    /// A question of `asked` was answered `now`, at our `date`, with `theirs`, in nanoseconds since 1970.
    pub(in crate::collector) fn seen(&mut self, theirs: u64, date: Duration, asked: Instant, now: Instant) {
        let half = now.saturating_duration_since(asked) / 2;
        let ours = i128::try_from(date.saturating_sub(half).as_nanos()).unwrap_or(i128::MAX);
        let ahead = (i128::from(theirs) - ours) / 1_000_000;
        let seen = Difference {
            ahead: i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX }),
            // What is less than a millisecond is not known either.
            uncertainty: u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1),
            at: now,
        };
        let is_kept =
            |known: &Difference| known.uncertainty < seen.uncertainty && now.saturating_duration_since(known.at) < KEPT;
        self.0 = Some(self.0.filter(is_kept).unwrap_or(seen));
    }

    /// What was seen, if anything was.
    pub(in crate::collector) fn difference(&self) -> Option<Difference> {
        self.0
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    const DATE: Duration = Duration::from_secs(1_700_000_000);

    fn nanoseconds(date: Duration) -> u64 {
        u64::try_from(date.as_nanos()).unwrap()
    }

    #[test]
    fn half_of_the_round_trip_lies_before_the_answer() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        for (theirs, ahead) in [
            (nanoseconds(DATE.saturating_sub(Duration::from_millis(300))), 0),
            (nanoseconds(DATE), 300),
            (nanoseconds(DATE.saturating_sub(Duration::from_secs(10))), -9_700),
            (0, -1_699_999_999_700),
        ] {
            let mut clock = SeenClock::default();
            clock.seen(theirs, DATE, start, after(600));
            let expected = Difference { ahead, uncertainty: 301, at: after(600) };
            assert_eq!(clock.difference(), Some(expected), "{theirs}");
        }
        let mut clock = SeenClock::default();
        clock.seen(u64::MAX, Duration::ZERO, start, start);
        assert_eq!(clock.difference().unwrap().ahead, 18_446_744_073_709);
    }

    #[test]
    fn what_is_known_more_exactly_is_kept_for_a_while() {
        let start = Instant::now();
        let mut clock = SeenClock::default();
        let mut see = |after: Duration, round_trip: u64| {
            let (asked, now) = (start + after, start + after + Duration::from_millis(round_trip));
            clock.seen(nanoseconds(DATE), DATE, asked, now);
            clock.difference().unwrap().uncertainty
        };
        let later = Duration::from_secs(60);
        assert_eq!(see(later, 200), 101);
        assert_eq!(see(later * 2, 400), 101);
        assert_eq!(see(later * 3, 20), 11);
        assert_eq!(see(later * 3 + KEPT, 400), 201, "clocks drift, and are set");
    }
}
