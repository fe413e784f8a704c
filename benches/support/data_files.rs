//! The agents' files in a directory.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::Result;

/// A file leaves a little after its client.
pub(crate) fn wait_until_empty(storage: &Path) -> Result<()> {
    for _ in 0..3_000 {
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
