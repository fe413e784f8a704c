//! Collecting many agent files from one peer: what `TCP_QUICKACK`, durability, TLS and a second connection make of it; and large
//! ones from our server over TLS, against a bare loop of rustls that receives and writes.
//!
//! `cargo bench --bench collect [-- DIRECTORY]`: works in a fresh directory inside `DIRECTORY`, by default inside the build
//! directory. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! The peers run in a process of their own, on the same processors; CPU and memory are the collector's alone. Cases that
//! are compared take turns, and each figure is the median of its runs.
#![expect(clippy::print_stdout, reason = "the tables are the point")]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/fresh_dir.rs"]
mod fresh_dir;
#[path = "collect/large.rs"]
mod large;
#[path = "support/memory.rs"]
mod memory;
#[path = "support/peers.rs"]
mod peers;
#[path = "support/processor.rs"]
mod processor;
#[path = "support/settings.rs"]
mod settings;
mod support;
#[expect(dead_code, reason = "part of what benches share")]
#[path = "support/tentacle_server.rs"]
mod tentacle_server;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use fresh_dir::fresh_dir;
use large::Load;
use memory::memory;
use peers::{Order, PeerConfig, Peers};
use processor::cpu_time;
use settings::{settings, site};
use support::{Result, median, verdict};
use tentacle_sync::collector::{Collector, Mode, RoundReport};
use tentacle_sync::config::Settings;
use tentacle_sync::net::Net;
use tentacle_sync::store::Durability;
use tentacle_sync::testing::fake_server::WritePattern;

/// How much of everything.
struct Scale {
    files: usize,
    /// Where each file takes some 90 ms.
    slow_files: usize,
    runs: usize,
    large: Load,
}

/// One way to collect.
#[derive(Clone, Copy)]
struct Case {
    files: usize,
    quick_ack: bool,
    connections: usize,
    durability: Durability,
}

/// What a run came to.
#[derive(Clone, Copy)]
struct Figures {
    files_per_second: f64,
    /// Microseconds.
    cpu_per_file: f64,
    /// Milliseconds.
    stall: f64,
}

