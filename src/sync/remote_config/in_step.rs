//! What a site was seen to have, and which configurations are its own.

use std::collections::{BTreeMap, BTreeSet};

use super::{Item, ItemKind};
use crate::proto::Refusal;

/// Uploads of one configuration that are known: between two of them, the centre has deleted it.
const MOST_UPLOADS: usize = 16;

/// What a site was seen to have the same as the centre, by the content's MD5, and the configurations that it owns: the centre's
/// go to their owner alone. It survives restarts. Its loss costs comparisons, and of what was edited meanwhile, an operator's
/// word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InStep {
    items: BTreeMap<Item, Standing>,
    /// Which of those had its turn to be compared last.
    pub(super) last_compared: Option<Item>,
    /// Which item something was last to be done about. The next round goes on after it, so that an item that connections
    /// die over does not keep the others from theirs.
    pub(super) last_begun: Option<Item>,
    /// What the site did not take, by the content's MD5: the same again it is not sent.
    refused: BTreeMap<Item, ([u8; 16], Refusal)>,
    /// Configurations that the site listed, that nobody owned, and that were others than the centre's.
    unclaimed: BTreeSet<Item>,
}

/// How one item stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The MD5 of the content that both had, unless the site was sent another since.
    pub in_step: Option<[u8; 16]>,
    /// Those of the configuration's contents that were taken up from the site, or may have been: what they ask for is the word
    /// of the site alone.
    pub uploads: BTreeSet<[u8; 16]>,
}

impl InStep {
    /// The MD5 of the content that the site and the centre had.
    pub fn get(&self, item: &Item) -> Option<[u8; 16]> {
        self.items.get(item).and_then(|standing| standing.in_step)
    }

    /// All items that are in step, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&Item, [u8; 16])> + Clone {
        self.items.iter().filter_map(|(item, standing)| Some((item, standing.in_step?)))
    }

    /// Those and the configurations that the site owns though they are not in step, in their order.
    pub fn standings(&self) -> impl Iterator<Item = (&Item, &Standing)> + Clone {
        self.items.iter()
    }

    /// How many items are in step.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether nothing is known of the site.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the site owns the configuration.
    pub fn owns(&self, item: &Item) -> bool {
        item.kind() == ItemKind::Configuration && self.items.contains_key(item)
    }

    /// The configurations that the site owns.
    pub fn owned(&self) -> impl Iterator<Item = &Item> {
        self.items.keys().filter(|item| item.kind() == ItemKind::Configuration)
    }

    /// Has the site own the configuration.
    pub fn own(&mut self, item: Item) {
        self.unclaimed.remove(&item);
        self.items.entry(item).or_default();
    }

    /// The configurations that it listed, that nobody owned, and that were others than the centre's.
    pub fn unclaimed(&self) -> impl Iterator<Item = &Item> {
        self.unclaimed.iter()
    }

    /// Whether the configuration is one of those.
    pub(super) fn is_unclaimed(&self, item: &Item) -> bool {
        self.unclaimed.contains(item)
    }

    /// The configuration is one of those.
    pub(super) fn leave_unclaimed(&mut self, item: Item) {
        self.unclaimed.insert(item);
    }

    /// What the site does not list any more, or another owns, is unclaimed there no longer.
    pub(super) fn keep_unclaimed(&mut self, is_one: impl Fn(&Item) -> bool) {
        self.unclaimed.retain(is_one);
    }

    /// Whether this content of a configuration is what the site has uploaded itself.
    pub(super) fn is_upload(&self, item: &Item, md5: [u8; 16]) -> bool {
        self.items.get(item).is_some_and(|standing| standing.uploads.contains(&md5))
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

    /// Both have this content.
    pub(super) fn insert(&mut self, item: Item, md5: [u8; 16]) {
        self.refused.remove(&item);
        self.unclaimed.remove(&item);
        self.items.entry(item).or_default().in_step = Some(md5);
    }

    /// Has the site own the configuration, of which it has uploaded this content.
    pub(super) fn own_upload(&mut self, item: Item, md5: [u8; 16]) {
        self.unclaimed.remove(&item);
        let Standing { in_step, uploads } = self.items.entry(item).or_default();
        *in_step = None;
        if uploads.len() >= MOST_UPLOADS {
            uploads.pop_first();
        }
        uploads.insert(md5);
    }

    /// The site has something else than the centre from now on. A configuration is the site's all the same.
    pub(super) fn fall_out(&mut self, item: &Item) {
        match item.kind() {
            ItemKind::Configuration => {
                if let Some(standing) = self.items.get_mut(item) {
                    standing.in_step = None;
                }
            }
            ItemKind::Collection => drop(self.items.remove(item)),
        }
    }

    /// Nothing is known of the item any more, and the site does not own it.
    pub fn remove(&mut self, item: &Item) {
        self.refused.remove(item);
        self.unclaimed.remove(item);
        self.items.remove(item);
    }
}

impl FromIterator<(Item, [u8; 16])> for InStep {
    fn from_iter<I: IntoIterator<Item = (Item, [u8; 16])>>(items: I) -> Self {
        let in_step = |md5| Standing { in_step: Some(md5), uploads: BTreeSet::new() };
        items.into_iter().map(|(item, md5)| (item, in_step(md5))).collect()
    }
}

impl FromIterator<(Item, Standing)> for InStep {
    fn from_iter<I: IntoIterator<Item = (Item, Standing)>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), ..Self::default() }
    }
}
