//! When each site's next round is due.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::deadline::after;

/// The first retry waits at most this long; each further one twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// A site's rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollPolicy {
    /// From the start of one round to the start of the next.
    pub interval: Duration,
    /// Quick retries after a failed round.
    pub retries: u32,
}

/// How a round ended, as far as the schedule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything listed has been dealt with.
    Done,
    /// It got somewhere and there is more: the next round follows at once.
    Backlog,
    /// There is more, and it got nowhere: so would the next, at once.
    Stalled,
    /// A stop has cut it off: nothing is known of what there is.
    CutOff,
    /// It broke off.
    Failed,
}

#[derive(Debug)]
enum State {
    Waiting { due: Instant },
    Running { since: Instant },
}

#[derive(Debug)]
struct Slot {
    pace: PollPolicy,
    state: State,
    /// Failed rounds since the last one that went well.
    failures: u32,
}

/// The rounds of all sites, by the time they are due. Sites are known by their key, which the caller chooses.
#[derive(Debug)]
pub struct Schedule {
    slots: Vec<Option<Slot>>,
    /// Who waits longest is first: a site with a backlog queues behind those that are due already.
    queue: BTreeSet<(Instant, usize)>,
    random: fastrand::Rng,
}

impl Schedule {
    /// An empty schedule; `seed` decides all jitter.
    pub fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), queue: BTreeSet::new(), random: fastrand::Rng::with_seed(seed) }
    }

    /// Adds the site `key`, or gives it another pace. A new one's first round is due within `spread` of `now`; one that
    /// waits does so for its new interval at the longest.
    pub fn set(&mut self, key: usize, pace: PollPolicy, now: Instant, spread: Duration) {
        if self.slots.len() <= key {
            self.slots.resize_with(key + 1, || None);
        }
        let (longest, failures) = match &mut self.slots[key] {
            None => (spread, 0),
            Some(slot) => {
                let before = std::mem::replace(&mut slot.pace, pace);
                match slot.state {
                    State::Waiting { due } if pace.interval < before.interval && due > after(now, pace.interval) => {
                        self.queue.remove(&(due, key));
                        (pace.interval, slot.failures)
                    }
                    _ => return,
                }
            }
        };
        let due = after(now, self.up_to(longest));
        self.slots[key] = Some(Slot { pace, state: State::Waiting { due }, failures });
        self.queue.insert((due, key));
    }

    /// Takes the site `key` out, unless its round is running; returns whether it is out. Else a second round could start
    /// beside the first, were the site put back.
    pub fn remove(&mut self, key: usize) -> bool {
        let Some(place) = self.slots.get_mut(key) else { return true };
        match place {
            Some(Slot { state: State::Running { .. }, .. }) => return false,
            Some(Slot { state: State::Waiting { due }, .. }) => self.queue.remove(&(*due, key)),
            None => return true,
        };
        *place = None;
        true
    }

    /// The site whose round is due and has waited longest; its round is running from now on.
    pub fn start_due(&mut self, now: Instant) -> Option<usize> {
        let &(due, key) = self.queue.first()?;
        if due > now {
            return None;
        }
        self.queue.pop_first();
        if let Some(slot) = &mut self.slots[key] {
            slot.state = State::Running { since: now };
        }
        Some(key)
    }

    /// When the next round is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|&(due, _)| due)
    }

    /// The running round of `key` has ended; returns when its next one is due.
    pub fn finished(&mut self, key: usize, now: Instant, ending: Ending) -> Option<Instant> {
        let slot = self.slots.get_mut(key)?.as_mut()?;
        let State::Running { since } = slot.state else { return None };
        slot.failures = match ending {
            Ending::Done | Ending::Backlog | Ending::Stalled | Ending::CutOff => 0,
            Ending::Failed => slot.failures.saturating_add(1),
        };
        let (pace, failures) = (slot.pace, slot.failures);
        let due = match ending {
            Ending::Backlog | Ending::CutOff => now,
            Ending::Failed if failures <= pace.retries => after(now, self.backoff(failures, pace.interval)),
            Ending::Failed | Ending::Done | Ending::Stalled => after(since, self.jittered(pace.interval)).max(now),
        };
        if let Some(slot) = &mut self.slots[key] {
            slot.state = State::Waiting { due };
        }
        self.queue.insert((due, key));
        Some(due)
    }

    /// The next round of `key` is due as early as at `due`, unless one is running.
    pub fn hurry(&mut self, key: usize, due: Instant) {
        if let Some(Some(Slot { state: State::Waiting { due: before }, .. })) = self.slots.get_mut(key)
            && *before > due
        {
            self.queue.remove(&(*before, key));
            *before = due;
            self.queue.insert((due, key));
        }
    }

    /// When the next round of `key` is due, unless one is running.
    pub fn due(&self, key: usize) -> Option<Instant> {
        match self.slots.get(key)?.as_ref()?.state {
            State::Waiting { due } => Some(due),
            State::Running { .. } => None,
        }
    }

    /// How many rounds of `key` have failed since the last one that went well.
    pub fn failures(&self, key: usize) -> u32 {
        self.slots.get(key).and_then(Option::as_ref).map_or(0, |slot| slot.failures)
    }

    /// Full jitter: anything up to the doubled wait, so that sites that failed together do not come back together.
    fn backoff(&mut self, failures: u32, interval: Duration) -> Duration {
        let longest = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(16));
        self.up_to(longest.min(interval))
    }

    /// A tenth more or less.
    fn jittered(&mut self, interval: Duration) -> Duration {
        stretched(interval, 0.9 + 0.2 * self.random.f64())
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        stretched(longest, self.random.f64())
    }
}

