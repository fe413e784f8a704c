//! Every measurement counts: what a user has in the database, in order and once.

use std::fs;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{FakeServer, Fault, Setup, Verb};

use crate::consumer::{Consumer, seed};
use crate::daemon::{Sandbox, spool_of, staged_in, wait_until};
use crate::data_server::{DataServer, Rows, agent_data};
use crate::server_ops::Buffer;
use crate::server_process::is_emptied;
use crate::site::site_config;

/// More files than may wait.
const MANY: usize = 2_000;

const AGENTS: u64 = 4;

/// Files of each agent that wait when an outage ends.
const BACKLOG: u64 = 50;

/// Seconds between an agent's files.
const PERIOD: u64 = 60;

/// The epoch second of the first file: within the last day.
fn beginning() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() - BACKLOG * PERIOD
}

/// What an outage leaves at a site, and what is to be in the database.
fn outage() -> (Buffer, Rows) {
    let buffer = Buffer::start("");
    let (mut client, mut expected, beginning) = (buffer.connect(), Rows::new(), beginning());
    for number in 0..BACKLOG {
        for agent in (0..AGENTS).map(|agent| format!("agent{agent}")) {
            let name = format!("{agent}.{}.data", beginning + number * PERIOD);
            client.store(&name, agent_data(&agent, number));
            expected.entry(agent).or_default().push(number);
        }
    }
    client.close();
    (buffer, expected)
}

fn wait_for_all(data_server: &DataServer) {
    let all = usize::try_from(AGENTS * BACKLOG).unwrap();
    wait_until("all counters", || (data_server.count() == all).then_some(()));
}

#[test]
fn after_an_outage_every_counter_arrives_in_order() {
    let (buffer, expected) = outage();
    let sandbox = Sandbox::new();
    sandbox.configure("publish = \"paced\"", [site_config("site", buffer.address(), "interval = 1")]);
    let data_server = DataServer::start(sandbox.incoming());
    let daemon = sandbox.start();
    wait_for_all(&data_server);
    daemon.stop().assert_code(0);
    assert_eq!(data_server.end(), expected);
    assert_eq!(staged_in(&sandbox.incoming()), Vec::<String>::new());
}

#[test]
fn published_at_once_counters_are_lost_to_a_data_server_that_takes_the_newest_first() {
    let (buffer, expected) = outage();
    let sandbox = Sandbox::new();
    sandbox.configure("publish = \"at-once\"", [site_config("site", buffer.address(), "")]);
    sandbox.once().assert_code(0);
    let data_server = DataServer::start(sandbox.incoming());
    wait_until("the spool to be empty", || is_emptied(&sandbox.incoming()).then_some(()));
    assert_ne!(data_server.end(), expected, "the model of the data server has no teeth");
}

#[test]
fn through_kills_every_counter_arrives_in_order_and_once() {
    let mut rng = Rng::with_seed(seed());
    let (buffer, expected) = outage();
    let sandbox = Sandbox::new();
    sandbox.configure("publish = \"paced\"", [site_config("site", buffer.address(), "interval = 1")]);
    let data_server = DataServer::start(sandbox.incoming());
    for _kill in 0..10 {
        let mut daemon = sandbox.start();
        thread::sleep(Duration::from_millis(rng.u64(50..600)));
        daemon.kill();
    }
    let daemon = sandbox.start();
    wait_for_all(&data_server);
    daemon.stop().assert_code(0);
    assert_eq!(data_server.end(), expected);
}

