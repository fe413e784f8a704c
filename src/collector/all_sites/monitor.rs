//! Tells the data server of ourselves, where that is asked for.

use std::time::{Duration, Instant};

use log::warn;

use super::{Collector, Mode};
use crate::collector::machine::{Machine, Order};
use crate::collector::monitor::{Facts, Monitor, SiteFacts};
use crate::collector::resources::open_spool;
use crate::collector::status::SiteStatus;
use crate::config::MonitorSettings;

impl Collector {
    /// Tells it from now on as these settings say.
    pub(super) fn adopt_monitor(&mut self, settings: &MonitorSettings) {
        let before = self.monitor.take();
        if settings.agent.is_none() || self.mode != Mode::Forever {
            return;
        }
        match open_spool(&settings.incoming_dir, &self.state_dir, &mut self.spools) {
            Ok(spool) => {
                let new = Monitor::new(settings, spool, self.net.now());
                self.monitor = match (before, new) {
                    (Some(before), Some(new)) => Some(before.replace_by(new)),
                    (_, new) => new,
                };
                self.take_in_spools();
            }
            Err(error) => warn!("reason=monitor no file about this process is written before a reload: {error}"),
        }
    }

    pub(super) fn monitor_due(&self) -> Option<Instant> {
        self.monitor.as_ref().filter(|_| self.machine.is_some()).map(Monitor::due)
    }

    /// Tells it, if it is time.
    pub(super) fn tell_monitor(&mut self) {
        let now = self.net.now();
        if self.monitor_due().is_none_or(|due| now < due) {
            return;
        }
        let facts = Facts {
            date: Duration::from_secs(self.net.date().as_secs()),
            sites: self.statuses.iter().filter_map(|(&key, status)| self.site_facts(key, status)).collect(),
            loop_latency: self.net.take_loop_latency(),
            sample: self.machine.as_ref().map(Machine::sample).unwrap_or_default(),
        };
        if let (Some(monitor), Some(machine)) = (&mut self.monitor, &self.machine) {
            machine.order(Order::Work(monitor.tell(facts, now)));
        }
    }

    fn site_facts(&self, key: usize, status: &SiteStatus) -> Option<SiteFacts> {
        let site = self.sites[key].as_ref();
        let settings = site.map(|site| &site.settings).or_else(|| Some(self.unopened.get(&key)?.settings()))?;
        let waiting = site.and_then(|site| site.waiting);
        let (now, date) = (self.net.now(), Duration::from_secs(self.net.date().as_secs()));
        let last_good = status.last_success.unwrap_or(status.since);
        let oldest = waiting.and_then(|waiting| waiting.listed.oldest.filter(|_| waiting.files > 0));
        Some(SiteFacts {
            name: status.name.clone(),
            is_failing: status.is_failing(),
            quiet: now.saturating_duration_since(last_good),
            interval: settings.interval,
            files: waiting.map(|waiting| waiting.files as u64),
            oldest: oldest.map(|oldest| date.saturating_sub(oldest).as_secs()),
            certificate_days: [
                self.site_certificate_days(status),
                site.and_then(|site| self.own_certificate_days(site)),
            ]
            .into_iter()
            .flatten()
            .min(),
        })
    }
}
