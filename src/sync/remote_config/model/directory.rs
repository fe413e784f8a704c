//! The centre's directories, with the console.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{Centre, CentreItem, CentreStep, Item, ItemKind, StepOutcome, md5_text, parse_md5};
use crate::proto::Md5Sum;

/// The files, by name.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Directory {
    pub(in super::super) files: BTreeMap<String, File>,
}

/// A file's bytes, and their fingerprint.
#[derive(Clone, Debug)]
pub(in super::super) struct File {
    bytes: Vec<u8>,
    fingerprint: Md5Sum,
}

/// One thing that the console does to a file.
#[derive(Clone, Debug)]
pub(in super::super) enum FileChange {
    Write(String, Vec<u8>),
    Remove(String),
}

impl FileChange {
    pub(super) fn item(&self) -> Item {
        let (Self::Write(name, _) | Self::Remove(name)) = self;
        item(name)
    }
}

/// The collections that a configuration asks for.
pub(in super::super) fn collections(configuration: &[u8]) -> BTreeSet<Item> {
    let text = String::from_utf8_lossy(configuration);
    text.lines().filter_map(|line| line.strip_prefix("file_collection ")).filter_map(Item::collection).collect()
}

/// Whether it is an item's file with the MD5.
pub(super) fn is_md5_file(name: &str) -> bool {
    item(name).md5_name().as_bytes() == name.as_bytes()
}

/// Whose file this is.
pub(super) fn item(name: &str) -> Item {
    let collection = || name.rsplit_once('.').and_then(|(stem, _)| Item::collection(stem));
    Item::configuration(name.as_bytes()).or_else(collection).unwrap()
}

impl Directory {
    pub(in super::super) fn apply(&mut self, change: FileChange) {
        match change {
            FileChange::Write(name, bytes) => {
                let fingerprint = Md5Sum::of(&bytes);
                self.files.insert(name, File { bytes, fingerprint });
            }
            FileChange::Remove(name) => drop(self.files.remove(&name)),
        }
    }

    /// Both files at once.
    pub(in super::super) fn set(&mut self, item: &Item, content: &[u8]) {
        for change in edit(item, content) {
            self.apply(change);
        }
    }

    pub(in super::super) fn scan(&self) -> Centre {
        let items = self.files.keys().map(|name| item(name));
        Centre { items: items.filter_map(|item| Some((item.clone(), self.look(&item)?))).collect() }
    }

    pub(super) fn content(&self, item: &Item) -> Option<&[u8]> {
        self.files.get(&item.content_name().to_string()).map(|file| &*file.bytes)
    }

    /// `None` where neither file is there.
    pub(in super::super) fn look(&self, item: &Item) -> Option<CentreItem> {
        let content = self.files.get(&item.content_name().to_string());
        let md5 = self.files.get(&item.md5_name().to_string());
        let asked_for = content.filter(|_| item.kind() == ItemKind::Configuration).map(|file| collections(&file.bytes));
        (content.is_some() || md5.is_some()).then(|| CentreItem {
            content: content.map(|file| file.fingerprint),
            md5: md5.and_then(|file| parse_md5(&file.bytes)),
            collections: asked_for.unwrap_or_default(),
            agent: None,
        })
    }

    /// The content, where both files fit.
    pub(in super::super) fn current(&self, item: &Item) -> Option<&[u8]> {
        self.look(item)?.current().and_then(|_| self.content(item))
    }

    pub(in super::super) fn carry_out(&mut self, step: &CentreStep) -> StepOutcome {
        match step {
            CentreStep::Read { item } => {
                StepOutcome::Read(self.current(item).map(|bytes| (bytes.into(), Md5Sum::of(bytes))))
            }
            CentreStep::Publish { item, content } => {
                if self.look(item).is_some() {
                    return StepOutcome::Published(Err("it is there by now".to_owned()));
                }
                self.set(item, &Arc::clone(content));
                StepOutcome::Published(Ok(()))
            }
            CentreStep::Confirm { item } => StepOutcome::Confirmed(self.look(item).is_none()),
            CentreStep::Owner { .. } => StepOutcome::Owner(None),
            CentreStep::Claim { .. } => StepOutcome::Claimed(Ok(())),
        }
    }
}

/// What the console does to save an item.
pub(in super::super) fn edit(item: &Item, content: &[u8]) -> Vec<FileChange> {
    let (content_name, md5_name) = (item.content_name().to_string(), item.md5_name().to_string());
    vec![
        FileChange::Write(content_name.clone(), content[..content.len() / 2].to_vec()),
        FileChange::Write(content_name, content.to_vec()),
        FileChange::Write(md5_name, md5_text(Md5Sum::of(content).md5).into_bytes()),
    ]
}

/// What the console does to delete an item.
pub(in super::super) fn deletion(item: &Item) -> Vec<FileChange> {
    [item.content_name(), item.md5_name()].map(|name| FileChange::Remove(name.to_string())).into()
}