#[test]
fn a_sender_with_one_name_and_equal_bytes_has_each_of_its_files_published() {
    for delivery in ["safe", "move"] {
        let (ours, stock) = (Buffer::start(""), FakeServer::start(Setup::default()).unwrap());
        let sandbox = Sandbox::new();
        let lines = format!("delivery = {delivery:?}");
        let sites = [("ours", ours.address()), ("stock", stock.address())];
        sandbox.configure("publish = \"paced\"", sites.map(|(name, address)| site_config(name, address, &lines)));
        let consumer = Consumer::start(sandbox.incoming());
        let body = agent_data("nas", 7);
        for _send in 0..5 {
            ours.connect().store("nas.123456.data", &body);
            stock.put("camera.123456.data", body.as_bytes()).unwrap();
            sandbox.run("once", &["--wait"]).assert_code(0);
        }
        let taken = consumer.end();
        for name in ["nas.123456.data", "camera.123456.data"] {
            let bodies = &taken[std::path::Path::new(name)];
            assert_eq!((bodies.len(), &bodies[0]), (5, &body.clone().into_bytes()), "{name}, {delivery}");
        }
    }
}

#[test]
fn a_file_with_a_name_and_size_that_the_journal_knows_is_fetched_before_it_is_deleted() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::with_sites([site_config("site", site.address(), "")]);
    let names: Vec<String> = (0..20).map(|number| format!("agent{number}.1700000000.data")).collect();
    for name in &names {
        site.put(name, b"<server_data>old</server_data>").unwrap();
    }
    sandbox.once().assert_code(0);
    for name in &names {
        fs::remove_file(sandbox.incoming().join(name)).unwrap();
        site.put(name, b"<server_data>new</server_data>").unwrap();
    }
    let outcome = sandbox.once();
    outcome.assert_code(0);
    assert!(!outcome.stderr.contains("overwritten"), "it is fetched, not moved: {outcome}");
    let spool = sandbox.spool();
    assert_eq!(spool.len(), names.len());
    assert!(spool.values().all(|bytes| bytes == b"<server_data>new</server_data>"));
    assert!(site.files().unwrap().is_empty());
}

#[test]
fn once_says_what_waits_and_the_next_one_goes_on_with_it() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::new();
    sandbox.configure("publish = \"paced\"", [site_config("site", site.address(), "")]);
    for serial in 1..=3 {
        site.put(format!("web01.170000000{serial}.data"), b"<agent_data></agent_data>").unwrap();
    }
    let published = || spool_of(&sandbox.incoming()).into_keys().collect::<Vec<_>>();
    for waiting in ["2 files", "1 file"] {
        sandbox.once().assert_code(0).assert_says(&[waiting, "wait"]);
        assert_eq!(published().len(), 1);
        fs::remove_file(sandbox.incoming().join(&published()[0])).unwrap();
    }
    assert!(site.files().unwrap().is_empty(), "the site was drained at once");
    sandbox.once().assert_code(0);
    assert_eq!(published(), [std::path::Path::new("web01.1700000003.data")]);
}

#[test]
fn beyond_a_bound_files_stay_at_their_sites_until_the_data_server_goes_on() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::new();
    let sync = "publish = \"paced\"\nmax_spool_files = 100";
    sandbox.configure(sync, [site_config("site", site.address(), "interval = 1")]);
    for number in 0..MANY {
        site.put(format!("web01.{}.data", 1_700_000_000 + number), b"<agent_data></agent_data>").unwrap();
    }
    let daemon = sandbox.start();
    daemon.wait_for_line(&["WARN", "reason=spool-full", "max_spool_files = 100"]);
    wait_until("what was under way", || (sandbox.staged_bytes().len() >= 100).then_some(()));
    let left = site.files().unwrap().len();
    assert!(left > MANY - 800, "only {left} are still there");
    daemon.stop().assert_code(0);
    // Faster than an agent at a time could be.
    sandbox.configure(
        "publish = \"at-once\"\nmax_spool_files = 100",
        [site_config("site", site.address(), "interval = 1")],
    );
    let daemon = sandbox.start();
    wait_until("all to have come", || (sandbox.spool().len() == MANY).then_some(()));
    daemon.stop().assert_code(0);
    assert!(site.files().unwrap().is_empty());
}

