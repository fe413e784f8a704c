//! The daemon's configuration, read again while it collects.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{Fault, Files, Setup, Verb};

use crate::daemon::{Daemon, Sandbox, assert_complains_once, assert_same, wait_until};
use crate::site::{Site, site_config};
use crate::support::{Certificates, TIMEOUT};

const RELOADED: &str = "[INFO] reloaded ";

/// Takes its time over the first `verb`, so that its first round runs for as long.
fn pensive_at(verb: Verb, name: &str, count: usize) -> Site {
    let faults = vec![Fault::Slow(Duration::from_secs(2)).at(verb).once()];
    Site::fake(name, count, Setup { faults, ..Setup::default() })
}

fn pensive(name: &str, count: usize) -> Site {
    pensive_at(Verb::Ls, name, count)
}

/// A daemon in the first round of `site`, with an empty site beside it.
fn in_its_first_round(site: &Site, lines: &str) -> (Sandbox, Daemon, Site) {
    let other = Site::fake("other", 0, Setup::default());
    let sandbox = Sandbox::with_sites([other.config(lines), site.config(lines)]);
    let daemon = sandbox.start();
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) == 1));
    (sandbox, daemon, other)
}

/// Lets the daemon take another configuration over.
#[track_caller]
fn reload<S: AsRef<str>>(sandbox: &Sandbox, daemon: &Daemon, sync: &str, sites: impl IntoIterator<Item = S>) {
    let count = || daemon.log().matches(RELOADED).count();
    let before = count();
    sandbox.configure(sync, sites);
    daemon.signal(Signal::HUP);
    wait_until("the reload", || (count() > before).then_some(()));
}

#[track_caller]
fn wait_until_emptied(site: &Site) {
    wait_until("the site to be empty", || site.left().is_empty().then_some(()));
}

#[track_caller]
fn wait_for_rounds(site: &Site, rounds: u64) {
    let listed = site.peer().tally().count(Verb::Ls);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= listed + rounds));
}

#[test]
fn a_site_put_back_while_its_round_runs_is_collected_from_as_before() {
    for verb in [Verb::Ls, Verb::Recv, Verb::Mv] {
        let mut site = pensive_at(verb, "site", 20);
        let lines = "interval = 1\nconnections = 1";
        let (sandbox, daemon, other) = in_its_first_round(&site, lines);
        assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(verb) == 1));
        reload(&sandbox, &daemon, "", [other.config(lines)]);
        reload(&sandbox, &daemon, "", [other.config(lines), site.config(lines)]);
        wait_until_emptied(&site);
        site.add("later.1700000000.data", "later");
        wait_until_emptied(&site);
        let at_work = site.peer().log().into_iter().filter(|seen| seen.verb != Verb::Quit);
        let connections: Vec<u64> = at_work.map(|seen| seen.connection).collect();
        assert!(connections.is_sorted(), "one round after the other: {connections:?}");
        daemon.stop().assert_code(0);
        sandbox.assert_holds(&site.files);
    }
}

#[test]
fn a_site_taken_out_and_put_back_in_one_go_has_one_round() {
    let site = pensive("site", 20);
    let (sandbox, daemon, other) = in_its_first_round(&site, "interval = 3600");
    for _ in 0..3 {
        sandbox.configure("", [other.config("")]);
        daemon.signal(Signal::HUP);
        sandbox.configure("", [other.config(""), site.config("interval = 3600")]);
        daemon.signal(Signal::HUP);
    }
    daemon.wait_for_line(&["site=site", "moved=20"]);
    daemon.stop().assert_code(0).assert_logs(&["stopping: 0 rounds under way"]);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn a_site_put_back_with_another_address_is_collected_from_there() {
    let (old, new) = (pensive("old", 20), Site::fake("new", 20, Setup::default()));
    let at = |site: &Site| site_config("site", site.address(), "interval = 1");
    let sandbox = Sandbox::with_sites([at(&old)]);
    let daemon = sandbox.start();
    assert!(old.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) == 1));
    let other = Site::fake("other", 0, Setup::default());
    reload(&sandbox, &daemon, "", [other.config("")]);
    reload(&sandbox, &daemon, "", [other.config(""), at(&new)]);
    wait_until_emptied(&new);
    assert!(old.peer().wait_for(TIMEOUT, |tally| tally.open == 0));
    wait_for_rounds(&new, 2);
    assert_eq!(old.peer().tally().count(Verb::Ls), 1);
    daemon.stop().assert_code(0);
    old.assert_untouched();
    sandbox.assert_holds(&new.files);
}

