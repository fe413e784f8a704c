//! Log lines that clients can cause, each once in a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::obs::Repeats;

/// Clients whose last complaint is remembered; beyond that, it is forgotten whose it was.
const REMEMBERED: usize = 1024;

/// What was complained about, by client; `None` for what concerns the server itself.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashMap<Option<IpAddr>, Repeats>);

impl Complaints {
    /// Warns about `client`, unless the same was said of it a short while ago.
    pub(super) fn warn(&mut self, client: Option<IpAddr>, text: &str, now: Instant) {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&client) {
            self.0.clear();
        }
        match self.0.entry(client).or_default().complain(text, now) {
            None => log::debug!("{text}"),
            Some(0) => log::warn!("{text}"),
            Some(swallowed) => log::warn!("{text} (and {swallowed} times more since that was last said)"),
        }
    }

    /// What concerned the server itself is over.
    pub(super) fn settle(&mut self) {
        self.0.remove(&None);
    }
}
