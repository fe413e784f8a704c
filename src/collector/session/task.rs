//! What a session is at, and what it makes of the site's answers.

use std::time::Instant;

use super::delete::{Delete, Received, Trailing};
use super::fetch::Fetch;
use super::listing::ListingTask;
use super::{Context, MAX_LISTING};
use crate::collector::Reason;
use crate::collector::commit_queue::CommitQueue;
use crate::collector::reason::BodyProgress;
use crate::collector::site::Site;
use crate::proto::{FileName, Refusal, Verb};
use crate::store::{HashedTemp, StoreError};
use crate::sync::{Assignment, DeleteResult};

/// What the site was asked, as in the list of the [stock session](super::stock).
pub(super) enum Task {
    Greeting,
    /// Does it speak the extension?
    Asking {
        /// When that was asked.
        since: Instant,
    },
    /// Nothing yet: this is asked for ahead, as an [`AheadSession`](super::ahead::AheadSession) does.
    Ahead(Assignment),
    Listing(ListingTask),
    Fetching(Fetch),
    Deleting(Delete),
    /// What is announced is asked for, or not, once there is a place for it.
    Staging {
        task: Box<Task>,
        verb: Verb,
        size: u64,
    },
    /// More comes than was announced.
    Overrun(Delete),
    /// What was announced has come, and is kept: whether more comes shows whether it was the beginning of something longer.
    Trailing(Trailing),
    /// Asking once more for a file that was deleted: is it gone?
    Confirming(FileName),
}

/// What a task makes of an announced body.
pub(super) enum Reaction {
    Accept(Box<Task>),
    Decline,
    /// Its file is being made.
    Await(Box<Task>),
}

impl Task {
    pub(super) fn take_body(&mut self, bytes: &[u8], site: &mut Site) {
        match self {
            Self::Listing(listing) => listing.feed(bytes, site),
            Self::Fetching(fetch) => fetch.take_body(bytes),
            Self::Deleting(delete) | Self::Overrun(delete) => delete.received().take(bytes),
            Self::Trailing(trailing) => trailing.received().take(bytes),
            Self::Greeting | Self::Asking { .. } | Self::Ahead(_) | Self::Staging { .. } | Self::Confirming(_) => {}
        }
    }

    pub(super) fn announced(self, verb: Verb, size: u64, cx: &mut Context<'_>) -> Result<Reaction, Reason> {
        match self {
            Self::Listing(listing) if size > MAX_LISTING => {
                cx.site.dropped(Assignment::List(listing.into_assignment()));
                Err(Reason::ListingTooLarge { size, most: MAX_LISTING })
            }
            Self::Fetching(fetch) => Ok(fetch.announced(verb, size, cx)),
            Self::Deleting(delete) => Ok(delete.announced(size, cx)),
            Self::Confirming(name) => {
                cx.site.deletion_doubted(&name, cx.commit_queue);
                Ok(Reaction::Decline)
            }
            other => Ok(Reaction::Accept(Box::new(other))),
        }
    }

    /// A file is being made for what was announced, and may be there.
    pub(super) fn staged(self, verb: Verb, size: u64, cx: &mut Context<'_>) -> Reaction {
        match self {
            Self::Fetching(fetch) => fetch.staged(verb, size, cx),
            Self::Deleting(delete) => delete.staged(cx),
            other => Reaction::Accept(Box::new(other)),
        }
    }

    /// Whether the site has not said yet whether it sends an archive.
    pub(super) fn awaits_archive(&self) -> bool {
        matches!(self, Self::Fetching(fetch) if fetch.awaits_archive())
    }

    /// Whether an archive comes, which may unfold.
    pub(super) fn unpacks(&self) -> bool {
        matches!(self, Self::Fetching(fetch) if fetch.is_packed())
    }

    /// Bytes that have come out of the archive so far.
    pub(super) fn unpacked(&self) -> u64 {
        match self {
            Self::Fetching(fetch) if fetch.is_packed() => fetch.stage().map_or(0, HashedTemp::size),
            _ => 0,
        }
    }

    /// Whether its file is not yet as far as `progress` tells.
    pub(super) fn awaits_staging(&self, progress: fn(&HashedTemp) -> Result<bool, StoreError>) -> bool {
        let stage = match self {
            Self::Fetching(fetch) => fetch.stage(),
            Self::Deleting(delete) => delete.stage(),
            _ => None,
        };
        stage.is_some_and(|stage| progress(stage) == Ok(false))
    }

