//! `tentacle_client`, the program.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use log::Level;

use super::limits;
use crate::client::{self, Console};
use crate::config::client::{ClientUsageError, HELP, Invocation, Verbosity, parse_args};
use crate::obs::{complain as say_error, print};

/// Something was not done.
const FAILURE: u8 = 1;

/// The program.
pub fn main() -> ExitCode {
    run(std::env::args_os().skip(1)).into()
}

fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    match parse_args(args, Path::is_file) {
        Ok(Invocation::Help { exit_code }) => printed(HELP, exit_code),
        Ok(Invocation::Version) => {
            printed(concat!("tentacle_client ", env!("CARGO_PKG_VERSION"), " (tentacle-sync)\n"), 0)
        }
        Ok(Invocation::Transfer(settings)) => {
            let console = Console::new(settings.verbosity);
            let outcome = limits::outlive_file_size_limit().map_err(Into::into);
            match outcome.and_then(|()| client::run(&settings, console)) {
                Ok(()) => 0,
                Err(reason) => {
                    console.error(&reason);
                    if let Some(advice) = reason.advice(&settings) {
                        console.advise(advice);
                    }
                    FAILURE
                }
            }
        }
        Err(error) => {
            complain(&error);
            FAILURE
        }
    }
}

/// Also with `-q`: it is about the files.
fn complain(error: &ClientUsageError) {
    if error.is_of_getopts() {
        say_error(Level::Error, error);
        printed(HELP, FAILURE);
    } else {
        Console::new(Verbosity::default()).error(error);
    }
}

/// The exit status of what is done once this is printed.
fn printed(text: &str, exit_code: u8) -> u8 {
    match print(text) {
        Ok(()) => exit_code,
        Err(error) => {
            say_error(Level::Error, format_args!("tentacle_client: {error}"));
            FAILURE
        }
    }
}
