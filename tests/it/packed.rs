//! Stock servers that pack files (`ZRECV`), where `compression` asks for it.

use std::sync::atomic::Ordering;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{AgentFiles, Fault, FaultRule, Setup, Verb, WrongSize};

use crate::compression::Tapped;
use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::pipelining::Relay;
use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::site::{Access, Kind, Site, site_config};
use crate::support::{Certificates, fill, scratch};

const PACKS: &str = " packs: ";
const DOES_NOT_PACK: &str = " does not pack,";

/// Adds an empty file, one that does not shrink, and a large one.
fn add_odd_files(site: &mut Site) {
    site.add("empty.1700000000.data", "");
    site.add("noise.1700000000.data", (0..100_000).map(|_| fastrand::u8(..)).collect::<Vec<u8>>());
    site.add("large.1700000000.data", "<module>\n".repeat(200_000));
}

fn count(log: &str, what: &str) -> usize {
    log.matches(what).count()
}

/// Collects from a site of this kind, each thing after the other or ahead.
fn collect(kind: Kind, access: Access, pipelining: bool) {
    let certificates = Certificates::new();
    let Some(mut site) = Site::behind(access, kind, 120, &certificates) else { return };
    add_odd_files(&mut site);
    let relay = Relay::start(site.address());
    let lines = format!("compression = true\npipelining = {pipelining}\n{}", access.lines(&certificates));
    let sandbox = Sandbox::with_sites([site_config("far", relay.address, &lines)]);
    let outcome = sandbox.once();
    outcome.assert_code(0).assert_logs(&["INFO", "site=far", PACKS, "ZRECV"]);
    assert_eq!(count(&outcome.stderr, PACKS) + count(&outcome.stderr, "WARN"), 1, "{}", outcome.stderr);
    site.assert_emptied();
    sandbox.assert_holds(&site.files);
    assert_eq!(relay.most_ahead.load(Ordering::SeqCst) > 2, pipelining);
}

#[test]
fn files_of_a_stock_server_come_packed_in_lock_step() {
    collect(Kind::Stock, Access::Plain, false);
    collect(Kind::Stock, Access::Tls, false);
}

#[test]
fn files_of_a_stock_server_come_packed_ahead_in_plain() {
    collect(Kind::Stock, Access::Plain, true);
}

#[test]
fn files_of_a_stock_server_come_packed_ahead_over_tls() {
    collect(Kind::Stock, Access::Tls, true);
}

#[test]
fn so_do_those_of_the_imitation() {
    collect(Kind::FakeServer, Access::Tls, true);
    collect(Kind::FakeServer, Access::Plain, false);
}

#[test]
fn a_stock_server_sends_fewer_bytes() {
    let certificates = Certificates::new();
    let carried = [false, true].map(|compression| {
        let site = Site::behind(Access::Plain, Kind::Stock, 200, &certificates)?;
        let line = Tapped::new(site.address(), 0);
        let config = site_config("far", line.address, &format!("compression = {compression}"));
        Sandbox::with_sites([config]).once().assert_code(0);
        site.assert_emptied();
        let carried = line.carried.lock().unwrap().len();
        Some(carried)
    });
    let [Some(plain), Some(packed)] = carried else { return };
    assert!(packed * 4 < plain * 3, "{packed} bytes, and {plain} without");
}

#[test]
fn our_server_without_the_extension_packs_as_well() {
    let certificates = Certificates::new();
    for access in [Access::Plain, Access::Tls] {
        let options = if access == Access::Tls { Options::usual().tls(&certificates) } else { Options::usual() };
        let buffer = Buffer::with(options, "idle_timeout 10s\nextension 0\n");
        let files = fill(&buffer.storage(), &AgentFiles { prefix: "web".into(), agents: 7, seed: 1 }, 100);
        let lines = format!("compression = true\n{}", access.lines(&certificates));
        let sandbox = Sandbox::with_sites([site_config("plant", buffer.address(), &lines)]);
        sandbox.once().assert_code(0).assert_logs(&["INFO", "site=plant", PACKS]);
        sandbox.assert_holds(&files);
    }
}

