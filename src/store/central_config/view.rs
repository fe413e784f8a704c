//! What the thread has found, for others to see.
//!
//! Whoever looks holds it as it is then. While nobody does, a change is made in place: many changes in a row cost what they
//! change, and not all there is each time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::scan::Scan;
use super::unfit::UnfitPair;
use crate::mutex::lock;
use crate::store::fs::error::StoreError;
use crate::sync::remote_config::{Centre, CentreItem, Item};

/// What is known of the directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CentralView {
    /// Nothing yet.
    Starting,
    /// They are not there, or cannot be listed: nothing is to be done by what was known before.
    Unavailable(StoreError),
    /// What is in them.
    Seen {
        /// As sites see it.
        centre: Arc<Centre>,
        /// Which directories these are: others have another number.
        directories: u64,
        /// The pairs of it that do not fit, as while somebody edits them.
        unfit: Arc<BTreeMap<Item, UnfitPair>>,
    },
}

/// What is in the directories.
#[derive(Clone, Debug)]
pub struct SeenCentre {
    /// As sites see it.
    pub centre: Arc<Centre>,
    /// Which directories these are. What is asked for on the strength of this is done in these alone.
    pub directories: u64,
}

/// The view, of which one thread alone makes another.
#[derive(Clone, Debug)]
pub(super) struct SharedView(Arc<Mutex<Shown>>);

#[derive(Debug)]
struct Shown {
    view: CentralView,
    /// The items that have become others since this was taken last.
    changed: BTreeSet<Item>,
}

/// What has become of one item.
struct Change {
    item: Item,
    has: Option<CentreItem>,
    unfit: Option<UnfitPair>,
}

impl Change {
    fn is_one(&self, centre: &Centre, unfit: &BTreeMap<Item, UnfitPair>) -> bool {
        centre.items.get(&self.item) != self.has.as_ref() || unfit.get(&self.item) != self.unfit.as_ref()
    }
}

impl SharedView {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Shown { view: CentralView::Starting, changed: BTreeSet::new() })))
    }

    pub(super) fn get(&self) -> CentralView {
        lock(&self.0).view.clone()
    }

    pub(super) fn seen(&self) -> Option<SeenCentre> {
        match &lock(&self.0).view {
            CentralView::Seen { centre, directories, .. } => {
                Some(SeenCentre { centre: Arc::clone(centre), directories: *directories })
            }
            CentralView::Starting | CentralView::Unavailable(_) => None,
        }
    }

    /// The items that have come, gone or become others since the last call.
    pub(super) fn take_changed(&self) -> BTreeSet<Item> {
        std::mem::take(&mut lock(&self.0).changed)
    }

    /// Nothing is known any more; whether that is new.
    pub(super) fn lose(&self, error: StoreError) -> bool {
        let mut shown = lock(&self.0);
        let view = CentralView::Unavailable(error);
        let is_other = shown.view != view;
        *shown = Shown { view, changed: BTreeSet::new() };
        is_other
    }

    /// Shows what was found in these directories in `incoming`; whether that is something else than before.
    pub(super) fn show(&self, scan: &mut Scan, incoming: &Path, directories: u64) -> bool {
        let touched = scan.take_touched();
        match self.get() {
            CentralView::Seen { centre, unfit, directories: before } => {
                let change = |item: Item| {
                    let (has, unfit) = (scan.item(&item), scan.unfit_pair(incoming, &item));
                    Change { item, has, unfit }
                };
                let changes = touched.into_iter().map(change);
                let changes: Vec<Change> = changes.filter(|change| change.is_one(&centre, &unfit)).collect();
                drop((centre, unfit));
                let is_other = !changes.is_empty() || directories != before;
                self.change(changes, directories);
                is_other
            }
            CentralView::Starting | CentralView::Unavailable(_) => {
                let (centre, unfit) = (scan.centre(), scan.unfit(incoming));
                let changed = centre.items.keys().cloned().collect();
                let view = CentralView::Seen { centre: Arc::new(centre), unfit: Arc::new(unfit), directories };
                *lock(&self.0) = Shown { view, changed };
                true
            }
        }
    }

    fn change(&self, changes: Vec<Change>, now: u64) {
        let mut shown = lock(&self.0);
        let Shown { view: CentralView::Seen { centre, unfit, directories }, changed } = &mut *shown else { return };
        if changes.is_empty() {
            *directories = now;
            return;
        }
        let items = changes.iter().map(|change| change.item.clone());
        if let (Some(centre), Some(unfit)) = (Arc::get_mut(centre), Arc::get_mut(unfit)) {
            *directories = now;
            changed.extend(items);
            return apply(changes, centre, unfit);
        }
        // Somebody holds it. Nobody waits for the lock while it is copied, and no other thread makes another meanwhile.
        let (held, held_unfit) = (Arc::clone(centre), Arc::clone(unfit));
        drop(shown);
        let (mut centre, mut unfit, items) = ((*held).clone(), (*held_unfit).clone(), items.collect::<Vec<_>>());
        apply(changes, &mut centre, &mut unfit);
        let mut shown = lock(&self.0);
        shown.view = CentralView::Seen { centre: Arc::new(centre), unfit: Arc::new(unfit), directories: now };
        shown.changed.extend(items);
    }
}

