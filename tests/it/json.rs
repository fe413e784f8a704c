//! What the commands print for programs.

use serde_json::{Value, json};
use tentacle_sync::testing::fake_server::Setup;

use crate::daemon::{Outcome, Sandbox, wait_until};
use crate::server_process::free_address;
use crate::site::{Site, site_config};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Those of one type.
fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    assert!(lines.iter().all(|line| line["version"] == 1), "{lines:?}");
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// The one object that `check --json` has printed.
fn report(outcome: &Outcome) -> Value {
    let lines = lines(&outcome.stdout);
    assert_eq!(lines.len(), 1, "{outcome}");
    assert_eq!(lines[0]["version"], 1, "{outcome}");
    lines[0].clone()
}

fn count(report: &Value, kind: &str) -> usize {
    report["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == kind).count()
}

#[test]
fn check_finds_in_json_what_it_finds_in_words() {
    let address = free_address();
    let sandbox = Sandbox::with_sites([site_config("site", address, "")]);
    let (outcome, words) = (sandbox.run("check", &["--json"]), sandbox.run("check", &[]));
    outcome.assert_code(0);
    let found = report(&outcome);
    assert_eq!(found["problems"], 0);
    assert_eq!(found["warnings"], count(&found, "warning"));
    assert_eq!(words.stdout.lines().count(), found["findings"].as_array().unwrap().len() + 1, "{words}");
    for finding in found["findings"].as_array().unwrap() {
        let text = finding["text"].as_str().unwrap();
        words.assert_says(&[finding["kind"].as_str().unwrap(), text]);
    }

    let sandbox = Sandbox::with_sites([site_config("site", address, "tls = { ca = \"/missing.pem\" }")]);
    let outcome = sandbox.run("check", &["--json"]);
    outcome.assert_code(1);
    let found = report(&outcome);
    assert_eq!((&found["problems"], count(&found, "problem")), (&1.into(), 1), "{outcome}");
    assert!(found.to_string().contains("/missing.pem"), "{outcome}");
}

#[test]
fn once_tells_what_each_site_has_come_to() {
    let site = Site::fake("site", 3, Setup::default());
    site.peer().put("large.1700000001.data", &vec![b'x'; 200_000]).unwrap();
    let limit = "max_file_size = 100000";
    let sandbox = Sandbox::with_sites([site.config(limit), site_config("de\"ad", free_address(), "")]);
    let outcome = sandbox.run("once", &["--json"]);
    outcome.assert_code(1);
    let lines = lines(&outcome.stdout);
    let sites = of_type(&lines, "site");
    assert_eq!((sites.len(), lines.len()), (2, 3), "{outcome}");
    let found = sites.iter().find(|line| line["name"] == "site").unwrap();
    assert_eq!((&found["outcome"], &found["collected"]["files"]), (&"done".into(), &3.into()), "{outcome}");
    assert_eq!(found["not_taken"], json!({"too_large": 1, "bad_name": 0, "not_given": 0}), "{outcome}");
    assert!(found["reason"].is_null() && found["message"].is_null(), "{outcome}");
    let found = sites.iter().find(|line| line["name"] == "de\"ad").unwrap();
    assert_eq!((&found["outcome"], &found["reason"]), (&"failed".into(), &"connect".into()), "{outcome}");
    assert!(found["message"].as_str().unwrap().contains("connection refused"), "{outcome}");
    let end = lines.last().unwrap();
    assert_eq!((&end["type"], &end["is_complete"]), (&"end".into(), &false.into()), "{outcome}");
    assert!(end["unpublished"]["files"].is_u64(), "{outcome}");

    let sandbox = Sandbox::with_sites([site_config("site", free_address(), "enabled = false")]);
    let outcome = sandbox.run("once", &["--json"]);
    outcome.assert_code(0);
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
}

#[test]
fn the_log_has_in_json_the_fields_of_its_lines() {
    let site = Site::fake("site", 3, Setup::default());
    let dead = site_config("de\"ad one", free_address(), "interval = 1");
    let sandbox = Sandbox::with_sites([site.config("interval = 1"), dead]);
    let outcome = sandbox.run("once", &["--log-format", "json"]);
    outcome.assert_code(1);
    let logged = lines(&outcome.stderr);
    let found = logged.iter().find(|line| line["fields"]["site"] == "de\"ad one").unwrap();
    assert_eq!((&found["level"], &found["fields"]["reason"]), (&"WARN".into(), &"connect".into()), "{outcome}");
    assert!(found["message"].as_str().unwrap().starts_with("cannot connect to 127."), "{outcome}");
    assert!(found["fields"]["failures"].is_string() && found["time"].as_str().unwrap().ends_with('Z'), "{outcome}");

    let config = sandbox.config();
    let arguments = ["run", "--allow-root", "--log-format", "json", "--config"].map(AsRef::as_ref);
    let daemon = sandbox.launch(arguments.into_iter().chain([config.as_os_str()]));
    wait_until("the files", || (sandbox.spool().len() == 3).then_some(()));
    let outcome = daemon.stop();
    outcome.assert_code(0);
    let logged = lines(&outcome.stderr);
    assert!(logged.iter().any(|line| line["message"] == "stopped"), "{outcome}");
}
