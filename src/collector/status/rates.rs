//! How much was collected, and how fast.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The longest time that a rate is over, in minutes.
const LONGEST: u64 = 60;

/// Files, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Collected {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What was collected in all, and in each of the last minutes in which anything was.
#[derive(Clone, Debug)]
pub struct Rates {
    since: Instant,
    total: Collected,
    /// By the number of the minute since then, in order.
    minutes: VecDeque<(u64, Collected)>,
}

impl Rates {
    /// Nothing was collected so far.
    pub fn new(now: Instant) -> Self {
        Self { since: now, total: Collected::default(), minutes: VecDeque::new() }
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// A file was collected.
    pub fn add(&mut self, bytes: u64, now: Instant) {
        let (minute, file) = (self.elapsed(now).as_secs() / 60, Collected { files: 1, bytes });
        self.total.add(file);
        match self.minutes.back_mut() {
            Some((last, collected)) if *last >= minute => collected.add(file),
            _ => {
                while self.minutes.front().is_some_and(|(first, _)| first + LONGEST < minute) {
                    self.minutes.pop_front();
                }
                self.minutes.push_back((minute, file));
            }
        }
    }

    /// What was collected since the start.
    pub fn total(&self) -> Collected {
        self.total
    }

    /// How long that is: a little longer than `minutes`, or less where there was less.
    pub fn span(&self, minutes: u64, now: Instant) -> Duration {
        self.span_from(minutes, now).1
    }

    /// The number of its first minute, and how long it is.
    fn span_from(&self, minutes: u64, now: Instant) -> (u64, Duration) {
        let elapsed = self.elapsed(now).max(Duration::from_secs(1));
        let first = (elapsed.as_secs() / 60).saturating_sub(minutes.min(LONGEST));
        (first, elapsed.saturating_sub(Duration::from_secs(first * 60)))
    }

    /// What was collected in an hour, at the pace of the last whole `minutes` and the one under way; of less time where
    /// there was less.
    pub fn per_hour(&self, minutes: u64, now: Instant) -> Collected {
        let (first, span) = self.span_from(minutes, now);
        let milliseconds = span.as_millis();
        let mut sum = Collected::default();
        self.minutes.iter().filter(|(number, _)| *number >= first).for_each(|(_, one)| sum.add(*one));
        let per_hour = |count: u64| u64::try_from(u128::from(count) * 3_600_000 / milliseconds).unwrap_or(u64::MAX);
        Collected { files: per_hour(sum.files), bytes: per_hour(sum.bytes) }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_its_minutes_and_forgets_what_was_before() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut rates = Rates::new(start);
        assert_eq!(rates.per_hour(1, start), Collected::default());
        for second in 0..600 {
            rates.add(1000, at(second));
        }
        let steady = Collected { files: 3600, bytes: 3_600_000 };
        for minutes in [1, 15, 60] {
            assert_eq!(rates.per_hour(minutes, at(600)), steady, "{minutes}");
        }
        assert_eq!(rates.per_hour(1, at(720)), Collected::default());
        assert_eq!(rates.per_hour(15, at(1200)), Collected { files: 1200, bytes: 1_200_000 });
        assert_eq!(rates.per_hour(60, at(3600 + 600 + 60)), Collected::default());
        assert_eq!(rates.total(), Collected { files: 600, bytes: 600_000 });
    }

    #[test]
    fn a_rate_is_over_no_more_time_than_there_was() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let rates = Rates::new(start);
        for (now, minutes, seconds) in
            [(0, 60, 1), (30, 1, 30), (300, 60, 300), (300, 1, 60), (330, 1, 90), (3600, 60, 3600), (9000, 15, 900)]
        {
            assert_eq!(rates.span(minutes, at(now)), Duration::from_secs(seconds), "{minutes} min after {now} s");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        for minute in 0..1000 {
            rates.add(u64::MAX, start + Duration::from_secs(minute * 60));
        }
        assert!(rates.minutes.len() <= 62);
        assert_eq!(rates.per_hour(60, start + Duration::from_secs(1000 * 60)).bytes, u64::MAX);
    }
}
