//! An item that was deleted at the centre, and is at a site.
//!
//! Of a configuration, the content goes first: while its `.md5` file is there, its agent does not upload it again. Of a
//! collection, the `.md5` file goes first: without it, no agent fetches the content.

use super::report::ItemResult;
use super::step::{ConfigStep, SiteStep, StepOutcome};
use super::task::{Md5File, Next, Task};
use super::{Item, ItemKind};
use crate::proto::Md5Sum;

/// Which step of it is next.
#[derive(Debug)]
pub(super) enum Removal {
    /// Looks whether the content is still the one that was in step. `md5_file` is to be deleted after it.
    Compare { in_step: [u8; 16], md5_file: Option<Md5Sum> },
    /// Deletes the content.
    Content { content: Md5Sum, md5_file: Option<Md5Sum> },
    /// Deletes the `.md5` file. Then, the content is to be deleted if it has that MD5.
    Md5 { md5_file: Md5Sum, content: Option<[u8; 16]> },
}

impl Removal {
    /// Of an item of which the site has this `.md5` file, which is the one that was in step.
    pub(super) fn new(kind: ItemKind, at_site: Md5File) -> Self {
        let Md5File { md5, file } = at_site;
        match kind {
            ItemKind::Configuration => Self::Compare { in_step: md5, md5_file: Some(file) },
            ItemKind::Collection => Self::Md5 { md5_file: file, content: Some(md5) },
        }
    }

    /// Of a collection whose `.md5` file is gone.
    pub(super) fn of_content(in_step: [u8; 16]) -> Self {
        Self::Compare { in_step, md5_file: None }
    }

    pub(super) fn step(&self, item: &Item) -> ConfigStep {
        ConfigStep::Do(match self {
            Self::Compare { .. } => SiteStep::Compare { name: item.content_name() },
            Self::Content { content, .. } => SiteStep::Delete { name: item.content_name(), expected: *content },
            Self::Md5 { md5_file, .. } => SiteStep::Delete { name: item.md5_name(), expected: *md5_file },
        })
    }

    /// What becomes of the item, once there is something to be deleted.
    pub(super) fn expected(&self) -> Option<ItemResult> {
        match self {
            Self::Compare { .. } => None,
            Self::Content { .. } | Self::Md5 { .. } => Some(ItemResult::Deleted),
        }
    }

    pub(super) fn after(self, outcome: StepOutcome) -> Next {
        let then = |removal| Next::Then(Task::Removal(removal));
        match (self, outcome) {
            (Self::Compare { in_step, md5_file }, StepOutcome::Compared(Some(content))) if content.md5 == in_step => {
                then(Self::Content { content, md5_file })
            }
            (Self::Compare { md5_file: Some(md5_file), .. }, StepOutcome::Compared(None))
            | (Self::Content { md5_file: Some(md5_file), .. }, StepOutcome::Deleted(true)) => {
                then(Self::Md5 { md5_file, content: None })
            }
            (Self::Md5 { content: Some(in_step), .. }, StepOutcome::Deleted(true)) => then(Self::of_content(in_step)),
            // What was in step is gone; another content without an `.md5` file is nothing to an agent.
            (Self::Compare { md5_file: None, .. }, StepOutcome::Compared(_))
            | (Self::Content { md5_file: None, .. } | Self::Md5 { content: None, .. }, StepOutcome::Deleted(true)) => {
                Next::Done(ItemResult::Deleted)
            }
            _ => Next::Done(ItemResult::Waiting),
        }
    }
}
