//! Sites whose files or directories cannot be used: each is left out alone, loudly, and comes back by itself.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{Setup, Verb};

use crate::daemon::{Sandbox, has_line, wait_until};
use crate::site::{Access, Kind, Site, all_files};
use crate::support::{Certificates, TIMEOUT};

/// What in a site's configuration cannot be used, what the log calls it, and how.
fn unusable(certificates: &Certificates, sandbox: &Sandbox) -> Vec<(String, &'static str, &'static str)> {
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.path(name));
    let tls = |ca: &Path, cert: &Path, key: &Path| format!("tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}");
    let (missing, directory) = (sandbox.path("missing"), certificates.path(""));
    let encrypted = sandbox
        .write("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let file = sandbox.write("file", "");
    vec![
        (tls(&ca, &cert, &missing), "certificate", "no such file"),
        (tls(&ca, &cert, &directory), "certificate", "is a directory"),
        (tls(&missing, &cert, &key), "certificate", "no such file"),
        (tls(&ca, &key, &key), "certificate", "mixed up"),
        (tls(&ca, &cert, &encrypted), "certificate", "passphrase_file or passphrase_env"),
        (format!("password_file = {missing:?}"), "secret", "no such file"),
        (format!("password_file = {file:?}"), "secret", "is empty"),
        (format!("incoming_dir = {missing:?}"), "store", "create it"),
        (format!("incoming_dir = {file:?}"), "store", "directory"),
    ]
}

#[test]
fn a_site_that_cannot_be_opened_is_one_failed_site_and_the_others_are_collected_from() {
    let (certificates, files) = (Certificates::new(), Sandbox::new());
    for (lines, reason, why) in unusable(&certificates, &files) {
        let (good, bad) = (Site::fake("good", 5, Setup::default()), Site::fake("bad", 5, Setup::default()));
        let sandbox = Sandbox::with_sites([bad.config(&lines), good.config("")]);
        let outcome = sandbox.once();
        outcome.assert_code(1).assert_says(&["good: 5 files"]).assert_says(&["bad: failed: ", why]);
        outcome.assert_logs(&["[ERROR]", "site=bad", &format!("reason={reason}"), why]);
        sandbox.assert_holds(&good.files);
        bad.assert_untouched();
        sandbox.run("check", &[]).assert_code(1).assert_says(&["PROBLEM", why]);
        sandbox.run("once", &["good"]).assert_code(0);
    }
}

#[test]
fn where_no_site_can_be_opened_nothing_is_begun_and_another_try_may_succeed() {
    let (certificates, files) = (Certificates::new(), Sandbox::new());
    for command in ["run", "once"] {
        let site = Site::fake("good", 5, Setup::default());
        let all = unusable(&certificates, &files);
        let sites = all
            .iter()
            .enumerate()
            .map(|(number, (lines, ..))| site.config(lines).replace("\"good\"", &format!("\"bad{number}\"")));
        let sandbox = Sandbox::with_sites(sites);
        let outcome = sandbox.run(command, &[]);
        outcome.assert_code(3).assert_logs(&["tentacle-syncd: none of the 9 sites can be collected from:"]);
        for (number, (_, _, why)) in all.iter().enumerate() {
            outcome.assert_logs(&[&format!("site bad{number}: "), why]);
        }
        site.assert_untouched();
    }
}

#[test]
fn a_site_is_collected_from_as_soon_as_its_files_are_mended() {
    let certificates = Certificates::new();
    let good = Site::fake("good", 5, Setup::default());
    let bad = Site::behind(Access::TlsWithClientCertificate, Kind::FakeServer, 5, &certificates).unwrap();
    let sandbox = Sandbox::new();
    let (key, incoming) = (sandbox.path("late.key"), sandbox.path("late"));
    let [ca, cert] = ["ca.pem", "client.pem"].map(|name| certificates.path(name));
    let tls =
        format!("interval = 1\nincoming_dir = {incoming:?}\ntls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}");
    sandbox.configure("", [bad.config(&tls), good.config("interval = 1")]);
    let daemon = sandbox.start();
    wait_until("the good site", || good.left().is_empty().then_some(()));
    daemon.wait_for_line(&["[ERROR]", "site=site", "reason=certificate", "late.key"]);
    assert!(good.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= 4), "for a few of the other's rounds");
    fs::copy(certificates.path("client.key"), &key).unwrap();
    daemon.wait_for_line(&["[ERROR]", "site=site", "reason=store", "late", "create it"]);
    fs::create_dir(&incoming).unwrap();
    wait_until("the mended site", || bad.left().is_empty().then_some(()));
    let outcome = daemon.stop();
    outcome.assert_code(0).assert_logs(&["site=site", "can be opened again"]);
    let count = outcome.stderr.lines().filter(|line| line.contains("reason=certificate")).count();
    assert_eq!(count, 1, "the same complaint is not made each second: {outcome}");
    assert_eq!(crate::daemon::spool_of(&incoming), bad.files);
}