#[test]
fn a_site_taken_out_put_back_and_taken_out_again_stays_out() {
    let site = pensive("site", 20);
    let (sandbox, daemon, other) = in_its_first_round(&site, "interval = 1");
    reload(&sandbox, &daemon, "", [other.config("interval = 1")]);
    reload(&sandbox, &daemon, "", [other.config("interval = 1"), site.config("interval = 1")]);
    reload(&sandbox, &daemon, "", [other.config("interval = 1")]);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.open == 0), "its round ends");
    wait_for_rounds(&other, 3);
    assert_eq!(site.peer().tally().count(Verb::Ls), 1);
    daemon.stop().assert_code(0);
    site.assert_untouched();
}

#[test]
fn a_site_that_moves_is_followed_though_its_connection_is_kept_open() {
    let (mut old, new) = (Site::fake("old", 5, Setup::default()), Site::fake("new", 5, Setup::default()));
    let at = |site: &Site| site_config("site", site.address(), "interval = 1");
    let sandbox = Sandbox::with_sites([at(&old)]);
    let daemon = sandbox.start();
    wait_until_emptied(&old);
    wait_for_rounds(&old, 2);
    reload(&sandbox, &daemon, "", [at(&new)]);
    wait_until_emptied(&new);
    assert!(old.peer().wait_for(TIMEOUT, |tally| tally.open == 0));
    old.add("late.1700000000.data", "late");
    wait_for_rounds(&new, 2);
    daemon.stop().assert_code(0);
    assert_eq!(old.left().len(), 1, "nobody asks there any more");
}

#[test]
fn a_stop_while_a_listing_is_awaited_waits_for_none_and_takes_no_new_files() {
    let site = pensive("site", 20);
    let (sandbox, daemon, _other) = in_its_first_round(&site, "");
    daemon.stop().assert_code(0).assert_logs(&["stopping: ", "under way"]);
    sandbox.assert_holds(&Files::new());
    site.assert_untouched();
}

#[test]
fn settings_that_wait_for_a_restart_are_named_at_each_reload() {
    let site = Site::fake("site", 5, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("")]);
    let daemon = sandbox.start();
    wait_until_emptied(&site);
    reload(&sandbox, &daemon, "max_connections = 50", [site.config("timeout = 5")]);
    assert!(!daemon.log().contains("[WARN]"), "{}", daemon.log());
    let changed = "durability = \"none\"\nshutdown_timeout = 1";
    for times in 1..=2 {
        reload(&sandbox, &daemon, changed, [site.config("")]);
        let parts = ["[WARN]", "durability", "shutdown_timeout", "restart"];
        let says = |line: &&str| parts.iter().all(|part| line.contains(part)) && !line.contains("state_dir");
        assert_eq!(daemon.log().lines().filter(says).count(), times, "{}", daemon.log());
    }
    let text = fs::read_to_string(sandbox.config()).unwrap();
    sandbox.write("tentacle-syncd.toml", text.replace("/state\"", "/other\"").replace(changed, ""));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["[WARN]", "state_dir", "restart"]);
    daemon.stop().assert_code(0);
    assert!(!sandbox.path("other").exists());
}

#[test]
fn a_file_that_was_too_large_is_taken_once_a_reload_allows_it() {
    let mut site = Site::fake("site", 0, Setup::default());
    site.add("large.1700000000.data", vec![b'x'; 2_000]);
    let lines = |most: &str| format!("interval = 1\nmax_file_size = \"{most}\"");
    let sandbox = Sandbox::with_sites([site.config(&lines("1KB"))]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["large.1700000000.data left there", "max_file_size"]);
    wait_for_rounds(&site, 3);
    assert_complains_once(&daemon.log(), &["left there"]);
    reload(&sandbox, &daemon, "", [site.config(&lines("3KB"))]);
    wait_until_emptied(&site);
    daemon.stop().assert_code(0);
    sandbox.assert_holds(&site.files);
}

