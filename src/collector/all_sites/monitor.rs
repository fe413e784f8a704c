//! Tells the data server of ourselves, where that is asked for.

use std::time::{Duration, Instant};

use log::{info, warn};

use super::{Collector, Mode};
use crate::collector::machine::{Machine, Order};
use crate::collector::monitor::{Facts, Monitor, SiteFacts};
use crate::collector::resources::open_spool;
use crate::collector::status::SiteStatus;
use crate::config::MonitorSettings;
use crate::obs::{LogThrottle, repeated};

/// Who tells the data server of us.
#[derive(Default)]
pub(super) enum Telling {
    /// Nobody does.
    #[default]
    Nobody,
    /// The directory for it cannot be used, and is tried again.
    Unopened {
        settings: MonitorSettings,
        due: Instant,
        log: LogThrottle,
    },
    By(Monitor),
}

impl Telling {
    fn due(&self) -> Option<Instant> {
        match self {
            Self::Nobody => None,
            Self::Unopened { due, .. } => Some(*due),
            Self::By(monitor) => Some(monitor.due()),
        }
    }
}

impl Collector {
    /// Tells it from now on as these settings say.
    pub(super) fn adopt_monitor(&mut self, settings: &MonitorSettings) {
        let before = std::mem::take(&mut self.monitor);
        if settings.agent.is_none() || self.mode != Mode::Forever {
            return;
        }
        self.open_monitor(settings.clone(), before);
    }

    /// As `settings` say from now on, where their directory can be used.
    fn open_monitor(&mut self, settings: MonitorSettings, before: Telling) {
        let now = self.net.now();
        self.monitor = match open_spool(&settings.incoming_dir, &self.state_dir, &mut self.spools) {
            Ok(spool) => {
                self.take_in_spools();
                match (before, Monitor::new(&settings, spool, now)) {
                    (Telling::By(before), Some(new)) => Telling::By(before.replace_by(new)),
                    (Telling::Unopened { .. }, Some(new)) => {
                        info!("files about this process are written from now on");
                        Telling::By(new)
                    }
                    (Telling::Nobody, Some(new)) => Telling::By(new),
                    (_, None) => Telling::Nobody,
                }
            }
            Err(error) => {
                let mut log = match before {
                    Telling::Unopened { log, .. } => log,
                    Telling::Nobody | Telling::By(_) => LogThrottle::default(),
                };
                if let Some(suppressed) = log.failed(&error.to_string(), now) {
                    let (every, counter) = (settings.interval.as_secs(), repeated(suppressed));
                    warn!(
                        "reason=monitor no file about this process is written, and its directory is tried again every \
                         {every} s: {error};{counter}"
                    );
                }
                let due = now + settings.interval;
                Telling::Unopened { settings, due, log }
            }
        };
    }

    pub(super) fn monitor_due(&self) -> Option<Instant> {
        self.monitor.due().filter(|_| self.machine.is_some())
    }

    /// Tells it, if it is time.
    pub(super) fn tell_monitor(&mut self) {
        let now = self.net.now();
        if self.monitor_due().is_none_or(|due| now < due) {
            return;
        }
        match std::mem::take(&mut self.monitor) {
            Telling::Nobody => {}
            Telling::Unopened { settings, due, log } => {
                self.open_monitor(settings.clone(), Telling::Unopened { settings, due, log });
            }
            Telling::By(mut monitor) => {
                let facts = self.facts();
                if let Some(machine) = &self.machine {
                    machine.order(Order::Work(monitor.tell(facts, now)));
                }
                self.monitor = Telling::By(monitor);
            }
        }
    }

    fn facts(&mut self) -> Facts {
        Facts {
            date: Duration::from_secs(self.net.date().as_secs()),
            sites: self.statuses.iter().filter_map(|(&key, status)| self.site_facts(key, status)).collect(),
            loop_latency: self.net.take_loop_latency(),
            sample: self.machine.as_ref().map(Machine::sample).unwrap_or_default(),
        }
    }

    fn site_facts(&self, key: usize, status: &SiteStatus) -> Option<SiteFacts> {
        let site = self.sites[key].as_ref();
        let settings = site.map(|site| &site.settings).or_else(|| Some(self.unopened.get(&key)?.settings()))?;
        let waiting = site.and_then(|site| site.waiting);
        let (now, date) = (self.net.now(), Duration::from_secs(self.net.date().as_secs()));
        let last_good = status.last_success.unwrap_or(status.since);
        let oldest = waiting.and_then(|waiting| match waiting.files {
            0 => Some(0),
            _ => Some(date.saturating_sub(waiting.listed.oldest?).as_secs()),
        });
        Some(SiteFacts {
            name: status.name.clone(),
            is_failing: status.is_failing(),
            quiet: now.saturating_duration_since(last_good),
            interval: settings.interval,
            files: waiting.map(|waiting| waiting.files as u64),
            oldest,
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
