//! Configuration rounds, and the centre's directories that they need.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;

use super::Collector;
use crate::collector::Reason;
use crate::collector::configuring::{ConfigContext, ConfigEnd, ConfigPumped, ConfigSession, RoundStart, SiteConfig};
use crate::collector::site::Site;
use crate::net::{ConnId, Failure, Phase};
use crate::proto::Count;
use crate::store::{CentralCompletion, CentralConfig, CentralView, CommitterNotify, InStepFile};
use crate::sync::remote_config::{Centre, CentreStep, Item, Mode, RoundPolicy, StepOutcome, guard};

/// Items that are believed to be in step, and are compared in a round all the same.
const ROTATION: usize = 16;

/// Items of a kind that a log line names.
const NAMED: usize = 5;

/// A pair that has not fitted for so long is no edit under way.
const UNFIT_FOR: Duration = Duration::from_secs(300);

/// How often that is looked at.
const UNFIT_TICK: Duration = Duration::from_secs(10);

/// The centre's directories that sites have their configuration from, by the incoming directories they are in.
pub(in crate::collector) struct Centres {
    notify: CommitterNotify,
    by_incoming: HashMap<PathBuf, CentreWatch>,
    /// The sites that wait for what was asked, by ticket.
    asked: HashMap<u64, usize>,
    last_ticket: u64,
    /// When pairs that do not fit are looked after next.
    unfit_tick: Instant,
}

struct CentreWatch {
    central: CentralConfig,
    /// What the sites were last compared with.
    seen: Option<Arc<Centre>>,
    /// Since when pairs do not fit.
    unfit: BTreeMap<Item, UnfitSince>,
}

/// A pair that does not fit: while somebody edits it, or for longer.
#[derive(Clone, Copy)]
enum UnfitSince {
    Recent(Instant),
    Reported,
}

impl CentreWatch {
    /// Logs the pairs that have not fitted for too long to be edited just now, each once.
    fn report_unfit(&mut self, now: Instant) {
        let CentralView::Seen { unfit, .. } = self.central.view() else { return };
        self.unfit.retain(|item, _| unfit.iter().any(|pair| pair.item == *item));
        let mut more = 0;
        let mut named = 0;
        for pair in &*unfit {
            let since = self.unfit.entry(pair.item.clone()).or_insert(UnfitSince::Recent(now));
            match *since {
                UnfitSince::Recent(start) if now.saturating_duration_since(start) >= UNFIT_FOR => {
                    *since = UnfitSince::Reported;
                    if named == NAMED {
                        more += 1;
                    } else {
                        named += 1;
                        warn!("reason=remote-config-unfit not sent to any site: {pair}");
                    }
                }
                UnfitSince::Recent(_) | UnfitSince::Reported => {}
            }
        }
        if more > 0 {
            warn!("reason=remote-config-unfit {} not sent to any site either: see check", Count(more, "pair of files"));
        }
    }
}

impl Centres {
    /// `notify` wakes the loop.
    pub(in crate::collector) fn new(notify: CommitterNotify, now: Instant) -> Self {
        Self { notify, by_incoming: HashMap::new(), asked: HashMap::new(), last_ticket: 0, unfit_tick: now }
    }

    fn of(&self, incoming: &Path) -> Option<&CentreWatch> {
        self.by_incoming.get(incoming)
    }

    fn open(&mut self, incoming: &Path) -> bool {
        if self.by_incoming.contains_key(incoming) {
            return true;
        }
        let notify = Arc::clone(&self.notify);
        match CentralConfig::start(incoming, Box::new(move || notify())) {
            Ok(central) => {
                self.by_incoming
                    .insert(incoming.to_owned(), CentreWatch { central, seen: None, unfit: BTreeMap::new() });
                true
            }
            Err(error) => {
                warn!("{error}");
                false
            }
        }
    }

    /// Waits until what was in step is saved.
    pub(super) fn stop(self) {
        self.by_incoming.into_values().for_each(|watch| watch.central.stop());
    }

    fn ticket(&mut self, site: usize) -> u64 {
        self.last_ticket += 1;
        self.asked.insert(self.last_ticket, site);
        self.last_ticket
    }
}

