//! Words that the files of more than one program spell alike.

use crate::store::Durability;

/// How a certificate is checked, before it is known against what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum VerifyPolicy {
    Chain,
    ChainAndName,
    Pin,
    None,
}

/// `verify`.
pub(super) const POLICIES: [(&str, VerifyPolicy); 4] = [
    ("chain", VerifyPolicy::Chain),
    ("chain+name", VerifyPolicy::ChainAndName),
    ("pin", VerifyPolicy::Pin),
    ("none", VerifyPolicy::None),
];

/// `durability`.
pub(super) const DURABILITIES: [(&str, Durability); 2] = [("fsync", Durability::Fsync), ("none", Durability::None)];

/// The word for `meaning`, of which `words` has one.
pub(super) fn word_for<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> &'static str {
    words.iter().find(|(_, known)| known == meaning).map_or("", |(word, _)| word)
}
