//! Steps at sites, carried out for a command: on a loop of its own, beside which no data is collected.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use log::info;

use super::outcome::Interruption;
use super::session::{ConfigContext, ConfigPumped, ConfigSession, Dialect};
use crate::collector::Reason;
use crate::collector::limited_net::LimitedNet;
use crate::config::{Settings, SiteSettings};
use crate::net::{ConnId, Event, Failure, Net, Phase, Target};
use crate::proto::quoted;
use crate::sync::remote_config::{CentreStep, StepOutcome, Steps};
use crate::tls::ClientCertPolicy;

/// What is to be done at each of the sites.
pub(super) trait Work {
    type Steps: Steps;

    /// A connection to the site stands.
    fn begin(&mut self, site: usize, now: Instant) -> Self::Steps;

    /// Has the centre's directories carry this out. Waits for the disk.
    fn ask(&mut self, site: usize, step: CentreStep) -> StepOutcome;

    /// The site's steps have gone on, or may have; this is asked of the centre next, if anything is.
    fn went_on(&mut self, site: usize, steps: &Self::Steps, next: Option<&CentreStep>, now: Instant);

    /// No more is done at the site: all, unless there was an `interruption`; nothing, where it had no `steps`.
    fn ended(&mut self, site: usize, steps: Option<Self::Steps>, interruption: Option<Interruption>, now: Instant);
}

/// A site to connect to.
pub(super) struct RunSite {
    pub(super) settings: SiteSettings,
    pub(super) target: Arc<Target>,
}

/// A site that is to have a connection.
struct Attempt<S> {
    site: usize,
    /// Whether our certificate is shown there.
    offer: bool,
    /// What is known of its server.
    dialect: Dialect,
    /// Those that an earlier connection could take no more of.
    steps: Option<S>,
}

/// A site that has one.
struct Conversation<S> {
    attempt: Attempt<S>,
    session: ConfigSession,
}

/// The loop.
pub(super) struct Runner<'a, W: Work> {
    net: LimitedNet,
    sites: &'a [RunSite],
    work: &'a mut W,
    most_connections: usize,
    waiting: VecDeque<Attempt<W::Steps>>,
    open: HashMap<ConnId, Conversation<W::Steps>>,
}

impl<'a, W: Work> Runner<'a, W> {
    /// Connects to nothing yet. What holds for all sites together is in `settings`.
    pub(super) fn new(net: Net, sites: &'a [RunSite], settings: &Settings, work: &'a mut W) -> Self {
        let mut net = LimitedNet::new(Box::new(net), TimeZone::system);
        net.limit_all(&settings.bwlimit);
        for (key, RunSite { settings, .. }) in sites.iter().enumerate() {
            net.limit_site(key, &settings.bwlimit);
        }
        let attempt = |(site, RunSite { settings, .. }): (usize, &RunSite)| {
            let tls = settings.tls.as_ref();
            let offer = tls.is_some_and(|tls| tls.identity.is_some() && tls.offer != ClientCertPolicy::Never);
            let dialect = if settings.extension { Dialect::Unknown } else { Dialect::Stock };
            Attempt { site, offer, dialect, steps: None }
        };
        let waiting = sites.iter().enumerate().map(attempt).collect();
        let most_connections = settings.max_connections;
        Self { net, sites, work, most_connections, waiting, open: HashMap::new() }
    }

