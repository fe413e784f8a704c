//! What a command prints. Output that cannot be written is an error, and never a panic.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;

use log::Level;
use nix::poll::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::journal::{stderr_is_journal, with_priority};
use super::log::finish_log;
use crate::proto::printable;

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader has gone, as `head` does: then nothing more is written, not even a message.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Standard output of a command. Once it cannot be written, nothing more is: the command goes on, and
/// [`Output::finish`] returns the error.
#[derive(Debug, Default)]
pub struct Output(Option<OutputError>);

impl Output {
    /// Prints one line, or several, for people: whatever does not show is escaped.
    pub fn line(&mut self, text: impl Display) {
        self.file(&printable_lines(&text.to_string()));
    }

    /// Prints a text file to its last byte, as it is.
    pub fn file(&mut self, text: &str) {
        self.attempt(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        });
    }

    /// Lets `write` write to standard output, unless it has failed before.
    pub fn attempt(&mut self, write: impl FnOnce() -> io::Result<()>) {
        if self.0.is_none() {
            self.0 = write().err().map(OutputError);
        }
    }

    /// Whether all could be written so far.
    pub fn is_sound(&self) -> bool {
        self.0.is_none()
    }

    /// Whether all could be written.
    ///
    /// # Errors
    /// Why not.
    pub fn finish(self) -> Result<(), OutputError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Prints a whole text, whose last line need not end. A reader that went away, as `head` does, has read enough.
///
/// # Errors
/// It cannot be written: for example, the disk behind it is full.
pub fn print(text: impl Display) -> Result<(), OutputError> {
    let mut out = Output::default();
    out.line(text.to_string().trim_end_matches('\n'));
    out.finish().or_else(|error| if error.is_closed() { Ok(()) } else { Err(error) })
}

/// Writes to standard error, in lines of their own, why a program ends, or what it has noticed. If that cannot be
/// written, the exit status is enough.
pub fn complain(level: Level, text: impl Display) {
    let text = printable_lines(&text.to_string());
    let text = if stderr_is_journal() { with_priority(level, text) } else { text };
    finish_log();
    let mut rest = text.as_bytes();
    while !rest.is_empty() && takes_words() {
        match rustix::io::write(io::stderr(), &rest[..rest.len().min(ATOMIC)]) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
}

/// Each line of `text` as far as it shows, with its end; a text of no lines is an empty one.
fn printable_lines(text: &str) -> String {
    let lines = if text.is_empty() { "\n" } else { text }.lines();
    lines.flat_map(|line| [printable(line), "\n".to_owned()]).collect()
}

/// What a pipe that takes anything takes without waiting: `PIPE_BUF` of pipe(7).
const ATOMIC: usize = 4096;

/// Waits until standard error takes what is written to it. Not for ever: a reader that does not read is no reason not to
/// end.
fn takes_words() -> bool {
    let stderr = io::stderr();
    let mut polled = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut polled, PATIENCE_MS).is_ok_and(|ready| ready > 0)
}

/// Milliseconds for a reader to read on.
const PATIENCE_MS: u16 = 500;
