//! A line at the bottom of a terminal that shows how far a command is, and log lines above it.

use crate::mutex::lock;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// Back to the line's beginning, and erase to its end.
const ERASE: &str = "\r\x1b[K";

/// The line as it is shown; empty where none is. Clones are the same line.
#[derive(Clone, Debug, Default)]
pub struct StatusLine(Arc<Mutex<String>>);

impl StatusLine {
    /// Shows `text` on standard output, which is a terminal, in place of what was shown before.
    ///
    /// # Errors
    /// It cannot be written there.
    pub fn show(&self, text: &str) -> io::Result<()> {
        let mut shown = lock(&self.0);
        text.clone_into(&mut shown);
        let mut out = io::stdout().lock();
        out.write_all(format!("{ERASE}{text}").as_bytes())?;
        out.flush()
    }

    /// The line is to be shown no more: what is written next follows in a line of its own.
    ///
    /// # Errors
    /// The line's end cannot be written.
    pub fn end(&self) -> io::Result<()> {
        let shown = std::mem::take(&mut *lock(&self.0));
        if shown.is_empty() { Ok(()) } else { io::stdout().write_all(b"\n") }
    }

    /// What writes whole lines to `log`, which takes the line away before and shows it again after.
    pub(super) fn over<W: Write>(self, log: W, is_terminal: bool) -> OverStatus<W> {
        OverStatus { log, line: self, is_terminal }
    }
}

/// A log on the terminal that the status line is shown on.
pub(super) struct OverStatus<W> {
    log: W,
    line: StatusLine,
    is_terminal: bool,
}

impl<W: Write> Write for OverStatus<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shown = lock(&self.line.0);
        if shown.is_empty() || !self.is_terminal {
            return self.log.write(bytes);
        }
        // In one piece, or another program's words might come in between.
        let text = [ERASE.as_bytes(), bytes, shown.as_bytes()].concat();
        self.log.write_all(&text).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}
