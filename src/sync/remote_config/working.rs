//! What a round does about several items at once: of each, one step at most is under way.
//!
//! ```text
//! agenda ──► at_site ──► under_way ──┬──► at_site, at_centre …, or nothing more
//!       └──► at_centre ──► asked ────┘
//! ```

use std::collections::BTreeMap;

use super::Item;
use super::agenda::{Agenda, Part};
use super::step::{ConfigStep, StepId};
use super::task::Task;

/// Items that something is done about at once, at most.
const MOST_ACTIVE: usize = 1_024;

/// No content is read or fetched while so many bytes of others are held, or on their way. One of them may be larger.
const MOST_HELD: u64 = 4 << 20;

/// What a content that is on its way counts as, in bytes: far more than most have, and less than they may.
const ON_ITS_WAY: u64 = 64 << 10;

/// An item that something is done about.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) item: Item,
    pub(super) task: Task,
    pub(super) part: Part,
}

/// What is done and what is to be done. An item has the same number from its first step to its last: the older go first.
#[derive(Debug, Default)]
pub(super) struct Working {
    pub(super) agenda: Agenda,
    /// Whose next step is to be begun at the site.
    at_site: BTreeMap<StepId, Active>,
    /// Whose next step is to be begun at the centre.
    at_centre: BTreeMap<StepId, Active>,
    /// At the site.
    under_way: BTreeMap<StepId, Active>,
    /// At the centre.
    asked: Option<(StepId, Active)>,
    last_id: u64,
}

impl Working {
    pub(super) fn new(agenda: Agenda) -> Self {
        Self { agenda, ..Self::default() }
    }

    /// How many items something is done about.
    pub(super) fn active(&self) -> usize {
        self.at_site.len() + self.at_centre.len() + self.under_way.len() + usize::from(self.asked.is_some())
    }

    /// Whether something may be done about one more.
    pub(super) fn has_place(&self) -> bool {
        self.active() < MOST_ACTIVE
    }

    /// Begins the next step of the oldest item that can go on.
    pub(super) fn begin(&mut self) -> Option<(StepId, ConfigStep)> {
        let at_site = self.first(&self.at_site);
        let at_centre = if self.asked.is_none() { self.first(&self.at_centre) } else { None };
        let id = at_site.into_iter().chain(at_centre).min()?;
        let step;
        if let Some(active) = self.at_site.remove(&id) {
            step = active.task.step(&active.item);
            self.under_way.insert(id, active);
        } else {
            let active = self.at_centre.remove(&id)?;
            step = active.task.step(&active.item);
            self.asked = Some((id, active));
        }
        Some((id, step))
    }

    /// The oldest of these that can go on.
    fn first(&self, ready: &BTreeMap<StepId, Active>) -> Option<StepId> {
        let (first, active) = ready.first_key_value()?;
        if !active.task.brings_content() || self.held() < MOST_HELD {
            return Some(*first);
        }
        ready.iter().find(|(_, active)| !active.task.brings_content()).map(|(id, _)| *id)
    }

    /// Bytes of contents that are held or on their way.
    fn held(&self) -> u64 {
        let held = |active: &Active| active.task.held();
        let waiting = self.at_site.values().chain(self.at_centre.values()).map(held).sum::<u64>();
        let under_way = self.under_way.values().chain(self.asked.iter().map(|(_, active)| active));
        let on_its_way = |active: &Active| if active.task.brings_content() { ON_ITS_WAY } else { held(active) };
        waiting + under_way.map(on_its_way).sum::<u64>()
    }

    /// Something is to be done about another item.
    pub(super) fn push(&mut self, item: Item, task: Task, part: Part) {
        self.last_id += 1;
        self.put(StepId(self.last_id), Active { item, task, part });
    }

    /// There is a next step.
    pub(super) fn put(&mut self, id: StepId, active: Active) {
        let ready = match active.task.step(&active.item) {
            ConfigStep::Do(_) => &mut self.at_site,
            ConfigStep::Ask(_) => &mut self.at_centre,
        };
        ready.insert(id, active);
    }

    /// The step is over: takes its item out.
    pub(super) fn take(&mut self, id: StepId) -> Option<Active> {
        self.under_way.remove(&id).or_else(|| self.asked.take_if(|(asked, _)| *asked == id).map(|(_, active)| active))
    }

    /// What was under way at the site is to be begun anew.
    pub(super) fn interrupted(&mut self) {
        self.at_site.append(&mut self.under_way);
    }

    /// Nothing more is begun: how many items that leaves.
    pub(super) fn end(&mut self) -> usize {
        let left = self.agenda.len() + self.at_site.len() + self.at_centre.len();
        self.agenda.clear();
        self.at_site.clear();
        self.at_centre.clear();
        left
    }

    /// The item of this part after which the next round goes on: the oldest that something is done about, as a connection that
    /// ends may have ended over that one; else the last one that was begun.
    pub(super) fn last(&self, part: Part) -> Option<&Item> {
        let oldest =
            |active: &'_ BTreeMap<StepId, Active>| active.iter().find(|(_, one)| one.part == part).map(|(id, _)| *id);
        let maps = [&self.at_site, &self.at_centre, &self.under_way];
        let asked = self.asked.as_ref().filter(|(_, active)| active.part == part);
        let oldest = maps.into_iter().filter_map(oldest).chain(asked.map(|(id, _)| *id)).min();
        match oldest {
            None => self.agenda.last(part),
            Some(id) => {
                let active = maps.into_iter().find_map(|map| map.get(&id));
                active.or(asked.map(|(_, active)| active)).map(|active| &active.item)
            }
        }
    }
}
