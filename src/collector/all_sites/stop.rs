//! The way to the end: connections that hold nothing are cut at once, and only what would be lost, or done for nothing,
//! is waited for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use log::info;

use super::Collector;
use crate::deadline::after;
use crate::net::ConnId;
use crate::proto::Count;

/// The collector has been asked to stop.
pub(super) struct Stop {
    /// When it will have stopped, whatever is under way.
    pub(super) by: Instant,
    /// Sites whose rounds were cut off.
    pub(super) cut_off: BTreeSet<usize>,
}

impl Collector {
    /// Stops within `shutdown_timeout`; asked again, at once.
    pub(super) fn stop(&mut self, shutdown_timeout: Duration) {
        let now = self.net.now();
        match &mut self.stop {
            Some(stop) => {
                info!("stopping at once");
                stop.by = now;
            }
            None => self.drain(after(now, shutdown_timeout)),
        }
    }

    /// No new rounds, no new files. Bodies under way, deletions that were asked for, and commits are brought to their end.
    fn drain(&mut self, by: Instant) {
        info!("stopping: {} under way", Count(self.running, "round"));
        self.stop = Some(Stop { by, cut_off: BTreeSet::new() });
        for key in 0..self.sites.len() {
            self.end_configuration_of(key);
        }
        for site in self.sites.iter_mut().flatten() {
            if let Some(running) = &mut site.running {
                running.round.stop_fetching();
            }
        }
        let idle = self.sessions.iter().filter(|(_, session)| !session.has_file_under_way());
        let idle: Vec<ConnId> = idle.map(|(&id, _)| id).collect();
        for id in idle {
            self.cut_off(id);
        }
        self.wake_waiting();
        for key in 0..self.sites.len() {
            self.reopen(key);
        }
    }

    /// Ends a connection that has no file under way.
    fn cut_off(&mut self, id: ConnId) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        if let Some(mut io) = self.net.io(id) {
            session.quit(&mut *io);
        }
        self.net.close(id);
        let key = session.site();
        let Some(site) = &mut self.sites[key] else { return };
        if session.is_parked() {
            site.parked = None;
            return;
        }
        if let (false, Some(stop)) = (session.is_ready(), &mut self.stop) {
            stop.cut_off.insert(key);
        }
        if let Some(running) = &mut site.running {
            running.drop_connection(id);
        }
        session.abandon(site, &mut self.commit_queue);
    }
}
