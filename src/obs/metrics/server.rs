//! What is known of a server at a site.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::{About, Families, encode, microseconds};
use crate::control::{LastAnswer, ReasonAnswer, ServerAnswer, StorageAnswer};

/// Before the name of each.
const PREFIX: &str = "tentacle_server";

/// All of it in the text format, version 0.0.4. What is unknown is left out.
pub fn server_metrics(server: ServerAnswer) -> String {
    encode(PREFIX, Known(server))
}

/// What is known.
#[derive(Debug)]
struct Known(ServerAnswer);

impl Collector for Known {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(server) = self;
        let mut families = Families(&mut encoder);
        families.of_server(server)?;
        families.of_clients(server)?;
        if let Some(storage) = &server.storage {
            families.of_held(storage)?;
            families.of_transfers(storage, server.time)?;
            families.of_space(storage)?;
        }
        families.of_relay(server)
    }
}

fn by_reason(reasons: &[ReasonAnswer]) -> impl Iterator<Item = ([(&'static str, &str); 1], u64)> {
    reasons.iter().map(|counted| ([("reason", counted.reason.as_str())], counted.count))
}

impl Families<'_, '_> {
    /// A gauge, where it is known.
    fn known(&mut self, about: About<'_>, value: Option<u64>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.gauge(about, &value))
    }

    fn of_server(&mut self, server: &ServerAnswer) -> fmt::Result {
        let seconds = Some(&Unit::Seconds);
        let version = [("version", server.program_version.as_str())];
        self.gauges(About("build_info", "The program's version", None), [(version, 1_u64)])?;
        self.gauge(About("start_timestamp", "When the server was started, since 1970", seconds), &server.started)?;
        let help = "The longest that anything ready had to wait for the loop since the start";
        let longest = microseconds(server.longest_loop_wait_microseconds);
        self.gauge(About("loop_wait_longest", help, seconds), &longest)?;
        let help = "The process's resident memory";
        self.known(About("resident_memory", help, Some(&Unit::Bytes)), server.memory_bytes)?;
        let problems = server.problems.iter().map(|problem| ([("reason", problem.reason.as_str())], 1_u64));
        let help = "What is wrong, as `tentacle_server --status` tells it with what to do: 1 while it is";
        self.gauges(About("problem", help, None), problems)?;
        if let Some(days) = server.certificate_days {
            let help = "Until the first of the server's own certificates ends, in whole days";
            self.gauge(About("certificate_remaining", help, seconds), &days.saturating_mul(86_400))?;
        }
        Ok(())
    }

    fn of_clients(&mut self, server: &ServerAnswer) -> fmt::Result {
        let connections = &server.connections;
        self.gauge(About("connections", "Clients that are served", None), &connections.open)?;
        self.gauge(About("connections_waiting", "Clients that wait for a place", None), &connections.waiting)?;
        let help = "The most that are served at once: max_connections";
        self.gauge(About("connections_limit", help, None), &connections.max_connections)?;
        self.counter(About("accepted_connections", "Connections that have come", None), connections.accepted)?;
        let help = "Connections that were closed before their first byte";
        self.counters(About("turned_away_connections", help, None), by_reason(&server.turned_away))?;
        let help = "Commands that were refused";
        self.counters(About("refused_commands", help, None), by_reason(&server.refused))?;
        let help = "Connections that ended otherwise than in good order; the reasons are those of the log";
        self.counters(About("failed_connections", help, None), by_reason(&server.failed))
    }

    fn of_held(&mut self, storage: &StorageAnswer) -> fmt::Result {
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        if let Some(waiting) = storage.waiting {
            let help = "Files in the storage directory that a collector may take";
            self.gauge(About("waiting_files", help, None), &waiting.files)?;
            self.gauge(About("waiting", "Their bytes", bytes), &waiting.bytes)?;
            let help = "The age of the oldest of them since it was written; 0 where none waits";
            let oldest = waiting.oldest_seconds.or((waiting.files == 0).then_some(0));
            self.known(About("oldest_waiting_age", help, seconds), oldest)?;
        }
        if let Some(below) = storage.below {
            let help = "Files in directories below the storage directory, as agents' configuration, which stay";
            self.gauge(About("kept_files", help, None), &below.files)?;
            self.gauge(About("kept", "Their bytes", bytes), &below.bytes)?;
        }
        self.known(About("count_age", "How long ago these were counted", seconds), storage.counted_seconds)
    }

    fn of_transfers(&mut self, storage: &StorageAnswer, now: u64) -> fmt::Result {
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        let when = |last: &Option<LastAnswer>| last.as_ref().map(|last| now.saturating_sub(last.seconds));
        let (stored, collected) = (&storage.stored, &storage.collected);
        self.counter(About("stored_files", "Files that clients have sent", None), stored.files)?;
        self.counter(About("stored", "Their bytes", bytes), stored.bytes)?;
        let help = "When a client has sent the last of them, since 1970; not there before the first";
        self.known(About("last_stored_timestamp", help, seconds), when(&stored.last))?;
        self.counter(About("collected_files", "Files that clients have taken away", None), collected.files)?;
        self.counter(About("collected", "Their bytes", bytes), collected.bytes)?;
        let help = "When a client has taken away the last of them, since 1970; not there before the first";
        self.known(About("last_collected_timestamp", help, seconds), when(&collected.last))?;
        let help = "When a client was last given a listing, since 1970; not there before the first";
        self.known(About("last_listed_timestamp", help, seconds), when(&storage.listed))
    }

    fn of_space(&mut self, storage: &StorageAnswer) -> fmt::Result {
        let (quota, bytes) = (&storage.quota, Some(&Unit::Bytes));
        self.known(About("quota_used_files", "Files that count", None), quota.used_files)?;
        self.known(About("quota_limit_files", "How many may: max_spool_files", None), quota.max_files)?;
        let help = "Their bytes, with those on their way in";
        self.known(About("quota_used", help, bytes), quota.used_bytes)?;
        self.known(About("quota_limit", "How many those may be: max_spool_bytes", bytes), quota.max_bytes)?;
        self.known(About("min_free", "What is to stay free: min_free", bytes), quota.min_free_bytes)?;
        let help = "What is free on the filesystem of the storage directory";
        self.known(About("disk_free", help, bytes), storage.free_bytes)?;
        self.known(About("disk_size", "What that filesystem has in all", bytes), storage.total_bytes)
    }

    fn of_relay(&mut self, server: &ServerAnswer) -> fmt::Result {
        let Some(relay) = &server.relay else { return Ok(()) };
        let reached = relay.reached_seconds.map(|ago| server.time.saturating_sub(ago));
        let help = "When a connection to the server behind this relay was last opened, since 1970";
        self.known(About("upstream_last_reached_timestamp", help, Some(&Unit::Seconds)), reached)?;
        let failures = relay.failure.as_ref().map_or(0, |failure| failure.failures);
        self.counter(About("upstream_failures", "Connections that failed at that server", None), failures)
    }
}
