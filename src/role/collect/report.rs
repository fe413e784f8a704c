//! How a site's round ended, for whoever watches, and for the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, info, log, warn};

use super::Reason;
use crate::obs::Repeats;
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
    /// Says it in the log: what happened at `info`, the same complaint again only now and then. `complaints` are about
    /// the site, `of_process` about all of them.
    pub(super) fn log(&self, complaints: &mut Repeats, of_process: &mut Repeats, now: Instant, failures: u32) {
        let site = &self.site;
        let Tally { collected, bytes, moved, refused, left, skipped, unstored, .. } = self.tally;
        let milliseconds = self.took.as_millis();
        let counts = format!(
            "collected={collected} bytes={bytes} moved={moved} left={left} skipped={skipped} unstored={unstored} ms={milliseconds}"
        );
        if let Some(reason) = &self.failure {
            let complaints = if reason.lacks_files() { of_process } else { complaints };
            if let Some(repeated) = complaints.complain(&reason.matter(), now) {
                let word = reason.word();
                warn!("site={site} reason={word} failures={failures} repeated={repeated} {counts}: {reason}");
            }
            return;
        }
        if refused > 0 {
            if complaints.complain("refused", now).is_some() {
                warn!(
                    "site={site} reason=kept refused={refused} {counts}: the site does not delete files that are safe here: \
                     can its tentacle_server write to its storage directory? does somebody else collect there?"
                );
            }
            return;
        }
        if complaints.settle() {
            info!("site={site} works again");
        }
        let level = if collected + moved + left > 0 { Level::Info } else { Level::Debug };
        log!(level, "site={site} {counts}");
    }
}
