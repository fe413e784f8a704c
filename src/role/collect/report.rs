//! How a site's round ended, for whoever watches, and for the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, info, log, warn};

use super::Reason;
use crate::obs::{LogThrottle, repeated};
use crate::proto::quoted;
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
    /// How it ended.
    pub ending: Ending,
    /// Why it broke off, where it did.
    pub failure: Option<Reason>,
    /// Whether the site has no further round in this run.
    pub is_final: bool,
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
                let word = reason.word();
                warn!("site={site} reason={word} {reason}; failures={failures}{} {counts}", repeated(suppressed));
            }
            return;
        }
        let refused = self.tally.refused;
        if refused > 0 {
            if let Some(suppressed) = of_site.failed(NOT_DELETED, now) {
                warn!("site={site} reason=kept {NOT_DELETED}; refused={refused}{} {counts}", repeated(suppressed));
            }
            return;
        }
        if let Some(recovery) = of_site.recovered(now) {
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

/// Why a site keeps what it was asked to delete.
const NOT_DELETED: &str = "the site does not delete files that are safe here: can its tentacle_server write to its \
                           storage directory? does somebody else collect there?";
