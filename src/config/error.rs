//! What is wrong with a configuration, all of it at once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::proto::quoted;

/// Why there are no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {reason}", quoted(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, and what to do about it.
        reason: String,
    },
    /// The file was read, and contains invalid settings.
    #[error("{}", listed(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it, by line.
        problems: Vec<Problem>,
    },
    /// No state directory is configured, and there is no home directory to put it in.
    #[error("there is no directory for the state: name one with --state-dir, or as state_dir in [sync]")]
    NoStateDir,
    /// The state would lie among the files that the data server takes.
    #[error(
        "the state directory {} lies in the incoming directory {}: name another with --state-dir, or as state_dir in [sync]",
        quoted(state),
        quoted(incoming)
    )]
    StateAmongFiles {
        /// The state directory.
        state: PathBuf,
        /// The incoming directory.
        incoming: PathBuf,
    },
}

/// One thing wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Counted from 1; none where it is the file as a whole.
    pub line: Option<usize>,
    /// What was expected, and what was found instead. Never a secret.
    pub message: String,
}

impl Problem {
    fn at(&self, path: &Path) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", quoted(path), self.message),
            None => format!("{}: {}", quoted(path), self.message),
        }
    }
}

fn listed(path: &Path, problems: &[Problem]) -> String {
    let mut text = String::new();
    for (index, problem) in problems.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        let _ = write!(text, "{separator}{}", problem.at(path));
    }
    text
}

/// Nobody reads more.
const MOST_PROBLEMS: usize = 100;

/// What is found while a file is read: reading goes on, so that everything is found.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Diagnostics {
    /// The file cannot be run by.
    pub(super) fn error(&mut self, line: impl Into<Option<usize>>, message: impl Into<String>) {
        self.problems.push(Problem { line: line.into(), message: message.into() });
    }

    /// Whether reading on would only bring up errors that are none.
    pub(super) fn is_hopeless(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The settings can be used, but their author should be warned.
    pub(super) fn warn(&mut self, line: impl Into<Option<usize>>, message: impl Into<String>) {
        self.warnings.push(Problem { line: line.into(), message: message.into() });
    }

    /// The warnings, unless there were errors.
    pub(super) fn finish(self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let mut problems = in_order(self.problems);
        if problems.len() > MOST_PROBLEMS {
            let more = problems.len() - MOST_PROBLEMS;
            problems.truncate(MOST_PROBLEMS);
            problems.push(Problem { line: None, message: format!("and {more} errors more") });
        }
        if problems.is_empty() {
            Ok(in_order(self.warnings).iter().map(|warning| warning.at(path)).collect())
        } else {
            Err(ConfigError::Invalid { path: path.to_owned(), problems })
        }
    }
}

/// By line, and each once: what many sites inherit is wrong in one place.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_sorted_by_line_and_once() {
        let mut report = Diagnostics::default();
        report.error(7, "later");
        report.error(2, "sooner");
        report.error(None, "overall");
        report.error(7, "later");
        let error = report.finish(Path::new("a.toml")).unwrap_err();
        assert_eq!(error.to_string(), "a.toml: overall\na.toml:2: sooner\na.toml:7: later");
    }

    #[test]
    fn endless_problems_come_to_an_end() {
        let mut report = Diagnostics::default();
        (1..=150).for_each(|line| report.error(line, "bad"));
        let error = report.finish(Path::new("a.toml")).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 101);
        assert_eq!(error.lines().last(), Some("a.toml: and 50 errors more"));
    }

    #[test]
    fn warnings_alone_are_no_error() {
        let mut report = Diagnostics::default();
        report.warn(3, "odd");
        assert_eq!(report.finish(Path::new("a.toml")).unwrap(), ["a.toml:3: odd"]);
    }
}
