//! Configuration rounds, from their start to their end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::{Collector, Mode};
use crate::collector::Reason;
use crate::collector::configuring::{
    Asked, ConfigContext, ConfigEnd, ConfigPumped, ConfigSession, Dialect, RoundStart, SiteConfig, Users, allowance,
};
use crate::collector::site::Site;
use crate::net::{ConnId, Failure, Phase};
use crate::store::{CentralCompletion, GuardFile, InStepFile, SeenCentre};
use crate::sync::remote_config::{CentreStep, InStep, Item, Mode as RoundMode, RoundPolicy, StepOutcome};

/// Items that are believed to be in step, and are compared in a round all the same.
const ROTATION: usize = 16;

/// Items of a kind that a log line names.
const NAMED: usize = 5;

impl Collector {
    /// Sites whose configuration is to be kept the same as the centre's, and their directories, from now on.
    pub(super) fn adopt_configuration(&mut self) {
        for key in 0..self.sites.len() {
            self.adopt_configuration_of(key);
        }
        let mut used = BTreeMap::<PathBuf, Users>::new();
        for site in self.sites.iter().flatten().filter(|site| site.configuration.is_some()) {
            let users = used.entry(site.spool.incoming().to_owned()).or_default();
            users.sites.insert(Arc::clone(site.name()));
            users.is_asked_for |= site.settings.remote_config == Some(true);
        }
        self.centres.keep_only(&used);
    }

    /// The same, of one site that is collected from by now.
    pub(super) fn adopt_configuration_of(&mut self, key: usize) {
        let site = self.sites[key].as_ref().filter(|_| self.mode == Mode::Forever);
        if site.is_some_and(|site| site.settings.remote_config != Some(false)) {
            self.open_configuration(key);
        } else {
            self.end_configuration_of(key);
        }
    }

    fn open_configuration(&mut self, key: usize) {
        let now = self.net.now();
        let Some(site) = &mut self.sites[key] else { return };
        let incoming = site.spool.incoming();
        if site.configuration.is_none() {
            let file = InStepFile::new(&self.state_dir, site.name(), incoming);
            let guard_file = GuardFile::new(&self.state_dir, incoming);
            let is_open = self.centres.open(incoming, key, &file, guard_file);
            site.configuration = is_open.then(|| SiteConfig::new(file, now));
        }
    }

    /// Has a connection of which a data round has no more use begin a configuration round, where one is due; whether it does.
    pub(super) fn begin_configuration(&mut self, id: ConnId, key: usize) -> bool {
        let now = self.net.now();
        let Some(site) = &self.sites[key] else { return false };
        let Some(config) = site.configuration.as_ref().filter(|config| config.is_due(now)) else { return false };
        let (None, Some(own)) = (&self.stop, config.in_step()) else { return false };
        let incoming = site.spool.incoming();
        // Without what other sites have, it cannot be seen how much is missing, nor whose anything is.
        if !self.centres.is_loaded(incoming) {
            return false;
        }
        let Some(seen) = self.centres.seen(incoming) else { return false };
        let deletions = self.centres.judge(incoming, &seen.centre, own, in_step_of(&self.sites, incoming));
        let allowance = allowance(own, &seen.centre, &site.settings);
        let policy = RoundPolicy { rotation: ROTATION, deletions, allowance, named: NAMED, mode: RoundMode::Apply };
        let dialect = site.config_dialect();
        let Some(session) = self.sessions.remove(&id) else { return false };
        let dialect = if session.is_extended() { dialect } else { Dialect::Stock };
        if let Some(Site { configuration: Some(config), .. }) = &mut self.sites[key] {
            config.compare(&seen.centre, now);
            config.begin(RoundStart { seen, policy, connection: id, now });
        }
        self.config_sessions.insert(id, ConfigSession::new(key, session.into_driver(), dialect));
        self.net.wake(id);
        true
    }

    /// Lets a connection's configuration round go on, if it has one; whether it has.
    pub(super) fn pump_configuration(&mut self, id: ConnId) -> bool {
        let Some(session) = self.config_sessions.get_mut(&id) else { return false };
        let key = session.site();
        let Some(Site { settings, configuration: Some(config), .. }) = &mut self.sites[key] else { return true };
        let (Some((round, _)), Some(mut io)) = (config.running(), self.net.io(id)) else { return true };
        let pumped = session.pump(&mut ConfigContext { io: &mut *io, settings, steps: round });
        drop(io);
        match pumped {
            Ok(ConfigPumped::Blocked) => {}
            Ok(ConfigPumped::Ask(asked, step)) => {
                if let Some(Site { configuration: Some(config), .. }) = &mut self.sites[key] {
                    config.asked(asked);
                }
                self.ask_centre(key, step);
                // It may have more to do meanwhile.
                self.net.wake(id);
            }
            Ok(ConfigPumped::Finished) => self.end_configuration(key, &ConfigEnd::Done),
            Ok(ConfigPumped::Exhausted) => self.end_configuration(key, &ConfigEnd::Exhausted),
            Err(reason) => self.configuration_broke(id, reason),
        }
        true
    }

    fn ask_centre(&mut self, key: usize, step: CentreStep) {
        let now = self.net.now();
        let Some(site) = &mut self.sites[key] else { return };
        let name = Arc::clone(site.name());
        let Site { spool, settings, configuration: Some(config), .. } = site else { return };
        let Some(directories) = config.directories() else { return };
        let (incoming, min_free) = (spool.incoming(), settings.remote_config_min_free);
        if let Some(in_step) = config.take_unsaved_before(&step, now) {
            self.centres.save(incoming, &config.file, in_step);
        }
        let asked = Asked { incoming, name: &name, directories, min_free, step };
        if let Some(outcome) = self.centres.ask(key, asked) {
            if let StepOutcome::Claimed(Ok(())) = outcome {
                config.claimed();
            }
            self.go_on(key, outcome);
        }
    }

