//! Files of a stock site that come in archives (`ZRECV`), as `compression` asks for.

use std::time::Instant;

use log::{Level, debug, info};

use super::Site;
use crate::collector::Reason;
use crate::proto::zip::UnpackError;
use crate::proto::{FileName, Refusal};
use crate::sync::{Assignment, Delivery, FetchAssignment, PackingNews};

impl Site {
    /// Whether a stock server is to pack files. What it deletes with its only transfer cannot come in an archive.
    fn is_to_pack(&self) -> bool {
        self.settings.compression && self.settings.delivery == Delivery::Safe
    }

    /// Whether it is known how its files are to be asked for. Else the next one is asked for in lock-step.
    pub(in crate::collector) fn knows_packing(&self, now: Instant) -> bool {
        !self.is_to_pack() || self.packing.is_known(now)
    }

    /// Whether this file is to be asked for packed.
    pub(in crate::collector) fn is_packed(&self, name: &FileName) -> bool {
        self.is_to_pack() && self.packing.is_packed(name)
    }

    /// The same, if only to find out whether the server packs.
    pub(in crate::collector) fn is_tried_packed(&self, name: &FileName, now: Instant) -> bool {
        self.is_packed(name) || (self.is_to_pack() && self.packing.is_tried(name, now))
    }

    /// A file has come in an archive.
    pub(in crate::collector) fn unpacked(&mut self) {
        let news = self.packing.came();
        self.log_packing(news);
    }

    /// The file's archive alone is larger than a file may be. How large the file is shows where it is asked for as it is.
    pub(in crate::collector) fn unfit_archive(&mut self, fetch: FetchAssignment) {
        self.packing.is_unfit(fetch.name());
        self.returned(Assignment::Fetch(fetch));
    }

    /// The archive has come to its end, and no file out of it.
    pub(in crate::collector) fn unusable_archive(&mut self, fetch: FetchAssignment, error: UnpackError, now: Instant) {
        match error {
            UnpackError::TooLarge { .. } => self.unfit_archive(fetch),
            UnpackError::Zip(error) => {
                let text = format!(
                    "reason=archive what came for it is {error}; it stays there and is asked for as it is. If that goes on, look \
                     at the server, and at what changes its bytes on the way; compression = false for the site goes on without"
                );
                self.log_file(Level::Warn, fetch.name(), &text);
                self.not_packed(fetch, now);
            }
        }
    }

    /// The site does not give an archive of the file.
    pub(in crate::collector) fn archive_refused(&mut self, fetch: FetchAssignment, refusal: &Refusal, now: Instant) {
        debug!("site={} file={} is not packed there: {refusal}; it is asked for as it is", self.shown(), fetch.name());
        self.not_packed(fetch, now);
    }

    /// The connection was given up before the file's archive had come.
    pub(in crate::collector) fn archive_did_not_come(&mut self, name: &FileName) {
        let Some(since) = self.running.as_ref().map(|running| running.since) else { return };
        let news = self.packing.did_not_come(name, since);
        self.log_packing(news);
    }

    fn not_packed(&mut self, fetch: FetchAssignment, now: Instant) {
        let news = self.packing.was_unusable(fetch.name(), now);
        self.log_packing(news);
        self.returned(Assignment::Fetch(fetch));
    }

    /// The connection ended where the site was to say whether it sends an archive.
    pub(in crate::collector) fn got_no_archive(&mut self, fetch: FetchAssignment, reason: &Reason, now: Instant) {
        debug!("site={} file={} is asked for as it is: asked for its archive, {reason}", self.shown(), fetch.name());
        let news = self.packing.ended(fetch.name(), now);
        self.log_packing(news);
        self.returned(Assignment::Fetch(fetch));
    }

    fn log_packing(&self, news: Option<PackingNews>) {
        match news {
            None => {}
            Some(PackingNews::Packs) => info!("site={} packs: files come compressed (ZRECV)", self.shown()),
            Some(PackingNews::DoesNotPack) => info!(
                "site={} does not pack, for all that compression is true: its server does not know ZRECV, or sends no archives that \
                 can be used; files come as they are, and it is tried again in an hour",
                self.shown()
            ),
        }
    }
}
