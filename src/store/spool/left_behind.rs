//! What a state directory shows of a collector that does not run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::committer::Waiting;
use super::journal::{self, FORMAT};
use super::journal_file::JOURNAL;
use crate::store::fs::error::StoreError;

/// What the journal has of one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOfSite {
    /// Committed here, and not published.
    pub unpublished: Waiting,
    /// Committed here, and perhaps still at the site.
    pub held: Waiting,
}

/// What a state directory shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// By the sites' names.
    pub sites: BTreeMap<String, LeftOfSite>,
    /// When the journal was written last.
    pub written: SystemTime,
}

impl LeftBehind {
    /// Reads the journal in `state_dir`, and locks nothing; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = state_dir.join(JOURNAL);
        let read = || -> io::Result<(SystemTime, Vec<u8>)> { Ok((fs::metadata(&path)?.modified()?, fs::read(&path)?)) };
        let (written, content) = match read() {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::std("read the journal", &path)(error)),
        };
        let state = journal::replay(&content)
            .map_err(|found| StoreError::JournalFormat { path: path.clone(), found, known: FORMAT })?
            .state;
        let mut sites: BTreeMap<String, LeftOfSite> = BTreeMap::new();
        let unpublished = state.committed.iter().map(|intent| (intent.copy.clone(), true));
        for (copy, is_unpublished) in unpublished.chain(state.held.iter().map(|(copy, _)| (copy, false))) {
            let site = sites.entry(copy.site.to_string()).or_default();
            let sum = if is_unpublished { &mut site.unpublished } else { &mut site.held };
            sum.files += 1;
            sum.bytes += copy.fingerprint.size;
        }
        Ok(Some(Self { sites, written }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Fingerprint;
    use crate::store::fs::ids::{SpoolId, StageId};
    use crate::store::spool::journal::{Intent, Record, SiteFile};

    #[test]
    fn a_journal_shows_what_is_left_of_each_site() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(LeftBehind::read(directory.path()), Ok(None));
        let spool = SpoolId(7);
        let copy = |site: &str, name: &str, bytes: &[u8]| SiteFile {
            site: site.into(),
            name: name.parse().unwrap(),
            fingerprint: Fingerprint::of(bytes),
        };
        let stage = StageId { session: 1, number: 2 };
        let records = [
            Record::Journal(FORMAT),
            Record::Spool(spool, "/in".into()),
            Record::Intent(Intent { spool, stage, copy: copy("a", "x.1.data", b"123") }),
            Record::Held(spool, copy("a", "y.1.data", b"4567")),
            Record::Held(spool, copy("b", "z.1.data", b"8")),
        ];
        let mut journal = Vec::new();
        for record in records {
            record.encode(&mut journal);
        }
        fs::write(directory.path().join(JOURNAL), journal).unwrap();
        let left = LeftBehind::read(directory.path()).unwrap().unwrap();
        let waiting = |files, bytes| Waiting { files, bytes };
        assert_eq!(left.sites["a"], LeftOfSite { unpublished: waiting(1, 3), held: waiting(2, 7) });
        assert_eq!(left.sites["b"], LeftOfSite { unpublished: waiting(0, 0), held: waiting(1, 1) });
    }
}
