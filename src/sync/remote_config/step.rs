//! What a round asks of its site and of the centre, and what may come of it.

use std::sync::Arc;

use super::{Item, Listed};
use crate::proto::{FileName, Md5Sum, Refusal};

/// What says, step by step, what is to be done at a site and at the centre.
pub trait Steps {
    /// What to do next; the same again until [`after`](Self::after) was told what has come of it, on whatever connection.
    fn next_step(&self) -> ConfigStep;

    /// Takes what has come of the step.
    fn after(&mut self, outcome: StepOutcome);
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigStep {
    /// This, at the site.
    Do(SiteStep),
    /// This, at the centre.
    Ask(CentreStep),
    /// Nothing more: the round is over.
    Finished,
}

/// One command at the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteStep {
    /// `LS <.md5>`. Comes to [`StepOutcome::Listed`], or [`StepOutcome::ListRefused`].
    List,
    /// `RECV`, for the bytes. Comes to [`StepOutcome::Fetched`].
    Fetch {
        /// The file.
        name: FileName,
    },
    /// `RECV`, for the fingerprint: the bytes need not be kept. Comes to [`StepOutcome::Compared`].
    Compare {
        /// The file.
        name: FileName,
    },
    /// `SEND`, in place of what is there. Comes to [`StepOutcome::Stored`].
    Store {
        /// The file.
        name: FileName,
        /// All of it; never empty.
        body: Arc<[u8]>,
    },
    /// `MV`, declined where the file has another size than the expected one. Comes to [`StepOutcome::Deleted`].
    Delete {
        /// The file.
        name: FileName,
        /// What was seen there.
        expected: Md5Sum,
    },
}

/// What the centre's directories are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CentreStep {
    /// Tell which other site owns a configuration. Comes to [`StepOutcome::Owner`].
    Owner {
        /// Which.
        item: Item,
    },
    /// Have the round's site own a configuration, unless another does. Comes to [`StepOutcome::Claimed`].
    Claim {
        /// Which.
        item: Item,
    },
    /// Read the content as it is by now. Comes to [`StepOutcome::Read`].
    Read {
        /// Whose.
        item: Item,
    },
    /// Write both files, unless one of them is there by now. Comes to [`StepOutcome::Published`].
    Publish {
        /// Whose.
        item: Item,
        /// What goes into the one; its MD5 goes into the other.
        content: Arc<[u8]>,
    },
    /// Look whether neither file is there, in the directories that the round was begun with. Comes to
    /// [`StepOutcome::Confirmed`].
    Confirm {
        /// Whose.
        item: Item,
    },
}

/// What has come of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The expected file is gone.
    Done,
    /// Nothing is: there is no such file, or another one.
    Declined,
    /// Another file came and is gone, as an agent has replaced the expected one in that moment: this one, unless it was too
    /// large to be kept.
    Other(Option<Arc<[u8]>>),
}

/// What has come of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// The listing, whole.
    Listed(Listed),
    /// The site would not list.
    ListRefused(Refusal),
    /// The file's bytes; `None` where there is none, or it is empty or too large.
    Fetched(Option<Arc<[u8]>>),
    /// The file's fingerprint; `None` where there is none, or it is empty or too large.
    Compared(Option<Md5Sum>),
    /// Whether the site has stored the file.
    Stored(Result<(), Refusal>),
    /// What the site has deleted.
    Deleted(Deletion),
    /// The other site that owns the configuration; `None` where that is nobody.
    Owner(Option<Arc<str>>),
    /// The round's site owns the configuration, or this one does.
    Claimed(Result<(), Arc<str>>),
    /// The content and its fingerprint; `None` where the two files do not fit by now.
    Read(Option<(Arc<[u8]>, Md5Sum)>),
    /// Whether both files were published, or why neither.
    Published(Result<(), String>),
    /// Whether the centre has neither file.
    Confirmed(bool),
}
