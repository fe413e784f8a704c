//! Killed at any moment, and started again: nothing is lost, nothing arrives twice.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tentacle_sync::testing::fake_server::{AgentFiles, FakeServer, Files, Setup, Tally, Verb};

use crate::consumer::{Consumer, seed};
use crate::daemon::{Sandbox, staged_in};
use crate::site::site_config;

const FILES: usize = 2_000;
const KILLS: usize = 50;

/// Commands between two kills, at most. What was fetched but not published before a kill is fetched again.
const MOST_COMMANDS: u64 = 5 * FILES as u64 / KILLS as u64;

fn commands(tally: &Tally) -> u64 {
    tally.commands.values().sum()
}

#[test]
fn fifty_kills_lose_nothing_and_double_nothing() {
    let mut rng = Rng::with_seed(seed());
    let fake = FakeServer::start(Setup::default()).unwrap();
    let files: Files = AgentFiles { prefix: "web".into(), agents: 40, seed: 9 }
        .files(FILES)
        .map(|(name, body)| (name.into(), body))
        .collect();
    for (path, bytes) in &files {
        fake.put(path, bytes).unwrap();
    }
    let sandbox = Sandbox::with_sites([site_config("site", fake.address(), "")]);
    let consumer = Consumer::start(sandbox.incoming());
    for _ in 0..KILLS {
        let until = commands(&fake.tally()) + rng.u64(0..=MOST_COMMANDS);
        let mut daemon = sandbox.start();
        // Where the site is empty already, it is killed while it has nothing to do.
        fake.wait_for(Duration::from_millis(400), |tally| commands(tally) >= until);
        thread::sleep(Duration::from_micros(rng.u64(0..5_000)));
        daemon.kill();
    }
    let (fetched, left) = (fake.tally().count(Verb::Recv), fake.files().unwrap().len());
    println!("{fetched} fetched, {left} left after the last kill");
    assert!(left < FILES, "it was never let come that far");
    sandbox.once().assert_code(0);
    consumer.assert_got(&files);
    assert!(fake.files().unwrap().is_empty());
    assert_eq!(staged_in(&sandbox.incoming()), Vec::<String>::new());
}
