//! Sites whose files are there again after they were to be deleted, and more of them than the journal remembers.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{Fault, Files, Setup, Verb};

use crate::consumer::Consumer;
use crate::daemon::{Sandbox, wait_until};
use crate::server_process::{Options, ServerProcess, hand_over_to_server, is_emptied};
use crate::site::{Site, site_config};
use crate::support::{TIMEOUT, scratch};

const FILES: usize = 600;

#[test]
fn a_site_that_deletes_nothing_gets_each_file_published_once_and_is_told_of() {
    let site = Site::fake("site", FILES, Setup { faults: vec![Fault::KeepMoved.at(Verb::Mv)], ..Setup::default() });
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    let consumer = Consumer::start(sandbox.incoming());
    let mut daemon = sandbox.start();
    daemon.wait_for_line(&["WARN", "reason=kept"]);
    let after = |listings: u64| {
        let listed = site.peer().tally().count(Verb::Ls);
        assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= listed + listings), "it goes on asking");
    };
    after(2);
    daemon.kill();
    let daemon = sandbox.start();
    after(3);
    daemon.stop().assert_code(0);
    assert_eq!(site.left(), site.files);
    consumer.assert_got(&site.files);
}

#[test]
fn what_a_killed_server_had_not_deleted_yet_is_known_again_after_many_others() {
    let storage = scratch();
    let mut files = Files::new();
    let mut add = |agent: &str, start: usize, count: usize| {
        for number in 0..count {
            let (name, body) = (format!("{agent}.{}.data", start + number), format!("{agent} {number}\n"));
            fs::write(storage.path().join(&name), &body).unwrap();
            files.insert(name.into(), body.into_bytes());
        }
        hand_over_to_server(storage.path());
    };
    // Agents of their own, and younger than what comes after the kill: they are asked for last then.
    for agent in 0..FILES {
        add(&format!("new{agent}"), 1_800_000_000, 1);
    }
    let mut server = ServerProcess::ours(&Options::usual(), storage.path());
    let sandbox = Sandbox::with_sites([site_config("site", server.address(), "interval = 1\nretries = 1000")]);
    let consumer = Consumer::start(sandbox.incoming());
    let daemon = sandbox.start();
    wait_until("half of the files", || (consumer.look(BTreeMap::len) > FILES / 2).then_some(()));
    server.signal(Signal::KILL);
    server.wait();
    add("old", 1_700_000_000, 2 * FILES);
    server.restart(&Options::usual());
    wait_until("the site to be empty", || is_emptied(storage.path()).then_some(()));
    thread::sleep(Duration::from_millis(10));
    daemon.stop().assert_code(0);
    consumer.assert_got(&files);
}

#[test]
fn files_left_behind_one_that_the_site_does_not_give_are_told_of() {
    let site = Site::fake("site", 0, Setup { faults: vec![Fault::Refuse.at(Verb::Recv)], ..Setup::default() });
    (1..=3).for_each(|number| site.peer().put(format!("a.170000000{number}.data"), b"body").unwrap());
    let sandbox = Sandbox::with_sites([site.config("retries = 1")]);
    sandbox
        .once()
        .assert_code(1)
        .assert_says(&["site: 2 files left there, behind others that it does not give or delete"]);
}
