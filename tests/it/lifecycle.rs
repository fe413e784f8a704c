//! The daemon's life: stopped, started twice, reloaded.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{FakeServer, Fault, FaultRule, Setup, StockClients, Tally, Verb, stock_tls};

use crate::daemon::{Sandbox, staged_in, wait_until};
use crate::site::{Access, Site, site_config};
use crate::support::{Certificates, LOOPBACK, TIMEOUT};

/// Answers each fetch after a while.
fn slow(name: &str, count: usize) -> Site {
    let faults = vec![Fault::Slow(Duration::from_millis(10)).at(Verb::Recv)];
    Site::fake(name, count, Setup { faults, ..Setup::default() })
}

#[test]
fn a_stop_in_the_middle_is_orderly_and_the_next_run_goes_on() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = slow("site", 150);
        let sandbox = Sandbox::with_sites([site.config("")]);
        let daemon = sandbox.start();
        assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Recv) >= 20));
        daemon.signal(signal);
        let outcome = daemon.wait();
        outcome.assert_code(0).assert_logs(&["stopping: 1 round under way"]).assert_logs(&["stopped"]);
        assert!(!sandbox.spool().is_empty() && !site.left().is_empty(), "in the middle");
        site.assert_nothing_lost(&sandbox);
        site.peer().set_mischief(Vec::new());
        sandbox.once().assert_code(0);
        sandbox.assert_holds(&site.files);
        site.assert_emptied();
    }
}

/// Longer than any test has.
const FOR_EVER: &str = "shutdown_timeout = 3600";

#[test]
fn a_connection_that_holds_nothing_does_not_hold_up_a_stop() {
    let certificates = Certificates::new();
    let tls = || Some(stock_tls(&certificates.server, StockClients::Anyone).unwrap());
    let hanging = |trick: FaultRule| Setup { faults: vec![trick], ..Setup::default() };
    for (setup, lines, reached) in [
        (hanging(Fault::HangAfterAccept.always()), "", None),
        (Setup { tls: tls(), ..hanging(Fault::HangInTls.always()) }, Access::Tls.lines(&certificates).as_str(), None),
        (hanging(Fault::Hang.at(Verb::Ls)), "", Some(Verb::Ls)),
        (hanging(Fault::StallBody { after: 5 }.at(Verb::Ls)), "", Some(Verb::Ls)),
        (hanging(Fault::Hang.at(Verb::Recv)), "", Some(Verb::Recv)),
        (hanging(Fault::StallBody { after: 0 }.at(Verb::Recv)), "", Some(Verb::Recv)),
    ] {
        for command in ["run", "once"] {
            for signal in [Signal::TERM, Signal::INT] {
                let site = Site::fake("site", 5, setup.clone());
                let sandbox = Sandbox::new();
                sandbox.configure(FOR_EVER, [site.config(&format!("timeout = 3600\n{lines}"))]);
                let config = sandbox.config();
                let daemon = sandbox.launch([command.as_ref(), "--config".as_ref(), config.as_os_str()]);
                let is_there = |tally: &Tally| reached.map_or(tally.open > 0, |verb| tally.count(verb) > 0);
                assert!(site.peer().wait_for(TIMEOUT, is_there));
                daemon.signal(signal);
                let outcome = daemon.wait();
                outcome.assert_code(i32::from(command == "once"));
                if command == "once" {
                    outcome.assert_says(&["stopped before 1 of 1 site finished"]);
                }
                site.assert_untouched();
            }
        }
    }
}

#[test]
fn a_body_and_a_deletion_under_way_are_brought_to_their_end_by_a_stop() {
    const PAUSE: Duration = Duration::from_millis(100);
    let drops = Fault::DripBody { bytes: 20, every: PAUSE };
    for verb in [Verb::Recv, Verb::Mv] {
        let setup = Setup { faults: vec![drops.clone().at(verb)], ..Setup::default() };
        let site = Site::fake("site", 1, setup);
        let sandbox = Sandbox::new();
        sandbox.configure(FOR_EVER, [site.config("")]);
        let daemon = sandbox.start();
        assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(verb) == 1));
        match verb {
            // The first drop follows the announcement, by which the file is staged.
            Verb::Recv => {
                wait_until("the announcement", || staged_in(&sandbox.incoming()).pop());
                thread::sleep(10 * PAUSE);
            }
            _ => wait_until("the file", || (!sandbox.spool().is_empty()).then_some(())),
        }
        daemon.stop().assert_code(0);
        sandbox.assert_holds(&site.files);
        if verb == Verb::Mv {
            site.assert_emptied();
        }
    }
}

#[test]
fn a_second_signal_ends_at_once_and_what_is_whole_is_kept() {
    let setup = Setup { faults: vec![Fault::Hang.at(Verb::Mv)], ..Setup::default() };
    for command in ["run", "once"] {
        let site = Site::fake("site", 1, setup.clone());
        let sandbox = Sandbox::new();
        sandbox.configure(FOR_EVER, [site.config("timeout = 3600")]);
        let config = sandbox.config();
        let daemon = sandbox.launch([command.as_ref(), "--config".as_ref(), config.as_os_str()]);
        assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Mv) == 1));
        daemon.signal(Signal::TERM);
        daemon.wait_for_line(&["stopping: 1 round under way"]);
        daemon.signal(Signal::INT);
        daemon.wait().assert_code(i32::from(command == "once")).assert_logs(&["stopping at once"]);
        sandbox.assert_holds(&site.files);
        site.peer().set_mischief(Vec::new());
        sandbox.once().assert_code(0);
        sandbox.assert_holds(&site.files);
        site.assert_emptied();
    }
}

