//! Real filesystems that fill up, and are freed again.

use std::fs;

use tentacle_sync::testing::fake_server::{Files, Setup, Verb};

use crate::daemon::{Sandbox, assert_complains_once, assert_same, wait_until};
use crate::mount::{Filesystem, Mount};
use crate::server_ops::Buffer;
use crate::site::Site;
use crate::support::{Client, TIMEOUT};

const CAUSE: &str = "No space left";

/// Free bytes and inodes for a part of the files.
const LITTLE: (u64, u64) = (600 << 10, 40);

/// Fails unless each file in the spool is one of the site's, whole, and each of the site's is here, published or not, or
/// there.
#[track_caller]
fn assert_conserved(site: &Site, sandbox: &Sandbox) {
    let (left, spool, staged) = (site.left(), sandbox.spool(), sandbox.staged_bytes());
    for (path, bytes) in &spool {
        assert!(
            site.files.get(path) == Some(bytes),
            "{}: {} bytes, not a file of the site's",
            path.to_string_lossy(),
            bytes.len()
        );
    }
    for (path, bytes) in &site.files {
        let is_here = spool.contains_key(path) || staged.contains(bytes);
        assert!(is_here || left.contains_key(path), "{} is lost", path.to_string_lossy());
    }
}

fn a_spool_fills_up(filesystem: Filesystem) {
    let Some(mount) = Mount::of(filesystem) else { return };
    let sandbox = Sandbox::new();
    let spool = mount.host(&sandbox.incoming());
    let ballast = mount.fill(LITTLE.0, LITTLE.1);
    let site = Site::fake("site", 400, Setup::default());
    sandbox.configure("", [site.config("interval = 1")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["WARN", "site=site reason=store", spool.to_str().unwrap(), CAUSE, "free some"]);
    let rounds = site.peer().tally().count(Verb::Ls);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= rounds + 4), "it goes on trying");
    let published = sandbox.spool();
    assert!(!published.is_empty() && !site.left().is_empty(), "{} came", published.len());
    assert_conserved(&site, &sandbox);
    assert_complains_once(&daemon.log(), &[CAUSE]);
    ballast.remove();
    wait_until("all to have come", || site.left().is_empty().then_some(()));
    daemon.wait_for_line(&["site=site recovered after"]);
    // A file whose renaming the full disk refused is renamed some time later, and those of its agent behind it.
    wait_until("all to be published", || (sandbox.spool().len() == site.files.len()).then_some(()));
    daemon.stop().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn a_spool_on_ext4_that_fills_up_goes_on_when_there_is_room() {
    a_spool_fills_up(Filesystem::Ext4);
}

#[test]
fn so_does_one_that_runs_out_of_inodes() {
    a_spool_fills_up(Filesystem::Ext4WithFewInodes);
}

#[test]
fn so_does_one_on_xfs() {
    a_spool_fills_up(Filesystem::Xfs);
}

/// What the server answers at last.
fn send(client: &mut Client, name: &str, body: &[u8]) -> String {
    client.send(format!("SEND <{name}> SIZE {}\n", body.len()));
    let answer = client.line();
    if answer != "SEND OK" {
        return answer;
    }
    client.send(body);
    client.line()
}

fn a_storage_fills_up(filesystem: Filesystem) {
    let Some(mount) = Mount::of(filesystem) else { return };
    let buffer = Buffer::on(&mount);
    let storage = buffer.storage().canonicalize().unwrap();
    let ballast = mount.fill(LITTLE.0, LITTLE.1);
    let mut client = buffer.connect();
    let mut stored = Files::new();
    let body = |name: &str| name.repeat(300).into_bytes();
    let mut names = (0..).map(|number| format!("web01.{}.data", 1_700_000_000 + number));
    let refused = names
        .by_ref()
        .take(1_000)
        .find(|name| {
            let answer = send(&mut client, name, &body(name));
            if answer == "SEND OK" {
                stored.insert(name.into(), body(name));
            }
            answer != "SEND OK"
        })
        .expect("it fills up");
    assert_eq!(send(&mut client, &refused, &body(&refused)), "SEND ERR (no room for the file)");
    let refusals = names.by_ref().take(20).filter(|name| {
        let answer = send(&mut client, name, &body(name));
        assert!(["SEND OK", "SEND ERR (no room for the file)"].contains(&answer.as_str()), "{answer}");
        if answer == "SEND OK" {
            stored.insert(name.into(), body(name));
        }
        answer != "SEND OK"
    });
    assert!(refusals.count() > 10, "a full disk takes next to nothing");
    let listed: Files = client.names("").into_iter().map(|name| (name.clone().into(), body(&name))).collect();
    assert_same(&listed, &stored);
    assert_same(&buffer.files(), &stored);
    let staging = fs::read_dir(storage.join(".tentacle-server")).unwrap();
    assert!(staging.count() <= 1, "halves of files stay");
    assert_complains_once(&buffer.log(), &[CAUSE]);
    buffer.wait_for_line(&["WARN", "reason=store cannot be stored", storage.to_str().unwrap(), CAUSE, "free some"]);
    ballast.remove();
    for name in names.take(50) {
        client.store(&name, body(&name));
        stored.insert(name.clone().into(), body(&name));
    }
    assert_same(&buffer.files(), &stored);
}

#[test]
fn a_storage_on_ext4_that_fills_up_refuses_and_takes_again() {
    a_storage_fills_up(Filesystem::Ext4);
}

#[test]
fn so_does_a_storage_that_runs_out_of_inodes() {
    a_storage_fills_up(Filesystem::Ext4WithFewInodes);
}

#[test]
fn so_does_a_storage_on_xfs() {
    a_storage_fills_up(Filesystem::Xfs);
}
