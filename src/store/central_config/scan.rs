//! What is in the centre's directories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::directories::{Directories, Folder};
use super::files::{Content, Known, look_at_content, look_at_md5};
use super::unfit::{Unfit, UnfitPair};
use crate::store::fs::error::StoreError;
use crate::sync::remote_config::{Centre, CentreItem, Item, ItemKind};

/// What was found at the last look, of each file.
#[derive(Debug, Default)]
pub(super) struct Scan {
    contents: BTreeMap<Item, Known<Content>>,
    md5s: BTreeMap<Item, Known<[u8; 16]>>,
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
        let content = directories.content(item).and_then(|directory| look_at_content(directory, item, known));
        self.contents.extend(content.map(|content| (item.clone(), content)));
        let known = self.md5s.remove(item);
        let md5 = look_at_md5(&directories.md5s, item, known);
        self.md5s.extend(md5.map(|md5| (item.clone(), md5)));
    }

    fn asked_by(&self, item: &Item) -> impl Iterator<Item = &Item> {
        let content = self.contents.get(item).and_then(|known| known.found.as_ref().ok());
        content.into_iter().flat_map(|content| &content.conf.collections)
    }

    /// Those of which one file at least is there. Another program's `<name>.md5` is that of a collection only if there is such
    /// a collection, or should be.
    fn items(&self) -> BTreeSet<&Item> {
        let asked: BTreeSet<&Item> = self.contents.keys().flat_map(|item| self.asked_by(item)).collect();
        let md5s = self.md5s.keys().filter(|item| item.kind() == ItemKind::Configuration || asked.contains(item));
        self.contents.keys().chain(md5s).collect()
    }

    /// As sites see it.
    pub(super) fn centre(&self) -> Centre {
        let item = |item: &Item| {
            let content = self.contents.get(item).and_then(|known| known.found.as_ref().ok());
            let conf = content.map(|content| content.conf.clone()).unwrap_or_default();
            CentreItem {
                content: content.map(|content| content.fingerprint),
                md5: self.md5s.get(item).and_then(|known| known.found.as_ref().ok().copied()),
                collections: conf.collections,
                agent: conf.agent,
            }
        };
        Centre { items: self.items().into_iter().map(|key| (key.clone(), item(key))).collect() }
    }

    /// The pairs that do not fit.
    pub(super) fn unfit(&self, incoming: &Path) -> Vec<UnfitPair> {
        let pair = |item: &Item| {
            let why = self.why_unfit(item)?;
            let content = self.contents.get(item).and_then(|known| known.found.as_ref().ok());
            Some(UnfitPair {
                item: item.clone(),
                agent: content.and_then(|content| content.conf.agent.clone()),
                content: Folder::of_content(item).file(incoming, &item.content_name()),
                md5: Folder::Md5s.file(incoming, &item.md5_name()),
                why,
            })
        };
        self.items().into_iter().filter_map(pair).collect()
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
