//! `--status`: what a server that runs is at, and what is wrong with it.

use super::Problem;
use crate::cli::control::{ControlClient, ControlError, Program, SocketEnv, places};
use crate::cli::screen::{WIDTH, bytes, duration, number, wrapped, wrapped_at};
use crate::config::server::{CommandLine, Env, control_socket};
use crate::control::{
    Answer, Command, LastAnswer, QuotaAnswer, ReasonAnswer, RelayAnswer, ServerAnswer, ServerReport, StorageAnswer,
    TransferAnswer, to_json,
};
use crate::obs::Output;
use crate::proto::{Count, quoted, shown};

/// Of a line's title, so much is shown.
const TITLE: usize = 14;

/// Something is wrong with the server: an exit status.
const WRONG: u8 = 1;

/// Asks the server that runs by this command line, and prints what it says. The exit status says whether anything is wrong.
pub(super) fn status(line: &CommandLine, env: &Env, json: bool) -> Result<u8, Problem> {
    let mut server = None;
    find(line, env).ask(&Command::Status { sites: Vec::new() }, |answer| {
        if let Answer::Server(answer) = answer {
            server = Some(answer);
        }
    })?;
    let server = server.ok_or("who answered is no tentacle_server: name its own control socket")?;
    let mut out = Output::default();
    if json {
        out.file(&(to_json(&ServerReport::new(&server)) + "\n"));
    } else {
        for line in render(&server) {
            out.line(line);
        }
    }
    out.finish()?;
    Ok(if server.problems.is_empty() { 0 } else { WRONG })
}

/// Where the server would serve its socket. A file that cannot be read keeps nobody from reaching one that runs by systemd's.
fn find(line: &CommandLine, env: &Env) -> ControlClient {
    let (configured, hint) = match control_socket(line, env) {
        Ok(configured @ Some(_)) => (configured, String::new()),
        Ok(None) => {
            let hint = "; it has one where control_socket, --control-socket or systemd's RUNTIME_DIRECTORY says: give the \
                        -F or --control-socket that it was started with";
            (None, hint.to_owned())
        }
        Err(error) => {
            let why = error.to_string();
            (
                None,
                format!(
                    "; what the file says of control_socket is not known: {}",
                    why.lines().next().unwrap_or_default()
                ),
            )
        }
    };
    let places = places(Program::Server, configured.as_deref(), None, SocketEnv::of_process());
    ControlClient::new(Program::Server, places, hint)
}

