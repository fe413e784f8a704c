//! Kinds of bad sites.

/// What is bad about the bad sites of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There are none.
    None,
    /// A little of everything, see [`Bad`](super::faults::Bad).
    Mixed,
    /// They are reached by name, and the name server does not answer. So are the good ones, whose names are in
    /// `/etc/hosts`.
    Names,
    /// Names that are not to be collected stand before files that are.
    Unwanted,
    /// Each of many files is refused.
    Withheld,
    /// Listings are as long as are taken, with new names each time, and nothing is deleted.
    LongListings,
    /// Files of the same names at all have other bytes whenever they are asked for.
    Variants,
    /// Every other file is refused; the others differ when they are to be deleted, or are refused for another reason.
    Alternating,
    /// One site is collected into a filesystem that stops answering.
    Frozen,
    /// One site's files wait for the data server until the spool is full.
    Filler,
}

impl Kind {
    /// What the others are compared with comes first.
    pub(crate) const ALL: [Self; 10] = [
        Self::None,
        Self::Mixed,
        Self::Names,
        Self::Unwanted,
        Self::Withheld,
        Self::LongListings,
        Self::Variants,
        Self::Alternating,
        Self::Frozen,
        Self::Filler,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mixed => "mixed",
            Self::Names => "names",
            Self::Unwanted => "unwanted",
            Self::Withheld => "withheld",
            Self::LongListings => "long-listings",
            Self::Variants => "variants",
            Self::Alternating => "alternating",
            Self::Frozen => "frozen",
            Self::Filler => "filler",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
