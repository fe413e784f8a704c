//! Ways to make staged files durable and publish them, all seen from the loop in the same way.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use tentacle_sync::store::{CommitPolicy, Committer, Durability, Publication, Publish, Spool};

use super::candidate::Candidate;
use crate::support::Result;

/// How large a file is, in bytes.
pub(crate) const SIZE: usize = 4 * 1024;

/// The most files published as one group, as in the product.
const GROUP: usize = 1024;

/// A way to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Without any flush: what a durable way is measured against.
    Unflushed,
    /// Of each file on its own: bytes flushed, renamed, directory flushed.
    OneByOne,
    /// One `syncfs` for the group.
    Syncfs,
    /// So many threads flush the group's files.
    Threads(usize),
    /// The group's bytes go to a log, which alone is flushed; now and then a `syncfs` makes the log empty again.
    Log,
    /// The product's committer, its journal included.
    Product,
}

impl Strategy {
    pub(crate) const ALL: [Self; 7] =
        [Self::Unflushed, Self::OneByOne, Self::Syncfs, Self::Threads(4), Self::Threads(16), Self::Log, Self::Product];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Unflushed => "nothing flushed".into(),
            Self::OneByOne => "one by one: fdatasync, rename, fsync dir".into(),
            Self::Syncfs => "syncfs for the group".into(),
            Self::Threads(threads) => format!("fdatasync from {threads} threads"),
            Self::Log => "log, fdatasync; syncfs when it is full".into(),
            Self::Product => "the product, with its journal".into(),
        }
    }

    /// Begins to publish this way in `dir`, which is empty.
    pub(crate) fn start(self, dir: &Path) -> Result<Box<dyn Publisher>> {
        match self {
            Self::Product => Ok(Box::new(Product::start(dir)?)),
            other => Ok(Box::new(ThreadedCandidate::start(Candidate::new(other, dir)?)?)),
        }
    }
}

/// Publishes files off the thread that stages them.
pub(crate) trait Publisher {
    /// Creates, writes and closes a file, and hands it over.
    fn stage(&mut self) -> Result<()>;
    /// How many files are not published yet.
    fn pending(&self) -> usize;
    /// Waits until there are fewer.
    fn wait(&mut self) -> Result<()>;
    /// Brings it to its end, whatever was put off included.
    fn finish(self: Box<Self>) -> Result<()>;
}

struct Product {
    spool: Spool,
    committer: Committer,
    calls: Receiver<()>,
    site: Arc<str>,
    next: u64,
    bytes: Vec<u8>,
}

impl Product {
    fn start(dir: &Path) -> Result<Self> {
        let incoming = dir.join("data_in");
        fs::create_dir(&incoming)?;
        let spool = Spool::open(&incoming)?;
        let (sender, calls) = mpsc::channel();
        // Nobody listens any more once all is published.
        let notify = Arc::new(move || sender.send(()).unwrap_or(()));
        let spools = std::slice::from_ref(&spool);
        let policy = CommitPolicy { durability: Durability::Fsync, publish: Publish::AtOnce };
        let (committer, _) = Committer::start(&dir.join("state"), policy, spools, notify)?;
        Ok(Self { spool, committer, calls, site: "bench".into(), next: 0, bytes: vec![b'x'; SIZE] })
    }
}

impl Publisher for Product {
    fn stage(&mut self) -> Result<()> {
        let mut stage = self.spool.stage(SIZE as u64)?;
        stage.write(&self.bytes)?;
        let staged = stage.finish()?;
        let name = format!("agent.{}.data", self.next).parse()?;
        self.committer.publish(Publication {
            ticket: self.next,
            site: Arc::clone(&self.site),
            name,
            staged,
            chain: None,
        });
        self.next += 1;
        Ok(())
    }

    fn pending(&self) -> usize {
        self.committer.pending()
    }

    fn wait(&mut self) -> Result<()> {
        self.calls.recv()?;
        self.committer.completions().into_iter().try_for_each(|completion| Ok(completion.result.map(drop)?))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.committer.stop().0.into_iter().try_for_each(|completion| Ok(completion.result?))
    }
}

/// A candidate on a thread that takes whatever has gathered.
struct ThreadedCandidate {
    staging: PathBuf,
    orders: Sender<u64>,
    published: Receiver<std::result::Result<usize, String>>,
    next: u64,
    pending: usize,
    bytes: Vec<u8>,
}

impl ThreadedCandidate {
    fn start(candidate: Candidate) -> Result<Self> {
        let staging = candidate.staging().to_owned();
        let ((orders, queue), (done, published)) = (mpsc::channel(), mpsc::channel());
        thread::Builder::new().name("candidate".into()).spawn(move || serve(candidate, &queue, &done))?;
        Ok(Self { staging, orders, published, next: 0, pending: 0, bytes: vec![b'x'; SIZE] })
    }

    fn count_published(&mut self, published: std::result::Result<usize, String>) -> Result<()> {
        self.pending -= published?;
        Ok(())
    }
}

/// While one group is being published the next one gathers.
fn serve(mut candidate: Candidate, queue: &Receiver<u64>, done: &Sender<std::result::Result<usize, String>>) {
    while let Ok(first) = queue.recv() {
        let group: Vec<u64> = std::iter::once(first).chain(queue.try_iter()).take(GROUP).collect();
        let published = candidate.publish(&group).map(|()| group.len());
        if done.send(published.map_err(|error| error.to_string())).is_err() {
            return;
        }
    }
    // The channel's end means that all is done; an error before it, that it failed.
    if let Err(error) = candidate.finish() {
        let _ = done.send(Err(error.to_string()));
    }
}

impl Publisher for ThreadedCandidate {
    fn stage(&mut self) -> Result<()> {
        File::create_new(self.staging.join(self.next.to_string()))?.write_all(&self.bytes)?;
        self.orders.send(self.next)?;
        self.next += 1;
        self.pending += 1;
        Ok(())
    }

    fn pending(&self) -> usize {
        self.pending
    }

    fn wait(&mut self) -> Result<()> {
        let published = self.published.recv()?;
        self.count_published(published)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { orders, published, .. } = *self;
        drop(orders);
        Ok(published.iter().try_for_each(|published| published.map(drop))?)
    }
}
