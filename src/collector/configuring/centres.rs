//! The centre's directories, and what sites have asked of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use crate::deadline::after;
use crate::obs::{LogThrottle, repeated};
use crate::proto::{Count, quoted};
use crate::store::{CentralCompletion, CentralConfig, CentralView, CommitterNotify, InStepFile, SeenCentre, Upload};
use crate::sync::remote_config::{CentreStep, InStep, Item};

/// Pairs that a log line each is for, of those that are found not to fit at one time.
const NAMED: usize = 5;

/// A pair that has not fitted for so long is no edit under way.
const UNFIT_FOR: Duration = Duration::from_secs(300);

/// How often that is looked at.
const UNFIT_TICK: Duration = Duration::from_secs(10);

/// From the end of a thread that has panicked to the next.
const RESTARTED_AFTER: Duration = Duration::from_secs(60);

/// The centre's directories that sites have their configuration from, by the incoming directories they are in.
pub(in crate::collector) struct Centres {
    notify: CommitterNotify,
    by_incoming: HashMap<PathBuf, CentreWatch>,
    /// Whose thread has panicked, and when there is to be another.
    dead: HashMap<PathBuf, Instant>,
    /// The sites that wait for what was asked, by ticket. Those whose round has ended wait no longer: the answer would be
    /// taken for another's.
    asked: HashMap<u64, usize>,
    last_ticket: u64,
    /// When pairs that do not fit are looked after next.
    unfit_tick: Instant,
}

struct CentreWatch {
    central: CentralConfig,
    log: LogThrottle,
    /// Since when pairs do not fit.
    unfit: BTreeMap<Item, UnfitSince>,
}

/// A pair that does not fit: while somebody edits it, or for longer.
#[derive(Clone, Copy)]
enum UnfitSince {
    Recent(Instant),
    Reported,
}

/// A step, and on the strength of what it is asked for.
pub(in crate::collector) struct Asked<'a> {
    pub(in crate::collector) incoming: &'a Path,
    /// The directories that the round was begun with.
    pub(in crate::collector) directories: u64,
    /// What is to stay free on their filesystem.
    pub(in crate::collector) min_free: u64,
    pub(in crate::collector) step: CentreStep,
}

impl Centres {
    /// `notify` wakes the loop.
    pub(in crate::collector) fn new(notify: CommitterNotify, now: Instant) -> Self {
        let (by_incoming, dead) = (HashMap::new(), HashMap::new());
        Self { notify, by_incoming, dead, asked: HashMap::new(), last_ticket: 0, unfit_tick: now }
    }

    /// What is in the directories there; `None` while that is not known.
    pub(in crate::collector) fn seen(&self, incoming: &Path) -> Option<SeenCentre> {
        self.by_incoming.get(incoming)?.central.seen()
    }

    /// Looks after the directories in `incoming`, and reads for `site` what was in step. Whether it does, or will.
    pub(in crate::collector) fn open(&mut self, incoming: &Path, site: usize, file: &InStepFile) -> bool {
        let is_open = self.dead.contains_key(incoming) || self.start(incoming);
        if is_open {
            self.load(incoming, site, file);
        }
        is_open
    }

    fn start(&mut self, incoming: &Path) -> bool {
        if self.by_incoming.contains_key(incoming) {
            return true;
        }
        let notify = Arc::clone(&self.notify);
        let central = match CentralConfig::start(incoming, Box::new(move || notify())) {
            Ok(central) => central,
            Err(error) => {
                warn!("{error}");
                return false;
            }
        };
        let watch = CentreWatch { central, log: LogThrottle::default(), unfit: BTreeMap::new() };
        self.by_incoming.insert(incoming.to_owned(), watch);
        true
    }

    /// Reads for `site` what was in step.
    pub(in crate::collector) fn load(&mut self, incoming: &Path, site: usize, file: &InStepFile) {
        let ticket = self.ticket(site);
        if let Some(watch) = self.by_incoming.get(incoming) {
            watch.central.load(ticket, file.clone());
        }
    }

    /// The directories whose thread has panicked: nothing that was asked of it is answered any more.
    pub(in crate::collector) fn take_dead(&mut self, now: Instant) -> Vec<PathBuf> {
        let is_dead = |_: &PathBuf, watch: &mut CentreWatch| !watch.central.is_alive();
        let dead: Vec<PathBuf> = self.by_incoming.extract_if(is_dead).map(|(incoming, _)| incoming).collect();
        for incoming in &dead {
            error!(
                "directory={} reason=remote-config-thread the thread that looks after agents' configuration has stopped by an \
                 error of this program, which is worth a report: nothing is sent to sites or taken from them until it is \
                 started anew in {} s",
                quoted(incoming),
                RESTARTED_AFTER.as_secs()
            );
            self.dead.insert(incoming.clone(), after(now, RESTARTED_AFTER));
        }
        dead
    }

