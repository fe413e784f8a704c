//! The spool on disk: staging, group commit, publishing, the journal.

mod area;
mod clash;
mod committer;
mod disk;
mod engine;
mod error;
mod journal;
mod journal_file;
mod map;
#[cfg(test)]
mod model;
mod setup;
mod sink;
mod spool;
mod stage;

pub use committer::{Committer, Completion, Outstanding, Publication, Published};
pub use error::StoreError;
#[doc(hidden)]
pub use journal::fuzz_journal;
pub use sink::SinkKind;
pub use spool::Spool;
pub use stage::{Stage, Staged};

/// When a file counts as safe, so that the site's copy may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Its bytes and its name have been flushed to the disk.
    #[default]
    Fsync,
    /// The kernel has it: survives us, not the machine.
    None,
}
