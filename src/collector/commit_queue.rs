//! Where staged files are handed over to be made durable, and where the answers find their file again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{info, warn};

use super::ports::Publisher;
use super::same_server::SameServer;
use crate::budget;
use crate::proto::{FileName, Fingerprint};
use crate::store::{ClosedHashedTemp, Commits, Completion, InSpool, Publication, PublishOrder, Spool, Waiting};
use crate::sync::PendingCommit;

/// A file on its way through the committer.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) site: usize,
    pub(super) commit: PendingCommit,
    pub(super) fingerprint: Fingerprint,
}

/// What is here of one site and was not taken by the data server.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpoolShare {
    pub(super) own: Waiting,
    /// What is left for the others.
    free: Waiting,
}

impl SpoolShare {
    /// Whether no more of the site's is to be fetched; `before`: whether that was so.
    pub(super) fn is_reached(&self, before: bool) -> bool {
        let Self { own, free } = *self;
        budget::is_reached(own.files as u64, free.files as u64, before)
            || budget::is_reached(own.bytes, free.bytes, before)
    }
}

/// The committer, and what it has been given.
pub(super) struct CommitQueue {
    committer: Box<dyn Publisher>,
    /// What may wait for its publication.
    max_spool: Waiting,
    /// More did, and has not become much less.
    is_full: bool,
    /// Whether more than one site is collected from.
    is_shared: bool,
    tickets: HashMap<u64, Ticket>,
    /// What the tickets come to, by site.
    pending: HashMap<usize, Waiting>,
    next: u64,
    /// The incoming directories, by the marks that a listing of theirs has.
    marks: HashMap<Box<[u8]>, PathBuf>,
    pub(super) same_server: SameServer,
}

impl CommitQueue {
    pub(super) fn new(committer: Box<dyn Publisher>, max_spool: Waiting) -> Self {
        Self {
            committer,
            max_spool,
            is_full: false,
            is_shared: false,
            tickets: HashMap::new(),
            pending: HashMap::new(),
            next: 0,
            marks: HashMap::new(),
            same_server: SameServer::default(),
        }
    }

    pub(super) fn set_max_spool(&mut self, max_spool: Waiting) {
        self.max_spool = max_spool;
    }

    /// Whether so much waits for its publication that no more files are to be fetched. It is again when a tenth of that is
    /// published.
    pub(super) fn is_full(&mut self) -> bool {
        let (Waiting { files, bytes }, most) = (self.committer.waiting(), self.max_spool);
        let refill = Waiting { files: refill(most.files), bytes: budget::refill_at(most.bytes) };
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

    /// What [`Self::is_full`] said last.
    pub(super) fn was_full(&self) -> bool {
        self.is_full
    }

    /// Whether other sites' files go where this one's do.
    pub(super) fn set_shared(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
    }

    /// Files that are staged and being made durable.
    pub(super) fn committing(&self) -> usize {
        self.tickets.len()
    }

    /// How long commits have taken.
    pub(super) fn commits(&self) -> Commits {
        self.committer.commits()
    }

    /// What is committed and waits for its publication.
    pub(super) fn unpublished(&self) -> Waiting {
        self.committer.waiting()
    }

    /// What is here of a site, committed and not published yet or not taken by the data server.
    pub(super) fn here(&self, site: &str) -> Waiting {
        self.committer.in_spool(site).site
    }

    /// What is here of a site, which may be as much as is left free for the others; `None` where there are none.
    pub(super) fn share(&self, (key, name): (usize, &Arc<str>)) -> Option<SpoolShare> {
        if !self.is_shared {
            return None;
        }
        let pending = self.pending.get(&key).copied().unwrap_or_default();
        let InSpool { site, all } = self.committer.in_spool(name);
        let sum = |one: Waiting| Waiting { files: one.files + pending.files, bytes: one.bytes + pending.bytes };
        let taken = sum(all);
        let free = Waiting {
            files: self.max_spool.files.saturating_sub(taken.files),
            bytes: self.max_spool.bytes.saturating_sub(taken.bytes),
        };
        Some(SpoolShare { own: sum(site), free })
    }

    pub(super) fn publish(
        &mut self,
        site: (usize, &Arc<str>),
        commit: PendingCommit,
        staged: ClosedHashedTemp,
        order: Option<PublishOrder>,
    ) {
        let ticket = self.next;
        self.next += 1;
        let (name, fingerprint) = (commit.name().clone(), staged.fingerprint());
        let pending = self.pending.entry(site.0).or_default();
        pending.files += 1;
        pending.bytes += fingerprint.size;
        self.tickets.insert(ticket, Ticket { site: site.0, commit, fingerprint });
        self.committer.publish(Publication { ticket, site: Arc::clone(site.1), name, staged, chain: order });
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

    /// Whether nothing that is committed waits for its publication.
    pub(super) fn is_all_published(&self) -> bool {
        self.committer.is_all_published()
    }

    /// Whether what was handed over is still being worked on: see [`Committer::is_alive`](crate::store::Committer::is_alive).
    pub(super) fn is_alive(&self) -> bool {
        self.committer.is_alive()
    }

    /// What has been committed, or could not be, since the last call.
    pub(super) fn completions(&mut self) -> Vec<(Ticket, Completion)> {
        let Self { tickets, pending, .. } = self;
        let finish = |done: Completion| {
            let ticket = tickets.remove(&done.ticket)?;
            if let Some(pending) = pending.get_mut(&ticket.site) {
                pending.files -= 1;
                pending.bytes -= ticket.fingerprint.size;
            }
            Some((ticket, done))
        };
        self.committer.completions().into_iter().filter_map(finish).collect()
    }

    /// Brings everything handed over to its end. What is left for the next start to publish.
    pub(super) fn stop(self) -> Waiting {
        self.committer.stop()
    }
}

/// What may be left of `most` files for more to be fetched.
fn refill(most: usize) -> usize {
    usize::try_from(budget::refill_at(most as u64)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_fetched_when_a_tenth_is_published_of_a_small_bound_too() {
        for (most, left) in [(1, 0), (4, 3), (10, 9), (19, 17), (200_000, 180_000)] {
            assert_eq!(refill(most), left);
        }
    }

    #[test]
    fn a_site_has_its_share_with_as_much_as_is_free_and_until_it_has_a_tenth_less() {
        let share =
            |files, free| SpoolShare { own: Waiting { files, bytes: 0 }, free: Waiting { files: free, bytes: 1 } };
        assert!(!share(49, 51).is_reached(false) && share(50, 50).is_reached(false));
        assert!(share(49, 51).is_reached(true) && !share(45, 51).is_reached(true));
        assert!(
            !share(0, 1).is_reached(true) && share(1, 0).is_reached(true),
            "the smallest bound lets one in at a time"
        );
        assert!(share(0, 0).is_reached(false) && share(0, 0).is_reached(true), "the others have it all");
        let large = SpoolShare { own: Waiting { files: 1, bytes: 7 }, free: Waiting { files: 9, bytes: 7 } };
        assert!(large.is_reached(false));
    }
}
