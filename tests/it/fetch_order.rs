//! In which order the files of a site are fetched.

use tentacle_sync::testing::fake_server::{Setup, Verb};

use crate::daemon::Sandbox;
use crate::site::{Site, all_files};

/// What one agent has left in an outage; another has one file, the newest.
const BACKLOG: usize = 300;
const FRESH: &str = "live.1800000000.data";

/// The names in the order in which `once` fetched them.
fn fetched(lines: &str) -> Vec<String> {
    let mut site = Site::fake("plant", 0, Setup::default());
    for serial in 0..BACKLOG {
        site.add(format!("late.{}.data", 1_700_000_000 + serial), format!("<agent_data>{serial}</agent_data>"));
    }
    site.add(FRESH, "<agent_data/>");
    let sandbox = Sandbox::with_sites([site.config(&format!("connections = 1\npipelining = false\n{lines}"))]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&all_files([&site]));
    let log = site.peer().log();
    let names = log.into_iter().filter(|command| command.verb == Verb::Recv).map(|command| command.name);
    // The question for the extension is a `RECV` as well.
    names.filter(|name| !name.contains('?')).collect()
}

/// How many were fetched before the fresh one. The backlog's own come in the order of their times.
fn before_the_fresh_one(names: &[String]) -> usize {
    let backlog: Vec<&String> = names.iter().filter(|name| name.starts_with("late.")).collect();
    assert_eq!(backlog.len(), BACKLOG, "each once");
    assert!(backlog.is_sorted(), "one agent's files come oldest first: {backlog:?}");
    names.iter().position(|name| name == FRESH).expect("it was fetched")
}

#[test]
fn the_oldest_come_first_by_default() {
    assert_eq!(before_the_fresh_one(&fetched("")), BACKLOG);
}

#[test]
fn fresh_first_does_not_let_a_fresh_file_wait_for_a_backlog() {
    assert_eq!(before_the_fresh_one(&fetched("order = \"fresh-first\"")), 0);
}
