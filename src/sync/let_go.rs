//! What a site was asked to delete: as a rule it is gone, but only the next listing shows that.
//!
//! A server may lose power, be killed, or lose the connection before a deletion is done, or may not be able to delete at
//! all. What is there again must be known again, or it would be published twice.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::proto::{FileName, Fingerprint};

/// The most files that were let go and are known by their names. The others, of a round that brings very many, are
/// known by hashes, 16 bytes each. Tests have few enough for every life of a site to go beyond it.
const MAX_RECENT: usize = if cfg!(test) { 4 } else { 256 };

/// What a file that was fetched turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Not one that was let go.
    New,
    /// Another file than the one that was let go under its name: this one, if it can be told.
    Replaced(Option<Fingerprint>),
    /// One that was let go: the site has it still, or again. It is remembered until a listing lacks it.
    Back {
        /// Whether the journal still knows of it.
        in_journal: bool,
    },
    /// One that was back before: the site does not delete it.
    Kept,
}

/// A hashed name, and its file's hashed fingerprint.
type Traces = HashMap<u64, u64>;

/// The files of one site that were let go, and that no listing has shown to be gone.
#[derive(Debug, Default)]
pub(super) struct LetGo {
    /// The latest, oldest first; the journal has them too.
    recent: VecDeque<(FileName, Fingerprint)>,
    /// Those that were met again; the journal has them too.
    back: HashMap<FileName, Fingerprint>,
    /// The others, since the last listing.
    traces: Traces,
    /// And from before it.
    old_traces: Traces,
    hasher: RandomState,
}

impl LetGo {
    pub(super) fn is_empty(&self) -> bool {
        let Self { recent, back, traces, old_traces, .. } = self;
        recent.is_empty() && back.is_empty() && traces.is_empty() && old_traces.is_empty()
    }

    /// The site has sent what it had under `name`, and was to delete it. Returns what the journal need not know of any
    /// longer.
    pub(super) fn add(&mut self, name: FileName, fingerprint: Fingerprint) -> Option<(FileName, Fingerprint)> {
        if self.back.get(&name) == Some(&fingerprint) {
            return None;
        }
        self.back.remove(&name);
        self.recent.push_back((name, fingerprint));
        if self.recent.len() <= MAX_RECENT {
            return None;
        }
        let (name, fingerprint) = self.recent.pop_front()?;
        self.traces.insert(self.hasher.hash_one(&name), self.hasher.hash_one(fingerprint));
        Some((name, fingerprint))
    }

    /// What the site has under `name` has come, and has this fingerprint.
    pub(super) fn meet(&mut self, name: &FileName, fingerprint: Fingerprint) -> Meeting {
        if self.back.get(name) == Some(&fingerprint) {
            return Meeting::Kept;
        }
        if let Some(other) = self.back.remove(name) {
            return Meeting::Replaced(Some(other));
        }
        let known = match self.take_recent(name) {
            Some(recent) if recent == fingerprint => Meeting::Back { in_journal: true },
            Some(other) => Meeting::Replaced(Some(other)),
            None => self.take_trace(name, fingerprint),
        };
        if let Meeting::Back { .. } = known {
            self.back.insert(name.clone(), fingerprint);
        }
        known
    }

    fn take_recent(&mut self, name: &FileName) -> Option<Fingerprint> {
        let at = self.recent.iter().position(|(gone, _)| gone == name)?;
        self.recent.remove(at).map(|(_, fingerprint)| fingerprint)
    }

    fn take_trace(&mut self, name: &FileName, fingerprint: Fingerprint) -> Meeting {
        let key = self.hasher.hash_one(name);
        match self.traces.remove(&key).or_else(|| self.old_traces.remove(&key)) {
            Some(trace) if trace == self.hasher.hash_one(fingerprint) => Meeting::Back { in_journal: false },
            Some(_) => Meeting::Replaced(None),
            None => Meeting::New,
        }
    }

    /// The site lists these, and nothing else. Returns what the journal need not know of any longer.
    pub(super) fn retain(&mut self, listed: &HashSet<&FileName>) -> Vec<(FileName, Fingerprint)> {
        let mut gone: Vec<_> = self.back.extract_if(|name, _| !listed.contains(name)).collect();
        let (left, others) = std::mem::take(&mut self.recent).into_iter().partition(|(name, _)| listed.contains(name));
        self.recent = left;
        gone.extend::<VecDeque<_>>(others);
        self.old_traces = self.traces_of(listed);
        self.traces = Traces::new();
        gone
    }

