//! What the [status port](crate::status_port) of the daemon answers: what the daemon and its sites are at.
//!
//! What concerns all sites is gathered in slices and put together on a thread of its own, at most once a second, and once for
//! all who ask meanwhile.

mod history;
mod pages;
mod resource;

use std::time::Instant;

pub(super) use self::history::{History, SiteNow};
pub(super) use self::pages::{Asked, Made, Pages, Subject};
pub(crate) use self::resource::Resource;
use crate::net::ConnId;
use crate::status_port;

/// What answers are made with.
pub(crate) struct Answers {
    pub(super) pages: Pages,
    pub(super) history: History,
}

/// The status port.
pub(crate) type StatusPort = status_port::StatusPort<Answers>;

impl status_port::Answers for Answers {
    fn forget(&mut self, client: ConnId) {
        self.pages.forget(client);
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        Some(if self.pages.is_gathering() { now } else { self.history.due(now) })
    }
}
