//! What must hold once nobody changes anything any more.

use std::collections::BTreeSet;

use super::super::{ConfigReport, ConfigStep, EndedEarly, Item, ItemKind, Mode, Owner, SiteStep};
use super::agent::{Collection, Since};
use super::directory::collections;
use super::place::{Course, Ended, Place};
use super::world::{FORGOTTEN, HALF, STUCK, WITHDRAWN, World};
use crate::proto::Md5Sum;

/// Rounds in which everything has its turn, and once more, where there were other things to do.
const ROUNDS: usize = 8;

/// Requests in which an agent comes to an end, whatever it was about.
const REQUESTS: usize = 20;

impl World {
    /// The console ends what it has begun, agents go on as ever, and all connections hold.
    pub(super) fn settle(&mut self) {
        self.console.mount();
        while self.console.step(&mut self.oracle).is_some() {}
        for place in 0..self.places.len() {
            self.cut(place);
        }
        for round in 0..2 * ROUNDS {
            for place in 0..self.places.len() {
                self.run_agents(place);
                let ended = self.whole_round(place, round >= ROUNDS);
                if round == ROUNDS {
                    self.assign_unclaimed(place, &ended.report);
                }
            }
        }
        for place in 0..self.places.len() {
            self.run_agents(place);
            let ended = self.whole_round(place, true);
            let Place { site, .. } = &self.places[place];
            if ended.report.ended.is_some() {
                let is_expected = match ended.report.ended {
                    Some(EndedEarly::NoFilters) => !site.has_filters,
                    _ => !site.may_overwrite,
                };
                assert!(is_expected, "{:?}", ended.report);
            } else {
                if site.may_overwrite {
                    self.check_same(place, &ended.report);
                    self.check_whole(place);
                }
                self.check_idle(place);
            }
        }
    }

    /// An operator gives the site what it lists and nobody owns.
    fn assign_unclaimed(&mut self, place: usize, report: &ConfigReport) {
        for (item, owner) in &report.foreign.first {
            if *owner == Owner::Nobody && self.owners.owner(item).is_none() {
                self.assign_item(place, item.clone());
            }
        }
    }

    fn run_agents(&mut self, place: usize) {
        let Place { site, agents, .. } = &mut self.places[place];
        for agent in agents {
            for _ in 0..REQUESTS {
                self.oracle.uploaded.extend(agent.step(site, false));
            }
            while !agent.is_idle() {
                self.oracle.uploaded.extend(agent.step(site, false));
            }
        }
    }

    /// `is_allowed`: an operator has allowed all deletions.
    fn whole_round(&mut self, place: usize, is_allowed: bool) -> Ended {
        self.begin_round(place, Mode::Apply, is_allowed);
        loop {
            if let Some(ended) = self.step_round(place, Course::Whole) {
                return ended;
            }
        }
    }

    /// The configurations that a site owns, and the collections that those ask for at the centre by the console's word.
    fn items(&self, place: usize) -> BTreeSet<Item> {
        let in_step = &self.places[place].in_step;
        let mut items: BTreeSet<Item> = in_step.owned().cloned().collect();
        let content = |item: &Item| {
            let content = self.console.directory.content(item)?;
            (!in_step.is_upload(item, Md5Sum::of(content).md5)).then_some(content)
        };
        let wanted: BTreeSet<Item> = items.iter().filter_map(content).flat_map(collections).collect();
        items.extend(wanted);
        items
    }