fn apply(changes: Vec<Change>, centre: &mut Centre, unfit: &mut BTreeMap<Item, UnfitPair>) {
    for Change { item, has, unfit: pair } in changes {
        match has {
            Some(has) => drop(centre.items.insert(item.clone(), has)),
            None => drop(centre.items.remove(&item)),
        }
        match pair {
            Some(pair) => drop(unfit.insert(item, pair)),
            None => drop(unfit.remove(&item)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Incoming;
    use super::*;

    fn look(view: &SharedView, scan: &mut Scan, incoming: &Incoming) -> bool {
        scan.look_at_all(&incoming.open()).unwrap();
        view.show(scan, incoming.path(), 1)
    }

    fn seen(view: &SharedView) -> (Arc<Centre>, Arc<BTreeMap<Item, UnfitPair>>) {
        match view.get() {
            CentralView::Seen { centre, unfit, .. } => (centre, unfit),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_shown_change_by_change_is_what_is_there() {
        let (incoming, view, mut scan) = (Incoming::new(), SharedView::new(), Scan::default());
        let collection = Item::collection("fc_1").unwrap();
        let steps: [&dyn Fn(); 7] = [
            &|| drop(incoming.put(1, b"one")),
            &|| incoming.write_md5(&collection, b"of nobody"),
            &|| drop(incoming.put(2, b"file_collection fc_1\n")),
            &|| incoming.write_content(&collection, b"of nobody"),
            &|| std::fs::remove_file(incoming.content(&collection)).unwrap(),
            &|| drop(incoming.put(2, b"two")),
            &|| std::fs::remove_file(incoming.content(&super::super::testing::configuration(1))).unwrap(),
        ];
        let mut held = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            step();
            let is_other = look(&view, &mut scan, &incoming);
            assert_eq!(is_other, number != 1, "{number}");
            assert!(!look(&view, &mut scan, &incoming));
            let mut fresh = Scan::default();
            fresh.look_at_all(&incoming.open()).unwrap();
            assert_eq!(seen(&view), (Arc::new(fresh.centre()), Arc::new(fresh.unfit(incoming.path()))), "{number}");
            assert_eq!(!view.take_changed().is_empty(), is_other);
            // What somebody holds stays as it was.
            if number % 2 == 0 {
                held.push((seen(&view), fresh.centre()));
            }
            assert!(held.iter().all(|((held, _), was)| **held == *was));
        }
    }

    #[test]
    fn a_change_that_nobody_holds_is_made_in_place() {
        let (incoming, view, mut scan) = (Incoming::new(), SharedView::new(), Scan::default());
        look(&view, &mut scan, &incoming);
        let before = Arc::as_ptr(&seen(&view).0);
        incoming.put(1, b"one");
        assert!(look(&view, &mut scan, &incoming));
        let (held, _) = seen(&view);
        assert_eq!((Arc::as_ptr(&held), held.items.len()), (before, 1));
        incoming.put(2, b"two");
        look(&view, &mut scan, &incoming);
        assert_eq!((held.items.len(), seen(&view).0.items.len()), (1, 2));
    }

    #[test]
    fn what_comes_back_has_changed() {
        let (incoming, view, mut scan) = (Incoming::new(), SharedView::new(), Scan::default());
        let item = incoming.put(1, b"one");
        assert!(look(&view, &mut scan, &incoming));
        assert_eq!(view.take_changed(), BTreeSet::from([item.clone()]));
        assert!(view.lose(StoreError::Stopped) && !view.lose(StoreError::Stopped));
        assert!(view.seen().is_none());
        assert!(look(&view, &mut scan, &incoming));
        assert_eq!(view.take_changed(), BTreeSet::from([item]));
    }
}
