//! The agents' files in a server's storage.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

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

/// A file leaves a little after its client.
pub(crate) fn wait_until_empty(storage: &Path) -> Result<()> {
    for _ in 0..200 {
        if files_in(storage)? == 0 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("{} files stay in {}", files_in(storage)?, storage.to_string_lossy()).into())
}

/// How many agents' files there are.
pub(crate) fn files_in(storage: &Path) -> Result<usize> {
    let names = fs::read_dir(storage)?.map(|entry| Ok(entry?.file_name()));
    let names: Vec<_> = names.collect::<std::io::Result<_>>()?;
    Ok(names.iter().filter(|name| name.as_encoded_bytes().ends_with(b".data")).count())
}