    /// Whether the next bytes of a body can be taken.
    pub(super) fn has_room(&mut self) -> bool {
        match self {
            Self::Fetching(fetch) => fetch.has_room(),
            Self::Deleting(delete) => delete.has_room(),
            _ => true,
        }
    }

    /// A body has come whole. The file that was deleted with it, if whether it is gone is to be asked next.
    pub(super) fn complete(self, cx: &mut Context<'_>) -> Result<Option<FileName>, Reason> {
        match self {
            Self::Listing(listing) => listing.finish(cx)?,
            Self::Fetching(fetch) => return Ok(fetch.complete(cx)),
            Self::Deleting(delete) => return delete.complete(cx),
            Self::Greeting
            | Self::Asking { .. }
            | Self::Ahead(_)
            | Self::Staging { .. }
            | Self::Overrun(..)
            | Self::Trailing(..)
            | Self::Confirming(_) => {}
        }
        Ok(None)
    }

    pub(super) fn refused(self, refusal: &Refusal, cx: &mut Context<'_>) -> Result<(), Reason> {
        match self {
            Self::Listing(listing) => {
                cx.site.dropped(Assignment::List(listing.into_assignment()));
                return Err(Reason::ListingRefused);
            }
            Self::Greeting => return Err(Reason::PasswordRefused),
            Self::Asking { .. } => cx.site.speaks(None, cx.io.now()),
            Self::Fetching(fetch) => fetch.refused(refusal, cx),
            Self::Deleting(delete) => cx.site.deleted(delete.into_assignment(), DeleteResult::Refused),
            Self::Confirming(name) if *refusal == Refusal::Missing => cx.site.deletion_confirmed(name, cx.commit_queue),
            Self::Ahead(_) | Self::Staging { .. } | Self::Overrun(..) | Self::Trailing(..) | Self::Confirming(_) => {}
        }
        Ok(())
    }

    /// The connection is gone.
    pub(super) fn on_disconnect(self, site: &mut Site, commit_queue: &mut CommitQueue) {
        match self {
            Self::Listing(listing) => site.dropped(Assignment::List(listing.into_assignment())),
            Self::Fetching(fetch) => fetch.on_disconnect(site),
            Self::Staging { task, .. } => task.on_disconnect(site, commit_queue),
            Self::Deleting(delete) | Self::Overrun(delete) => delete.on_disconnect(site, commit_queue),
            Self::Trailing(trailing) => trailing.on_disconnect(site, commit_queue),
            Self::Asking { .. } => site.did_not_say(),
            Self::Ahead(assignment) => site.returned(assignment),
            Self::Greeting | Self::Confirming(_) => {}
        }
    }

    /// What comes beyond what was announced, where that is followed.
    pub(super) fn received_beyond(&mut self) -> Option<&mut Received> {
        match self {
            Self::Overrun(delete) => Some(delete.received()),
            Self::Trailing(trailing) => Some(trailing.received()),
            _ => None,
        }
    }

    /// The file it is about, and what has come of it.
    pub(super) fn file(&self) -> Option<(&FileName, BodyProgress)> {
        match self {
            Self::Fetching(fetch) => Some((fetch.name(), fetch.came())),
            Self::Staging { task, .. } => task.file(),
            Self::Deleting(delete) | Self::Overrun(delete) => Some((delete.name(), delete.came())),
            Self::Trailing(trailing) => Some((trailing.name(), trailing.came())),
            Self::Greeting | Self::Asking { .. } | Self::Ahead(_) | Self::Listing(_) | Self::Confirming(_) => None,
        }
    }

    /// Whether its end would cost something: a file's bytes, or the answer to a deletion.
    pub(super) fn is_under_way(&self) -> bool {
        match self {
            Self::Fetching(fetch) => fetch.is_under_way(),
            Self::Staging { task, .. } => task.is_under_way(),
            other => other.file().is_some(),
        }
    }

    /// What a listing has cost so far, in names.
    pub(super) fn cost(&self) -> Option<usize> {
        match self {
            Self::Listing(listing) => Some(listing.cost()),
            _ => None,
        }
    }

    /// What it is about, for messages.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Confirming(name) => name.to_string(),
            Self::Listing(_) => "the listing".into(),
            Self::Greeting => "the password".into(),
            Self::Asking { .. } => "the extension".into(),
            other => other.file().map_or_else(|| "the session".into(), |(name, _)| name.to_string()),
        }
    }
}
