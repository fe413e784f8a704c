//! What the thread does: it looks when something has changed, and carries out orders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::directories::{Directories, Identities};
use super::files::{look_at_md5, read_content};
use super::in_step_file::InStepFile;
use super::publish::{publish, recover};
use super::scan::Scan;
use super::watch::{Changed, Unheard, Watch};
use super::{CentralCompletion, CentralView};
use crate::mutex::lock;
use crate::proto::{Md5Sum, quoted};
use crate::store::fs::error::StoreError;
use crate::store::fs::worker::{Pause, Work};
use crate::sync::remote_config::{InStep, Item};

/// From the first change to the look at what has changed: an edit writes two files.
const EDIT: Duration = Duration::from_millis(100);
/// From one look at all to the next, where changes are heard of.
const WATCHED: Duration = Duration::from_secs(5 * 60);
/// From one look at all to the next, where changes may not be heard of, or the directories are not there.
const UNWATCHED: Duration = Duration::from_secs(30);

/// What it is told to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Something has changed.
    Changed,
    Read {
        ticket: u64,
        item: Item,
    },
    Publish {
        ticket: u64,
        item: Item,
        content: Arc<[u8]>,
    },
    Load {
        ticket: u64,
        file: InStepFile,
    },
    Save {
        file: InStepFile,
        in_step: InStep,
    },
}

#[derive(Debug)]
pub(super) struct CentralWork {
    incoming: PathBuf,
    watch: Option<Watch>,
    /// Why changes may not be heard of.
    unheard: Option<Unheard>,
    scan: Scan,
    /// Which directories were looked at last.
    looked_at: Option<Identities>,
    view: Arc<Mutex<CentralView>>,
    /// When to look at all; before the first time `None`.
    next: Option<Instant>,
    /// When to look at what has changed.
    changed: Option<Instant>,
}

impl CentralWork {
    pub(super) fn new(incoming: PathBuf, watch: Option<Watch>, view: Arc<Mutex<CentralView>>) -> Self {
        Self { incoming, watch, unheard: None, scan: Scan::default(), looked_at: None, view, next: None, changed: None }
    }

    /// Whether there is something else to be seen now.
    fn look(&mut self, now: Instant) -> bool {
        let is_due = |time: Option<Instant>| time.is_some_and(|time| now >= time);
        if self.next.is_none() || is_due(self.next) {
            return self.look_at_all(now);
        }
        if !is_due(self.changed) {
            return false;
        }
        self.changed = None;
        match self.watch.as_mut().map_or(Changed::All, Watch::take) {
            Changed::Items(items) => self.look_at(&items, now),
            Changed::All => self.look_at_all(now),
        }
    }

    fn look_at_all(&mut self, now: Instant) -> bool {
        // First of all: what changes from here on is heard of.
        self.cover();
        self.changed = None;
        let looked = Directories::open(&self.incoming).and_then(|directories| {
            recover(&directories)?;
            self.scan.look_at_all(&directories)?;
            directories.identities()
        });
        let hears = looked.is_ok() && self.watch.is_some() && self.unheard.is_none();
        self.next = Some(now + if hears { WATCHED } else { UNWATCHED });
        self.looked_at = looked.as_ref().ok().copied();
        self.show(looked.map(drop))
    }

    fn cover(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        // What has changed so far is about to be seen.
        watch.take();
        let unheard = watch.cover(&self.incoming);
        if let Some(why) = unheard
            && self.unheard != unheard
        {
            warn_of(&self.incoming, why);
        }
        self.unheard = unheard;
    }

    fn look_at(&mut self, items: &BTreeSet<Item>, now: Instant) -> bool {
        if items.is_empty() {
            return false;
        }
        match Directories::open(&self.incoming) {
            Ok(directories) if directories.identities().ok() == self.looked_at => {
                self.scan.look_at(&directories, items);
                self.show(Ok(()))
            }
            // Others by now, or none.
            _ => self.look_at_all(now),
        }
    }

    /// Lets what was found be seen; whether that is something else than before.
    fn show(&self, found: Result<(), StoreError>) -> bool {
        let view = match found {
            Ok(()) => CentralView::Seen {
                centre: Arc::new(self.scan.centre()),
                unfit: self.scan.unfit(&self.incoming).into(),
            },
            Err(error) => CentralView::Unavailable(error),
        };
        let mut shown = lock(&self.view);
        let is_other = *shown != view;
        if is_other {
            *shown = view;
        }
        is_other
    }

    /// The item's content, if it fits its MD5 as it is read.
    fn read(&self, item: &Item) -> Option<(Arc<[u8]>, Md5Sum)> {
        let directories = Directories::open(&self.incoming).ok()?;
        let md5 = look_at_md5(&directories.md5s, item, None)?.found.ok()?;
        let content = read_content(directories.content(item)?, item).ok()??;
        let fingerprint = Md5Sum::of(&content);
        (fingerprint.size > 0 && fingerprint.md5 == md5).then(|| (content.into(), fingerprint))
    }

    fn publish(&mut self, item: &Item, content: &[u8], now: Instant) -> Result<(), StoreError> {
        let published = Directories::open(&self.incoming).and_then(|directories| publish(&directories, item, content));
        // Whoever asked is to see it when this is completed, and so what was in its way.
        self.look_at(&BTreeSet::from([item.clone()]), now);
        published
    }

    fn carry_out_one(&mut self, order: Order, now: Instant) -> Option<CentralCompletion> {
        match order {
            Order::Changed => {
                self.changed = self.changed.or(Some(now + EDIT));
                None
            }
            Order::Read { ticket, item } => Some(CentralCompletion::Read { ticket, content: self.read(&item) }),
            Order::Publish { ticket, item, content } => {
                Some(CentralCompletion::Published { ticket, result: self.publish(&item, &content, now) })
            }
            Order::Load { ticket, file } => {
                let in_step = file.load().unwrap_or_else(|error| {
                    log::warn!("{error}: all is compared anew");
                    InStep::default()
                });
                Some(CentralCompletion::Loaded { ticket, in_step })
            }
            Order::Save { file, in_step } => {
                if let Err(error) = file.save(&in_step) {
                    log::warn!("{error}: after a restart more is compared anew");
                }
                None
            }
        }
    }
}

/// Says once that changes may not be heard of.
pub(super) fn warn_of(incoming: &Path, why: Unheard) {
    log::warn!("{}: {why}: agents' configuration is looked at every {} s", quoted(incoming), UNWATCHED.as_secs());
}

impl Work for CentralWork {
    type Order = Order;
    type Completion = CentralCompletion;

    const NAME: &'static str = "central-config";
    /// Each takes its time.
    const GROUP: usize = 1;

    fn carry_out(&mut self, group: Vec<Order>, now: Instant) -> Vec<CentralCompletion> {
        group.into_iter().filter_map(|order| self.carry_out_one(order, now)).collect()
    }

    fn go_on(&mut self, now: Instant) -> Pause {
        let has_news = self.look(now);
        Pause { until: self.next.into_iter().chain(self.changed).min(), has_news }
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
