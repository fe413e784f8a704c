//! What is known of the daemon, as it is answered.

use std::process;
use std::time::Instant;

use super::Collector;
use crate::collector::status::SiteStatus;
use crate::control::{Amount, DaemonAnswer};
use crate::store::Waiting;

impl Collector {
    pub(super) fn daemon_answer(&self) -> DaemonAnswer {
        let now = self.net.now();
        let sites: Vec<&SiteStatus> = self.statuses().collect();
        DaemonAnswer {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            time: self.net.date().as_secs(),
            uptime_seconds: seconds(self.started, now),
            sites: sites.len() as u64,
            failing: sites.iter().filter(|site| site.is_failing()).count() as u64,
            rounds: self.running as u64,
            connections: self.net.connections() as u64,
            max_connections: self.max_connections as u64,
            longest_loop_wait_microseconds: u64::try_from(self.net.max_loop_latency().as_micros()).unwrap_or(u64::MAX),
            committing: self.commit_queue.committing() as u64,
            unpublished: amount(self.commit_queue.unpublished()),
        }
    }
}

pub(super) fn amount(Waiting { files, bytes }: Waiting) -> Amount {
    Amount { files: files as u64, bytes }
}

pub(super) fn seconds(since: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(since).as_secs()
}
