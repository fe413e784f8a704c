//! A good site's files come, whatever the other sites answer.

use std::sync::Arc;

use tentacle_sync::testing::fake_server::{FakeServer, Setup};

use crate::daemon::{Sandbox, wait_until};
use crate::scripted::{Script, listing, serve};
use crate::site::site_config;

/// More than are taken of a listing in a round.
const UNWANTED: usize = 201_000;

/// Names in other long listings.
const NAMES: usize = 20_000;

/// Good files, one after the other.
const FILES: usize = 5;

#[test]
fn a_good_sites_files_come_beside_one_of_each_bad_kind() {
    let names =
        |count, end: &str| -> Arc<[u8]> { listing((0..count).map(|number| format!("held-{number}{end}"))).into() };
    let wanted = (0..3).map(|number| format!("wanted.170000000{number}.data"));
    let scripts = [
        (
            "unwanted",
            Script::Honest { others: names(UNWANTED, ".txt"), files: wanted.clone().map(String::into_bytes).collect() },
        ),
        ("withheld", Script::Withheld(names(NAMES, ".1700000000.data"))),
        ("long-listings", Script::LongNames(NAMES)),
        ("variants", Script::Variants(3)),
        ("alternating", Script::Alternating { prefix: "turn".into(), count: 100, gives: true }),
    ];
    let bad = scripts.map(|(name, script)| site_config(name, serve(script).unwrap(), "interval = 1"));
    let good = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::with_sites(bad.into_iter().chain([site_config("good", good.address(), "interval = 1")]));
    let daemon = sandbox.start();
    let has = |beginning: &str| sandbox.names().iter().any(|name| name.starts_with(beginning));
    for what in ["variants-", "turn-", "0000000000"] {
        wait_until(what, || has(what).then_some(()));
    }
    for number in 0..FILES {
        let name = format!("good.170000000{number}.data");
        good.put(&name, name.as_bytes()).unwrap();
        wait_until(&name, || good.files().unwrap().is_empty().then_some(()));
    }
    for name in wanted {
        wait_until(&name, || has(&name).then_some(()));
    }
    let outcome = daemon.stop();
    outcome.assert_code(0);
    assert!(!outcome.stderr.lines().any(|line| line.contains("site=good") && line.contains("reason=")), "{outcome}");
    for name in (0..FILES).map(|number| format!("good.170000000{number}.data")) {
        assert_eq!(std::fs::read(sandbox.incoming().join(&name)).unwrap(), name.as_bytes());
    }
}
