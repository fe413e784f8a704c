//! What the thread does: it looks when something has changed, and carries out orders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CentralCompletion;
use super::directories::{Directories, Identities};
use super::files::{read_anew, read_fitting};
use super::guard_file::GuardFile;
use super::held::Held;
use super::in_step_file::InStepFile;
use super::publish::{Pair, publish_all, recover};
use super::room::Room;
use super::scan::Scan;
use super::view::{CentralView, SharedView};
use super::watch::{Changed, Unheard, Watch};
use crate::proto::{Md5Sum, quoted};
use crate::store::fs::error::StoreError;
use crate::store::fs::worker::{Pause, Work};
use crate::sync::remote_config::{Guard, InStep, Item, ItemKind};

/// From the first change to the look at what has changed: an edit writes two files.
const EDIT: Duration = Duration::from_millis(100);
/// From one look at all to the next, where changes are heard of.
const WATCHED: Duration = Duration::from_secs(5 * 60);
/// From one look at all to the next, where changes may not be heard of, or the directories are not there.
const UNWATCHED: Duration = Duration::from_secs(30);

/// From one look at which directories they are to the next: one that is mounted over another changes nothing in it.
const IDENTIFIED: Duration = Duration::from_secs(5);

/// What it is told to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Something has changed.
    Changed,
    Read {
        ticket: u64,
        item: Item,
        directories: u64,
    },
    Publish {
        ticket: u64,
        upload: Upload,
    },
    Confirm {
        ticket: u64,
        item: Item,
        directories: u64,
    },
    Load {
        ticket: u64,
        file: InStepFile,
    },
    Save {
        file: InStepFile,
        in_step: InStep,
    },
    LoadGuard {
        ticket: u64,
        file: GuardFile,
    },
    SaveGuard {
        file: GuardFile,
        guard: Guard,
    },
    #[cfg(test)]
    Panic,
}

/// What is to be published.
#[derive(Debug)]
pub struct Upload {
    /// Whose both files they are.
    pub item: Item,
    /// What goes into the one; its MD5 goes into the other.
    pub content: Arc<[u8]>,
    /// What is to stay free on the filesystem, in bytes.
    pub min_free: u64,
    /// Where: [`SeenCentre::directories`](super::SeenCentre::directories).
    pub directories: u64,
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
    /// Their number: it grows whenever there are others.
    directories: u64,
    view: SharedView,
    held: Held,
    /// When to look at all; before the first time `None`.
    next: Option<Instant>,
    /// When to look whether they are the same directories.
    next_identified: Option<Instant>,
    /// When to look at what has changed.
    changed: Option<Instant>,
}

impl CentralWork {
    pub(super) fn new(incoming: PathBuf, watch: Option<Watch>, view: SharedView) -> Self {
        Self {
            incoming,
            watch,
            unheard: None,
            scan: Scan::default(),
            looked_at: None,
            directories: 0,
            view,
            held: Held::new(),
            next: None,
            next_identified: None,
            changed: None,
        }
    }

