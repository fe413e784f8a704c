//! Fetching a file: [`FetchAssignment`]. It comes as it is, or in a ZIP archive (`ZRECV`), which is unpacked while it comes: what
//! is staged is the file in either case.

use super::Context;
use super::task::{Reaction, Task};
use crate::collector::reason::BodyProgress;
use crate::collector::site::Site;
use crate::proto::zip::{UnpackError, Unpacker};
use crate::proto::{FileName, Refusal, Verb};
use crate::store::{HashedTemp, Spool, StoreError};
use crate::sync::{Assignment, FetchAssignment, measured_at};

/// A file that is asked for or on its way.
pub(super) struct Fetch {
    assignment: FetchAssignment,
    /// What the site was asked with.
    verb: Verb,
    sink: Sink,
}

/// Where its bytes go.
enum Sink {
    /// Not announced yet.
    Awaiting,
    Stage(HashedTemp),
    Unpack(HashedTemp, Box<Unpacker>),
    /// The archive is of no use: the rest of it is let pass by.
    Unusable(UnpackError),
    /// The disk did not take it: the rest of the body is let pass by.
    Discard(StoreError),
}

impl Fetch {
    pub(super) fn new(assignment: FetchAssignment, verb: Verb) -> Self {
        Self { assignment, verb, sink: Sink::Awaiting }
    }

    pub(super) fn name(&self) -> &FileName {
        self.assignment.name()
    }

    pub(super) fn came(&self) -> BodyProgress {
        match &self.sink {
            Sink::Awaiting => BodyProgress::Nothing,
            Sink::Stage(stage) if stage.size() == 0 && !self.is_packed() => BodyProgress::Nothing,
            Sink::Unpack(_, unpacker) if unpacker.taken() == 0 => BodyProgress::Nothing,
            Sink::Stage(_) | Sink::Unpack(..) | Sink::Unusable(_) | Sink::Discard(_) => BodyProgress::Part,
        }
    }

    /// Whether its end would cost something: bytes that have come, or the file itself, which the site may have deleted.
    pub(super) fn is_under_way(&self) -> bool {
        self.came() == BodyProgress::Part || self.assignment.deletes()
    }

    /// Whether it is to come in an archive.
    pub(super) fn is_packed(&self) -> bool {
        self.verb == Verb::Zrecv
    }

    /// Whether the site has not said yet whether it sends an archive.
    pub(super) fn awaits_archive(&self) -> bool {
        self.is_packed() && matches!(self.sink, Sink::Awaiting)
    }

    /// Whether so many bytes are not taken.
    pub(super) fn is_too_large(size: u64, cx: &Context<'_>) -> bool {
        size > cx.site.settings.max_file_size
    }

    pub(super) fn into_assignment(self) -> FetchAssignment {
        self.assignment
    }

    /// The connection is gone.
    pub(super) fn on_disconnect(self, site: &mut Site) {
        if self.is_packed() {
            site.archive_did_not_come(self.name());
        }
        site.dropped(Assignment::Fetch(self.assignment));
    }

    pub(super) fn announced(self, verb: Verb, size: u64, cx: &mut Context<'_>) -> Reaction {
        self.begin(size, cx).map_or(Reaction::Decline, |fetch| fetch.staged(verb, size, cx))
    }

