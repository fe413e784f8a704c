//! A collection whose sending broke off, that no agent of the site is to have any more, and of which the centre has another content
//! by now, which the site is not to have.
//!
//! An agent that asks for it nevertheless would keep a part of it for good. So where the site does not have it whole, its `.md5` file
//! is deleted: without that, no agent fetches the content.

use std::collections::BTreeSet;

use super::report::ItemResult;
use super::step::{ConfigStep, Deletion, SiteStep, StepOutcome};
use super::task::{Md5File, Next, Task};
use super::{Item, Sums};

/// Which step of it is next.
#[derive(Debug)]
pub(super) enum BrokenOff {
    /// Fetches the `.md5` file. The site may have one of the contents with these MD5s, or a part of one.
    Fetch { contents: BTreeSet<[u8; 16]> },
    /// Looks whether the content is that of the `.md5` file, which is one of those.
    Compare { at_site: Md5File },
    /// Deletes the `.md5` file.
    Delete { md5_file: Sums },
}

impl BrokenOff {
    pub(super) fn new(contents: BTreeSet<[u8; 16]>) -> Self {
        Self::Fetch { contents }
    }

    pub(super) fn step(&self, item: &Item) -> ConfigStep {
        ConfigStep::Do(match self {
            Self::Fetch { .. } => SiteStep::Fetch { name: item.md5_name() },
            Self::Compare { .. } => SiteStep::Compare { name: item.content_name() },
            Self::Delete { md5_file } => SiteStep::Delete { name: item.md5_name(), expected: *md5_file },
        })
    }

    /// What becomes of the item, once there is something to be deleted.
    pub(super) fn expected(&self) -> Option<ItemResult> {
        match self {
            Self::Fetch { .. } | Self::Compare { .. } => None,
            Self::Delete { .. } => Some(ItemResult::Withdrawn),
        }
    }

    pub(super) fn after(self, outcome: StepOutcome) -> Next {
        let then = |broken_off| Next::Then(Task::BrokenOff(broken_off));
        match (self, outcome) {
            (Self::Fetch { contents }, StepOutcome::Fetched(Some(file))) => match Md5File::read(Some(&file)) {
                Some(at_site) if contents.contains(&at_site.md5) => then(Self::Compare { at_site }),
                // Somebody else has put it there.
                Some(_) => Next::Done(ItemResult::Forgotten),
                None => then(Self::Delete { md5_file: Sums::of(&file) }),
            },
            (Self::Compare { at_site }, StepOutcome::Compared(Some(content))) if content.md5.md5 == at_site.md5 => {
                Next::Done(ItemResult::Whole(at_site.md5))
            }
            (Self::Compare { at_site }, StepOutcome::Compared(_)) => then(Self::Delete { md5_file: at_site.file }),
            (Self::Delete { .. }, StepOutcome::Deleted(Deletion::Done)) => Next::Done(ItemResult::Withdrawn),
            _ => Next::Done(ItemResult::Waiting),
        }
    }
}
