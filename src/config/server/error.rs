//! What is wrong with a command line or a file: all of it at once, each with its place.

use std::fmt;
use std::path::PathBuf;

use crate::proto::quoted;

/// Why there is no [`super::ServerConfig`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerConfigError {
    /// The command line cannot be taken apart, or does not name what to do.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The command line or a file contains invalid settings.
    #[error("{}", listed(.0))]
    Invalid(Vec<ServerProblem>),
}

impl ServerConfigError {
    /// What the program exits with: stock's 1 for a wrong command line, 2 for a wrong value and for `-S`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(UsageError::WindowsOnly) | Self::Invalid(_) => 2,
            Self::Usage(_) => 1,
        }
    }
}

/// Why a command line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An option that there is not.
    #[error("unknown option {option}{}; tentacle_server -h lists them", hint(nearest.as_ref()))]
    UnknownOption {
        /// As it was given.
        option: String,
        /// The option that was probably intended.
        nearest: Option<String>,
    },
    /// The last option needs a value.
    #[error("{0} needs a value after it")]
    MissingValue(String),
    /// A value for an option that takes none.
    #[error("{0} takes no value")]
    UnwantedValue(String),
    /// An option that means something with `--status` alone.
    #[error("{0} needs --status")]
    NeedsStatus(&'static str),
    /// Something that is no option.
    #[error("{} is no option{}", shown_operand(.0.as_ref()), OPERAND_ADVICE)]
    Operand(Option<String>),
    /// `-S`.
    #[error("-S manages a service of Windows, which this is not; on Linux use systemd or -d")]
    WindowsOnly,
    /// Neither a storage directory nor a server to relay to.
    #[error("{}nothing to do: name the storage directory with -s, or the server to relay to with -b", lines(warnings))]
    NoMode {
        /// What may be the reason, such as a key that is not known.
        warnings: Vec<String>,
    },
}

const OPERAND_ADVICE: &str = ", and there is nothing else to name; quote values that hold blanks or `;`";

fn hint(nearest: Option<&String>) -> String {
    nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default()
}

fn lines(warnings: &[String]) -> String {
    warnings.iter().flat_map(|warning| [warning, "\n"]).collect()
}

/// What follows `-x` may be the rest of a password.
fn shown_operand(operand: Option<&String>) -> String {
    operand.map_or_else(|| "what follows the value of -x".to_owned(), |operand| format!("{operand:?}"))
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An option, such as `-p`.
    Option(String),
    /// A file as a whole.
    File(PathBuf),
    /// A line of a file, counted from 1.
    Line(PathBuf, usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(option) => f.write_str(option),
            Self::File(path) => write!(f, "{}", quoted(path)),
            Self::Line(path, line) => write!(f, "{}:{line}", quoted(path)),
        }
    }
}

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ServerProblem {
    /// Where.
    pub place: Place,
    /// What was expected, and what was found instead. Never a secret.
    pub message: String,
}

fn listed(problems: &[ServerProblem]) -> String {
    problems.iter().map(ServerProblem::to_string).collect::<Vec<_>>().join("\n")
}

/// Nobody reads more.
const MOST_PROBLEMS: usize = 100;

/// What is found while reading, which goes on so that everything is found.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    problems: Vec<ServerProblem>,
    warnings: Vec<ServerProblem>,
}

impl Diagnostics {
    /// It cannot be run by.
    pub(super) fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.push(ServerProblem { place: place.clone(), message: message.into() });
    }

    /// It can be used, but its author should be warned.
    pub(super) fn warn(&mut self, place: &Place, message: impl Into<String>) {
        self.warnings.push(ServerProblem { place: place.clone(), message: message.into() });
    }

    /// The warnings, unless there were errors.
    pub(super) fn finish(self) -> Result<Vec<String>, ServerConfigError> {
        let problems = in_order(self.problems);
        if problems.is_empty() {
            Ok(in_order(self.warnings).iter().map(ServerProblem::to_string).collect())
        } else {
            Err(ServerConfigError::Invalid(problems))
        }
    }
}

fn in_order(mut problems: Vec<ServerProblem>) -> Vec<ServerProblem> {
    problems.sort();
    problems.dedup();
    problems.truncate(MOST_PROBLEMS);
    problems
}
