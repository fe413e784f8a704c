//! Real filesystems that become read-only or stand still, and go on.

use std::fs;
use std::time::Duration;

use tentacle_sync::testing::fake_server::{Fault, Setup, Verb};

use crate::consumer::Consumer;
use crate::daemon::{Sandbox, assert_complains_once, wait_until};
use crate::mount::{Filesystem, Mount};
use crate::server_ops::Buffer;
use crate::server_process::{Options, hand_over_to_server, is_emptied};
use crate::site::{Site, site_config};
use crate::support::TIMEOUT;

const CAUSE: &str = "Read-only file system";

/// How many files the server has given, to any client.
fn gave(buffer: &Buffer) -> usize {
    buffer.log().matches(" gave=").count()
}

fn refused(buffer: &Buffer) -> usize {
    buffer.log().matches(" refused=").count()
}

#[test]
fn a_spool_that_becomes_read_only_goes_on_when_it_is_writable_again() {
    let Some(mount) = Mount::of(Filesystem::Ext4) else { return };
    let sandbox = Sandbox::new();
    let spool = mount.host(&sandbox.incoming());
    let faults = vec![Fault::Slow(Duration::from_millis(5)).at(Verb::Recv)];
    let site = Site::fake("site", 300, Setup { faults, ..Setup::default() });
    sandbox.configure("", [site.config("interval = 1")]);
    let daemon = sandbox.start();
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Recv) >= 40));
    mount.remount("ro");
    daemon.wait_for_line(&["WARN", "site=site reason=store", spool.to_str().unwrap(), CAUSE, "mount it writable"]);
    let before = site.peer().tally();
    let rounds = before.count(Verb::Ls);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= rounds + 4), "it goes on trying");
    let after = site.peer().tally();
    println!(
        "{} RECV, {} connections",
        after.count(Verb::Recv) - before.count(Verb::Recv),
        after.accepted - before.accepted
    );
    assert!(!site.left().is_empty());
    site.assert_nothing_lost(&sandbox);
    assert_complains_once(&daemon.log(), &["site=site", CAUSE]);
    mount.remount("rw");
    wait_until("all to have come", || site.left().is_empty().then_some(()));
    daemon.wait_for_line(&["site=site recovered after"]);
    daemon.stop().assert_code(0);
    // What could not be removed from the staging area then is removed now.
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn a_storage_that_becomes_read_only_refuses_what_it_cannot_do_and_goes_on_when_it_is_writable_again() {
    let Some(mount) = Mount::of(Filesystem::Ext4) else { return };
    let buffer = Buffer::on(&mount);
    let storage = buffer.storage().canonicalize().unwrap();
    let mut client = buffer.connect();
    // More than a collector remembers of what it let go.
    for number in 0..400 {
        client.store(&format!("web01.{}.data", 1_700_000_000 + number), format!("body {number}\n"));
    }
    let files = buffer.files();
    mount.remount("ro");
    client.ask("SEND <web02.1.data> SIZE 5", "SEND ERR (file cannot be stored)");
    buffer.wait_for_line(&[
        "WARN",
        "reason=store cannot be stored",
        storage.to_str().unwrap(),
        CAUSE,
        "mount it writable",
    ]);
    assert_eq!(client.names("").len(), 400);
    assert_eq!(client.take("RECV", "web01.1700000007.data"), b"body 7\n");
    client.ask("MV <web01.1700000007.data>", "MV ERR");

    let sandbox = Sandbox::with_sites([site_config("site", buffer.address(), "interval = 1")]);
    let consumer = Consumer::start(sandbox.incoming());
    let daemon = sandbox.start();
    daemon.wait_for_line(&[
        "WARN",
        "site=site reason=kept the site does not delete",
        "can its tentacle_server write",
        "; refused=400 ",
    ]);
    wait_until("further rounds", || (gave(&buffer) > 0 && refused(&buffer) > 400 + 5).then_some(()));
    assert!(gave(&buffer) < 401 + 100, "each is fetched once, and then one a round: {}", gave(&buffer));
    assert_eq!(buffer.files(), files);
    assert_complains_once(&daemon.log(), &["site=site"]);
    mount.remount("rw");
    wait_until("the storage to be empty", || is_emptied(&storage).then_some(()));
    buffer.connect().store("web02.1.data", "later");
    wait_until("the storage to be empty", || is_emptied(&storage).then_some(()));
    daemon.wait_for_line(&["site=site recovered after"]);
    daemon.stop().assert_code(0);
    let mut all = files;
    all.insert("web02.1.data".into(), b"later".into());
    consumer.assert_got(&all);
    assert_complains_once(&buffer.log(), &[CAUSE]);
}

#[test]
fn who_takes_files_faster_than_the_disk_removes_them_has_to_wait() {
    const FILES: usize = 3_000;
    let Some(mount) = Mount::of(Filesystem::Ext4) else { return };
    let name = |number: usize| format!("web01.{}.data", 1_700_000_000 + number);
    let buffer = Buffer::prepared(Options::usual(), "idle_timeout 60s\n", |storage| {
        let storage = mount.host(storage);
        for number in 0..FILES {
            fs::write(storage.join(name(number)), "body").unwrap();
        }
        hand_over_to_server(&storage);
    });
    // It listens before it opens the storage directory, which it tries out.
    buffer.wait_for_line(&["listening on"]);
    let (mut client, mut other) = (buffer.connect(), buffer.connect());
    let frozen = mount.freeze();
    let mut given = 0;
    while given < FILES {
        client.send(format!("MV <{}>\n", name(given)));
        let (answer, _) = client.receive(b"MV SIZE 4\n".len(), Duration::from_secs(1));
        if answer.is_empty() {
            break;
        }
        client.send("MV OK\n");
        client.expect("body");
        given += 1;
    }
    assert!((2_000..2_100).contains(&given), "only {given}");
    assert_eq!(other.names("").len(), FILES, "others are served, and told what is there until it is not");
    drop(frozen);
    for number in given..FILES {
        if number > given {
            client.send(format!("MV <{}>\n", name(number)));
        }
        client.expect("MV SIZE 4\n");
        client.send("MV OK\n");
        client.expect("body");
    }
    client.close();
    wait_until("the storage to be empty", || is_emptied(&buffer.storage()).then_some(()));
}
