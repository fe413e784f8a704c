//! From a connection's arrival to its end.

use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use log::debug;

use super::{Backend, Client, Service};
use crate::net::{ConnId, Failure, Phase};
use crate::server::Reason;
use crate::server::admission::{End, Rejected};
use crate::server::relay::{Relay, Relayed};
use crate::server::session::{Context, PumpOutcome, Session};
use crate::server::storage::Done;
use crate::server::throttled_log::Subject;

impl Service {
    pub(super) fn arrived(&mut self, id: ConnId, peer: SocketAddr) {
        let client = peer.ip().to_canonical();
        self.status.accepted(self.admission.inside() + self.admission.waiting() + 1);
        match self.admission.arrive(id, client, self.net.now()) {
            Ok(gone) => {
                debug!("client={peer} connected");
                self.clients.insert(id, (peer, Client::Waiting));
                if let Some(gone) = gone {
                    self.turn_away(gone);
                }
            }
            Err(why) => {
                self.net.abort(id);
                self.log_turned_away(client, why);
            }
        }
    }

    /// There is no more room for one that waited.
    fn turn_away(&mut self, id: ConnId) {
        self.net.abort(id);
        if let Some((peer, _)) = self.clients.remove(&id) {
            self.log_turned_away(peer.ip().to_canonical(), Rejected::Full);
        }
    }

    fn log_turned_away(&mut self, client: IpAddr, why: Rejected) {
        self.status.turned_away(why, self.net.now());
        let (key, why) = match why {
            Rejected::Denied => ("denied", "hosts.allow and hosts.deny do not let it in".to_owned()),
            Rejected::TooMany(most) => {
                ("too many", format!("it has {most} connections already (max_connections_per_client)"))
            }
            Rejected::Full => {
                ("full", "too many wait for a connection, most of them from there (max_connections)".into())
            }
        };
        let text = format!("client={client} reason=turned-away {why}");
        self.log.warn(Subject::Client(client), key, &text, self.net.now());
    }

    /// A client that waits has sent something.
    pub(super) fn has_sent(&mut self, id: ConnId) {
        if let Some((peer, Client::Waiting)) = self.clients.get(&id) {
            self.admission.has_sent(id, peer.ip().to_canonical(), self.net.now());
        }
    }

    /// Lets those in for whom there is room, by turns.
    pub(super) fn admit(&mut self) {
        while self.room() > 0
            && let Some(id) = self.admission.next()
        {
            if let Some((_, kind)) = self.clients.get_mut(&id) {
                *kind = Client::Arriving;
            }
            self.net.admit(id);
        }
    }

    pub(super) fn opened(&mut self, id: ConnId) {
        let Some(&(peer, ref kind)) = self.clients.get(&id) else { return };
        let upstream = if let Client::Upstream(client) = *kind { Some(client) } else { None };
        self.look_at_certificate(id);
        if let Some(client) = upstream {
            return self.upstream_opened(id, client);
        }
        match &self.backend {
            Backend::Storage(_, policy) => {
                let Some(mut io) = self.net.io(id) else { return };
                // What it came in through: there may be another listener config by now.
                let acceptor = io.listener_config().and_then(|listener_config| listener_config.tls.clone());
                let is_verified = acceptor.is_some_and(|acceptor| acceptor.verifies_clients());
                let session = Session::new(peer, Arc::clone(policy), io.peer(), is_verified);
                self.clients.insert(id, (peer, Client::Session(Box::new(session))));
                self.with_session(id, Session::opened);
            }
            Backend::Relay(target) => {
                let upstream = self.net.open(Arc::clone(target), true);
                self.clients.insert(upstream, (peer, Client::Upstream(id)));
                self.clients.insert(id, (peer, Client::Relay(Box::new(Relay::new(id, upstream)))));
            }
        }
    }

    /// The server behind us lets a moved file go when its client ends the connection. Unless ours has done so, it must
    /// not look like that. And from now on, silence counts against the client; until now it was that server's turn.
    fn upstream_opened(&mut self, upstream: ConnId, client: ConnId) {
        self.status.reached = Some(self.net.now());
        if let Some(mut io) = self.net.io(upstream)
            && let Err(error) = io.break_when_dropped()
        {
            return self.fail(upstream, &Reason::Upstream(Failure::Io(error)));
        }
        if let Some(mut io) = self.net.io(client) {
            io.set_deadline(Some(self.limits.idle_timeout));
        }
        self.pump(client);
    }

    pub(super) fn pump(&mut self, id: ConnId) {
        match self.clients.get_mut(&id) {
            None | Some((_, Client::Waiting | Client::Arriving)) => {}
            Some((_, Client::Session(_))) => self.with_session(id, Session::pump),
            Some((_, Client::Relay(relay))) => match relay.pump(&mut self.net, self.limits.idle_timeout) {
                Ok(Relayed::Blocked) => {}
                Ok(Relayed::Yielding) => self.net.wake(id),
                Ok(Relayed::For(wait)) => drop(self.wakeups.insert((self.net.now() + wait, id))),
                Ok(Relayed::Over) => self.close(id),
                Err(reason) => self.fail(id, &reason),
            },
            Some((_, Client::Upstream(client))) => {
                let client = *client;
                self.pump(client);
            }
        }
    }

