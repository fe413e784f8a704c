//! Log lines that clients can cause, each once in a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::obs::Repeats;

/// Matters that are remembered; beyond that, they are forgotten, and said again.
const REMEMBERED: usize = 1024;

/// What was complained about: by client, or `None` for what concerns the server itself, and by matter.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashMap<(Option<IpAddr>, String), Repeats>);

impl Complaints {
    /// Warns about `client`, unless it was warned about in this matter a short while ago. The text may tell more: names,
    /// sizes and excerpts, of which a client has as many as it likes.
    pub(super) fn warn(&mut self, client: Option<IpAddr>, matter: &str, text: &str, now: Instant) {
        let key = (client, matter.to_owned());
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            self.0.clear();
        }
        match self.0.entry(key).or_default().complain(matter, now) {
            None => log::debug!("{text}"),
            Some(0) => log::warn!("{text}"),
            Some(swallowed) => log::warn!("{text} (and {swallowed} times more like it since that was last said)"),
        }
    }
}
