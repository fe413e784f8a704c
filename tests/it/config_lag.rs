//! What of the centre's configuration waits to be sent to a site, and since when.

use rustix::process::Signal;

use crate::control::{start, wait_for_site};
use crate::daemon::wait_until;
use crate::remote_config::{K, SERVERS, Scene};
use crate::server_process::Options;

#[test]
fn what_was_edited_is_known_to_wait_until_the_site_has_it() {
    let mut scene = Scene::new(SERVERS[0], &Options::usual()).unwrap();
    let (first, second, third) = ("agent_name web01\n", "agent_name web01\n# second\n", "agent_name web01\n# third\n");
    scene.upload(K, first);
    let daemon = start(&scene.sandbox);
    wait_until("the upload", || scene.centre.has_pair(&scene.centre.conf(K), first).then_some(()));
    wait_for_site(&scene.sandbox, "site", |site| site["configuration"]["waiting"] == 0);
    scene.sandbox.run("pause", &["site"]).assert_code(0);
    wait_for_site(&scene.sandbox, "site", |site| site["state"] == "paused");
    scene.centre.save(&scene.centre.conf(K), second);
    let lags = |site: &serde_json::Value| {
        site["configuration"]["waiting"] == 1 && site["configuration"]["oldest_seconds"].is_u64()
    };
    wait_for_site(&scene.sandbox, "site", lags);
    let told = scene.sandbox.run("status", &["site"]);
    assert!(told.stdout.contains("configuration an item waits to be sent there, for "), "{told}");
    scene.sandbox.run("resume", &["site"]).assert_code(0);
    wait_until("the edit", || scene.site.has_pair(&scene.site.conf(K), second).then_some(()));
    wait_for_site(&scene.sandbox, "site", |site| {
        site["configuration"]["waiting"] == 0 && site["configuration"]["oldest_seconds"].is_null()
    });

    // A daemon that is started while the site cannot be reached knows as well.
    daemon.stop().assert_code(0);
    scene.server.signal(Signal::TERM);
    scene.server.wait();
    scene.centre.save(&scene.centre.conf(K), third);
    let daemon = start(&scene.sandbox);
    wait_for_site(&scene.sandbox, "site", lags);
    daemon.stop().assert_code(0);
}
