//! A server's storage.

use std::fs;
use std::path::PathBuf;

use super::clients;
use super::tentacle_server::BenchDir;
use crate::support::Result;

/// A storage with files in it.
pub(crate) fn filled(files: usize, dir: &BenchDir) -> Result<PathBuf> {
    let storage = dir.storage()?;
    for (name, bytes) in clients::files(files) {
        fs::write(storage.join(name), bytes)?;
    }
    rustix::fs::sync();
    Ok(storage)
}
