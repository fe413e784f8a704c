//! In what a site's items differ from the centre's: nothing is changed, and what the site has of them is fetched.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use super::md5_file::parse_md5;
use super::report::EndedEarly;
use super::round::{Allowance, ConfigRound, Mode, RoundPolicy};
use super::step::{ConfigStep, SiteStep, StepId, StepOutcome, Steps};
use super::{Centre, InStep, Item, ItemKind};
use crate::proto::Md5Sum;

/// Files that are asked for before the first of them has come, at most.
const MOST_UNDER_WAY: usize = 32;

/// What a site has of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtSite {
    /// Which.
    pub item: Item,
    /// A configuration's content; of a collection nothing. `None` where there is none, or it is empty or too large.
    pub content: Option<Arc<[u8]>>,
    /// The content's fingerprint.
    pub fingerprint: Option<Md5Sum>,
    /// What the `.md5` file says the content's MD5 is.
    pub md5: Option<[u8; 16]>,
}

/// What is asked of one site.
#[derive(Debug)]
pub struct Comparison {
    state: State,
    ended: Option<EndedEarly>,
}

#[derive(Debug)]
enum State {
    /// Which items differ?
    Comparing(Box<ConfigRound>),
    /// What does the site have of these?
    Fetching(Fetching),
}

/// Of each item two files, the content first.
#[derive(Debug, Default)]
struct Fetching {
    found: Vec<AtSite>,
    /// Files that are to be asked for, by their place: that of the item, and which of its two.
    left: BTreeSet<usize>,
    under_way: BTreeSet<usize>,
}

impl Comparison {
    /// All items that a round would look at, each of which is compared. Those that are the same on both sides are left out.
    pub fn of_all(centre: Arc<Centre>, in_step: InStep) -> Self {
        let (deletions, allowance) = (Ok(()), Allowance::ALL);
        let policy = RoundPolicy { rotation: usize::MAX, deletions, allowance, named: usize::MAX, mode: Mode::DryRun };
        Self { state: State::Comparing(Box::new(ConfigRound::new(centre, in_step, policy))), ended: None }
    }

    /// This one, whether it differs or not.
    pub fn of(item: Item) -> Self {
        Self { state: State::Fetching(Fetching::new([item])), ended: None }
    }

    /// What was found, in the items' order; why not, where the site cannot be compared.
    ///
    /// # Errors
    /// What its server lacks.
    pub fn finished(self) -> Result<Vec<AtSite>, EndedEarly> {
        let found = match self.state {
            State::Comparing(_) => Vec::new(),
            State::Fetching(fetching) => fetching.found,
        };
        self.ended.map_or(Ok(found), Err)
    }
}

impl Steps for Comparison {
    fn begin(&mut self) -> Option<(StepId, ConfigStep)> {
        match &mut self.state {
            State::Comparing(round) => round.begin(),
            State::Fetching(fetching) => fetching.begin().map(|(id, step)| (id, ConfigStep::Do(step))),
        }
    }

    fn after(&mut self, step: StepId, outcome: StepOutcome) {
        match &mut self.state {
            State::Comparing(round) => {
                round.after(step, outcome);
                if round.is_finished() {
                    let differs = State::Fetching(Fetching::default());
                    if let State::Comparing(round) = mem::replace(&mut self.state, differs) {
                        let (_, report) = round.finished();
                        let items: BTreeSet<&Item> = report.items().collect();
                        self.state = State::Fetching(Fetching::new(items.into_iter().cloned()));
                        self.ended = report.ended;
                    }
                }
            }
            State::Fetching(fetching) => fetching.after(step, outcome),
        }
    }

    fn interrupted(&mut self) {
        match &mut self.state {
            State::Comparing(round) => round.interrupted(),
            State::Fetching(Fetching { left, under_way, .. }) => left.append(under_way),
        }
    }

    fn is_finished(&self) -> bool {
        matches!(&self.state, State::Fetching(Fetching { left, under_way, .. }) if left.is_empty() && under_way.is_empty())
    }
}

impl Fetching {
    fn new(items: impl IntoIterator<Item = Item>) -> Self {
        let found: Vec<_> = items.into_iter().map(AtSite::unseen).collect();
        Self { left: (0..2 * found.len()).collect(), found, under_way: BTreeSet::new() }
    }

    fn begin(&mut self) -> Option<(StepId, SiteStep)> {
        let next = self.left.first().copied().filter(|_| self.under_way.len() < MOST_UNDER_WAY)?;
        self.left.remove(&next);
        self.under_way.insert(next);
        let item = &self.found.get(next / 2)?.item;
        let step = match item.kind() {
            _ if next % 2 == 1 => SiteStep::Fetch { name: item.md5_name() },
            ItemKind::Configuration => SiteStep::Fetch { name: item.content_name() },
            ItemKind::Collection => SiteStep::Compare { name: item.content_name() },
        };
        Some((StepId(next as u64), step))
    }

    fn after(&mut self, StepId(id): StepId, outcome: StepOutcome) {
        let place = usize::try_from(id).ok().filter(|place| self.under_way.remove(place));
        let Some((place, found)) = place.and_then(|place| Some((place, self.found.get_mut(place / 2)?))) else {
            return;
        };
        match outcome {
            StepOutcome::Fetched(file) if place % 2 == 1 => found.md5 = file.and_then(|file| parse_md5(&file)),
            StepOutcome::Fetched(content) => {
                found.fingerprint = content.as_deref().map(Md5Sum::of);
                found.content = content;
            }
            StepOutcome::Compared(sums) => found.fingerprint = sums.map(|sums| sums.md5),
            _ => {}
        }
    }
}

impl AtSite {
    fn unseen(item: Item) -> Self {
        Self { item, content: None, fingerprint: None, md5: None }
    }
}

#[cfg(test)]
#[path = "comparison_tests.rs"]
mod tests;
