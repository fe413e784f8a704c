//! Where staged files are handed over to be made durable, and where the answers find their file again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{info, warn};

use super::outside::Publisher;
use crate::proto::{FileName, Fingerprint};
use crate::store::{Chain, Completion, Publication, Spool, Staged, Waiting};

/// Why a file was handed to the committer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Fetched: once it is published, the site's copy may go.
    Fetched,
    /// What the site sent instead of the published file while it deleted it: the only copy.
    Rescued,
}

/// A file on its way through the committer.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) site: usize,
    pub(super) name: FileName,
    pub(super) fingerprint: Fingerprint,
    pub(super) purpose: Purpose,
}

/// The committer, and what it has been given.
pub(super) struct Desk {
    committer: Box<dyn Publisher>,
    /// What may wait for its publication.
    max_spool: Waiting,
    /// More did, and has not become much less.
    is_full: bool,
    tickets: HashMap<u64, Ticket>,
    next: u64,
    /// The incoming directories, by the marks that a listing of theirs has.
    marks: HashMap<Box<[u8]>, PathBuf>,
}

impl Desk {
    pub(super) fn new(committer: Box<dyn Publisher>, max_spool: Waiting) -> Self {
        Self { committer, max_spool, is_full: false, tickets: HashMap::new(), next: 0, marks: HashMap::new() }
    }

    pub(super) fn set_max_spool(&mut self, max_spool: Waiting) {
        self.max_spool = max_spool;
    }

    /// Whether so much waits for its publication that no more files are to be fetched. It is again when a tenth of that is
    /// published.
    pub(super) fn is_full(&mut self) -> bool {
        let (Waiting { files, bytes }, most) = (self.committer.waiting(), self.max_spool);
        let refill = refill_at(most);
        if !self.is_full && (files >= most.files || bytes >= most.bytes) {
            self.is_full = true;
            warn!(
                "reason=spool-full no more is fetched until the data server has taken some of the files that wait for their \
                 publication (max_spool_files = {}, max_spool_bytes = {}); files={files} bytes={bytes}",
                most.files, most.bytes
            );
        } else if self.is_full && files <= refill.files && bytes <= refill.bytes {
            self.is_full = false;
            info!("files are fetched again; files={files} bytes={bytes}");
        }
        self.is_full
    }

    pub(super) fn publish(
        &mut self,
        site: (usize, &Arc<str>),
        name: FileName,
        staged: Staged,
        purpose: Purpose,
        chain: Option<Chain>,
    ) {
        let ticket = self.next;
        self.next += 1;
        let fingerprint = staged.fingerprint();
        self.tickets.insert(ticket, Ticket { site: site.0, name: name.clone(), fingerprint, purpose });
        self.committer.publish(Publication { ticket, site: Arc::clone(site.1), name, staged, chain });
    }

    pub(super) fn forget(&mut self, site: &Arc<str>, name: FileName, fingerprint: Fingerprint) {
        self.committer.forget(Arc::clone(site), name, fingerprint);
    }

    /// A spool was opened, perhaps after the start.
    pub(super) fn take_in(&mut self, spool: &Spool) {
        self.marks.insert(spool.mark().into_bytes().into(), spool.incoming().to_owned());
        self.committer.take_in(spool.clone());
    }

    /// The incoming directory of ours that has one of these marks, if there is one.
    pub(super) fn own_spool(&self, marks: &[Box<[u8]>]) -> Option<&Path> {
        marks.iter().find_map(|mark| self.marks.get(mark)).map(PathBuf::as_path)
    }

    /// What is committed and waits for its publication.
    pub(super) fn waiting(&self) -> Waiting {
        self.committer.waiting()
    }

    /// What has been committed, or could not be, since the last call.
    pub(super) fn completions(&mut self) -> Vec<(Ticket, Completion)> {
        let tickets = &mut self.tickets;
        let completions = self.committer.completions().into_iter();
        completions.filter_map(|done| tickets.remove(&done.ticket).map(|ticket| (ticket, done))).collect()
    }

    /// Brings everything handed over to its end. What is left for the next start to publish.
    pub(super) fn stop(self) -> Waiting {
        self.committer.stop()
    }
}

/// What may be left of `most`, which is at least one each, for more to be fetched.
fn refill_at(most: Waiting) -> Waiting {
    Waiting { files: most.files - most.files.div_ceil(10), bytes: most.bytes - most.bytes.div_ceil(10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_fetched_when_a_tenth_is_published_of_a_small_bound_too() {
        for (most, refill) in [(1, 0), (4, 3), (10, 9), (19, 17), (200_000, 180_000)] {
            let all = Waiting { files: most, bytes: most as u64 };
            assert_eq!(refill_at(all), Waiting { files: refill, bytes: refill as u64 });
        }
    }
}
