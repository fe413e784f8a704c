//! Rounds that find nothing to do.

use std::collections::BTreeMap;
use std::ops::{Add, Sub};
use std::thread;
use std::time::Duration;

use super::collecting::Collecting;
use super::configuration::Configuration;
use super::fresh_dir::fresh_dir;
use super::pairs::{Agent, Pairs};
use super::relay::{Line, OfCommand, QUESTION, Relay};
use super::tentacle_server::{BenchDir, Make, Server};
use super::{Scale, wait_until};
use crate::support::{Result, verdict};

/// The filters that a buffer has.
pub(crate) const FILTERS: [&str; 2] = ["-i", r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections"];

/// What is asked for where data is listed: of stock, and of ours; and whether it is ours.
const DATA: [&str; 3] = ["LS <>", "LIST <>", QUESTION];

/// A round that says nothing for so long has ended: on loopback, nothing waits for so long.
const QUIET: Duration = Duration::from_millis(200);

/// Configurations that are compared in a round though they are believed to be in step; each is two files.
const ROTATION: u64 = 16;

pub(crate) fn measure(scale: &Scale, dir: &BenchDir) -> Result<()> {
    println!("\nA round that finds nothing to do, on the wire");
    println!(
        "{:<8} {:>7} {:>9} {:>8} {:>12} {:>13} {:>12}",
        "", "rounds", "listings", "bodies", "round trips", "bytes there", "bytes back"
    );
    let mut most: f64 = 0.0;
    for make in Make::by_default() {
        let commands = count(make, scale, dir)?;
        let all = commands.values().fold(OfCommand::default(), |all, of| all + *of);
        let (listings, bodies) = (listings(&commands), bodies(&commands));
        assert_eq!(listings + bodies, all.count, "nothing but listings and files: {commands:?}");
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        let each = |figure: u64| figure as f64 / listings.max(1) as f64;
        println!(
            "{:<8} {listings:>7} {:>9.1} {:>8.1} {:>12.1} {:>13.0} {:>12.0}",
            make.name(),
            each(listings),
            each(bodies),
            each(all.turns),
            each(all.up),
            each(all.down)
        );
        most = most.max(each(bodies));
    }
    println!();
    let figure = format!("{most:.1} at the most");
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let is_met = most <= 2.0 * ROTATION as f64;
    verdict(&format!("one listing, and <= {ROTATION} pairs of files of it"), &figure, is_met);
    Ok(())
}

/// Those of configuration, in stock's protocol or over the extension.
fn listings(commands: &BTreeMap<String, OfCommand>) -> u64 {
    let is_one = |command: &str| ["LS <", "LIST <"].iter().any(|verb| command.starts_with(verb));
    commands.iter().filter(|(command, _)| is_one(command)).map(|(_, of)| of.count).sum()
}

/// Files that were asked for, in either.
fn bodies(commands: &BTreeMap<String, OfCommand>) -> u64 {
    ["RECV", "GET"].iter().filter_map(|verb| commands.get(*verb)).map(|of| of.count).sum()
}

/// What rounds of some seconds carry once all is in step.
fn count(make: Make, scale: &Scale, dir: &BenchDir) -> Result<BTreeMap<String, OfCommand>> {
    let (near, incoming) = fresh_dir(dir.path())?;
    let storage = dir.storage()?;
    let (centre, site) = (Pairs::make(&incoming)?, Pairs::make(&storage)?);
    for agent in (0..scale.agents).map(|number| Agent { site: 0, number }) {
        centre.save(agent, &agent.conf("first"))?;
        site.upload(agent, &agent.conf("first"))?;
    }
    let server = Server::start(make, false, &storage, dir, &FILTERS)?;
    let mut relay = Relay::start(Line::default(), server.address().tcp)?;
    let mut configuration = Configuration::new(&near, 1);
    configuration.add(0, relay.address().port(), None);
    let mut collecting = Collecting::start(&near, configuration.text())?;
    let log = |error| format!("{error}; the log is {}", collecting.log().to_string_lossy());
    wait_until("all to be in step", || Ok(configuration.in_step(0)? == scale.agents)).map_err(log)?;
    let before = carried_when_quiet(&mut relay)?;
    thread::sleep(scale.idle);
    let mut commands = carried_when_quiet(&mut relay)?;
    for (command, of) in &mut commands {
        *of = *of - before.get(command).copied().unwrap_or_default();
    }
    collecting.stop(super::TIMEOUT)?;
    Ok(commands)
}

/// What was carried until a round has ended.
fn carried_when_quiet(relay: &mut Relay) -> Result<BTreeMap<String, OfCommand>> {
    loop {
        let before = carried(relay)?;
        thread::sleep(QUIET);
        if carried(relay)? == before {
            return Ok(before);
        }
    }
}

/// What was carried so far, but for data.
fn carried(relay: &mut Relay) -> Result<BTreeMap<String, OfCommand>> {
    let mut commands = relay.counts()?.commands;
    commands.retain(|command, _| !DATA.contains(&command.as_str()));
    Ok(commands)
}

impl Add for OfCommand {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            up: self.up + other.up,
            down: self.down + other.down,
            turns: self.turns + other.turns,
        }
    }
}

impl Sub for OfCommand {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            up: self.up - other.up,
            down: self.down - other.down,
            turns: self.turns - other.turns,
        }
    }
}
