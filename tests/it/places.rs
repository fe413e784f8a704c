//! Stock servers that serve fewer clients at once (`-c`) than there are agents and connections of a collector.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tentacle_sync::testing::fake_server::AgentFiles;

use crate::daemon::Sandbox;
use crate::pipelining::Relay;
use crate::server_process::Options;
use crate::site::site_config;
use crate::stock::start_stock;
use crate::support::{Client, fill, scratch};

/// Files that take one connection some seconds.
const FILES: usize = 40;

/// The collector is to have one more connection than there are places, and one of these is an agent's for some time.
#[test]
fn connections_without_a_place_fail_no_round_and_leave_places_to_agents() {
    let storage = scratch();
    let mut files = fill(storage.path(), &AgentFiles { prefix: "web".into(), agents: 7, seed: 1 }, FILES);
    let Some(server) = start_stock(&Options::usual().arg("-c").arg("2"), storage.path()) else { return };
    let address = server.address();
    let relay = Relay::start(address);
    let lines = "connections = 3\ntimeout = \"2s\"\npipelining = false\nextension = false\nretries = 0\n";
    let sandbox = Sandbox::with_sites([site_config("crowded", relay.address, lines)]);
    let mut slow = Client::connect(address);
    slow.ask("SEND <slow.1.data> SIZE 1000", "SEND OK");
    let is_over = AtomicBool::new(false);
    let was_served = thread::scope(|scope| {
        let agent = scope.spawn(|| {
            // Until the collector has gone by what it has a place for.
            for _ in 0..45 {
                slow.send("x");
                thread::sleep(Duration::from_millis(100));
            }
            slow.send("x".repeat(1000 - 45));
            slow.expect("SEND OK\n");
            slow.send("QUIT\n");
            Client::connect(address).store("quick.1.data", "body");
            !is_over.load(Ordering::SeqCst)
        });
        let outcome = sandbox.run("once", &["--log-level", "debug"]);
        is_over.store(true, Ordering::SeqCst);
        outcome.assert_code(0).assert_logs(&["site=crowded", "has no place for another connection"]);
        agent.join().unwrap()
    });
    assert!(was_served, "the other place is free while files are collected");
    sandbox.once().assert_code(0);
    files.insert("slow.1.data".into(), "x".repeat(1000).into_bytes());
    files.insert("quick.1.data".into(), b"body".to_vec());
    sandbox.assert_holds(&files);
}
