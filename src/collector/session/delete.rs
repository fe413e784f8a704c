//! Letting a committed file go: [`DeleteAssignment`]. The site deletes it while it sends it, so what it sends is compared, and
//! what is not the committed file is the only copy there is.

use super::Context;
use super::task::{Reaction, Task};
use crate::collector::Reason;
use crate::collector::commit_queue::CommitQueue;
use crate::collector::reason::BodyProgress;
use crate::collector::site::Site;
use crate::proto::{FileName, Fingerprint, Fingerprinter};
use crate::store::{ClosedHashedTemp, HashedTemp, Spool, StoreError};
use crate::sync::{Assignment, DeleteAssignment, DeleteResult, measured_at};

/// A body up to this size, in bytes, is kept in memory until it is compared; a larger one is staged.
const COMPARED_IN_MEMORY: u64 = 64 << 10;

/// How far a body that turned out longer than announced is followed, in bytes.
const MOST_BEYOND: u64 = 4 << 20;

/// What may follow that.
const BLANKS: &[u8] = b"\n\r \t";

/// The most blanks that a file cut short is tried with.
const MOST_BLANKS: u32 = 4;

/// Whether what comes is compared in memory, if it is the published file, and can be: so it is not with an empty one.
pub(super) fn is_compared_in_memory(delete: &DeleteAssignment) -> bool {
    (1..=COMPARED_IN_MEMORY).contains(&delete.published().size)
}

/// A published file that the site is to let go.
pub(super) struct Delete {
    assignment: DeleteAssignment,
    received: Received,
}

/// A published file in whose place the site has sent another, which is kept: more of that may come.
pub(super) struct Trailing {
    name: FileName,
    published: Fingerprint,
    received: Received,
}

/// What the site sends.
pub(super) struct Received {
    running: Fingerprinter,
    sink: Sink,
}

/// What is kept of the body, in case it is another file's.
enum Sink {
    Memory(Vec<u8>),
    Stage(HashedTemp),
    Discard(StoreError),
}

impl Delete {
    pub(super) fn new(assignment: DeleteAssignment) -> Self {
        Self { assignment, received: Received { running: Fingerprinter::default(), sink: Sink::Memory(Vec::new()) } }
    }

    pub(super) fn name(&self) -> &FileName {
        self.assignment.name()
    }

    pub(super) fn received(&mut self) -> &mut Received {
        &mut self.received
    }

    pub(super) fn came(&self) -> BodyProgress {
        self.received.came()
    }

    pub(super) fn into_assignment(self) -> DeleteAssignment {
        self.assignment
    }

    pub(super) fn announced(mut self, size: u64, cx: &mut Context<'_>) -> Reaction {
        let published = self.assignment.published();
        if size != published.size {
            cx.site.was_changed(self.assignment, cx.commit_queue);
            return Reaction::Decline;
        }
        // Once it is deleted there, what comes may be the only copy, and is to be kept.
        if let Err(error) = cx.site.spool.check_answers() {
            cx.site.delete_postponed(self.assignment, error);
            return Reaction::Decline;
        }
        if size > COMPARED_IN_MEMORY {
            match cx.site.spool.stage_only_copy(size) {
                Ok(stage) => self.received.sink = Sink::Stage(stage),
                Err(error) => {
                    cx.site.delete_postponed(self.assignment, error);
                    return Reaction::Decline;
                }
            }
        }
        self.staged(cx)
    }

    /// The file is asked to be sent, and deleted, once there is a place for it.
    pub(super) fn staged(self, cx: &mut Context<'_>) -> Reaction {
        let is_open = match &self.received.sink {
            Sink::Stage(stage) => stage.is_open(),
            Sink::Memory(_) | Sink::Discard(_) => Ok(true),
        };
        match is_open {
            Err(error) => {
                cx.site.delete_postponed(self.assignment, error);
                Reaction::Decline
            }
            Ok(false) => Reaction::Await(Box::new(Task::Deleting(self))),
            Ok(true) => Reaction::Accept(Box::new(Task::Deleting(self))),
        }
    }

    /// So many bytes come, of whatever file: nobody has looked at the size before.
    pub(super) fn begin(mut self, size: u64, cx: &mut Context<'_>) -> Self {
        if size > COMPARED_IN_MEMORY {
            self.received.sink = cx.site.spool.stage(size).map_or_else(Sink::Discard, Sink::Stage);
        }
        self
    }

    /// Where its bytes go, if that is not memory.
    pub(super) fn stage(&self) -> Option<&HashedTemp> {
        match &self.received.sink {
            Sink::Stage(stage) => Some(stage),
            Sink::Memory(_) | Sink::Discard(_) => None,
        }
    }

