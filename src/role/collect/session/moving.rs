//! Letting a committed file go: [`Step::Delete`]. The site deletes it while it sends it, so what it sends is compared, and
//! what is not the committed file is the only copy there is.

use super::Context;
use super::task::{Reaction, Task};
use crate::proto::{FileName, Fingerprint, Fingerprinter};
use crate::role::collect::Reason;
use crate::role::collect::commit_queue::{CommitQueue, Purpose};
use crate::role::collect::reason::BodyProgress;
use crate::role::collect::site::Site;
use crate::store::{ClosedHashedTemp, HashedTemp, Spool, StoreError};
use crate::sync::{DeleteResult, Step, measured_at};

/// A body up to this size, in bytes, is kept in memory until it is compared; a larger one is staged.
const COMPARED_IN_MEMORY: u64 = 64 << 10;

/// How far a body that turned out longer than announced is followed, in bytes.
const MOST_BEYOND: u64 = 4 << 20;

/// What may follow that.
const BLANKS: &[u8] = b"\n\r \t";

/// The most blanks that a file cut short is tried with.
const MOST_BLANKS: u32 = 4;

/// A published file that the site is to let go.
pub(super) struct Moving {
    name: FileName,
    published: Fingerprint,
    running: Fingerprinter,
    kept: Kept,
}

/// What is kept of the body, in case it is another file's.
enum Kept {
    Memory(Vec<u8>),
    Stage(HashedTemp),
    Unkept(StoreError),
}

impl Moving {
    pub(super) fn new(name: &FileName, published: Fingerprint) -> Self {
        Self { name: name.clone(), published, running: Fingerprinter::default(), kept: Kept::Memory(Vec::new()) }
    }

    pub(super) fn name(&self) -> &FileName {
        &self.name
    }

    pub(super) fn came(&self) -> BodyProgress {
        if self.running.size() == 0 { BodyProgress::Nothing } else { BodyProgress::Part }
    }

    pub(super) fn into_step(self) -> Step {
        Step::Delete(self.name, self.published)
    }

    pub(super) fn announced(mut self, size: u64, cx: &mut Context<'_>) -> Reaction {
        if size != self.published.size {
            // Or a next start would not know which of the two is there.
            cx.commit_queue.forget(cx.site.name(), self.name.clone(), self.published);
            cx.site.changed(&self.name);
            return Reaction::Decline;
        }
        // Once it is deleted there, what comes may be the only copy, and is to be kept.
        if let Err(error) = cx.site.spool.check_answers() {
            cx.site.move_postponed(&self.name, error);
            return Reaction::Decline;
        }
        if size > COMPARED_IN_MEMORY {
            match cx.site.spool.stage(size) {
                Ok(stage) => self.kept = Kept::Stage(stage),
                Err(error) => {
                    cx.site.move_postponed(&self.name, error);
                    return Reaction::Decline;
                }
            }
        }
        self.staged(cx)
    }

    /// The file is asked to be sent, and deleted, once there is a place for it.
    pub(super) fn staged(self, cx: &mut Context<'_>) -> Reaction {
        let is_open = match &self.kept {
            Kept::Stage(stage) => stage.is_open(),
            Kept::Memory(_) | Kept::Unkept(_) => Ok(true),
        };
        match is_open {
            Err(error) => {
                cx.site.move_postponed(&self.name, error);
                Reaction::Decline
            }
            Ok(false) => Reaction::Await(Box::new(Task::Moving(self))),
            Ok(true) => Reaction::Accept(Box::new(Task::Moving(self))),
        }
    }

    /// Where its bytes go, if that is not memory.
    pub(super) fn stage(&self) -> Option<&HashedTemp> {
        match &self.kept {
            Kept::Stage(stage) => Some(stage),
            Kept::Memory(_) | Kept::Unkept(_) => None,
        }
    }

    /// Whether its next bytes can be taken.
    pub(super) fn has_room(&mut self) -> bool {
        let Kept::Stage(stage) = &self.kept else { return true };
        stage.has_room().unwrap_or_else(|error| {
            self.kept = Kept::Unkept(error);
            true
        })
    }

    pub(super) fn take_body(&mut self, bytes: &[u8]) {
        self.running.update(bytes);
        let kept = match &mut self.kept {
            Kept::Memory(copy) => {
                copy.extend_from_slice(bytes);
                Ok(())
            }
            Kept::Stage(stage) => stage.write(bytes),
            Kept::Unkept(_) => Ok(()),
        };
        if let Err(error) = kept {
            self.kept = Kept::Unkept(error);
        }
    }

