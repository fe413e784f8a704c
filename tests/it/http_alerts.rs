//! The rules for Prometheus and the dashboard for Grafana that are shipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::control::{self, OFTEN};
use crate::daemon::{Sandbox, wait_until};
use crate::http::{configure, is_installed, start};
use crate::http_client::get;
use crate::http_server::all_metrics;
use crate::site::Site;

fn shipped(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "config", name].iter().collect()
}

/// What in a text looks like a metric of ours.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tentacle_sync_") || word.starts_with("tentacle_server_")).collect()
}

#[test]
fn the_rules_alert_on_what_they_are_for() {
    if !is_installed("promtool", "PROMTOOL_REQUIRED") {
        return;
    }
    for (what, file) in [("check", "prometheus-rules.yml"), ("test", "prometheus-rules.test.yml")] {
        let outcome = Command::new("promtool").args([what, "rules"]).arg(shipped(file)).output().unwrap();
        let words = String::from_utf8_lossy(&outcome.stderr) + String::from_utf8_lossy(&outcome.stdout);
        assert!(outcome.status.success(), "{words}");
        assert!(words.contains("SUCCESS"), "{words}");
    }
}

#[test]
fn rules_and_dashboard_name_metrics_that_there_are() {
    let (site, sandbox) = (Site::ours("site", 1), Sandbox::new());
    let address = configure(&sandbox, "", [site.config(OFTEN)]);
    let _daemon = start(&sandbox, address);
    control::wait_for_site(&sandbox, "site", |site| site["collected"]["files"] == 1);
    let metrics = wait_until("all that is known of the machine", || {
        Some(get(address, "/metrics").body).filter(|metrics| metrics.contains("tentacle_sync_journal_bytes"))
    });
    let metrics = metrics + &all_metrics().body;
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let there_are: BTreeSet<&str> = types.collect();
    for name in ["prometheus-rules.yml", "prometheus-rules.test.yml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(shipped(name)).unwrap();
        let named = metrics_in(&text);
        assert!(named.len() > 5, "{name}: {named:?}");
        let missing: Vec<_> = named.difference(&there_are).collect();
        assert!(missing.is_empty(), "{name} names {missing:?}; there are {there_are:?}");
    }
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(shipped("grafana-dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
    }
}