    /// Whether there is something else to be seen now.
    fn look(&mut self, now: Instant) -> bool {
        let is_due = |time: Option<Instant>| time.is_some_and(|time| now >= time);
        if self.next.is_none() || is_due(self.next) {
            return self.look_at_all(now);
        }
        if is_due(self.next_identified) {
            self.next_identified = Some(now + IDENTIFIED);
            if self.identities() != self.looked_at {
                return self.look_at_all(now);
            }
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
        self.next_identified = Some(now + IDENTIFIED);
        let looked_at = looked.as_ref().ok().copied();
        if looked_at != self.looked_at {
            self.looked_at = looked_at;
            self.directories += 1;
        }
        self.show(looked.map(drop))
    }

    /// Which directories there are now.
    fn identities(&self) -> Option<Identities> {
        Directories::open(&self.incoming).and_then(|directories| directories.identities()).ok()
    }

    /// The directories that what is known is about, and `asked` is the number of.
    ///
    /// # Errors
    /// There are others by now, or none: what is known is about those, then.
    fn open(&mut self, asked: u64, now: Instant) -> Result<Directories, StoreError> {
        let directories = self.open_known(now)?;
        if asked == self.directories { Ok(directories) } else { Err(StoreError::Replaced(self.incoming.clone())) }
    }

    fn open_known(&mut self, now: Instant) -> Result<Directories, StoreError> {
        if let Ok(directories) = Directories::open(&self.incoming)
            && directories.identities().ok() == self.looked_at
        {
            return Ok(directories);
        }
        self.look_at_all(now);
        match self.view.get() {
            CentralView::Unavailable(error) => Err(error),
            CentralView::Starting | CentralView::Seen { .. } => Err(StoreError::Replaced(self.incoming.clone())),
        }
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
        match self.open_known(now) {
            Ok(directories) => {
                self.scan.look_at(&directories, items);
                self.show(Ok(()))
            }
            // All were looked at.
            Err(_) => true,
        }
    }

    /// Lets what was found be seen; whether that is something else than before.
    fn show(&mut self, found: Result<(), StoreError>) -> bool {
        match found {
            Ok(()) => self.view.show(&mut self.scan, &self.incoming, self.directories),
            Err(error) => self.view.lose(error),
        }
    }

    /// The item's content, if it fits its MD5 as it is read.
    fn read(&mut self, item: &Item, directories: u64, now: Instant) -> Option<(Arc<[u8]>, Md5Sum)> {
        let directories = self.open(directories, now).ok()?;
        read_fitting(&directories, item, |directory| match item.kind() {
            ItemKind::Configuration => read_anew(directory, item),
            ItemKind::Collection => self.held.read(directory, item)?.ok(),
        })
    }

    /// Whether neither file is there, and that is seen.
    fn confirm(&mut self, item: &Item, directories: u64, now: Instant) -> bool {
        let Ok(directories) = self.open(directories, now) else { return false };
        self.scan.look_at(&directories, &BTreeSet::from([item.clone()]));
        self.show(Ok(()));
        self.scan.item(item).is_none()
    }

    /// Publishes what is of different items, in the same directories.
    fn publish(&mut self, uploads: &[(u64, Upload)], now: Instant) -> Vec<CentralCompletion> {
        let Some((_, first)) = uploads.first() else { return Vec::new() };
        let results = match self.open(first.directories, now) {
            Ok(directories) => {
                let results = publish_uploads(&directories, uploads);
                // Whoever asked is to see it when this is completed, and so what was in its way.
                self.scan.look_at(&directories, &uploads.iter().map(|(_, upload)| upload.item.clone()).collect());
                self.show(Ok(()));
                results
            }
            Err(error) => vec![Err(error); uploads.len()],
        };
        let results = uploads.iter().zip(results);
        results.map(|((ticket, _), result)| CentralCompletion::Published { ticket: *ticket, result }).collect()
    }

    fn carry_out_one(&mut self, order: Order, now: Instant) -> Option<CentralCompletion> {
        match order {
            Order::Changed => {
                self.changed = self.changed.or(Some(now + EDIT));
                None
            }
            Order::Read { ticket, item, directories } => {
                Some(CentralCompletion::Read { ticket, content: self.read(&item, directories, now) })
            }
            Order::Publish { ticket, upload } => self.publish(&[(ticket, upload)], now).pop(),
            Order::Confirm { ticket, item, directories } => {
                Some(CentralCompletion::Confirmed { ticket, is_missing: self.confirm(&item, directories, now) })
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
            Order::LoadGuard { ticket, file } => {
                let guard = file.load().unwrap_or_else(|error| {
                    log::warn!("{error}: whether deletions are held back is judged anew");
                    Guard::default()
                });
                Some(CentralCompletion::GuardLoaded { ticket, guard })
            }
            Order::SaveGuard { file, guard } => {
                if let Err(error) = file.save(&guard) {
                    log::warn!("{error}: after a restart, whether deletions are held back is judged anew");
                }
                None
            }
            #[cfg(test)]
            Order::Panic => panic!("as it was told to"),
        }
    }
}

/// Says once that changes may not be heard of.
pub(super) fn warn_of(incoming: &Path, why: Unheard) {
    log::warn!("{}: {why}: agents' configuration is looked at every {} s", quoted(incoming), UNWATCHED.as_secs());
}

/// Whether both can be published together.
fn is_beside(one: &Upload, other: &Upload) -> bool {
    one.item != other.item && one.directories == other.directories
}

/// Publishes those for which there is room.
fn publish_uploads(directories: &Directories, uploads: &[(u64, Upload)]) -> Vec<Result<(), StoreError>> {
    let mut room = Room::new(directories);
    let take = |(_, upload): &(u64, Upload)| room.take(&upload.item, &upload.content, upload.min_free);
    let has_room: Vec<_> = uploads.iter().map(take).collect();
    let pairs = uploads.iter().zip(&has_room).filter(|(_, has_room)| has_room.is_ok());
    let pairs: Vec<_> = pairs.map(|((_, Upload { item, content, .. }), _)| Pair { item, content }).collect();
    let mut published = publish_all(directories, &pairs).into_iter();
    let result = |has_room: Result<(), StoreError>| has_room.and_then(|()| published.next().unwrap_or(Ok(())));
    has_room.into_iter().map(result).collect()
}

impl Work for CentralWork {
    type Order = Order;
    type Completion = CentralCompletion;

    const NAME: &'static str = "central-config";
    const GROUP: usize = 64;

    fn carry_out(&mut self, group: Vec<Order>, now: Instant) -> Vec<CentralCompletion> {
        let (mut completions, mut uploads) = (Vec::new(), Vec::<(u64, Upload)>::new());
        for order in group {
            match order {
                Order::Publish { ticket, upload } if uploads.iter().all(|(_, other)| is_beside(other, &upload)) => {
                    uploads.push((ticket, upload));
                }
                other => {
                    completions.extend(self.publish(&std::mem::take(&mut uploads), now));
                    completions.extend(self.carry_out_one(other, now));
                }
            }
        }
        completions.extend(self.publish(&uploads, now));
        completions
    }

    fn go_on(&mut self, now: Instant) -> Pause {
        let has_news = self.look(now);
        let times = self.next.into_iter().chain(self.next_identified).chain(self.changed);
        Pause { until: times.min(), has_news }
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
