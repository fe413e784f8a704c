//! Which of the names that a site lists a round asks for: judged one by one, as they come.

use super::SiteHistory;
use super::order::measured_at;
use super::queue::BYTES_PER_NAME;
use crate::budget::Share;

/// The most names that a round asks for.
pub(crate) const MAX_NAMES: usize = 200_000;

/// The names of a listing on its way that the round asks for, and how many it does not.
///
/// What is not to be asked for takes no memory, and none of the room for what is.
#[derive(Debug)]
pub struct Selection {
    pub(super) share: Share,
    pub(super) kept: usize,
    /// To be collected, and left for the next round.
    pub(super) left_out: usize,
    /// The first of those, which the last rounds did not get rid of.
    pub(super) passed_over: usize,
    pub(super) skipped: usize,
    /// Safe here, and not deleted by the site.
    pub(super) refused: usize,
    has_refused: bool,
    is_full: bool,
}

impl Selection {
    /// For the listing that begins; `share` is for the names.
    pub(crate) fn new(share: Share, history: &mut SiteHistory) -> Self {
        history.begin_listing();
        Self { share, kept: 0, left_out: 0, passed_over: 0, skipped: 0, refused: 0, has_refused: false, is_full: false }
    }

    /// How many names are listed that are to be collected.
    pub(super) fn listed(&self) -> usize {
        self.kept + self.left_out + self.skipped + self.refused
    }

    /// Takes note of the listed `name`; `is_collected`: it is to be collected from this site. Whether it is to be asked
    /// for.
    pub fn takes(&mut self, name: &[u8], is_collected: bool, history: &mut SiteHistory) -> bool {
        // What is not to be collected is there all the same, and would come again once it is.
        let is_held = history.saw(name);
        if !is_collected {
            return false;
        }
        if history.is_skipped(name) {
            self.skipped += 1;
            return false;
        }
        // Of a site that does not delete, one committed file is enough to see whether it does by now. A name that has no
        // time in it may stand for another file by now, whatever the site deletes.
        let is_refused = is_held && history.refuses_deletion() && measured_at(name).is_some();
        if is_refused && std::mem::replace(&mut self.has_refused, true) {
            self.refused += 1;
            return false;
        }
        if !is_refused && self.passed_over < history.to_pass_over() {
            self.passed_over += 1;
            self.left_out += 1;
            return false;
        }
        let cost = name.len() as u64 + BYTES_PER_NAME;
        self.is_full = self.is_full || self.kept == MAX_NAMES || !self.share.grow(cost);
        *(if self.is_full { &mut self.left_out } else { &mut self.kept }) += 1;
        !self.is_full
    }
}
