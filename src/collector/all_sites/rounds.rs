//! Rounds from their start to their end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Collector, Mode, TICK};
use crate::collector::commit_queue::Ticket;
use crate::collector::report::RoundReport;
use crate::collector::site::AfterRound;
use crate::store::Completion;
use crate::sync::Ending;

/// While others wait for a connection, a round takes new files for this long only.
const FAIR_SHARE: Duration = Duration::from_secs(10);

/// Why a site's round waits though it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hindrance {
    /// Its files have their share of the spool.
    SpoolShare,
    /// It is one server with another site, whose round is under way.
    SameServer,
    /// Somebody has asked for that.
    Paused,
}

impl Collector {
    /// Sites that need wait no longer: their rounds come before those that were due after them.
    fn release(&mut self) {
        for (key, since) in std::mem::take(&mut self.held_up) {
            if self.hindrance(key).is_some() {
                self.held_up.insert(key, since);
            } else {
                self.schedule.hurry(key, since);
            }
        }
    }

    /// Since when the site's round waits though it is due: for room in the spool, its own part of it or anybody's, or for that
    /// of another site on the same server.
    pub(super) fn held_up_since(&self, key: usize) -> Option<Instant> {
        let is_due = |due: &Instant| self.commit_queue.was_full() && *due <= self.net.now();
        self.held_up.get(&key).copied().or_else(|| self.schedule.due(key).filter(is_due))
    }

    /// Why the site is to have no round just now.
    fn hindrance(&mut self, key: usize) -> Option<Hindrance> {
        let now = self.net.now();
        if self.is_paused(key) {
            return Some(Hindrance::Paused);
        }
        let is_running = |other: usize| self.sites[other].as_ref().is_some_and(|site| site.running.is_some());
        if self.commit_queue.same_server.others(key).any(is_running) {
            return Some(Hindrance::SameServer);
        }
        let site = self.sites[key].as_mut()?;
        site.has_its_share(&self.commit_queue, now).then_some(Hindrance::SpoolShare)
    }

    /// Ends the connections at rest of sites that are one server with this one, and its own: a server may put off the last
    /// deletion on each until more is said there, and what is said on a new connection comes after that.
    fn part_from_others(&mut self, key: usize) {
        let others: Vec<usize> = self.commit_queue.same_server.others(key).collect();
        for other in others {
            self.unpark(other);
            self.unpark(key);
        }
    }

    /// The round that was to start waits until it may; one whose end `once` need not wait for is left out.
    fn hold_up(&mut self, key: usize, hindrance: Hindrance) {
        let now = self.net.now();
        self.schedule.finished(key, now, Ending::Done);
        if hindrance == Hindrance::SpoolShare && self.mode == Mode::Once {
            self.schedule.remove(key);
        } else {
            self.held_up.entry(key).or_insert(now);
        }
    }

    pub(super) fn start_rounds(&mut self) {
        self.release();
        while self.has_capacity()
            && let Some(key) = self.awaiting_capacity.pop_front()
        {
            self.reopen(key);
        }
        while self.stop.is_none()
            && self.has_capacity()
            && !self.commit_queue.is_full()
            && let Some(due) = self.schedule.next_due()
            && let Some(key) = self.schedule.start_due(self.net.now())
        {
            if let Some(hindrance) = self.hindrance(key) {
                self.hold_up(key, hindrance);
                continue;
            }
            if !self.is_open(key) {
                continue;
            }
            self.part_from_others(key);
            let Some(site) = &mut self.sites[key] else { continue };
            self.running += 1;
            site.start_round(due, self.net.now());
            match site.parked.take() {
                Some(id) => {
                    if let (Some(session), Some(running)) = (self.sessions.get_mut(&id), &mut site.running) {
                        session.resume();
                        running.connections.push(id);
                        self.net.wake(id);
                    }
                }
                None => self.open_connection(key),
            }
        }
    }

    pub(super) fn take_completions(&mut self) {
        let now = self.net.now();
        for (Ticket { site: key, commit, fingerprint }, Completion { result, .. }) in self.commit_queue.completions() {
            let Some(site) = &mut self.sites[key] else { continue };
            if result.is_ok()
                && !commit.is_rescue()
                && let Some(status) = self.statuses.get_mut(&key)
            {
                status.rates.add(fingerprint.size, now);
            }
            match result {
                Ok(()) => site.committed(commit, fingerprint, &mut self.commit_queue),
                Err(error) => site.uncommitted(commit, error),
            }
            self.wake_waiting_of(key);
            self.reopen(key);
        }
    }

    /// Ends the site's round; returns when its next one is due, where a connection may wait for that.
    pub(super) fn end_round(&mut self, key: usize) -> Option<Instant> {
        let now = self.net.now();
        let site = self.sites[key].as_mut()?;
        let running = site.running.take()?;
        self.running -= 1;
        let tally = running.round.tally();
        let is_cut_off = self.stop.as_ref().is_some_and(|stop| stop.cut_off.contains(&key));
        let ending = match &running.failure {
            Some(_) => Ending::Failed,
            None if is_cut_off => Ending::CutOff,
            None if tally.left == 0 && !running.round.has_work() => Ending::Done,
            None if running.round.has_progressed() || self.stop.is_some() || self.commit_queue.is_full() => {
                Ending::Backlog
            }
            None => Ending::Stalled,
        };
        running.round.end(ending == Ending::Stalled, &mut site.history);
        site.places.round_ended();
        // A caller that waits for the end of this round is to learn soon whether that stays so.
        let is_retried = ending == Ending::Stalled && !matches!(self.mode, Mode::Forever);
        let due = self.schedule.finished(key, now, if is_retried { Ending::Failed } else { ending });
        let failures = self.schedule.failures(key);
        let is_final = match self.mode {
            Mode::Once | Mode::OnceAndWait => {
                ending == Ending::Done || failures > site.settings.retries || self.stop.is_some()
            }
            Mode::Forever => false,
        };
        let report = RoundReport {
            site: Arc::clone(site.name()),
            tally,
            took: now.saturating_duration_since(running.since),
            late: running.since.saturating_duration_since(running.due),
            ending,
            failure: running.failure,
            not_taken: running.not_taken,
            is_final,
        };
        report.log(&mut site.log, &mut self.log, now, failures);
        let after_round = running.after_round;
        self.report(key, report);
        if is_final {
            self.schedule.remove(key);
            return None;
        }
        let site = self.sites[key].as_mut()?;
        match after_round {
            AfterRound::Same => due.filter(|_| self.stop.is_none()),
            AfterRound::Changed(resources) => {
                site.replace_resources(*resources);
                self.end_configuration_of(key);
                self.adopt_configuration();
                None
            }
            AfterRound::Gone => {
                self.retire(key);
                None
            }
        }
    }

    /// Looks after rounds that take long.
    pub(super) fn tick(&mut self) {
        let now = self.net.now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.log_expiries();
        self.look_after_centres(now);
        let others_wait = !self.has_capacity() && self.schedule.next_due().is_some_and(|due| due <= now);
        for site in self.sites.iter_mut().flatten() {
            site.look_after_spool(now);
            let limit = if others_wait { FAIR_SHARE.min(site.settings.round_limit) } else { site.settings.round_limit };
            if let Some(running) = &mut site.running
                && running.round.is_collecting()
                && now.saturating_duration_since(running.since) >= limit
            {
                running.round.stop_fetching();
            }
        }
        self.wake_waiting();
        self.wake_staging();
    }
}
