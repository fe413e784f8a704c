//! What is told of files that are left at sites, and of what happens while somebody watches.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;
use tentacle_sync::testing::fake_server::{Fault, Setup, Verb, WrongSize};

use crate::control::{OFTEN, ask, socket, start, wait_for_site};
use crate::daemon::{Sandbox, wait_until};
use crate::site::Site;
use crate::support::TIMEOUT;

#[test]
fn what_is_left_at_a_site_is_listed_and_asked_for_again() {
    let site = Site::fake("site", 1, Setup::default());
    for name in ["a.1700000001.data", "b.1700000002.data"] {
        site.peer().put(name, &vec![b'x'; 200_000]).unwrap();
    }
    let sandbox = Sandbox::with_sites([site.config(&format!("max_file_size = 100000\n{OFTEN}"))]);
    let _daemon = start(&sandbox);
    wait_for_site(&sandbox, "site", |site| site["not_taken"].as_array().is_some_and(|files| files.len() == 2));
    let outcome = sandbox.run("skipped", &["ls"]);
    assert_eq!(outcome.code(), Some(2), "options belong behind the command: {outcome}");
    let socket = socket(&sandbox).to_string_lossy().into_owned();
    let skipped = |arguments: &[&str]| {
        let (command, names) = arguments.split_first().unwrap();
        let arguments = [&["skipped", command, "--control-socket", &socket], names].concat();
        sandbox.launch(arguments.into_iter().map(AsRef::as_ref)).wait()
    };
    let outcome = skipped(&["ls"]);
    outcome.assert_code(0).assert_says(&["site a.1700000001.data: it has 200000 bytes"]);
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome}");
    // Asked for once more, it is too large again.
    let asked = || {
        let commands = site.peer().log();
        commands.iter().filter(|command| format!("{command:?}").contains("a.1700000001.data")).count()
    };
    let before = asked();
    skipped(&["retry", "site", "a.1700000001.data"]).assert_code(0).assert_says(&["site is asked again"]);
    wait_until("another question", || (asked() > before).then_some(()));
    skipped(&["retry", "site", "c"]).assert_code(0).assert_says(&["site has no such file"]);
    skipped(&["retry", "nobody"]).assert_code(2);
    skipped(&["ls", "nobody"]).assert_code(2);
}

#[test]
fn who_watches_is_told_what_happens_and_who_does_not_read_is_parted_with() {
    let site = Site::fake("site", 1, Setup::default());
    let sandbox = Sandbox::with_sites([site.config(OFTEN)]);
    let daemon = start(&sandbox);
    let (path, request) = (socket(&sandbox), b"{\"version\":1,\"command\":{\"watch\":{}}}\n");
    let asked = path.to_string_lossy().into_owned();
    let watching = sandbox.launch(["watch", "--control-socket", &asked].map(AsRef::as_ref));
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.write_all(request).unwrap();
    let mut lines = BufReader::new(client).lines();
    let mut wait_for = |event: &str| loop {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(line["type"] == "event" && line["time"].is_u64(), "{line}");
        if line["event"] == event {
            return line;
        }
    };
    wait_for("watching");
    assert!(wait_for("round")["collected"]["files"].is_u64());
    site.peer().set_mischief(vec![Fault::WrongSize(WrongSize::Literally("12abc")).at(Verb::Recv)]);
    site.peer().put("new.1700000000.data", b"x").unwrap();
    let failed = wait_for("failed");
    assert!(failed["site"] == "site" && failed["message"].as_str().unwrap().contains("RECV"), "{failed}");
    site.peer().set_mischief(Vec::new());
    wait_for("recovered");
    sandbox.run("pause", &["site"]).assert_code(0);
    wait_for("paused");
    sandbox.run("resume", &["site"]).assert_code(0);
    wait_for("resumed");
    sandbox.run("reload", &[]).assert_code(0);
    assert_eq!(wait_for("reloaded")["sites"], 1);

    // Two of four places are taken: these two read nothing, and the next one finds none.
    let mut deaf: Vec<UnixStream> = (0..2).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for client in &mut deaf {
        client.write_all(request).unwrap();
    }
    wait_until("the last place to be taken", || {
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        client.write_all(request).unwrap();
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line.contains("\"reason\":\"later\"").then_some(())
    });
    // So many events that nobody could keep them: whoever does not read is let go, and the daemon goes on.
    let pause = b"{\"version\":1,\"command\":{\"pause\":{\"sites\":[\"site\"]}}}\n";
    let resume = b"{\"version\":1,\"command\":{\"resume\":{\"sites\":[\"site\"]}}}\n";
    let closed = |client: &mut UnixStream| {
        client.set_nonblocking(true).unwrap();
        client.write_all(b"?").is_err()
    };
    wait_until("the deaf to be let go", || {
        for _ in 0..200 {
            ask(&path, pause);
            ask(&path, resume);
        }
        deaf.iter_mut().all(closed).then_some(())
    });
    sandbox.run("status", &["site"]).assert_code(0);
    daemon.stop().assert_code(0);
    let outcome = watching.wait();
    outcome.assert_code(3).assert_says(&["\"event\":\"recovered\""]).assert_says(&["\"event\":\"paused\""]);
}
