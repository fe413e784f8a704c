//! The results of scenarios, in numbers.

use std::time::Duration;

/// What a life came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunCounts {
    pub(super) steps: u64,
    pub(super) written: u64,
    pub(super) published: u64,
    pub(super) crashes: u64,
    /// Of sites' processes and machines.
    pub(super) site_crashes: u64,
    pub(super) cuts: u64,
    /// TLS handshakes that were done, as the collector sees it.
    pub(super) secured: u64,
    /// Those of them that took an earlier session up.
    pub(super) resumed: u64,
    /// Those that broke off, or took too long.
    pub(super) unsecured: u64,
    /// Rounds that ended since the site did not take the password.
    pub(super) locked_out: u64,
    pub(super) disk_errors: u64,
    /// Published once more after an error of the disk's.
    pub(super) repeated: u64,
    /// Published once more since it had come to its site once more.
    pub(super) reappeared: u64,
    /// Overwritten at a stock site in the very moment it was moved, and gone with the connection or with us.
    pub(super) raced: u64,
    /// Published in part: overwritten at a stock site, by something longer, between the announcement of its size and
    /// its opening. What is missing comes in a file of its own.
    pub(super) torn: u64,
    /// Sent again, under a name and with bytes that were there before, while it was not certain that those were deleted:
    /// and taken for them.
    pub(super) mistaken: u64,
    /// Let go by its site, not flushed here, and gone with the power.
    pub(super) unflushed: u64,
    /// The longest that a file waited for its publication.
    pub(super) slowest: Duration,
}

impl RunCounts {
    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.written += other.written;
        self.published += other.published;
        self.crashes += other.crashes;
        self.site_crashes += other.site_crashes;
        self.cuts += other.cuts;
        self.secured += other.secured;
        self.resumed += other.resumed;
        self.unsecured += other.unsecured;
        self.locked_out += other.locked_out;
        self.disk_errors += other.disk_errors;
        self.repeated += other.repeated;
        self.reappeared += other.reappeared;
        self.raced += other.raced;
        self.torn += other.torn;
        self.unflushed += other.unflushed;
        self.mistaken += other.mistaken;
        self.slowest = self.slowest.max(other.slowest);
    }
}
