//! What happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Allowance, ConfigReport, EndedEarly, Guard, Item, ItemKind, Mode, Owners, RoundPolicy};
use super::agent::Agent;
use super::console::Console;
use super::oracle::Oracle;
use super::place::{Course, Ended, Place};
use super::site::Site;
use crate::proto::Md5Sum;

/// Happenings until nobody changes anything any more.
const HAPPENINGS: usize = 500;

/// What comes about in one of some hundred lives: an agent's upload is half there, and its other half was deleted.
pub(super) const STUCK: &str = "stuck at a site";

/// What comes about in one of some thousand lives: a stock site was emptied between an agent's two requests for a collection, and
/// the agent has half of what came then.
pub(super) const HALF: &str = "half of a collection";

/// The same: the sending of a collection broke off, and it was forgotten what its site had. An agent has what there is of it.
pub(super) const FORGOTTEN: &str = "part of a forgotten collection";

/// The same: the sending of a collection broke off, and the site is not to have the one that the centre has by now. An agent has
/// what there was of it.
pub(super) const WITHDRAWN: &str = "part of a withdrawn collection";

/// What is rare.
const RARE: [&str; 4] = [STUCK, HALF, FORGOTTEN, WITHDRAWN];

/// Agents' names.
const NAMES: usize = 8;

/// Collections' names.
const COLLECTIONS: usize = 3;

/// The items that there may be.
pub(super) const ITEMS: usize = NAMES + COLLECTIONS;

/// All of it.
pub(super) struct World {
    pub(super) chance: fastrand::Rng,
    pub(super) console: Console,
    pub(super) places: Vec<Place>,
    pub(super) owners: Owners,
    pub(super) guard: Guard,
    pub(super) oracle: Oracle,
    /// Whether the centre may have what it had before.
    pub(super) goes_back: bool,
    versions: usize,
    pub(super) tally: Tally,
    /// All that has happened, if it is to be shown.
    pub(super) trace: Option<Vec<String>>,
}

/// How often things have come about.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<&'static str, usize>);

