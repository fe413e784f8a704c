//! Connections of rounds: opened, pumped, mended.

use std::sync::Arc;

use log::debug;

use super::{Collector, TICK};
use crate::collector::Reason;
use crate::collector::session::{Context, PumpOutcome, Session};
use crate::collector::site::Site;
use crate::net::{ConnId, Failure, Phase};
use crate::proto::quoted;
use crate::sync::ConnectionKey;

impl Collector {
    pub(super) fn open_connection(&mut self, key: usize) {
        let Some(site) = &mut self.sites[key] else { return };
        let offer = site.offers_certificate();
        let Some(running) = &mut site.running else { return };
        let id = self.net.open(key, Arc::clone(&site.target), offer);
        let is_first = running.connections.is_empty();
        running.connections.push(id);
        self.connections_opened = self.connections_opened.wrapping_add(1);
        let connection = ConnectionKey(self.connections_opened);
        let session = if is_first { Session::new(key, connection) } else { Session::beside(key, connection) };
        self.sessions.insert(id, session);
    }

    pub(super) fn opened(&mut self, id: ConnId) {
        self.look_at_certificate(id);
        match self.work(id, Session::opened) {
            Some((_, Ok(()))) => self.pump(id),
            Some((_, Err(reason))) => self.connection_broke(id, reason),
            None => {}
        }
    }

