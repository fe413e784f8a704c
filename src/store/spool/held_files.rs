//! What is committed here that its site may still have.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::journal::SiteFile;
use crate::proto::{FileName, Fingerprint};
use crate::store::fs::ids::SpoolId;

/// Of each name the file that was committed last: a site has one file of a name, so what was committed before is not there
/// any more, whether that is written down or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct HeldFiles(BTreeMap<Arc<str>, BTreeMap<FileName, Held>>);

/// What is known of a file that its site may still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    fingerprint: Fingerprint,
    spool: SpoolId,
    /// The number of the order that it was committed by; 0 if that was in an earlier run. In no journal.
    order: u64,
}

impl HeldFiles {
    /// The file is committed in this spool, by the order of this number. One that another committer has committed by a later
    /// order stays.
    pub(in crate::store) fn insert(&mut self, copy: SiteFile, spool: SpoolId, order: u64) {
        let SiteFile { site, name, fingerprint } = copy;
        let held = Held { fingerprint, spool, order };
        let known = self.0.entry(site).or_default().entry(name).or_insert(held);
        if known.order <= order {
            *known = held;
        }
    }

    /// The file was committed in this spool before whatever is known of its name.
    pub(in crate::store) fn insert_older(&mut self, copy: SiteFile, spool: SpoolId) {
        let SiteFile { site, name, fingerprint } = copy;
        self.0.entry(site).or_default().entry(name).or_insert(Held { fingerprint, spool, order: 0 });
    }

    /// Whether the file is the last of its name, and where it was committed.
    pub(in crate::store) fn spool_of(&self, copy: &SiteFile) -> Option<SpoolId> {
        self.get(copy).map(|held| held.spool)
    }

    fn get(&self, SiteFile { site, name, fingerprint }: &SiteFile) -> Option<&Held> {
        self.0.get(site)?.get(name).filter(|held| held.fingerprint == *fingerprint)
    }

    /// The site does not have the file any more. Whether that was not known.
    pub(in crate::store) fn remove(&mut self, copy: &SiteFile) -> bool {
        self.remove_before(copy, u64::MAX)
    }

    /// The same, if it was committed before the order of this number.
    pub(in crate::store) fn remove_before(&mut self, copy: &SiteFile, order: u64) -> bool {
        let is_meant = self.get(copy).is_some_and(|held| held.order < order);
        if is_meant && let Some(files) = self.0.get_mut(&copy.site) {
            files.remove(&copy.name);
            if files.is_empty() {
                self.0.remove(&copy.site);
            }
        }
        is_meant
    }

    /// What was committed in this spool is forgotten.
    pub(in crate::store) fn drop_spool(&mut self, spool: SpoolId) {
        self.0.retain(|_, files| {
            files.retain(|_, held| held.spool != spool);
            !files.is_empty()
        });
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Each file, and where it was committed.
    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = (SiteFile, SpoolId)> {
        self.0.iter().flat_map(|(site, files)| {
            files.iter().map(|(name, &Held { fingerprint, spool, .. })| {
                (SiteFile { site: Arc::clone(site), name: name.clone(), fingerprint }, spool)
            })
        })
    }
}
