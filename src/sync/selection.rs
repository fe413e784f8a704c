//! Which of the names that a site lists a round asks for: judged one by one, as they come.

use std::time::Duration;

use super::SiteHistory;
use super::order::{Class, Rank, measured_at};
use super::queue::BYTES_PER_NAME;
use super::waiting::{AgeSource, Details, WaitingFiles};
use crate::budget::Share;
use crate::proto::{FileName, Names};

/// The most names that a round asks for.
pub(crate) const MAX_NAMES: usize = 200_000;

/// The names of a listing on its way that the round asks for, and how many it does not.
///
/// What is not to be asked for takes no memory, and none of the room for what is. Where there is no room for all, those
/// that are committed and to be deleted are kept, which makes room, and of the others the oldest: one agent's files come in
/// their order, whatever room the other sites leave.
#[derive(Debug)]
pub struct Selection {
    pub(super) share: Share,
    pub(super) names: Names,
    /// The rank and the place of each of those.
    pub(super) ranks: Vec<(Rank, usize)>,
    /// From here on, names are left out.
    pub(super) end: Option<Rank>,
    /// To be collected, and left for the next round.
    pub(super) left_out: usize,
    pub(super) skipped: usize,
    /// Safe here, and not deleted by the site.
    pub(super) refused: usize,
    has_refused: bool,
    /// To be collected, and not known to be safe here.
    waiting: WaitingFiles,
}

impl Selection {
    /// For the listing that begins; `share` is for the names.
    pub(crate) fn new(share: Share, history: &mut SiteHistory) -> Self {
        history.begin_listing();
        Self {
            share,
            names: Names::default(),
            ranks: Vec::new(),
            end: None,
            left_out: 0,
            skipped: 0,
            refused: 0,
            has_refused: false,
            waiting: WaitingFiles::default(),
        }
    }

    /// The same, of a listing that comes at `date`, since 1970, and has times from there.
    #[must_use]
    pub(crate) fn with_ages(self, source: AgeSource, date: Duration) -> Self {
        Self { waiting: WaitingFiles::new(source, date), ..self }
    }

    /// What waits at the site to be collected.
    pub(crate) fn waiting(&self) -> WaitingFiles {
        self.waiting
    }

    /// How many names are listed that are to be collected.
    pub(super) fn listed(&self) -> usize {
        self.ranks.len() + self.left_out + self.skipped + self.refused
    }

    /// How many of them are for this round or the next.
    pub(super) fn wanted(&self) -> usize {
        self.ranks.len() + self.left_out
    }

    /// Takes note of the listed `name`; `is_collected`: it is to be collected from this site.
    pub fn judge(&mut self, name: &[u8], is_collected: bool, history: &mut SiteHistory) {
        self.judge_with(name, None, is_collected, history);
    }

    /// The same, with what else the listing has of the file, if anything.
    pub fn judge_with(&mut self, name: &[u8], details: Option<Details>, is_collected: bool, history: &mut SiteHistory) {
        // What is not to be collected is there all the same, and would come again once it is.
        let is_held = history.saw(name);
        if !is_collected {
            return;
        }
        if history.is_skipped(name) {
            self.skipped += 1;
            return;
        }
        // Of a site that does not delete, one committed file is enough to see whether it does by now. A name that has no
        // time in it may stand for another file by now, whatever the site deletes.
        let is_refused = is_held && history.refuses_deletion() && measured_at(name).is_some();
        if is_refused && std::mem::replace(&mut self.has_refused, true) {
            self.refused += 1;
            return;
        }
        let is_to_go = is_held && !history.refuses_deletion();
        let rank = if is_to_go { Rank::new(Class::Committed, name, history.hash(name)) } else { rank(name, history) };
        if !is_held {
            let time = details.map_or_else(|| measured_at(name), |details| Some(details.written));
            self.waiting.add(time, details.map(|details| details.size));
        }
        if !is_refused && !is_to_go && history.start().is_some_and(|start| rank < start) {
            self.left_out += 1;
        } else {
            self.keep(name, rank);
        }
    }

    fn keep(&mut self, name: &[u8], rank: Rank) {
        let is_kept = self.has_room(name, rank) || {
            self.leave_out_half(rank);
            self.has_room(name, rank)
        };
        match FileName::new(name) {
            Ok(name) if is_kept => {
                let place = self.names.push(&name);
                self.ranks.push((rank, place));
            }
            _ => self.left_out += 1,
        }
    }

    /// Whether there is room for `name`, which is then its.
    fn has_room(&mut self, name: &[u8], rank: Rank) -> bool {
        self.end.is_none_or(|end| rank < end) && self.ranks.len() < MAX_NAMES && self.share.grow(cost(name))
    }

    /// Leaves out the newer half of what is kept, unless `rank` is out anyway.
    fn leave_out_half(&mut self, rank: Rank) {
        if self.end.is_some_and(|end| rank >= end) {
            return;
        }
        let middle = self.ranks.len() / 2;
        if middle == 0 && self.ranks.first().is_none_or(|(only, _)| rank >= *only) {
            self.end = Some(rank);
            return;
        }
        let (_, &mut (end, _), _) = self.ranks.select_nth_unstable(middle);
        self.end = Some(end);
        self.left_out += self.ranks.len() - middle;
        self.ranks.truncate(middle);
        // As they were listed.
        self.ranks.sort_unstable_by_key(|(_, place)| *place);
        let (before, mut held) = (std::mem::take(&mut self.names), 0);
        for (_, place) in &mut self.ranks {
            if let Some(name) = before.name(*place) {
                held += cost(name.as_bytes());
                *place = self.names.push(&name);
            }
        }
        self.share.shrink(self.share.amount() - held);
    }
}

pub(super) fn rank(name: &[u8], history: &SiteHistory) -> Rank {
    Rank::new(Class::Other, name, history.hash(name))
}

fn cost(name: &[u8]) -> u64 {
    name.len() as u64 + BYTES_PER_NAME
}
