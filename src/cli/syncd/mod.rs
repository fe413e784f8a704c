//! `tentacle-syncd`: its commands.

mod args;
mod check;
mod config;
mod control;
mod data_server;
#[cfg(feature = "demo")]
mod demo;
mod forced_end;
mod import;
mod once;
mod probe;
mod run;
mod user;

use std::path::Path;
use std::process::ExitCode;

pub use args::main;
use log::Level;

use self::control::NoTerminal;
use self::import::WriteError;
use self::user::UserError;
use super::control::ControlError;
use super::limits;
use crate::collector::StartError;
use crate::config::{ConfigError, Settings, SiteSettings};
use crate::obs::{OutputError, complain};
use crate::proto::{Count, quoted};

/// The program's name in its messages.
const PROGRAM: &str = "tentacle-syncd";

/// All went well.
const SUCCESS: u8 = 0;

/// What was asked for was tried and did not all succeed.
const FAILURE: u8 = 1;

/// The command line or the configuration cannot be used: trying again does not help.
const UNUSABLE: u8 = 2;

/// Nothing could be tried, now at least: another try may succeed.
const TRANSIENT: u8 = 3;

type Problem = Box<dyn std::error::Error>;

/// What a command ends in: its exit status, or a message for stderr and [`UNUSABLE`] or [`TRANSIENT`].
type Outcome = Result<u8, Problem>;

/// Nothing in the configuration has that name.
#[derive(Debug, thiserror::Error)]
#[error("no site is named {}; {}", quoted(name), known(names))]
struct UnknownSite {
    name: String,
    names: Vec<String>,
}

/// No site that is meant has configuration to be kept the same.
#[derive(Debug, thiserror::Error)]
enum NotConfigured {
    #[error(
        "no site that is enabled has configuration to be kept the same: each has remote_config = false, or its incoming_dir \
         has no directories conf and md5"
    )]
    Any,
    #[error(
        "site {}: it has remote_config = false, or its incoming_dir has no directories conf and md5",
        quoted(.0)
    )]
    Named(String),
}

fn known(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name).to_string()).collect();
    if names.is_empty() { "none is configured".to_owned() } else { format!("there are: {}", names.join(", ")) }
}

/// Warns where the sites may take more connections than this process has files for.
fn check_open_files(settings: &Settings) {
    let wanted = settings.sites.iter().filter(|site| site.enabled).map(|site| site.connections).sum::<usize>();
    limits::check_open_files(wanted.min(settings.max_connections));
}

/// The files that `settings` were read from, of which `path` includes the others.
fn read_from(path: &Path, settings: &Settings) -> String {
    match settings.included() {
        0 => quoted(path).to_string(),
        files => format!("{} and {} that it includes", quoted(path), Count(files, "file")),
    }
}

/// The site called `name`.
fn find_site<'a>(settings: &'a Settings, name: &str) -> Result<&'a SiteSettings, UnknownSite> {
    settings.sites.iter().find(|site| site.name == name).ok_or_else(|| {
        let names = settings.sites.iter().map(|site| site.name.clone()).collect();
        UnknownSite { name: name.to_owned(), names }
    })
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(status) => status.into(),
        // The reader of the output has gone.
        Err(problem) if problem.downcast_ref().is_some_and(OutputError::is_closed) => FAILURE.into(),
        Err(problem) => {
            // Each cause on its own line, as multi-line configuration errors are.
            complain(Level::Error, format_args!("{PROGRAM}: {problem}"));
            code_of(&*problem).into()
        }
    }
}

fn code_of(problem: &(dyn std::error::Error + 'static)) -> u8 {
    let is_of_configuration = problem.is::<ConfigError>()
        || problem.is::<UnknownSite>()
        || problem.is::<NotConfigured>()
        || problem.is::<UserError>()
        || problem.is::<NoTerminal>()
        || problem.downcast_ref().is_some_and(WriteError::is_lasting)
        || problem.downcast_ref().is_some_and(StartError::is_of_configuration);
    match problem {
        _ if is_of_configuration => UNUSABLE,
        _ if problem.is::<OutputError>() => FAILURE,
        _ => problem.downcast_ref().map_or(TRANSIENT, ControlError::exit_code),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::store::StoreError;

    fn of_store(error: StoreError) -> u8 {
        code_of(&StartError::Store(error))
    }

    #[test]
    fn what_another_try_may_cure_has_a_status_of_its_own() {
        let failed = |errno| StoreError::Io { action: "write", path: "/spool".into(), errno };
        for errno in [Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::IO, Errno::NOENT, Errno::MFILE] {
            assert_eq!(of_store(failed(errno)), TRANSIENT, "{errno}");
        }
        assert_eq!(of_store(StoreError::Busy { path: "/state".into(), holder: None }), TRANSIENT);
        assert_eq!(code_of(&std::io::Error::from(Errno::MFILE)), TRANSIENT);
        assert_eq!(of_store(StoreError::CopiedSpool("/a".into(), "/b".into())), UNUSABLE);
        assert_eq!(of_store(StoreError::JournalFormat { path: "/journal".into(), found: 9, known: 1 }), UNUSABLE);
        assert_eq!(code_of(&ConfigError::NoStateDir), UNUSABLE);
        let unknown = UnknownSite { name: "a".into(), names: Vec::new() };
        assert_eq!((code_of(&unknown), &*unknown.to_string()), (UNUSABLE, "no site is named a; none is configured"));
    }
}
