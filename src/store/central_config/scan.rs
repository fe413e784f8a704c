//! What is in the centre's directories.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::directories::{Directories, Folder};
use super::files::{Content, Fault, Known, look_at_content, look_at_md5};
use super::unfit::{Unfit, UnfitPair};
use crate::store::fs::error::StoreError;
use crate::sync::remote_config::{Centre, CentreItem, Item, ItemKind};

/// What was found at the last look, of each file.
#[derive(Debug, Default)]
pub(super) struct Scan {
    contents: BTreeMap<Item, Known<Content>>,
    md5s: BTreeMap<Item, Known<[u8; 16]>>,
    /// How many configurations ask for each collection.
    asked: BTreeMap<Item, usize>,
    /// Those of which something else was found since this was taken last.
    touched: BTreeSet<Item>,
}

impl Scan {
    /// Looks at all files.
    ///
    /// # Errors
    /// The directories cannot be listed: what is in them is not known.
    pub(super) fn look_at_all(&mut self, directories: &Directories) -> Result<(), StoreError> {
        let mut items = BTreeSet::new();
        for name in directories.configurations.names()? {
            items.extend(Folder::Configurations.item(&name));
        }
        for name in directories.md5s.names()? {
            // Whether another is that of a collection shows by the collections.
            items.extend(Folder::Md5s.item(&name).filter(|item| item.kind() == ItemKind::Configuration));
        }
        if let Some(collections) = &directories.collections {
            for name in collections.names()? {
                items.extend(Folder::Collections.item(&name));
            }
        }
        // A listing may leave out a name that is replaced meanwhile, and nothing is missing by a listing alone.
        items.extend(self.contents.keys().chain(self.md5s.keys()).cloned());
        self.look_at(directories, &items);
        Ok(())
    }

    /// Looks at these items' files, and at the collections that they ask for.
    pub(super) fn look_at(&mut self, directories: &Directories, items: &BTreeSet<Item>) {
        for item in items {
            self.look_at_pair(directories, item);
        }
        let asked: BTreeSet<Item> = items.iter().flat_map(|item| self.asked_by(item)).cloned().collect();
        for item in asked.difference(items) {
            self.look_at_pair(directories, item);
        }
    }

    fn look_at_pair(&mut self, directories: &Directories, item: &Item) {
        let known = self.contents.remove(item);
        let before = known.as_ref().map(|known| known.found.clone());
        let content = directories.content(item).and_then(|directory| look_at_content(directory, item, known));
        let found = content.as_ref().map(|content| content.found.clone());
        self.contents.extend(content.map(|content| (item.clone(), content)));
        if before != found {
            self.touched.insert(item.clone());
            self.ask_no_more(before);
            self.ask(found);
        }
        let known = self.md5s.remove(item);
        let before = known.as_ref().map(|known| known.found.clone());
        let md5 = look_at_md5(&directories.md5s, item, known);
        if before.as_ref() != md5.as_ref().map(|md5| &md5.found) {
            self.touched.insert(item.clone());
        }
        self.md5s.extend(md5.map(|md5| (item.clone(), md5)));
    }

    /// A configuration's content is this by now.
    fn ask(&mut self, content: Option<Result<Content, Fault>>) {
        for collection in content.and_then(Result::ok).map(|content| content.conf.collections).unwrap_or_default() {
            self.touched.insert(collection.clone());
            *self.asked.entry(collection).or_default() += 1;
        }
    }

    /// A configuration's content was this.
    fn ask_no_more(&mut self, content: Option<Result<Content, Fault>>) {
        for collection in content.and_then(Result::ok).map(|content| content.conf.collections).unwrap_or_default() {
            if let Entry::Occupied(mut count) = self.asked.entry(collection.clone()) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
            self.touched.insert(collection);
        }
    }

    /// The items of which something else was found since the last call.
    pub(super) fn take_touched(&mut self) -> BTreeSet<Item> {
        std::mem::take(&mut self.touched)
    }

    fn asked_by(&self, item: &Item) -> impl Iterator<Item = &Item> {
        let content = self.contents.get(item).and_then(|known| known.found.as_ref().ok());
        content.into_iter().flat_map(|content| &content.conf.collections)
    }

    /// Those of which one file at least is there.
    fn items(&self) -> BTreeSet<&Item> {
        self.contents.keys().chain(self.md5s.keys()).filter(|item| self.has(item)).collect()
    }

    /// Whether one file at least is there. Another program's `<name>.md5` is that of a collection only if there is such a
    /// collection, or should be.
    fn has(&self, item: &Item) -> bool {
        let is_md5 = || item.kind() == ItemKind::Configuration || self.asked.contains_key(item);
        self.contents.contains_key(item) || (self.md5s.contains_key(item) && is_md5())
    }

    /// As sites see it.
    pub(super) fn centre(&self) -> Centre {
        let items = self.items().into_iter();
        Centre { items: items.filter_map(|item| Some((item.clone(), self.item(item)?))).collect() }
    }

    /// One item, as sites see it; `None` if neither file is there.
    pub(super) fn item(&self, item: &Item) -> Option<CentreItem> {
        let content = self.contents.get(item).and_then(|known| known.found.as_ref().ok());
        let conf = content.map(|content| content.conf.clone()).unwrap_or_default();
        self.has(item).then(|| CentreItem {
            content: content.map(|content| content.fingerprint),
            md5: self.md5s.get(item).and_then(|known| known.found.as_ref().ok().copied()),
            collections: conf.collections,
            agent: conf.agent,
        })
    }

    /// The pairs that do not fit.
    pub(super) fn unfit(&self, incoming: &Path) -> BTreeMap<Item, UnfitPair> {
        let pairs = self.items().into_iter();
        pairs.filter_map(|item| Some((item.clone(), self.unfit_pair(incoming, item)?))).collect()
    }

    /// The pair, if there is one that does not fit.
    pub(super) fn unfit_pair(&self, incoming: &Path, item: &Item) -> Option<UnfitPair> {
        let why = self.why_unfit(item).filter(|_| self.has(item))?;
        let content = self.contents.get(item).and_then(|known| known.found.as_ref().ok());
        Some(UnfitPair {
            item: item.clone(),
            agent: content.and_then(|content| content.conf.agent.clone()),
            content: Folder::of_content(item).file(incoming, &item.content_name()),
            md5: Folder::Md5s.file(incoming, &item.md5_name()),
            why,
        })
    }

    fn why_unfit(&self, item: &Item) -> Option<Unfit> {
        let content = match self.contents.get(item).map(|known| &known.found) {
            None => return Some(Unfit::NoContent),
            Some(Err(fault)) => return Some(Unfit::Content(fault.clone())),
            Some(Ok(content)) => content.fingerprint,
        };
        match self.md5s.get(item).map(|known| &known.found) {
            _ if content.size == 0 => Some(Unfit::Empty),
            None => Some(Unfit::NoMd5),
            Some(Err(fault)) => Some(Unfit::Md5(fault.clone())),
            Some(Ok(md5)) if *md5 == content.md5 => None,
            Some(Ok(_)) => Some(Unfit::OtherBytes),
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
