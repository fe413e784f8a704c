//! What the committer's tests share.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;

use super::Spool;
use super::committer::{CommitPolicy, Committer, Completion, Outstanding, Publication};
use super::hashed_temp::ClosedHashedTemp;
use super::journal::{self, Record};
use super::publish_queue::Publish;
use crate::store::fs::durability::Durability;
use crate::store::fs::error::StoreError;

pub(super) const AT_ONCE: CommitPolicy = CommitPolicy { durability: Durability::Fsync, publish: Publish::AtOnce };

/// A state directory and an incoming one.
pub(super) struct Disk {
    pub(super) root: TempDir,
}

impl Disk {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("in")).unwrap();
        Self { root }
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.root.path().join("in")
    }

    pub(super) fn spool(&self) -> Spool {
        Spool::open(&self.incoming()).unwrap()
    }

    pub(super) fn start(&self, spool: &Spool) -> (Committer, Vec<Outstanding>) {
        Committer::start(&self.state(), AT_ONCE, std::slice::from_ref(spool), Arc::new(|| {})).unwrap()
    }

    /// What the data server would see.
    pub(super) fn published(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(self.incoming()).unwrap().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().unwrap().is_file());
        let read =
            |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
        let mut found: Vec<_> = files.map(read).collect();
        found.sort();
        found
    }

    pub(super) fn staged(&self) -> usize {
        fs::read_dir(self.incoming().join(".tentacle-sync")).unwrap().count() - ["id", "journal"].len()
    }
}

pub(super) fn staged(spool: &Spool, bytes: &str) -> ClosedHashedTemp {
    let mut stage = spool.stage(bytes.len() as u64).unwrap();
    stage.write(bytes.as_bytes()).unwrap();
    stage.finish().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn file(ticket: u64, name: &str, staged: ClosedHashedTemp) -> Publication {
    Publication { ticket, site: "north".into(), name: name.parse().unwrap(), staged, chain: None }
}

pub(super) fn results(completions: Vec<Completion>) -> Vec<Result<(), StoreError>> {
    completions.into_iter().map(|completion| completion.result).collect()
}

/// What a kill leaves: the journal's last records, and staged files.
pub(super) fn killed(disk: &Disk, records: &[Record], tail: &[u8]) {
    let mut journal = Vec::new();
    Record::Journal(journal::FORMAT).encode(&mut journal);
    for record in records {
        record.encode(&mut journal);
    }
    journal.extend_from_slice(tail);
    fs::create_dir_all(disk.state()).unwrap();
    fs::write(disk.state().join("journal"), journal).unwrap();
}