    /// Whether its next bytes can be taken.
    pub(super) fn has_room(&mut self) -> bool {
        let Sink::Stage(stage) = &self.received.sink else { return true };
        stage.has_room().unwrap_or_else(|error| {
            self.received.sink = Sink::Discard(error);
            true
        })
    }

    /// The site has sent, and thereby deleted, what it had under the name. The name, if whether it is gone is to be asked
    /// next.
    pub(super) fn complete(self, cx: &mut Context<'_>) -> Result<Option<FileName>, Reason> {
        let (name, published) = (self.name().clone(), self.assignment.published());
        if published.size == 0 {
            // Nothing came back: only the next listing shows whether the site heard us.
            cx.site.deleted(self.assignment, DeleteResult::Postponed);
            return Ok(None);
        }
        if self.received.is(published) {
            cx.commit_queue.same_server.deleted(cx.site.id(), &name, published);
            cx.site.deleted(self.assignment, DeleteResult::Gone);
            return Ok(measured_at(&name).is_none().then_some(name));
        }
        self.rescue(cx.site, cx.commit_queue).map(|()| None)
    }

    /// Whether what has come, as much as was announced, may be the beginning of something longer.
    pub(super) fn is_doubtful(&self) -> bool {
        !self.received.is(self.assignment.published()) && !self.received.is_whole()
    }

    /// The connection ended, and not with what was announced. A stock server whose file had become shorter or longer by
    /// then has sent, and deleted, all there was, and now waits for us: what is whole, or may be, is kept.
    pub(super) fn on_disconnect(self, site: &mut Site, commit_queue: &mut CommitQueue) {
        let came_to_end = self.received.running.size() == self.assignment.published().size;
        if self.is_other() && (self.received.is_whole() || came_to_end) {
            // The connection has failed already: that is what the round reports.
            let _ = self.rescue(site, commit_queue);
        } else {
            site.dropped(Assignment::Delete(self.assignment));
        }
    }

    /// The connection ended where commands had been sent ahead. What has come is kept as by
    /// [`on_disconnect`](Self::on_disconnect), unless it is not sure where it ends (`is_cut` tells that it is).
    pub(super) fn ended_early(self, is_cut: bool, cx: &mut Context<'_>) -> Result<(), Reason> {
        let came_to_end = is_cut && self.received.running.size() == self.assignment.published().size;
        if self.received.is(self.assignment.published()) {
            self.complete(cx).map(drop)
        } else if self.is_other() && (self.received.is_whole() || came_to_end) {
            self.rescue(cx.site, cx.commit_queue)
        } else {
            cx.site.returned(Assignment::Delete(self.assignment.asked()));
            Ok(())
        }
    }

    /// Whether what has come cannot be the beginning of the committed file, or not for long.
    fn is_other(&self) -> bool {
        let (received, published) = (&self.received, self.assignment.published());
        !received.is(published) && !received.lacks_blanks_only(published)
    }

    /// The agent overwrote the file since our copy was fetched: both are measurements, both are kept.
    fn rescue(self, site: &mut Site, commit_queue: &mut CommitQueue) -> Result<(), Reason> {
        let staged = self.received.sink.into_staged(&site.spool);
        rescue(self.assignment, staged, site, commit_queue)
    }

    /// Keeps what has come, all that was announced, before anything else is waited for.
    pub(super) fn rescue_beginning(self, site: &mut Site, commit_queue: &mut CommitQueue) -> Result<Trailing, Reason> {
        let Self { assignment, received } = self;
        let trailing = Trailing { name: assignment.name().clone(), published: assignment.published(), received };
        let staged = trailing.received.sink.copy(&site.spool);
        rescue(assignment, staged, site, commit_queue).map(|()| trailing)
    }
}

impl Trailing {
    pub(super) fn name(&self) -> &FileName {
        &self.name
    }

    pub(super) fn received(&mut self) -> &mut Received {
        &mut self.received
    }

    pub(super) fn came(&self) -> BodyProgress {
        self.received.came()
    }

    /// Whether more has come than was announced.
    pub(super) fn is_longer(&self) -> bool {
        self.received.running.size() > self.published.size
    }

    /// The connection ended. Keeps what turned out longer than its beginning, which was kept before.
    pub(super) fn on_disconnect(self, site: &mut Site, commit_queue: &mut CommitQueue) {
        if self.is_longer() {
            match self.received.sink.into_staged(&site.spool) {
                Ok(staged) => site.rescued_longer(self.name, staged, commit_queue),
                Err(error) => site.lost(&self.name, &error),
            }
        }
    }
}

