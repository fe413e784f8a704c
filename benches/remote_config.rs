//! Keeping agents' configuration the same at the centre and at the sites: what a round costs that finds nothing to do, and
//! how long a policy takes that edits all agents of many sites at once, with data coming all the while.
//!
//! `[STOCK_TENTACLE_SERVER=PROGRAM] cargo bench --bench remote_config [-- DIRECTORY]`: works in a fresh directory inside
//! `DIRECTORY`, by default inside the build directory. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! Sites are real servers, the collector is a process of its own, as `tentacle-syncd` runs it, durable; all are on the same
//! processors and disk.
//!
//! The idle round is counted on the wire, by a relay between collector and site, once all is in step: each figure is the mean
//! of the rounds of some seconds. Listings of data that go the same way are not among them.
//!
//! The policy writes each agent's `.conf` file and then its `.md5`, in place, one agent after the other, as the console does.
//! A site is in step when it has the last `.md5`. Data is a file a second at each site in the mean; its lateness is the time
//! from its appearing at the site until it has its name here, most of which is the wait for the next round, a second. It is
//! compared with that of the same collector before the edit.
#![expect(clippy::print_stdout, reason = "the tables are the point")]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/collecting.rs"]
mod collecting;
#[path = "remote_config/configuration.rs"]
mod configuration;
#[path = "support/fresh_dir.rs"]
mod fresh_dir;
#[path = "remote_config/idle.rs"]
mod idle;
#[path = "support/machine.rs"]
mod machine;
#[path = "remote_config/pairs.rs"]
mod pairs;
#[path = "remote_config/policy.rs"]
mod policy;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/stamp.rs"]
mod stamp;
mod support;
#[path = "support/tentacle_server.rs"]
mod tentacle_server;
#[path = "remote_config/threads.rs"]
mod threads;
#[path = "support/usage.rs"]
mod usage;

use std::thread;
use std::time::Duration;

use machine::machine;
use support::{Result, clock};
use tentacle_server::BenchDir;

/// From one look at what has come of it to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest wait for anything.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How much of everything.
struct Scale {
    agents: usize,
    sites: usize,
    /// How long idle rounds are counted.
    idle: Duration,
    /// How long data comes, at least.
    data: Duration,
}

const FULL: Scale = Scale { agents: 1_000, sites: 20, idle: Duration::from_secs(20), data: Duration::from_secs(20) };

const SMOKE: Scale = Scale { agents: 20, sites: 3, idle: Duration::from_secs(3), data: Duration::from_secs(2) };

fn main() -> Result<()> {
    match support::role() {
        None => bench(if support::is_smoke() { &SMOKE } else { &FULL }),
        Some((role, args)) if role == collecting::ROLE => collecting::collect(&args),
        Some((_, args)) => relay::serve(&args),
    }
}

fn bench(scale: &Scale) -> Result<()> {
    let dir = BenchDir::new("remote-config-bench-", &support::place()?)?;
    println!("Agents' configuration, {} at each site, in {}", scale.agents, dir.path().to_string_lossy());
    if support::is_in_memory(dir.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    println!("{}", machine()?);
    idle::measure(scale, &dir)?;
    policy::measure(scale, &dir)
}

/// Waits until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = clock();
    while !is_so()? {
        if start.elapsed() > TIMEOUT {
            return Err(format!("waited in vain for {what}").into());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
