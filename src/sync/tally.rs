//! What a round came to.

/// What a round came to, in files unless stated otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Names listed that are collected from this site.
    pub listed: usize,
    /// Published in the spool.
    pub collected: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// Gone at the site.
    pub moved: usize,
    /// Committed, and not deleted by the site, which was asked to.
    pub refused: usize,
    /// Listed, but gone by the time they were asked for.
    pub missing: usize,
    /// Not taken for a reason of their own, such as their size, or being written over again and again.
    pub skipped: usize,
    /// Left for the next round, which follows at once where this one got anywhere.
    pub left: usize,
    /// Of those, new ones for which there is no room, as what is committed and still there has it.
    pub without_room: usize,
    /// Not stored because of a failing disk; still at the site.
    pub unstored: usize,
}