    /// The site lists these, and others that are not known. So that a site with endlessly many does not fill the memory,
    /// one of the others is remembered until the next listing only.
    pub(super) fn age(&mut self, listed: &HashSet<&FileName>) {
        self.old_traces = self.traces_of(listed);
        self.old_traces.extend(std::mem::take(&mut self.traces));
    }

    fn traces_of(&self, listed: &HashSet<&FileName>) -> Traces {
        if self.traces.is_empty() && self.old_traces.is_empty() {
            return Traces::new();
        }
        let keys = listed.iter().map(|name| self.hasher.hash_one(name));
        let trace = |key| self.traces.get(&key).or_else(|| self.old_traces.get(&key)).map(|&trace| (key, trace));
        keys.filter_map(trace).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> FileName {
        format!("a.{number}.data").parse().unwrap()
    }

    fn print(number: usize) -> Fingerprint {
        Fingerprint::of(&number.to_be_bytes())
    }

    /// So many that most are known by their traces.
    const MANY: usize = 10 * MAX_RECENT;

    fn many() -> LetGo {
        let mut let_go = LetGo::default();
        for number in 0..MANY {
            let_go.add(name(number), print(number));
        }
        let_go
    }

    #[test]
    fn the_journal_is_to_know_of_the_latest_alone() {
        let mut let_go = LetGo::default();
        let dismissed: Vec<_> = (0..MANY).filter_map(|number| let_go.add(name(number), print(number))).collect();
        let first: Vec<_> = (0..MANY - MAX_RECENT).map(|number| (name(number), print(number))).collect();
        assert_eq!(dismissed, first);
    }

    #[test]
    fn each_is_known_again_whether_the_journal_knows_it_or_not() {
        let mut let_go = many();
        for number in 0..MANY {
            let in_journal = number >= MANY - MAX_RECENT;
            assert_eq!(let_go.meet(&name(number), print(number)), Meeting::Back { in_journal }, "{number}");
        }
        assert_eq!(let_go.meet(&name(MANY), print(MANY)), Meeting::New);
    }

    #[test]
    fn what_was_back_is_known_for_as_long_as_it_is_listed_however_many_there_are() {
        let mut let_go = many();
        let names: Vec<_> = (0..MANY).map(name).collect();
        for round in 0..3 {
            assert_eq!(let_go.retain(&names.iter().collect()), []);
            for (number, name) in names.iter().enumerate() {
                let met = let_go.meet(name, print(number));
                assert_eq!(met == Meeting::Kept, round > 0, "{met:?}");
                assert_eq!(let_go.add(name.clone(), print(number)), None);
            }
        }
        assert_eq!(let_go.retain(&HashSet::new()).len(), MANY);
        assert!(let_go.is_empty());
    }

    #[test]
    fn a_new_file_under_an_old_name_is_new() {
        let mut let_go = many();
        assert_eq!(let_go.meet(&name(0), print(1)), Meeting::Replaced(None));
        assert_eq!(let_go.meet(&name(0), print(0)), Meeting::New);
        let last = MANY - 1;
        assert_eq!(let_go.meet(&name(last), print(0)), Meeting::Replaced(Some(print(last))));
        let_go.meet(&name(1), print(1));
        assert_eq!(let_go.meet(&name(1), print(0)), Meeting::Replaced(Some(print(1))));
    }

    #[test]
    fn what_is_not_listed_is_forgotten_and_what_may_be_listed_is_not() {
        let mut let_go = many();
        let first = name(0);
        let_go.age(&HashSet::from([&first]));
        assert_eq!(let_go.meet(&name(1), print(1)), Meeting::Back { in_journal: false });
        let_go.age(&HashSet::from([&first]));
        assert_eq!(let_go.meet(&name(2), print(2)), Meeting::New);
        let_go.retain(&HashSet::from([&first]));
        assert_eq!(let_go.meet(&first, print(0)), Meeting::Back { in_journal: false });
        assert_eq!(let_go.meet(&name(MANY - 1), print(MANY - 1)), Meeting::New);
    }
}
