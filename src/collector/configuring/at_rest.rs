//! The operator's word on agents' configuration where no daemon runs: in what is kept of the sites.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::operator::{ConfirmedDeletions, Reassigned};
use crate::config::{Settings, SiteSettings};
use crate::store::{CentralFiles, GuardFile, InStepFile, Spool, StateDir, StoreError};
use crate::sync::remote_config::{InStep, Item, Owners};

/// What is kept of the sites that have their configuration from the directories in one incoming directory.
struct Kept {
    sites: BTreeMap<Arc<str>, (InStepFile, InStep)>,
    owners: Owners,
}

impl Kept {
    fn load(settings: &Settings, incoming: &Path) -> Result<Self, StoreError> {
        let mut kept = Self { sites: BTreeMap::new(), owners: Owners::default() };
        for site in sites(settings) {
            if Spool::resolve(&site.incoming_dir)? != *incoming {
                continue;
            }
            let (name, file) = (Arc::from(&*site.name), InStepFile::new(settings.state_dir(), &site.name, incoming));
            let mut in_step = file.load()?;
            kept.owners.adopt(&name, &mut in_step);
            kept.sites.insert(name, (file, in_step));
        }
        Ok(kept)
    }

    /// Has the site own the items, which others own, or nobody.
    fn assign(&mut self, items: Vec<Item>, name: &Arc<str>) -> Result<Vec<Reassigned>, StoreError> {
        // First of all, that the site owns them: then a kill between the two leaves none without an owner.
        let mut touched = vec![Arc::clone(name)];
        let mut assigned = Vec::new();
        for item in items {
            let before = self.owners.assign(item.clone(), name);
            if let Some((_, in_step)) = self.sites.get_mut(name) {
                in_step.own(item.clone());
            }
            if let Some((before, (_, in_step))) =
                before.as_ref().and_then(|before| Some((before, self.sites.get_mut(before)?)))
            {
                in_step.remove(&item);
                if !touched.contains(before) {
                    touched.push(Arc::clone(before));
                }
            }
            assigned.push(Reassigned { item, before });
        }
        for (file, in_step) in touched.iter().filter_map(|name| self.sites.get(name)) {
            file.save(in_step)?;
        }
        Ok(assigned)
    }
}

/// Those whose configuration may be kept the same as the centre's.
fn sites(settings: &Settings) -> impl Iterator<Item = &SiteSettings> {
    settings.sites.iter().filter(|site| site.enabled && site.remote_config != Some(false))
}

/// What an assignment came to.
#[derive(Debug)]
pub struct AssignedAtRest {
    /// What belongs to the site from now on, and did not before.
    pub assigned: Vec<Reassigned>,
    /// Those that were named and of which there is no configuration.
    pub unknown: Vec<String>,
}

/// Has configurations, which are named by key or agent, belong to a site, whatever site they belonged to. Waits for the disk.
///
/// # Errors
/// A daemon works there; what is kept, or the centre's directories, cannot be used.
pub fn assign_at_rest(
    settings: &Settings,
    site: &SiteSettings,
    names: &[String],
) -> Result<AssignedAtRest, StoreError> {
    let _lock = StateDir::enter(settings.state_dir())?;
    let incoming = Spool::resolve(&site.incoming_dir)?;
    let centre = CentralFiles::look_at(&incoming)?.centre();
    let mut kept = Kept::load(settings, &incoming)?;
    let name: Arc<str> = Arc::from(&*site.name);
    let (items, unknown) = kept.owners.named(names, &centre);
    let items = items.into_iter().filter(|item| kept.owners.owner(item) != Some(&name)).collect();
    Ok(AssignedAtRest { assigned: kept.assign(items, &name)?, unknown })
}

/// Lets the deletions through that are held back because so much is missing at the centre: those of what is missing now.
/// Waits for the disk.
///
/// # Errors
/// A daemon works there; what is kept cannot be used.
pub fn confirm_at_rest(settings: &Settings) -> Result<Vec<ConfirmedDeletions>, StoreError> {
    let _lock = StateDir::enter(settings.state_dir())?;
    let incoming =
        sites(settings).map(|site| Spool::resolve(&site.incoming_dir)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut all = Vec::new();
    for incoming in incoming.into_iter().filter(|incoming| CentralFiles::are_there(incoming)) {
        let (kept, file) = (Kept::load(settings, &incoming)?, GuardFile::new(settings.state_dir(), &incoming));
        let (centre, mut guard) = (CentralFiles::look_at(&incoming)?.centre(), file.load()?);
        let in_step = kept.sites.values().map(|(_, in_step)| in_step);
        if guard.judge(&centre, in_step.clone()).is_err() {
            let items = guard.confirm(&centre, in_step).into_iter().collect();
            file.save(&guard)?;
            all.push(ConfirmedDeletions { incoming, items });
        }
    }
    Ok(all)
}
