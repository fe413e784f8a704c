//! An item that was deleted at the centre, and is at a site.
//!
//! Of a configuration, the content goes first: while its `.md5` file is there, its agent does not upload it again. Of a
//! collection, the `.md5` file goes first: without it, no agent fetches the content. Just before the first of them goes, the
//! centre is asked whether it has neither: what was seen when the round began may be of directories that are others by now.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::report::ItemResult;
use super::step::{CentreStep, ConfigStep, Deletion, Replaces, SiteStep, StepOutcome};
use super::task::{Next, Task};
use super::{Item, ItemKind, Sums};
use crate::proto::FileName;

/// Which step of it is next.
#[derive(Debug)]
pub(super) enum Removal {
    /// Looks whether the content is still one of the centre's, by these MD5s. `md5_file` is to be deleted after it.
    Compare { contents: BTreeSet<[u8; 16]>, md5_file: Option<Sums> },
    /// Looks whether the centre still has neither file.
    Confirm(Deed),
    /// Deletes a file.
    Delete(Deed),
    /// Stores a file again that an agent has sent in the moment of the deletion, which took it along.
    Restore { name: FileName, body: Arc<[u8]> },
}

/// What is deleted, and was seen.
#[derive(Debug)]
pub(super) enum Deed {
    /// The content. Then, the `.md5` file.
    Content { content: Sums, md5_file: Option<Sums> },
    /// The `.md5` file. Then, the content is to be deleted if it has one of those MD5s.
    Md5 { md5_file: Sums, contents: Option<BTreeSet<[u8; 16]>> },
}

impl Deed {
    fn file(&self, item: &Item) -> (FileName, Sums) {
        match self {
            Self::Content { content, .. } => (item.content_name(), *content),
            Self::Md5 { md5_file, .. } => (item.md5_name(), *md5_file),
        }
    }

    /// The expected file is gone.
    fn done(self) -> Next {
        let then = |removal| Next::Then(Task::Removal(removal));
        match self {
            Self::Content { md5_file: Some(md5_file), .. } => {
                then(Removal::Delete(Self::Md5 { md5_file, contents: None }))
            }
            Self::Md5 { contents: Some(contents), .. } => then(Removal::of_content(contents)),
            Self::Content { md5_file: None, .. } | Self::Md5 { contents: None, .. } => Next::Done(ItemResult::Deleted),
        }
    }
}

impl Removal {
    /// Of an item of which the site has this `.md5` file, which is the centre's, as is one of the contents with these MD5s.
    pub(super) fn new(kind: ItemKind, md5_file: Sums, contents: BTreeSet<[u8; 16]>) -> Self {
        match kind {
            ItemKind::Configuration => Self::Compare { contents, md5_file: Some(md5_file) },
            ItemKind::Collection => Self::Confirm(Deed::Md5 { md5_file, contents: Some(contents) }),
        }
    }

    /// Of a collection whose `.md5` file is gone.
    pub(super) fn of_content(contents: BTreeSet<[u8; 16]>) -> Self {
        Self::Compare { contents, md5_file: None }
    }

    pub(super) fn step(&self, item: &Item) -> ConfigStep {
        ConfigStep::Do(match self {
            Self::Compare { .. } => SiteStep::Compare { name: item.content_name() },
            Self::Confirm(_) => return ConfigStep::Ask(CentreStep::Confirm { item: item.clone() }),
            Self::Delete(deed) => {
                let (name, expected) = deed.file(item);
                SiteStep::Delete { name, expected }
            }
            Self::Restore { name, body } => {
                SiteStep::Store { name: name.clone(), body: Arc::clone(body), replaces: Replaces::Anything }
            }
        })
    }

    /// What becomes of the item, once there is something to be deleted.
    pub(super) fn expected(&self) -> Option<ItemResult> {
        match self {
            Self::Compare { .. } => None,
            Self::Confirm(_) | Self::Delete(_) | Self::Restore { .. } => Some(ItemResult::Deleted),
        }
    }

    pub(super) fn after(self, outcome: StepOutcome, item: &Item) -> Next {
        let then = |removal| Next::Then(Task::Removal(removal));
        match (self, outcome) {
            (Self::Compare { contents, md5_file }, StepOutcome::Compared(Some(content)))
                if contents.contains(&content.md5.md5) =>
            {
                then(Self::Confirm(Deed::Content { content, md5_file }))
            }
            (Self::Compare { md5_file: Some(md5_file), .. }, StepOutcome::Compared(None)) => {
                then(Self::Confirm(Deed::Md5 { md5_file, contents: None }))
            }
            // What was in step is gone; another content without an `.md5` file is nothing to an agent.
            (Self::Compare { md5_file: None, .. }, StepOutcome::Compared(_)) => Next::Done(ItemResult::Deleted),
            (Self::Confirm(deed), StepOutcome::Confirmed(true)) => then(Self::Delete(deed)),
            (Self::Delete(deed), StepOutcome::Deleted(Deletion::Done)) => deed.done(),
            (Self::Delete(deed), StepOutcome::Deleted(Deletion::Other(Some(body)))) if !body.is_empty() => {
                then(Self::Restore { name: deed.file(item).0, body })
            }
            _ => Next::Done(ItemResult::Waiting),
        }
    }
}