    /// So many bytes are to come. `None` if they are not taken.
    pub(super) fn begin(mut self, size: u64, cx: &mut Context<'_>) -> Option<Self> {
        if Self::is_too_large(size, cx) {
            if self.is_packed() {
                cx.site.unfit_archive(self.assignment);
            } else {
                cx.site.too_large(self.assignment, size);
            }
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
                self.sink = if self.is_packed() {
                    Sink::Unpack(stage, Box::new(Unpacker::new(cx.site.settings.max_file_size)))
                } else {
                    Sink::Stage(stage)
                };
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
        match self.stage().map_or(Ok(true), HashedTemp::is_open) {
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
            Sink::Stage(stage) | Sink::Unpack(stage, _) => Some(stage),
            Sink::Awaiting | Sink::Unusable(_) | Sink::Discard(_) => None,
        }
    }

    /// Whether its next bytes can be taken.
    pub(super) fn has_room(&mut self) -> bool {
        match self.stage().map_or(Ok(true), HashedTemp::has_room) {
            Ok(has_room) => has_room,
            Err(error) => {
                self.sink = Sink::Discard(error);
                true
            }
        }
    }

    pub(super) fn take_body(&mut self, bytes: &[u8]) {
        let failed = match &mut self.sink {
            Sink::Stage(stage) => stage.write(bytes).err().map(Sink::Discard),
            Sink::Unpack(stage, unpacker) => unpack(bytes, unpacker, stage),
            Sink::Awaiting | Sink::Unusable(_) | Sink::Discard(_) => None,
        };
        if let Some(failed) = failed {
            self.sink = failed;
        }
    }

    /// All bytes have come. Whether they are of use: an archive that is not is [given back](Self::complete) to the round.
    pub(super) fn ended(&mut self) -> bool {
        self.sink = match std::mem::replace(&mut self.sink, Sink::Awaiting) {
            Sink::Unpack(stage, unpacker) => unpacker.finish().map_or_else(Sink::Unusable, |_| Sink::Stage(stage)),
            other => other,
        };
        !matches!(self.sink, Sink::Unusable(_))
    }

    /// The file is whole: on to the disk with it. Its name, if the site has deleted it, and whether it is gone is to be
    /// asked next.
    pub(super) fn complete(mut self, cx: &mut Context<'_>) -> Option<FileName> {
        self.ended();
        let was_sent = !matches!(&self.sink, Sink::Stage(stage) if stage.size() == 0);
        let may_come_again = was_sent && self.assignment.deletes() && measured_at(self.name()).is_none();
        let deleted = may_come_again.then(|| self.name().clone());
        self.keep(cx);
        deleted
    }

    fn keep(self, cx: &mut Context<'_>) {
        let Self { assignment, verb, sink } = self;
        let staged = match sink {
            Sink::Stage(stage) => {
                if verb == Verb::Zrecv {
                    cx.site.unpacked();
                }
                stage.finish()
            }
            Sink::Discard(error) => Err(error),
            Sink::Unusable(error) => return cx.site.unusable_archive(assignment, error, cx.io.now()),
            Sink::Awaiting | Sink::Unpack(..) => {
                return cx.site.not_given(assignment, "it came without being announced");
            }
        };
        match staged {
            Ok(staged) => cx.site.staged(assignment, staged, cx.commit_queue),
            Err(error) => cx.site.unstored(assignment, error),
        }
    }

    pub(super) fn refused(self, refusal: &Refusal, cx: &mut Context<'_>) {
        match refusal {
            // Whether the site gives the file as it is tells more.
            other if self.is_packed() && *other != Refusal::Missing => {
                cx.site.archive_refused(self.assignment, other, cx.io.now());
            }
            Refusal::Missing => cx.site.missing(self.assignment, cx.commit_queue),
            // `MV ERR`: it may be there, in the hands of another client.
            Refusal::Unspecified => cx.site.withheld(self.assignment),
            Refusal::Failed => cx.site.unreadable(self.assignment),
            other => cx.site.not_given(self.assignment, &format!("the site answered: {other}")),
        }
    }
}

/// Stages what these bytes of an archive bring. Where what follows goes, if that cannot go on.
fn unpack(bytes: &[u8], unpacker: &mut Unpacker, stage: &mut HashedTemp) -> Option<Sink> {
    let mut written = Ok(());
    let taken = unpacker.take(bytes, &mut |piece| {
        if written.is_ok() {
            written = stage.write(piece);
        }
    });
    match (written, taken) {
        (Err(error), _) => Some(Sink::Discard(error)),
        (Ok(()), Err(error)) => Some(Sink::Unusable(error)),
        (Ok(()), Ok(())) => None,
    }
}
