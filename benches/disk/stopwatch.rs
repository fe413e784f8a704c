//! What a thread waits for the disk, as against for its turn on a processor that others use as well.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::support::{Result, clock};

/// Times what this thread does, but for its waits for a processor.
pub(crate) struct Stopwatch {
    /// The kernel's account of this thread. Kernels without one give no figures, and then all waits count.
    account: Option<File>,
    started: Instant,
    waited: Duration,
}

impl Stopwatch {
    pub(crate) fn new() -> Result<Self> {
        let account = File::open("/proc/thread-self/schedstat").ok();
        let mut stopwatch = Self { account, started: clock(), waited: Duration::ZERO };
        stopwatch.start()?;
        Ok(stopwatch)
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        self.waited = self.waits()?;
        self.started = clock();
        Ok(())
    }

    /// The time since the start, and starts again.
    pub(crate) fn lap(&mut self) -> Result<Duration> {
        let (took, waited) = (self.started.elapsed(), self.waited);
        self.start()?;
        Ok(took.saturating_sub(self.waited.saturating_sub(waited)))
    }

    /// How long this thread has waited for a processor so far: the second of three figures, in ns.
    fn waits(&self) -> Result<Duration> {
        let Some(account) = &self.account else { return Ok(Duration::ZERO) };
        let mut buffer = [0; 64];
        let length = account.read_at(&mut buffer, 0)?;
        let figures = str::from_utf8(&buffer[..length])?;
        let waits = figures.split(' ').nth(1).ok_or("/proc/thread-self/schedstat has three figures")?;
        Ok(Duration::from_nanos(waits.parse()?))
    }
}
