//! Deletions that the collector cannot be certain of: an equal file of the name that comes meanwhile may pass for the one
//! deleted. A deletion is certain when the round that asked for it has gone well to its end, and the journal has that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::proto::FileName;

/// The end of a round may not be in the journal for so long.
const UNWRITTEN: Duration = Duration::from_secs(3);

type Name = (usize, FileName);

#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Names with a deletion that is not certain.
    open: BTreeSet<Name>,
    /// Those of them that the site has listed since, though it does not have them.
    listed: BTreeSet<Name>,
    /// Those that became certain lately.
    settled: BTreeMap<Name, Instant>,
    /// Versions that came while a deletion was not certain.
    excused: BTreeSet<usize>,
}

impl Doubts {
    /// The site has deleted the file of this name.
    pub(super) fn deleted(&mut self, site: usize, name: &FileName) {
        self.open.insert((site, name.clone()));
    }

    /// A round of this site has gone well to its end.
    pub(super) fn round_went_well(&mut self, site: usize, now: Instant) {
        let listed = std::mem::take(&mut self.listed);
        let settled = self.open.extract_if(.., |name| name.0 == site && !listed.contains(name));
        self.settled.extend(settled.map(|name| (name, now)));
        self.listed = listed.into_iter().filter(|(at, _)| *at != site).collect();
    }

    /// The site lists these names, and does not have them.
    pub(super) fn listed_all_the_same(&mut self, site: usize, names: impl Iterator<Item = FileName>) {
        self.listed.extend(names.map(|name| (site, name)));
    }

    /// The collector's process has died.
    pub(super) fn collector_dies(&mut self, now: Instant) {
        let unwritten = self.settled.extract_if(.., |_, when| *when + UNWRITTEN >= now);
        self.open.extend(unwritten.map(|(name, _)| name));
    }

    /// Another file of a name and bytes that were there before is to be seen.
    pub(super) fn appeared(&mut self, version: usize, site: usize, name: &FileName) {
        if self.open.contains(&(site, name.clone())) {
            self.excused.insert(version);
        }
    }

    /// Whether this version may have passed for another one.
    pub(super) fn excuses(&self, version: usize) -> bool {
        self.excused.contains(&version)
    }
}
