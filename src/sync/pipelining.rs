//! How far apart a stock server is sent commands ahead of their answers, or whether each waits for the answer to the one before.
//!
//! Stock takes all that one read brings for one command. Two that meet in a read end the session, and nothing is done that
//! either asks for. In TLS each record is a read of its own, so commands that are each a record do not meet, unless somebody on
//! the way takes the TLS off. In plain they are sent at a distance, so that each is read before the next one comes: how large that
//! has to be, the line and the server decide.
//!
//! A connection that ends early costs the time of a new one. So the distance grows with each, and shrinks as long as there are
//! none. It grows no further than is worthwhile: where there are ends at any distance, such as those of a busy machine, a new
//! connection now and then is still faster than lock-step.

use std::time::{Duration, Instant};

/// The distance that is begun with where commands could meet.
const FIRST_DISTANCE: Duration = Duration::from_millis(5);

/// It does not shrink below this: no server is sure to have read by then.
const LEAST_DISTANCE: Duration = Duration::from_millis(2);

/// It is kept where the way there and back is so many times as long: else the answers are as soon there.
const WORTHWHILE: u32 = 4;

/// It does not grow beyond this part of the way there and back.
const MOST_OF_ROUND_TRIP: u32 = 8;

/// After so many files without an early end, the distance shrinks.
const CLEAN: u32 = 50;

/// Files between two early ends that make the second one the first of its row.
const APART: u32 = 8;

/// After so many unexplained ends in a row, commands are not sent ahead any more ...
const MOST_ENDS: u32 = 5;

/// ... for so long, and twice as long each time that follows ...
const LOCK_STEP: Duration = Duration::from_secs(10);

/// ... up to so many times.
const MOST_DOUBLINGS: u32 = 6;

/// Connections that end within this time have ended for one cause, such as a machine that stood still.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Why a session ended in which commands had been sent ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyEnd {
    /// The server answered a command with an error, or had an empty file: what was sent behind that ends a session at stock.
    Answered,
    /// It closed without a word: two commands met, or the line or the server broke.
    Unexplained,
}

/// What has been seen of a site's server, and of the way there.
#[derive(Clone, Debug)]
pub struct Pipelining {
    /// Of one command from the next; zero where each is a record.
    distance: Duration,
    /// From a command to its answer, the shortest so far.
    round_trip: Option<Duration>,
    /// Steps that are taken in lock-step first.
    cautious: usize,
    /// Early ends in a row.
    ends: u32,
    /// Of those, unexplained ones.
    unexplained: u32,
    /// Files since the last end, or since the distance shrank.
    clean: u32,
    /// When the last end was.
    ended: Option<Instant>,
    /// Commands are not sent ahead until then.
    lock_step: Option<Instant>,
    /// How often that was so since the distance shrank, or was zero and held.
    times: u32,
}

impl Pipelining {
    /// Of a site of which nothing is known; `is_in_records`: commands go in records of TLS.
    pub fn new(is_in_records: bool) -> Self {
        Self {
            distance: if is_in_records { Duration::ZERO } else { FIRST_DISTANCE },
            round_trip: None,
            cautious: 0,
            ends: 0,
            unexplained: 0,
            clean: 0,
            ended: None,
            lock_step: None,
            times: 0,
        }
    }

    /// At which distance commands are sent ahead; `None` where each waits for the answer to the one before.
    pub fn distance(&self, now: Instant) -> Option<Duration> {
        let is_worthwhile = self.distance.is_zero()
            || self.round_trip.is_some_and(|round_trip| round_trip >= self.distance * WORTHWHILE);
        let is_ahead = self.cautious == 0 && self.lock_step.is_none_or(|until| now >= until);
        (is_ahead && is_worthwhile).then_some(self.distance)
    }

    /// A command on its own was answered after so long.
    pub fn answered_within(&mut self, wait: Duration) {
        self.round_trip = Some(self.round_trip.map_or(wait, |shortest| shortest.min(wait)));
    }

    /// A file was asked for, or deleted, in lock-step.
    pub fn took_step(&mut self) {
        self.cautious = self.cautious.saturating_sub(1);
    }

    /// What was asked for ahead has come, or is done.
    pub fn went_well(&mut self) {
        self.clean += 1;
        if self.clean >= APART {
            (self.ends, self.unexplained) = (0, 0);
        }
        if self.clean < CLEAN {
            return;
        }
        (self.clean, self.times) = (APART, 0);
        if !self.distance.is_zero() {
            self.distance = (self.distance * 7 / 8).max(LEAST_DISTANCE);
        }
    }

