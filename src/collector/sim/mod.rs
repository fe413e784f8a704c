//! A deterministic simulation: the collector as it is, with its rounds, connections, retries and sessions, and the
//! commit protocol as it is, in a model world with a virtual clock: a network that cuts, stalls, reorders and chops;
//! sites with stock's server, which takes what one read brings for one command, some of them hostile, some whose listings lag; sites with ours, its sessions and its
//! storage as they are, spoken to as stock or in the extension, and agents that send their files to it until they get
//! the answer that they are stored; disks that fail and lose data, there and here; processes that die at any moment and
//! are started again; agents that write over their files; a data server that takes what it finds.
//!
//! Some sites use TLS, the real one at both ends and from the handshake on: with sessions that resume, with
//! certificates of the collector's own that are demanded or turned down, with servers that hang up without a message,
//! as stock's does, and with somebody on the way who ends connections that are not his. Some sites ask for a password,
//! and some of those have another one for a while. Agents send in the clear, and so does all in `crash_points`.
//!
//! After every step: a file that has left its site is safe at the centre, each published file is whole and is published
//! once, and one agent's files come oldest first. A file that our server has answered for is durable, there or at the
//! centre, unless a later file took its place; and no file at such a site is half a file. Each `SEND OK` is a
//! measurement, also where its name, size or bytes were there before; but one that comes while it is not certain that
//! an equal file of its name was deleted may pass for that one. In the end: all is collected. Some scenarios have
//! `delivery = "move"`, some `durability = "none"`: there, what these may cost is allowed, and no more. The [oracle]
//! has the precise words, and [server_oracle] those of our server. Under TLS, an end is orderly to its reader if it was
//! to its writer, and follows all that was written. A site whose certificate or password is wrong is reported with that
//! reason. Some lives have limits on bandwidth, which change in their minutes, and some sites are asked for fresh files
//! first.
//!
//! A file that is published more than once had come to its site more than once: sent again by an agent that got no
//! answer, or back after its removal was undone by a crash.
//!
//! Everything follows from a seed, except the random bytes of TLS, whose number does. `cargo test sim::` runs a few
//! scenarios, `SIM_SEEDS=100000 cargo test --release sim::` so many of one site and a thirtieth of fifty sites, and
//! `SIM_SEED=7 cargo test sim::one_site -- --nocapture` that one, and prints its events. With `SIM_EXTENSION=1` the
//! collector speaks the extension to all sites with our server, with `SIM_EXTENSION=0` to none. With
//! `SIM_COMPRESSION=1` it asks all sites for compression, with `SIM_PACKING=1` all of stock's servers know `ZRECV`, and with
//! `SIM_PIPELINING=1` it sends commands ahead to all others; with 0 none.

mod adapters;
mod agents;
mod buffer;
mod crash_points;
mod doubts;
mod link;
mod network;
mod oracle;
mod pki;
mod process;
mod run_counts;
mod scenario;
mod scheduler;
mod server;
mod server_oracle;
mod session;
mod socket;
mod stock;
mod verdict;
mod version;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use run_counts::RunCounts;
use scenario::{Scale, TestDirs, run_seed};
use scheduler::Trace;

use crate::store::model::settle_files;

/// So many of the last events are printed when a check fails.
const TOLD: usize = 250;

/// Scenarios of one site, unless `SIM_SEEDS` is set.
const LIVES: u64 = 60;

/// Seeds that are run twice: sites with names in them that have no time, and room for a few names only.
const REPEATED: [u64; 5] = [4, 6, 41, 43, 83];

