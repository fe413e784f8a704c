//! What is wrong with a server, and what to do. The thresholds are those from which on the centre has the console warn.

use crate::control::{HeldAnswer, QuotaAnswer, ReasonAnswer, ServerAnswer, ServerProblem, StorageAnswer};
use crate::proto::{Count, quoted};

/// How old a file may become that nobody takes away, in seconds, and for how long nobody may take any.
const UNCOLLECTED: u64 = 3600;

/// How long what clients were refused for is told of, in seconds.
const RECENT: u64 = 600;

/// Of a quota, in per cent.
const NEARLY_FULL: u64 = 90;

/// Of a filesystem, in per cent.
const LITTLE_FREE: u64 = 10;

/// Of a certificate.
const DAYS_LEFT: i64 = 30;

/// How long what is stored may take to be counted, in seconds: a million takes about one.
const LONGEST_COUNT: u64 = 300;

/// What is wrong by this answer, the worst first.
pub(super) fn problems(answer: &ServerAnswer) -> Vec<ServerProblem> {
    let of_storage = answer.storage.iter().flat_map(|storage| {
        [
            refused(storage, &answer.refused),
            quota(&storage.quota, storage.free_bytes),
            disk(storage),
            uncollected(storage, answer.uptime_seconds),
            uncounted(storage),
        ]
    });
    let of_all = [upstream(answer), certificate(answer.certificate_days), crowded(answer)];
    of_storage.chain(of_all).flatten().collect()
}

/// What keeps clients from being served by this answer, and from storing files.
pub(super) fn unreadiness(answer: &ServerAnswer, is_stopping: bool) -> Vec<String> {
    let stopping = is_stopping.then(|| "it is being stopped".to_owned());
    let of_storage = answer.storage.iter().flat_map(|storage| {
        let quota = quota(&storage.quota, storage.free_bytes).filter(|_| is_full(&storage.quota, storage.free_bytes));
        [uncounted(storage), quota]
    });
    let problems = of_storage.flatten().chain(upstream(answer)).map(|problem| problem.message);
    stopping.into_iter().chain(problems).collect()
}

/// Whether new files are refused.
fn is_full(quota: &QuotaAnswer, free: Option<u64>) -> bool {
    let is_used_up = |used: Option<u64>, most: Option<u64>| used.zip(most).is_some_and(|(used, most)| used >= most);
    is_used_up(quota.used_files, quota.max_files)
        || is_used_up(quota.used_bytes, quota.max_bytes)
        || free.zip(quota.min_free_bytes).is_some_and(|(free, least)| free <= least)
}

fn problem(reason: &str, message: String) -> ServerProblem {
    ServerProblem { reason: reason.to_owned(), message }
}

/// How long ago that was the last time, if lately.
fn lately(reasons: &[ReasonAnswer], reason: &str) -> Option<u64> {
    let last = reasons.iter().find(|counted| counted.reason == reason)?.last_seconds;
    (last < RECENT).then_some(last)
}

/// Files that were not taken, or could not be given.
fn refused(storage: &StorageAnswer, refused: &[ReasonAnswer]) -> Option<ServerProblem> {
    let directory = quoted(&storage.directory);
    if let Some(seconds) = lately(refused, "no-room") {
        let message = format!(
            "a file found no room in {directory} {} ago: have files collected, free some space, or raise max_spool_bytes, \
             max_spool_files or min_free where they are in the way; its client keeps it and sends it again",
            Count(seconds, "second")
        );
        return Some(problem("refused", message));
    }
    let seconds = lately(refused, "failed")?;
    let message = format!(
        "a file could not be stored in {directory}, or not read from there, {} ago: the log says why (reason=store, \
         unreadable)",
        Count(seconds, "second")
    );
    Some(problem("disk-failed", message))
}

fn percent(used: u64, of: u64) -> u64 {
    u64::try_from(u128::from(used) * 100 / u128::from(of.max(1))).unwrap_or(u64::MAX)
}

