//! Disks that are full, or take nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tentacle_sync::testing::fake_server::Setup;

use crate::daemon::{Sandbox, assert_same, wait_until};
use crate::mount::Mount;
use crate::site::{Site, all_files};

#[test]
fn a_full_disk_leaves_the_files_at_the_site_until_there_is_room() {
    let sandbox = Sandbox::new();
    let Some(_mount) = Mount::tmpfs(&sandbox.incoming(), "size=256k,mode=755") else { return };
    let site = Site::fake("site", 200, Setup::default());
    let other = Site::fake("other", 20, Setup::default());
    fs::create_dir(sandbox.path("roomy")).unwrap();
    let elsewhere = format!("incoming_dir = {:?}", sandbox.path("roomy"));
    sandbox.configure("", [site.config("interval = 1"), other.config(&elsewhere)]);
    let outcome = sandbox.once();
    let incoming = sandbox.incoming();
    outcome.assert_code(1).assert_says(&["other: 20 files"]);
    outcome.assert_says(&["site: failed: ", incoming.to_str().unwrap(), "No space left", "free some space"]);
    assert!(!sandbox.spool().is_empty() && !site.left().is_empty());
    site.assert_nothing_lost(&sandbox);
    other.assert_emptied();

    let daemon = sandbox.start();
    let mut taken = tentacle_sync::testing::fake_server::Files::new();
    wait_until("all to have come, as room was made", || {
        for (path, bytes) in sandbox.spool() {
            fs::remove_file(sandbox.incoming().join(&path)).unwrap();
            assert!(taken.insert(path, bytes).is_none(), "it came twice");
        }
        site.left().is_empty().then_some(())
    });
    let outcome = daemon.stop();
    outcome.assert_code(0);
    taken.extend(sandbox.spool());
    assert_same(&taken, &site.files);
}

#[test]
fn a_full_disk_under_the_journal_publishes_nothing_that_is_not_written_down() {
    let sandbox = Sandbox::new();
    let Some(mount) = Mount::tmpfs(&sandbox.state(), "size=24k,mode=755") else { return };
    let site = Site::fake("site", 400, Setup::default());
    sandbox.configure("", [site.config("")]);
    let outcome = sandbox.once();
    let state = sandbox.state();
    outcome.assert_code(1);
    outcome.assert_says(&["site: failed: ", state.to_str().unwrap(), "journal", "No space left", "free some space"]);
    site.assert_nothing_lost(&sandbox);
    mount.remount("size=1m");
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn a_spool_that_is_mounted_read_only_is_found_before_anything_is_fetched() {
    let sandbox = Sandbox::new();
    let Some(mount) = Mount::tmpfs(&sandbox.incoming(), "size=256k,mode=755") else { return };
    mount.remount("ro");
    refuses_to_start(&sandbox, "Read-only file system (os error 30): mount it writable");
}

#[test]
fn nothing_is_published_where_nobody_would_find_it() {
    let mut site = Site::fake("site", 5, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    // First of all: the daemon sees what the thread sees that started it.
    let Some(mount) = Mount::tmpfs(&sandbox.path("elsewhere"), "size=256k,mode=755") else { return };
    let daemon = sandbox.start();
    wait_until("the first files", || site.left().is_empty().then_some(()));
    let published = sandbox.spool();
    let incoming = sandbox.incoming();
    let cover = mount.cover(&incoming);
    site.add("web01.1800000000.data", "later");
    daemon.wait_for_line(&["site=site reason=store", incoming.to_str().unwrap(), "another directory", "restart"]);
    assert!(sandbox.spool().is_empty());
    assert_eq!(site.left().len(), 1);
    drop(cover);
    assert_same(&sandbox.spool(), &published);
    wait_until("the other", || site.left().is_empty().then_some(()));
    daemon.stop().assert_code(0);
    sandbox.assert_holds(&site.files);
}

#[test]
fn a_spool_we_may_not_write_to_is_found_before_anything_is_fetched() {
    if rustix::process::getuid().is_root() {
        println!("SKIPPED: root may write anywhere");
        return;
    }
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.incoming(), Permissions::from_mode(0o555)).unwrap();
    refuses_to_start(&sandbox, "cannot store files: Permission denied (os error 13): give the user this runs as");
    fs::set_permissions(sandbox.incoming(), Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn refuses_to_start(sandbox: &Sandbox, why: &str) {
    let site = Site::fake("site", 5, Setup::default());
    sandbox.configure("", [site.config("")]);
    let incoming = sandbox.incoming();
    sandbox.once().assert_code(3).assert_logs(&["tentacle-syncd: ", incoming.to_str().unwrap(), why]);
    sandbox.run("check", &[]).assert_code(1).assert_says(&["PROBLEM", incoming.to_str().unwrap(), why]);
    site.assert_untouched();
    assert_eq!(site.peer().tally().accepted, 0);
}

#[test]
fn a_missing_spool_is_called_that() {
    let sandbox = Sandbox::new();
    fs::remove_dir(sandbox.incoming()).unwrap();
    let site = Site::fake("site", 5, Setup::default());
    sandbox.configure("", [site.config("")]);
    let incoming = sandbox.incoming();
    sandbox.once().assert_code(3).assert_logs(&[incoming.to_str().unwrap(), "No such file or directory"]);
    site.assert_untouched();
}

#[test]
fn what_a_site_has_under_the_name_of_a_directory_arrives_under_another() {
    let mut site = Site::fake("site", 5, Setup::default());
    site.add("web01.1700000000.data", "beside a directory");
    let sandbox = Sandbox::with_sites([site.config("")]);
    fs::create_dir(sandbox.incoming().join("web01.1700000000.data")).unwrap();
    sandbox.once().assert_code(0);
    fs::remove_dir(sandbox.incoming().join("web01.1700000000.data")).unwrap();
    site.assert_emptied();
    let bodies: Vec<_> = sandbox.spool().into_values().filter(|bytes| bytes == b"beside a directory").collect();
    assert_eq!((bodies.len(), sandbox.spool().len()), (1, all_files([&site]).len()));
}