/// A site whose server is like stock but for this, and one round of it, which ends with this exit status.
fn collect_from(setup: Setup, lines: &str, code: i32) -> (Site, Sandbox, String) {
    let mut site = Site::fake("site", 60, setup);
    add_odd_files(&mut site);
    let sandbox = Sandbox::with_sites([site.config(&format!("compression = true\n{lines}"))]);
    let outcome = sandbox.once();
    outcome.assert_code(code);
    (site, sandbox, outcome.stderr)
}

fn all_come(setup: Setup, lines: &str) -> (Site, String) {
    let (site, sandbox, log) = collect_from(setup, lines, 0);
    site.assert_emptied();
    sandbox.assert_holds(&site.files);
    (site, log)
}

#[test]
fn a_server_that_does_not_know_the_command_is_asked_once_and_collected_from_without() {
    let certificates = Certificates::new();
    for lines in ["connections = 1", "pipelining = false", ""] {
        let (site, log) = all_come(Setup { packs: false, ..Setup::default() }, lines);
        assert_eq!((site.peer().tally().count(Verb::Zrecv), count(&log, DOES_NOT_PACK)), (1, 1), "{log}");
        assert_eq!(count(&log, "WARN"), 0, "{log}");
    }
    let tls = Access::Tls;
    let site = Site::behind(tls, Kind::FakeServer, 60, &certificates).unwrap();
    site.peer().set_mischief(vec![Fault::Close.at(Verb::Zrecv)]);
    let sandbox = Sandbox::with_sites([site.config(&format!("compression = true\n{}", tls.lines(&certificates)))]);
    sandbox.once().assert_code(0).assert_logs(&["INFO", DOES_NOT_PACK]);
    assert_eq!(site.peer().tally().count(Verb::Zrecv), 1);
    sandbox.assert_holds(&site.files);
}

fn damaged(at: usize) -> FaultRule {
    Fault::DamageBody { at }.at(Verb::Zrecv)
}

#[test]
fn a_damaged_archive_is_reported_and_its_file_comes_as_it_is() {
    let setup = Setup { faults: vec![damaged(150).after(5).once()], ..Setup::default() };
    let (site, log) = all_come(setup, "");
    let told = log.lines().find(|line| line.contains("reason=archive")).unwrap();
    assert!(
        told.contains("WARN") && told.contains("site=site file=") && told.contains("compression = false"),
        "{told}"
    );
    assert_eq!((count(&log, "reason=archive"), count(&log, DOES_NOT_PACK)), (1, 0), "{log}");
    let commands = site.peer().log();
    let again: Vec<_> = commands.iter().filter(|command| command.verb == Verb::Recv).collect();
    assert!(
        commands.iter().any(|command| command.verb == Verb::Zrecv && again.iter().any(|one| one.name == command.name))
    );
}

#[test]
fn a_server_whose_archives_are_all_damaged_is_collected_from_without() {
    for lines in ["pipelining = false\nconnections = 1", ""] {
        let setup = Setup { faults: vec![damaged(150)], ..Setup::default() };
        let (site, log) = all_come(setup, lines);
        assert_eq!(count(&log, DOES_NOT_PACK), 1, "{log}");
        assert!(site.peer().tally().count(Verb::Zrecv) <= 12, "{:?}", site.peer().tally());
    }
}

#[test]
fn a_file_that_unfolds_beyond_the_limit_is_left_there_and_the_others_come() {
    let (site, sandbox, log) = collect_from(Setup::default(), "max_file_size = 400000", 1);
    let told = log.lines().find(|line| line.contains("max_file_size")).unwrap();
    assert!(
        told.contains("WARN") && told.contains("large.1700000000.data") && told.contains("1800000 bytes"),
        "{told}"
    );
    let mut files = site.files.clone();
    files.remove(std::path::Path::new("large.1700000000.data"));
    assert_eq!(site.left().len(), 1);
    sandbox.assert_holds(&files);
}

