//! `tentacle-syncd`: its commands.

mod check;
mod cli;
mod demo;
mod import;
mod once;
mod probe;
mod run;

use std::process::ExitCode;

pub use cli::main;

use crate::config::{Settings, SiteSettings};
use crate::role::limits;

/// All went well.
const SUCCESS: u8 = 0;

/// What was asked for was tried and did not all succeed.
const FAILURE: u8 = 1;

/// The command line or the configuration cannot be used; nothing was tried.
const UNUSABLE: u8 = 2;

/// What a command ends in: its exit status, or a message for stderr and [`UNUSABLE`].
type Outcome = Result<u8, Box<dyn std::error::Error>>;

/// Warns where the sites may take more connections than this process has files for.
fn check_open_files(settings: &Settings) {
    let wanted = settings.sites.iter().filter(|site| site.enabled).map(|site| site.connections).sum::<usize>();
    limits::check_open_files(wanted.min(settings.max_connections));
}

/// The site called `name`.
fn find_site<'a>(settings: &'a Settings, name: &str) -> Result<&'a SiteSettings, String> {
    settings.sites.iter().find(|site| site.name == name).ok_or_else(|| {
        let names: Vec<&str> = settings.sites.iter().map(|site| site.name.as_str()).collect();
        format!("no site is named {name:?}; there are: {}", names.join(", "))
    })
}

#[expect(clippy::print_stderr, reason = "where a program's errors go")]
fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(status) => status.into(),
        Err(error) => {
            // Each cause on its own line, as multi-line configuration errors are.
            eprintln!("tentacle-syncd: {error}");
            UNUSABLE.into()
        }
    }
}
