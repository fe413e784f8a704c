//! The directories of one centre: the thread that looks after them, who owns what is in them, and what is wrong with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use crate::deadline::after;
use crate::obs::{LogThrottle, repeated};
use crate::proto::{Count, quoted};
use crate::store::{CentralCompletion, CentralConfig, CentralView, CommitterNotify, GuardFile, SeenCentre, StoreError};
use crate::sync::remote_config::{Centre, Guard, GuardReason, InStep, Item, Owners};

/// Pairs that a log line each is for, of those that are found not to fit at one time.
const NAMED: usize = 5;

/// A pair that has not fitted for so long is no edit under way.
const UNFIT_FOR: Duration = Duration::from_secs(300);

/// From the end of a thread that has panicked to the next.
pub(super) const RESTARTED_AFTER: Duration = Duration::from_secs(60);

/// The directories in one incoming directory.
pub(super) struct CentreWatch {
    incoming: PathBuf,
    thread: CentreThread,
    /// Whether a site needs them: else, that they are missing is nothing to be told.
    pub(super) is_asked_for: bool,
    /// Who owns the configurations in there.
    pub(super) owners: Owners,
    guard_file: GuardFile,
    /// Whether deletions are held back; `None` until that is read.
    guard: Option<Guard>,
    /// How many sites' files are being read: as long as any is, it is not known who owns what.
    pub(super) loading: usize,
    log: LogThrottle,
    /// Since when pairs do not fit.
    unfit: BTreeMap<Item, UnfitSince>,
}

/// The thread that looks after them.
enum CentreThread {
    Running(CentralConfig),
    /// It has panicked. When there is to be another.
    Ended {
        restart: Instant,
    },
}

/// A pair that does not fit: while somebody edits it, or for longer.
#[derive(Clone, Copy)]
enum UnfitSince {
    Recent(Instant),
    Reported,
}

impl CentreWatch {
    /// Starts the thread; the answer to `ticket` is the [guard](Self::guard_loaded).
    pub(super) fn start(
        incoming: &Path,
        guard_file: GuardFile,
        ticket: u64,
        notify: &CommitterNotify,
    ) -> Result<Self, StoreError> {
        let central = start(incoming, notify)?;
        central.load_guard(ticket, guard_file.clone());
        Ok(Self {
            incoming: incoming.to_owned(),
            thread: CentreThread::Running(central),
            is_asked_for: false,
            owners: Owners::default(),
            guard_file,
            guard: None,
            loading: 0,
            log: LogThrottle::default(),
            unfit: BTreeMap::new(),
        })
    }

    /// The thread, unless it has panicked.
    pub(super) fn central(&self) -> Option<&CentralConfig> {
        match &self.thread {
            CentreThread::Running(central) => Some(central),
            CentreThread::Ended { .. } => None,
        }
    }

    /// What is in the directories; `None` while that is not known.
    pub(super) fn seen(&self) -> Option<SeenCentre> {
        self.central()?.seen()
    }

    /// Whether it is known who owns what, and what is held back.
    pub(super) fn is_loaded(&self) -> bool {
        self.loading == 0 && self.guard.is_some()
    }

    pub(super) fn guard_loaded(&mut self, guard: Guard) {
        self.guard.get_or_insert(guard);
    }

