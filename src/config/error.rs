//! What is wrong with a configuration, all of it at once.

use std::fmt::{self, Display, Formatter};
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
    /// It was read, and contains invalid settings.
    #[error("{}", listed(problems))]
    Invalid {
        /// Everything that is wrong, by file and line.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1; none where it is the file as a whole.
    pub line: Option<usize>,
    /// What was expected, and what was found instead. Never a secret.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let path = quoted(&self.path);
        match self.line {
            Some(line) => write!(f, "{path}:{line}: {}", self.message),
            None => write!(f, "{path}: {}", self.message),
        }
    }
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Where something stands in a configuration of one or more files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of the files: 0 is the one that includes the others.
    pub(super) file: usize,
    /// Counted from 1; none where it is the file as a whole.
    pub(super) line: Option<usize>,
}

impl Place {
    /// The file that includes the others, as a whole.
    pub(super) const MAIN: Self = Self { file: 0, line: None };
}

impl From<usize> for Place {
    fn from(line: usize) -> Self {
        Self { line: Some(line), ..Self::MAIN }
    }
}

impl From<Option<usize>> for Place {
    fn from(line: Option<usize>) -> Self {
        Self { line, ..Self::MAIN }
    }
}

/// Nobody reads more.
const MOST_PROBLEMS: usize = 100;

/// What is found while files are read: reading goes on, so that everything is found.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    problems: Vec<(Place, String)>,
    warnings: Vec<(Place, String)>,
}

impl Diagnostics {
    /// The files cannot be run by.
    pub(super) fn error(&mut self, place: impl Into<Place>, message: impl Into<String>) {
        self.problems.push((place.into(), message.into()));
    }

    /// Whether reading on would only bring up errors that are none.
    pub(super) fn is_hopeless(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The settings can be used, but their author should be warned.
    pub(super) fn warn(&mut self, place: impl Into<Place>, message: impl Into<String>) {
        self.warnings.push((place.into(), message.into()));
    }

    /// The warnings, unless there were errors. `files` are those of the places.
    pub(super) fn finish(self, files: &[&Path]) -> Result<Vec<String>, ConfigError> {
        let mut problems = in_order(self.problems, files);
        if problems.is_empty() {
            return Ok(in_order(self.warnings, files).iter().map(Problem::to_string).collect());
        }
        if problems.len() > MOST_PROBLEMS {
            let message = format!("and {} errors more", problems.len() - MOST_PROBLEMS);
            problems.truncate(MOST_PROBLEMS);
            problems.push(Problem { path: path_of(Place::MAIN, files), line: None, message });
        }
        Err(ConfigError::Invalid { problems })
    }
}

/// By file and line, and each once: what many sites inherit is wrong in one place.
fn in_order(mut found: Vec<(Place, String)>, files: &[&Path]) -> Vec<Problem> {
    found.sort();
    found.dedup();
    let problem =
        |(place, message): (Place, String)| Problem { path: path_of(place, files), line: place.line, message };
    found.into_iter().map(problem).collect()
}

fn path_of(place: Place, files: &[&Path]) -> PathBuf {
    files.get(place.file).map(|path| path.to_path_buf()).unwrap_or_default()
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
        let error = report.finish(&[Path::new("a.toml")]).unwrap_err();
        assert_eq!(error.to_string(), "a.toml: overall\na.toml:2: sooner\na.toml:7: later");
    }

    #[test]
    fn problems_come_in_the_order_of_their_files() {
        let mut report = Diagnostics::default();
        report.error(Place { file: 1, line: Some(1) }, "included");
        report.error(Place { file: 2, line: None }, "unreadable");
        report.error(9, "main");
        let error = report.finish(&["z.toml", "b.toml", "a.toml"].map(Path::new)).unwrap_err();
        assert_eq!(error.to_string(), "z.toml:9: main\nb.toml:1: included\na.toml: unreadable");
    }

    #[test]
    fn endless_problems_come_to_an_end() {
        let mut report = Diagnostics::default();
        (1..=150).for_each(|line| report.error(line, "bad"));
        let error = report.finish(&[Path::new("a.toml")]).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 101);
        assert_eq!(error.lines().last(), Some("a.toml: and 50 errors more"));
    }

    #[test]
    fn warnings_alone_are_no_error() {
        let mut report = Diagnostics::default();
        report.warn(3, "odd");
        assert_eq!(report.finish(&[Path::new("a.toml")]).unwrap(), ["a.toml:3: odd"]);
    }
}
