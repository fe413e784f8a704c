//! What the centre has.

use std::collections::{BTreeMap, BTreeSet};

use super::item::Item;
use crate::proto::Fingerprint;

/// All configurations and collections in a centre's directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Centre {
    /// By item; one of which neither file is there is missing.
    pub items: BTreeMap<Item, CentreItem>,
}

/// What the centre has of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CentreItem {
    /// Of the file that has the content, if it is there.
    pub content: Option<Fingerprint>,
    /// What the other file says the content's MD5 is, if it is there and says one.
    pub md5: Option<[u8; 16]>,
    /// The collections that a configuration asks for.
    pub collections: BTreeSet<Item>,
    /// The agent whose configuration it is, where that names it.
    pub agent: Option<Box<str>>,
}

impl CentreItem {
    /// The content, if both files are there, fit each other, and are not empty. While somebody edits, they do not fit.
    pub fn current(&self) -> Option<Fingerprint> {
        self.content.filter(|content| content.size > 0 && self.md5 == Some(content.md5))
    }
}
