//! What a round asks of its site and of the centre, and what may come of it.

use std::sync::Arc;

use super::{Item, Listed, Sums};
use crate::proto::{FileName, Md5Sum, Refusal};

/// What says, step by step, what is to be done at a site and at the centre.
pub trait Steps {
    /// Begins the next step that needs no outcome of those under way; `None` if there is none now. One step at most is under
    /// way at the centre. Who has begun one may wait for its outcome before the next, or not.
    fn begin(&mut self) -> Option<(StepId, ConfigStep)>;

    /// Takes what has come of a step under way.
    fn after(&mut self, step: StepId, outcome: StepOutcome);

    /// The connection is gone: what was under way at the site is begun anew on the next one.
    fn interrupted(&mut self);

    /// Whether there are no more steps.
    fn is_finished(&self) -> bool;
}

/// Which step under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub(super) u64);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigStep {
    /// This, at the site.
    Do(SiteStep),
    /// This, at the centre.
    Ask(CentreStep),
}

/// One command at the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteStep {
    /// Lists the `.md5` files. Comes to [`StepOutcome::Listed`], or [`StepOutcome::ListRefused`].
    List,
    /// Fetches a file, for the bytes. Comes to [`StepOutcome::Fetched`].
    Fetch {
        /// The file.
        name: FileName,
    },
    /// Fetches a file, for its sums: the bytes need not be kept. Comes to [`StepOutcome::Compared`].
    Compare {
        /// The file.
        name: FileName,
    },
    /// Stores a file. Comes to [`StepOutcome::Stored`].
    Store {
        /// The file.
        name: FileName,
        /// All of it; never empty.
        body: Arc<[u8]>,
        /// In place of what. Where the site's protocol cannot say that, in place of whatever is there.
        replaces: Replaces,
    },
    /// Deletes a file, unless it is seen to be another than the expected one. Comes to [`StepOutcome::Deleted`].
    Delete {
        /// The file.
        name: FileName,
        /// What was seen there.
        expected: Sums,
    },
}

/// What a file may be stored in place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// Whatever is there, if anything is.
    Anything,
    /// Nothing: it was not there.
    Nothing,
    /// The file that was seen there.
    This(Sums),
}

/// What a site's word that it has stored a file is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It has taken the bytes. Whether they are under their name is to be looked at.
    Taken,
    /// They are under their name, durably where the site's server is.
    Certain,
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
    /// The file's sums; `None` where there is none, or it is empty or too large.
    Compared(Option<Sums>),
    /// Whether the site has stored the file.
    Stored(Result<Stored, Refusal>),
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
