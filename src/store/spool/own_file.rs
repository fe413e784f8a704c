//! Files of our own for the data server: staged and renamed as those of sites are, and not in the journal, since one that a
//! crash takes is followed by another.

use std::time::Duration;

use super::Spool;
use crate::proto::FileName;
use crate::store::fs::error::StoreError;

impl Spool {
    /// Publishes `bytes` as `name`, with `time` since 1970, unless something has that name; whether it did. Waits for the
    /// filesystem.
    ///
    /// # Errors
    /// Whatever the disk comes up with; nothing is published then.
    pub fn publish_own(&self, name: &FileName, bytes: &[u8], time: Duration) -> Result<bool, StoreError> {
        self.check_answers()?;
        let mut file = self.stage_only_copy(bytes.len() as u64)?;
        file.write(bytes)?;
        let (dir, stage) = file.finish()?.hand_over()?;
        dir.set_time(stage, time);
        let renamed = dir.rename_into(stage, name);
        if !matches!(renamed, Ok(true)) {
            // What stays is swept at the next start.
            dir.discard(stage).ok();
        }
        renamed
    }

    /// Whether the incoming directory has something of this name. Waits for the filesystem.
    pub fn is_published(&self, name: &FileName) -> bool {
        self.dir().is_published(name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_of_our_own_is_whole_and_replaces_none() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path()).unwrap();
        let name: FileName = "us.1700000000.data".parse().unwrap();
        let time = Duration::from_secs(1_700_000_000);
        assert!(!spool.is_published(&name));
        assert_eq!(spool.publish_own(&name, b"<agent_data/>", time), Ok(true));
        assert_eq!(spool.publish_own(&name, b"other", time), Ok(false));
        let path = directory.path().join("us.1700000000.data");
        assert_eq!(fs::read(&path).unwrap(), b"<agent_data/>");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(modified.duration_since(std::time::UNIX_EPOCH).unwrap(), time);
        assert!(spool.is_published(&name) && spool.dir().leftovers().unwrap().is_empty());
    }
}
