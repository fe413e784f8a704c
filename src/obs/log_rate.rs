//! How much of the log peers together may fill.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use log::{Level, LevelFilter, Record};

use crate::budget::{LOG_BURST, LOG_RATE};
use crate::mutex::lock;

/// The target of lines that report dropped lines.
pub(super) const OF_DROPPED: &str = "dropped";

/// A token bucket of bytes, for the lines that are logged unless an operator asks for more or less. Others are what the
/// operator has asked for, and have no limit.
#[derive(Debug)]
pub(super) struct LogRate {
    /// The least important lines that are usually logged.
    usual: LevelFilter,
    bucket: Mutex<Bucket>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    /// Below nothing where errors have overdrawn it.
    bytes: i64,
    filled: Option<Instant>,
}

impl LogRate {
    pub(super) fn new(usual: LevelFilter) -> Self {
        Self { usual, bucket: Mutex::new(Bucket { bytes: LOG_BURST, filled: None }), dropped: AtomicU64::new(0) }
    }

    /// Whether a line of `length` bytes may be logged now. Counts it where it may not.
    pub(super) fn admits(&self, record: &Record<'_>, length: usize, now: Instant) -> bool {
        if record.level() > self.usual || record.target() == OF_DROPPED {
            return true;
        }
        let admitted = lock(&self.bucket).take(record.level(), length, now);
        if !admitted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// How many lines were not admitted since this was asked last.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Bucket {
    fn take(&mut self, level: Level, length: usize, now: Instant) -> bool {
        let before = self.filled.replace(now).unwrap_or(now);
        let passed = i64::try_from(now.saturating_duration_since(before).as_micros()).unwrap_or(i64::MAX);
        let refill = passed.saturating_mul(LOG_RATE) / 1_000_000;
        if refill == 0 {
            // What is less than a byte's time is not to be lost.
            self.filled = Some(before);
        }
        self.bytes = self.bytes.saturating_add(refill).min(LOG_BURST);
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let left = self.bytes.saturating_sub(length);
        if left < least(level) {
            return false;
        }
        self.bytes = left;
        true
    }
}

/// How full the bucket has to stay: what is worth less leaves room for what is worth more.
fn least(level: Level) -> i64 {
    match level {
        Level::Error => -LOG_BURST,
        Level::Warn => 0,
        Level::Info | Level::Debug | Level::Trace => LOG_BURST / 2,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do to start a virtual clock")]
mod tests {
    use std::time::Duration;

    use super::*;

    const LINE: usize = 128;

    fn log(rate: &LogRate, level: Level, now: Instant) -> bool {
        rate.admits(&Record::builder().level(level).build(), LINE, now)
    }

    /// Bytes of lines of `level` that are let through in `seconds` of a thousand lines a second.
    fn flood(rate: &LogRate, level: Level, start: Instant, seconds: u64) -> i64 {
        let admitted = (0..seconds * 1_000).filter(|&at| log(rate, level, start + Duration::from_millis(at))).count();
        i64::try_from(admitted * LINE).unwrap()
    }

    #[test]
    fn a_flood_comes_down_to_the_rate_and_what_is_left_out_is_counted() {
        let (rate, start) = (LogRate::new(LevelFilter::Info), Instant::now());
        let seconds = 600;
        let written = flood(&rate, Level::Warn, start, seconds);
        let most = LOG_BURST + LOG_RATE * i64::try_from(seconds).unwrap();
        assert!((most * 9 / 10..=most).contains(&written), "{written} of {most}");
        let dropped = i64::try_from(rate.take_dropped()).unwrap();
        assert_eq!(dropped, i64::try_from(seconds * 1_000).unwrap() - written / i64::try_from(LINE).unwrap());
        assert_eq!(rate.take_dropped(), 0);
    }

    #[test]
    fn what_matters_more_comes_through_a_flood_of_what_matters_less() {
        let (rate, now) = (LogRate::new(LevelFilter::Info), Instant::now());
        let fill = |level| while log(&rate, level, now) {};
        fill(Level::Info);
        assert!(log(&rate, Level::Warn, now));
        fill(Level::Warn);
        assert!(log(&rate, Level::Error, now));
        fill(Level::Error);
        assert!(!log(&rate, Level::Info, now) && !log(&rate, Level::Warn, now));
    }

    #[test]
    fn what_an_operator_has_asked_for_has_no_limit() {
        let (rate, now) = (LogRate::new(LevelFilter::Warn), Instant::now());
        assert!((0..10_000).all(|_| log(&rate, Level::Info, now)));
        assert!(log(&rate, Level::Warn, now));
    }
}
