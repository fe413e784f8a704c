//! A site's server and its files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Deletion, Item, ItemKind, Listed, Replaces, SiteStep, StepOutcome, Stored, Sums, parse_md5};
use crate::proto::{FileName, Md5Sum, Refusal};

/// A site's server: stock, or one of ours.
#[derive(Clone, Debug)]
pub(in super::super) struct Site {
    /// By path.
    pub(in super::super) files: BTreeMap<String, Vec<u8>>,
    pub(in super::super) has_filters: bool,
    pub(in super::super) may_overwrite: bool,
    /// Whether it is spoken to in the extension.
    pub(in super::super) is_extended: bool,
}

impl Site {
    pub(in super::super) fn new() -> Self {
        Self { files: BTreeMap::new(), has_filters: true, may_overwrite: true, is_extended: false }
    }

    fn path(&self, name: &str) -> String {
        let directory = match name.rsplit('.').next() {
            Some("conf") => "conf/",
            Some("md5") => "md5/",
            Some("zip") => "collections/",
            _ => "",
        };
        if self.has_filters { format!("{directory}{name}") } else { name.to_owned() }
    }

    fn list(&self) -> Listed {
        let mut listed = Listed::default();
        let directory = if self.has_filters { "md5/" } else { "" };
        let directories: &[&str] =
            if self.has_filters { &[".", ".."] } else { &[".", "..", "conf", "md5", "collections"] };
        for name in directories {
            listed.saw(name.as_bytes());
        }
        self.files.keys().filter_map(|path| path.strip_prefix(directory)).for_each(|name| listed.saw(name.as_bytes()));
        listed
    }

    /// `None` where the file is empty as well, as the round hears it.
    pub(in super::super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(&self.path(name)).map(Vec::as_slice).filter(|bytes| !bytes.is_empty())
    }

    pub(in super::super) fn put(&mut self, name: &str, body: &[u8]) -> Result<(), Refusal> {
        let path = self.path(name);
        if !self.may_overwrite && self.files.contains_key(&path) {
            return Err(Refusal::Exists);
        }
        self.files.insert(path, body.to_vec());
        Ok(())
    }

    /// Half of a file that is on its way. Whether the site takes it.
    pub(super) fn put_half(&mut self, name: &str, body: &[u8]) -> bool {
        self.put(name, &body[..body.len() / 2]).is_ok()
    }

    /// All of a file of which half is there.
    pub(super) fn complete(&mut self, name: &str, body: &[u8]) {
        let path = self.path(name);
        self.files.insert(path, body.to_vec());
    }

    /// As `MV`: its answer has the size, and whatever came with it is gone. Or as `DROP`: of another one, nothing is.
    fn delete(&mut self, name: &str, expected: Sums) -> Deletion {
        let found = self.get(name).map(Sums::of);
        if found.is_none_or(|found| found.md5.size != expected.md5.size || (self.is_extended && found != expected)) {
            return Deletion::Declined;
        }
        match self.files.remove(&self.path(name)) {
            Some(bytes) if Sums::of(&bytes) == expected => Deletion::Done,
            bytes => Deletion::Other(bytes.map(Arc::from)),
        }
    }

    /// As `SEND`, or as `PUT`.
    fn store(&mut self, name: &str, body: &[u8], replaces: Replaces) -> Result<Stored, Refusal> {
        if !self.is_extended {
            return self.put(name, body).map(|()| Stored::Taken);
        }
        match (replaces, self.files.get(&self.path(name))) {
            (Replaces::Nothing, Some(_)) => return Err(Refusal::Exists),
            (Replaces::This(_), None) => return Err(Refusal::Missing),
            (Replaces::This(seen), Some(bytes)) if self.may_overwrite && Sums::of(bytes) != seen => {
                return Err(Refusal::Changed);
            }
            _ => {}
        }
        self.put(name, body).map(|()| Stored::Certain)
    }

    pub(in super::super) fn content(&self, item: &Item) -> Option<&[u8]> {
        self.get(&item.content_name().to_string())
    }

    pub(in super::super) fn md5(&self, item: &Item) -> Option<[u8; 16]> {
        self.get(&item.md5_name().to_string()).and_then(parse_md5)
    }

    /// The content, where its `.md5` file fits it.
    pub(in super::super) fn pair(&self, item: &Item) -> Option<&[u8]> {
        self.content(item).filter(|content| self.md5(item) == Some(Md5Sum::of(content).md5))
    }

    /// Those that agents may fetch, but not whole.
    pub(super) fn partial_collections(&self) -> Vec<Item> {
        let items = self.list().items().clone();
        let is_collection = |item: &Item| item.kind() == ItemKind::Collection;
        let is_partial = |item: &Item| self.content(item).is_some() && self.pair(item).is_none();
        items.into_iter().filter(is_collection).filter(is_partial).collect()
    }

    pub(in super::super) fn carry_out(&mut self, step: &SiteStep) -> StepOutcome {
        let get = |name: &FileName| self.get(&name.to_string());
        match step {
            SiteStep::List => StepOutcome::Listed(self.list()),
            SiteStep::Fetch { name } => StepOutcome::Fetched(get(name).map(Arc::from)),
            SiteStep::Compare { name } => StepOutcome::Compared(get(name).map(Sums::of)),
            SiteStep::Store { name, body, replaces } => {
                StepOutcome::Stored(self.store(&name.to_string(), body, *replaces))
            }
            SiteStep::Delete { name, expected } => StepOutcome::Deleted(self.delete(&name.to_string(), *expected)),
        }
    }
}
