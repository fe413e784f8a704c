use super::*;
use crate::control::{Amount, ConnectionsAnswer, HeldAnswer, RelayFailure, ServerProblem};

fn server() -> ServerAnswer {
    ServerAnswer {
        program_version: "1.2.3".to_owned(),
        pid: 4711,
        time: 1_700_000_000,
        uptime_seconds: 90_000,
        started: 1_699_910_000,
        listening: vec!["0.0.0.0:41121".to_owned()],
        certificate_days: Some(80),
        connections: ConnectionsAnswer { open: 2, waiting: 1, most: 9, accepted: 5012, max_connections: 10 },
        turned_away: Vec::new(),
        refused: vec![ReasonAnswer { reason: "missing".to_owned(), count: 12, last_seconds: 3 }],
        failed: Vec::new(),
        storage: Some(storage()),
        relay: None,
        longest_loop_wait_microseconds: 1,
        memory_bytes: Some(4 << 20),
        problems: Vec::new(),
    }
}

fn storage() -> StorageAnswer {
    let by = |seconds, client: &str| Some(LastAnswer { seconds, client: client.to_owned() });
    StorageAnswer {
        directory: "/data".to_owned(),
        waiting: Some(HeldAnswer { files: 1200, bytes: 3_481_600, oldest_seconds: Some(10_800) }),
        below: Some(Amount { files: 1, bytes: 5 }),
        counted_seconds: Some(0),
        counting_seconds: None,
        count_error: None,
        quota: QuotaAnswer { max_files: Some(2000), used_files: Some(1201), ..QuotaAnswer::default() },
        free_bytes: Some(12 << 30),
        total_bytes: Some(100 << 30),
        stored: TransferAnswer { files: 5911, bytes: 15 << 20, last: by(3, "10.1.2.3") },
        collected: TransferAnswer { files: 4711, bytes: 12 << 20, last: by(10_800, "10.9.0.1") },
        listed: None,
        is_collectable: true,
    }
}

#[test]
fn what_is_wrong_comes_first_and_the_facts_follow() {
    let problem = ServerProblem { reason: "uncollected".to_owned(), message: "nobody has, and what to do".to_owned() };
    let lines = render(&ServerAnswer { problems: vec![problem], ..server() });
    assert_eq!(
        lines,
        [
            "tentacle_server 1.2.3, process 4711, up 25h: 1 problem",
            "",
            "! uncollected: nobody has, and what to do",
            "",
            "  waiting       1200 files, 3400 KiB; the oldest 3h; counted 0s ago",
            "  below         1 file, 5 B, in other directories",
            "  collected     4711 files, 12 MiB; the last 3h ago, by 10.9.0.1",
            "  listed        not since the start",
            "  stored        5911 files, 15 MiB; the last 3s ago, from 10.1.2.3",
            "  quota         1201 of max_spool_files 2000",
            "  disk          12 GiB of 100 GiB free in /data",
            "  connections   2 of 10, 1 waiting; at the most 9 at once, 5012 in all",
            "  refused       12 missing (3s ago)",
            "  listening     0.0.0.0:41121; TLS, the certificate has 80 days left",
            "  memory        4096 KiB; the loop waited 1 ms at the longest",
        ]
    );
    assert_eq!(render(&server())[0], "tentacle_server 1.2.3, process 4711, up 25h: all is well");
}

#[test]
fn a_relay_tells_of_the_server_behind_it() {
    let failure = RelayFailure { seconds: 5, message: "cannot connect".to_owned(), failures: 3 };
    let relay = RelayAnswer { address: "10.0.0.1:41121".to_owned(), reached_seconds: None, failure: Some(failure) };
    let lines = render(&ServerAnswer { storage: None, relay: Some(relay), certificate_days: None, ..server() });
    assert_eq!(
        lines[2..5],
        [
            "  relaying to   10.0.0.1:41121",
            "  reached       not since the start",
            "  failures      3, 5s ago: cannot connect",
        ]
    );
}

#[test]
fn no_line_is_longer_than_a_terminal_whatever_the_values() {
    let monster = || "n\u{1b}ame \u{202e}".repeat(500);
    let huge = u64::MAX;
    let mut server = server();
    server.program_version = monster();
    server.problems = vec![ServerProblem { reason: monster(), message: monster() }];
    server.listening = vec![monster(); 20];
    server.failed = vec![ReasonAnswer { reason: monster(), count: huge, last_seconds: huge }];
    server.connections =
        ConnectionsAnswer { open: huge, waiting: huge, most: huge, accepted: huge, max_connections: huge };
    let mut held = storage();
    held.directory = monster();
    held.waiting = Some(HeldAnswer { files: huge, bytes: huge, oldest_seconds: Some(huge) });
    held.stored.last = Some(LastAnswer { seconds: huge, client: monster() });
    server.storage = Some(held);
    for line in render(&server) {
        assert!(line.chars().count() <= WIDTH && line.chars().all(crate::proto::shows), "{line:?}");
    }
}
