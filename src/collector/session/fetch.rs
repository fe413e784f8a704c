//! Fetching a file: [`FetchAssignment`].

use super::Context;
use super::task::{Reaction, Task};
use crate::collector::reason::BodyProgress;
use crate::proto::{FileName, Refusal, Verb};
use crate::store::{HashedTemp, Spool, StoreError};
use crate::sync::{FetchAssignment, measured_at};

/// A file that is asked for or on its way.
pub(super) struct Fetch {
    assignment: FetchAssignment,
    sink: Sink,
}

/// Where its bytes go.
enum Sink {
    /// Not announced yet.
    Awaiting,
    Stage(HashedTemp),
    /// The disk did not take it: the rest of the body is let pass by.
    Discard(StoreError),
}

impl Fetch {
    pub(super) fn new(assignment: FetchAssignment) -> Self {
        Self { assignment, sink: Sink::Awaiting }
    }

    pub(super) fn name(&self) -> &FileName {
        self.assignment.name()
    }

    pub(super) fn came(&self) -> BodyProgress {
        match &self.sink {
            Sink::Awaiting => BodyProgress::Nothing,
            Sink::Stage(stage) if stage.size() == 0 => BodyProgress::Nothing,
            Sink::Stage(_) | Sink::Discard(_) => BodyProgress::Part,
        }
    }

    /// Whether its end would cost something: bytes that have come, or the file itself, which the site may have deleted.
    pub(super) fn is_under_way(&self) -> bool {
        self.came() == BodyProgress::Part || self.assignment.deletes()
    }

    pub(super) fn into_assignment(self) -> FetchAssignment {
        self.assignment
    }

    pub(super) fn announced(self, verb: Verb, size: u64, cx: &mut Context<'_>) -> Reaction {
        self.begin(size, cx).map_or(Reaction::Decline, |fetch| fetch.staged(verb, size, cx))
    }

    /// So many bytes are to come. `None` if they are not taken.
    pub(super) fn begin(mut self, size: u64, cx: &mut Context<'_>) -> Option<Self> {
        if size > cx.site.settings.max_file_size {
            cx.site.too_large(self.assignment, size);
            return None;
        }
        match self.stage_in(&cx.site.spool, size) {
            Err(error) => {
                cx.site.unstored(self.assignment, error);
                None
            }
            Ok(mut stage) => {
                if cx.site.history.fingerprint(self.name()).is_some_and(|known| known.md5().is_some()) {
                    stage.measure_md5();
                }
                self.sink = Sink::Stage(stage);
                Some(self)
            }
        }
    }

    fn stage_in(&self, spool: &Spool, size: u64) -> Result<HashedTemp, StoreError> {
        if self.assignment.deletes() {
            return spool.check_answers().and_then(|()| spool.stage_only_copy(size));
        }
        spool.stage(size)
    }

    /// The file is asked to be sent once there is a place for it.
    pub(super) fn staged(self, verb: Verb, size: u64, cx: &mut Context<'_>) -> Reaction {
        let is_open = match &self.sink {
            Sink::Stage(stage) => stage.is_open(),
            Sink::Awaiting | Sink::Discard(_) => Ok(true),
        };
        match is_open {
            Err(error) => {
                cx.site.unstored(self.assignment, error);
                Reaction::Decline
            }
            Ok(false) => Reaction::Await(Box::new(Task::Fetching(self))),
            // A stock server closes after `RECV OK` of an empty file; there is nothing to fetch anyway.
            Ok(true) if size == 0 && verb == Verb::Recv => {
                self.complete(cx);
                Reaction::Decline
            }
            Ok(true) => Reaction::Accept(Box::new(Task::Fetching(self))),
        }
    }

    /// Where its bytes go, if it was announced.
    pub(super) fn stage(&self) -> Option<&HashedTemp> {
        match &self.sink {
            Sink::Stage(stage) => Some(stage),
            Sink::Awaiting | Sink::Discard(_) => None,
        }
    }

    /// Whether its next bytes can be taken.
    pub(super) fn has_room(&mut self) -> bool {
        let Sink::Stage(stage) = &self.sink else { return true };
        stage.has_room().unwrap_or_else(|error| {
            self.sink = Sink::Discard(error);
            true
        })
    }

    pub(super) fn take_body(&mut self, bytes: &[u8]) {
        if let Sink::Stage(stage) = &mut self.sink
            && let Err(error) = stage.write(bytes)
        {
            self.sink = Sink::Discard(error);
        }
    }

    /// The file is whole: on to the disk with it. Its name, if the site has deleted it, and whether it is gone is to be
    /// asked next.
    pub(super) fn complete(self, cx: &mut Context<'_>) -> Option<FileName> {
        let was_sent = !matches!(&self.sink, Sink::Stage(stage) if stage.size() == 0);
        let may_come_again = was_sent && self.assignment.deletes() && measured_at(self.name()).is_none();
        let deleted = may_come_again.then(|| self.name().clone());
        self.keep(cx);
        deleted
    }

    fn keep(self, cx: &mut Context<'_>) {
        let Self { assignment, sink } = self;
        let staged = match sink {
            Sink::Stage(stage) => stage.finish(),
            Sink::Discard(error) => Err(error),
            Sink::Awaiting => return cx.site.not_given(assignment, "it came without being announced"),
        };
        match staged {
            Ok(staged) => cx.site.staged(assignment, staged, cx.commit_queue),
            Err(error) => cx.site.unstored(assignment, error),
        }
    }

    pub(super) fn refused(self, refusal: &Refusal, cx: &mut Context<'_>) {
        match refusal {
            Refusal::Missing => cx.site.missing(self.assignment, cx.commit_queue),
            // `MV ERR`: it may be there, in the hands of another client.
            Refusal::Unspecified => cx.site.withheld(self.assignment),
            Refusal::Failed => cx.site.unreadable(self.assignment),
            other => cx.site.not_given(self.assignment, &format!("the site answered: {other}")),
        }
    }
}
