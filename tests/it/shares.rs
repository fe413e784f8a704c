//! What one site may take up of the spool that all sites share.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tentacle_sync::testing::fake_server::{FakeServer, Files, Setup};

use crate::consumer::Consumer;
use crate::daemon::{Sandbox, wait_until};
use crate::site::site_config;

const BAD: usize = 1_000;
const GOOD: usize = 20;

/// Files of the agents that `agent` names, one a second.
fn put(site: &FakeServer, count: usize, agent: impl Fn(usize) -> String) -> Files {
    let mut files = Files::new();
    for number in 0..count {
        let (name, body) = (format!("{}.{}.data", agent(number), 1_700_000_000 + number), format!("{number}\n"));
        site.put(name.clone(), body.as_bytes()).unwrap();
        files.insert(PathBuf::from(name), body.into_bytes());
    }
    files
}

fn greedy_and_good(agent: impl Fn(usize) -> String) {
    let [bad, good] = [(); 2].map(|()| FakeServer::start(Setup::default()).unwrap());
    let sandbox = Sandbox::new();
    let sites =
        [site_config("bad", bad.address(), "interval = 1"), site_config("good", good.address(), "interval = 1")];
    sandbox.configure("publish = \"paced\"\nmax_spool_files = 200", sites);
    let mut files = put(&bad, BAD, agent);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["WARN", "site=bad", "reason=spool-share", "max_spool_files"]);
    files.extend(put(&good, GOOD, |number| format!("good{number}")));
    let published = || fs::read_dir(sandbox.incoming()).unwrap().map(|entry| entry.unwrap().file_name());
    let came = || published().filter(|name| name.to_string_lossy().starts_with("good")).count();
    wait_until("the files of the good site", || (came() == GOOD && good.files().unwrap().is_empty()).then_some(()));
    assert!(bad.files().unwrap().len() > BAD / 4, "no data server has taken anything");
    let consumer = Consumer::start(sandbox.incoming());
    wait_until("the rest", || bad.files().unwrap().is_empty().then_some(()));
    wait_until("all to be published", || (consumer.look(BTreeMap::len) == files.len()).then_some(()));
    daemon.stop().assert_code(0);
    consumer.assert_got(&files);
}

#[test]
fn a_site_with_a_backlog_leaves_room_for_the_others() {
    greedy_and_good(|number| format!("web{}", number % 20));
}

#[test]
fn so_does_one_whose_files_are_all_of_different_agents() {
    greedy_and_good(|number| format!("web{number}"));
}

#[test]
fn once_leaves_the_rest_of_such_a_site_there_and_says_so() {
    let [bad, good] = [(); 2].map(|()| FakeServer::start(Setup::default()).unwrap());
    let sandbox = Sandbox::new();
    let sites = [site_config("bad", bad.address(), ""), site_config("good", good.address(), "")];
    sandbox.configure("publish = \"paced\"\nmax_spool_files = 200", sites);
    put(&bad, BAD, |_| "web01".into());
    put(&good, GOOD, |number| format!("good{number}"));
    sandbox.once().assert_code(1).assert_says(&["1 of 2 sites not finished", "max_spool_files"]);
    assert!(good.files().unwrap().is_empty());
    assert!(!bad.files().unwrap().is_empty());
}
