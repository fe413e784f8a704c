//! The operator's word on agents' configuration where no daemon runs: in what is kept of the sites.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

    /// Has the site own the item: the one that did before.
    fn assign(&mut self, item: &Item, name: &Arc<str>) -> Result<Option<Arc<str>>, StoreError> {
        let before = self.owners.assign(item.clone(), name);
        if let Some((file, in_step)) = self.sites.get_mut(name) {
            in_step.own(item.clone());
            file.save(in_step)?;
        }
        if let Some((file, in_step)) = before.as_ref().and_then(|before| self.sites.get_mut(before)) {
            in_step.remove(item);
            file.save(in_step)?;
        }
        Ok(before)
    }
}

/// Those whose configuration may be kept the same as the centre's.
fn sites(settings: &Settings) -> impl Iterator<Item = &SiteSettings> {
    settings.sites.iter().filter(|site| site.enabled && site.remote_config != Some(false))
}

/// What an assignment came to.
#[derive(Debug, Default)]
pub struct AssignedAtRest {
    /// What belongs to the site from now on, and did not before, with the site that it belonged to.
    pub assigned: Vec<(Item, Option<Arc<str>>)>,
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
    let (mut kept, mut done) = (Kept::load(settings, &incoming)?, AssignedAtRest::default());
    let name: Arc<str> = Arc::from(&*site.name);
    for given in names {
        let item = Item::named(given);
        let owner = kept.owners.owner(&item);
        if owner.is_none() && !centre.items.contains_key(&item) {
            done.unknown.push(given.clone());
        } else if owner != Some(&name) {
            let before = kept.assign(&item, &name)?;
            done.assigned.push((item, before));
        }
    }
    Ok(done)
}

/// Lets the deletions through that are held back because so much is missing at the centre: those of what is missing now, by
/// incoming directory. Waits for the disk.
///
/// # Errors
/// A daemon works there; what is kept cannot be used.
pub fn confirm_at_rest(settings: &Settings) -> Result<Vec<(PathBuf, BTreeSet<Item>)>, StoreError> {
    let _lock = StateDir::enter(settings.state_dir())?;
    let incoming =
        sites(settings).map(|site| Spool::resolve(&site.incoming_dir)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut all = Vec::new();
    for incoming in incoming.into_iter().filter(|incoming| CentralFiles::are_there(incoming)) {
        let (kept, file) = (Kept::load(settings, &incoming)?, GuardFile::new(settings.state_dir(), &incoming));
        let (centre, mut guard) = (CentralFiles::look_at(&incoming)?.centre(), file.load()?);
        let in_step = kept.sites.values().map(|(_, in_step)| in_step);
        if guard.judge(&centre, in_step.clone()).is_err() {
            let confirmed = guard.confirm(&centre, in_step);
            file.save(&guard)?;
            all.push((incoming, confirmed));
        }
    }
    Ok(all)
}
