//! The centres' directories, and what sites have asked of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;

use super::centre_watch::CentreWatch;
use crate::store::{CentralCompletion, CommitterNotify, GuardFile, InStepFile, SeenCentre, Upload};
use crate::sync::remote_config::{Centre, CentreStep, GuardReason, InStep, Item, Owners, StepOutcome};

/// How often pairs that do not fit are looked at.
const UNFIT_TICK: Duration = Duration::from_secs(10);

/// The centre's directories that sites have their configuration from, by the incoming directories they are in.
pub(in crate::collector) struct Centres {
    notify: CommitterNotify,
    by_incoming: BTreeMap<PathBuf, CentreWatch>,
    /// The sites that wait for what was asked, by ticket. Those whose round has ended wait no longer: the answer would be
    /// taken for another's.
    asked: HashMap<u64, usize>,
    last_ticket: u64,
    /// When pairs that do not fit are looked after next.
    unfit_tick: Instant,
}

/// Which sites have their configuration from the directories in an incoming directory.
#[derive(Default)]
pub(in crate::collector) struct Users {
    /// Their names.
    pub(in crate::collector) sites: BTreeSet<Arc<str>>,
    /// Whether one has `remote_config = true`: else, the directories need not be there.
    pub(in crate::collector) is_asked_for: bool,
}

/// A step, and on the strength of what it is asked for.
pub(in crate::collector) struct Asked<'a> {
    pub(in crate::collector) incoming: &'a Path,
    /// The site's name.
    pub(in crate::collector) name: &'a Arc<str>,
    /// The directories that the round was begun with.
    pub(in crate::collector) directories: u64,
    /// What is to stay free on their filesystem.
    pub(in crate::collector) min_free: u64,
    pub(in crate::collector) step: CentreStep,
}

impl Centres {
    /// `notify` wakes the loop.
    pub(in crate::collector) fn new(notify: CommitterNotify, now: Instant) -> Self {
        Self { notify, by_incoming: BTreeMap::new(), asked: HashMap::new(), last_ticket: 0, unfit_tick: now }
    }

    /// What is in the directories there; `None` while that is not known.
    pub(in crate::collector) fn seen(&self, incoming: &Path) -> Option<SeenCentre> {
        self.by_incoming.get(incoming)?.seen()
    }

    /// Whether it is known who owns what is there.
    pub(in crate::collector) fn is_loaded(&self, incoming: &Path) -> bool {
        self.by_incoming.get(incoming).is_some_and(CentreWatch::is_loaded)
    }

    /// Looks after the directories in `incoming`, and reads for `site` what was in step. Whether it does, or will.
    pub(in crate::collector) fn open(
        &mut self,
        incoming: &Path,
        site: usize,
        file: &InStepFile,
        guard_file: GuardFile,
    ) -> bool {
        if !self.by_incoming.contains_key(incoming) {
            self.last_ticket += 1;
            match CentreWatch::start(incoming, guard_file, self.last_ticket, &self.notify) {
                Ok(watch) => drop(self.by_incoming.insert(incoming.to_owned(), watch)),
                Err(error) => {
                    warn!("{error}");
                    return false;
                }
            }
        }
        self.load(incoming, site, file);
        true
    }

    /// Reads for `site` what was in step.
    pub(in crate::collector) fn load(&mut self, incoming: &Path, site: usize, file: &InStepFile) {
        let ticket = self.ticket(site);
        if let Some(watch) = self.by_incoming.get_mut(incoming)
            && let Some(central) = watch.central()
        {
            central.load(ticket, file.clone());
            watch.loading += 1;
        }
    }

    /// What the site owns was read: what another owns by now is taken out of it.
    pub(in crate::collector) fn adopt(&mut self, incoming: &Path, name: &Arc<str>, in_step: &mut InStep) {
        if let Some(watch) = self.by_incoming.get_mut(incoming) {
            watch.owners.adopt(name, in_step);
        }
    }

    /// What the site owns no more is nobody's.
    pub(in crate::collector) fn keep(&mut self, incoming: &Path, name: &str, in_step: &InStep) {
        if let Some(watch) = self.by_incoming.get_mut(incoming) {
            watch.owners.keep(name, in_step);
        }
    }

    /// Who owns the configurations that are there.
    pub(in crate::collector) fn owners(&self, incoming: &Path) -> Option<&Owners> {
        self.by_incoming.get(incoming).map(|watch| &watch.owners)
    }

    /// Has the site own the configuration, whoever did before: that one.
    pub(in crate::collector) fn assign(&mut self, incoming: &Path, name: &Arc<str>, item: Item) -> Option<Arc<str>> {
        self.by_incoming.get_mut(incoming)?.owners.assign(item, name)
    }

