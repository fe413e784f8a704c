//! What a round hands out and counts until it is given back, and what may have come of it.
//!
//! Only a round makes these, none can be copied, and each is given back by value: what was handed out is counted down once.

use crate::proto::{FileName, Fingerprint};

/// What a connection is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// This.
    Do(Assignment),
    /// Nothing just now; there will be when something else is done.
    Wait,
    /// Nothing more in this round.
    Leave,
}

/// How much a round has to do and under way: a connection without work finds some only after this has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkCounts {
    pub(super) receive: usize,
    pub(super) deletes: usize,
    pub(super) in_flight: usize,
    pub(super) committing: usize,
}

/// Why a file was not staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStaged {
    /// Its bytes could not be read there, or not be stored here; it stays at the site.
    Unstored,
    /// It was listed but is not there any more.
    Missing,
    /// The site does not give it, and may have it: what its agent wrote later waits for the next round, unless that was so
    /// for many rounds.
    Withheld,
    /// It came, and its agent's file before it did not or could not be stored: it stays at the site.
    Overtaking,
    /// It is not taken, for a reason of its own, and not asked for again while it is listed.
    Skipped,
    /// What came is committed already, and the site has it still.
    AlreadyPublished {
        /// What came.
        fingerprint: Fingerprint,
        /// Whether the site was to delete it before.
        was_deleted: bool,
    },
}

/// How asking the site to delete a published file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteResult {
    /// The site's copy is gone, and was the one published, or is published as well by now.
    Gone,
    /// The site's copy is gone, and that is certain.
    Acknowledged,
    /// The site has another file under that name: declined, nothing was deleted.
    Changed,
    /// We would not have it deleted now, or cannot tell whether it was: the next listing shows what became of it.
    Postponed,
    /// The site would not delete it: the next listing shows whether it is there at all.
    Refused,
}

/// Work for one connection. Given back to [`Round::dropped`](super::Round::dropped) where nothing has come of it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the round waits until it is given back"]
pub enum Assignment {
    /// Ask for the listing.
    List(ListAssignment),
    /// Fetch a file.
    Fetch(FetchAssignment),
    /// Let the site delete a published file.
    Delete(DeleteAssignment),
}

/// A listing to be asked for.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the round waits until it is given back"]
pub struct ListAssignment(());

/// A file to be fetched.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the round waits until it is given back"]
pub struct FetchAssignment {
    name: FileName,
    deletes: bool,
}

/// A published file that the site is to delete; what it sends then is to be compared.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the round waits until it is given back"]
pub struct DeleteAssignment {
    name: FileName,
    published: Fingerprint,
    /// Whether the site was asked before, and its answer did not come.
    was_asked: bool,
}

/// A staged file whose commit is awaited.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the round waits until it is given back"]
pub struct PendingCommit {
    name: FileName,
    is_rescue: bool,
}

impl ListAssignment {
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl FetchAssignment {
    pub(super) fn new(name: FileName, deletes: bool) -> Self {
        Self { name, deletes }
    }

    /// The file's name at the site.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// Whether the site deletes it once it has sent it: [`Delivery::Move`](super::Delivery::Move).
    pub fn deletes(&self) -> bool {
        self.deletes
    }

    pub(super) fn into_name(self) -> FileName {
        self.name
    }
}

impl DeleteAssignment {
    pub(super) fn new(name: FileName, published: Fingerprint) -> Self {
        Self { name, published, was_asked: false }
    }

    /// The file's name at the site.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// What is published under that name.
    pub fn published(&self) -> Fingerprint {
        self.published
    }

    /// The site was asked, and its answer did not come: the file may be gone by now.
    pub fn asked(self) -> Self {
        Self { was_asked: true, ..self }
    }

    pub(super) fn was_asked(&self) -> bool {
        self.was_asked
    }

    pub(super) fn into_name(self) -> FileName {
        self.name
    }
}

impl PendingCommit {
    pub(super) fn fetched(name: FileName) -> Self {
        Self { name, is_rescue: false }
    }

    pub(super) fn rescued(name: FileName) -> Self {
        Self { name, is_rescue: true }
    }

    /// The file's name at the site.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// Whether it is what the site sent instead of the published file while it deleted it: the only copy.
    pub fn is_rescue(&self) -> bool {
        self.is_rescue
    }

    pub(super) fn into_parts(self) -> (FileName, bool) {
        (self.name, self.is_rescue)
    }
}
