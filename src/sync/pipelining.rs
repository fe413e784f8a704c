//! How far apart a stock server is sent commands ahead of their answers, or whether each waits for the answer to the one before.
//!
//! Stock takes all that one read brings for one command. Two that meet in a read end the session, and nothing is done that
//! either asks for. In TLS each record is a read of its own, so commands that are each a record do not meet, unless somebody on
//! the way takes the TLS off. In plain they are sent at a distance, so that each is read before the next one comes: how large that
//! has to be, the line and the server decide.
//!
//! What an end costs is compared with what lock-step costs. An end costs some three round trips of one connection: what was
//! under way is for nothing, and the next connection has to be opened. A command costs two round trips in lock-step, as its
//! confirmation waits for its answer. So:
//!
//! - a connection that has had a few commands answered before it ended was faster than lock-step: the next one goes on at once;
//! - after ends before which next to nothing came, 1, 2, 4 … commands go in lock-step before commands are sent ahead again;
//! - the distance grows with each end, and shrinks in small steps while there is none: it comes to rest where ends cost a
//!   connection about a fifth of its time. A longer distance would cost more than it saves.
//!
//! One file may be what ends sessions, as one that the server cannot open. What stood first when two sessions ended is asked
//! for in lock-step.

use std::time::{Duration, Instant};

use crate::proto::FileName;

/// The distance that is begun with where commands could meet.
const FIRST_DISTANCE: Duration = Duration::from_millis(5);

/// It does not shrink below this: no server is sure to have read by then.
const LEAST_DISTANCE: Duration = Duration::from_millis(2);

/// It is at most the way there and back divided by this. Where the first one would be more, the answers are as soon there.
const OF_ROUND_TRIP: u32 = 4;

/// It shrinks by a sixteenth after so many round trips without an end: a little more than an end costs ...
const SETTLED: u32 = 4;

/// ... and so many commands that were answered.
const CLEAN: u32 = 20;

/// With so many commands answered, a connection has cost less than lock-step: what its end costs is shared by them.
const WORTHWHILE: u32 = 3;

/// So often the number of commands in lock-step doubles.
const MOST_DOUBLINGS: u32 = 10;

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
    is_in_records: bool,
    /// Of one message from the next; zero where each is a record.
    distance: Duration,
    /// From a command to its answer, the shortest so far.
    round_trip: Option<Duration>,
    /// Commands to be sent in lock-step before others are sent ahead.
    cautious: u32,
    /// Commands answered since the last end, on all connections.
    answered: u32,
    /// Ends in a row before which next to nothing was answered.
    fruitless: u32,
    /// When the last end was.
    ended: Option<Instant>,
    /// Commands answered since the distance changed, and when the first of them was.
    clean: u32,
    since: Option<Instant>,
    /// What stood first when a session ended.
    first: Option<FileName>,
    /// What did so twice.
    suspect: Option<FileName>,
}

impl Pipelining {
    /// Of a site of which nothing is known; `is_in_records`: commands go in records of TLS.
    pub fn new(is_in_records: bool) -> Self {
        Self {
            is_in_records,
            distance: if is_in_records { Duration::ZERO } else { FIRST_DISTANCE },
            round_trip: None,
            cautious: 0,
            answered: 0,
            fruitless: 0,
            ended: None,
            clean: 0,
            since: None,
            first: None,
            suspect: None,
        }
    }

    /// At which distance commands are sent ahead; `None` where each waits for the answer to the one before.
    pub fn distance(&self) -> Option<Duration> {
        let is_worthwhile = self.distance.is_zero()
            || self.round_trip.is_some_and(|round_trip| round_trip >= self.distance * OF_ROUND_TRIP);
        is_worthwhile.then_some(self.distance)
    }

    /// Whether a connection on which nothing is under way begins to send commands ahead.
    pub fn is_begun(&self) -> bool {
        self.cautious == 0 && self.distance().is_some()
    }

    /// Whether this file may be asked for, or deleted, ahead.
    pub fn may_ask_ahead(&self, name: &FileName) -> bool {
        self.suspect.as_ref() != Some(name)
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
    pub fn went_well(&mut self, now: Instant) {
        self.answered = self.answered.saturating_add(1);
        if self.answered >= WORTHWHILE {
            self.fruitless = 0;
        }
        self.clean += 1;
        let since = *self.since.get_or_insert(now);
        let settled = self.round_trip.unwrap_or_default() * SETTLED;
        if self.clean < CLEAN || now.saturating_duration_since(since) < settled || self.distance.is_zero() {
            return;
        }
        let is_least = self.distance <= LEAST_DISTANCE;
        self.change(match is_least {
            // Whoever took the records apart may be gone.
            true if self.is_in_records => Duration::ZERO,
            true => LEAST_DISTANCE,
            false => (self.distance * 15 / 16).max(LEAST_DISTANCE),
        });
    }

    /// A session ended, in which `first` was the first file that was not done. How many commands are sent in lock-step first, if
    /// any are.
    pub fn ended(&mut self, end: EarlyEnd, first: Option<&FileName>, now: Instant) -> Option<u32> {
        let last = self.ended.replace(now);
        // Within a round trip, no connection that was opened after the last end can have had an answer: one cause has ended
        // several, such as a machine that stood still.
        let round_trip = self.round_trip.unwrap_or_default();
        if last.is_some_and(|last| now.saturating_duration_since(last) < round_trip) {
            return None;
        }
        let was_worthwhile = std::mem::take(&mut self.answered) >= WORTHWHILE;
        if end == EarlyEnd::Unexplained {
            self.grow(was_worthwhile);
            if first.is_some() && self.first.as_ref() == first {
                self.suspect = first.cloned();
            }
            self.first = first.cloned();
        }
        if was_worthwhile {
            return None;
        }
        self.cautious = 1 << self.fruitless.min(MOST_DOUBLINGS);
        self.fruitless += 1;
        Some(self.cautious)
    }

    fn grow(&mut self, was_worthwhile: bool) {
        let most = (self.round_trip.unwrap_or_default() / OF_ROUND_TRIP).max(FIRST_DISTANCE);
        self.change(match was_worthwhile {
            // Records do not meet: the line broke, or the server ended.
            true if self.distance.is_zero() => Duration::ZERO,
            true => (self.distance * 5 / 4).min(most),
            false => (self.distance * 2).clamp(FIRST_DISTANCE, most),
        });
    }

    fn change(&mut self, distance: Duration) {
        (self.distance, self.clean, self.since) = (distance, 0, None);
    }
}

#[cfg(test)]
#[path = "pipelining_tests.rs"]
mod tests;