/// What an error of asking ends with.
pub(super) fn exit_code(problem: &(dyn std::error::Error + 'static)) -> Option<u8> {
    problem.downcast_ref().map(ControlError::exit_code)
}

/// In lines of at most [`WIDTH`] characters.
fn render(server: &ServerAnswer) -> Vec<String> {
    let ServerAnswer { program_version, pid, uptime_seconds, problems, .. } = server;
    let wrong = match problems.len() {
        0 => "all is well".to_owned(),
        problems => Count(problems, "problem").to_string(),
    };
    let up = duration(*uptime_seconds);
    let head = format!("tentacle_server {}, process {pid}, up {up}: {wrong}", shown(program_version));
    let mut lines = wrapped(&head, "");
    for problem in problems {
        lines.push(String::new());
        let text = format!("! {}: {}", shown(&problem.reason), shown(&problem.message));
        lines.extend(wrapped(&text, "    "));
    }
    lines.push(String::new());
    for (title, text) in facts(server) {
        for (number, line) in wrapped_at(&text, "", WIDTH - 2 - TITLE).into_iter().enumerate() {
            let title = if number == 0 { title } else { "" };
            lines.push(format!("  {title:TITLE$}{line}"));
        }
    }
    lines
}

fn facts(server: &ServerAnswer) -> Vec<(&'static str, String)> {
    let mut facts = match (&server.storage, &server.relay) {
        (Some(storage), _) => of_storage(storage),
        (None, Some(relay)) => of_relay(relay),
        (None, None) => Vec::new(),
    };
    let connections = &server.connections;
    facts.push((
        "connections",
        format!(
            "{} of {}, {} waiting; at the most {} at once, {} in all",
            number(connections.open),
            number(connections.max_connections),
            number(connections.waiting),
            number(connections.most),
            number(connections.accepted)
        ),
    ));
    let counted = [("turned away", &server.turned_away), ("refused", &server.refused), ("failed", &server.failed)];
    facts.extend(
        counted.into_iter().filter(|(_, reasons)| !reasons.is_empty()).map(|(title, all)| (title, reasons(all))),
    );
    facts.push(("listening", listening(server)));
    let waited = server.longest_loop_wait_microseconds.div_ceil(1000);
    let memory = server.memory_bytes.map_or_else(|| "unknown".to_owned(), bytes);
    facts.push(("memory", format!("{memory}; the loop waited {waited} ms at the longest")));
    facts
}

fn of_storage(storage: &StorageAnswer) -> Vec<(&'static str, String)> {
    let counted = storage.counted_seconds.map(|age| format!("; counted {} ago", duration(age))).unwrap_or_default();
    let waiting = match storage.waiting {
        None => "unknown: it is being counted".to_owned(),
        Some(held) => {
            let oldest = held.oldest_seconds.map(|age| format!("; the oldest {}", duration(age))).unwrap_or_default();
            format!("{}, {}{oldest}{counted}", Count(held.files, "file"), bytes(held.bytes))
        }
    };
    let mut facts = vec![("waiting", waiting)];
    if let Some(below) = storage.below.filter(|below| below.files > 0) {
        facts.push(("below", format!("{}, {}, in other directories", Count(below.files, "file"), bytes(below.bytes))));
    }
    facts.push(("collected", transfer(&storage.collected, "by")));
    facts.push((
        "listed",
        storage.listed.as_ref().map_or_else(|| "not since the start".to_owned(), |at| last(at, "by")),
    ));
    facts.push(("stored", transfer(&storage.stored, "from")));
    if let Some(text) = quota(&storage.quota) {
        facts.push(("quota", text));
    }
    let directory = quoted(&storage.directory);
    let disk = match storage.free_bytes.zip(storage.total_bytes) {
        Some((free, total)) => format!("{} of {} free in {directory}", bytes(free), bytes(total)),
        None => directory.to_string(),
    };
    facts.push(("disk", disk));
    facts
}

fn of_relay(relay: &RelayAnswer) -> Vec<(&'static str, String)> {
    let reached = relay.reached_seconds.map_or_else(|| "not since the start".to_owned(), ago);
    let mut facts = vec![("relaying to", shown(&relay.address)), ("reached", reached)];
    if let Some(failure) = &relay.failure {
        let text = format!("{}, {}: {}", number(failure.failures), ago(failure.seconds), shown(&failure.message));
        facts.push(("failures", text));
    }
    facts
}

fn ago(seconds: u64) -> String {
    format!("{} ago", duration(seconds))
}

fn last(LastAnswer { seconds, client }: &LastAnswer, word: &str) -> String {
    format!("{}, {word} {}", ago(*seconds), shown(client))
}

fn transfer(transfer: &TransferAnswer, word: &str) -> String {
    let amount = format!("{}, {}", Count(transfer.files, "file"), bytes(transfer.bytes));
    match &transfer.last {
        None => "nothing since the start".to_owned(),
        Some(at) => format!("{amount}; the last {}", last(at, word)),
    }
}

fn quota(quota: &QuotaAnswer) -> Option<String> {
    let mut texts = Vec::new();
    if let Some((used, most)) = quota.used_files.zip(quota.max_files) {
        texts.push(format!("{} of max_spool_files {}", number(used), number(most)));
    }
    if let Some((used, most)) = quota.used_bytes.zip(quota.max_bytes) {
        texts.push(format!("{} of max_spool_bytes {}", bytes(used), bytes(most)));
    }
    texts.extend(quota.min_free_bytes.map(|least| format!("min_free {}", bytes(least))));
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn reasons(reasons: &[ReasonAnswer]) -> String {
    let text = |one: &ReasonAnswer| format!("{} {} ({})", number(one.count), shown(&one.reason), ago(one.last_seconds));
    reasons.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn listening(server: &ServerAnswer) -> String {
    let addresses: Vec<String> = server.listening.iter().map(shown).collect();
    let tls = match server.certificate_days {
        None => "not encrypted".to_owned(),
        Some(days @ ..0) => format!("TLS, the certificate has ended {} ago", Count(days.unsigned_abs(), "day")),
        Some(days) => format!("TLS, the certificate has {} left", Count(days.unsigned_abs(), "day")),
    };
    format!("{}; {tls}", addresses.join(", "))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
