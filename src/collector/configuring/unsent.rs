//! What of the centre's configuration waits to be sent to a site, and since when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::sync::remote_config::{Centre, InStep, Item, ItemKind};

/// Items of which the centre has something else than the site had when both were the same, by when that was seen.
#[derive(Debug, Default)]
pub(super) struct Unsent(BTreeMap<Item, Instant>);

impl Unsent {
    /// Of these items, those wait that are not in step.
    pub(super) fn changed<'a>(
        &mut self,
        items: impl Iterator<Item = &'a Item>,
        in_step: &InStep,
        centre: &Centre,
        now: Instant,
    ) {
        let wanted = in_step.wanted(centre);
        for item in items.filter(|item| waits(item, in_step, centre, &wanted)) {
            self.0.entry(item.clone()).or_insert(now);
        }
    }

    /// A round that began at `since` with this `centre` has ended. What became another meanwhile still waits.
    pub(super) fn sent(&mut self, in_step: &InStep, centre: &Centre, since: Instant) {
        let wanted = in_step.wanted(centre);
        self.0.retain(|item, seen| *seen > since || waits(item, in_step, centre, &wanted));
    }

    /// How many there are, and since when the first of them waits.
    pub(super) fn known(&self) -> (usize, Option<Instant>) {
        (self.0.len(), self.0.values().min().copied())
    }
}

/// Whether the site is to be sent this, or to let it go. What does not fit its MD5, as while somebody edits, is not, nor is a
/// collection that is not `wanted`.
fn waits(item: &Item, in_step: &InStep, centre: &Centre, wanted: &BTreeSet<&Item>) -> bool {
    match centre.items.get(item) {
        Some(_) if item.kind() == ItemKind::Collection && !wanted.contains(item) => false,
        Some(has) => has.current().is_some_and(|current| in_step.get(item) != Some(current.md5)),
        None => in_step.has_received(item),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::Md5Sum;
    use crate::sync::remote_config::CentreItem;

    fn item(name: &str) -> Item {
        Item::named(name)
    }

    /// A centre with items of these contents; one of another MD5 than its file says where it is 0.
    fn centre(items: &[(&str, u8)]) -> Centre {
        let has = |byte: u8| CentreItem {
            content: Some(Md5Sum { size: 1, md5: [byte; 16] }),
            md5: Some([byte.max(1); 16]),
            ..CentreItem::default()
        };
        Centre { items: items.iter().map(|(name, byte)| (item(name), has(*byte))).collect() }
    }

    fn in_step(items: &[(&str, u8)]) -> InStep {
        items.iter().map(|(name, byte)| (item(name), [*byte; 16])).collect()
    }

    #[test]
    fn what_was_edited_waits_from_then_until_it_is_sent() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let known = in_step(&[("a", 1), ("b", 1), ("same", 1), ("gone", 1), ("edited", 1)]);
        let edited = centre(&[("a", 2), ("b", 1), ("same", 1), ("edited", 0), ("new", 1)]);
        let all: Vec<Item> = ["a", "b", "same", "gone", "edited", "new", "unknown"].map(item).into();
        let mut unsent = Unsent::default();
        unsent.changed(all.iter(), &known, &edited, at(10));
        assert_eq!(unsent.known(), (3, Some(at(10))), "a, gone and new");
        unsent.changed(all.iter(), &known, &edited, at(20));
        assert_eq!(unsent.known(), (3, Some(at(10))), "from the first time on");

        // A round sends two of them, while another is edited.
        unsent.changed([item("b")].iter(), &known, &centre(&[("b", 3)]), at(31));
        let sent = in_step(&[("a", 2), ("b", 1), ("same", 1), ("gone", 1), ("edited", 1), ("new", 1)]);
        unsent.sent(&sent, &edited, at(30));
        assert_eq!(unsent.known(), (2, Some(at(10))), "gone and b");
        unsent.sent(&in_step(&[("b", 3)]), &centre(&[("b", 3)]), at(40));
        assert_eq!(unsent.known(), (0, None));
    }
    #[test]
    fn a_collection_waits_while_a_configuration_asks_for_it() {
        let (now, collection) = (Instant::now(), Item::collection("fc_1").unwrap());
        let known: InStep = [item("a"), collection.clone()].into_iter().map(|item| (item, [1; 16])).collect();
        for is_wanted in [true, false] {
            let mut edited = centre(&[("a", 1), ("fc_1", 2)]);
            let has = edited.items.remove(&item("fc_1")).unwrap();
            edited.items.insert(collection.clone(), has);
            if is_wanted {
                edited.items.get_mut(&item("a")).unwrap().collections.insert(collection.clone());
            }
            let mut unsent = Unsent::default();
            unsent.changed([&collection].into_iter(), &known, &edited, now);
            assert_eq!(unsent.known().0, usize::from(is_wanted));
        }
        let mut unsent = Unsent(BTreeMap::from([(collection, now)]));
        unsent.sent(&known, &centre(&[("a", 1)]), now);
        assert_eq!(unsent.known().0, 1, "it is missing here");
    }
}
