//! Which journal belongs to which staging area. Files that still are at their sites may come twice where the journal
//! that had them is lost, or where another is kept beside it, by another user or in another place.

use std::path::Path;

use crate::proto::quoted;
use crate::store::fs::error::StoreError;
use crate::store::fs::spool_dir::SpoolDir;

/// Whether no other journal was kept of this staging area since `journal` was: what another has committed there is not
/// to be taken for what came to nothing.
pub(super) fn is_last(spool_dir: &SpoolDir, journal: &Path) -> Result<bool, StoreError> {
    let journal = &journal.canonicalize().unwrap_or_else(|_| journal.to_owned());
    // One that is not there may have been moved to where this one is, or removed: then no other journal has what it
    // had.
    Ok(spool_dir.last_journal()?.is_none_or(|last| last == *journal))
}

/// Warns if `journal` should have had this staging area and does not (`is_known`: it does), or if another one has been
/// its journal meanwhile; then records this one.
pub(super) fn record_journal(spool_dir: &SpoolDir, journal: &Path, is_known: bool) -> Result<(), StoreError> {
    let journal = &journal.canonicalize().unwrap_or_else(|_| journal.to_owned());
    let last = spool_dir.last_journal()?;
    if let Some(doubt) = last.as_deref().and_then(|last| mismatch(last, journal, is_known)) {
        log::warn!("{}: {doubt}", quoted(spool_dir.path()));
    }
    if last.as_deref() == Some(journal) { Ok(()) } else { spool_dir.set_last_journal(journal) }
}

/// Why `journal` may lack records that it should have, if `last` was the last journal of the staging area.
fn mismatch(last: &Path, journal: &Path, is_known: bool) -> Option<String> {
    let consequence = "what was collected from here and is still at its site may arrive twice";
    let (shown, here) = (quoted(last), quoted(journal));
    if last == journal {
        return (!is_known).then(|| format!("{here} has no record of it: lost, emptied or damaged? {consequence}"));
    }
    // One that cannot be looked at counts as there.
    let is_moved = is_known && !last.try_exists().unwrap_or(true);
    (!is_moved).then(|| {
        format!(
            "files were last collected into it with {shown}, which is not the journal of this run, {here}: {consequence}. \
             Was another state_dir meant, or is another user's at work?"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_knows_the_area_or_was_moved_is_not_doubted() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        assert_eq!(mismatch(&here, &here, true), None);
        assert_eq!(mismatch(&there, &here, true), None, "it was moved from there");
        assert!(mismatch(&there, &here, false).is_some_and(|doubt| doubt.contains("there")));
        assert!(mismatch(&here, &here, false).is_some_and(|doubt| doubt.contains("lost")));
        std::fs::write(&there, "").unwrap();
        assert!(mismatch(&there, &here, true).is_some_and(|doubt| doubt.contains("another state_dir")));
    }
}
