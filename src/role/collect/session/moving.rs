//! Letting a published file go: [`Step::Move`]. The site deletes it while it sends it, so what it sends is compared.

use super::{Cx, Reaction, Task};
use crate::proto::{FileName, Fingerprint, Fingerprinter};
use crate::role::collect::Reason;
use crate::role::collect::desk::{Desk, Purpose};
use crate::role::collect::reason::Came;
use crate::role::collect::site::Site;
use crate::store::{Spool, Stage, Staged, StoreError};
use crate::sync::{MoveEnd, Step};

/// A body up to this size, in bytes, is kept in memory until it is compared; a larger one is staged.
const COMPARED_IN_MEMORY: u64 = 64 << 10;

/// How far a body that turned out longer than announced is followed, in bytes.
const MOST_BEYOND: u64 = 4 << 20;

/// How agent data ends that is whole.
const END_OF_AGENT_DATA: &[u8] = b"</agent_data>";

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
    Stage(Stage),
    Unkept(StoreError),
}

impl Moving {
    pub(super) fn new(name: &FileName, published: Fingerprint) -> Self {
        Self { name: name.clone(), published, running: Fingerprinter::default(), kept: Kept::Memory(Vec::new()) }
    }

    pub(super) fn name(&self) -> &FileName {
        &self.name
    }

    pub(super) fn came(&self) -> Came {
        if self.running.size() == 0 { Came::Nothing } else { Came::Part }
    }

    pub(super) fn into_step(self) -> Step {
        Step::Move(self.name, self.published)
    }

    pub(super) fn announced(mut self, size: u64, cx: &mut Cx<'_>) -> Reaction {
        if size != self.published.size {
            // Or a next start would not know which of the two is there.
            cx.desk.forget(cx.site.name(), self.name.clone(), self.published);
            cx.site.changed(self.name);
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
        Reaction::Accept(Box::new(Task::Moving(self)))
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

    /// The site has sent, and thereby deleted, what it had under the name.
    pub(super) fn complete(self, cx: &mut Cx<'_>) -> Result<(), Reason> {
        if self.published.size == 0 {
            // Nothing came back: only the next listing tells whether the site heard us.
            cx.site.move_unconfirmed();
            return Ok(());
        }
        if self.running.clone().finish() == self.published {
            cx.site.gone(self.name, self.published, cx.desk);
            return Ok(());
        }
        self.rescue(cx.site, cx.desk)
    }

    /// Whether what has come is agent data to its end, which no beginning of such a file can be.
    fn is_whole(&self) -> bool {
        matches!(&self.kept, Kept::Memory(bytes) if bytes.trim_ascii_end().ends_with(END_OF_AGENT_DATA))
    }

    /// Whether what has come, as much as was announced, may be the beginning of something longer.
    pub(super) fn is_doubtful(&self) -> bool {
        self.running.clone().finish() != self.published && !self.is_whole()
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
    pub(super) fn cut_short(self, site: &mut Site, desk: &mut Desk) {
        let is_other = self.running.clone().finish() != self.published && !self.lacks_blanks_only();
        if is_other && (self.is_whole() || self.running.size() == self.published.size) {
            // The connection has failed already: that is what the round reports.
            let _ = self.rescue(site, desk);
        } else {
            site.give_back(self.into_step());
        }
    }

    /// The agent overwrote the file since our copy was fetched: both are measurements, both are kept.
    fn rescue(self, site: &mut Site, desk: &mut Desk) -> Result<(), Reason> {
        match self.kept.into_staged(&site.spool) {
            Ok(staged) => {
                desk.forget(site.name(), self.name.clone(), self.published);
                site.rescued(&self.name);
                desk.publish(site.id(), self.name, staged, Purpose::Rescued, None);
                Ok(())
            }
            Err(error) => {
                site.lost(&self.name, &error);
                site.moved(self.name, MoveEnd::Gone);
                Err(error.into())
            }
        }
    }
}

impl Kept {
    fn into_staged(self, spool: &Spool) -> Result<Staged, StoreError> {
        match self {
            Self::Stage(stage) => stage.finish(),
            Self::Unkept(error) => Err(error),
            Self::Memory(bytes) => {
                let mut stage = spool.stage(bytes.len() as u64)?;
                stage.write(&bytes)?;
                stage.finish()
            }
        }
    }
}
