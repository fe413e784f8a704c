//! Settings become sites, at the start and at each reload.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Collector, Mode};
use crate::config::Settings;
use crate::role::collect::equipment::{Equipment, StartError, equip};
use crate::role::collect::site::Site;

/// Sites' first rounds are spread over this long for each of them.
const SPREAD_PER_SITE: Duration = Duration::from_millis(5);

impl Collector {
    /// Takes new settings over; nothing changes when they cannot be used.
    pub fn reload(&mut self, settings: &Settings) -> Result<(), StartError> {
        let mut spools = self.spools.clone();
        let equipment = equip(settings, &mut spools)?;
        self.spools = spools;
        self.max_connections = settings.max_connections;
        self.desk.set_max_spool(settings.max_spool);
        self.adopt(equipment);
        Ok(())
    }

    /// Adds, changes and retires sites until they are those of `equipment`.
    pub(super) fn adopt(&mut self, equipment: Vec<Equipment>) {
        let now = self.net.now();
        let spread = match self.mode {
            Mode::Forever => SPREAD_PER_SITE.saturating_mul(u32::try_from(equipment.len()).unwrap_or(u32::MAX)),
            Mode::Once | Mode::OnceAndWait => Duration::ZERO,
        };
        let mut known: HashMap<Arc<str>, usize> =
            self.sites.iter().flatten().map(|site| (Arc::clone(site.name()), site.key())).collect();
        for one in equipment {
            let key = known.remove(one.settings.name.as_str()).unwrap_or(self.sites.len());
            let pace = one.pace();
            match self.sites.get_mut(key).and_then(Option::as_mut) {
                Some(site) => {
                    site.equip(one);
                    self.unpark(key);
                }
                None => self.add(one),
            }
            self.schedule.set(key, pace, now, spread);
        }
        for key in known.into_values() {
            self.retire(key);
        }
    }

    fn add(&mut self, equipment: Equipment) {
        let mut site = Site::new(self.sites.len(), equipment);
        site.history = self.absent.remove(&**site.name()).unwrap_or_default();
        self.sites.push(Some(site));
    }

    /// Takes a site out: at once where no round runs, else when it has ended.
    pub(super) fn retire(&mut self, key: usize) {
        let Some(site) = &mut self.sites[key] else { return };
        if !self.schedule.remove(key) {
            site.retire();
            return;
        }
        self.unpark(key);
        if let Some(mut site) = self.sites[key].take() {
            site.history.reset_skips();
            self.absent.insert(site.name().to_string(), site.history);
        }
    }
}
