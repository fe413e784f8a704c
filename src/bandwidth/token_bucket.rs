//! A token bucket: so many bytes a second in the long run, and some at once.

use std::time::{Duration, Instant};

use super::rate::Rate;

/// The unit of credit is a byte's billionth, so that a nanosecond at any rate is a whole number of them.
const BYTE: i128 = 1_000_000_000;

/// Of what a second gives, so much may come at once.
const BURST: u64 = 10;

/// Of what a second gives, so much is a piece, within these bounds.
const PIECE: u64 = 50;
const LEAST_PIECE: u64 = 4 << 10;
const MOST_PIECE: u64 = 64 << 10;

/// Credit for bytes, which grows with time. It may be overdrawn: then it takes so much longer.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    rate: Rate,
    /// In billionths of a byte, as it was then.
    credit: i128,
    at: Instant,
}

impl TokenBucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let mut bucket = Self { rate, credit: 0, at: now };
        bucket.credit = bucket.most();
        bucket
    }

    /// What is saved up, or owed, stays, as far as the new burst lets it.
    pub(super) fn set_rate(&mut self, rate: Rate, now: Instant) {
        self.refill(now);
        self.rate = rate;
        self.credit = self.credit.min(self.most());
    }

    /// How many bytes are moved at a time where there is a queue: a fiftieth of a second's, but not so few that moving them
    /// costs more than they do.
    pub(super) fn piece(&self) -> u64 {
        (self.rate.bytes_per_second() / PIECE).clamp(LEAST_PIECE, MOST_PIECE)
    }

    /// How many bytes may be moved now.
    pub(super) fn credit(&mut self, now: Instant) -> u64 {
        self.refill(now);
        u64::try_from(self.credit / BYTE).unwrap_or(0)
    }

    /// So many were moved.
    pub(super) fn take(&mut self, bytes: u64) {
        self.credit -= i128::from(bytes) * BYTE;
    }

    /// So many of those taken were not moved.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.credit = (self.credit + i128::from(bytes) * BYTE).min(self.most());
    }

    /// When there is credit for a piece: `now`, or later.
    pub(super) fn ready_at(&mut self, now: Instant) -> Instant {
        self.refill(now);
        let lacking = i128::from(self.piece()) * BYTE - self.credit;
        let rate = i128::from(self.rate.bytes_per_second());
        let wait = u64::try_from((lacking.max(0) + rate - 1) / rate).unwrap_or(u64::MAX);
        crate::deadline::after(now, Duration::from_nanos(wait))
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        let gained =
            i128::try_from(elapsed).unwrap_or(i128::MAX).saturating_mul(i128::from(self.rate.bytes_per_second()));
        self.credit = self.credit.saturating_add(gained).min(self.most());
        self.at = self.at.max(now);
    }

    /// What can be saved up.
    fn most(&self) -> i128 {
        i128::from((self.rate.bytes_per_second() / BURST).max(self.piece())) * BYTE
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_saved_up_has_a_bound_and_what_is_owed_is_waited_for() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(rate("100K"), now);
        assert_eq!(bucket.credit(now + Duration::from_secs(3600)), 10 << 10);
        let now = now + Duration::from_secs(3600);
        assert_eq!(bucket.ready_at(now), now);
        bucket.take((10 << 10) + (96 << 10));
        assert_eq!(bucket.credit(now), 0);
        assert_eq!(bucket.ready_at(now), now + Duration::from_secs(1), "the debt, and a piece of 4 KiB");
        assert_eq!(bucket.credit(now + Duration::from_secs(1)), 4 << 10);
        bucket.give_back(u64::from(u32::MAX));
        assert_eq!(bucket.credit(now), 10 << 10);
    }

    #[test]
    fn another_rate_counts_from_when_it_is_set() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(rate("10M"), now);
        let credit = bucket.credit(now);
        bucket.take(credit);
        bucket.set_rate(rate("64K"), now + Duration::from_millis(50));
        assert_eq!(bucket.credit(now + Duration::from_millis(50)), 6553, "a tenth of a second at the new rate");
        assert_eq!(bucket.credit(now), 6553, "a clock that stands still or goes back gives nothing");
    }

    proptest! {
        /// However it is asked, no more than the rate gives, and nothing of it is lost.
        #[test]
        fn bytes_are_counted_to_the_last(bytes in 8192..1_u64 << 40, steps in prop::collection::vec(0..99_000_000_u64, 1..200)) {
            let start = Instant::now();
            let (mut bucket, mut now, mut moved) = (TokenBucket::new(rate(&format!("{bytes}B")), start), start, 0);
            let burst = bucket.credit(start);
            for step in steps {
                now += Duration::from_nanos(step);
                let credit = bucket.credit(now);
                bucket.take(credit);
                moved += credit;
            }
            let given = u128::from(bytes) * (now - start).as_nanos() / 1_000_000_000;
            // What is lost where nothing was taken for longer than the burst lasts is not: no step is longer.
            prop_assert!(u128::from(moved) <= given + u128::from(burst));
            prop_assert!(u128::from(moved) + 1 >= given);
        }
    }
}
