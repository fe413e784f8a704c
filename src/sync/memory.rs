//! What is remembered of a site from one round to the next.

use std::collections::{HashMap, HashSet};

use crate::proto::{FileName, Fingerprint};

/// The most refused names remembered, so that each is reported once.
const MAX_REPORTED: usize = 10_000;

/// The most names remembered that a connection died over.
const MAX_SUSPECTS: usize = 10_000;

/// What is remembered of a site between rounds; the part that must survive us is in the journal as well.
#[derive(Debug, Default)]
pub struct Memory {
    published: HashMap<FileName, Fingerprint>,
    suspects: HashMap<FileName, u32>,
    reported: HashSet<Box<[u8]>>,
}

impl Memory {
    /// `name` is published here; its copy at the site may go.
    pub fn published(&mut self, name: FileName, fingerprint: Fingerprint) {
        self.published.insert(name, fingerprint);
    }

    /// The site's copy of `name` is gone, or is another file by now.
    pub fn forget(&mut self, name: &FileName) {
        self.published.remove(name);
    }

    /// What was published under this name and may still be at the site.
    pub fn fingerprint(&self, name: &FileName) -> Option<Fingerprint> {
        self.published.get(name).copied()
    }

    /// Published files that `listed` does not name: gone at the site, by whatever hand.
    pub fn vanished(&self, listed: &[FileName]) -> Vec<(FileName, Fingerprint)> {
        if self.published.is_empty() {
            return Vec::new();
        }
        let listed: HashSet<_> = listed.iter().collect();
        let gone = self.published.iter().filter(|(name, _)| !listed.contains(name));
        gone.map(|(name, fingerprint)| (name.clone(), *fingerprint)).collect()
    }

    /// A connection died while `name` was asked for.
    pub fn strike(&mut self, name: &FileName) {
        if self.suspects.len() < MAX_SUSPECTS || self.suspects.contains_key(name) {
            *self.suspects.entry(name.clone()).or_default() += 1;
        }
    }

    /// `name` did come after all, or is gone.
    pub fn clear(&mut self, name: &FileName) {
        self.suspects.remove(name);
    }

    /// How many connections have died over `name`.
    pub fn strikes(&self, name: &FileName) -> u32 {
        self.suspects.get(name).copied().unwrap_or(0)
    }

    /// Whether this is the first time that something is to be said about the listed `name`.
    pub fn report_once(&mut self, name: &[u8]) -> bool {
        self.reported.len() < MAX_REPORTED && self.reported.insert(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_name_is_reported_once() {
        let mut memory = Memory::default();
        assert!(memory.report_once(b"a/b"));
        assert!(!memory.report_once(b"a/b"));
    }

    #[test]
    fn what_is_no_longer_listed_has_vanished() {
        let mut memory = Memory::default();
        let [here, gone]: [FileName; 2] = ["a.1.data", "b.1.data"].map(|name| name.parse().unwrap());
        memory.published(here.clone(), Fingerprint::of(b"a"));
        memory.published(gone.clone(), Fingerprint::of(b"b"));
        assert_eq!(memory.vanished(&[here]), [(gone, Fingerprint::of(b"b"))]);
    }
}
