//! What can go wrong at a step on the [model of a disk](super).

/// What the step that is counted down to does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed: this step may or may not have happened, no later one does.
    Kill,
    /// The machine loses power: a kill that also costs what was not synced.
    PowerLoss,
    /// The step fails, perhaps half done; the next ones work.
    Error,
    /// From this step on every one fails, until the process is started again.
    Broken,
    /// The process ends exactly here; if the machine does, so much is spared.
    Crash(Moment, Option<Spared>),
}

/// When a crash comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// What a loss of power spares of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spared {
    /// Of the changes of names: the first ones.
    pub(crate) names: Share,
    pub(crate) bytes: Share,
    pub(crate) journal: Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    None,
    Half,
    All,
    /// Any.
    Chance,
}

impl Spared {
    pub(super) const BY_CHANCE: Self = Self { names: Share::Chance, bytes: Share::Chance, journal: Share::Chance };
}

impl Share {
    pub(super) fn of(self, whole: usize, chance: &mut fastrand::Rng) -> usize {
        match self {
            Self::None => 0,
            Self::Half => whole / 2,
            Self::All => whole,
            Self::Chance => chance.usize(..=whole),
        }
    }
}