fn stretched(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do to start a virtual clock")]
mod tests {
    use super::*;

    #[test]
    fn the_longest_intervals_overflow_nothing() {
        let now = Instant::now();
        let pace = PollPolicy { interval: Duration::MAX, retries: u32::MAX };
        let mut schedule = Schedule::new(1);
        schedule.set(0, pace, now, Duration::MAX);
        for ending in [Ending::Done, Ending::Failed, Ending::Backlog, Ending::Stalled, Ending::CutOff] {
            let due = schedule.next_due().unwrap();
            assert_eq!(schedule.start_due(due), Some(0));
            assert!(schedule.finished(0, due, ending).unwrap() >= due);
            schedule.set(0, PollPolicy { interval: pace.interval / 2, ..pace }, due, Duration::ZERO);
        }
    }

    const PACE: PollPolicy = PollPolicy { interval: Duration::from_secs(30), retries: 2 };

    fn schedule(sites: usize) -> (Schedule, Instant) {
        let (mut schedule, now) = (Schedule::new(7), Instant::now());
        (0..sites).for_each(|key| schedule.set(key, PACE, now, Duration::ZERO));
        (schedule, now)
    }

    #[test]
    fn a_round_that_went_well_is_followed_by_one_an_interval_after_its_start() {
        let (mut schedule, now) = schedule(1);
        assert_eq!(schedule.start_due(now), Some(0));
        assert_eq!(schedule.start_due(now), None);
        let due = schedule.finished(0, now + Duration::from_secs(5), Ending::Done).unwrap();
        assert!((27..=33).contains(&(due - now).as_secs()), "{:?}", due - now);
    }

    #[test]
    fn a_round_that_got_nowhere_is_followed_by_one_an_interval_later_though_there_is_more() {
        let (mut schedule, now) = schedule(1);
        schedule.start_due(now);
        let due = schedule.finished(0, now, Ending::Stalled).unwrap();
        assert!((27..=33).contains(&(due - now).as_secs()), "{:?}", due - now);
        assert_eq!(schedule.failures(0), 0);
    }

    #[test]
    fn a_round_longer_than_its_interval_is_followed_at_once() {
        let (mut schedule, now) = schedule(1);
        schedule.start_due(now);
        let end = now + Duration::from_secs(100);
        assert_eq!(schedule.finished(0, end, Ending::Done), Some(end));
    }

    #[test]
    fn a_shorter_interval_counts_for_the_wait_that_has_begun() {
        let (mut schedule, now) = schedule(1);
        schedule.start_due(now).unwrap();
        let due = schedule.finished(0, now, Ending::Failed).unwrap();
        schedule.set(0, PollPolicy { interval: PACE.interval * 100, ..PACE }, now, Duration::ZERO);
        assert_eq!(schedule.next_due(), Some(due), "a longer one for the next");
        schedule.start_due(due).unwrap();
        schedule.finished(0, due, Ending::Done).unwrap();
        schedule.set(0, PACE, due, Duration::ZERO);
        let sooner = schedule.next_due().unwrap();
        assert!(sooner > due && sooner <= due + PACE.interval, "{:?}", sooner - due);
        assert_eq!((schedule.start_due(sooner), schedule.next_due()), (Some(0), None));
    }

    #[test]
    fn a_backlog_queues_behind_the_sites_that_are_due_already() {
        let (mut schedule, now) = schedule(3);
        let first = schedule.start_due(now).unwrap();
        let later = now + Duration::from_secs(1);
        schedule.finished(first, later, Ending::Backlog);
        let order: Vec<_> = std::iter::from_fn(|| schedule.start_due(later)).collect();
        assert_eq!(order.last(), Some(&first));
        assert_eq!(order.len(), 3);
    }

    #[test]
    fn failures_are_retried_soon_then_at_the_interval_and_forgotten_after_a_good_round_only() {
        let (mut schedule, mut now) = schedule(1);
        for failures in 1..=2 {
            schedule.start_due(now).unwrap();
            let due = schedule.finished(0, now, Ending::Failed).unwrap();
            assert!(due <= now + FIRST_BACKOFF * (1 << (failures - 1)));
            now = due;
        }
        schedule.start_due(now).unwrap();
        let due = schedule.finished(0, now, Ending::Failed).unwrap();
        assert!(due >= now + Duration::from_secs(27));
        assert_eq!(schedule.failures(0), 3);
        now = due;
        schedule.start_due(now).unwrap();
        schedule.finished(0, now, Ending::Done);
        assert_eq!(schedule.failures(0), 0);
    }

    #[test]
    fn a_removed_site_is_never_due_again() {
        let (mut schedule, now) = schedule(2);
        assert!(schedule.remove(0) && schedule.remove(1));
        assert_eq!((schedule.next_due(), schedule.start_due(now + Duration::from_secs(99))), (None, None));
        assert!(schedule.remove(0) && schedule.remove(7), "nor is one that is not there");
    }

    #[test]
    fn a_site_is_not_removed_before_its_round_has_ended() {
        let (mut schedule, now) = schedule(1);
        assert_eq!(schedule.start_due(now), Some(0));
        assert!(!schedule.remove(0));
        schedule.finished(0, now, Ending::Failed);
        assert_eq!(schedule.failures(0), 1);
        assert!(schedule.remove(0));
        assert_eq!((schedule.next_due(), schedule.finished(0, now, Ending::Done)), (None, None));
    }

    #[test]
    fn a_site_removed_and_set_again_while_its_round_runs_has_no_second_one_beside_it() {
        let (mut schedule, now) = schedule(1);
        schedule.start_due(now).unwrap();
        let (later, slow) =
            (now + Duration::from_secs(999), PollPolicy { interval: Duration::from_secs(3600), ..PACE });
        for pace in [PACE, slow] {
            schedule.remove(0);
            schedule.set(0, pace, now, Duration::ZERO);
            assert_eq!(schedule.start_due(later), None);
        }
        let due = schedule.finished(0, now, Ending::Done).unwrap();
        assert!(due >= now + slow.interval.mul_f64(0.9), "at the pace it was set to last");
    }
}