    /// Judges whether what is missing may be deleted at a site, where `own` is of that site and `in_step` of all its sites.
    pub(super) fn judge<'a>(
        &mut self,
        centre: &Centre,
        own: &InStep,
        in_step: impl IntoIterator<Item = &'a InStep>,
    ) -> Result<(), GuardReason> {
        let Some(guard) = &mut self.guard else { return Ok(()) };
        // To count what all sites have takes its time: only where it is for something.
        let is_missing = own.iter().any(|(item, _)| !centre.items.contains_key(item));
        if !is_missing && *guard == Guard::default() {
            return Ok(());
        }
        let before = guard.clone();
        let judged = guard.judge(centre, in_step);
        if *guard != before {
            self.save_guard();
        }
        judged
    }

    /// An operator confirms that what is missing now was deleted; nothing, where nothing is held back.
    pub(super) fn confirm<'a>(&mut self, in_step: impl IntoIterator<Item = &'a InStep> + Clone) -> Vec<Item> {
        let Some(SeenCentre { centre, .. }) = self.seen().filter(|_| self.is_loaded()) else { return Vec::new() };
        let Some(guard) = &mut self.guard else { return Vec::new() };
        if guard.judge(&centre, in_step.clone()).is_ok() {
            return Vec::new();
        }
        let confirmed = guard.confirm(&centre, in_step);
        self.save_guard();
        confirmed.into_iter().collect()
    }

    fn save_guard(&self) {
        if let (Some(central), Some(guard)) = (self.central(), &self.guard) {
            central.save_guard(self.guard_file.clone(), guard.clone());
        }
    }

    /// Whether the thread has panicked since this was asked last: nothing that was asked of it is answered any more.
    pub(super) fn has_died(&mut self, now: Instant) -> bool {
        if self.central().is_none_or(CentralConfig::is_alive) {
            return false;
        }
        error!(
            "directory={} reason=remote-config-thread the thread that looks after agents' configuration has stopped by an \
             error of this program, which is worth a report: nothing is sent to sites or taken from them until it is \
             started anew in {} s",
            quoted(&self.incoming),
            RESTARTED_AFTER.as_secs()
        );
        self.thread = CentreThread::Ended { restart: after(now, RESTARTED_AFTER) };
        self.loading = 0;
        true
    }

    /// Starts the thread anew, if that is due: whether it was. What was told to the one before may be lost.
    pub(super) fn restart(&mut self, ticket: u64, notify: &CommitterNotify, now: Instant) -> bool {
        match self.thread {
            CentreThread::Ended { restart } if restart <= now => {}
            CentreThread::Ended { .. } | CentreThread::Running(_) => return false,
        }
        match start(&self.incoming, notify) {
            Ok(central) => {
                info!("directory={} agents' configuration is looked after again", quoted(&self.incoming));
                central.load_guard(ticket, self.guard_file.clone());
                self.thread = CentreThread::Running(central);
                self.save_guard();
                true
            }
            Err(error) => {
                warn!("{error}");
                self.thread = CentreThread::Ended { restart: after(now, RESTARTED_AFTER) };
                false
            }
        }
    }

    /// Waits until what was in step is saved.
    pub(super) fn stop(self) {
        if let CentreThread::Running(central) = self.thread {
            central.stop();
        }
    }

    /// What was asked and has been done.
    pub(super) fn completions(&self) -> Vec<CentralCompletion> {
        self.central().map(CentralConfig::completions).unwrap_or_default()
    }

    pub(super) fn report_problems(&mut self, now: Instant) {
        if let Some(view) = self.central().map(CentralConfig::view) {
            self.report_unavailable(&view, now);
            self.report_unfit(&view, now);
        }
    }

    fn report_unavailable(&mut self, view: &CentralView, now: Instant) {
        let CentralView::Unavailable(error) = view else {
            if let Some(recovery) = self.log.recovered(now) {
                info!("remote configuration: {recovery}");
            }
            return;
        };
        if error.is_missing() && !self.is_asked_for {
            return;
        }
        if let Some(suppressed) = self.log.failed(&error.log_key(), now) {
            warn!(
                "reason=remote-config-directory nothing is sent to sites or taken from them: {error};{}",
                repeated(suppressed)
            );
        }
    }

    /// Logs each such pair once.
    fn report_unfit(&mut self, view: &CentralView, now: Instant) {
        let CentralView::Seen { unfit, .. } = view else { return };
        self.unfit.retain(|item, _| unfit.contains_key(item));
        let mut overdue = Vec::new();
        for (item, pair) in &**unfit {
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

fn start(incoming: &Path, notify: &CommitterNotify) -> Result<CentralConfig, StoreError> {
    let notify = Arc::clone(notify);
    CentralConfig::start(incoming, Box::new(move || notify()))
}