    /// Judges whether what is missing there may be deleted at a site, where `own` is of that site and `in_step` of all its sites.
    pub(in crate::collector) fn judge<'a>(
        &mut self,
        incoming: &Path,
        centre: &Centre,
        own: &InStep,
        in_step: impl IntoIterator<Item = &'a InStep>,
    ) -> Result<(), GuardReason> {
        self.by_incoming.get_mut(incoming).map_or(Ok(()), |watch| watch.judge(centre, own, in_step))
    }

    /// An operator confirms that what is missing there now was deleted; nothing, where nothing is held back.
    pub(in crate::collector) fn confirm<'a>(
        &mut self,
        incoming: &Path,
        in_step: impl IntoIterator<Item = &'a InStep> + Clone,
    ) -> Vec<Item> {
        self.by_incoming.get_mut(incoming).map(|watch| watch.confirm(in_step)).unwrap_or_default()
    }

    /// The incoming directories.
    pub(in crate::collector) fn incoming(&self) -> Vec<PathBuf> {
        self.by_incoming.keys().cloned().collect()
    }

    /// The directories whose thread has panicked: nothing that was asked of it is answered any more.
    pub(in crate::collector) fn take_dead(&mut self, now: Instant) -> Vec<PathBuf> {
        let died = self.by_incoming.iter_mut().filter_map(|(incoming, watch)| watch.has_died(now).then_some(incoming));
        died.cloned().collect()
    }

    /// Starts the threads anew whose time has come: their directories.
    pub(in crate::collector) fn restart(&mut self, now: Instant) -> Vec<PathBuf> {
        let Self { notify, by_incoming, last_ticket, .. } = self;
        let mut restarted = Vec::new();
        for (incoming, watch) in by_incoming {
            *last_ticket += 1;
            if watch.restart(*last_ticket, notify, now) {
                restarted.push(incoming.clone());
            }
        }
        restarted
    }

    /// Looks after no others from now on than the directories of these sites; what others own is nobody's.
    pub(in crate::collector) fn keep_only(&mut self, used: &BTreeMap<PathBuf, Users>) {
        self.by_incoming.retain(|incoming, watch| {
            let Some(users) = used.get(incoming) else { return false };
            watch.owners.keep_sites(|site| users.sites.contains(site));
            watch.is_asked_for = users.is_asked_for;
            true
        });
    }

    /// Has a step carried out for a site. What has come of it, if that is known at once.
    pub(in crate::collector) fn ask(&mut self, site: usize, asked: Asked<'_>) -> Option<StepOutcome> {
        let Asked { incoming, name, directories, min_free, step } = asked;
        let ticket = self.last_ticket + 1;
        let watch = self.by_incoming.get_mut(incoming)?;
        match step {
            CentreStep::Owner { item } => return Some(StepOutcome::Owner(watch.owners.other(&item, name).cloned())),
            CentreStep::Claim { item } => return Some(StepOutcome::Claimed(watch.owners.claim(item, name))),
            CentreStep::Read { item } => watch.central()?.read(ticket, item, directories),
            CentreStep::Publish { item, content } => {
                watch.central()?.publish(ticket, Upload { item, content, min_free, directories });
            }
            CentreStep::Confirm { item } => watch.central()?.confirm(ticket, item, directories),
        }
        self.ticket(site);
        None
    }

    /// Has what is in step with a site saved.
    pub(in crate::collector) fn save(&self, incoming: &Path, file: &InStepFile, in_step: InStep) {
        if let Some(central) = self.by_incoming.get(incoming).and_then(CentreWatch::central) {
            central.save(file.clone(), in_step);
        }
    }

    /// What was asked for a site so far is of no use any more.
    pub(in crate::collector) fn withdraw(&mut self, site: usize) {
        self.asked.retain(|_, waiting| *waiting != site);
    }

    /// What has been done, for the sites that wait for it.
    pub(in crate::collector) fn completions(&mut self) -> Vec<(usize, CentralCompletion)> {
        let mut done = Vec::new();
        for watch in self.by_incoming.values_mut() {
            for completion in watch.completions() {
                let site = self.asked.remove(&completion.ticket());
                match completion {
                    CentralCompletion::GuardLoaded { guard, .. } => watch.guard_loaded(guard),
                    CentralCompletion::Loaded { .. } => {
                        watch.loading = watch.loading.saturating_sub(1);
                        done.extend(site.map(|site| (site, completion)));
                    }
                    other => done.extend(site.map(|site| (site, other))),
                }
            }
        }
        done
    }

    /// The directories in which something has changed since this was called last, and which items.
    pub(in crate::collector) fn changes(&mut self) -> Vec<(PathBuf, BTreeSet<Item>)> {
        let changed = self.by_incoming.iter().filter_map(|(incoming, watch)| Some((incoming, watch.central()?)));
        let changed = changed.map(|(incoming, central)| (incoming, central.take_changed()));
        changed.filter(|(_, items)| !items.is_empty()).map(|(incoming, items)| (incoming.clone(), items)).collect()
    }

    /// Logs directories that cannot be looked at, and pairs that have not fitted for too long to be edited just now.
    pub(in crate::collector) fn report_problems(&mut self, now: Instant) {
        if now >= self.unfit_tick {
            self.unfit_tick = now + UNFIT_TICK;
            self.by_incoming.values_mut().for_each(|watch| watch.report_problems(now));
        }
    }

    /// Waits until what was in step is saved.
    pub(in crate::collector) fn stop(self) {
        self.by_incoming.into_values().for_each(CentreWatch::stop);
    }

    fn ticket(&mut self, site: usize) -> u64 {
        self.last_ticket += 1;
        self.asked.insert(self.last_ticket, site);
        self.last_ticket
    }
}

#[cfg(test)]
#[path = "centres_tests.rs"]
mod tests;