    /// What has come of a step.
    fn go_on(&mut self, key: usize, outcome: StepOutcome) {
        let Some(Site { configuration: Some(config), .. }) = &mut self.sites[key] else { return };
        let Some(id) = config.answered(outcome) else { return };
        if let Some(session) = self.config_sessions.get_mut(&id) {
            session.resume();
            self.net.wake(id);
        }
    }

    /// What the centre's directories were asked, and whether they have changed.
    pub(super) fn take_centre_news(&mut self) {
        for (key, completion) in self.centres.completions() {
            self.centre_answered(key, completion);
        }
        for (incoming, changed) in self.centres.changes() {
            self.centre_changed(&incoming, &changed);
        }
        for incoming in self.centres.take_dead(self.net.now()) {
            for key in self.configured_in(&incoming) {
                self.end_configuration(key, &ConfigEnd::BrokenOff);
                self.centres.withdraw(key);
            }
        }
    }

    /// The sites whose configuration is that in `incoming`.
    pub(super) fn configured_in(&self, incoming: &Path) -> Vec<usize> {
        let is_one = |site: &Site| site.configuration.is_some() && site.spool.incoming() == incoming;
        (0..self.sites.len()).filter(|key| self.sites[*key].as_ref().is_some_and(is_one)).collect()
    }

    /// Logs what is wrong with the centre's directories, and sees to threads that have panicked.
    pub(super) fn look_after_centres(&mut self, now: Instant) {
        self.centres.report_problems(now);
        for incoming in self.centres.restart(now) {
            for key in self.configured_in(&incoming) {
                let Some(Site { configuration: Some(config), .. }) = &self.sites[key] else { continue };
                // What was told to the one before may be lost.
                match config.in_step() {
                    Some(in_step) => self.centres.save(&incoming, &config.file, in_step.clone()),
                    None => self.centres.load(&incoming, key, &config.file),
                }
            }
        }
    }

    fn centre_answered(&mut self, key: usize, completion: CentralCompletion) {
        let now = self.net.now();
        let Some(site) = &mut self.sites[key] else { return };
        let name = Arc::clone(site.name());
        let Site { spool, configuration: Some(config), .. } = site else { return };
        if let Some(in_step) = config.take_unsaved(now) {
            self.centres.save(spool.incoming(), &config.file, in_step);
        }
        let outcome = match completion {
            CentralCompletion::Loaded { mut in_step, .. } => {
                self.centres.adopt(spool.incoming(), &name, &mut in_step);
                config.loaded(in_step);
                if let Some(seen) = self.centres.seen(spool.incoming()) {
                    config.compare(&seen.centre, now);
                }
                return;
            }
            CentralCompletion::GuardLoaded { .. } => return,
            CentralCompletion::Confirmed { is_missing, .. } => StepOutcome::Confirmed(is_missing),
            CentralCompletion::Read { content, .. } => StepOutcome::Read(content),
            CentralCompletion::Published { result, .. } => {
                StepOutcome::Published(result.map_err(|error| error.to_string()))
            }
        };
        self.go_on(key, outcome);
    }

    /// What was edited goes to the sites that have it, at once.
    fn centre_changed(&mut self, incoming: &Path, changed: &BTreeSet<Item>) {
        let now = self.net.now();
        let Some(SeenCentre { centre: after, .. }) = self.centres.seen(incoming) else { return };
        for key in 0..self.sites.len() {
            let Some(site) = self.sites[key].as_mut().filter(|site| site.spool.incoming() == incoming) else {
                continue;
            };
            let Some(config) = &mut site.configuration else { continue };
            let concerns = config.centre_changed(changed, &after, now);
            // The end of a round under way sees that by itself; a site that fails is tried in its turn.
            if concerns && config.running().is_none() && self.schedule.failures(key) == 0 {
                self.schedule.hurry(key, now);
            }
        }
    }

    /// Ends the site's configuration round, if one is under way, and its connection.
    pub(super) fn end_configuration(&mut self, key: usize, end: &ConfigEnd) {
        let now = self.net.now();
        let Some(site) = &mut self.sites[key] else { return };
        let name = Arc::clone(site.name());
        let Some(config) = &mut site.configuration else { return };
        let connection = config.running().map(|(_, connection)| connection);
        let Some((changed, centre)) = config.end(&site.settings, end, now) else { return };
        self.centres.withdraw(key);
        let incoming = site.spool.incoming();
        if let Some(in_step) = config.in_step() {
            self.centres.keep(incoming, &name, in_step);
        }
        if let Some(in_step) = changed {
            self.centres.save(incoming, &config.file, in_step);
        }
        // An edit may have come while the round ran.
        if let Some(SeenCentre { centre: after, .. }) = self.centres.seen(incoming)
            && config.centre_changed(&after.changed_from(&centre), &after, now)
        {
            self.schedule.hurry(key, now);
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
        self.centres.withdraw(key);
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

/// What is in step with the sites whose configuration is that in `incoming`, as far as it is known.
pub(super) fn in_step_of<'a>(
    sites: &'a [Option<Site>],
    incoming: &'a Path,
) -> impl Iterator<Item = &'a InStep> + Clone {
    let of_centre = sites.iter().flatten().filter(move |site| site.spool.incoming() == incoming);
    of_centre.filter_map(|site| site.configuration.as_ref()).filter_map(SiteConfig::in_step)
}