#[test]
fn a_file_that_is_another_one_when_it_is_deleted_is_kept_beside_the_first() {
    let other = b"<agent_data>another, and longer</agent_data>\n".to_vec();
    for between in [Verb::Zrecv, Verb::Mv] {
        for pipelining in [false, true] {
            let mut site = Site::fake("site", 20, Setup::default());
            site.add("same.1600000000.data", vec![b'x'; other.len()]);
            let rule = Fault::OverwriteBetween(other.clone()).at(between).once();
            site.peer().set_mischief(vec![rule]);
            let lines = format!("compression = true\npipelining = {pipelining}\nconnections = 1");
            let sandbox = Sandbox::with_sites([site.config(&lines)]);
            sandbox.once().assert_code(0);
            site.assert_emptied();
            let spool = sandbox.spool();
            assert!(spool.values().any(|bytes| *bytes == other), "the only copy");
            for bytes in site.files.values() {
                // Written over before it was opened for its deletion, and after it was fetched.
                assert!(spool.values().any(|found| found == bytes));
            }
            assert_eq!(spool.len(), site.files.len() + 1);
        }
    }
}

fn no_round_fails(daemon: Daemon) {
    let log = daemon.log();
    assert_eq!((count(&log, "WARN"), count(&log, "ERROR")), (0, 0), "{log}");
    daemon.signal(Signal::TERM);
    daemon.wait().assert_code(0);
}

#[test]
fn a_server_that_is_replaced_by_one_that_does_not_know_the_command_is_found_out() {
    for lines in ["pipelining = false", "connections = 1"] {
        let mut site = Site::fake("site", 20, Setup::default());
        let lines = format!("interval = 1\ncompression = true\n{lines}");
        let sandbox = Sandbox::with_sites([site.config(&lines)]);
        let daemon = sandbox.start();
        wait_until("all files", || site.left().is_empty().then_some(()));
        daemon.wait_for_line(&["INFO", PACKS]);
        site.peer().set_mischief(vec![Fault::Close.at(Verb::Zrecv)]);
        let beside = scratch();
        for (name, bytes) in fill(beside.path(), &AgentFiles { prefix: "later".into(), agents: 3, seed: 2 }, 30) {
            site.put(name.as_os_str().as_encoded_bytes(), bytes);
        }
        wait_until("all files", || site.left().is_empty().then_some(()));
        daemon.wait_for_line(&["INFO", DOES_NOT_PACK]);
        wait_until("all files to be published", || (sandbox.spool().len() == site.files.len()).then_some(()));
        sandbox.assert_holds(&site.files);
        assert_eq!((count(&daemon.log(), DOES_NOT_PACK), count(&daemon.log(), PACKS)), (1, 1), "{}", daemon.log());
        no_round_fails(daemon);
    }
}

#[test]
fn a_server_that_falls_silent_at_the_command_or_sends_other_sizes_than_it_says_is_collected_from_without() {
    for (fault, lines) in [
        (Fault::Hang, "pipelining = false"),
        (Fault::WrongSize(WrongSize::Over(10)), "pipelining = false"),
        (Fault::StallBody { after: 20 }, "connections = 1"),
    ] {
        let site = Site::fake("site", 30, Setup { faults: vec![fault.at(Verb::Zrecv)], ..Setup::default() });
        let lines = format!("timeout = 1\ninterval = 1\ncompression = true\n{lines}");
        let sandbox = Sandbox::with_sites([site.config(&lines)]);
        let daemon = sandbox.start();
        wait_until("all files", || site.left().is_empty().then_some(()));
        daemon.wait_for_line(&["INFO", DOES_NOT_PACK]);
        wait_until("all files to be published", || (sandbox.spool().len() == site.files.len()).then_some(()));
        sandbox.assert_holds(&site.files);
    }
}