#[test]
fn a_reload_with_a_bad_certificate_leaves_that_site_as_it_was_and_changes_the_others() {
    let certificates = Certificates::new();
    let site = Site::behind(Access::TlsWithClientCertificate, Kind::FakeServer, 5, &certificates).unwrap();
    let (other, fresh) = (Site::fake("other", 5, Setup::default()), Site::fake("fresh", 5, Setup::default()));
    let lines = format!("interval = 1\n{}", Access::TlsWithClientCertificate.lines(&certificates));
    let sandbox = Sandbox::with_sites([site.config(&lines), other.config("interval = 3600")]);
    let daemon = sandbox.start();
    wait_until("both sites", || (site.left().is_empty() && other.left().is_empty()).then_some(()));
    fs::rename(certificates.path("client.key"), certificates.path("moved.key")).unwrap();
    sandbox.configure("", [site.config(&lines), other.config("interval = 1"), fresh.config("interval = 1")]);
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["[ERROR]", "site=site", "reason=certificate", "not reloaded", "client.key"]);
    let says = "tentacle-syncd.toml: 3 sites: 1 added (fresh), 1 changed (other), 0 removed, 1 cannot be used (site)";
    daemon.wait_for_line(&["reloaded ", says]);
    wait_until("the new site", || fresh.left().is_empty().then_some(()));
    for peer in [site.peer(), other.peer()] {
        let rounds = peer.tally().count(Verb::Ls);
        assert!(peer.wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= rounds + 2), "it goes on");
    }
    fs::rename(certificates.path("moved.key"), certificates.path("client.key")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["reloaded ", "3 sites: 0 added, 0 changed, 0 removed"]);
    daemon.stop().assert_code(0);
    sandbox.assert_holds(&all_files([&site, &other, &fresh]));
}

#[test]
fn a_reload_takes_a_site_out_that_could_never_be_opened_and_opens_one_that_could_not() {
    let (good, bad) = (Site::fake("good", 5, Setup::default()), Site::fake("bad", 5, Setup::default()));
    let sandbox = Sandbox::new();
    let unusable = format!("password_file = {:?}", sandbox.path("missing"));
    let gone = bad.config(&unusable).replace("\"bad\"", "\"gone\"");
    sandbox.configure("", [good.config(""), bad.config(&unusable), gone]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["[ERROR]", "site=bad", "reason=secret"]);
    sandbox.configure("", [good.config(""), bad.config("")]);
    daemon.signal(Signal::HUP);
    wait_until("the mended site", || bad.left().is_empty().then_some(()));
    let outcome = daemon.stop();
    outcome.assert_code(0).assert_logs(&["2 sites: 0 added, 1 changed (bad), 1 removed (gone)"]);
}

#[test]
fn an_incoming_directory_that_another_process_works_in_is_its_sites_problem_alone() {
    let (first, second) = (Site::fake("first", 5, Setup::default()), Site::fake("second", 5, Setup::default()));
    let sandbox = Sandbox::with_sites([first.config("")]);
    let daemon = sandbox.start();
    wait_until("the first daemon to work", || first.left().is_empty().then_some(()));
    let (other, own) = (Sandbox::new(), sandbox.path("own"));
    fs::create_dir(&own).unwrap();
    let shared = format!("incoming_dir = {:?}", sandbox.incoming());
    other.configure("", [first.config(&shared), second.config(&format!("incoming_dir = {own:?}"))]);
    let outcome = other.once();
    outcome.assert_code(1).assert_says(&["second: 5 files"]);
    outcome.assert_says(&["first: failed: ", "in use by another process"]);
    assert_eq!(crate::daemon::spool_of(&own), second.files);
    daemon.stop().assert_code(0);
    other.once().assert_code(0);
}

#[test]
fn an_address_that_stands_twice_is_collected_from_once() {
    let site = Site::fake("site", 10, Setup::default());
    let (sandbox, address) = (Sandbox::new(), site.address());
    let (incoming, state) = (sandbox.incoming(), sandbox.state());
    let text = format!(
        "sync_address {0},{0}\nsync_port {1}\nincomingdir {2}\n",
        address.ip(),
        address.port(),
        incoming.to_string_lossy()
    );
    let conf = sandbox.write("pandora_server.conf", text);
    let arguments = ["once", "--config", conf.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    let outcome = sandbox.launch(arguments.iter().map(std::ffi::OsStr::new)).wait();
    outcome.assert_code(0).assert_logs(&["[WARN]", "pandora_server.conf:1", "stands there twice"]);
    sandbox.assert_holds(&site.files);
    assert!(!has_line(&outcome.stderr, &["ERROR"]), "{outcome}");
}
