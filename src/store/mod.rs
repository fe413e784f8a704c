//! The spool on disk: staging, group commit, publishing, the journal.

/// When a file counts as safe, so that the site's copy may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Its bytes and its name have been flushed to the disk.
    #[default]
    Fsync,
    /// The kernel has it: survives us, not the machine.
    None,
}
