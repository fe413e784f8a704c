//! What a session and the storage reach the outside through: as traits, so that they can be run on a simulated network and
//! a model disk.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use crate::net::{Compressible, Failure, FileSent, Io};
use crate::proto::FileName;
use crate::store::{Concluded, Identity, StorageDir, StoreRequest, StoreWorker};

/// An open connection in the hands of its session: [`Io`], whose methods these are.
pub(crate) trait Connection: Compressible {
    fn now(&self) -> Instant;
    fn has_input(&mut self) -> bool;
    fn is_reset(&mut self) -> bool;
    fn send_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure>;
    fn is_flushed(&mut self) -> bool;
    fn unacknowledged(&mut self) -> io::Result<usize>;
    fn set_deadline(&mut self, wait: Option<Duration>);
    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>);
    fn half_close_after(&mut self, wait: Duration);
}

/// Who makes files safe under their names, and removes them: [`StoreWorker`], whose methods these are.
pub(crate) trait FileStore: Debug + Send {
    fn store(&self, request: StoreRequest);
    fn remove(&self, dir: StorageDir, name: FileName, identity: Identity);
    fn drop_file(&self, ticket: u64, dir: StorageDir, name: FileName, identity: Identity);
    fn is_alive(&self) -> bool;
    fn completions(&self) -> Vec<Concluded>;
    fn stop(self: Box<Self>);
}

impl Connection for Io<'_> {
    fn now(&self) -> Instant {
        self.now()
    }

    fn has_input(&mut self) -> bool {
        self.has_input()
    }

    fn is_reset(&mut self) -> bool {
        self.is_reset()
    }

    fn send_file(&mut self, file: &File, offset: u64, count: u64) -> Result<FileSent, Failure> {
        self.send_file(file, offset, count)
    }

    fn is_flushed(&mut self) -> bool {
        self.is_flushed()
    }

    fn unacknowledged(&mut self) -> io::Result<usize> {
        self.unacknowledged()
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        self.set_deadline(wait);
    }

    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>) {
        self.drain_by(wait, drained_by);
    }

    fn half_close_after(&mut self, wait: Duration) {
        self.half_close_after(wait);
    }
}

impl FileStore for StoreWorker {
    fn store(&self, request: StoreRequest) {
        self.store(request);
    }

    fn remove(&self, dir: StorageDir, name: FileName, identity: Identity) {
        self.remove(dir, name, identity);
    }

    fn drop_file(&self, ticket: u64, dir: StorageDir, name: FileName, identity: Identity) {
        self.drop_file(ticket, dir, name, identity);
    }

    fn is_alive(&self) -> bool {
        self.is_alive()
    }

    fn completions(&self) -> Vec<Concluded> {
        self.completions()
    }

    fn stop(self: Box<Self>) {
        Self::stop(*self);
    }
}