impl World {
    pub(super) fn new(seed: u64, is_traced: bool) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let (goes_back, knows_all_words) = (chance.bool(), chance.bool());
        let mut world = Self {
            chance,
            console: Console::default(),
            places: Vec::new(),
            owners: Owners::default(),
            guard: Guard::default(),
            oracle: Oracle { knows_all_words, ..Oracle::default() },
            goes_back,
            versions: 0,
            tally: Tally::default(),
            trace: is_traced.then(Vec::new),
        };
        for number in 0..world.chance.usize(1..=3) {
            let mut site = Site::new();
            site.has_filters = world.chance.u8(..10) > 0;
            site.may_overwrite = world.chance.u8(..10) > 0;
            site.is_extended = world.chance.bool();
            site.put("stray.md5", b"of nobody").unwrap();
            world.places.push(Place::new(&number.to_string(), site));
        }
        world
    }

    /// Lives it.
    pub(super) fn run(&mut self) -> Tally {
        for _ in 0..HAPPENINGS {
            self.happen();
        }
        self.settle();
        self.tally.add("restored", self.oracle.restored);
        for what in RARE {
            self.tally.add(what, 0);
        }
        std::mem::take(&mut self.tally)
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.chance.u32(..n) == 0
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    fn happen(&mut self) {
        let place = self.chance.usize(..self.places.len());
        match self.chance.u32(..100) {
            0..20 => self.console_steps(),
            20..50 => self.agent_steps(place),
            50..95 => self.round_steps(place),
            95 => self.empty_site(place),
            96 => self.restart(place),
            97 => self.cut(place),
            98 if self.one_in(3) => self.assign(place),
            98 if self.one_in(3) => self.confirm(),
            _ => self.come_or_go(place),
        }
    }

    fn console_steps(&mut self) {
        if !self.console.is_busy() {
            self.begin_at_console();
        }
        if let Some(change) = self.console.step(&mut self.oracle) {
            // It is out of sight once the directories are back.
            self.goes_back |= !self.console.is_mounted();
            self.tell(|| format!("console: {change:?}"));
        }
    }

    fn begin_at_console(&mut self) {
        let item = self.some_item();
        let content = self.some_content(&item);
        match self.chance.u32(..24) {
            0..14 => self.edit(&item, &content),
            14..18 => self.console.delete(&item),
            18..20 => {
                self.oracle.by_console.insert(Md5Sum::of(&content).md5);
                self.console.edit_content_alone(&item, &content);
            }
            20 if !self.oracle.knows_all_words => self.console.unmount(),
            _ => self.console.mount(),
        }
        if !self.console.is_mounted() {
            self.tell(|| "console: the directories are empty".to_owned());
        }
    }

    fn edit(&mut self, item: &Item, content: &[u8]) {
        self.oracle.by_console.insert(Md5Sum::of(content).md5);
        self.console.edit(item, content);
    }

    /// An operator says that a configuration is of an agent at this site.
    fn assign(&mut self, place: usize) {
        let item = self.some_item();
        if item.kind() == ItemKind::Configuration && self.console.directory.look(&item).is_some() {
            self.assign_item(place, item);
        }
    }

    /// The same, of this one. A round under way at either site ends.
    pub(super) fn assign_item(&mut self, place: usize, item: Item) {
        (0..self.places.len()).for_each(|place| self.cut(place));
        self.tell(|| format!("an operator gives {item} to site {place}"));
        let name = Arc::clone(&self.places[place].name);
        self.oracle.assigned.insert(item.clone());
        let before = self.owners.assign(item.clone(), &name);
        for other in self.places.iter_mut().filter(|other| Some(&other.name) == before.as_ref() && other.name != name) {
            other.in_step.remove(&item);
            other.saved = other.in_step.clone();
        }
        let Place { in_step, saved, .. } = &mut self.places[place];
        in_step.own(item);
        *saved = in_step.clone();
        self.tally.add("assigned", 1);
    }

    /// An operator says that what is missing was deleted.
    fn confirm(&mut self) {
        let centre = self.console.directory.scan();
        let confirmed = self.guard.confirm(&centre, self.places.iter().map(|place| &place.in_step));
        self.tell(|| format!("an operator confirms {confirmed:?}"));
        self.tally.add("confirmed", confirmed.len());
    }

    fn some_item(&mut self) -> Item {
        let number = self.chance.usize(..NAMES);
        if self.one_in(4) {
            Item::collection(&format!("fc_{}", number % COLLECTIONS)).unwrap()
        } else {
            Item::configuration(format!("{number:032x}.conf").as_bytes()).unwrap()
        }
    }

    /// A new one, or one that was there before.
    fn some_content(&mut self, item: &Item) -> Vec<u8> {
        let before: Vec<_> = self.oracle.at_centre.get(item).into_iter().flatten().cloned().collect();
        if self.goes_back && self.one_in(2) && !before.is_empty() {
            return before[self.chance.usize(..before.len())].clone();
        }
        self.versions += 1;
        let collections =
            (0..COLLECTIONS).filter(|_| self.chance.bool()).map(|number| format!("file_collection fc_{number}\n"));
        format!("{item} {}\n{}", self.versions, collections.collect::<String>()).into_bytes()
    }

    fn agent_steps(&mut self, place: usize) {
        let Place { site, agents, .. } = &mut self.places[place];
        if agents.is_empty() {
            return;
        }
        let agent = self.chance.usize(..agents.len());
        let fails = self.chance.u32(..8) == 0;
        self.oracle.uploaded.extend(agents[agent].step(site, fails));
        if let Some(trace) = &mut self.trace {
            trace.push(format!("site {place}: {:?}, fails {fails}", agents[agent]));
        }
    }

    fn come_or_go(&mut self, place: usize) {
        let (item, agents) = (self.some_item(), self.places[place].agents.len());
        if agents > 0 && self.one_in(3) {
            let agent = self.chance.usize(..agents);
            self.places[place].agents.swap_remove(agent);
        } else if Item::configuration(item.md5_name().as_bytes()).is_some() {
            let content = self.some_content(&item);
            self.tell(|| format!("site {place}: an agent comes, {item}"));
            self.places[place].agents.push(Agent::new(item, content));
        }
    }

    fn round_steps(&mut self, place: usize) {
        if self.places[place].active.is_none() {
            let mode = if self.one_in(10) { Mode::DryRun } else { Mode::Apply };
            self.begin_round(place, mode, false);
        }
        for _ in 0..self.chance.usize(1..6) {
            if let Some(item) = self.places[place].deletes()
                && self.one_in(3)
            {
                self.upload_amid_deletion(place, item);
            }
            let course = match self.chance.u32(..40) {
                0 => Course::Unseen,
                1 => Course::Untrue,
                2..10 => Course::Half,
                _ => Course::Whole,
            };
            if self.step_round(place, course).is_some() {
                return;
            }
        }
    }

    /// An agent sends a configuration of the size of the one that is about to be deleted.
    fn upload_amid_deletion(&mut self, place: usize, item: Item) {
        let new = self.some_content(&item);
        let is_half = self.chance.bool();
        let Place { site, agents, .. } = &mut self.places[place];
        let mut content = site.content(&item).map_or(new, <[u8]>::to_vec);
        content[0] = content[0].wrapping_add(1);
        agents.retain(|agent| agent.item != item);
        let (agent, uploaded) = Agent::reinstalled(item, content, site, is_half);
        agents.push(agent);
        self.oracle.uploaded.extend(uploaded);
        self.tell(|| format!("site {place}: an agent sends anew what is about to be deleted, half of it: {is_half}"));
    }

    /// `is_allowed`: an operator has allowed all deletions.
    pub(super) fn begin_round(&mut self, place: usize, mode: Mode, is_allowed: bool) {
        let centre = Arc::new(self.console.directory.scan());
        let in_step = self.places.iter().map(|place| &place.in_step);
        if is_allowed {
            self.guard.confirm(&centre, in_step.clone());
        }
        let deletions = self.guard.judge(&centre, in_step);
        let policy = RoundPolicy { rotation: 2, deletions, allowance: Allowance::ALL, named: 100, mode };
        self.tell(|| format!("site {place}: a round begins, {policy:?}"));
        let width = if self.places[place].site.is_extended { self.chance.usize(1..8) } else { 1 };
        self.places[place].begin(centre, self.console.directories, policy, width);
    }

    pub(super) fn step_round(&mut self, place: usize, course: Course) -> Option<Ended> {
        let Self { places, chance, console, owners, oracle, .. } = self;
        let ended = places[place].step(course, chance, console, owners, oracle);
        let step = self.places[place].active.as_ref().map(|active| active.steps.last().cloned());
        self.tell(|| format!("site {place}: {step:?} {course:?}"));
        let ended = ended?;
        if ended.policy.mode == Mode::DryRun {
            self.tally.add("dry runs", 1);
        } else {
            self.tally.count(&ended.report);
        }
        self.tell(|| format!("site {place}: {:?}", ended.report));
        Some(ended)
    }

    /// The connection dies.
    pub(super) fn cut(&mut self, place: usize) {
        let ended = self.places[place].end(&mut self.owners, &self.oracle);
        self.tally.add("cut", usize::from(ended.is_some()));
        self.tell(|| format!("site {place}: the connection dies"));
    }

    /// The collector is killed, perhaps loses what it knew of one site, and starts anew.
    fn restart(&mut self, place: usize) {
        let is_state_lost = self.chance.bool();
        self.tell(|| format!("the collector starts anew, the state of site {place} lost: {is_state_lost}"));
        self.owners = Owners::default();
        for (number, other) in self.places.iter_mut().enumerate() {
            other.restart(is_state_lost && number == place, &mut self.oracle);
            self.owners.adopt(&other.name, &mut other.in_step);
        }
    }

    /// The site's buffer is emptied.
    fn empty_site(&mut self, place: usize) {
        self.tell(|| format!("site {place}: emptied"));
        let Place { site, agents, .. } = &mut self.places[place];
        site.files.clear();
        agents.iter_mut().for_each(Agent::site_emptied);
    }
}

impl Tally {
    fn count(&mut self, report: &ConfigReport) {
        self.add("rounds", 1);
        for (what, count) in [
            ("pushed", report.pushed.count),
            ("taken up", report.taken_up.count),
            ("deleted", report.deleted.count),
            ("withheld", report.withheld.count),
            ("unfit", report.unfit.count),
            ("waiting", report.waiting.count),
            ("unpublished", report.unpublished.count),
            ("foreign", report.foreign.count),
            ("left", report.left),
            ("without filters", usize::from(report.ended == Some(EndedEarly::NoFilters))),
            ("without overwriting", usize::from(report.ended == Some(EndedEarly::NoOverwrite))),
        ] {
            self.add(what, count);
        }
    }

    pub(super) fn add(&mut self, what: &'static str, count: usize) {
        *self.0.entry(what).or_default() += count;
    }

    pub(super) fn add_all(&mut self, other: Self) {
        other.0.into_iter().for_each(|(what, count)| self.add(what, count));
    }

    /// Whether all of it has come about, but for what is rare.
    pub(super) fn is_full(&self) -> bool {
        self.0.iter().all(|(what, count)| *count > 0 || RARE.contains(what))
    }
}
