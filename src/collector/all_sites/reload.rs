//! Settings become sites, at the start and at each reload.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use log::error;

use super::{Collector, Mode};
use crate::collector::machine::Order;
use crate::collector::resources::{Opened, SiteResources, Unusable, open_all};
use crate::collector::same_server::SameServer;
use crate::collector::site::{ActiveRound, AfterRound, Site};
use crate::config::Settings;
use crate::net::Target;
use crate::proto::{Count, quoted};

/// Sites' first rounds are spread over this long for each of them.
const SPREAD_PER_SITE: Duration = Duration::from_millis(5);

/// The most sites that a reload's line names of each kind.
const SITES_NAMED: usize = 10;

/// What a reload has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Sites in the configuration that are enabled.
    pub sites: usize,
    /// Those of them that were not collected from before.
    pub added: Vec<String>,
    /// Those whose settings or certificates are others now.
    pub changed: Vec<String>,
    /// Sites that are not collected from any more.
    pub removed: Vec<String>,
    /// Sites whose settings or certificates cannot be used: they go on as before, or stay left out.
    pub unusable: Vec<String>,
    /// Why not, a line for each.
    pub problems: Vec<String>,
}

impl Display for Reloaded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", Count(self.sites, "site"))?;
        named(f, &self.added, "added")?;
        f.write_str(", ")?;
        named(f, &self.changed, "changed")?;
        f.write_str(", ")?;
        named(f, &self.removed, "removed")?;
        if !self.unusable.is_empty() {
            f.write_str(", ")?;
            named(f, &self.unusable, "cannot be used")?;
        }
        Ok(())
    }
}

fn named(f: &mut Formatter<'_>, sites: &[String], what: &str) -> fmt::Result {
    write!(f, "{} {what}", sites.len())?;
    if sites.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = sites.iter().take(SITES_NAMED).map(|name| quoted(name).to_string()).collect();
    write!(f, " ({}", shown.join(", "))?;
    if let Some(more @ 1..) = sites.len().checked_sub(SITES_NAMED) {
        write!(f, " and {more} more")?;
    }
    f.write_str(")")
}

impl Collector {
    /// Takes new settings over. A site whose certificates or spool cannot be opened keeps the last ones that could, or is
    /// left out until they can.
    pub fn reload(&mut self, settings: &Settings) -> Reloaded {
        let opened = open_all(settings, &mut self.spools);
        self.max_connections = settings.max_connections;
        self.net.limit_all(&settings.bwlimit);
        self.commit_queue.set_max_spool(settings.max_spool());
        // Sites may lead elsewhere now; where they do not, that shows again.
        self.commit_queue.same_server = SameServer::default();
        let reloaded = self.adopt(opened);
        self.adopt_monitor(&settings.monitor);
        self.adopt_http(&settings.http);
        reloaded
    }

    /// Adds, changes and retires sites until they are those of `opened`.
    pub(super) fn adopt(&mut self, opened: Vec<Opened>) -> Reloaded {
        let mut reloaded = Reloaded { sites: opened.len(), ..Reloaded::default() };
        self.commit_queue.set_shared(opened.len() > 1);
        let spread = match self.mode {
            Mode::Forever => SPREAD_PER_SITE.saturating_mul(u32::try_from(opened.len()).unwrap_or(u32::MAX)),
            Mode::Once | Mode::OnceAndWait => Duration::ZERO,
        };
        let of_open = self.sites.iter().flatten().map(|site| (site.name().to_string(), site.key()));
        let of_unopened = self.unopened.iter().map(|(&key, site)| (site.name().to_owned(), key));
        let mut known: HashMap<String, usize> = of_open.chain(of_unopened).collect();
        for opening in opened {
            match opening {
                Ok(resources) => {
                    let key = known.remove(&resources.settings.name);
                    self.adopt_one(key, resources, spread, &mut reloaded);
                }
                Err(unusable) => {
                    let Unusable { settings, reason } = &*unusable;
                    reloaded.problems.push(format!("site {}: {reason}", quoted(&settings.name)));
                    reloaded.unusable.push(unusable.settings.name.clone());
                    let key = known.remove(&unusable.settings.name);
                    self.leave_as_it_is(key, *unusable);
                }
            }
        }
        let mut removed: Vec<(String, usize)> = known.into_iter().collect();
        removed.sort();
        for (name, key) in removed {
            // One whose last round is still under way was logged by the reload that took it out.
            if !self.sites[key].as_ref().is_some_and(Site::is_leaving) {
                reloaded.removed.push(name);
            }
            self.retire(key);
        }
        self.watch_certificates();
        self.take_in_spools();
        self.adopt_configuration();
        reloaded
    }

