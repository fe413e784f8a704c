//! What a site was asked, and what its answers make of that.

use log::debug;

use super::ExtendedSession;
use crate::collector::Reason;
use crate::collector::session::Context;
use crate::collector::session::fetch::Fetch;
use crate::collector::session::listing::PagedListing;
use crate::collector::site::Site;
use crate::proto::Refusal;
use crate::proto::extension::PipelinedEvent;
use crate::sync::{Assignment, DeleteAssignment};

/// What the site was asked.
pub(super) enum Task {
    /// The password.
    Greeting,
    /// Does it still speak the extension?
    Asking,
    Compressing,
    Listing(Box<PagedListing>),
    Fetching(Box<Fetch>),
    Deleting(DeleteAssignment),
    /// Its body is not taken.
    Passing,
}

impl Task {
    pub(super) fn take_body(&mut self, bytes: &[u8], site: &mut Site) {
        match self {
            Self::Listing(listing) => listing.feed(bytes, site),
            Self::Fetching(fetch) => fetch.take_body(bytes),
            Self::Greeting | Self::Asking | Self::Compressing | Self::Deleting(_) | Self::Passing => {}
        }
    }

    /// Whether the next bytes of a body can be taken.
    pub(super) fn has_room(&mut self) -> bool {
        match self {
            Self::Fetching(fetch) => fetch.has_room(),
            Self::Greeting
            | Self::Asking
            | Self::Compressing
            | Self::Listing(_)
            | Self::Deleting(_)
            | Self::Passing => true,
        }
    }

    pub(super) fn into_assignment(self) -> Option<Assignment> {
        match self {
            Self::Listing(listing) => Some(Assignment::List(listing.into_assignment())),
            Self::Fetching(fetch) => Some(Assignment::Fetch(fetch.into_assignment())),
            Self::Deleting(delete) => Some(Assignment::Delete(delete)),
            Self::Greeting | Self::Asking | Self::Compressing | Self::Passing => None,
        }
    }
}

impl ExtendedSession {
    /// What is left of the task after an event.
    pub(super) fn handle(
        &mut self,
        task: Task,
        event: &PipelinedEvent,
        cx: &mut Context<'_>,
    ) -> Result<Option<Task>, Reason> {
        match (task, event) {
            (Task::Greeting, PipelinedEvent::Refused { .. }) => Err(Reason::PasswordRefused),
            (Task::Asking, PipelinedEvent::Capabilities(capabilities)) => {
                self.speaks(Some(*capabilities), cx);
                Ok(None)
            }
            (Task::Asking, PipelinedEvent::NotSpoken(_)) => {
                self.speaks(None, cx);
                Ok(None)
            }
            (Task::Compressing, PipelinedEvent::Refused { refusal, .. }) => {
                debug!("site={} does not compress this connection: {refusal}", cx.site.shown());
                Ok(None)
            }
            (Task::Listing(mut listing), PipelinedEvent::Page { size, remaining }) => {
                self.body.begin(*size, cx);
                match listing.announced(*size, *remaining) {
                    Ok(()) => Ok(Some(Task::Listing(listing))),
                    Err(reason) => fail_listing(listing, reason, cx),
                }
            }
            (Task::Listing(listing), PipelinedEvent::BodyComplete { .. }) => match listing.page_complete(cx) {
                Ok(None) => Ok(None),
                Ok(Some(listing)) => {
                    let command = listing.command();
                    self.driver.command(&command).map_err(|error| cx.site.protocol(error))?;
                    Ok(Some(Task::Listing(listing)))
                }
                Err(failed) => fail_listing(failed.0, failed.1, cx),
            },
            (Task::Listing(listing), _) => fail_listing(listing, Reason::ListingRefused, cx),
            (Task::Fetching(fetch), PipelinedEvent::File { size, .. }) => {
                self.body.begin(*size, cx);
                Ok(Some(fetch.begin(*size, cx).map_or(Task::Passing, |fetch| Task::Fetching(Box::new(fetch)))))
            }
            (Task::Fetching(fetch), PipelinedEvent::BodyComplete { .. }) => {
                fetch.complete(cx);
                Ok(None)
            }
            (Task::Fetching(fetch), PipelinedEvent::Refused { refusal, .. }) => {
                fetch.refused(refusal, cx);
                Ok(None)
            }
            (Task::Deleting(delete), PipelinedEvent::Done { .. }) => {
                cx.site.deletion_acknowledged(delete, cx.commit_queue);
                Ok(None)
            }
            (Task::Deleting(delete), PipelinedEvent::Refused { refusal, .. }) => {
                match refusal {
                    Refusal::Missing => cx.site.was_gone(delete, cx.commit_queue),
                    Refusal::Changed => cx.site.was_changed(delete, cx.commit_queue),
                    _ => cx.site.deletion_refused(delete),
                }
                Ok(None)
            }
            // Its answer is over, or is none of the command's, which the driver does not let pass.
            (Task::Passing, PipelinedEvent::BodyComplete { .. }) | (_, _) => Ok(None),
        }
    }
}

fn fail_listing(listing: Box<PagedListing>, reason: Reason, cx: &mut Context<'_>) -> Result<Option<Task>, Reason> {
    cx.site.dropped(Assignment::List(listing.into_assignment()));
    Err(reason)
}
