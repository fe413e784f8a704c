//! What the user gets to see.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use super::progress::Progress;
use crate::config::client::Verbosity;
use crate::proto::printable;

/// Smaller files are over before anybody wonders, in bytes.
const WORTH_WATCHING: u64 = 8 << 20;

/// Standard output and standard error. What cannot be written there is lost: the exit status is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    verbosity: Verbosity,
    /// Whether a person reads standard error.
    is_read: bool,
}

impl Console {
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        Self { verbosity, is_read: io::stderr().is_terminal() }
    }

    /// What happens, with `-v`.
    pub(super) fn log(self, text: impl Display) {
        if self.verbosity.verbose {
            let _ = writeln!(io::stdout(), "[log] {}", printable(&text.to_string()));
        }
    }

    /// What went wrong, without `-q`.
    pub(crate) fn error(self, text: impl Display) {
        if !self.verbosity.quiet {
            let _ = writeln!(io::stderr(), "[err] {}", printable(&text.to_string()));
        }
    }

    /// Advice on an error: not where a program reads standard error, for stock prints nothing of the kind.
    pub(crate) fn advise(self, text: impl Display) {
        if self.verbosity.verbose {
            self.log(text);
        } else if self.is_read && !self.verbosity.quiet {
            let _ = writeln!(io::stderr(), "      {}", printable(&text.to_string()));
        }
    }

    /// How far a file of `total` bytes is.
    pub(super) fn progress(self, name: impl Display, total: u64) -> Progress {
        if self.is_read && !self.verbosity.quiet && total >= WORTH_WATCHING {
            Progress::shown(&printable(&name.to_string()), total)
        } else {
            Progress::Hidden
        }
    }
}
