//! `tentacle_server`, the program.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use log::{Level, LevelFilter, error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::process::{self, ProcessError};
use super::service::{Bound, Service, StartError, check};
use crate::config::server::{
    CommandLine, HELP, Passphrase, Request, ServerConfig, ServerConfigError, Surroundings, Verbosity, load, parse_args,
};
use crate::obs::{LogTarget, Output, OutputError, complain, start_log_to};
use crate::proto::Secret;
use crate::role::{Watchdog, limits, passphrase, service_manager};
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
    exit_code(run(std::env::args_os().skip(1)))
}

fn exit_code(outcome: Result<u8, Problem>) -> ExitCode {
    match outcome {
        Ok(code) => code.into(),
        // Whoever read what was printed wants no more.
        Err(problem) if problem.downcast_ref().is_some_and(OutputError::is_closed) => USAGE.into(),
        Err(problem) => {
            complain(Level::Error, "tentacle_server", &problem);
            code_of(&*problem).into()
        }
    }
}

/// As stock does: 2 where a value, or a file that it names, is to blame.
fn code_of(problem: &(dyn std::error::Error + 'static)) -> u8 {
    let of_config = problem.downcast_ref().map(ServerConfigError::exit_code);
    let of_start = || problem.downcast_ref().map(StartError::is_of_configuration);
    let of_process = || problem.downcast_ref().map(ProcessError::is_of_configuration);
    if problem.downcast_ref().is_some_and(ProcessError::is_of_usage) {
        return USAGE;
    }
    let of_store = || problem.is::<StoreError>().then_some(true);
    let code = |is_of_configuration| if is_of_configuration { UNUSABLE } else { FAILURE };
    of_config.or_else(|| of_start().or_else(of_process).or_else(of_store).map(code)).unwrap_or(FAILURE)
}

fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Problem> {
    limits::outlive_file_size_limit()?;
    match parse_args(args).map_err(ServerConfigError::from)? {
        Request::Help { exit_code } => {
            print(HELP)?;
            Ok(exit_code)
        }
        Request::Version => {
            print(concat!("tentacle_server ", env!("CARGO_PKG_VERSION"), " (tentacle-sync)\n"))?;
            Ok(0)
        }
        Request::Check(line) => {
            let config = Configuration::of_system(line)?.read()?;
            let mut out = Output::default();
            config.warnings.iter().for_each(|warning| out.line(format_args!("warning: {warning}")));
            check(&config)?;
            out.line(&config);
            out.finish()?;
            Ok(0)
        }
        Request::Serve(line) => serve(Configuration::of_system(line)?).map(|()| 0),
    }
}

fn print(text: &str) -> Result<(), OutputError> {
    let mut out = Output::default();
    out.line(text.trim_end_matches('\n'));
    out.finish()
}

/// Where the configuration comes from, again and again.
struct Configuration {
    line: CommandLine,
    surroundings: Surroundings,
    /// What was typed at the terminal, once.
    typed: Option<Secret>,
}

impl Configuration {
    fn of_system(line: CommandLine) -> io::Result<Self> {
        Ok(Self { line, surroundings: Surroundings::of_system(std::env::current_dir()?), typed: None })
    }

    fn read(&self) -> Result<ServerConfig, ServerConfigError> {
        let mut config = load(&self.line, &self.surroundings)?;
        if let (Some(tls), Some(typed)) = (&mut config.tls, &self.typed)
            && tls.passphrase == Passphrase::Ask
        {
            tls.passphrase = Passphrase::Known(typed.clone());
        }
        Ok(config)
    }

    /// Asks at the terminal for what `config` lacks.
    fn complete(&mut self, config: ServerConfig) -> Result<ServerConfig, Problem> {
        match &config.tls {
            Some(tls) if tls.passphrase == Passphrase::Ask => {
                let typed = passphrase::ask(&tls.key.display().to_string());
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
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(config.process.umask));
    let log = start_log_to(level(config.log.verbosity), config.log.file.as_deref())?;
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    let process = config.process.clone();
    let connections = config.limits.max_connections;
    let bound = Bound::new(config)?;
    limits::check_open_files(connections);
    if let Some(user) = &process.user {
        process::become_user(user)?;
    }
    let root = bound.open_storage()?;
    if process.daemon {
        process::go_to_background()?;
    }
    for address in bound.addresses() {
        info!("listening on {address}");
    }
    let mut service = bound.start(root)?;
    service.take_signals(&[SIGTERM, SIGINT, SIGHUP])?;
    let mut watchdog = Watchdog::from_environment();
    service_manager::ready(SERVING);
    let outcome = service.run(&mut watchdog, |service, signal| {
        if signal == SIGHUP {
            reload(service, &configuration, &log);
        } else {
            service_manager::stopping();
        }
        signal == SIGHUP
    });
    if let Err(error) = &outcome {
        error!("{error}");
    }
    info!("stopped");
    Ok(outcome?)
}

/// The last good configuration stays when the new one is bad.
fn reload(service: &mut Service, configuration: &Configuration, log: &LogTarget) {
    service_manager::reloading();
    log.reopen();
    let reloaded = configuration.read().map_err(|error| error.to_string()).and_then(|config| {
        config.warnings.iter().for_each(|warning| warn!("{warning}"));
        limits::check_open_files(config.limits.max_connections);
        service.reload(&config).map_err(|error| error.to_string())
    });
    match reloaded {
        Ok(()) => info!("configuration and certificates reloaded"),
        Err(why) => error!("not reloaded, going on as before: {why}"),
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
