//! A site that serves the incoming directory of its own collector: one wrong address.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tentacle_sync::testing::fake_server::Files;

use crate::daemon::{Outcome, Sandbox, assert_same, wait_until};
use crate::server_process::{Options, ServerProcess, free_address, hand_over_to_server};
use crate::site::site_config;
use crate::stock::start_stock;

const FILES: usize = 20;

/// What begins the name of the directory by which an incoming directory is known.
const MARK: &str = ".tentacle-sync-";

/// Files in an incoming directory that a server may share, as a data server's with the console.
fn fill(incoming: &Path) -> Files {
    let mut files = Files::new();
    for number in 0..FILES {
        let (name, body) = (format!("agent{number}.1700000000.data"), format!("<agent_data number='{number}'/>\n"));
        fs::write(incoming.join(&name), &body).unwrap();
        files.insert(name.into(), body.into_bytes());
    }
    hand_over_to_server(incoming);
    fs::set_permissions(incoming, Permissions::from_mode(0o2770)).unwrap();
    files
}

fn marks(incoming: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(incoming).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(MARK)).collect()
}

fn assert_refused(outcome: &Outcome) {
    outcome.assert_code(1).assert_logs(&["site=mirror", "reason=own-spool", "check the site's address and port"]);
}

#[test]
fn a_site_that_serves_our_own_incoming_directory_is_refused_and_nothing_is_fetched() {
    assert_refused_untouched(|options, storage| Some(ServerProcess::ours(options, storage)));
}

#[test]
fn so_is_one_that_does_so_with_a_stock_server() {
    assert_refused_untouched(start_stock);
}

fn assert_refused_untouched(start: impl FnOnce(&Options, &Path) -> Option<ServerProcess>) {
    let sandbox = Sandbox::new();
    let files = fill(&sandbox.incoming());
    let Some(server) = start(&Options::usual(), &sandbox.incoming()) else { return };
    fs::set_permissions(sandbox.incoming(), Permissions::from_mode(0o2770)).unwrap();
    sandbox.configure("", [site_config("mirror", server.address(), "interval = 1")]);
    let probed = sandbox.run("probe", &["mirror"]);
    probed.assert_code(1).assert_says(&["FAILED (reason=own-spool)", "check the site's address and port"]);
    assert_eq!(marks(&sandbox.incoming()), Vec::<PathBuf>::new(), "a probe takes its own away");
    let inode = |name: &Path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(sandbox.incoming().join(name)).unwrap().ino()
    };
    let before: Vec<u64> = files.keys().map(|name| inode(name)).collect();
    assert_refused(&sandbox.once());
    let daemon = sandbox.start();
    daemon.wait_for_line(&["site=mirror", "reason=own-spool"]);
    sandbox.run("probe", &["mirror"]).assert_code(1).assert_says(&["FAILED (reason=own-spool)"]);
    daemon.stop().assert_code(0);
    assert_refused(&sandbox.once());
    assert_eq!(files.keys().map(|name| inode(name)).collect::<Vec<u64>>(), before, "no file has made the round");
    assert_eq!(marks(&sandbox.incoming()).len(), 1, "one mark, however often it is started");
    assert_same(&sandbox.spool(), &files);
}

#[test]
fn it_destroys_nothing_where_it_is_not_recognised_and_is_as_soon_as_its_files_come_round() {
    let sandbox = Sandbox::new();
    let files = fill(&sandbox.incoming());
    let address = free_address();
    sandbox.configure("", [site_config("mirror", address, "interval = 1")]);
    let daemon = sandbox.start();
    let mark = wait_until("the mark", || marks(&sandbox.incoming()).pop());
    fs::remove_dir(&mark).unwrap();
    let server = ServerProcess::ours(&Options::usual(), &sandbox.incoming());
    sandbox.configure("", [site_config("mirror", server.address(), "interval = 1")]);
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_line(&["reason=own-spool"]);
    assert_eq!(marks(&sandbox.incoming()), [mark], "with what is published comes the mark");
    daemon.stop().assert_code(0);
    // Some are published before their originals are deleted, so under fresh names.
    let bodies = |files: &Files| files.values().cloned().collect::<BTreeSet<_>>();
    assert_eq!((sandbox.spool().len(), bodies(&sandbox.spool())), (FILES, bodies(&files)));
}

#[test]
fn another_collectors_incoming_directory_is_collected_from_and_told_of() {
    let (inner, outer) = (Sandbox::new(), Sandbox::new());
    let files = fill(&inner.incoming());
    let server = ServerProcess::ours(&Options::usual(), &inner.incoming());
    fs::set_permissions(inner.incoming(), Permissions::from_mode(0o2770)).unwrap();
    inner.configure("", [site_config("nobody", free_address(), "")]);
    inner.once().assert_code(1);
    outer.configure("", [site_config("inner", server.address(), "")]);
    outer.once().assert_code(0).assert_logs(&["site=inner", "another tentacle-syncd"]);
    outer.assert_holds(&files);
    assert_eq!(marks(&inner.incoming()).len(), 1);
}

#[test]
fn the_marks_of_staging_areas_that_are_no_more_are_taken_away() {
    let sandbox = Sandbox::with_sites([site_config("nobody", free_address(), "")]);
    sandbox.once().assert_code(1);
    let first = marks(&sandbox.incoming());
    fs::remove_dir_all(sandbox.incoming().join(".tentacle-sync")).unwrap();
    sandbox.once().assert_code(1);
    let second = marks(&sandbox.incoming());
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
}