    /// Lets an open connection's session work; its site's key, and what came of it.
    fn work<T>(&mut self, id: ConnId, act: impl FnOnce(&mut Session, &mut Context<'_>) -> T) -> Option<(usize, T)> {
        let session = self.sessions.get_mut(&id)?;
        let key = session.site();
        let site = self.sites[key].as_mut()?;
        let mut io = self.net.io(id)?;
        Some((key, act(session, &mut Context { io: &mut *io, site, commit_queue: &mut self.commit_queue })))
    }

    pub(super) fn pump(&mut self, id: ConnId) {
        if self.pump_configuration(id) {
            return;
        }
        let pumped = self.work(id, |session, cx| (cx.site.outlook(), session.pump(cx)));
        let Some((key, (before, outcome))) = pumped else { return };
        let waits = outcome.as_ref().is_ok_and(|pause| *pause == PumpOutcome::Waiting);
        if let Some(Site { running: Some(running), .. }) = &mut self.sites[key] {
            // Whatever this one did may be what the others waited for. Those that did nothing must not wake each other.
            if !waits || before != Some(running.round.outlook()) {
                for waiting in running.waiting.drain(..) {
                    self.net.wake(waiting);
                }
            }
            if waits && !running.waiting.contains(&id) {
                running.waiting.push(id);
            }
        }
        match outcome {
            Ok(PumpOutcome::Blocked | PumpOutcome::Waiting) => self.add_connections(key),
            Ok(PumpOutcome::Staging) => {
                self.staging.insert(id);
                self.add_connections(key);
            }
            Ok(PumpOutcome::Paced(at)) => {
                self.paced.insert((at, id));
                self.add_connections(key);
            }
            Ok(PumpOutcome::Leaving) => self.leave(id, key),
            Ok(PumpOutcome::Exhausted) => {
                self.quit(id);
                self.detach(id, key);
            }
            Ok(PumpOutcome::Dropped) => self.dropped(id, key),
            Err(reason) => self.connection_broke(id, reason),
        }
    }

    /// More connections for a round that has work for them, as long as nobody else waits for one.
    fn add_connections(&mut self, key: usize) {
        if self.stop.is_some() {
            return;
        }
        let others_wait = self.schedule.next_due().is_some_and(|due| due <= self.net.now());
        loop {
            let spare = self.has_capacity() && !others_wait;
            let Some(site) = &self.sites[key] else { return };
            let Some(running) = &site.running else { return };
            if !spare
                || running.failure.is_some()
                || running.connections.len() >= running.round.connections_wanted(site.connections())
            {
                return;
            }
            self.open_connection(key);
        }
    }

    /// The round has nothing more for this connection.
    fn leave(&mut self, id: ConnId, key: usize) {
        let Some(Site { running: Some(running), settings, .. }) = &mut self.sites[key] else { return };
        running.connections.retain(|connection| *connection != id);
        let last = running.connections.is_empty();
        let keep_open = settings.keep_open;
        let due = if last { self.end_round(key) } else { None };
        if due.is_some() && self.begin_configuration(id, key) {
            return;
        }
        // Connections at rest must not keep other sites from having one.
        let room = self.net.connections() <= self.max_connections / 2;
        let soon = room && due.is_some_and(|due| due.saturating_duration_since(self.net.now()) <= keep_open);
        if let (true, Some(session), Some(site)) = (soon, self.sessions.get_mut(&id), &mut self.sites[key]) {
            session.park();
            site.parked = Some(id);
            if let Some(mut io) = self.net.io(id) {
                io.set_deadline(Some(keep_open.saturating_add(TICK)));
            }
            return;
        }
        self.quit(id);
    }

    /// Lets go of the connection that waits for a site's next round: what it was opened with may count no more.
    pub(super) fn unpark(&mut self, key: usize) {
        if let Some(id) = self.sites[key].as_mut().and_then(|site| site.parked.take()) {
            self.quit(id);
        }
    }

    /// QUIT, then the connection's orderly end.
    fn quit(&mut self, id: ConnId) {
        if let (Some(mut session), Some(mut io)) = (self.sessions.remove(&id), self.net.io(id)) {
            session.quit(&mut *io);
        }
        self.net.close(id);
    }

    /// The site closed while nothing was under way, as stock does with an idle client.
    fn dropped(&mut self, id: ConnId, key: usize) {
        self.net.close(id);
        let parked = self.sessions.remove(&id).is_some_and(|session| session.is_parked());
        let Some(site) = &mut self.sites[key] else { return };
        if parked {
            site.parked = site.parked.filter(|other| *other != id);
            return;
        }
        self.detach(id, key);
    }

    /// The round goes on without this connection.
    pub(super) fn detach(&mut self, id: ConnId, key: usize) {
        if let Some(Site { running: Some(running), .. }) = &mut self.sites[key] {
            running.drop_connection(id);
        }
        self.reopen(key);
    }

    /// A round that lost its last connection gets a new one as soon as there is work for it, and room, or ends: at a stop, as
    /// soon as nothing of it is being committed.
    pub(super) fn reopen(&mut self, key: usize) {
        let Some(Site { running: Some(running), .. }) = &self.sites[key] else { return };
        if !running.connections.is_empty() {
            return;
        }
        let over = running.round.is_complete() || running.failure.is_some() || self.stop.is_some();
        if over && running.round.committing() == 0 {
            self.end_round(key);
        } else if !over && running.round.has_work() {
            if self.has_capacity() {
                self.open_connection(key);
            } else if !self.awaiting_capacity.contains(&key) {
                self.awaiting_capacity.push_back(key);
            }
        }
    }

    pub(super) fn failed(&mut self, id: ConnId, failure: Failure) {
        let Some(session) = self.sessions.get(&id) else { return self.configuration_failed(id, failure) };
        let Some(site) = &self.sites[session.site()] else { return };
        let reason = match failure {
            Failure::Timeout(Phase::Session) => Reason::slow(session.awaited(), session.is_in_body(), &site.settings),
            other => Reason::Net(other),
        };
        self.connection_broke(id, reason);
    }

    /// A connection is of no more use: its step goes back, and the round breaks off unless there is a way on.
    fn connection_broke(&mut self, id: ConnId, reason: Reason) {
        self.net.abort(id);
        let Some(mut session) = self.sessions.remove(&id) else { return };
        let key = session.site();
        let Some(site) = &mut self.sites[key] else { return };
        if session.is_parked() {
            site.parked = None;
            return;
        }
        let mut others = 0;
        if let Some(running) = &mut site.running {
            running.drop_connection(id);
            others = running.connections.len();
        }
        let found_no_place = others > 0 && session.awaits_place();
        if found_no_place {
            session.hand_back(site);
            site.found_no_place(others);
        }
        let harmless =
            found_no_place || session.may_end() || (reason.is_certificate_refusal() && site.withdraw_certificate());
        let reason = match session.file() {
            Some((file, came)) => reason.with_file(file, came),
            None => reason,
        };
        session.abandon(site, &mut self.commit_queue);
        if !harmless {
            debug!("site={} reason={} {reason}", quoted(&**site.name()), reason.code());
            site.fail_round(reason);
        }
        self.wake_waiting_of(key);
        self.reopen(key);
    }

    pub(super) fn wake_waiting_of(&mut self, key: usize) {
        if let Some(Site { running: Some(running), .. }) = &mut self.sites[key] {
            for id in running.waiting.drain(..) {
                self.net.wake(id);
            }
        }
    }

    /// Some files that wait for their directory may go on, or the directory may not answer.
    pub(super) fn wake_staging(&mut self) {
        let Self { staging, sessions, net, .. } = self;
        staging.retain(|id| {
            let Some(session) = sessions.get(id) else { return false };
            let still_waits = session.awaits_staging();
            if !still_waits {
                net.wake(*id);
            }
            still_waits
        });
    }

    /// Connections whose next message may be sent by now.
    pub(super) fn wake_paced(&mut self) {
        while let Some((at, id)) = self.paced.pop_first() {
            if at > self.net.now() {
                self.paced.insert((at, id));
                return;
            }
            self.net.wake(id);
        }
    }

    pub(super) fn wake_waiting(&mut self) {
        for key in 0..self.sites.len() {
            self.wake_waiting_of(key);
        }
    }
}
