//! What a listing shows of a site: what to ask for, what waits there, and what cannot be used.

use std::time::{Duration, Instant};

use log::{Level, warn};

use super::Site;
use crate::collector::status::SeenWaiting;
use crate::proto::{FileName, Listing, RefusedEntry};
use crate::sync::{AgeSource, Details, Selection};
use crate::tls::UnixTime;

impl Site {
    /// A listing begins, with times from there.
    pub(in crate::collector) fn select(&mut self, source: AgeSource, date: UnixTime) -> Selection {
        self.not_taken.begin_listing();
        let date = Duration::from_secs(date.as_secs());
        Selection::new(self.names.share(), &mut self.history).with_ages(source, date)
    }

    /// Decides whether a listed name is one to ask for.
    pub(in crate::collector) fn judge(&mut self, name: &[u8], selection: &mut Selection) {
        self.not_taken.saw(name);
        selection.judge(name, self.settings.collects(name), &mut self.history);
    }

    /// The same, of a file of which more is listed than its name.
    pub(in crate::collector) fn judge_with(&mut self, name: &[u8], details: Details, selection: &mut Selection) {
        self.not_taken.saw(name);
        let (is_collected, most) = (self.settings.collects(name), self.settings.max_file_size);
        let is_too_large = is_collected && details.size > most;
        selection.judge_with(name, Some(details), is_collected && !is_too_large, &mut self.history);
        if is_too_large && let Ok(name) = FileName::new(name) {
            self.listed_too_large(&name, details.size);
        }
    }

    /// Logs which names of a listing, or of a page of it, cannot be used; so many of the pages before could not.
    pub(in crate::collector) fn log_refused(&mut self, listing: &Listing, before: u64) {
        for RefusedEntry { name, error } in listing.refused() {
            self.not_taken.add(name.as_bytes(), &error.to_string());
            if self.history.report_once(name.as_bytes()) {
                self.log_file(Level::Warn, name, &format!("left there: {error}"));
            }
        }
        if let [mark, ..] = listing.marks()
            && self.history.report_once(mark)
        {
            let mark = String::from_utf8_lossy(mark);
            warn!(
                "site={} its directory is the incoming directory of another tentacle-syncd (it has {mark}), whose data server \
                 gets nothing of what is collected from it: is the address right? in a chain of collectors it is",
                self.shown()
            );
        }
        if let Some(running) = &mut self.running {
            running.not_taken.bad_name = before + listing.refused_count();
        }
    }

    /// What is left there is asked for again: the file with this name, or all where none is named. Whether there is one.
    pub(in crate::collector) fn retry_skipped(&mut self, name: Option<&str>) -> bool {
        let Some(name) = name else {
            self.not_taken.clear();
            self.history.reset_skips();
            return true;
        };
        let Some(found) = self.not_taken.find(name) else { return false };
        self.not_taken.remove(&found);
        if let Ok(name) = FileName::new(&found) {
            self.history.unskip(&name);
        }
        true
    }

    /// A listing has come whole: takes note of what it shows to be at the site.
    pub(in crate::collector) fn note_listing(&mut self, selection: &Selection, now: Instant) {
        self.not_taken.end_listing();
        self.waiting = Some(SeenWaiting::new(selection.waiting(), now));
    }
}
