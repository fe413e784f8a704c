//! In what a site's items differ from the centre's: nothing is changed, and what the site has of them is fetched.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use super::md5_file::parse_md5;
use super::report::EndedEarly;
use super::round::{Allowance, ConfigRound, Mode, RoundPolicy};
use super::step::{ConfigStep, SiteStep, StepOutcome, Steps};
use super::{Centre, InStep, Item, ItemKind};
use crate::proto::Md5Sum;

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
    found: Vec<AtSite>,
    ended: Option<EndedEarly>,
}

#[derive(Debug)]
enum State {
    /// Which items differ?
    Comparing(Box<ConfigRound>),
    /// What does the site have of this one?
    Fetching(Fetching, VecDeque<Item>),
    Finished,
}

#[derive(Debug)]
enum Fetching {
    Content(Item),
    Md5(AtSite),
}

impl Comparison {
    /// All items that a round would look at, each of which is compared. Those that are the same on both sides are left out.
    pub fn of_all(centre: Arc<Centre>, in_step: InStep) -> Self {
        let (deletions, allowance) = (Ok(()), Allowance::ALL);
        let policy = RoundPolicy { rotation: usize::MAX, deletions, allowance, named: usize::MAX, mode: Mode::DryRun };
        let state = State::Comparing(Box::new(ConfigRound::new(centre, in_step, policy)));
        Self { state, found: Vec::new(), ended: None }
    }

    /// This one, whether it differs or not.
    pub fn of(item: Item) -> Self {
        Self { state: State::fetching([item].into()), found: Vec::new(), ended: None }
    }

    /// What was found, in the items' order; why not, where the site cannot be compared.
    ///
    /// # Errors
    /// What its server lacks.
    pub fn finished(self) -> Result<Vec<AtSite>, EndedEarly> {
        self.ended.map_or(Ok(self.found), Err)
    }
}

impl State {
    fn fetching(mut items: VecDeque<Item>) -> Self {
        match items.pop_front() {
            Some(item) => Self::Fetching(Fetching::Content(item), items),
            None => Self::Finished,
        }
    }
}

impl Steps for Comparison {
    fn next_step(&self) -> ConfigStep {
        match &self.state {
            State::Comparing(round) => round.next_step(),
            State::Fetching(fetching, _) => ConfigStep::Do(fetching.step()),
            State::Finished => ConfigStep::Finished,
        }
    }

    fn after(&mut self, outcome: StepOutcome) {
        self.state = match mem::replace(&mut self.state, State::Finished) {
            State::Comparing(mut round) => {
                round.after(outcome);
                if round.next_step() == ConfigStep::Finished {
                    let (_, report) = round.finished();
                    let items: BTreeSet<&Item> = report.items().collect();
                    let items = items.into_iter().cloned().collect();
                    self.ended = report.ended;
                    State::fetching(items)
                } else {
                    State::Comparing(round)
                }
            }
            State::Fetching(Fetching::Content(item), rest) => {
                State::Fetching(Fetching::Md5(AtSite::with(item, outcome)), rest)
            }
            State::Fetching(Fetching::Md5(mut found), rest) => {
                if let StepOutcome::Fetched(Some(file)) = outcome {
                    found.md5 = parse_md5(&file);
                }
                self.found.push(found);
                State::fetching(rest)
            }
            State::Finished => State::Finished,
        };
    }
}

impl Fetching {
    fn step(&self) -> SiteStep {
        match self {
            Self::Content(item) => match item.kind() {
                ItemKind::Configuration => SiteStep::Fetch { name: item.content_name() },
                ItemKind::Collection => SiteStep::Compare { name: item.content_name() },
            },
            Self::Md5(found) => SiteStep::Fetch { name: found.item.md5_name() },
        }
    }
}

impl AtSite {
    fn with(item: Item, outcome: StepOutcome) -> Self {
        let (content, fingerprint) = match outcome {
            StepOutcome::Fetched(Some(content)) => {
                let fingerprint = Md5Sum::of(&content);
                (Some(content), Some(fingerprint))
            }
            StepOutcome::Compared(fingerprint) => (None, fingerprint),
            _ => (None, None),
        };
        Self { item, content, fingerprint, md5: None }
    }
}

#[cfg(test)]
#[path = "comparison_tests.rs"]
mod tests;