/// A variable's number.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Runs the scenario of `SIM_SEED`, or those of the first seeds: so `few` of them, or as many more as `SIM_SEEDS` asks
/// for.
fn simulate(what: &str, few: u64, scale: Scale) -> RunCounts {
    let dirs = TestDirs::new();
    let mut sum = RunCounts::default();
    let seeds = match variable("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SIM_SEEDS").map_or(few, |seeds| (seeds * few).div_ceil(LIVES)),
    };
    for seed in seeds.clone() {
        let lived = catch_unwind(AssertUnwindSafe(|| run_seed(seed, scale, &dirs, Trace::default())));
        match lived {
            Ok(counts) => sum.add(&counts),
            Err(panic) => {
                print_trace(seed, scale, &dirs);
                resume_unwind(panic);
            }
        }
    }
    if let Some(seed) = variable("SIM_SEED") {
        print_trace(seed, scale, &dirs);
    }
    let RunCounts { steps, written, published, crashes, site_crashes, cuts, disk_errors, .. } = sum;
    let RunCounts { secured, resumed, unsecured, locked_out, .. } = sum;
    let RunCounts { repeated, reappeared, raced, torn, unflushed, mistaken, .. } = sum;
    println!(
        "simulation: {what}: seeds {}, steps {steps}, files {written}, published {published}, crashes {crashes}, \
         crashes of sites {site_crashes}, cuts {cuts}, TLS handshakes {secured}, {resumed} of them resumed, \
         {unsecured} more cut, rounds locked out {locked_out}, disk faults {disk_errors}; nothing lost or doubled, or this had ended; \
         repeated after an error of the disk's {repeated}, back at a site {reappeared}, raced {raced}, torn {torn}, \
         unflushed and gone {unflushed}, taken for an equal file whose deletion was not certain {mistaken}",
        seeds.count()
    );
    sum
}

/// Runs it once more, and prints its end; all of it where it was asked for.
fn print_trace(seed: u64, scale: Scale, dirs: &TestDirs) {
    let trace = Trace::kept();
    let _ = catch_unwind(AssertUnwindSafe(|| run_seed(seed, scale, dirs, trace.clone())));
    let lines = trace.lines();
    let reported = if variable("SIM_SEED").is_some() { lines.len() } else { TOLD.min(lines.len()) };
    lines[lines.len() - reported..].iter().for_each(|line| println!("{line}"));
}

#[test]
fn one_site_lives_through_anything() {
    let RunCounts { secured, unsecured, locked_out, .. } =
        simulate("one site", LIVES, Scale { sites: 1, bad: 0, rough: true });
    if variable("SIM_SEED").or(variable("SIM_SEEDS")).is_none() {
        assert!(secured > 0 && unsecured > 0 && locked_out > 0, "nothing has happened to TLS, or to passwords");
    }
}

#[test]
fn fifty_sites_live_through_anything() {
    simulate("fifty sites", 2, Scale { sites: 50, bad: 10, rough: true });
}

#[test]
fn the_same_seed_lives_the_same_life() {
    settle_files();
    let mut sum = RunCounts::default();
    let of_two = (0..4).map(|seed| (seed, 2));
    let more = 0..variable("SIM_SEEDS").map_or(0, |seeds| seeds / 10);
    let of_one = REPEATED.into_iter().chain(more).map(|seed| (seed, 1));
    for (seed, sites) in of_two.chain(of_one) {
        let traces = [Trace::kept(), Trace::kept()];
        for trace in &traces {
            // With other keys, each time.
            let dirs = TestDirs::new();
            sum.add(&run_seed(seed, Scale { sites, bad: 0, rough: true }, &dirs, trace.clone()));
        }
        let [first, second] = traces.map(|trace| trace.lines());
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        let at = differs.unwrap_or(first.len().min(second.len()));
        let before = &first[at.saturating_sub(6)..at];
        assert!(first == second, "seed {seed}: {before:#?}, then {:?} or {:?}", first.get(at), second.get(at));
    }
    assert!(sum.secured > 0, "none of them has TLS");
}

#[test]
fn bad_sites_delay_nobody() {
    let counts = simulate("fifty sites, half of them bad", 2, Scale { sites: 50, bad: 25, rough: false });
    assert!(counts.slowest < Duration::from_secs(36), "a file waited {:?}", counts.slowest);
}
