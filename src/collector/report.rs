//! How a site's round ended, for the status line and for the log.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, info, log, warn};

use super::Reason;
use crate::obs::{LogThrottle, repeated};
use crate::proto::{Count, quoted};
use crate::sync::{Ending, Tally};

/// How a round ended.
#[derive(Debug)]
pub struct RoundReport {
    /// The site.
    pub site: Arc<str>,
    /// What it came to.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
    /// How long after it was due it began.
    pub late: Duration,
    /// How it ended.
    pub ending: Ending,
    /// Why it broke off, where it did.
    pub failure: Option<Reason>,
    /// What it found and left there for good.
    pub not_taken: NotTaken,
    /// Whether the site has no further round in this run.
    pub is_final: bool,
}

/// Files that were found at a site and left there, and that no later round takes as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotTaken {
    /// Larger than `max_file_size`.
    pub too_large: u64,
    /// With names that cannot be asked for, or stored.
    pub bad_name: u64,
    /// Listed, and not given when asked for.
    pub not_given: u64,
}

impl NotTaken {
    /// How many they are.
    pub fn count(&self) -> u64 {
        self.too_large + self.bad_name + self.not_given
    }

    /// With those that a later round of the same site found: each round finds all bad names again, and each other file is
    /// asked for in one round only.
    #[must_use]
    pub fn and_later(self, later: Self) -> Self {
        Self {
            too_large: self.too_large + later.too_large,
            bad_name: self.bad_name.max(later.bad_name),
            not_given: self.not_given + later.not_given,
        }
    }
}

impl std::ops::Add for NotTaken {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            too_large: self.too_large + other.too_large,
            bad_name: self.bad_name + other.bad_name,
            not_given: self.not_given + other.not_given,
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.too_large, "larger than max_file_size"),
            (self.bad_name, "with a name that cannot be used"),
            (self.not_given, "that the site does not give"),
        ];
        let reasons = reasons.into_iter().filter(|(count, _)| *count > 0);
        let words = reasons.map(|(count, reason)| format!("{} {reason}", Count(count, "file")));
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

impl RoundReport {
    /// Logs it: what happened at `info`, the same failure again only now and then. `of_site` throttles failures of the
    /// site, `of_process` those that the process as a whole has; `failures` is how many rounds have failed in a row.
    pub(super) fn log(&self, of_site: &mut LogThrottle, of_process: &mut LogThrottle, now: Instant, failures: u32) {
        let site = quoted(&*self.site);
        let counts = self.counts();
        if let Some(reason) = &self.failure {
            let throttle = if reason.lacks_files() { of_process } else { of_site };
            if let Some(suppressed) = throttle.failed(&reason.log_key(), now) {
                let word = reason.code();
                warn!("site={site} reason={word} {reason}; failures={failures}{} {counts}", repeated(suppressed));
            }
            return;
        }
        let Tally { refused, without_room, .. } = self.tally;
        if without_room > 0 && self.ending == Ending::Stalled {
            if let Some(suppressed) = of_site.failed(NO_ROOM, now) {
                warn!("site={site} reason=kept {NO_ROOM}; not-taken={without_room}{} {counts}", repeated(suppressed));
            }
            return;
        }
        if refused > 0 {
            if let Some(suppressed) = of_site.failed(NOT_DELETED, now) {
                warn!("site={site} reason=kept {NOT_DELETED}; refused={refused}{} {counts}", repeated(suppressed));
            }
            return;
        }
        if self.ending != Ending::CutOff
            && let Some(recovery) = of_site.recovered(now)
        {
            info!("site={site} {recovery}");
        }
        let Tally { collected, moved, left, .. } = self.tally;
        let level = if collected + moved + left > 0 { Level::Info } else { Level::Debug };
        log!(level, "site={site} {counts}");
    }

    fn counts(&self) -> String {
        let Tally { collected, bytes, moved, left, skipped, unstored, .. } = self.tally;
        let milliseconds = self.took.as_millis();
        format!(
            "collected={collected} bytes={bytes} moved={moved} left={left} skipped={skipped} unstored={unstored} \
             ms={milliseconds}"
        )
    }
}

/// Why no new files are taken from a site.
const NO_ROOM: &str = "no new files are taken from this site: it does not delete those that are safe here, as many of them \
                       are there as are remembered, and what is forgotten would come again and again. Let us delete them \
                       (can its tentacle_server write to its storage directory? do its allow rules let us delete?), or \
                       move them away there";

/// Why a site keeps what it was asked to delete.
const NOT_DELETED: &str = "the site does not delete files that are safe here: can its tentacle_server write to its \
                           storage directory? do its allow rules let us delete? does somebody else collect there?";