#[test]
fn once_says_what_it_took_and_that_no_more_may_wait() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::new();
    let configure = |publish: &str| {
        let sync = format!("publish = \"{publish}\"\nmax_spool_files = 10");
        sandbox.configure(&sync, [site_config("site", site.address(), "")]);
    };
    configure("paced");
    for number in 0..MANY {
        site.put(format!("web01.{}.data", 1_700_000_000 + number), b"<agent_data></agent_data>").unwrap();
    }
    let full = sandbox.once();
    let taken = MANY - site.files().unwrap().len();
    assert!(taken < MANY);
    let waiting = format!("{} files are safe here", taken - 1);
    let taken = format!("site: not finished: {taken} files");
    full.assert_code(1).assert_says(&[&taken]).assert_says(&[&waiting]);
    full.assert_says(&["1 of 1 site not finished", "max_spool_files", "once --wait"]);
    assert!(!full.stdout.contains("stopped"), "{full}");
    // What waits need not wait any more, so it does not keep more from being fetched.
    configure("at-once");
    sandbox.once().assert_code(0);
    assert_eq!(sandbox.spool().len(), MANY);
    assert!(site.files().unwrap().is_empty());
}

#[test]
fn once_adds_up_the_rounds_of_a_site() {
    let faults = vec![Fault::Close.at(Verb::Recv).after(3).times(1)];
    let site = FakeServer::start(Setup { faults, ..Setup::default() }).unwrap();
    let sandbox = Sandbox::with_sites([site_config("site", site.address(), "connections = 1\nretries = 1")]);
    for number in 0..5 {
        site.put(format!("web0{number}.1700000000.data"), b"<agent_data></agent_data>").unwrap();
    }
    let outcome = sandbox.once();
    outcome.assert_code(0).assert_logs(&["failures=1"]).assert_says(&["site: 5 files, 125 bytes"]);
}

#[test]
fn once_that_is_stopped_while_it_waits_for_the_data_server_ends_in_failure() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::new();
    sandbox.configure("publish = \"paced\"", [site_config("site", site.address(), "")]);
    for serial in 1..=2 {
        site.put(format!("web01.170000000{serial}.data"), b"<agent_data></agent_data>").unwrap();
    }
    let config = sandbox.config();
    let once = sandbox.launch(["once".as_ref(), "--wait".as_ref(), "--config".as_ref(), config.as_os_str()]);
    wait_until("the round's end", || site.files().unwrap().is_empty().then_some(()));
    once.wait_for_line(&["site=site", "collected=2"]);
    once.signal(Signal::TERM);
    once.wait().assert_code(1).assert_says(&["1 file is safe here"]);
}

#[test]
fn one_file_that_cannot_be_published_is_told_of_once_while_others_are() {
    let site = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::new();
    sandbox.configure("publish = \"at-once\"", [site_config("site", site.address(), "interval = 1")]);
    // Too long for a fresh name to be made from it.
    let long = format!("{}.data", "x".repeat(250));
    let daemon = sandbox.start();
    for _ in 0..2 {
        site.put(&long, b"<agent_data></agent_data>").unwrap();
        wait_until("the file to be fetched", || site.files().unwrap().is_empty().then_some(()));
    }
    daemon.wait_for_line(&["ERROR", "reason=publish", "too long for a fresh name"]);
    for number in 0..4 {
        let name = format!("web01.170000000{number}.data");
        site.put(&name, b"<agent_data></agent_data>").unwrap();
        wait_until("another's file", || sandbox.incoming().join(&name).exists().then_some(()));
        // It is tried again in between.
        thread::sleep(Duration::from_secs(2));
    }
    assert!(!daemon.log().contains("published again"), "{}", daemon.log());
    fs::remove_file(sandbox.incoming().join(&long)).unwrap();
    daemon.wait_for_line(&["INFO", "published again"]);
    assert_eq!(daemon.log().matches("reason=publish").count(), 1, "{}", daemon.log());
    daemon.stop().assert_code(0);
}
