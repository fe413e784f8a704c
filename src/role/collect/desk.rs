//! Where staged files are handed over to be made durable, and where the answers find their file again.

use std::collections::HashMap;
use std::sync::Arc;

use super::outside::Publisher;
use crate::proto::{FileName, Fingerprint};
use crate::store::{Chain, Completion, Publication, Spool, Staged};

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
    tickets: HashMap<u64, Ticket>,
    next: u64,
}

impl Desk {
    pub(super) fn new(committer: Box<dyn Publisher>) -> Self {
        Self { committer, tickets: HashMap::new(), next: 0 }
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

    /// The site has what was published into `spool` before, although it had been forgotten.
    pub(super) fn hold(&mut self, spool: &Spool, site: &Arc<str>, name: FileName, fingerprint: Fingerprint) {
        self.committer.hold(spool, Arc::clone(site), name, fingerprint);
    }

    /// What has been committed, or could not be, since the last call.
    pub(super) fn completions(&mut self) -> Vec<(Ticket, Completion)> {
        let tickets = &mut self.tickets;
        let completions = self.committer.completions().into_iter();
        completions.filter_map(|done| tickets.remove(&done.ticket).map(|ticket| (ticket, done))).collect()
    }

    /// Brings everything handed over to its end.
    pub(super) fn stop(self) {
        self.committer.stop();
    }
}