fn main() -> Result<()> {
    if let Some((_, args)) = support::role() {
        return peers::serve(&args);
    }
    let scale = if support::is_smoke() {
        Scale { files: 60, slow_files: 6, runs: 1, large: Load { files: 2, size: 1 << 20, runs: 1 } }
    } else {
        Scale { files: 3_000, slow_files: 200, runs: 7, large: Load { files: 16, size: 64 << 20, runs: 5 } }
    };
    let place = tempfile::Builder::new().prefix("collect-bench-").tempdir_in(support::place()?)?;
    println!("Collecting agent files of 0.5 to 5 KiB from one peer on loopback, in {}", place.path().to_string_lossy());
    if support::is_in_memory(place.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    let gain = acknowledging(&scale, place.path())?;
    let least = durable(&scale, place.path())?;
    let of_bare = large::large(scale.large, &support::place()?)?;
    println!("\npeak memory, all of the above: {:.1} MiB\n", memory("self", "VmHWM")? / 1024.0);
    verdict(">= 20x with TCP_QUICKACK", &format!("{gain:.0}x"), gain >= 20.0);
    verdict(">= 80 % of a bare loop with large files", &format!("{:.0} %", 100.0 * of_bare), of_bare >= 0.8);
    verdict(">= 40 % of the rate when durable", &format!("{:.0} % at the least", 100.0 * least), least >= 0.4);
    Ok(())
}

/// A peer that writes as stock does; how many times faster it is with `TCP_QUICKACK`.
fn acknowledging(scale: &Scale, place: &Path) -> Result<f64> {
    let mut peers = Peers::start(PeerConfig { count: 1, write: WritePattern::Stock, tls: false }, place)?;
    println!("\nStock's way to write: small pieces, Nagle's algorithm on. Plain, durable; files/s is scaled per file.");
    println!("{:>12} {:>12} {:>7} {:>9} {:>9}", "TCP_QUICKACK", "connections", "files", "files/s", "ms/file");
    let mut gains = Vec::new();
    for connections in [1, 2] {
        let base = Case { files: scale.files, quick_ack: true, connections, durability: Durability::Fsync };
        let cases = [base, Case { files: scale.slow_files, quick_ack: false, ..base }];
        let figures = take_turns(&cases, scale.runs.min(3), &mut peers, place)?;
        for (case, runs) in cases.iter().zip(&figures) {
            let rate = median(runs.iter().map(|run| run.files_per_second));
            let switch = if case.quick_ack { "on" } else { "off" };
            println!("{switch:>12} {connections:>12} {:>7} {rate:>9.0} {:>9.2}", case.files, 1e3 / rate);
        }
        gains.push(median(ratios(&figures[0], &figures[1])));
    }
    println!("ratio: {:.0}x with 1 connection, {:.0}x with 2", gains[0], gains[1]);
    Ok(gains.into_iter().fold(f64::INFINITY, f64::min))
}

/// A peer that writes each body at once; the smallest part of the undurable rate that is left when durable.
fn durable(scale: &Scale, place: &Path) -> Result<f64> {
    println!("\n{} files from a peer that writes each body at once.", scale.files);
    println!(
        "{:>6} {:>12} {:>8} {:>9} {:>12} {:>15} {:>14}",
        "peer", "connections", "durable", "files/s", "CPU us/file", "longest stall", "of undurable"
    );
    let mut least = f64::INFINITY;
    for tls in [false, true] {
        let mut peers = Peers::start(PeerConfig { count: 1, write: WritePattern::Whole, tls }, place)?;
        let cases: Vec<Case> = [1, 2]
            .into_iter()
            .flat_map(|connections| [Durability::None, Durability::Fsync].map(|durability| (connections, durability)))
            .map(|(connections, durability)| Case { files: scale.files, quick_ack: true, connections, durability })
            .collect();
        let figures = take_turns(&cases, scale.runs, &mut peers, place)?;
        for (cases, figures) in cases.chunks(2).zip(figures.chunks(2)) {
            let part = median(ratios(&figures[1], &figures[0]));
            least = least.min(part);
            let peer = if tls { "TLS" } else { "plain" };
            print_row(peer, cases[0], &figures[0], "");
            print_row(peer, cases[1], &figures[1], &format!("{:.0} %", 100.0 * part));
        }
    }
    Ok(least)
}

fn print_row(peer: &str, case: Case, runs: &[Figures], part: &str) {
    let durable = if case.durability == Durability::Fsync { "yes" } else { "no" };
    let rate = median(runs.iter().map(|run| run.files_per_second));
    let cpu = median(runs.iter().map(|run| run.cpu_per_file));
    let stall = format!("{:.1} ms", runs.iter().map(|run| run.stall).fold(0.0, f64::max));
    println!("{peer:>6} {:>12} {durable:>8} {rate:>9.0} {cpu:>12.0} {stall:>15} {part:>14}", case.connections);
}

/// How many times faster than its counterpart each of the runs was.
fn ratios(runs: &[Figures], counterparts: &[Figures]) -> impl Iterator<Item = f64> {
    runs.iter().zip(counterparts).map(|(run, counterpart)| run.files_per_second / counterpart.files_per_second)
}

/// Each case's runs. What disturbs one case for a while disturbs the others as well.
fn take_turns(cases: &[Case], runs: usize, peers: &mut Peers, place: &Path) -> Result<Vec<Vec<Figures>>> {
    let mut figures = vec![Vec::with_capacity(runs); cases.len()];
    for _ in 0..runs {
        for (case, figures) in cases.iter().zip(&mut figures) {
            figures.push(collect(*case, peers, place)?);
        }
    }
    Ok(figures)
}

fn collect(case: Case, peers: &mut Peers, place: &Path) -> Result<Figures> {
    peers.order(Order::Fill(case.files))?;
    let (dir, spool) = fresh_dir(place)?;
    let mut site = site("bench", peers.addresses()[0], &spool, peers.ca());
    site.connections = case.connections;
    site.quickack = case.quick_ack;
    let settings = settings(&dir, case.durability, vec![site]);
    let (start, cpu) = (support::clock(), cpu_time()?);
    let (moved, stall) = run(&settings)?;
    let (took, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
    let left = peers.order(Order::Count)?;
    assert_eq!((moved, left), (case.files, 0), "files gone from the site, files left there");
    Ok(Figures {
        files_per_second: per(case.files, took.as_secs_f64()),
        cpu_per_file: 1e6 / per(case.files, cpu.as_secs_f64()),
        stall: milliseconds(stall),
    })
}

/// Collects once. How many files are gone from the sites, and the longest that anything ready had to wait for the loop.
fn run(settings: &Settings) -> Result<(usize, Duration)> {
    let moved = Rc::new(Cell::new(0));
    let observer = {
        let moved = Rc::clone(&moved);
        Box::new(move |report: &RoundReport| moved.set(moved.get() + report.tally.moved))
    };
    let collector = Collector::new(Net::new()?, settings, Mode::Once, observer)?;
    let stall = collector.run(settings.shutdown_timeout, |_, _| false)?.max_loop_latency;
    Ok((moved.get(), stall))
}

fn per(files: usize, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let files = files as f64;
    files / seconds
}

fn milliseconds(duration: Duration) -> f64 {
    1e3 * duration.as_secs_f64()
}
