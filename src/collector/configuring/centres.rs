//! The centre's directories, and what sites have asked of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::obs::{LogThrottle, repeated};
use crate::proto::Count;
use crate::store::{CentralCompletion, CentralConfig, CentralView, CommitterNotify, InStepFile};
use crate::sync::remote_config::{Centre, CentreStep, InStep, Item};

/// Pairs that a log line each is for, of those that are found not to fit at one time.
const NAMED: usize = 5;

/// A pair that has not fitted for so long is no edit under way.
const UNFIT_FOR: Duration = Duration::from_secs(300);

/// How often that is looked at.
const UNFIT_TICK: Duration = Duration::from_secs(10);

/// The centre's directories that sites have their configuration from, by the incoming directories they are in.
pub(in crate::collector) struct Centres {
    notify: CommitterNotify,
    by_incoming: HashMap<PathBuf, CentreWatch>,
    /// The sites that wait for what was asked, by ticket. Those whose round has ended wait no longer: the answer would be
    /// taken for another's.
    asked: HashMap<u64, usize>,
    last_ticket: u64,
    /// When pairs that do not fit are looked after next.
    unfit_tick: Instant,
}

struct CentreWatch {
    central: CentralConfig,
    /// What the sites were last compared with.
    seen: Option<Arc<Centre>>,
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

impl Centres {
    /// `notify` wakes the loop.
    pub(in crate::collector) fn new(notify: CommitterNotify, now: Instant) -> Self {
        Self { notify, by_incoming: HashMap::new(), asked: HashMap::new(), last_ticket: 0, unfit_tick: now }
    }

    /// What is in the directories there; `None` while that is not known.
    pub(in crate::collector) fn centre(&self, incoming: &Path) -> Option<Arc<Centre>> {
        self.by_incoming.get(incoming)?.central.centre()
    }

    /// What the sites were last compared with.
    pub(in crate::collector) fn seen(&self, incoming: &Path) -> Option<&Arc<Centre>> {
        self.by_incoming.get(incoming)?.seen.as_ref()
    }

    /// Looks after the directories in `incoming`, and reads for `site` what was in step. Whether it does.
    pub(in crate::collector) fn open(&mut self, incoming: &Path, site: usize, file: &InStepFile) -> bool {
        if !self.by_incoming.contains_key(incoming) {
            let notify = Arc::clone(&self.notify);
            let central = match CentralConfig::start(incoming, Box::new(move || notify())) {
                Ok(central) => central,
                Err(error) => {
                    warn!("{error}");
                    return false;
                }
            };
            let watch = CentreWatch { central, seen: None, log: LogThrottle::default(), unfit: BTreeMap::new() };
            self.by_incoming.insert(incoming.to_owned(), watch);
        }
        let ticket = self.ticket(site);
        if let Some(watch) = self.by_incoming.get(incoming) {
            watch.central.load(ticket, file.clone());
        }
        true
    }

    /// Looks after no others from now on.
    pub(in crate::collector) fn keep_only(&mut self, used: &BTreeSet<PathBuf>) {
        self.by_incoming.retain(|incoming, _| used.contains(incoming));
    }

    /// Has a step carried out for a site.
    pub(in crate::collector) fn ask(&mut self, incoming: &Path, site: usize, step: CentreStep) {
        let ticket = self.ticket(site);
        let Some(watch) = self.by_incoming.get(incoming) else { return };
        match step {
            CentreStep::Read { item } => watch.central.read(ticket, item),
            CentreStep::Publish { item, content } => watch.central.publish(ticket, item, content),
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

    /// The directories in which something has changed since this was called last, and what was there before.
    pub(in crate::collector) fn changes(&mut self) -> Vec<(PathBuf, Arc<Centre>)> {
        let mut changes = Vec::new();
        for (incoming, watch) in &mut self.by_incoming {
            let centre = watch.central.centre();
            if !is_same(centre.as_ref(), watch.seen.as_ref()) {
                let before = std::mem::replace(&mut watch.seen, centre).unwrap_or_default();
                changes.push((incoming.clone(), before));
            }
        }
        changes
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
        let items: BTreeSet<&Item> = unfit.iter().map(|pair| &pair.item).collect();
        self.unfit.retain(|item, _| items.contains(item));
        let mut overdue = Vec::new();
        for pair in &*unfit {
            let since = self.unfit.entry(pair.item.clone()).or_insert(UnfitSince::Recent(now));
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

/// Whether both are one and the same: what is in the directories is only ever replaced as a whole.
fn is_same(one: Option<&Arc<Centre>>, other: Option<&Arc<Centre>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}
