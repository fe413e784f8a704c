//! Directories whose filesystem does not answer.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::Setup;

use crate::daemon::{Daemon, Sandbox, assert_same, spool_of, wait_until};
use crate::mount::{Mount, Stalled};
use crate::site::Site;

/// Stops it while the filesystem does not answer. The kernel may let a thread of a process that has ended wait for that
/// all the same, and nobody can wait for that process then.
fn assert_ends(daemon: Daemon, stalled: Stalled) {
    daemon.signal(Signal::TERM);
    let status = format!("/proc/{}/status", daemon.id());
    wait_until("its end", || fs::read_to_string(&status).ok()?.contains("State:\tZ").then_some(()));
    drop(stalled);
    daemon.wait().assert_code(1).assert_logs(&["reason=hangs", "does the filesystem"]);
}

#[test]
fn a_stop_comes_to_its_end_though_a_directory_does_not_answer() {
    let Some(mount) = Mount::that_stalls() else { return };
    let sandbox = Sandbox::new();
    let mut site = Site::fake("site", 5, Setup::default());
    let [state, incoming] = ["state", "incoming"].map(|name| mount.root().join(name));
    fs::create_dir(&incoming).unwrap();
    let sync = format!("[sync]\nstate_dir = {state:?}\nincoming_dir = {incoming:?}\nshutdown_timeout = \"1s\"\n");
    sandbox.write("tentacle-syncd.toml", sync + &site.config("interval = 1"));
    let daemon = sandbox.start();
    wait_until("the first files", || site.left().is_empty().then_some(()));
    let stalled = mount.stall();
    site.add("late.1800000000.data", "late");
    // It is at work there by then, or will be.
    thread::sleep(Duration::from_secs(3));
    assert_ends(daemon, stalled);
    assert!(!site.left().is_empty());
}

#[test]
fn a_start_that_hangs_is_stopped() {
    let Some(mount) = Mount::that_stalls() else { return };
    let sandbox = Sandbox::new();
    let site = Site::fake("site", 5, Setup::default());
    // Nothing can be done without the journal: that is waited for.
    let state = mount.root().join("state");
    sandbox.write(
        "tentacle-syncd.toml",
        format!("[sync]\nstate_dir = {state:?}\nincoming_dir = {:?}\n", sandbox.incoming()) + &site.config(""),
    );
    let stalled = mount.stall();
    let daemon = sandbox.start();
    thread::sleep(Duration::from_secs(1));
    assert_ends(daemon, stalled);
    site.assert_untouched();
}

/// Two sites with some files each; those of the first are collected into `incoming`.
fn two_sites(sandbox: &Sandbox, incoming: &Path, sync: &str) -> [Site; 2] {
    let sites = ["bad", "good"].map(|name| Site::fake(name, 5, Setup::default()));
    let beside = format!("interval = 1\nincoming_dir = {incoming:?}");
    sandbox.configure(sync, [sites[0].config(&beside), sites[1].config("interval = 1")]);
    sites
}

#[test]
fn a_directory_that_does_not_answer_costs_its_own_sites_alone() {
    let Some(mount) = Mount::that_stalls() else { return };
    let sandbox = Sandbox::new();
    let [mut bad, mut good] = two_sites(&sandbox, mount.root(), "publish = \"at-once\"\nshutdown_timeout = \"1s\"");
    let daemon = sandbox.start();
    wait_until("the first files", || (bad.left().is_empty() && good.left().is_empty()).then_some(()));
    let stalled = mount.stall();
    bad.add("late.1800000000.data", "late");
    daemon.wait_for_line(&["site=bad", "reason=directory-hangs", "does not answer"]);
    for number in 0..20 {
        good.add(format!("good.{number}.data"), "beside");
        wait_until("a file of the good site", || good.left().is_empty().then_some(()));
    }
    sandbox.assert_holds(&good.files);
    assert_eq!(bad.left().len(), 1);
    drop(stalled);
    wait_until("the file that was late", || bad.left().is_empty().then_some(()));
    assert_same(&spool_of(mount.root()), &bad.files);
    daemon.stop().assert_code(0);
}

#[test]
fn a_directory_that_does_not_answer_at_the_start_costs_its_own_sites_alone() {
    let Some(mount) = Mount::that_stalls() else { return };
    let sandbox = Sandbox::new();
    let [bad, good] = two_sites(&sandbox, mount.root(), "publish = \"at-once\"");
    let stalled = mount.stall();
    let daemon = sandbox.start();
    wait_until("the files of the good site", || good.left().is_empty().then_some(()));
    daemon.wait_for_line(&["site=bad", "reason=directory-hangs"]);
    bad.assert_untouched();
    drop(stalled);
    wait_until("the files of the other", || bad.left().is_empty().then_some(()));
    assert_same(&spool_of(mount.root()), &bad.files);
    daemon.stop().assert_code(0);
}

/// Each file of the good site is put there after the one before it was taken, all of them before it is even reported
/// that the other's directory does not answer.
#[test]
fn a_directory_that_freezes_while_files_are_put_into_it_costs_no_time_of_others() {
    let Some(mount) = Mount::that_stalls() else { return };
    let sandbox = Sandbox::new();
    let [mut bad, mut good] = two_sites(&sandbox, mount.root(), "publish = \"at-once\"");
    let daemon = sandbox.start();
    wait_until("the first files", || (bad.left().is_empty() && good.left().is_empty()).then_some(()));
    let large = vec![b'x'; 1 << 20];
    for number in 0..300 {
        bad.add(format!("bad{number}.1800000000.data"), if number % 10 == 0 { &large[..] } else { b"small" });
    }
    wait_until("some of many files", || (bad.left().len() < 290).then_some(()));
    let stalled = mount.stall();
    for number in 0..3 {
        good.add(format!("good.{number}.data"), "beside");
        wait_until("a file of the good site", || good.left().is_empty().then_some(()));
    }
    assert!(!daemon.log().contains("reason=directory-hangs"), "{}", daemon.log());
    daemon.wait_for_line(&["site=bad", "reason=directory-hangs", "does not answer"]);
    sandbox.assert_holds(&good.files);
    assert!(!bad.left().is_empty());
    drop(stalled);
    wait_until("the files that were late", || bad.left().is_empty().then_some(()));
    wait_until("all to be published", || (spool_of(mount.root()).len() == bad.files.len()).then_some(()));
    assert_same(&spool_of(mount.root()), &bad.files);
    daemon.stop().assert_code(0);
}

/// Below its mount point, a directory's path cannot even be walked.
#[test]
fn a_start_and_reloads_below_a_mount_that_does_not_answer_cost_its_own_sites_alone() {
    let Some(mount) = Mount::that_stalls() else { return };
    let sandbox = Sandbox::new();
    let incoming = mount.root().join("in");
    fs::create_dir(&incoming).unwrap();
    let [bad, mut good] = two_sites(&sandbox, &incoming, "publish = \"at-once\"");
    let stalled = mount.stall();
    let daemon = sandbox.start();
    wait_until("the files of the good site", || good.left().is_empty().then_some(()));
    for number in 0..2 {
        daemon.signal(Signal::HUP);
        good.add(format!("good.{number}.data"), "beside");
        wait_until("a file of the good site", || good.left().is_empty().then_some(()));
    }
    bad.assert_untouched();
    drop(stalled);
    wait_until("the files of the other", || bad.left().is_empty().then_some(()));
    let stalled = mount.stall();
    daemon.signal(Signal::HUP);
    good.add("good.last.data", "beside");
    wait_until("a file of the good site", || good.left().is_empty().then_some(()));
    drop(stalled);
    daemon.stop().assert_code(0);
}