impl Collector {
    /// Sites whose configuration is to be kept the same as the centre's, and their directories, from now on.
    pub(super) fn adopt_configuration(&mut self) {
        for key in 0..self.sites.len() {
            let is_wanted = self.mode == super::Mode::Forever
                && self.sites[key].as_ref().is_some_and(|site| site.settings.remote_config);
            if is_wanted {
                self.open_configuration(key);
            } else {
                self.end_configuration_of(key);
            }
        }
        let used: Vec<&Path> = self
            .sites
            .iter()
            .flatten()
            .filter(|site| site.configuration.is_some())
            .map(|site| site.spool.incoming())
            .collect();
        self.centres.by_incoming.retain(|incoming, _| used.contains(&incoming.as_path()));
    }

    fn open_configuration(&mut self, key: usize) {
        let now = self.net.now();
        let Some(site) = &mut self.sites[key] else { return };
        if site.configuration.is_some() || !self.centres.open(site.spool.incoming()) {
            return;
        }
        let file = InStepFile::new(&self.state_dir, site.name());
        let ticket = self.centres.ticket(key);
        if let Some(watch) = self.centres.of(site.spool.incoming()) {
            watch.central.load(ticket, file.clone());
        }
        site.configuration = Some(SiteConfig::new(file, now));
    }

    /// Has a connection of which a data round has no more use begin a configuration round, where one is due; whether it does.
    pub(super) fn begin_configuration(&mut self, id: ConnId, key: usize) -> bool {
        let now = self.net.now();
        let Some(site) = &self.sites[key] else { return false };
        if self.stop.is_some() || !site.configuration.as_ref().is_some_and(|config| config.is_due(now)) {
            return false;
        }
        let incoming = site.spool.incoming();
        let Some(centre) = self.centres.of(incoming).and_then(|watch| watch.central.centre()) else { return false };
        // Without what other sites have, it cannot be seen how much is missing.
        let of_centre = self.sites.iter().flatten().filter(|other| other.spool.incoming() == incoming);
        let in_step: Option<Vec<_>> =
            of_centre.filter_map(|other| other.configuration.as_ref()).map(SiteConfig::in_step).collect();
        let Some(deletions) = in_step.map(|in_step| guard(&centre, in_step)) else { return false };
        let Some(session) = self.sessions.remove(&id) else { return false };
        let policy = RoundPolicy { rotation: ROTATION, deletions, named: NAMED, mode: Mode::Apply };
        if let Some(config) = self.sites[key].as_mut().and_then(|site| site.configuration.as_mut()) {
            config.begin(RoundStart { centre, policy, connection: id, now });
        }
        self.config_sessions.insert(id, ConfigSession::new(key, session.into_driver()));
        self.net.wake(id);
        true
    }

    /// Lets a connection's configuration round go on, if it has one; whether it has.
    pub(super) fn pump_configuration(&mut self, id: ConnId) -> bool {
        let Some(session) = self.config_sessions.get_mut(&id) else { return false };
        let key = session.site();
        let Some(Site { settings, configuration: Some(config), .. }) = &mut self.sites[key] else { return true };
        let (Some((round, _)), Some(mut io)) = (config.running(), self.net.io(id)) else { return true };
        let pumped = session.pump(&mut ConfigContext { io: &mut *io, settings, round });
        drop(io);
        match pumped {
            Ok(ConfigPumped::Blocked) => {}
            Ok(ConfigPumped::Ask(step)) => self.ask_centre(key, step),
            Ok(ConfigPumped::Finished) => self.end_configuration(key, &ConfigEnd::Done),
            Ok(ConfigPumped::Exhausted) => self.end_configuration(key, &ConfigEnd::Exhausted),
            Err(reason) => self.configuration_broke(id, reason),
        }
        true
    }

    fn ask_centre(&mut self, key: usize, step: CentreStep) {
        let Some(site) = &self.sites[key] else { return };
        let ticket = self.centres.ticket(key);
        let Some(watch) = self.centres.of(site.spool.incoming()) else { return };
        match step {
            CentreStep::Read { item } => watch.central.read(ticket, item),
            CentreStep::Publish { item, content } => watch.central.publish(ticket, item, content),
        }
    }

    /// What the centre's directories were asked, and whether they have changed.
    pub(super) fn take_centre_news(&mut self) {
        let watches = self.centres.by_incoming.values();
        let completions: Vec<CentralCompletion> = watches.flat_map(|watch| watch.central.completions()).collect();
        for completion in completions {
            self.centre_answered(completion);
        }
        let mut changed = Vec::new();
        for (incoming, watch) in &mut self.centres.by_incoming {
            let centre = watch.central.centre();
            if centre != watch.seen {
                let before = std::mem::replace(&mut watch.seen, centre).unwrap_or_default();
                changed.push((incoming.clone(), before));
            }
        }
        for (incoming, before) in changed {
            self.centre_changed(&incoming, &before);
        }
    }