#[test]
fn what_was_left_at_a_site_is_tried_and_told_again_after_any_reload() {
    let mut site = Site::fake("site", 0, Setup::default());
    site.add("large.1700000000.data", vec![b'x'; 2_000]);
    let config = site.config("interval = 1\nmax_file_size = \"1KB\"");
    let sandbox = Sandbox::with_sites([&config]);
    let daemon = sandbox.start();
    let complaints = || daemon.log().matches("large.1700000000.data left there").count();
    for times in 1..=2 {
        wait_until("the complaint", || (complaints() == times).then_some(()));
        wait_for_rounds(&site, 2);
        assert_eq!(complaints(), times);
        reload(&sandbox, &daemon, "", [&config]);
    }
    daemon.stop().assert_code(0);
    assert_eq!(site.left().len(), 1);
}

#[test]
fn what_is_published_stays_known_while_a_reload_leaves_its_name_out() {
    let mut site = Site::fake("site", 0, Setup { faults: vec![Fault::Refuse.at(Verb::Mv)], ..Setup::default() });
    site.add("web01.1700000000.data", "kept there");
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    let daemon = sandbox.start();
    wait_until("the file", || (sandbox.spool() == site.files).then_some(()));
    for path in site.files.keys() {
        // The data server takes it.
        fs::remove_file(sandbox.incoming().join(path)).unwrap();
    }
    reload(&sandbox, &daemon, "", [site.config("interval = 1\nexclude = [\"web*\"]")]);
    wait_for_rounds(&site, 3);
    let asked = site.peer().tally().count(Verb::Mv);
    wait_for_rounds(&site, 1);
    assert_eq!(site.peer().tally().count(Verb::Mv), asked, "it is none of ours for now");
    reload(&sandbox, &daemon, "", [site.config("interval = 1")]);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Mv) > asked));
    daemon.stop().assert_code(0);
    assert_same(&sandbox.spool(), &Files::new());
}

#[test]
fn no_beginning_of_a_configuration_is_taken_over_and_no_password_is_lost() {
    let site = Site::fake("site", 0, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("interval = 3600\npassword = \"s3cret\"")]);
    let whole = fs::read_to_string(sandbox.config()).unwrap();
    let daemon = sandbox.start();
    daemon.wait_for_line(&["state in"]);
    let without: String =
        whole.lines().filter(|line| !line.starts_with("password")).flat_map(|line| [line, "\n"]).collect();
    for bad in ["", "\n", whole.trim_end(), &whole[..whole.len() / 2], &without] {
        let refused = || daemon.log().matches("not reloaded").count();
        let before = refused();
        sandbox.write("tentacle-syncd.toml", bad);
        daemon.signal(Signal::HUP);
        wait_until("the refusal", || (refused() > before).then_some(()));
    }
    assert!(!daemon.log().contains(RELOADED), "{}", daemon.log());
    daemon.wait_for_line(&["ERROR", "no password of site site any more", "restart"]);
    daemon.stop().assert_code(0);
}

#[test]
fn a_certificate_that_is_checked_is_checked_until_a_restart() {
    let site = Site::fake("site", 0, Setup::default());
    let sandbox = Sandbox::new();
    let certificates = Certificates::new();
    let config = |verify: &str| {
        let ca = certificates.path("ca.pem");
        site.config(&format!("interval = 3600\ntls = {{ ca = {ca:?}, verify = {verify:?} }}"))
    };
    sandbox.configure("", [config("chain")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["state in"]);
    sandbox.configure("", [config("none")]);
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&[
        "[ERROR] not reloaded, going on as before: ",
        "tentacle-syncd.toml: no check of the certificate (verify) of site site any more",
        "only a restart",
    ]);
    reload(&sandbox, &daemon, "", [config("chain+name")]);
    daemon.stop().assert_code(0);
}
