//! Limits how often log lines that peers cause are written, and counts what they are about.

use std::fmt;
use std::time::{Duration, Instant};

use crate::proto::Count;

/// The same line is written again after this long at the earliest.
const AGAIN: Duration = Duration::from_secs(600);

/// Lines of one subject that are counted apart; all further ones count as one, until others are old enough to be
/// forgotten.
const MOST_KEYS: usize = 16;

/// Recoveries of one subject that are logged in the time after which a line is written again: one that fails and works in
/// turn is in trouble all the while.
const MOST_RECOVERIES: u32 = 4;

/// The key of those further ones.
const OTHERS: &str = "";

/// The failures of one subject: a site, a client, a disk. A failure that has not been logged is let through at once, the
/// same one only every ten minutes, whatever other failures come in between.
#[derive(Debug, Default)]
pub struct LogThrottle {
    logged: Vec<Logged>,
    trouble: Option<Trouble>,
    recoveries: Option<Recoveries>,
}

/// A line that was written.
#[derive(Debug)]
struct Logged {
    key: Box<str>,
    at: Instant,
    suppressed: u64,
}

/// Failures since all was well.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
    failures: u64,
}

/// Recoveries that were logged lately.
#[derive(Clone, Copy, Debug)]
struct Recoveries {
    since: Instant,
    logged: u32,
}

/// The failures of a subject that has recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How often it failed.
    pub failures: u64,
    /// From the first failure until now.
    pub lasted: Duration,
}

impl LogThrottle {
    /// Counts a failure. Whether to log it now; if so, how often it was suppressed since it was logged last. `key`
    /// identifies the failure: it should be its text without counters.
    pub fn failed(&mut self, key: &str, now: Instant) -> Option<u64> {
        let trouble = self.trouble.get_or_insert(Trouble { since: now, last: now, failures: 0 });
        trouble.last = now;
        trouble.failures = trouble.failures.saturating_add(1);
        let key = if self.contains(key, now) || self.logged.len() < MOST_KEYS { key } else { OTHERS };
        match self.logged.iter_mut().find(|line| *line.key == *key) {
            Some(line) if !line.is_old(now) => {
                line.suppressed = line.suppressed.saturating_add(1);
                None
            }
            Some(line) => {
                line.at = now;
                Some(std::mem::take(&mut line.suppressed))
            }
            None => {
                self.logged.push(Logged { key: key.into(), at: now, suppressed: 0 });
                Some(0)
            }
        }
    }

    /// Whether `key` has been logged; forgets lines that are old where there is no room for it.
    fn contains(&mut self, key: &str, now: Instant) -> bool {
        let is_known = self.logged.iter().any(|line| *line.key == *key);
        if !is_known && self.logged.len() >= MOST_KEYS {
            self.logged.retain(|line| !line.is_old(now));
        }
        is_known
    }

    /// Whether nothing of it would be suppressed any more.
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        self.logged.iter().all(|line| line.is_old(now))
    }

    /// As [`recovered`](Self::recovered), where one success does not show that all is well: only once the last failure is
    /// so long ago.
    pub fn recovered_for(&mut self, quiet: Duration, now: Instant) -> Option<Recovery> {
        let is_quiet = self.trouble.is_some_and(|trouble| now.saturating_duration_since(trouble.last) >= quiet);
        if is_quiet { self.recovered(now) } else { None }
    }

    /// All is well again; returns what it was before, where it was not. `None` as well where recoveries were logged so
    /// often of late that one more has no meaning: the trouble goes on then.
    pub fn recovered(&mut self, now: Instant) -> Option<Recovery> {
        self.trouble?;
        let recent = self.recoveries.filter(|recent| now.saturating_duration_since(recent.since) < AGAIN);
        let recent = recent.unwrap_or(Recoveries { since: now, logged: 0 });
        if recent.logged >= MOST_RECOVERIES {
            return None;
        }
        self.recoveries = Some(Recoveries { logged: recent.logged + 1, ..recent });
        self.logged.clear();
        let Trouble { since, failures, .. } = self.trouble.take()?;
        Some(Recovery { failures, lasted: now.saturating_duration_since(since) })
    }
}

