//! What the centre has.

use std::collections::{BTreeMap, BTreeSet};

use super::item::Item;
use crate::proto::Md5Sum;

/// All configurations and collections in a centre's directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Centre {
    /// By item; one of which neither file is there is missing.
    pub items: BTreeMap<Item, CentreItem>,
}

impl Centre {
    /// The items of which it has something else than `before`, or nothing any more, or had nothing.
    pub fn changed_from(&self, before: &Self) -> BTreeSet<Item> {
        let gone = before.items.keys().filter(|item| !self.items.contains_key(*item));
        let other = self.items.iter().filter(|(item, has)| before.items.get(*item) != Some(*has));
        other.map(|(item, _)| item).chain(gone).cloned().collect()
    }
}

/// What the centre has of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CentreItem {
    /// Of the file that has the content, if it is there.
    pub content: Option<Md5Sum>,
    /// What the other file says the content's MD5 is, if it is there and says one.
    pub md5: Option<[u8; 16]>,
    /// The collections that a configuration asks for.
    pub collections: BTreeSet<Item>,
    /// The agent whose configuration it is, where that names it.
    pub agent: Option<Box<str>>,
}

impl CentreItem {
    /// The content, if both files are there, fit each other, and are not empty. While somebody edits, they do not fit.
    pub fn current(&self) -> Option<Md5Sum> {
        self.content.filter(|content| content.size > 0 && self.md5 == Some(content.md5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_gone_or_become_another_has_changed() {
        let item = |name| Item::collection(name).unwrap();
        let has = |byte| CentreItem { md5: Some([byte; 16]), ..CentreItem::default() };
        let before = Centre { items: [(item("gone"), has(1)), (item("same"), has(1)), (item("other"), has(1))].into() };
        let after = Centre { items: [(item("new"), has(1)), (item("same"), has(1)), (item("other"), has(2))].into() };
        assert_eq!(after.changed_from(&before), ["gone", "new", "other"].map(item).into());
        assert_eq!(after.changed_from(&after), BTreeSet::new());
    }
}