    fn centre_answered(&mut self, completion: CentralCompletion) {
        let (ticket, outcome) = match completion {
            CentralCompletion::Loaded { ticket, in_step } => {
                let key = self.centres.asked.remove(&ticket);
                if let Some(config) = key.and_then(|key| self.sites[key].as_mut()?.configuration.as_mut()) {
                    config.loaded(in_step);
                }
                return;
            }
            CentralCompletion::Read { ticket, content } => (ticket, StepOutcome::Read(content)),
            CentralCompletion::Published { ticket, result } => {
                (ticket, StepOutcome::Published(result.map_err(|error| error.to_string())))
            }
        };
        let key = self.centres.asked.remove(&ticket);
        let Some(config) = key.and_then(|key| self.sites[key].as_mut()?.configuration.as_mut()) else { return };
        let Some((round, id)) = config.running() else { return };
        round.after(outcome);
        if let Some(session) = self.config_sessions.get_mut(&id) {
            session.resume();
            self.net.wake(id);
        }
    }

    /// Looks after pairs at the centre that do not fit.
    pub(super) fn report_unfit(&mut self) {
        let now = self.net.now();
        if now < self.centres.unfit_tick {
            return;
        }
        self.centres.unfit_tick = now + UNFIT_TICK;
        self.centres.by_incoming.values_mut().for_each(|watch| watch.report_unfit(now));
    }

    /// What was edited goes to the sites that have it, at once.
    fn centre_changed(&mut self, incoming: &Path, before: &Centre) {
        let now = self.net.now();
        let Some(after) = self.centres.of(incoming).and_then(|watch| watch.seen.clone()) else { return };
        for key in 0..self.sites.len() {
            let Some(site) = self.sites[key].as_mut().filter(|site| site.spool.incoming() == incoming) else {
                continue;
            };
            let Some(config) = &mut site.configuration else { continue };
            if config.centre_changed(before, &after, now) && self.schedule.failures(key) == 0 {
                self.schedule.hurry(key, now);
            }
        }
    }

    /// Ends the site's configuration round, if one is under way, and its connection.
    fn end_configuration(&mut self, key: usize, end: &ConfigEnd) {
        let now = self.net.now();
        let Some(site) = &mut self.sites[key] else { return };
        let (name, interval) = (Arc::clone(site.name()), site.settings.remote_config_interval);
        let Some(config) = &mut site.configuration else { return };
        let connection = config.running().map(|(_, connection)| connection);
        let Some((changed, centre)) = config.end(&name, end, interval, now) else { return };
        if let Some(watch) = self.centres.of(site.spool.incoming()) {
            if let Some(in_step) = changed {
                watch.central.save(config.file.clone(), in_step);
            }
            // An edit that came while the round ran.
            if let Some(seen) = &watch.seen
                && *seen != centre
                && config.centre_changed(&centre, seen, now)
            {
                self.schedule.hurry(key, now);
            }
        }
        let Some(id) = connection else { return };
        if let (Some(mut session), Some(mut io)) = (self.config_sessions.remove(&id), self.net.io(id)) {
            session.quit(&mut *io);
        }
        self.net.close(id);
    }

    /// The site's configuration is not kept the same any more, or with other settings; a round under way ends where it is.
    pub(super) fn end_configuration_of(&mut self, key: usize) {
        self.end_configuration(key, &ConfigEnd::BrokenOff);
        if let Some(site) = &mut self.sites[key] {
            site.configuration = None;
        }
    }

    /// A connection that is no data round's failed.
    pub(super) fn configuration_failed(&mut self, id: ConnId, failure: Failure) {
        let site = self.config_sessions.get(&id).map(ConfigSession::site);
        let Some(site) = site.and_then(|key| self.sites[key].as_ref()) else { return };
        let reason = match failure {
            Failure::Timeout(Phase::Session) => Reason::slow("the answer".to_owned(), false, &site.settings),
            other => Reason::Net(other),
        };
        self.configuration_broke(id, reason);
    }

    fn configuration_broke(&mut self, id: ConnId, reason: Reason) {
        self.net.abort(id);
        if let Some(session) = self.config_sessions.remove(&id) {
            self.end_configuration(session.site(), &ConfigEnd::Failed(reason));
        }
    }
}
