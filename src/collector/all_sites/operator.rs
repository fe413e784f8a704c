//! The operator's word on agents' configuration: whose an item is, and whether what is missing was deleted.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::Collector;
use super::configuring::in_step_of;
use crate::collector::configuring::{ConfigEnd, ConfirmedDeletions, Reassigned};
use crate::collector::site::Site;
use crate::control::ItemsToAssign;
use crate::store::SeenCentre;
use crate::sync::remote_config::{InStep, Item};

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
        /// What belongs to the site from now on, and did not before.
        assigned: Vec<Reassigned>,
        /// How many of those that were named belong to the site already.
        unchanged: usize,
        /// Those that were named and of which there is no configuration.
        unknown: Vec<String>,
    },
}

impl Collector {
    /// Has items belong to the site of this name, whatever site they belonged to, from now on and across restarts. What the
    /// centre has goes to the site, whatever the site has.
    pub fn assign(&mut self, site: &str, items: &ItemsToAssign) -> Assigned {
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
        let Some(owners) = self.centres.owners(&incoming) else { return Assigned::NotKnownYet };
        let (items, unknown) = match items {
            ItemsToAssign::Unclaimed => {
                let unclaimed = in_step.unclaimed().filter(|item| owners.owner(item).is_none());
                (unclaimed.cloned().collect(), Vec::new())
            }
            ItemsToAssign::Named(names) => owners.named(names, &centre),
        };
        let (name, named) = (Arc::from(site), items.len());
        let items: Vec<Item> = items.into_iter().filter(|item| owners.owner(item) != Some(&name)).collect();
        let unchanged = named - items.len();
        let mut touched = BTreeSet::new();
        let assigned =
            items.into_iter().map(|item| self.assign_item(key, &name, &incoming, item, &mut touched)).collect();
        for key in touched {
            self.save_ownership(key);
        }
        Assigned::Done { unchanged, assigned, unknown }
    }

    /// Whoever owned the item; what is kept of the sites that are `touched` by that is to be saved.
    fn assign_item(
        &mut self,
        key: usize,
        name: &Arc<str>,
        incoming: &Path,
        item: Item,
        touched: &mut BTreeSet<usize>,
    ) -> Reassigned {
        let before = self.centres.assign(incoming, name, item.clone());
        let is_before = |site: &Option<Site>| site.as_ref().is_some_and(|site| Some(site.name()) == before.as_ref());
        let other = self.sites.iter().position(is_before);
        if let Some(in_step) = other.and_then(|other| self.in_step_for_change(other, touched)) {
            in_step.remove(&item);
        }
        if let Some(in_step) = self.in_step_for_change(key, touched) {
            in_step.own(item.clone());
        }
        Reassigned { item, before }
    }

    /// What is in step with a site, where no round is under way any more: that was begun with other owners.
    fn in_step_for_change(&mut self, key: usize, touched: &mut BTreeSet<usize>) -> Option<&mut InStep> {
        if touched.insert(key) {
            self.end_configuration(key, &ConfigEnd::BrokenOff);
        }
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
