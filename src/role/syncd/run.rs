//! `run`: the daemon.

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::cli::Common;
use super::{Outcome, SUCCESS, check_open_files};
use crate::config::Settings;
use crate::net::Net;
use crate::proto::{Count, quoted};
use crate::role::collect::{Collector, Mode};

pub(super) fn run(common: &Common) -> Outcome {
    let mut net = Net::new()?;
    // Before anything is logged: whoever sees that may send one at once.
    net.take_signals(&[SIGTERM, SIGINT, SIGHUP])?;
    let settings = common.start()?;
    check_open_files(&settings);
    let collector = Collector::new(net, &settings, Mode::Forever, Box::new(|_| {}))?;
    let enabled = settings.sites.iter().filter(|site| site.enabled).count();
    info!("collecting from {}; state in {}", Count(enabled, "site"), quoted(&settings.state_dir));
    collector.run(settings.shutdown_timeout, |collector, signal| {
        if signal != SIGHUP {
            return false;
        }
        reload(collector, common, &settings);
        true
    })?;
    info!("stopped");
    Ok(SUCCESS)
}

/// The last good configuration stays when the new one is bad. `started` is what the start came by.
fn reload(collector: &mut Collector, common: &Common, started: &Settings) {
    let reloaded = common.load().map_err(|error| error.to_string()).and_then(|settings| {
        settings.warnings.iter().for_each(|warning| warn!("{warning}"));
        check_open_files(&settings);
        collector.reload(&settings).map_err(|error| error.to_string())?;
        warn_of_restart(started, &settings);
        Ok(())
    });
    match reloaded {
        Ok(()) => info!("configuration and certificates reloaded"),
        // Each problem of a file is a line of its own.
        Err(why) => why.lines().for_each(|why| error!("not reloaded, going on as before: {why}")),
    }
}

/// Says what is otherwise than at the start, and stays as it was.
fn warn_of_restart(started: &Settings, settings: &Settings) {
    // All of them by name, so that none is forgotten that comes to be.
    let Settings {
        state_dir,
        durability,
        publish,
        shutdown_timeout,
        max_spool: _,
        max_connections: _,
        sites: _,
        warnings: _,
    } = settings;
    let fixed = [
        ("state_dir", *state_dir != started.state_dir),
        ("durability", *durability != started.durability),
        ("publish", *publish != started.publish),
        ("shutdown_timeout", *shutdown_timeout != started.shutdown_timeout),
    ];
    let changed: Vec<&str> = fixed.into_iter().filter_map(|(key, is_other)| is_other.then_some(key)).collect();
    if !changed.is_empty() {
        warn!("reloaded, but for {}: these change with a restart", changed.join(", "));
    }
}
