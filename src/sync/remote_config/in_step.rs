//! What a site was seen to have.

use std::collections::BTreeMap;

use super::Item;
use crate::proto::Refusal;

/// What a site was seen to have the same as the centre, by the content's MD5. It survives restarts; its loss costs
/// comparisons, not edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InStep {
    items: BTreeMap<Item, [u8; 16]>,
    /// Which of those had its turn to be compared last.
    pub(super) last_compared: Option<Item>,
    /// Which item something was last to be done about. The next round goes on after it, so that an item that connections
    /// die over does not keep the others from theirs.
    pub(super) last_begun: Option<Item>,
    /// What the site did not take, by the content's MD5: the same again it is not sent.
    refused: BTreeMap<Item, ([u8; 16], Refusal)>,
}

impl InStep {
    /// The MD5 of the content that the site and the centre had.
    pub fn get(&self, item: &Item) -> Option<[u8; 16]> {
        self.items.get(item).copied()
    }

    /// All items, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&Item, [u8; 16])> + Clone {
        self.items.iter().map(|(item, md5)| (item, *md5))
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the site was not seen to have anything the same as the centre.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Why the site did not take this content, if that was the last one it was sent.
    pub(super) fn refusal(&self, item: &Item, md5: [u8; 16]) -> Option<&Refusal> {
        self.refused.get(item).filter(|(refused, _)| *refused == md5).map(|(_, refusal)| refusal)
    }

    pub(super) fn refuse(&mut self, item: Item, md5: [u8; 16], refusal: Refusal) {
        self.refused.insert(item, (md5, refusal));
    }

    /// The site may take by now what it refused.
    pub fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    pub(super) fn insert(&mut self, item: Item, md5: [u8; 16]) {
        self.refused.remove(&item);
        self.items.insert(item, md5);
    }

    pub(super) fn remove(&mut self, item: &Item) {
        self.refused.remove(item);
        self.items.remove(item);
    }
}

impl FromIterator<(Item, [u8; 16])> for InStep {
    fn from_iter<I: IntoIterator<Item = (Item, [u8; 16])>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), ..Self::default() }
    }
}
