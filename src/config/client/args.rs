//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::getopts::{Getopts, Item, nearest_long};
use super::{ClientSettings, ClientUsageError, check};
use crate::proto::Secret;

/// Letters that take a value, and those that do not.
const WITH_VALUE: &[u8] = b"abefkprtxy";
const SWITCHES: &[u8] = b"cghqvwz";

const LONG_OPTIONS: [&str; 2] = ["help", "version"];

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// To print [`super::HELP`] on standard output.
    Help {
        /// What to exit with afterwards: 1 for `-h`, as stock does; 0 for `--help`.
        exit_code: u8,
    },
    /// To print the version (`--version`).
    Version,
    /// To send or get files.
    Transfer(Box<ClientSettings>),
}

/// The letters' values, the last one of each. Any of them may be a password, so none shows in a debug print.
#[derive(Debug, Default)]
pub(super) struct ShortOptions(BTreeMap<u8, Secret>);

impl ShortOptions {
    pub(super) fn has(&self, letter: u8) -> bool {
        self.0.contains_key(&letter)
    }

    pub(super) fn value(&self, letter: u8) -> Option<&Secret> {
        self.0.get(&letter)
    }
}

/// Takes the arguments after the program's name apart and checks them; `is_file` returns whether a file is there.
///
/// # Errors
/// The first thing that is wrong, in stock's order.
pub fn parse_args(
    args: impl IntoIterator<Item = OsString>,
    is_file: impl Fn(&Path) -> bool,
) -> Result<Invocation, ClientUsageError> {
    let mut items = Getopts::new(args);
    let (mut letters, mut files) = (ShortOptions::default(), Vec::<PathBuf>::new());
    while let Some(item) = items.next() {
        match item {
            Item::Operand(file) => files.push(file.into()),
            Item::Long { name, value: None } if name == "help" => return Ok(Invocation::Help { exit_code: 0 }),
            Item::Long { name, value: None } if name == "version" => return Ok(Invocation::Version),
            Item::Long { name, .. } => {
                let nearest = nearest_long(&name, LONG_OPTIONS);
                return Err(ClientUsageError::UnknownLong(format!("--{name}"), nearest));
            }
            Item::Letter(letter) => {
                let value = match letter {
                    _ if SWITCHES.contains(&letter) => Vec::new(),
                    _ if WITH_VALUE.contains(&letter) => items.value().ok_or(ClientUsageError::MissingValue(letter))?,
                    _ => return Err(ClientUsageError::UnknownLetter(letter)),
                };
                letters.0.insert(letter, Secret::new(value));
            }
        }
    }
    if letters.has(b'h') {
        return Ok(Invocation::Help { exit_code: 1 });
    }
    check::settings(&letters, files, is_file).map(|settings| Invocation::Transfer(Box::new(settings)))
}