#[test]
fn once_stops_as_well_and_says_what_was_not_done() {
    let site = slow("site", 150);
    let sandbox = Sandbox::with_sites([site.config("")]);
    let config = sandbox.config();
    let once = sandbox.launch(["once".as_ref(), "--config".as_ref(), config.as_os_str()]);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Recv) >= 5));
    once.stop().assert_code(1).assert_says(&["stopped before 1 of 1 site finished"]);
    site.assert_nothing_lost(&sandbox);
}

#[test]
fn a_second_daemon_on_the_same_state_or_spool_is_turned_away() {
    let site = Site::fake("site", 5, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("")]);
    let daemon = sandbox.start();
    wait_until("the first to work", || site.left().is_empty().then_some(()));
    let state = sandbox.state();
    sandbox.once().assert_code(3).assert_logs(&[state.to_str().unwrap(), "in use by another process"]);
    let (other, incoming) = (sandbox.path("other-state"), sandbox.incoming());
    let outcome = sandbox.run("once", &["--state-dir", other.to_str().unwrap()]);
    outcome.assert_code(3).assert_logs(&[incoming.to_str().unwrap(), "in use by another process"]);
    daemon.stop().assert_code(0);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
}

#[test]
fn a_reload_adds_sites_and_takes_others_out() {
    let (old, new) = (Site::fake("old", 10, Setup::default()), Site::fake("new", 10, Setup::default()));
    let sandbox = Sandbox::with_sites([old.config("interval = 1")]);
    let daemon = sandbox.start();
    wait_until("the old site", || old.left().is_empty().then_some(()));
    sandbox.configure("", [new.config("interval = 1")]);
    daemon.signal(Signal::HUP);
    wait_until("the new site", || new.left().is_empty().then_some(()));
    daemon.wait_for_line(&["reloaded ", "tentacle-syncd.toml: 1 site: 1 added (new), 0 changed, 1 removed (old)"]);
    assert!(old.peer().wait_for(TIMEOUT, |tally| tally.open == 0), "its connection is let go");
    let rounds = old.peer().tally().count(Verb::Ls);
    assert!(new.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= 3));
    assert_eq!(old.peer().tally().count(Verb::Ls), rounds, "nobody asks the old one any more");
    sandbox.configure("", [old.config("interval = 1"), new.config("interval = 1")]);
    daemon.signal(Signal::HUP);
    assert!(old.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) > rounds), "it is back");
    daemon.stop().assert_code(0);
    old.assert_emptied();
    assert_eq!(sandbox.spool().len(), 20);
}

#[test]
fn a_site_taken_out_in_the_middle_of_its_round_keeps_what_was_not_fetched() {
    let (going, staying) = (slow("going", 150), slow("staying", 150));
    let sandbox = Sandbox::with_sites([going.config(""), staying.config("")]);
    let daemon = sandbox.start();
    assert!(going.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Recv) >= 20));
    sandbox.configure("", [staying.config("timeout = 5")]);
    daemon.signal(Signal::HUP);
    wait_until("the other site", || staying.left().is_empty().then_some(()));
    assert!(going.peer().wait_for(TIMEOUT, |tally| tally.open == 0), "its connections are let go");
    daemon.stop().assert_code(0);
    let here = sandbox.spool().len() - staying.files.len();
    assert_eq!(here + going.left().len(), 150, "what is published is gone at the site");
    sandbox.configure("", [going.config(""), staying.config("")]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&crate::site::all_files([&going, &staying]));
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let fake = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::with_sites([site_config("site", fake.address(), "interval = 1")]);
    let daemon = sandbox.start();
    assert!(fake.wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= 1));
    let bad = [
        ("intervall = 1", &["not reloaded, going on as before", "tentacle-syncd.toml:"][..]),
        ("tls = { ca = \"missing.pem\" }", &["not reloaded", "missing.pem", "no such file"]),
        ("incoming_dir = \"missing\"", &["not reloaded", "missing", "No such file"]),
    ];
    for (lines, says) in bad {
        sandbox.configure("", [site_config("site", fake.address(), lines)]);
        daemon.signal(Signal::HUP);
        daemon.wait_for_line(says);
    }
    fake.put("web01.1700000000.data", b"still collected").unwrap();
    wait_until("the file", || (sandbox.spool().len() == 1).then_some(()));
    daemon.stop().assert_code(0);
}

#[test]
fn a_renewed_authority_counts_after_a_reload() {
    let (first, second) = (Certificates::new(), Certificates::new());
    let start = |certificates: &Certificates, port| {
        let tls = Some(stock_tls(&certificates.server, StockClients::Anyone).unwrap());
        FakeServer::start(Setup { tls, port, address: LOOPBACK, ..Setup::default() }).unwrap()
    };
    let fake = start(&first, 0);
    let address = fake.address();
    let sandbox = Sandbox::new();
    let ca = sandbox.write("ca.pem", first.authority.certificate_pem());
    sandbox
        .configure("", [site_config("site", address, &format!("interval = 1\nretries = 0\ntls = {{ ca = {ca:?} }}"))]);
    let daemon = sandbox.start();
    assert!(fake.wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= 1));
    drop(fake);
    let renewed = start(&second, address.port());
    renewed.put("web01.1700000000.data", b"behind a new certificate").unwrap();
    daemon.wait_for_line(&["site=site", "reason=tls", "certificate is not accepted"]);
    fs::write(&ca, second.authority.certificate_pem()).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the site to be collected from again", || renewed.files().unwrap().is_empty().then_some(()));
    daemon.wait_for_line(&["site=site", "recovered after"]);
    daemon.stop().assert_code(0);
    assert_eq!(sandbox.spool().len(), 1);
}
