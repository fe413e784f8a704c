//! `run`: the daemon.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::super::control::{Access, ControlSocket, SocketEnv, place, serve};
use super::args::{Collecting, Common};
use super::forced_end::ForcedEnd;
use super::{Outcome, SUCCESS, check_open_files, read_from};
use crate::collector::{AfterReading, Collector, Mode, Reloaded};
use crate::config::Settings;
use crate::control::ReloadAnswer;
use crate::mutex::lock;
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
    let control = serve_control(&mut collector, &settings);
    let line = collector.summary();
    info!("{}: {line}; state in {}", read_from(path, &settings), quoted(settings.state_dir()));
    service_manager::ready(&line);
    let reloads = Reloads {
        common: common.clone(),
        path: path.to_owned(),
        current: Arc::new(Mutex::new(settings.clone())),
        started: Arc::new(settings),
    };
    collector.run(reloads.started.shutdown_timeout, |collector, signal| {
        if signal != SIGHUP {
            service_manager::stopping();
            return false;
        }
        let reloads = reloads.clone();
        collector.read_again(Box::new(move || reloads.read()));
        true
    })?;
    drop(control);
    info!("stopped");
    Ok(SUCCESS)
}

/// Makes the control socket, and serves it. Without it, sites are collected from all the same.
fn serve_control(collector: &mut Collector, settings: &Settings) -> Option<ControlSocket> {
    // The state directory is this process's alone by now: what lies there is nobody else's.
    let path = place(settings.control_socket.as_deref(), settings.state_dir(), SocketEnv::of_process());
    let access = Access { mode: settings.control_mode, group: settings.control_group.as_deref(), owner: None };
    let served = serve(&path, access);
    let served = served.map_err(|error| error.to_string());
    let served = served.and_then(|(listener, socket)| match collector.listen_locally(listener) {
        Ok(()) => Ok(socket),
        Err(error) => Err(format!("cannot serve the control socket {}: {error}", quoted(&path))),
    });
    match served {
        Ok(socket) => Some(socket),
        Err(why) => {
            warn!("reason=control {why}; collecting without it: `tentacle-syncd status` and others reach nobody");
            None
        }
    }
}

/// What it takes to have the configuration in force changed.
#[derive(Clone)]
struct Reloads {
    common: Common,
    path: PathBuf,
    /// What the start came by.
    started: Arc<Settings>,
    /// What is in force. Who reads has it, and after that the loop.
    current: Arc<Mutex<Settings>>,
}

impl Reloads {
    /// Reads the configuration, which may take long; what is to be done on the loop afterwards. The last good one stays when
    /// the new one is bad.
    fn read(self) -> AfterReading {
        let read = self.common.load_again(&self.path, &lock(&self.current)).map_err(|error| error.to_string());
        Box::new(move |collector| {
            let outcome = read.map(|settings| self.take_over(collector, settings));
            if let Err(error) = &outcome {
                // Each problem of a file is a line of its own.
                error.lines().for_each(|why| error!("not reloaded, going on as before: {why}"));
            }
            collector.reload_ended(&outcome);
            service_manager::ready(&collector.summary());
        })
    }

    fn take_over(&self, collector: &mut Collector, settings: Settings) -> ReloadAnswer {
        settings.warnings.iter().for_each(|warning| warn!("{warning}"));
        check_open_files(&settings);
        let reloaded = collector.reload(&settings);
        let after_restart = settings.waiting_for_restart(&self.started);
        if !after_restart.is_empty() {
            warn!("reloaded, but for {}: these change with a restart", after_restart.join(", "));
        }
        let read_from = read_from(&self.path, &settings);
        info!("reloaded {read_from}: {reloaded}");
        let warnings = settings.warnings.clone();
        lock(&self.current).replace_by(settings, &reloaded.unusable);
        let Reloaded { sites, added, changed, removed, unusable, problems } = reloaded;
        let after_restart = after_restart.into_iter().map(str::to_owned).collect();
        let sites = sites as u64;
        ReloadAnswer { read_from, sites, added, changed, removed, unusable, problems, after_restart, warnings }
    }
}