    /// The site has sent, and thereby deleted, what it had under the name. The name, if whether it is gone is to be asked
    /// next.
    pub(super) fn complete(self, cx: &mut Context<'_>) -> Result<Option<FileName>, Reason> {
        if self.published.size == 0 {
            // Nothing came back: only the next listing tells whether the site heard us.
            cx.site.move_unconfirmed();
            return Ok(None);
        }
        if self.is_as_committed() {
            let may_come_again = measured_at(&self.name).is_none();
            cx.commit_queue.same_server.deleted(cx.site.id(), &self.name, self.published);
            cx.site.moved(&self.name, DeleteResult::Gone);
            return Ok(may_come_again.then_some(self.name));
        }
        self.rescue(cx.site, cx.commit_queue).map(|()| None)
    }

    fn is_as_committed(&self) -> bool {
        self.running.clone().finish() == self.published
    }

    /// Whether what has come is XML to its end, which no beginning of such a file can be.
    fn is_whole(&self) -> bool {
        matches!(&self.kept, Kept::Memory(bytes) if is_whole_xml(bytes))
    }

    /// Whether what has come, as much as was announced, may be the beginning of something longer.
    pub(super) fn is_doubtful(&self) -> bool {
        !self.is_as_committed() && !self.is_whole()
    }

    /// Whether more has come than was announced.
    pub(super) fn is_longer(&self) -> bool {
        self.running.size() > self.published.size
    }

    /// Whether what has come is the published file but for blanks at its end: the cut came after its last word.
    fn lacks_blanks_only(&self) -> bool {
        let missing = self.published.size.saturating_sub(self.running.size());
        let Some(missing) = u32::try_from(missing).ok().filter(|missing| (1..=MOST_BLANKS).contains(missing)) else {
            return false;
        };
        (0..BLANKS.len().pow(missing)).any(|choice| {
            let blank = |place: u32| BLANKS[choice / BLANKS.len().pow(place) % BLANKS.len()];
            let mut whole = self.running.clone();
            whole.update(&(0..missing).map(blank).collect::<Vec<u8>>());
            whole.finish() == self.published
        })
    }

    /// Whether there is nothing to be gained from reading on, beyond what was announced.
    pub(super) fn is_over(&self) -> bool {
        self.is_whole() || self.running.size() > MOST_BEYOND
    }

    /// The connection ended, and not with what was announced. A stock server whose file had become shorter or longer by
    /// then has sent, and deleted, all there was, and now waits for us: what is whole, or may be, is kept.
    pub(super) fn on_disconnect(self, site: &mut Site, commit_queue: &mut CommitQueue) {
        let is_other = !self.is_as_committed() && !self.lacks_blanks_only();
        if is_other && (self.is_whole() || self.running.size() == self.published.size) {
            // The connection has failed already: that is what the round reports.
            let _ = self.rescue(site, commit_queue);
        } else {
            site.requeue(self.into_step());
        }
    }

    /// The agent overwrote the file since our copy was fetched: both are measurements, both are kept.
    fn rescue(self, site: &mut Site, commit_queue: &mut CommitQueue) -> Result<(), Reason> {
        let staged = self.kept.into_staged(&site.spool);
        rescue(&self.name, staged, site, commit_queue)
    }

    /// Keeps what has come, all that was announced, before anything else is waited for.
    pub(super) fn rescue_beginning(&self, site: &mut Site, commit_queue: &mut CommitQueue) -> Result<(), Reason> {
        let staged = self.kept.copy(&site.spool);
        rescue(&self.name, staged, site, commit_queue)
    }

    /// Keeps what turned out longer than its beginning, which was kept before.
    pub(super) fn rescue_longer(self, site: &mut Site, commit_queue: &mut CommitQueue) -> Result<(), Reason> {
        match self.kept.into_staged(&site.spool) {
            Ok(staged) => {
                site.rescued_longer(&self.name);
                commit_queue.publish(site.id(), self.name, staged, Purpose::Rescued, None);
                Ok(())
            }
            Err(error) => {
                site.lost(&self.name, &error);
                Err(error.into())
            }
        }
    }
}

fn rescue(
    name: &FileName,
    staged: Result<ClosedHashedTemp, StoreError>,
    site: &mut Site,
    commit_queue: &mut CommitQueue,
) -> Result<(), Reason> {
    match staged {
        Ok(staged) => {
            site.rescued(name, commit_queue);
            commit_queue.publish(site.id(), name.clone(), staged, Purpose::Rescued, None);
            Ok(())
        }
        Err(error) => {
            site.lost(name, &error);
            site.moved(name, DeleteResult::Gone);
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

impl Kept {
    fn into_staged(self, spool: &Spool) -> Result<ClosedHashedTemp, StoreError> {
        match self {
            Self::Stage(stage) => stage.finish(),
            Self::Memory(_) | Self::Unkept(_) => self.copy(spool),
        }
    }

    fn copy(&self, spool: &Spool) -> Result<ClosedHashedTemp, StoreError> {
        match self {
            Self::Stage(stage) => stage.duplicate()?.finish(),
            Self::Unkept(error) => Err(error.clone()),
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
