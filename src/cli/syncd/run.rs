//! `run`: the daemon.

use std::path::Path;

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::args::{Collecting, Common};
use super::forced_end::ForcedEnd;
use super::{Outcome, SUCCESS, check_open_files};
use crate::collector::{Collector, Mode};
use crate::config::Settings;
use crate::net::Net;
use crate::obs::{Watchdog, service_manager};
use crate::proto::quoted;

pub(super) fn run(arguments: &Collecting) -> Outcome {
    let common = &arguments.common;
    // Chosen once: a reload must not go to another file because this one is gone.
    let path = common.path();
    let mut net = Net::new()?;
    // Before anything is logged: whoever sees that may send one at once.
    net.take_signals(&[SIGTERM, SIGINT, SIGHUP])?;
    let forced_end = ForcedEnd::after(&[SIGTERM, SIGINT])?;
    let (settings, _) = common.start(path)?;
    forced_end.set(settings.shutdown_timeout);
    arguments.check_user(&settings)?;
    check_open_files(&settings);
    let mut collector = Collector::new(net, &settings, Mode::Forever, Box::new(|_| ()))?;
    collector.feed(Watchdog::from_environment());
    let line = collector.summary();
    info!("{}: {line}; state in {}", quoted(path), quoted(settings.state_dir()));
    service_manager::ready(&line);
    let mut current = settings.clone();
    collector.run(settings.shutdown_timeout, |collector, signal| {
        if signal != SIGHUP {
            service_manager::stopping();
            return false;
        }
        service_manager::reloading();
        reload(collector, common, path, &settings, &mut current);
        service_manager::ready(&collector.summary());
        true
    })?;
    info!("stopped");
    Ok(SUCCESS)
}

/// The last good configuration stays when the new one is bad. `started` is what the start came by.
fn reload(collector: &mut Collector, common: &Common, path: &Path, started: &Settings, current: &mut Settings) {
    match common.load_again(path, current) {
        Ok(settings) => {
            settings.warnings.iter().for_each(|warning| warn!("{warning}"));
            check_open_files(&settings);
            let reloaded = collector.reload(&settings);
            warn_of_restart(started, &settings);
            info!("reloaded {}: {reloaded}", quoted(path));
            current.replace_by(settings, &reloaded.unusable);
        }
        // Each problem of a file is a line of its own.
        Err(error) => {
            error.to_string().lines().for_each(|why| error!("not reloaded, going on as before: {why}"));
        }
    }
}

/// Logs the settings that differ from those of the start and stay as they were.
fn warn_of_restart(started: &Settings, settings: &Settings) {
    let changed = settings.waiting_for_restart(started);
    if !changed.is_empty() {
        warn!("reloaded, but for {}: these change with a restart", changed.join(", "));
    }
}
