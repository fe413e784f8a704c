use super::*;
use crate::control::{ConnectionsAnswer, LastAnswer, RelayAnswer, RelayFailure, TransferAnswer};

/// A server at which all is well, though much waits.
fn server() -> ServerAnswer {
    ServerAnswer {
        program_version: "1".to_owned(),
        pid: 1,
        time: 1_700_000_000,
        uptime_seconds: 90_000,
        started: 1_699_910_000,
        listening: Vec::new(),
        certificate_days: None,
        connections: ConnectionsAnswer { max_connections: 10, ..ConnectionsAnswer::default() },
        turned_away: Vec::new(),
        refused: vec![counted("missing", 1)],
        failed: vec![counted("timeout", 1)],
        storage: Some(StorageAnswer {
            directory: "/data".to_owned(),
            waiting: Some(HeldAnswer { files: 1200, bytes: 1, oldest_seconds: Some(9 * UNCOLLECTED) }),
            below: None,
            counted_seconds: Some(0),
            counting_seconds: None,
            count_error: None,
            quota: QuotaAnswer::default(),
            free_bytes: Some(10),
            total_bytes: Some(100),
            stored: TransferAnswer::default(),
            collected: TransferAnswer { files: 1, bytes: 1, last: Some(last(UNCOLLECTED - 1)) },
            listed: None,
            is_collectable: true,
        }),
        relay: None,
        longest_loop_wait_microseconds: 1,
        memory_bytes: None,
        problems: Vec::new(),
    }
}

fn counted(reason: &str, last_seconds: u64) -> ReasonAnswer {
    ReasonAnswer { reason: reason.to_owned(), count: 1, last_seconds }
}

fn last(seconds: u64) -> LastAnswer {
    LastAnswer { seconds, client: "10.9.0.1".to_owned() }
}

/// What is wrong once that has been changed: `reason: message`, for each.
fn found(change: impl FnOnce(&mut ServerAnswer, &mut StorageAnswer)) -> Vec<String> {
    let mut server = server();
    let mut storage = server.storage.take().unwrap();
    change(&mut server, &mut storage);
    server.storage = Some(storage);
    problems(&server).into_iter().map(|ServerProblem { reason, message }| format!("{reason}: {message}")).collect()
}

#[track_caller]
fn finds(reason: &str, words: &[&str], change: impl FnOnce(&mut ServerAnswer, &mut StorageAnswer)) {
    let found = found(change);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert!(one.starts_with(&format!("{reason}: ")) && words.iter().all(|word| one.contains(word)), "{one}");
}

#[test]
fn a_server_that_does_what_it_is_there_for_has_no_problem() {
    assert_eq!(found(|_, _| {}), [""; 0]);
    assert_eq!(found(|server, _| server.certificate_days = Some(30)), [""; 0]);
    assert_eq!(found(|server, _| server.refused = vec![counted("no-room", RECENT)]), [""; 0], "long ago");
    assert_eq!(found(|_, storage| storage.waiting = None), [""; 0], "it is not known yet");
}

#[test]
fn files_that_nobody_comes_for_are_told_of_with_what_keeps_them() {
    let silent = |storage: &mut StorageAnswer| storage.collected.last = Some(last(3 * UNCOLLECTED));
    finds("uncollected", &["for 3 hours, when 10.9.0.1 did", "1200 files wait", "allow"], |_, storage| silent(storage));
    finds("uncollected", &["10.9.0.1 lists what is here and takes nothing"], |_, storage| {
        silent(storage);
        storage.listed = Some(last(5));
    });
    finds("uncollected", &["insecure 1"], |_, storage| {
        silent(storage);
        storage.is_collectable = false;
    });
    finds("uncollected", &["since the start 25 hours ago"], |_, storage| storage.collected.last = None);
    for (files, age) in [(0, None), (3, Some(UNCOLLECTED - 1))] {
        let none = found(|_, storage| {
            silent(storage);
            storage.waiting = Some(HeldAnswer { files, bytes: 1, oldest_seconds: age });
        });
        assert_eq!(none, [""; 0], "{files} of {age:?}");
    }
    let started = found(|server, storage| {
        server.uptime_seconds = 60;
        storage.collected.last = None;
    });
    assert_eq!(started, [""; 0], "a collector may be on its way");
}

#[test]
fn a_quota_and_a_disk_are_told_of_before_they_are_full() {
    let quota = QuotaAnswer { max_files: Some(100), used_files: Some(89), ..QuotaAnswer::default() };
    assert_eq!(found(|_, storage| storage.quota = quota), [""; 0]);
    finds("quota", &["95 % of max_spool_files 100"], |_, storage| {
        storage.quota = QuotaAnswer { used_files: Some(95), max_bytes: Some(u64::MAX), used_bytes: Some(3), ..quota };
    });
    finds("quota", &["10 bytes are free, and min_free is 10"], |_, storage| storage.quota.min_free_bytes = Some(10));
    finds("disk", &["9 % of the filesystem of /data"], |_, storage| storage.free_bytes = Some(9));
    finds("refused", &["found no room in /data 5 seconds ago"], |server, _| {
        server.refused = vec![counted("no-room", 5)];
    });
    finds("disk-failed", &["reason=store"], |server, _| server.refused = vec![counted("failed", 5)]);
}

#[test]
fn certificates_crowds_and_directories_that_do_not_answer_are_told_of() {
    finds("certificate", &["ends in 29 days", "SIGHUP"], |server, _| server.certificate_days = Some(29));
    finds("certificate", &["has ended 2 days ago"], |server, _| server.certificate_days = Some(-2));
    finds("crowded", &["10 connections", "max_connections"], |server, _| server.turned_away = vec![counted("full", 5)]);
    finds("storage", &["/data has not answered for 300 seconds"], |_, storage| storage.counting_seconds = Some(300));
    finds("storage", &["/data: denied"], |_, storage| storage.count_error = Some("/data: denied".to_owned()));
}

#[test]
fn the_server_behind_a_relay_fails_until_it_is_reached_again() {
    let relay = |reached_seconds| {
        let failure = Some(RelayFailure { seconds: 5, message: "cannot connect".to_owned(), failures: 1 });
        let relay = Some(RelayAnswer { address: "10.0.0.1:41121".to_owned(), reached_seconds, failure });
        problems(&ServerAnswer { storage: None, relay, ..server() })
    };
    for reached in [None, Some(6)] {
        assert_eq!(relay(reached)[0].message, "10.0.0.1:41121: cannot connect");
    }
    assert_eq!(relay(Some(4)), []);
}
