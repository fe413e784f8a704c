//! Sites whose bandwidth is limited.

use crate::control::{start, wait_for_site};
use crate::daemon::{Sandbox, wait_until};
use crate::site::{Access, Kind, Site};
use crate::support::Certificates;

/// More than a site has time for at the limits of these tests, if it is measured by the clock.
const LARGE: usize = 400_000;

/// What comes at this limit takes three times as long as `timeout` and `min_rate` allow.
const SLOW: &str = "bwlimit = \"64K\"\ntimeout = 2\nmin_rate = \"1MiB\"\nconnections = 4\n";

fn collect_slowly(access: Access, kind: Kind) {
    let certificates = Certificates::new();
    let Some(mut site) = Site::behind(access, kind, 20, &certificates) else { return };
    site.add("slow.1700000000.data", vec![b'x'; LARGE]);
    let sandbox = Sandbox::with_sites([site.config(&format!("{SLOW}{}", access.lines(&certificates)))]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn what_a_limit_slows_down_comes_whole_and_is_not_held_against_a_site_of_ours() {
    collect_slowly(Access::Tls, Kind::Ours);
}

#[test]
fn nor_against_one_that_is_stock() {
    collect_slowly(Access::Plain, Kind::Stock);
}

#[test]
fn a_limit_is_shown_and_a_reload_lifts_it_from_connections_that_stand() {
    let mut site = Site::ours("plant", 3);
    // Minutes of it.
    site.add("slow.1700000000.data", vec![b'x'; 8 * LARGE]);
    let sandbox = Sandbox::new();
    sandbox.configure("bwlimit = \"16K\"\n", [site.config("bwlimit = \"00:00,1M 12:00,1M\"")]);
    let _daemon = start(&sandbox);
    let shown = wait_for_site(&sandbox, "plant", |site| site["state"] == "collecting");
    assert_eq!(shown["bwlimit"]["timetable"], "00:00,1M 12:00,1M");
    assert_eq!(shown["bwlimit"]["bytes_per_second"], 1 << 20);
    sandbox.run("status", &["plant"]).assert_code(0).assert_says(&["all sites together: at most 16 KiB a second"]);
    assert!(sandbox.spool().len() < site.files.len(), "it is limited");
    sandbox.configure("", [site.config("")]);
    sandbox.run("reload", &[]).assert_code(0);
    wait_until("all files", || (sandbox.spool().len() == site.files.len()).then_some(()));
    sandbox.assert_holds(&site.files);
    wait_for_site(&sandbox, "plant", |site| {
        site["bwlimit"]["timetable"] == "off" && site["bwlimit"]["bytes_per_second"].is_null()
    });
}

#[test]
fn a_limit_that_makes_no_sense_is_refused_with_its_line_and_reason() {
    let site = Site::ours("plant", 1);
    for (limit, reason) in [
        ("512", "write \\\"512K\\\" for that"),
        ("1K", "less than 8K a second"),
        ("10M:1M", "is two rates"),
        ("08:00,1M 25:00,off", "no time of the day"),
    ] {
        let sandbox = Sandbox::with_sites([site.config(&format!("bwlimit = {limit:?}"))]);
        let refused = sandbox.run("check", &[]);
        let reason = reason.replace("\\\"", "\"");
        assert!(refused.code() != Some(0) && refused.stderr.contains(&reason), "{limit}: {refused}");
        assert!(refused.stderr.contains("bwlimit"), "{limit}: {refused}");
    }
}