    /// The site has what the centre has, and its agents have it.
    fn check_same(&mut self, place: usize, report: &ConfigReport) {
        let mut exempt = Vec::new();
        let Place { site, agents, in_step, .. } = &self.places[place];
        let directory = &self.console.directory;
        let items = self.items(place);
        for item in &items {
            if let Some(content) = directory.current(item) {
                assert_eq!(site.pair(item), Some(content), "{item} is another one at site {place}");
            } else if item.kind() == ItemKind::Configuration {
                let is_reported = report.unfit.first.contains(item) || report.waiting.first.contains(item);
                assert!(is_reported, "{item} was not taken up");
            }
        }
        for agent in agents {
            if !in_step.owns(&agent.item) {
                let is_named = report.foreign.first.iter().any(|(item, _)| *item == agent.item);
                let is_half = report.waiting.first.contains(&agent.item) || report.unfit.first.contains(&agent.item);
                assert!(
                    is_named || is_half || site.md5(&agent.item).is_none(),
                    "{} is left alone in silence",
                    agent.item
                );
                continue;
            }
            if directory.look(&agent.item).is_none() {
                // It has sent the one file, then both were deleted, or the site emptied, then it has sent the other.
                assert!(report.waiting.first.contains(&agent.item), "the centre lacks {}", agent.item);
                exempt.push(STUCK);
            }
            if let Some(content) = directory.current(&agent.item) {
                assert_eq!(agent.configuration, content, "{} has another one", agent.item);
            }
            for item in collections(&agent.configuration) {
                if let (Some(_), Some(has)) = (directory.current(&item), agent.collections.get(&item)) {
                    exempt.extend(self.check_collection(place, &item, has, items.contains(&item)));
                }
            }
        }
        for what in exempt {
            self.tally.add(what, 1);
        }
    }

    /// Agents get no part of a collection, unless it was forgotten what the site had, or the centre's does not fit its MD5.
    fn check_whole(&self, place: usize) {
        let Place { site, forgotten, .. } = &self.places[place];
        let directory = &self.console.directory;
        for item in site.partial_collections() {
            let is_unfit = directory.look(&item).is_some() && directory.current(&item).is_none();
            assert!(forgotten.contains(&item) || is_unfit, "{item} is at site {place}, and not whole");
        }
    }

    /// An agent has the collection whole, unless it could not: why. `is_wanted`: an agent of the site is to have it.
    fn check_collection(&self, place: usize, item: &Item, has: &Collection, is_wanted: bool) -> Option<&'static str> {
        // An agent that takes a collection while it is replaced may have what is half there for the old one, to which the
        // centre must not go back.
        if Md5Sum::of(&has.content).md5 == has.md5 || self.goes_back {
            return None;
        }
        let Place { site, forgotten, .. } = &self.places[place];
        if has.since == Since::Emptied && !site.is_extended && self.oracle.is_half(item, has) {
            return Some(HALF);
        }
        assert!(!is_wanted, "{item} is wrong for good");
        // It asks for it by its own word alone.
        assert!(site.md5(item).is_none() || forgotten.contains(item), "{item} is wrong for good, and not to be had");
        Some(if site.md5(item).is_none() { WITHDRAWN } else { FORGOTTEN })
    }

    /// A round without anything to do has its price and no more, and all items have their turn.
    fn check_idle(&mut self, place: usize) {
        let mut compared = BTreeSet::new();
        let trusted = self.items(place).iter().filter(|item| self.console.directory.current(item).is_some()).count();
        for _ in 0..trusted.div_ceil(2) {
            let Ended { report, steps, policy } = self.whole_round(place, true);
            let turns = policy.rotation.min(trusted);
            assert_eq!((report.in_step, report.pushed.count, report.deleted.count), (trusted, 0, 0), "{report:?}");
            let waiting = 2 * report.waiting.count;
            let at_site = steps.iter().filter(|step| matches!(step, ConfigStep::Do(_))).count();
            assert!((1 + 2 * turns..=1 + 2 * turns + waiting).contains(&at_site), "{steps:?}");
            for step in steps {
                match step {
                    ConfigStep::Do(SiteStep::Compare { name })
                        if !report.waiting.first.iter().any(|item| item.content_name() == name) =>
                    {
                        compared.insert(name);
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(compared.len(), trusted, "not all had their turn: {compared:?}");
        self.tally.add("in step in the end", trusted);
    }
}
