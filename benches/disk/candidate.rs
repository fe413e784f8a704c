//! What is done to the disk to publish a group.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rustix::fs::{fdatasync, fsync, syncfs};

use super::publisher::{SIZE, Way};
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
    Threads(Pool),
    Log(Log),
}

impl Candidate {
    pub(crate) fn new(way: Way, dir: &Path) -> Result<Self> {
        let incoming = dir.join("data_in");
        let staging = incoming.join(".staging");
        fs::create_dir_all(&staging)?;
        let method = match way {
            Way::Unflushed => Method::Unflushed,
            Way::OneByOne => Method::OneByOne,
            Way::Syncfs => Method::Syncfs,
            Way::Threads(threads) => Method::Threads(Pool::start(threads)?),
            Way::Log => Method::Log(Log::create(&dir.join("log"))?),
            Way::Product => return Err("the product has a committer of its own".into()),
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
            Method::Threads(pool) => {
                pool.flush(group.iter().map(|number| self.staging.join(number.to_string())).collect())?;
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

/// Threads that flush files.
pub(crate) struct Pool {
    orders: Vec<Sender<Arc<Vec<PathBuf>>>>,
    flushed: Receiver<io::Result<()>>,
}

impl Pool {
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let (done, flushed) = mpsc::channel();
        let start = |index| {
            let (order, orders) = mpsc::channel::<Arc<Vec<PathBuf>>>();
            let done = done.clone();
            let flush_share = move || {
                orders.iter().try_for_each(|files| {
                    done.send(files.iter().skip(index).step_by(threads).try_for_each(|file| flush(file)))
                })
            };
            thread::Builder::new().name("flush".into()).spawn(flush_share)?;
            Ok(order)
        };
        Ok(Self { orders: (0..threads).map(start).collect::<Result<_>>()?, flushed })
    }

    /// Makes all of them durable, each thread its share.
    pub(crate) fn flush(&self, files: Vec<PathBuf>) -> Result<()> {
        let busy = self.orders.len().min(files.len());
        let files = Arc::new(files);
        self.orders[..busy].iter().try_for_each(|order| order.send(Arc::clone(&files)))?;
        Ok(self.flushed.iter().take(busy).try_for_each(|flushed| flushed)?)
    }
}
