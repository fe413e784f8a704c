//! The operator's word on agents' configuration: whose an item is, and whether what is missing was deleted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Collector;
use super::configuring::in_step_of;
use crate::collector::configuring::ConfigEnd;
use crate::collector::site::Site;
use crate::store::SeenCentre;
use crate::sync::remote_config::{Centre, InStep, Item};

/// Which items are to belong to a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAssign {
    /// All that the site listed in its last round and that belong to no site: what its report calls unclaimed.
    Unclaimed,
    /// Configurations that the centre has or a site owns, each by its key (32 hexadecimal digits, perhaps with `.srv`) or by
    /// its agent's name.
    Named(Vec<String>),
}

/// What has come of [`Collector::assign`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// There is no site of this name that is collected from.
    UnknownSite,
    /// The site has `remote_config = false`.
    NotConfigured,
    /// It is not known yet what sites own, or what is in the centre's directories; or they cannot be looked at.
    NotKnownYet,
    /// Done, and being saved.
    Done {
        /// What belongs to the site from now on, and did not before, with the site that it belonged to.
        assigned: Vec<(Item, Option<Arc<str>>)>,
        /// How many of those that were named belong to the site already.
        unchanged: usize,
        /// Those that were named and of which there is no configuration.
        unknown: Vec<String>,
    },
}

/// The deletions that [`Collector::confirm_deletions`] has let through in one incoming directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmedDeletions {
    /// The incoming directory.
    pub incoming: PathBuf,
    /// What is missing there now, and is deleted at the sites that have it as it was.
    pub items: Vec<Item>,
}

impl Collector {
    /// Has items belong to the site of this name, whatever site they belonged to, from now on and across restarts. What the
    /// centre has goes to the site, whatever the site has.
    pub fn assign(&mut self, site: &str, items: &ToAssign) -> Assigned {
        let key =
            (0..self.sites.len()).find(|key| self.sites[*key].as_ref().is_some_and(|other| **other.name() == *site));
        let Some(key) = key else { return Assigned::UnknownSite };
        let Some(Site { spool, configuration: Some(config), .. }) = &self.sites[key] else {
            return Assigned::NotConfigured;
        };
        let incoming = spool.incoming().to_owned();
        let seen = self.centres.seen(&incoming).filter(|_| self.centres.is_loaded(&incoming));
        let (Some(SeenCentre { centre, .. }), Some(in_step)) = (seen, config.in_step()) else {
            return Assigned::NotKnownYet;
        };
        let (items, unknown) = match items {
            ToAssign::Unclaimed => {
                let unclaimed = in_step.unclaimed().filter(|item| self.centres.owner(&incoming, item).is_none());
                (unclaimed.cloned().collect(), Vec::new())
            }
            ToAssign::Named(names) => self.named_items(names, &incoming, &centre),
        };
        let (name, named) = (Arc::from(site), items.len());
        let is_others = |item: &Item| self.centres.owner(&incoming, item) != Some(&name);
        let items: Vec<Item> = items.into_iter().filter(is_others).collect();
        let unchanged = named - items.len();
        if !items.is_empty() {
            // What is under way was begun with other owners.
            self.end_configuration(key, &ConfigEnd::BrokenOff);
        }
        let assigned = items.into_iter().map(|item| self.assign_item(key, &name, &incoming, item)).collect();
        Assigned::Done { unchanged, assigned, unknown }
    }

    /// The configurations that are meant, and the names of which there is none, here or at any site.
    fn named_items(&self, names: &[String], incoming: &Path, centre: &Centre) -> (BTreeSet<Item>, Vec<String>) {
        let (mut items, mut unknown) = (BTreeSet::new(), Vec::new());
        for name in names {
            let item = Item::named(name);
            if centre.items.contains_key(&item) || self.centres.owner(incoming, &item).is_some() {
                items.insert(item);
            } else {
                unknown.push(name.clone());
            }
        }
        (items, unknown)
    }

    /// The item, and the site that owned it.
    fn assign_item(&mut self, key: usize, name: &Arc<str>, incoming: &Path, item: Item) -> (Item, Option<Arc<str>>) {
        let before = self.centres.assign(incoming, name, item.clone());
        let is_before = |site: &Option<Site>| site.as_ref().is_some_and(|site| Some(site.name()) == before.as_ref());
        if let Some(other) = self.sites.iter().position(is_before) {
            self.end_configuration(other, &ConfigEnd::BrokenOff);
            if let Some(in_step) = self.waiting_in_step(other) {
                in_step.remove(&item);
            }
            self.save_ownership(other);
        }
        if let Some(in_step) = self.waiting_in_step(key) {
            in_step.own(item.clone());
        }
        self.save_ownership(key);
        (item, before)
    }

    fn waiting_in_step(&mut self, key: usize) -> Option<&mut InStep> {
        self.sites[key].as_mut()?.configuration.as_mut()?.waiting_in_step()
    }

    /// Has it saved what a site owns; its next configuration round begins at once.
    fn save_ownership(&mut self, key: usize) {
        let now = self.net.now();
        let Some(Site { spool, configuration: Some(config), .. }) = &mut self.sites[key] else { return };
        if let Some(in_step) = config.in_step() {
            self.centres.save(spool.incoming(), &config.file, in_step.clone());
        }
        config.hurry(now);
        if self.schedule.failures(key) == 0 {
            self.schedule.hurry(key, now);
        }
    }

    /// Lets the deletions through that are held back because so much is missing at the centre: those of what is missing now.
    /// What is missing later is judged anew. Nothing in the answer: nothing was held back.
    pub fn confirm_deletions(&mut self) -> Vec<ConfirmedDeletions> {
        let now = self.net.now();
        let mut all = Vec::new();
        for incoming in self.centres.incoming() {
            let items = self.centres.confirm(&incoming, in_step_of(&self.sites, &incoming));
            if items.is_empty() {
                continue;
            }
            for key in self.configured_in(&incoming) {
                if let Some(Site { configuration: Some(config), .. }) = &mut self.sites[key] {
                    config.hurry(now);
                }
            }
            all.push(ConfirmedDeletions { incoming, items });
        }
        all
    }
}
