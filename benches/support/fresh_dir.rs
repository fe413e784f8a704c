//! Where benches work.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Result;

/// A fresh directory with an empty spool in it, on a filesystem that has nothing left to write. It stays until all of
/// `place` goes: an ext4 without journal steps around inodes that were freed lately, at the next run's cost.
pub(crate) fn fresh_dir(place: &Path) -> Result<(PathBuf, PathBuf)> {
    let dir = tempfile::Builder::new().tempdir_in(place)?.keep();
    let spool = dir.join("data_in");
    fs::create_dir(&spool)?;
    rustix::fs::sync();
    Ok((dir, spool))
}