impl Logged {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= AGAIN
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasted.as_secs();
        let (lasted, unit) = match seconds {
            0..120 => (seconds, "s"),
            120..7_200 => (seconds / 60, "min"),
            7_200..172_800 => (seconds / 3_600, "h"),
            _ => (seconds / 86_400, "days"),
        };
        write!(f, "recovered after {} in {lasted} {unit}", Count(self.failures, "failure"))
    }
}

/// The counter of a line that was suppressed so many times since it was logged last, with a blank before it; nothing where
/// it was not.
pub fn repeated(times: u64) -> String {
    if times == 0 { String::new() } else { format!(" repeated={times}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do to start a virtual clock")]
    fn clock() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |seconds| start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_same_failure_waits_and_another_one_does_not() {
        let (mut throttle, at) = (LogThrottle::default(), clock());
        assert_eq!(throttle.failed("refused", at(0)), Some(0));
        assert_eq!(throttle.failed("refused", at(1)), None);
        assert_eq!(throttle.failed("timeout", at(2)), Some(0));
        assert_eq!(throttle.failed("timeout", at(3)), None);
        assert_eq!(throttle.failed("timeout", at(602)), Some(1));
    }

    #[test]
    fn failures_that_take_turns_are_each_logged_once() {
        let (mut throttle, at) = (LogThrottle::default(), clock());
        let logged = (0..60).filter_map(|second| {
            let key = if second % 2 == 0 { "refused" } else { "timeout" };
            throttle.failed(key, at(second))
        });
        assert_eq!(logged.collect::<Vec<_>>(), [0, 0]);
        assert_eq!(throttle.failed("refused", at(601)), Some(29));
    }

    #[test]
    fn endless_different_failures_are_logged_so_many_times_and_held_so_far() {
        let (mut throttle, at) = (LogThrottle::default(), clock());
        let logged = (0..1_000).filter_map(|number| throttle.failed(&format!("failure {number}"), at(1)));
        assert_eq!(logged.count(), MOST_KEYS + 1);
        assert_eq!(throttle.logged.len(), MOST_KEYS + 1);
        assert_eq!(throttle.failed("failure 3", at(2)), None, "it is remembered all the same");
        assert_eq!(throttle.failed("new", at(700)), Some(0), "old ones make room");
        assert_eq!(throttle.logged.len(), 1);
    }

    #[test]
    fn a_recovery_tells_how_many_failures_there_were_and_for_how_long() {
        let (mut throttle, at) = (LogThrottle::default(), clock());
        assert_eq!(throttle.recovered(at(0)), None);
        let logged = (0..12).filter_map(|minute| throttle.failed("refused", at(minute * 60)));
        assert_eq!(logged.collect::<Vec<_>>(), [0, 9]);
        let recovery = throttle.recovered(at(34 * 60)).unwrap();
        assert_eq!(recovery.to_string(), "recovered after 12 failures in 34 min");
        assert_eq!(throttle.recovered(at(34 * 60)), None);
        assert_eq!(throttle.failed("refused", at(34 * 60)), Some(0), "it is logged again at once");
        assert_eq!(throttle.recovered(at(34 * 60 + 1)).unwrap().to_string(), "recovered after 1 failure in 1 s");
    }

    #[test]
    fn one_that_fails_and_works_in_turn_is_logged_a_few_times_and_its_end_in_the_end() {
        let (mut throttle, at) = (LogThrottle::default(), clock());
        let mut lines = 0;
        for second in 0..599 {
            lines += usize::from(throttle.failed("refused", at(second)).is_some());
            lines += usize::from(throttle.recovered(at(second)).is_some());
        }
        assert!(lines <= 10, "{lines}");
        assert_eq!(throttle.recovered(at(600)).map(|recovery| recovery.failures), Some(595));
        assert_eq!(throttle.recovered(at(601)), None);
    }

    #[test]
    fn successes_between_failures_are_no_recovery() {
        let (mut throttle, at) = (LogThrottle::default(), clock());
        let quiet = Duration::from_secs(60);
        for second in 0..100 {
            throttle.failed("full", at(second));
            assert_eq!(throttle.recovered_for(quiet, at(second)), None);
        }
        assert_eq!(throttle.recovered_for(quiet, at(158)), None);
        assert_eq!(throttle.recovered_for(quiet, at(159)).map(|recovery| recovery.failures), Some(100));
    }
}