    /// What the storage's threads have done goes to the sessions that wait for it.
    pub(super) fn take_done(&mut self) {
        let Backend::Storage(storage, _) = &mut self.backend else { return };
        let done = storage.done();
        self.hand_out(done);
    }

    /// Goes on with the listings that clients wait for.
    pub(super) fn list(&mut self) {
        let Backend::Storage(storage, _) = &mut self.backend else { return };
        let listed = storage.listings().go_on(self.net.now());
        self.hand_out(listed.into_iter().map(|(id, listed)| (id, Done::Listed(listed))).collect());
    }

    fn hand_out(&mut self, done: Vec<(ConnId, Done)>) {
        let mut done = done.into_iter().peekable();
        while let Some((id, first)) = done.next() {
            // Together: they are answered together.
            let further = iter::from_fn(|| done.next_if(|(next, _)| *next == id)).map(|(_, done)| done);
            let all: Vec<Done> = iter::once(first).chain(further).collect();
            self.with_session(id, |session, cx| {
                all.into_iter().try_for_each(|done| session.done(done, cx))?;
                session.pump(cx)
            });
        }
    }

    /// Lets a session go on, and does what it returns.
    fn with_session(
        &mut self,
        id: ConnId,
        go_on: impl FnOnce(&mut Session, &mut Context<'_>) -> Result<PumpOutcome, Reason>,
    ) {
        let Backend::Storage(storage, _) = &mut self.backend else { return };
        let Some((_, Client::Session(session))) = self.clients.get_mut(&id) else { return };
        let Some(mut io) = self.net.io(id) else { return };
        let (log, status) = (&mut self.log, &mut self.status);
        let mut cx = Context { id, io: &mut io, storage, limits: &self.limits, log, status };
        let outcome = go_on(session, &mut cx);
        let is_resting = session.is_resting();
        match outcome {
            Ok(PumpOutcome::Over) => self.close(id),
            Ok(PumpOutcome::Blocked) if is_resting && self.stop_by.is_some() => self.drain_one(id, End::Own),
            Ok(PumpOutcome::Blocked) => {}
            Ok(PumpOutcome::Leaving) => self.net.half_close(id),
            Ok(PumpOutcome::For(wait)) => drop(self.wakeups.insert((self.net.now() + wait, id))),
            Err(reason) => self.fail(id, &reason),
        }
    }

    /// Ends a connection on which nothing is under way.
    pub(super) fn drain_one(&mut self, id: ConnId, end: End) {
        match self.clients.get(&id) {
            Some((_, Client::Session(session))) if session.has_unconfirmed() => self.net.half_close(id),
            _ => self.end(id, end),
        }
    }

    /// A connection has failed, and is gone already.
    pub(super) fn failed(&mut self, id: ConnId, failure: Failure) {
        let Some((_, kind)) = self.clients.get(&id) else { return };
        let reason = match (kind, failure) {
            (Client::Waiting, Failure::ClientTimeout(_)) => {
                Reason::TooSlow { awaited: "the client's first byte".into(), limits: "idle_timeout" }
            }
            // It is gone, and nothing was begun.
            (Client::Waiting, _) => return self.close(id),
            (Client::Session(session), Failure::ClientTimeout(Phase::Session)) => {
                Reason::TooSlow { awaited: session.awaited(), limits: session.limits_in_force() }
            }
            (Client::Upstream(_), failure) => Reason::Upstream(failure),
            (Client::Relay(_), Failure::ClientTimeout(Phase::Session)) => {
                let awaited = "a word from the client, or from the server behind it,".into();
                Reason::TooSlow { awaited, limits: "idle_timeout" }
            }
            (_, failure) => Reason::Connection(failure),
        };
        self.fail(id, &reason);
    }

    /// Ends a connection that went wrong.
    pub(super) fn fail(&mut self, id: ConnId, reason: &Reason) {
        let Some((peer, kind)) = self.clients.get(&id) else { return };
        if let Client::Relay(relay) = kind {
            self.net.abort(relay.upstream());
        }
        let client = peer.ip().to_canonical();
        let now = self.net.now();
        self.status.failed(reason.code(), now);
        if let Reason::Upstream(_) = reason {
            self.status.upstream_failed(reason.to_string(), now);
        }
        let text = format!("client={client} reason={} {reason}", reason.code());
        self.log.warn(Subject::Client(client), &reason.log_key(), &text, now);
        let end = if matches!(reason, Reason::Crowded { .. }) { End::Slow } else { End::Own };
        self.end(id, end);
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, id: ConnId) {
        self.end(id, End::Own);
    }

    /// Ends a connection, and with it the other half of a relay.
    fn end(&mut self, id: ConnId, end: End) {
        let Some((peer, kind)) = self.clients.remove(&id) else { return };
        debug!("client={peer} disconnected");
        match kind {
            Client::Upstream(_) => self.net.abort_unless_shut_down(id),
            Client::Waiting | Client::Arriving | Client::Session(_) | Client::Relay(_) => self.net.close(id),
        }
        let other = match kind {
            Client::Upstream(client) => client,
            Client::Relay(relay) => {
                self.admission.leave(id, peer.ip().to_canonical(), end);
                relay.upstream()
            }
            Client::Waiting | Client::Arriving | Client::Session(_) => {
                return self.admission.leave(id, peer.ip().to_canonical(), end);
            }
        };
        self.end(other, end);
    }
}
