//! `run`: the daemon.

use log::{error, info};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::cli::Common;
use super::{Outcome, SUCCESS, check_open_files};
use crate::net::Net;
use crate::role::collect::{Collector, Mode};

pub(super) fn run(common: &Common) -> Outcome {
    let settings = common.start()?;
    let mut net = Net::new()?;
    check_open_files(&settings);
    net.take_signals(&[SIGTERM, SIGINT, SIGHUP])?;
    let collector = Collector::new(net, &settings, Mode::Forever, Box::new(|_| {}))?;
    let enabled = settings.sites.iter().filter(|site| site.enabled).count();
    info!("collecting from {enabled} sites; state in {}", settings.state_dir.display());
    collector.run(settings.shutdown_timeout, |collector, signal| {
        if signal != SIGHUP {
            return false;
        }
        reload(collector, common);
        true
    })?;
    info!("stopped");
    Ok(SUCCESS)
}

/// The last good configuration stays when the new one is bad.
fn reload(collector: &mut Collector, common: &Common) {
    let reloaded = common.load().map_err(|error| error.to_string()).and_then(|settings| {
        settings.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        check_open_files(&settings);
        collector.reload(&settings).map_err(|error| error.to_string())
    });
    match reloaded {
        Ok(()) => info!("configuration and certificates reloaded"),
        Err(why) => error!("not reloaded, going on as before: {why}"),
    }
}