    /// Runs until all sites are done, or a signal comes.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            self.open_more();
            if self.open.is_empty() && self.waiting.is_empty() {
                return Ok(());
            }
            for event in self.net.poll_once(None)? {
                match event {
                    Event::Opened(id) | Event::Ready(id) => self.pump(id),
                    Event::Failed(id, failure) => self.failed(id, failure),
                    Event::Signal(_) => {
                        self.stop();
                        return Ok(());
                    }
                    Event::Resolved(..)
                    | Event::Connected(..)
                    | Event::Woken
                    | Event::Local(_)
                    | Event::Accepted(..)
                    | Event::Arrived(_)
                    | Event::AcceptFailed(_) => {}
                }
            }
        }
    }

    fn open_more(&mut self) {
        while self.open.len() < self.most_connections.max(1)
            && let Some(attempt) = self.waiting.pop_front()
        {
            let id = self.net.open(attempt.site, Arc::clone(&self.sites[attempt.site].target), attempt.offer);
            let session = ConfigSession::open(attempt.site, attempt.dialect);
            self.open.insert(id, Conversation { attempt, session });
        }
    }

    fn pump(&mut self, id: ConnId) {
        while let Some(pumped) = self.go_on(id) {
            match pumped {
                Ok(ConfigPumped::Blocked) => return,
                Ok(ConfigPumped::Ask(asked, step)) => {
                    if let Some(Conversation { attempt: Attempt { site, steps: Some(steps), .. }, session }) =
                        self.open.get_mut(&id)
                    {
                        steps.after(asked, self.work.ask(*site, step));
                        session.resume();
                    }
                }
                Ok(ConfigPumped::Finished) => {
                    self.net.close(id);
                    self.end(id, None);
                }
                Ok(ConfigPumped::Exhausted) => {
                    self.net.close(id);
                    self.try_again(id, |_| {});
                }
                Err(reason) => self.broke(id, reason),
            }
        }
    }

    /// Lets a connection's session go on; `None` if it has none.
    fn go_on(&mut self, id: ConnId) -> Option<Result<ConfigPumped, Reason>> {
        let now = self.net.now();
        let Conversation { attempt: Attempt { site, steps, .. }, session } = self.open.get_mut(&id)?;
        let mut io = self.net.io(id)?;
        let steps = steps.get_or_insert_with(|| self.work.begin(*site, now));
        let settings = &self.sites[*site].settings;
        let pumped = session.pump(&mut ConfigContext { io: &mut *io, settings, steps });
        if let Ok(ConfigPumped::Finished) = pumped {
            session.quit(&mut *io);
        }
        let next = if let Ok(ConfigPumped::Ask(_, step)) = &pumped { Some(step) } else { None };
        self.work.went_on(*site, steps, next, now);
        Some(pumped)
    }

    /// Has the site have another connection, which goes on where this one has ended.
    fn try_again(&mut self, id: ConnId, with: impl FnOnce(&mut Attempt<W::Steps>)) {
        if let Some(Conversation { mut attempt, .. }) = self.open.remove(&id) {
            attempt.steps.iter_mut().for_each(Steps::interrupted);
            with(&mut attempt);
            self.waiting.push_back(attempt);
        }
    }

    fn failed(&mut self, id: ConnId, failure: Failure) {
        let Some(Conversation { attempt, .. }) = self.open.get(&id) else { return };
        let reason = match failure {
            Failure::Timeout(Phase::Session) => {
                Reason::slow("the answer".to_owned(), false, &self.sites[attempt.site].settings)
            }
            other => Reason::Net(other),
        };
        self.broke(id, reason);
    }

    fn broke(&mut self, id: ConnId, reason: Reason) {
        self.net.abort(id);
        let Some(Conversation { attempt, session }) = self.open.get(&id) else { return };
        let settings = &self.sites[attempt.site].settings;
        let is_automatic = settings.tls.as_ref().is_some_and(|tls| tls.offer == ClientCertPolicy::Auto);
        if attempt.offer && is_automatic && reason.is_certificate_refusal() {
            info!(
                "site={} refuses our certificate: going on without one (offer_client_cert = \"auto\")",
                quoted(&settings.name)
            );
            return self.try_again(id, |attempt| attempt.offer = false);
        }
        if session.is_asking() {
            info!("site={} ends the connection when asked for the extension: going on without", quoted(&settings.name));
            return self.try_again(id, |attempt| attempt.dialect = Dialect::Stock);
        }
        self.end(id, Some(Interruption::Failed(reason)));
    }

    fn end(&mut self, id: ConnId, interruption: Option<Interruption>) {
        if let Some(Conversation { attempt: Attempt { site, steps, .. }, .. }) = self.open.remove(&id) {
            self.work.ended(site, steps, interruption, self.net.now());
        }
    }

    /// What is under way ends where it is: the next round goes on from there.
    fn stop(&mut self) {
        let ids: Vec<ConnId> = self.open.keys().copied().collect();
        for id in ids {
            self.net.abort(id);
            self.end(id, Some(Interruption::Stopped));
        }
        for Attempt { site, steps, .. } in std::mem::take(&mut self.waiting) {
            self.work.ended(site, steps, Some(Interruption::Stopped), self.net.now());
        }
    }
}
