//! Sites that turn out to be one server under two names, as by its name and its address, or through a relay.
//!
//! Both list a file, and both fetch it before one of them has it deleted: it is published twice. The sign is that it is
//! gone at the one, which did not ask for that, after the other had it deleted, of the same name and bytes. Another
//! program may take files away, and agents may send theirs to two servers, so a sign stops no site: the rounds of two
//! that show several are kept apart, which is all it takes for each file to be fetched once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::proto::{FileName, Fingerprint};
use crate::sync::measured_at;

/// How many deletions are remembered.
const REMEMBERED: usize = 4096;

/// Signs that are enough.
const SIGNS: u32 = 3;

/// What is known of sites that may be one server. Sites are known by their keys.
#[derive(Debug, Default)]
pub(super) struct SameServer {
    hasher: RandomState,
    /// Files that sites have deleted, the last at the end, by the hashes of their names and bytes.
    deleted: VecDeque<(u64, usize)>,
    by_file: HashMap<u64, Vec<usize>>,
    signs: HashMap<(usize, usize), u32>,
    /// Each site that is one server with others, with those.
    others: HashMap<usize, BTreeSet<usize>>,
    names: HashMap<usize, Arc<str>>,
}

impl SameServer {
    /// The site has deleted a committed file when it was asked to.
    pub(super) fn deleted(&mut self, (site, site_name): (usize, &Arc<str>), name: &FileName, fingerprint: Fingerprint) {
        if measured_at(name).is_none() {
            // Equal files of one name come and go at sites that have nothing to do with each other.
            return;
        }
        if self.deleted.len() == REMEMBERED
            && let Some((file, site)) = self.deleted.pop_front()
            && let Some(sites) = self.by_file.get_mut(&file)
        {
            sites.retain(|other| *other != site);
            if sites.is_empty() {
                self.by_file.remove(&file);
            }
        }
        let file = self.key(name, fingerprint);
        self.deleted.push_back((file, site));
        self.by_file.entry(file).or_default().push(site);
        self.names.entry(site).or_insert_with(|| Arc::clone(site_name));
    }

    /// A committed file is not listed any more. The name of the other site that turns out to be the same server by that,
    /// where there are signs enough now.
    pub(super) fn gone(&mut self, site: usize, name: &FileName, fingerprint: Fingerprint) -> Option<&Arc<str>> {
        let file = self.key(name, fingerprint);
        let sites = self.by_file.get(&file).filter(|sites| !sites.contains(&site))?;
        let other = *sites.last()?;
        let signs = self.signs.entry((site.min(other), site.max(other))).or_default();
        *signs += 1;
        if *signs != SIGNS {
            return None;
        }
        self.others.entry(site).or_default().insert(other);
        self.others.entry(other).or_default().insert(site);
        self.names.get(&other)
    }

    fn key(&self, name: &FileName, fingerprint: Fingerprint) -> u64 {
        self.hasher.hash_one((name, fingerprint))
    }

    /// The sites that are the same server as this one.
    pub(super) fn others(&self, site: usize) -> impl Iterator<Item = usize> + '_ {
        self.others.get(&site).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: usize) -> (FileName, Fingerprint) {
        (format!("a.{}.data", 1_700_000_000 + number).parse().unwrap(), Fingerprint::of(&number.to_be_bytes()))
    }

    fn delete(same: &mut SameServer, site: usize, name: &FileName, bytes: Fingerprint) {
        same.deleted((site, &site.to_string().into()), name, bytes);
    }

    fn gone(same: &mut SameServer, site: usize, name: &FileName, bytes: Fingerprint) -> Option<String> {
        same.gone(site, name, bytes).map(ToString::to_string)
    }

    #[test]
    fn files_that_one_site_deletes_and_another_loses_show_that_they_are_one_server() {
        let mut same = SameServer::default();
        for number in 0..8 {
            let (name, bytes) = file(number);
            // Each in its turn is the one that deletes.
            let (by, at) = (number % 2, 1 - number % 2);
            delete(&mut same, by, &name, bytes);
            assert_eq!(gone(&mut same, by, &name, bytes), None, "it has deleted that itself");
            assert_eq!(gone(&mut same, at, &name, bytes), (number == 2).then(|| by.to_string()));
        }
        assert_eq!((same.others(0).collect::<Vec<_>>(), same.others(1).collect::<Vec<_>>()), (vec![1], vec![0]));
        assert_eq!(same.others(2).count(), 0);
    }

    #[test]
    fn what_both_delete_or_one_loses_alone_or_comes_again_and_again_is_no_sign() {
        let mut same = SameServer::default();
        let often: FileName = "nas.123456.data".parse().unwrap();
        for number in 0..20 {
            let (name, bytes) = file(number);
            for site in [0, 1] {
                delete(&mut same, site, &name, bytes);
            }
            delete(&mut same, 0, &often, bytes);
            let lost = file(100 + number);
            for (name, bytes) in [(&name, bytes), (&often, bytes), (&lost.0, lost.1)] {
                assert_eq!([0, 1].map(|site| gone(&mut same, site, name, bytes)), [None, None]);
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut same = SameServer::default();
        for number in 0..3 * REMEMBERED {
            let (name, bytes) = file(number);
            delete(&mut same, number % 7, &name, bytes);
        }
        assert_eq!((same.deleted.len(), same.by_file.len()), (REMEMBERED, REMEMBERED));
    }
}
