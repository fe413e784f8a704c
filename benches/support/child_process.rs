//! A child process of a bench, which answers each order with one line.

use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::Result;

/// The process, until this is dropped.
pub(crate) struct ChildProcess {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl ChildProcess {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the other process's pipes are missing".into());
        };
        Ok(Self { process, orders, answers: BufReader::new(answers).lines() })
    }

    /// Sends it an order; returns its answer.
    pub(crate) fn request(&mut self, order: impl Display) -> Result<String> {
        writeln!(self.orders, "{order}")?;
        self.answer()
    }

    /// Its next line.
    pub(crate) fn answer(&mut self) -> Result<String> {
        Ok(self.answers.next().ok_or("the other process has ended")??)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It has nothing to lose, and no error can be reported from here.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}
