//! Files whose content holds the time at which they appeared at their site.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::Result;

/// What the names of agents' files begin with, at the sites that lateness is measured at.
const PREFIX: &str = "busy-";

/// The name of a file that appears now at the site of this number. It is the only one of its agent: none waits for the
/// one before it to be taken.
#[expect(clippy::disallowed_methods, reason = "two processes and the filesystem have no other clock in common")]
pub(crate) fn name(site: usize) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(format!("{PREFIX}{site}-{}.{}.data", now.as_micros(), now.as_secs()))
}

/// How many files have names that begin like this.
pub(crate) fn count(incoming: &Path, prefix: &str) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(incoming)? {
        count += usize::from(entry?.file_name().to_string_lossy().starts_with(prefix));
    }
    Ok(count)
}

/// How many files of [`name`]s there are.
pub(crate) fn arrived(incoming: &Path) -> Result<usize> {
    count(incoming, PREFIX)
}

/// For each such file in `incoming`: how long after it appeared at its site it was renamed here, in ms. The time of the
/// rename is the file's change time; it is as fine as the kernel's tick, 1 to 10 ms.
pub(crate) fn latenesses(incoming: &Path) -> Result<Vec<f64>> {
    let mut latenesses = Vec::new();
    for entry in fs::read_dir(incoming)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let stamp = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')?.0.split_once('-'));
        let Some((_, micros)) = stamp else { continue };
        let metadata = entry.metadata()?;
        let (appeared, published) = (micros.parse()?, 1_000_000 * metadata.ctime() + metadata.ctime_nsec() / 1_000);
        latenesses.push(milliseconds(published - i64::max(0, appeared)));
    }
    latenesses.sort_by(f64::total_cmp);
    Ok(latenesses)
}

#[expect(clippy::cast_precision_loss, reason = "some seconds")]
fn milliseconds(micros: i64) -> f64 {
    micros as f64 / 1e3
}
