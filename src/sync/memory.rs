//! What is remembered of a site from one round to the next.

use std::collections::{HashMap, HashSet};

use super::let_go::{LetGo, Meeting};
use crate::proto::{FileName, Fingerprint};

/// The most refused names remembered, so that each is reported once.
const MAX_REPORTED: usize = 10_000;

/// The most names remembered that a connection died over.
const MAX_SUSPECTS: usize = 10_000;

/// The most names remembered that are not taken.
const MAX_SET_ASIDE: usize = 10_000;

/// What is remembered of a site between rounds; the part that must survive us is in the journal as well.
#[derive(Debug, Default)]
pub struct Memory {
    published: HashMap<FileName, Fingerprint>,
    let_go: LetGo,
    suspects: HashMap<FileName, u32>,
    set_aside: HashSet<FileName>,
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

    /// The site has sent what it had under `name`, and it is published here: as a rule it is gone there. Returns what the
    /// journal need not know of any longer.
    pub fn let_go(&mut self, name: FileName, fingerprint: Fingerprint) -> Option<(FileName, Fingerprint)> {
        self.let_go.add(name, fingerprint)
    }

    /// What has come as `name`, with this fingerprint, turns out to be.
    pub fn meet(&mut self, name: &FileName, fingerprint: Fingerprint) -> Meeting {
        self.let_go.meet(name, fingerprint)
    }

    /// Takes note of what there is at the site: of all of it, if this `is_whole`. Returns the published files that are gone
    /// there, by whatever hand.
    pub fn listed(&mut self, listed: &[FileName], is_whole: bool) -> Vec<(FileName, Fingerprint)> {
        let Self { published, let_go, suspects, set_aside, .. } = self;
        if published.is_empty() && let_go.is_empty() && suspects.is_empty() && set_aside.is_empty() {
            return Vec::new();
        }
        let listed: HashSet<_> = listed.iter().collect();
        if !is_whole {
            let_go.age(&listed);
            return Vec::new();
        }
        suspects.retain(|name, _| listed.contains(name));
        set_aside.retain(|name| listed.contains(name));
        let mut gone = let_go.retain(&listed);
        gone.extend(published.extract_if(|name, _| !listed.contains(name)));
        gone
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

    /// `name` is not to be asked for again while it is listed, or until it is [reconsidered](Self::reconsider).
    pub fn set_aside(&mut self, name: FileName) {
        if self.set_aside.len() < MAX_SET_ASIDE {
            self.set_aside.insert(name);
        }
    }

    /// Whether `name` was set aside.
    pub fn is_set_aside(&self, name: &FileName) -> bool {
        self.set_aside.contains(name)
    }

    /// What was set aside is to be asked for again, and told of again where it still is not taken.
    pub fn reconsider(&mut self) {
        self.set_aside.clear();
        self.reported.clear();
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
    fn what_is_reconsidered_is_asked_for_and_reported_again_and_nothing_else_is_forgotten() {
        let mut memory = Memory::default();
        let [kept, gone, large, deadly]: [FileName; 4] =
            ["a.1.data", "b.1.data", "c.1.data", "d.1.data"].map(|name| name.parse().unwrap());
        memory.published(kept.clone(), Fingerprint::of(b"a"));
        memory.let_go(gone.clone(), Fingerprint::of(b"b"));
        memory.set_aside(large.clone());
        memory.report_once(b"c.1.data");
        memory.strike(&deadly);
        memory.reconsider();
        assert!(!memory.is_set_aside(&large) && memory.report_once(b"c.1.data"));
        assert_eq!((memory.strikes(&deadly), memory.fingerprint(&kept)), (1, Some(Fingerprint::of(b"a"))));
        assert_eq!(memory.meet(&gone, Fingerprint::of(b"b")), Meeting::Back { in_journal: true });
    }

    #[test]
    fn what_is_no_longer_listed_has_vanished() {
        let mut memory = Memory::default();
        let [here, gone]: [FileName; 2] = ["a.1.data", "b.1.data"].map(|name| name.parse().unwrap());
        memory.published(here.clone(), Fingerprint::of(b"a"));
        memory.published(gone.clone(), Fingerprint::of(b"b"));
        assert_eq!(memory.listed(&[here], true), [(gone, Fingerprint::of(b"b"))]);
    }
}
