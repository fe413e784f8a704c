//! A state directory that is lost, damaged or another one: nothing stops, but what it may cost is reported.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use tentacle_sync::testing::fake_server::{Fault, Setup, Verb};

use crate::daemon::{Place, assert_complains_once};
use crate::site::Site;

/// How many files a site has, and keeps: what is safe at the centre cannot be deleted there.
const FILES: usize = 5;

/// A place that has collected what its site cannot delete.
fn collected() -> (Site, Place) {
    let faults = vec![Fault::Refuse.at(Verb::Mv)];
    let site = Site::fake("site", FILES, Setup { faults, ..Setup::default() });
    let place = Place::with_sites([site.config("")]);
    place.once();
    assert_eq!(place.spool().len(), FILES);
    (site, place)
}

/// The data server takes all there is.
fn consume(place: &Place) {
    place.spool().keys().for_each(|name| fs::remove_file(place.incoming().join(name)).unwrap());
}

fn warnings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("[WARN]") && line.contains("arrive twice")).collect()
}

#[test]
fn a_first_start_and_those_after_it_warn_of_nothing() {
    let (_site, place) = collected();
    consume(&place);
    let outcome = place.once();
    assert!(warnings(&outcome.stderr).is_empty(), "{outcome}");
    assert!(place.spool().is_empty(), "nothing comes twice");
    fs::rename(place.state(), place.path("moved")).unwrap();
    let outcome = place.run("once", &["--state-dir", place.path("moved").to_str().unwrap()]);
    assert!(warnings(&outcome.stderr).is_empty(), "moved, not lost: {outcome}");
    assert!(place.spool().is_empty(), "nothing comes twice");
}

#[test]
fn a_start_that_failed_leaves_nothing_to_be_warned_of() {
    let site = Site::fake("site", 1, Setup::default());
    let place = Place::with_sites([site.config("")]);
    place.write("state", "in the way");
    place.once();
    fs::remove_file(place.state()).unwrap();
    let outcome = place.once();
    assert!(warnings(&outcome.stderr).is_empty(), "{outcome}");
}

#[test]
fn a_lost_or_emptied_journal_is_told() {
    let (_site, place) = collected();
    let journal = place.state().join("journal");
    let ways: [fn(&Path); 3] = [
        |journal| fs::remove_dir_all(journal.parent().unwrap()).unwrap(),
        |journal| fs::remove_file(journal).unwrap(),
        |journal| fs::write(journal, "").unwrap(),
    ];
    for way in ways {
        way(&journal);
        let outcome = place.once();
        let (incoming, journal) = (place.incoming(), journal.to_str().unwrap());
        assert_complains_once(&outcome.stderr, &[incoming.to_str().unwrap(), journal, "lost", "arrive twice"]);
        assert!(warnings(&place.once().stderr).is_empty(), "told once");
    }
}

#[test]
fn another_state_directory_is_told_and_so_is_the_way_back() {
    let (_site, place) = collected();
    let (state, other) = (place.state(), place.path("other"));
    let other_dir = ["--state-dir", other.to_str().unwrap()];
    let outcome = place.run("once", &other_dir);
    assert_complains_once(&outcome.stderr, &[state.join("journal").to_str().unwrap(), "state_dir", "arrive twice"]);
    let outcome = place.once();
    assert_complains_once(&outcome.stderr, &[other.join("journal").to_str().unwrap(), "state_dir", "arrive twice"]);
}

#[test]
fn lines_that_are_no_records_are_told_and_not_without_end() {
    let (_site, place) = collected();
    let journal = place.state().join("journal");
    let name = journal.to_str().unwrap();
    let whole = fs::read(&journal).unwrap();

    let mut flipped = whole.clone();
    *flipped.last_chunk_mut::<2>().unwrap() = *b"!\n";
    fs::write(&journal, &flipped).unwrap();
    let line = format!("{name}:{}: ", String::from_utf8_lossy(&flipped).lines().count());
    assert_complains_once(&place.once().stderr, &[&line, "not a record", "arrive twice"]);

    fs::write(&journal, [&whole, "garbage\n".repeat(100).as_bytes()].concat()).unwrap();
    let log = place.once().stderr;
    assert!((2..10).contains(&warnings(&log).len()), "{log}");
    assert!(log.contains("lines more"), "{log}");

    fs::write(&journal, &whole[..whole.len() - 1]).unwrap();
    assert_complains_once(&place.once().stderr, &[name, "cut short", "arrive twice"]);

    fs::write(&journal, "garbage").unwrap();
    let log = place.once().stderr;
    assert_complains_once(&log, &[name, "cut short"]);
    assert_complains_once(&log, &[name, "lost"]);
}

#[test]
fn a_state_directory_that_is_removed_is_told_and_made_anew() {
    let mut site = Site::fake("site", FILES, Setup::default());
    let place = Place::with_sites([site.config("interval = 1")]);
    let daemon = place.start();
    daemon.wait_for_line(&["collected=5"]);
    fs::remove_dir_all(place.state()).unwrap();
    site.add("late.1.data", b"late");
    daemon.wait_for_line(&["collected=1"]);
    daemon.stop().assert_code(0).assert_logs(&[
        "WARN",
        place.state().join("journal").to_str().unwrap(),
        "written anew",
    ]);
    assert!(place.spool().contains_key(Path::new(OsStr::new("late.1.data"))));
    assert!(warnings(&place.once().stderr).is_empty(), "the new one says all");
}
