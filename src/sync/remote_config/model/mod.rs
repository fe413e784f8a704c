//! A model of sites with agents, and of the centre with its console, in which anything happens between any two steps of a
//! round, and rounds are cut off. Everything follows from a seed.
//!
//! `SIM_SEEDS=10000 cargo test --release remote_config::model` runs so many seeds, `SIM_SEED=7 cargo test
//! remote_config::model -- --nocapture` that one, with all that happens in it.

mod agent;
mod console;
mod directory;
mod end;
mod oracle;
mod place;
mod site;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub(super) use directory::{Directory, deletion};
pub(super) use site::Site;
use world::{Tally, World};

/// Lives, unless `SIM_SEEDS` gives another number.
const LIVES: u64 = 200;

/// So many of the last events are printed when something does not hold.
const SHOWN: usize = 150;

/// A variable's number.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Runs it once more, and prints the last `shown` events.
fn show(seed: u64, shown: usize) {
    let mut world = World::new(seed, true);
    drop(catch_unwind(AssertUnwindSafe(|| world.run())));
    let lines = world.trace.unwrap_or_default();
    lines[lines.len().saturating_sub(shown)..].iter().for_each(|line| println!("{line}"));
    println!("seed {seed}");
}

#[test]
fn sites_come_to_have_what_the_centre_has_whatever_happens() {
    let only = variable("SIM_SEED");
    let seeds = only.map_or_else(|| 0..variable("SIM_SEEDS").unwrap_or(LIVES), |seed| seed..seed + 1);
    let mut sum = Tally::default();
    for seed in seeds.clone() {
        let lived = catch_unwind(|| World::new(seed, false).run());
        if lived.is_err() || only.is_some() {
            show(seed, if only.is_some() { usize::MAX } else { SHOWN });
        }
        sum.add_all(lived.unwrap_or_else(|panic| resume_unwind(panic)));
    }
    println!("remote configuration: seeds {}, {sum:?}", seeds.count());
    if only.is_none() {
        assert!(sum.is_full(), "something has never happened: {sum:?}");
    }
}
