//! Which agent's files come first. Those of one agent always come oldest first.

/// In which order a round fetches the files of its agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchOrder {
    /// The oldest file first, whichever agent's it is.
    #[default]
    Oldest,
    /// The agent first of which the fewest files wait, and all that waits of it before another's. So as many agents as can be
    /// are up to date at any time (shortest job first): those that are, and have one fresh file, do not wait for those that
    /// have a backlog, which no order could bring up to date as soon, as their own files come one after the other.
    FreshFirst,
}
