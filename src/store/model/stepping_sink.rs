//! Files whose writing may fail as the model says.

use std::fs::File;
use std::io;

use super::{committer, store_worker};
use crate::store::fs::error::StoreError;
use crate::store::fs::sink::{OpenSink, Sink, SinkKind};

/// Opens sinks of which each step is one of the model: to be made, to take bytes, to be closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SteppingSinks(fn() -> Result<(), StoreError>);

#[derive(Debug)]
struct SteppingSink {
    real: Box<dyn Sink>,
    step: SteppingSinks,
}

impl SteppingSinks {
    /// What the collector stages on this thread.
    pub(crate) const STAGING: Self = Self(committer::staging_step);

    /// What the server that is at work on this thread is being sent.
    pub(crate) const AT_SITE: Self = Self(store_worker::writing_step);

    fn step(self) -> io::Result<()> {
        (self.0)().map_err(|error| match error {
            StoreError::Io { errno, .. } => errno.into(),
            other => io::Error::other(other.to_string()),
        })
    }
}

impl OpenSink for SteppingSinks {
    fn open(&self, file: File, size_hint: u64) -> io::Result<Box<dyn Sink>> {
        self.step()?;
        Ok(Box::new(SteppingSink { real: SinkKind::Append.open(file, size_hint)?, step: *self }))
    }
}

impl Sink for SteppingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.step.step()?;
        self.real.write(bytes)
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        self.step.step()?;
        self.real.close()
    }
}
