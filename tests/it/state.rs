//! A state directory that is lost, damaged or another one: nothing stops, but what it may cost is reported.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use tentacle_sync::testing::fake_server::{Fault, Setup, Verb};

use crate::daemon::{Sandbox, assert_complains_once};
use crate::site::Site;

/// How many files a site has, and keeps: what is safe at the centre cannot be deleted there.
const FILES: usize = 5;

/// A place that has collected what its site cannot delete.
fn collected() -> (Site, Sandbox) {
    let faults = vec![Fault::Refuse.at(Verb::Mv)];
    let site = Site::fake("site", FILES, Setup { faults, ..Setup::default() });
    let sandbox = Sandbox::with_sites([site.config("")]);
    sandbox.once();
    assert_eq!(sandbox.spool().len(), FILES);
    (site, sandbox)
}

/// The data server takes all there is.
fn consume(sandbox: &Sandbox) {
    sandbox.spool().keys().for_each(|name| fs::remove_file(sandbox.incoming().join(name)).unwrap());
}

fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("[WARN]") && line.contains("arrive twice")).collect()
}

#[test]
fn a_first_start_and_those_after_it_warn_of_nothing() {
    let (_site, sandbox) = collected();
    consume(&sandbox);
    let outcome = sandbox.once();
    assert!(warnings(&outcome.stderr).is_empty(), "{outcome}");
    assert!(sandbox.spool().is_empty(), "nothing comes twice");
    fs::rename(sandbox.state(), sandbox.path("moved")).unwrap();
    let outcome = sandbox.run("once", &["--state-dir", sandbox.path("moved").to_str().unwrap()]);
    assert!(warnings(&outcome.stderr).is_empty(), "moved, not lost: {outcome}");
    assert!(sandbox.spool().is_empty(), "nothing comes twice");
}

#[test]
fn a_start_that_failed_leaves_nothing_to_be_warned_of() {
    let site = Site::fake("site", 1, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("")]);
    sandbox.write("state", "in the way");
    sandbox.once();
    fs::remove_file(sandbox.state()).unwrap();
    let outcome = sandbox.once();
    assert!(warnings(&outcome.stderr).is_empty(), "{outcome}");
}

#[test]
fn a_lost_or_emptied_journal_is_told() {
    let (_site, sandbox) = collected();
    let journal = sandbox.state().join("journal");
    let ways: [fn(&Path); 3] = [
        |journal| fs::remove_dir_all(journal.parent().unwrap()).unwrap(),
        |journal| fs::remove_file(journal).unwrap(),
        |journal| fs::write(journal, "").unwrap(),
    ];
    for way in ways {
        way(&journal);
        let outcome = sandbox.once();
        let (incoming, journal) = (sandbox.incoming(), journal.to_str().unwrap());
        assert_complains_once(&outcome.stderr, &[incoming.to_str().unwrap(), journal, "lost", "arrive twice"]);
        assert!(warnings(&sandbox.once().stderr).is_empty(), "told once");
    }
}

#[test]
fn another_state_directory_is_told_and_so_is_the_way_back() {
    let (_site, sandbox) = collected();
    let (state, other) = (sandbox.state(), sandbox.path("other"));
    let other_dir = ["--state-dir", other.to_str().unwrap()];
    let outcome = sandbox.run("once", &other_dir);
    assert_complains_once(&outcome.stderr, &[state.join("journal").to_str().unwrap(), "state_dir", "arrive twice"]);
    let outcome = sandbox.once();
    assert_complains_once(&outcome.stderr, &[other.join("journal").to_str().unwrap(), "state_dir", "arrive twice"]);
}

#[test]
fn lines_that_are_no_records_are_told_and_not_without_end() {
    let (_site, sandbox) = collected();
    let journal = sandbox.state().join("journal");
    let name = journal.to_str().unwrap();
    let whole = fs::read(&journal).unwrap();

    let mut flipped = whole.clone();
    *flipped.last_chunk_mut::<2>().unwrap() = *b"!\n";
    fs::write(&journal, &flipped).unwrap();
    let line = format!("{name}:{}: ", String::from_utf8_lossy(&flipped).lines().count());
    assert_complains_once(&sandbox.once().stderr, &[&line, "not a record", "arrive twice"]);

    fs::write(&journal, [&whole, "garbage\n".repeat(100).as_bytes()].concat()).unwrap();
    let log = sandbox.once().stderr;
    assert!((2..10).contains(&warnings(&log).len()), "{log}");
    assert!(log.contains("lines more"), "{log}");

    fs::write(&journal, &whole[..whole.len() - 1]).unwrap();
    assert_complains_once(&sandbox.once().stderr, &[name, "cut short", "arrive twice"]);

    fs::write(&journal, "garbage").unwrap();
    let log = sandbox.once().stderr;
    assert_complains_once(&log, &[name, "cut short"]);
    assert_complains_once(&log, &[name, "lost"]);
}

#[test]
fn a_state_directory_that_is_removed_is_told_and_made_anew() {
    let mut site = Site::fake("site", FILES, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["collected=5"]);
    fs::remove_dir_all(sandbox.state()).unwrap();
    site.add("late.1.data", b"late");
    daemon.wait_for_line(&["collected=1"]);
    daemon.stop().assert_code(0).assert_logs(&[
        "WARN",
        sandbox.state().join("journal").to_str().unwrap(),
        "written anew",
    ]);
    assert!(sandbox.spool().contains_key(Path::new(OsStr::new("late.1.data"))));
    assert!(warnings(&sandbox.once().stderr).is_empty(), "the new one says all");
}