fn quota(quota: &QuotaAnswer, free: Option<u64>) -> Option<ServerProblem> {
    let limits = [
        ("max_spool_files", quota.used_files.zip(quota.max_files)),
        ("max_spool_bytes", quota.used_bytes.zip(quota.max_bytes)),
    ];
    let shares =
        limits.into_iter().filter_map(|(key, limit)| limit.map(|(used, most)| (percent(used, most), key, most)));
    if let Some((share @ NEARLY_FULL.., key, most)) = shares.max() {
        let effect = if share < 100 { "at 100 % new files are refused" } else { "new files are refused" };
        let message =
            format!("{share} % of {key} {most} are used: {effect}; see that files are collected, or raise it");
        return Some(problem("quota", message));
    }
    let (free, least) = free.zip(quota.min_free_bytes)?;
    let message = format!("{free} bytes are free, and min_free is {least}: new files are refused; free some space");
    (free <= least).then(|| problem("quota", message))
}

fn disk(storage: &StorageAnswer) -> Option<ServerProblem> {
    let (free, total) = storage.free_bytes.zip(storage.total_bytes)?;
    let share = percent(free, total);
    let message = format!(
        "{share} % of the filesystem of {} are free: free some space; min_free has files refused before it is full",
        quoted(&storage.directory)
    );
    (share < LITTLE_FREE).then(|| problem("disk", message))
}

/// Files wait, and nobody comes for them.
fn uncollected(storage: &StorageAnswer, uptime: u64) -> Option<ServerProblem> {
    let HeldAnswer { files, oldest_seconds, .. } = storage.waiting?;
    let quiet = storage.collected.last.as_ref().map_or(uptime, |last| last.seconds);
    if files == 0 || oldest_seconds? < UNCOLLECTED || quiet < UNCOLLECTED {
        return None;
    }
    let since = match &storage.collected.last {
        Some(last) => format!("for {}, when {} did", hours(last.seconds), last.client),
        None => format!("since the start {} ago", hours(uptime)),
    };
    let advice = match &storage.listed {
        _ if !storage.is_collectable => "nobody may list and take away: set insecure 1 (-I)".to_owned(),
        Some(listed) if listed.seconds < UNCOLLECTED => {
            format!("{} lists what is here and takes nothing: see its log", listed.client)
        }
        _ => "see whether the collector runs, reaches this port, and may list (allow, ssl_ca)".to_owned(),
    };
    let message = format!("nobody has taken a file away {since}, and {} wait: {advice}", Count(files, "file"));
    Some(problem("uncollected", message))
}

fn hours(seconds: u64) -> String {
    Count(seconds / 3600, "hour").to_string()
}

/// The directory cannot be looked into, or its filesystem does not answer.
fn uncounted(storage: &StorageAnswer) -> Option<ServerProblem> {
    if let Some(error) = &storage.count_error {
        return Some(problem("storage", error.clone()));
    }
    let seconds = storage.counting_seconds.filter(|seconds| *seconds >= LONGEST_COUNT)?;
    let message = format!(
        "{} has not answered for {}: see whether its filesystem, or its server, does",
        quoted(&storage.directory),
        Count(seconds, "second")
    );
    Some(problem("storage", message))
}

/// The last that is known of the server behind a relay is a failure.
fn upstream(answer: &ServerAnswer) -> Option<ServerProblem> {
    let relay = answer.relay.as_ref()?;
    let failure = relay.failure.as_ref()?;
    let is_over = relay.reached_seconds.is_some_and(|reached| reached < failure.seconds);
    let message = format!("{}: {}", relay.address, failure.message);
    (!is_over).then(|| problem("upstream", message))
}

fn certificate(days: Option<i64>) -> Option<ServerProblem> {
    let what = match days? {
        days @ ..0 => format!("has ended {} ago", Count(days.unsigned_abs(), "day")),
        days @ 0..DAYS_LEFT => format!("ends in {}", Count(days.unsigned_abs(), "day")),
        _ => return None,
    };
    let message = format!("a certificate of this server (ssl_cert) {what}: put another there, then reload (SIGHUP)");
    Some(problem("certificate", message))
}

fn crowded(answer: &ServerAnswer) -> Option<ServerProblem> {
    let seconds = lately(&answer.turned_away, "full")?;
    let message = format!(
        "more clients than can wait wanted one of {} {} ago: raise max_connections, or see who holds them",
        Count(answer.connections.max_connections, "connection"),
        Count(seconds, "second")
    );
    Some(problem("crowded", message))
}

#[cfg(test)]
#[path = "problems_tests.rs"]
mod tests;
