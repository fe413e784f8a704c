//! What a site was seen to have, and which configurations are its own.

use std::collections::{BTreeMap, BTreeSet};

use super::{Centre, Item, ItemKind};
use crate::proto::Refusal;

/// Uploads of one configuration that are known: between two of them, the centre has deleted it.
const MOST_UPLOADS: usize = 16;

/// Contents of one item that the site may have: between two of them, the sending of one has broken off.
const MOST_SENT: usize = 16;

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
    /// What the site has of the centre's.
    pub has: SiteHas,
    /// Those of the configuration's contents that were taken up from the site, or may have been: what they ask for is the word
    /// of the site alone.
    pub uploads: BTreeSet<[u8; 16]>,
}

/// What a site has of an item of the centre's, by the content's MD5.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SiteHas {
    /// That is not known.
    #[default]
    Unknown,
    /// The content that both had.
    InStep([u8; 16]),
    /// One of these, or a part of one: it had it, or was sent it. What is sent is one of them before any of it is at the site,
    /// until it is whole there.
    OneOf(BTreeSet<[u8; 16]>),
}

impl SiteHas {
    /// The MD5s.
    fn contents(&self) -> BTreeSet<[u8; 16]> {
        match self {
            Self::Unknown => BTreeSet::new(),
            Self::InStep(md5) => BTreeSet::from([*md5]),
            Self::OneOf(md5s) => md5s.clone(),
        }
    }
}

impl InStep {
    /// The MD5 of the content that the site and the centre had, unless the site was sent another since.
    pub fn get(&self, item: &Item) -> Option<[u8; 16]> {
        match self.items.get(item)?.has {
            SiteHas::InStep(md5) => Some(md5),
            SiteHas::Unknown | SiteHas::OneOf(_) => None,
        }
    }

    /// All items that are in step, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&Item, [u8; 16])> + Clone {
        self.items.keys().filter_map(|item| Some((item, self.get(item)?)))
    }

    /// The items that the site has, or may have, from the centre, or had the same, in their order.
    pub fn received(&self) -> impl Iterator<Item = &Item> + Clone {
        self.items.iter().filter(|(_, standing)| standing.has != SiteHas::Unknown).map(|(item, _)| item)
    }

    /// Whether the item is one of those.
    pub fn has_received(&self, item: &Item) -> bool {
        self.items.get(item).is_some_and(|standing| standing.has != SiteHas::Unknown)
    }

    /// The MD5s of the centre's contents of which the site has one, or a part of one, as far as is known.
    pub(super) fn contents(&self, item: &Item) -> BTreeSet<[u8; 16]> {
        self.items.get(item).map(|standing| standing.has.contents()).unwrap_or_default()
    }

    /// Whether the sending of the item has broken off, or is under way.
    pub(super) fn is_broken_off(&self, item: &Item) -> bool {
        self.items.get(item).is_some_and(|standing| matches!(standing.has, SiteHas::OneOf(_)))
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

    /// The collections of the centre that the configurations ask for which the site owns. What a configuration asks for as the site
    /// has uploaded it does not count: else a site would get whatever collection it names.
    pub fn wanted<'a>(&self, centre: &'a Centre) -> BTreeSet<&'a Item> {
        let owned = self.owned().filter_map(|item| Some((item, centre.items.get(item)?)));
        let edited = owned.filter(|(item, has)| !has.content.is_some_and(|content| self.is_upload(item, content.md5)));
        edited.flat_map(|(_, has)| &has.collections).filter(|item| centre.items.contains_key(*item)).collect()
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
        self.items.entry(item).or_default().has = SiteHas::InStep(md5);
    }

    /// This content of it is about to be sent.
    pub(super) fn send(&mut self, item: &Item, md5: [u8; 16]) {
        let mut contents = self.contents(item);
        if contents.len() >= MOST_SENT && !contents.contains(&md5) {
            contents.pop_first();
        }
        contents.insert(md5);
        self.items.entry(item.clone()).or_default().has = SiteHas::OneOf(contents);
    }

    /// Has the site own the configuration, of which it has uploaded this content.
    pub(super) fn own_upload(&mut self, item: Item, md5: [u8; 16]) {
        self.unclaimed.remove(&item);
        let Standing { has, uploads } = self.items.entry(item).or_default();
        *has = SiteHas::Unknown;
        if uploads.len() >= MOST_UPLOADS {
            uploads.pop_first();
        }
        uploads.insert(md5);
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
        let in_step = |md5| Standing { has: SiteHas::InStep(md5), uploads: BTreeSet::new() };
        items.into_iter().map(|(item, md5)| (item, in_step(md5))).collect()
    }
}

impl FromIterator<(Item, Standing)> for InStep {
    fn from_iter<I: IntoIterator<Item = (Item, Standing)>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), ..Self::default() }
    }
}
