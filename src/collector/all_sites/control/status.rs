//! What is known of the daemon, as it is answered.

use std::process;
use std::time::{Duration, Instant};

use super::Collector;
use crate::collector::machine::{Disk, Machine};
use crate::collector::status::SiteStatus;
use crate::control::{Amount, CommitsAnswer, DaemonAnswer, DiskAnswer};
use crate::store::{Commits, Waiting};

impl Collector {
    pub(in crate::collector::all_sites) fn daemon_answer(&self) -> DaemonAnswer {
        let now = self.net.now();
        let sample = self.machine.as_ref().map(Machine::sample).unwrap_or_default();
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
            longest_loop_wait_microseconds: microseconds(self.net.max_loop_latency()),
            committing: self.commit_queue.committing() as u64,
            unpublished: self.commit_queue.unpublished().into(),
            bwlimit: self.net.overall_limit(),
            commits: commits(self.commit_queue.commits()),
            memory_bytes: sample.memory,
            journal_bytes: sample.journal,
            disks: sample.disks.iter().map(disk).collect(),
        }
    }
}

fn commits(Commits { groups, files, last_files, last, longest }: Commits) -> CommitsAnswer {
    let (last_microseconds, longest_microseconds) = (microseconds(last), microseconds(longest));
    CommitsAnswer { groups, files, last_group_files: last_files, last_microseconds, longest_microseconds }
}

fn disk(Disk { directory, space }: &Disk) -> DiskAnswer {
    let (free_bytes, total_bytes) = space.unzip();
    DiskAnswer { directory: directory.to_string_lossy().into_owned(), free_bytes, total_bytes }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl From<Waiting> for Amount {
    fn from(Waiting { files, bytes }: Waiting) -> Self {
        Self { files: files as u64, bytes }
    }
}

pub(super) fn seconds(since: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(since).as_secs()
}
