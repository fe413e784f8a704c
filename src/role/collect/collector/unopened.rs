//! Sites of which something cannot be opened: a certificate, a key, the incoming directory. Each is tried again when its
//! round is due, and is collected from as soon as all can be opened.

use std::sync::Arc;
use std::time::Duration;

use log::{error, info};

use super::{Collector, Mode};
use crate::config::SiteSettings;
use crate::obs::Repeats;
use crate::role::collect::Reason;
use crate::role::collect::equipment::{Equipment, Unusable, open};
use crate::role::collect::report::RoundReport;
use crate::sync::{Ending, Pace, Tally};
use crate::tls::Connectors;

/// A site of which something cannot be opened.
pub(super) struct Unopened {
    settings: SiteSettings,
    complaints: Repeats,
}

impl Unopened {
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }
}

impl Collector {
    /// Leaves a site out until it can be opened. `key` is the site's, if it has been left out before.
    pub(super) fn leave_out(&mut self, key: Option<usize>, settings: SiteSettings, reason: Reason) {
        let key = key.unwrap_or_else(|| {
            self.sites.push(None);
            self.sites.len() - 1
        });
        let (interval, now) = (settings.interval, self.net.now());
        let complaints = self.unopened.remove(&key).map(|before| before.complaints).unwrap_or_default();
        self.unopened.insert(key, Unopened { settings, complaints });
        self.report_unopened(key, reason);
        if self.mode == Mode::Forever {
            // A file is not mended within seconds: no quick retries.
            self.schedule.set(key, Pace { interval, retries: 0 }, now, interval);
        }
    }

    /// The round of `key` is due: opens the site, if it is one that could not be opened before. Whether it is open.
    pub(super) fn is_open(&mut self, key: usize) -> bool {
        let Some(Unopened { settings, complaints }) = self.unopened.remove(&key) else { return true };
        match open(settings, &mut Connectors::default(), &mut self.spools) {
            Ok(equipment) => {
                let pace = equipment.pace();
                self.open_at_last(key, equipment);
                self.schedule.set(key, pace, self.net.now(), Duration::ZERO);
                true
            }
            Err(unusable) => {
                let Unusable { settings, reason } = *unusable;
                self.unopened.insert(key, Unopened { settings, complaints });
                self.schedule.finished(key, self.net.now(), Ending::Failed);
                self.report_unopened(key, reason);
                false
            }
        }
    }

    /// The site that could not be opened is one like the others from now on.
    pub(super) fn open_at_last(&mut self, key: usize, equipment: Equipment) {
        self.unopened.remove(&key);
        info!("site={} can be opened again: collecting from it", equipment.settings.name);
        self.add(key, equipment);
    }

    fn report_unopened(&mut self, key: usize, reason: Reason) {
        let Some(site) = self.unopened.get_mut(&key) else { return };
        let (name, word, interval) = (&site.settings.name, reason.word(), site.settings.interval.as_secs());
        if let Some(repeated) = site.complaints.complain(&reason.matter(), self.net.now()) {
            error!(
                "site={name} reason={word} repeated={repeated} left out, and tried again every {interval} s: {reason}"
            );
        }
        let report = RoundReport {
            site: Arc::from(name.as_str()),
            tally: Tally::default(),
            took: Duration::ZERO,
            ending: Ending::Failed,
            failure: Some(reason),
            is_final: self.mode == Mode::Once,
        };
        (self.observer)(&report);
    }
}