    /// `key` is the site's, if it is known.
    fn adopt_one(&mut self, key: Option<usize>, resources: SiteResources, spread: Duration, reloaded: &mut Reloaded) {
        let now = self.net.now();
        let (name, pace) = (resources.settings.name.clone(), resources.pace());
        let key = match key {
            Some(key) if self.unopened.contains_key(&key) => {
                // Its first round need not wait for the time at which it would have been tried again.
                self.schedule.remove(key);
                self.open_at_last(key, resources);
                reloaded.changed.push(name);
                key
            }
            Some(key) => {
                // Also for the round under way.
                self.net.limit_site(key, &resources.settings.bwlimit);
                if let Some(site) = &mut self.sites[key] {
                    if site.is_leaving() {
                        reloaded.added.push(name);
                    } else if site.is_other(&resources) {
                        reloaded.changed.push(name);
                    }
                    site.replace_resources(resources);
                    self.unpark(key);
                    self.end_configuration_of(key);
                }
                key
            }
            None => {
                let key = self.new_key(&name);
                self.add(key, resources);
                reloaded.added.push(name);
                key
            }
        };
        self.schedule.set(key, pace, now, spread);
    }

    /// The site's settings cannot be used.
    fn leave_as_it_is(&mut self, key: Option<usize>, unusable: Unusable) {
        let Unusable { settings, reason } = unusable;
        match key.and_then(|key| self.sites[key].as_mut()) {
            Some(site) => {
                error!(
                    "site={} reason={} not reloaded, going on with what was in force before: {reason}",
                    quoted(&settings.name),
                    reason.code()
                );
                site.stay();
            }
            None => self.leave_out(key, settings, reason),
        }
    }

    pub(super) fn add(&mut self, key: usize, resources: SiteResources) {
        let known = self.removed_sites.remove(&resources.settings.name);
        let history = known.unwrap_or_else(|| self.budgets.new_history());
        self.net.limit_site(key, &resources.settings.bwlimit);
        self.sites[key] = Some(Site::new(key, resources, history, self.budgets.listed.clone()));
    }

    /// What the run before has committed in a spool that was not there at the start is taken up.
    pub(super) fn take_in_spools(&mut self) {
        for spool in self.spools.values() {
            self.commit_queue.take_in(spool);
        }
        if let Some(machine) = &self.machine {
            machine.order(Order::Directories(self.spools.keys().cloned().collect()));
        }
    }

    /// Takes a site out: at once where no round runs, else when it has ended.
    pub(super) fn retire(&mut self, key: usize) {
        if self.unopened.remove(&key).is_some() {
            self.schedule.remove(key);
            self.free_key(key);
            return;
        }
        let Some(site) = &mut self.sites[key] else { return };
        if !self.schedule.remove(key) {
            site.retire();
            return;
        }
        self.unpark(key);
        self.end_configuration_of(key);
        if let Some(mut site) = self.sites[key].take() {
            site.history.reset_skips();
            if !site.history.holds_nothing() {
                self.removed_sites.insert(site.name().to_string(), site.history);
            }
            self.free_key(key);
        }
    }
}

impl Site {
    /// Whether `resources` has other settings or certificates than those that it is, or is about to be, collected from with.
    fn is_other(&self, resources: &SiteResources) -> bool {
        match &self.running {
            Some(ActiveRound { after_round: AfterRound::Changed(next), .. }) => {
                !resources.is_like(&next.settings, &next.target)
            }
            _ => !resources.is_like(&self.settings, &self.target),
        }
    }

    /// Whether it has been taken out of the configuration, and its last round is under way.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.running, Some(ActiveRound { after_round: AfterRound::Gone, .. }))
    }

    /// What it is, or is about to be, connected to with.
    pub(super) fn next_target(&self) -> &Target {
        match &self.running {
            Some(ActiveRound { after_round: AfterRound::Changed(next), .. }) => &next.target,
            _ => &self.target,
        }
    }

    /// It is in the configuration, and goes on with what is in force.
    fn stay(&mut self) {
        if let Some(ActiveRound { after_round: after_round @ AfterRound::Gone, .. }) = &mut self.running {
            *after_round = AfterRound::Same;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("s{number}")).collect()
    }

    #[test]
    fn a_reload_is_told_in_one_line_of_bounded_length() {
        let mut reloaded = Reloaded { sites: 12, added: sites(1), changed: sites(2), ..Reloaded::default() };
        assert_eq!(reloaded.to_string(), "12 sites: 1 added (s1), 2 changed (s1, s2), 0 removed");
        reloaded.changed = sites(300);
        reloaded.unusable = sites(1);
        assert_eq!(
            reloaded.to_string(),
            "12 sites: 1 added (s1), 300 changed (s1, s2, s3, s4, s5, s6, s7, s8, s9, s10 and 290 more), 0 removed, \
             1 cannot be used (s1)"
        );
    }
}