impl Received {
    fn came(&self) -> BodyProgress {
        if self.running.size() == 0 { BodyProgress::Nothing } else { BodyProgress::Part }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.running.update(bytes);
        let written = match &mut self.sink {
            Sink::Memory(copy) => {
                copy.extend_from_slice(bytes);
                Ok(())
            }
            Sink::Stage(stage) => stage.write(bytes),
            Sink::Discard(_) => Ok(()),
        };
        if let Err(error) = written {
            self.sink = Sink::Discard(error);
        }
    }

    /// Whether it is that file.
    fn is(&self, published: Fingerprint) -> bool {
        self.running.clone().finish() == published
    }

    /// Whether what has come is XML to its end, which no beginning of such a file can be.
    fn is_whole(&self) -> bool {
        matches!(&self.sink, Sink::Memory(bytes) if is_whole_xml(bytes))
    }

    /// Whether there is nothing to be gained from reading on, beyond what was announced.
    pub(super) fn is_over(&self) -> bool {
        self.is_whole() || self.running.size() > MOST_BEYOND
    }

    /// Whether what has come is the published file but for blanks at its end: the cut came after its last word.
    fn lacks_blanks_only(&self, published: Fingerprint) -> bool {
        let missing = published.size.saturating_sub(self.running.size());
        let Some(missing) = u32::try_from(missing).ok().filter(|missing| (1..=MOST_BLANKS).contains(missing)) else {
            return false;
        };
        (0..BLANKS.len().pow(missing)).any(|choice| {
            let blank = |place: u32| BLANKS[choice / BLANKS.len().pow(place) % BLANKS.len()];
            let mut whole = self.running.clone();
            whole.update(&(0..missing).map(blank).collect::<Vec<u8>>());
            whole.finish() == published
        })
    }
}

fn rescue(
    assignment: DeleteAssignment,
    staged: Result<ClosedHashedTemp, StoreError>,
    site: &mut Site,
    commit_queue: &mut CommitQueue,
) -> Result<(), Reason> {
    match staged {
        Ok(staged) => {
            site.rescued(assignment, staged, commit_queue);
            Ok(())
        }
        Err(error) => {
            site.lost(assignment.name(), &error);
            site.deleted(assignment, DeleteResult::Gone);
            Err(error.into())
        }
    }
}

/// Whether `bytes` end with the end tag of their first element: `agent_data`, `server_data`, `connection_data` …
fn is_whole_xml(bytes: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte);
    let starts = bytes.windows(2).position(|pair| pair[0] == b'<' && pair[1].is_ascii_alphabetic());
    let Some(element) = starts.map(|at| &bytes[at + 1..]) else { return false };
    let name = &element[..element.iter().take_while(|byte| is_name(byte)).count()];
    let tag = element.trim_ascii_end().strip_suffix(b">").map(<[u8]>::trim_ascii_end);
    tag.and_then(|tag| tag.strip_suffix(name)).is_some_and(|before| before.ends_with(b"</"))
}

impl Sink {
    fn into_staged(self, spool: &Spool) -> Result<ClosedHashedTemp, StoreError> {
        match self {
            Self::Stage(stage) => stage.finish(),
            Self::Memory(_) | Self::Discard(_) => self.copy(spool),
        }
    }

    fn copy(&self, spool: &Spool) -> Result<ClosedHashedTemp, StoreError> {
        match self {
            Self::Stage(stage) => stage.duplicate()?.finish(),
            Self::Discard(error) => Err(error.clone()),
            Self::Memory(bytes) => {
                let mut stage = spool.stage_only_copy(bytes.len() as u64)?;
                stage.write(bytes)?;
                stage.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole_xml;

    #[test]
    fn xml_is_whole_with_the_end_tag_of_its_first_element() {
        for whole in [
            "<agent_data a='1'>x</agent_data>\n",
            "<?xml version='1.0'?>\n<!-- a > b -->\n<server_data><a/></server_data >",
            "<connection_data></connection_data>",
        ] {
            assert!(is_whole_xml(whole.as_bytes()), "{whole}");
            let cut = whole.trim_end().len() - 1;
            (0..cut).for_each(|cut| assert!(!is_whole_xml(&whole.as_bytes()[..cut]), "{}", &whole[..cut]));
        }
        assert!(!is_whole_xml(b"<agent_data></agent>") && !is_whole_xml(b"no markup") && !is_whole_xml(b""));
    }
}