    /// A session ended in which `outstanding` commands were not answered. For how long commands are sent ahead no more, if they
    /// are not.
    pub fn ended(&mut self, end: EarlyEnd, outstanding: usize, now: Instant) -> Option<Duration> {
        let is_another = self.ended.is_none_or(|last| now.saturating_duration_since(last) >= AT_ONCE) || self.clean > 0;
        (self.ended, self.clean) = (Some(now), 0);
        self.ends += u32::from(is_another);
        // What ended it may stand before all others: it is asked for in lock-step. If that was not it, all of them are.
        self.cautious = if self.ends > 1 { outstanding.max(1) } else { 1 };
        if end == EarlyEnd::Answered || !is_another {
            return None;
        }
        self.unexplained += 1;
        let most = self.round_trip.unwrap_or_default() / MOST_OF_ROUND_TRIP;
        self.distance = (self.distance * 3 / 2).min(most).max(FIRST_DISTANCE);
        if self.unexplained < MOST_ENDS {
            return None;
        }
        let wait = LOCK_STEP * 2_u32.pow(self.times.min(MOST_DOUBLINGS));
        (self.ends, self.unexplained, self.cautious, self.times) = (0, 0, 0, self.times + 1);
        self.lock_step = Some(now + wait);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    const FAR: Duration = Duration::from_millis(100);

    #[test]
    fn records_need_no_distance_and_what_is_plain_needs_one_and_a_way_that_is_long() {
        let mut plain = Pipelining::new(false);
        assert_eq!((Pipelining::new(true).distance(now()), plain.distance(now())), (Some(Duration::ZERO), None));
        plain.answered_within(FAR);
        assert_eq!(plain.distance(now()), Some(FIRST_DISTANCE));
        plain.answered_within(Duration::from_millis(19));
        assert_eq!(plain.distance(now()), None);
    }

    #[test]
    fn the_distance_grows_with_each_unexplained_end_and_shrinks_slowly() {
        let now = now();
        let mut plain = Pipelining::new(false);
        plain.answered_within(10 * FAR);
        assert_eq!(plain.ended(EarlyEnd::Unexplained, 9, now), None);
        assert_eq!(plain.distance(now), None, "what ended it may come first again");
        plain.took_step();
        assert_eq!(plain.distance(now), Some(FIRST_DISTANCE * 3 / 2));
        (0..CLEAN).for_each(|_| plain.went_well());
        let shrunk = plain.distance(now).unwrap();
        assert!(shrunk > FIRST_DISTANCE && shrunk < FIRST_DISTANCE * 3 / 2, "{shrunk:?}");
        (0..100 * CLEAN).for_each(|_| plain.went_well());
        assert_eq!(plain.distance(now), Some(LEAST_DISTANCE));
    }

    #[test]
    fn the_distance_stays_worthwhile_whatever_ends() {
        let now = now();
        let mut plain = Pipelining::new(false);
        plain.answered_within(FAR);
        for _ in 0..20 {
            (0..APART).for_each(|_| plain.went_well());
            assert_eq!(plain.ended(EarlyEnd::Unexplained, 9, now), None, "these are not in a row");
            plain.took_step();
        }
        assert_eq!(plain.distance(now), Some(FAR / MOST_OF_ROUND_TRIP));
    }

    #[test]
    fn who_takes_records_apart_is_sent_commands_at_a_distance() {
        let now = now();
        let mut tls = Pipelining::new(true);
        tls.answered_within(FAR);
        tls.ended(EarlyEnd::Unexplained, 9, now);
        tls.took_step();
        assert_eq!(tls.distance(now), Some(FIRST_DISTANCE));
    }

    #[test]
    fn an_end_that_was_to_be_expected_costs_some_lock_step_and_no_distance() {
        let now = now();
        let mut tls = Pipelining::new(true);
        for (end, steps) in [(1, 1), (2, 9), (3, 9)] {
            assert_eq!(tls.ended(EarlyEnd::Answered, 9, now + end * AT_ONCE), None, "end {end}");
            (0..steps).for_each(|_| {
                assert_eq!(tls.distance(now), None);
                tls.took_step();
            });
            assert_eq!(tls.distance(now), Some(Duration::ZERO));
        }
    }

    #[test]
    fn after_several_unexplained_ends_nothing_is_sent_ahead_for_a_while() {
        let now = now();
        let mut tls = Pipelining::new(true);
        tls.answered_within(100 * FAR);
        let mut row =
            |begin: Instant| (0..MOST_ENDS).find_map(|end| tls.ended(EarlyEnd::Unexplained, 3, begin + end * AT_ONCE));
        assert_eq!(row(now), Some(LOCK_STEP));
        assert_eq!(row(now + LOCK_STEP * 2), Some(2 * LOCK_STEP));
        let until = now + LOCK_STEP * 2 + (MOST_ENDS - 1) * AT_ONCE + 2 * LOCK_STEP;
        assert_eq!(tls.distance(until.checked_sub(AT_ONCE).unwrap()), None);
        assert!(tls.distance(until).is_some());
    }

    #[test]
    fn connections_that_end_at_once_count_as_one() {
        let now = now();
        let mut plain = Pipelining::new(false);
        plain.answered_within(FAR);
        for _ in 0..2 * MOST_ENDS {
            assert_eq!(plain.ended(EarlyEnd::Unexplained, 9, now), None);
        }
        plain.took_step();
        assert_eq!(plain.distance(now), Some(FIRST_DISTANCE * 3 / 2));
    }
}
