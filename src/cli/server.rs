//! `tentacle_server`, the program.

mod process;
mod status;

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;

use log::{Level, LevelFilter, error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::process::ProcessError;
use super::control::{self, Access, ControlSocket, SocketEnv, place_of_server};
use super::limits;
use crate::config::server::{
    CommandLine, ControlSettings, Env, HELP, Invocation, Passphrase, ServerConfig, ServerConfigError, Verbosity, load,
    parse_args, read_by_load,
};
use crate::config::{CutOff, read_when_written, refuse_cut_off};
use crate::file::Owner;
use crate::net::Net;
use crate::obs::{ASKED_FOR, LogTarget, Watchdog, complain, finish_log, print, service_manager, start_log_to};
use crate::passphrase;
use crate::proto::{Secret, quoted, shown};
use crate::server::{Bound, Service, StartError, check_storage, check_tls};
use crate::store::StoreError;

/// What was asked for cannot be done, now at least: another try may succeed.
const FAILURE: u8 = 3;

/// The command line cannot be used, or not by this user.
const USAGE: u8 = 1;

/// A value or a file cannot be used.
const UNUSABLE: u8 = 2;

/// What `systemctl status` shows.
const SERVING: &str = "serving";

type Problem = Box<dyn std::error::Error>;

/// The program.
pub fn main() -> ExitCode {
    let code = exit_code(run(std::env::args_os().skip(1)));
    finish_log();
    code
}

fn exit_code(outcome: Result<u8, Problem>) -> ExitCode {
    match outcome {
        Ok(code) => code.into(),
        Err(problem) => {
            complain(Level::Error, format_args!("tentacle_server: {problem}"));
            code_of(&*problem).into()
        }
    }
}

/// As stock does: 2 where a value, or a file that it names, is to blame.
fn code_of(problem: &(dyn std::error::Error + 'static)) -> u8 {
    let of_config = problem.downcast_ref().map(ServerConfigError::exit_code).or_else(|| status::exit_code(problem));
    let of_start = || problem.downcast_ref().map(StartError::is_of_configuration);
    let of_process = || problem.downcast_ref().map(ProcessError::is_of_configuration);
    if problem.downcast_ref().is_some_and(ProcessError::is_of_usage) {
        return USAGE;
    }
    let of_store = || problem.downcast_ref().map(StoreError::is_of_configuration);
    let code = |is_of_configuration| if is_of_configuration { UNUSABLE } else { FAILURE };
    of_config.or_else(|| of_start().or_else(of_process).or_else(of_store).map(code)).unwrap_or(FAILURE)
}

fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Problem> {
    limits::outlive_file_size_limit()?;
    match parse_args(args).map_err(ServerConfigError::from)? {
        Invocation::Help { exit_code } => {
            print(HELP)?;
            Ok(exit_code)
        }
        Invocation::Version => {
            print(concat!("tentacle_server ", env!("CARGO_PKG_VERSION"), " (tentacle-sync)\n"))?;
            Ok(0)
        }
        Invocation::Check(line) => check(&Configuration::of_system(line)?.read()?).map(|()| 0),
        Invocation::Status { line, json } => {
            let Configuration { line, env, .. } = Configuration::of_system(line)?;
            status::status(&line, &env, json)
        }
        Invocation::Serve(line) => serve(Configuration::of_system(line)?).map(|()| 0),
    }
}

/// Prints what a start would do, each step as the user that would take it.
fn check(config: &ServerConfig) -> Result<(), Problem> {
    let warn = |warnings: &[String]| warnings.iter().try_for_each(|text| print(format_args!("warning: {text}")));
    warn(&config.warnings)?;
    if let Err(refusal) = process::check_root(&config.process) {
        // The service may be another user's.
        print(format_args!(
            "warning: {refusal}; a start like this one ends with that, and root's rights hide what the service's user \
             lacks: check as that user"
        ))?;
    }
    if config.process.daemon {
        print("note: daemon (-d) is ignored under systemd's Type=notify, which the shipped unit has")?;
    }
    if let Some(file) = &config.log.file {
        process::check_log(file)?;
    }
    warn(&check_tls(config)?)?;
    if let Some(user) = config.process.user.as_ref().filter(|_| process::is_root()) {
        process::become_user(user)?;
    }
    warn(&check_storage(config)?)?;
    Ok(print(config)?)
}

/// Where the configuration comes from, again and again.
struct Configuration {
    line: CommandLine,
    env: Env,
    /// What was typed at the terminal, once.
    typed: Option<Secret>,
}

impl Configuration {
    fn of_system(line: CommandLine) -> io::Result<Self> {
        Ok(Self { line, env: Env::of_system(std::env::current_dir()?), typed: None })
    }

    fn read(&self) -> Result<ServerConfig, ServerConfigError> {
        let mut config = load(&self.line, &self.env)?;
        if let (Some(tls), Some(typed)) = (&mut config.tls, &self.typed)
            && tls.passphrase == Passphrase::Ask
        {
            tls.passphrase = Passphrase::Known(typed.clone());
        }
        Ok(config)
    }

    /// Reads it while a server runs by `current`: what is being written is waited for, and what may have been cut off
    /// refused.
    fn read_again(&self, current: &ServerConfig) -> Result<ServerConfig, Problem> {
        let files = read_by_load(&self.line, &self.env);
        let read = || -> Result<ServerConfig, Problem> {
            let config = self.read()?;
            self.refuse_cut_off(&files, &config, current)?;
            Ok(config)
        };
        let config = read_when_written(|| files.clone(), read, ServerConfig::pem_files)?;
        let lost = config.unprotected(current);
        if !lost.is_empty() {
            let lost = lost.join(", ");
            return Err(format!("no {lost} any more: that keeps others out, so only a restart takes it away").into());
        }
        Ok(config)
    }

    /// Settings that are the same as before are not refused, though their file may be cut off.
    fn refuse_cut_off(&self, files: &[PathBuf], config: &ServerConfig, current: &ServerConfig) -> Result<(), CutOff> {
        let Env { hosts_allow, hosts_deny, .. } = &self.env;
        let but_hosts = |config: &ServerConfig| ServerConfig { hosts_access: None, ..config.clone() };
        for file in files {
            // Either may have been empty always; that its lines vanish is looked at by themselves.
            let is_of_hosts = [hosts_allow, hosts_deny].contains(&file);
            let is_other = if is_of_hosts {
                config.hosts_access != current.hosts_access
            } else {
                but_hosts(config) != but_hosts(current)
            };
            if is_other {
                refuse_cut_off(file, is_of_hosts)?;
            }
        }
        Ok(())
    }

    /// Asks at the terminal for what `config` lacks.
    fn complete(&mut self, config: ServerConfig) -> Result<ServerConfig, Problem> {
        match &config.tls {
            Some(tls) if tls.passphrase == Passphrase::Ask => {
                let typed = passphrase::ask(&shown(&tls.key));
                self.typed = Some(typed.map_err(ProcessError::Passphrase)?);
                Ok(self.read()?)
            }
            _ => Ok(config),
        }
    }
}

fn serve(mut configuration: Configuration) -> Result<(), Problem> {
    let config = configuration.read()?;
    process::check_root(&config.process)?;
    let config = configuration.complete(config)?;
    let mut current = config.clone();
    let net = take_signals()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(config.process.umask));
    let log = start_log(&config)?;
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    let (process, control) = (config.process.clone(), config.control.clone());
    let connections = config.limits.max_connections;
    let bound = Bound::new(net, config)?;
    limits::check_open_files(connections);
    let control = make_control(&control, process::later_owner(&process)?);
    if let Some(user) = &process.user {
        process::become_user(user)?;
    }
    let root = bound.open_storage()?;
    if process.daemon {
        process::go_to_background()?;
    }
    log.write_in_background(FAILURE);
    for address in bound.addresses() {
        info!("listening on {address}");
    }
    let mut service = bound.start(root)?;
    let control = control.and_then(|(listener, socket)| serve_control(&mut service, listener, socket));
    let mut watchdog = Watchdog::from_environment();
    service_manager::ready(SERVING);
    let outcome = service.run(&mut watchdog, |service, signal| {
        if signal == SIGHUP {
            reload(service, &configuration, &mut current, &log);
        } else {
            service_manager::stopping();
        }
        signal == SIGHUP
    });
    if let Err(error) = &outcome {
        error!("{error}");
    }
    drop(control);
    info!("stopped");
    Ok(outcome?)
}

/// Makes the control socket, where there is to be one: as the log, before the process becomes another user, whose it is then.
/// Without it, clients are served all the same.
fn make_control(settings: &ControlSettings, owner: Option<Owner>) -> Option<(UnixListener, ControlSocket)> {
    let path = place_of_server(settings.socket.as_deref(), SocketEnv::of_process())?;
    let access = Access { mode: settings.mode, group: settings.group.as_deref(), owner };
    control::serve(&path, access).map_err(|error| without_control(&error)).ok()
}

/// Has those answered who come to the control socket.
fn serve_control(service: &mut Service, listener: UnixListener, socket: ControlSocket) -> Option<ControlSocket> {
    service.listen_locally(listener).map_err(|error| without_control(&error)).ok().map(|()| socket)
}

fn without_control(why: &dyn std::error::Error) {
    warn!("reason=control {why}; serving without it: `tentacle_server --status` reaches nobody");
}

fn start_log(config: &ServerConfig) -> Result<LogTarget, ProcessError> {
    let (log, owner) = (&config.log, process::later_owner(&config.process)?);
    start_log_to(level(log.verbosity), level(Verbosity::Normal), log.file.as_deref(), owner)
        .map_err(|error| ProcessError::of_log(log.file.as_deref(), error))
}

/// The loop, which takes the signals from now on: before anything shows that the server is there, since whoever sees that
/// may send one at once. They wait until it serves, also across the fork of `-d`. But not before a passphrase is asked for:
/// at that prompt they end the program.
fn take_signals() -> Result<Net, StartError> {
    let mut net = Net::new()?;
    net.take_signals(&[SIGTERM, SIGINT, SIGHUP])?;
    Ok(net)
}

/// The last good configuration stays when the new one is bad.
fn reload(service: &mut Service, configuration: &Configuration, current: &mut ServerConfig, log: &LogTarget) {
    service_manager::reloading();
    log.reopen();
    let reloaded = configuration.read_again(current).and_then(|config| {
        config.warnings.iter().for_each(|warning| warn!("{warning}"));
        limits::check_open_files(config.limits.max_connections);
        service.reload(&config)?;
        *current = config;
        Ok(())
    });
    match reloaded {
        Ok(()) => match configuration.line.config_file(&configuration.env) {
            Some(file) => info!(target: ASKED_FOR, "configuration reloaded from {}", quoted(&file)),
            None => info!(target: ASKED_FOR, "certificates reloaded; there is no configuration file (-F)"),
        },
        // Each problem of a file is a line of its own.
        Err(why) => why.to_string().lines().for_each(|why| error!("not reloaded, going on as before: {why}")),
    }
    service_manager::ready(SERVING);
}

fn level(verbosity: Verbosity) -> LevelFilter {
    match verbosity {
        Verbosity::Quiet => LevelFilter::Off,
        Verbosity::Normal => LevelFilter::Warn,
        Verbosity::Verbose => LevelFilter::Info,
        Verbosity::Everything => LevelFilter::Debug,
    }
}