    /// Starts the threads anew whose time has come: their directories.
    pub(in crate::collector) fn restart(&mut self, now: Instant) -> Vec<PathBuf> {
        let due = self.dead.iter().filter(|(_, at)| **at <= now).map(|(incoming, _)| incoming.clone());
        let mut restarted: Vec<PathBuf> = due.collect();
        restarted.retain(|incoming| {
            let is_started = self.start(incoming);
            if is_started {
                self.dead.remove(incoming);
                info!("directory={} agents' configuration is looked after again", quoted(incoming));
            } else {
                self.dead.insert(incoming.clone(), after(now, RESTARTED_AFTER));
            }
            is_started
        });
        restarted
    }

    /// Looks after no others from now on.
    pub(in crate::collector) fn keep_only(&mut self, used: &BTreeSet<PathBuf>) {
        self.by_incoming.retain(|incoming, _| used.contains(incoming));
        self.dead.retain(|incoming, _| used.contains(incoming));
    }

    /// Has a step carried out for a site.
    pub(in crate::collector) fn ask(&mut self, site: usize, asked: Asked<'_>) {
        let ticket = self.ticket(site);
        let Asked { incoming, directories, min_free, step } = asked;
        let Some(watch) = self.by_incoming.get(incoming) else { return };
        match step {
            CentreStep::Read { item } => watch.central.read(ticket, item, directories),
            CentreStep::Publish { item, content } => {
                watch.central.publish(ticket, Upload { item, content, min_free, directories });
            }
            CentreStep::Confirm { item } => watch.central.confirm(ticket, item, directories),
        }
    }

    /// Has what is in step with a site saved.
    pub(in crate::collector) fn save(&self, incoming: &Path, file: &InStepFile, in_step: InStep) {
        if let Some(watch) = self.by_incoming.get(incoming) {
            watch.central.save(file.clone(), in_step);
        }
    }

    /// What was asked for a site so far is of no use any more.
    pub(in crate::collector) fn withdraw(&mut self, site: usize) {
        self.asked.retain(|_, waiting| *waiting != site);
    }

    /// What has been done, for the sites that wait for it.
    pub(in crate::collector) fn completions(&mut self) -> Vec<(usize, CentralCompletion)> {
        let Self { by_incoming, asked, .. } = self;
        let done = by_incoming.values().flat_map(|watch| watch.central.completions());
        done.filter_map(|completion| Some((asked.remove(&completion.ticket())?, completion))).collect()
    }

    /// The directories in which something has changed since this was called last, and which items.
    pub(in crate::collector) fn changes(&mut self) -> Vec<(PathBuf, BTreeSet<Item>)> {
        let changed = self.by_incoming.iter().map(|(incoming, watch)| (incoming, watch.central.take_changed()));
        changed.filter(|(_, items)| !items.is_empty()).map(|(incoming, items)| (incoming.clone(), items)).collect()
    }

    /// Logs directories that cannot be looked at, and pairs that have not fitted for too long to be edited just now.
    pub(in crate::collector) fn report_problems(&mut self, now: Instant) {
        if now >= self.unfit_tick {
            self.unfit_tick = now + UNFIT_TICK;
            for watch in self.by_incoming.values_mut() {
                watch.report_unavailable(now);
                watch.report_unfit(now);
            }
        }
    }

    /// Waits until what was in step is saved.
    pub(in crate::collector) fn stop(self) {
        self.by_incoming.into_values().for_each(|watch| watch.central.stop());
    }

    fn ticket(&mut self, site: usize) -> u64 {
        self.last_ticket += 1;
        self.asked.insert(self.last_ticket, site);
        self.last_ticket
    }
}

impl CentreWatch {
    fn report_unavailable(&mut self, now: Instant) {
        let CentralView::Unavailable(error) = self.central.view() else {
            if let Some(recovery) = self.log.recovered(now) {
                info!("remote configuration: {recovery}");
            }
            return;
        };
        if let Some(suppressed) = self.log.failed(&error.log_key(), now) {
            warn!(
                "reason=remote-config-directory nothing is sent to sites or taken from them: {error};{}",
                repeated(suppressed)
            );
        }
    }

    /// Logs each such pair once.
    fn report_unfit(&mut self, now: Instant) {
        let CentralView::Seen { unfit, .. } = self.central.view() else { return };
        self.unfit.retain(|item, _| unfit.contains_key(item));
        let mut overdue = Vec::new();
        for (item, pair) in &*unfit {
            let since = self.unfit.entry(item.clone()).or_insert(UnfitSince::Recent(now));
            match *since {
                UnfitSince::Recent(start) if now.saturating_duration_since(start) >= UNFIT_FOR => {
                    *since = UnfitSince::Reported;
                    overdue.push(pair);
                }
                UnfitSince::Recent(_) | UnfitSince::Reported => {}
            }
        }
        for pair in overdue.iter().take(NAMED) {
            warn!("reason=remote-config-unfit not sent to any site: {pair}");
        }
        if let Some(more @ 1..) = overdue.len().checked_sub(NAMED) {
            warn!("reason=remote-config-unfit {} not sent to any site either: see check", Count(more, "pair of files"));
        }
    }
}

#[cfg(test)]
#[path = "centres_tests.rs"]
mod tests;
