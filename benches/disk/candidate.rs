//! What is done to the disk to publish a group.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{fdatasync, fsync, syncfs};

use super::publisher::{SIZE, Strategy};
use crate::support::{Result, is_smoke};

/// How large the log is, in files: no smaller than a group.
fn log_size() -> usize {
    if is_smoke() { 1024 } else { 16_384 }
}

/// A way to publish, at work in its directories.
pub(crate) struct Candidate {
    staging: PathBuf,
    incoming: PathBuf,
    directory: File,
    method: Method,
}

enum Method {
    Unflushed,
    OneByOne,
    Syncfs,
    Threads(usize),
    Log(Log),
}

impl Candidate {
    pub(crate) fn new(way: Strategy, dir: &Path) -> Result<Self> {
        let incoming = dir.join("data_in");
        let staging = incoming.join(".staging");
        fs::create_dir_all(&staging)?;
        let method = match way {
            Strategy::Unflushed => Method::Unflushed,
            Strategy::OneByOne => Method::OneByOne,
            Strategy::Syncfs => Method::Syncfs,
            Strategy::Threads(threads) => Method::Threads(threads),
            Strategy::Log => Method::Log(Log::create(&dir.join("log"))?),
            Strategy::Product => return Err("the product has a committer of its own".into()),
        };
        Ok(Self { directory: File::open(&incoming)?, staging, incoming, method })
    }

    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Publishes these staged files, durably.
    pub(crate) fn publish(&mut self, group: &[u64]) -> Result<()> {
        match &mut self.method {
            Method::Unflushed => self.rename(group),
            Method::OneByOne => group.iter().try_for_each(|number| {
                flush(&self.staging.join(number.to_string()))?;
                self.rename(&[*number])?;
                Ok(fsync(&self.directory)?)
            }),
            Method::Syncfs => {
                syncfs(&self.directory)?;
                self.rename(group)?;
                Ok(fsync(&self.directory)?)
            }
            Method::Threads(threads) => {
                let files: Vec<_> = group.iter().map(|number| self.staging.join(number.to_string())).collect();
                flush_from(*threads, &files)?;
                self.rename(group)?;
                Ok(fsync(&self.directory)?)
            }
            Method::Log(log) => {
                if log.is_full_with(group.len()) {
                    syncfs(&self.directory)?;
                    log.rewind()?;
                }
                log.append(group.len())?;
                self.rename(group)
            }
        }
    }

    /// Does what was put off.
    pub(crate) fn finish(self) -> Result<()> {
        match self.method {
            Method::Log(_) => Ok(syncfs(&self.directory)?),
            Method::Unflushed | Method::OneByOne | Method::Syncfs | Method::Threads(_) => Ok(()),
        }
    }

    fn rename(&self, group: &[u64]) -> Result<()> {
        let rename = |number: &u64| {
            fs::rename(self.staging.join(number.to_string()), self.incoming.join(format!("agent.{number}.data")))
        };
        Ok(group.iter().try_for_each(rename)?)
    }
}

/// Makes a file's bytes durable.
pub(crate) fn flush(path: &Path) -> io::Result<()> {
    Ok(fdatasync(File::open(path)?)?)
}

/// A file whose room is there and written, so that flushing it costs its bytes alone.
struct Log {
    file: File,
    /// In files.
    size: usize,
    /// In files.
    filled: usize,
    bytes: Vec<u8>,
}

impl Log {
    fn create(path: &Path) -> Result<Self> {
        let mut file = File::create_new(path)?;
        let (size, bytes) = (log_size(), vec![b'x'; SIZE]);
        (0..size).try_for_each(|_| file.write_all(&bytes))?;
        file.sync_all()?;
        let mut log = Self { file, size, filled: 0, bytes };
        log.rewind()?;
        Ok(log)
    }

    fn is_full_with(&self, files: usize) -> bool {
        self.filled + files > self.size
    }

    fn rewind(&mut self) -> Result<()> {
        self.filled = 0;
        Ok(self.file.rewind()?)
    }

    fn append(&mut self, files: usize) -> Result<()> {
        self.filled += files;
        self.file.write_all(&self.bytes.repeat(files))?;
        Ok(fdatasync(&self.file)?)
    }
}

/// Makes files durable from so many threads, started for it.
pub(crate) fn flush_from(threads: usize, files: &[PathBuf]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let flush_some = || -> io::Result<()> {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            flush(file)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(files.len())).map(|_| scope.spawn(flush_some)).collect();
        flush_some()?;
        helpers.into_iter().try_for_each(|helper| Ok(helper.join().map_err(|_| "a flush has panicked")??))
    })
}
