//! `tentacle_server` at work, and beside it the stock server where `STOCK_TENTACLE_SERVER` names it: storing from many
//! clients, listing and moving out, stock's client's way to send, idle connections, dripping clients, a large file.
//!
//! `[STOCK_TENTACLE_SERVER=PROGRAM] cargo bench --bench server [-- DIRECTORY]`: works in a fresh directory inside
//! `DIRECTORY`, by default inside the build directory. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! The servers are real processes, started anew for each run with the same options; as root, they run as another user,
//! who must be able to enter the directory. The clients are a process of their own on the same processors; CPU and memory
//! are the server's alone. Cases that are compared take turns, and each figure is the median of its runs.
//!
//! # What came of it
//! Two cores and a virtual disk (ext4 without a journal), both shared with other programs; files a second. The disk by
//! itself did 1,786 when each file was flushed, renamed and its directory flushed, one after the other.
//!
//! | 3,000 files, a connection for each, plain / TLS | ours | ours, not durable | stock (not durable) |
//! |---|---|---|---|
//! | 1 client | 1,211 / 883 | 3,367 / 1,358 | 58 / 10 |
//! | 10 clients | 3,335 / 1,872 | 9,638 / 2,679 | 51 / 27 |
//! | 100 clients | 6,146 / 2,145 | 7,915 / 2,536 | 56 / 28 |
//!
//! That is how agents send: ours is 22 to 110 times as fast with every file flushed, 62 to 180 times at equal durability.
//! Once its process has started, and where its answers wait for no acknowledgement, a stock server that flushes nothing is
//! quick, and ten times that is out of reach: making the file alone takes the kernel some 20 us.
//!
//! | 3,000 files, connections kept, plain / TLS | ours | ours, not durable | stock (not durable) |
//! |---|---|---|---|
//! | 1 client | 1,578 / 1,505 | 4,299 / 4,050 | 3,897 / 3,258 |
//! | 10 clients | 3,973 / 4,296 | 15,860 / 17,902 | 13,343 / 11,250 |
//! | 100 clients | 14,096 / 14,379 | 24,760 / 19,668 | 12,732 / 8,537 |
//! | peak memory, 100 clients | 4.9 / 7.6 MiB | 4.5 / 7.2 MiB | 399 / 660 MiB |
//!
//! | | ours | stock | |
//! |---|---|---|---|
//! | sent as stock's client does, 1 client | 1,335 | 24 | 56x |
//! | listed and moved out in lock-step, plain / TLS | 20,652 / 13,536 | 22 / 22 | 931x / 615x |
//! | listed and collected by our daemon, plain / TLS | 5,296 / 3,720 | 1,382 / 859 | 4.0x / 4.4x |
//! | memory of an idle connection, plain / TLS | 0.8 / 8.3 KiB | 3,852 / 6,330 KiB | |
//!
//! Beside 100 clients that drip a byte a second, another one was at 93 % of its rate without them, at stock at 72 %. 1 GiB
//! left the plain server at 2,027 MiB/s, a bare `sendfile` loop at 1,351 MiB/s, as much as the two differ from run to run;
//! the server took no more memory for it.
#![expect(clippy::print_stdout, reason = "the tables are the point")]

#[path = "server/blocking_client.rs"]
mod blocking_client;
#[path = "server/clients.rs"]
mod clients;
#[path = "server/concurrent_clients.rs"]
mod concurrent_clients;
#[path = "server/connection.rs"]
mod connection;
#[path = "support/data_files.rs"]
mod data_files;
#[path = "support/fresh_dir.rs"]
mod fresh_dir;
#[path = "support/memory.rs"]
mod memory;
#[path = "server/run.rs"]
mod run;
#[path = "server/sendfile_baseline.rs"]
mod sendfile_baseline;
#[path = "support/settings.rs"]
mod settings;
#[path = "server/storage.rs"]
mod storage;
mod support;
#[path = "support/tentacle_server.rs"]
mod tentacle_server;
#[path = "support/usage.rs"]
mod usage;

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use clients::{Clients, LARGE, Op, have};
use data_files::{files_in, wait_until_empty};
use fresh_dir::fresh_dir;
use memory::memory;
use run::{Run, print_heading, print_row, print_rows, ratio, take_turns};
use sendfile_baseline::SendfileServer;
use settings::{settings, site};
use storage::filled;
use support::{Result, median, verdict};
use tentacle_server::{BenchDir, Make, Server};
use tentacle_sync::collector::{Collector, Mode, RoundReport};
use tentacle_sync::net::Net;
use tentacle_sync::store::Durability;
use usage::cpu_time;

/// Ours as it is by default.
const OURS: Make = Make::Ours(Durability::Fsync);

/// How much of everything.
struct Scale {
    files: usize,
    crowds: &'static [usize],
    /// With a connection for each.
    leaving_files: usize,
    /// Where each file takes some 30 ms.
    slow_files: usize,
    idle: usize,
    /// Stock takes megabytes for each.
    idle_at_stock: usize,
    dripping: usize,
    /// Bytes.
    large: u64,
    runs: usize,
}

const FULL: Scale = Scale {
    files: 3_000,
    crowds: &[1, 10, 100],
    leaving_files: 1_000,
    slow_files: 60,
    idle: 1_000,
    idle_at_stock: 100,
    dripping: 100,
    large: 1 << 30,
    runs: 5,
};

const SMOKE: Scale = Scale {
    files: 60,
    crowds: &[1, 10],
    leaving_files: 60,
    slow_files: 4,
    idle: 20,
    idle_at_stock: 4,
    dripping: 10,
    large: 16 << 20,
    runs: 1,
};

fn main() -> Result<()> {
    match support::role() {
        None => bench(if support::is_smoke() { &SMOKE } else { &FULL }),
        Some((role, args)) if role == sendfile_baseline::ROLE => sendfile_baseline::serve(&args),
        Some((role, args)) if role == clients::ROLE => clients::serve(&args),
        Some((role, _)) => Err(format!("{} is no role", role.to_string_lossy()).into()),
    }
}

fn bench(scale: &Scale) -> Result<()> {
    let dir = BenchDir::new("server-bench-", &support::place()?)?;
    println!("Tentacle servers with agent files of 0.5 to 5 KiB, in {}", dir.path().to_string_lossy());
    if support::is_in_memory(dir.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    if !Make::all().contains(&Make::Stock) {
        println!("(STOCK_TENTACLE_SERVER names no stock server to compare with.)");
    }
    storing(scale, &dir)?;
    leaving(scale, &dir)?;
    moving(scale, &dir)?;
    as_stock_sends(scale, &dir)?;
    idle(scale, &dir)?;
    beside_dripping(scale, &dir)?;
    large(scale, &dir)
}

/// `SEND` in lock-step on connections that are kept, with all they need to begin with behind them.
fn storing(scale: &Scale, dir: &BenchDir) -> Result<()> {
    println!("\nThe disk by itself, fsync, rename, fsync for each file: {:.0} files/s", disk_alone(scale, dir)?);
    print_heading("Storing, connections kept");
    let minimum = least_ratios(scale.crowds, scale.runs, |make, tls, clients| {
        store(make, tls, Op::Send { clients, files: scale.files }, dir)
    })?;
    minimum.judge("connections kept");
    Ok(())
}

/// A connection for each file, as stock's client, ours, and so all agents do.
fn leaving(scale: &Scale, dir: &BenchDir) -> Result<()> {
    print_heading("Storing, a connection for each file");
    let minimum = least_ratios(scale.crowds, scale.runs.min(3), |make, tls, clients| {
        let files = if make == Make::Stock { scale.slow_files.max(2 * clients) } else { scale.leaving_files };
        store(make, tls, Op::SendAndLeave { clients, files }, dir)
    })?;
    minimum.judge("a connection for each file");
    Ok(())
}

/// Has clients send all their files to a server of its own.
fn store(make: Make, tls: bool, op: Op, dir: &BenchDir) -> Result<Run> {
    let storage = dir.storage()?;
    let run = Run::of(make, tls, op, &storage, dir)?;
    assert_eq!(Some(files_in(&storage)?), op.files(), "files stored");
    Ok(run)
}

/// Compares all servers, plain and in TLS, with each number of clients.
fn least_ratios(crowds: &[usize], runs: usize, run: impl Fn(Make, bool, usize) -> Result<Run>) -> Result<Minimum> {
    let makes = Make::all();
    let mut minimum = Minimum::default();
    for tls in [false, true] {
        for &clients in crowds {
            let figures = take_turns(&makes, runs, |make| run(make, tls, clients))?;
            let what = format!("{clients} clients, {}", if tls { "TLS" } else { "plain" });
            minimum.extend(print_rows(&what, &makes, &figures));
        }
    }
    Ok(minimum)
}

/// How our files/s compare with stock's, which is never durable, where they do so worst: ours durable, and not.
#[derive(Default)]
struct Minimum(Option<(f64, f64)>);

impl Extend<(f64, f64)> for Minimum {
    fn extend<I: IntoIterator<Item = (f64, f64)>>(&mut self, ratios: I) {
        let both = |(a, b): (f64, f64), (c, d)| (a.min(c), b.min(d));
        self.0 = self.0.into_iter().chain(ratios).reduce(both);
    }
}

impl Minimum {
    /// Prints nothing where there was no stock server.
    fn judge(&self, kind: &str) {
        let Some((durable, undurable)) = self.0 else { return };
        println!();
        let figure = |ratio| format!("{ratio:.1}x at the least");
        verdict(&format!("{kind}: >= 10x stock's files/s, neither durable"), &figure(undurable), undurable >= 10.0);
        verdict(&format!("{kind}: > 1x stock's files/s, ours durable"), &figure(durable), durable > 1.0);
    }
}

/// Everything is listed and leaves the storage. Stock takes 40 ms for each file of a client in lock-step.
fn moving(scale: &Scale, dir: &BenchDir) -> Result<()> {
    let makes = Make::by_default();
    print_heading("Listing and moving out");
    for tls in [false, true] {
        let protocol = if tls { "TLS" } else { "plain" };
        let figures = take_turns(&makes, scale.runs.min(3), |make| {
            let files = if make == Make::Stock { scale.slow_files } else { scale.files };
            Run::of(make, tls, Op::Move, &filled(files, dir)?, dir)
        })?;
        print_rows(&format!("lock-step, {protocol}"), &makes, &figures);
        let figures = take_turns(&makes, scale.runs.min(3), |make| collect(make, tls, scale.files, dir))?;
        print_rows(&format!("our daemon, {protocol}"), &makes, &figures);
    }
    Ok(())
}

/// Our own daemon fetches, makes durable and deletes all of it.
fn collect(make: Make, tls: bool, files: usize, dir: &BenchDir) -> Result<Run> {
    let storage = filled(files, dir)?;
    let server = Server::start(make, tls, &storage, dir, &[])?;
    let (dir, spool) = fresh_dir(dir.path())?;
    let address = server.address();
    let site = site("bench", address.tcp, &spool, address.ca.as_deref());
    let settings = settings(&dir, Durability::Fsync, vec![site]);
    let observer = Box::new(|report: &RoundReport| assert!(report.failure.is_none(), "{report:?}"));
    let collector = Collector::new(Net::new()?, &settings, Mode::Once, observer)?;
    let (start, cpu) = (support::clock(), cpu_time(server.id())?);
    collector.run(settings.shutdown_timeout, |_, _| false)?;
    let seconds = start.elapsed().as_secs_f64();
    wait_until_empty(&storage)?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let files = files as f64;
    Ok(Run {
        files_per_second: files / seconds,
        cpu_per_file: 1e6 * cpu_time(server.id())?.saturating_sub(cpu).as_secs_f64() / files,
        peak: memory(&server.id().to_string(), "VmHWM")? / 1024.0,
    })
}

/// Files a second that a lone client's server could store durably if it had nothing else to do.
fn disk_alone(scale: &Scale, dir: &BenchDir) -> Result<f64> {
    let (storage, files) = (dir.storage()?, scale.slow_files);
    let (directory, temp) = (File::open(&storage)?, storage.join("draft"));
    let start = support::clock();
    for (name, bytes) in clients::files(files) {
        let mut file = File::create(&temp)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&temp, storage.join(name))?;
        directory.sync_all()?;
    }
    Ok(per_second(files, start.elapsed()))
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn per_second(files: usize, took: Duration) -> f64 {
    files as f64 / took.as_secs_f64()
}

/// Pieces of 1 KiB, Nagle's algorithm on.
fn as_stock_sends(scale: &Scale, dir: &BenchDir) -> Result<()> {
    let makes = Make::by_default();
    print_heading("Storing, sent as stock's client does");
    let op = Op::SendAsStock { files: scale.slow_files };
    let figures = take_turns(&makes, scale.runs.min(3), |make| Run::of(make, false, op, &dir.storage()?, dir))?;
    if let Some((gain, _)) = print_rows("1 client, plain", &makes, &figures) {
        println!();
        verdict(">= 10x stock's files/s from stock's client", &format!("{gain:.0}x"), gain >= 10.0);
    }
    Ok(())
}

/// Memory for each connection that has stored a file and waits.
fn idle(scale: &Scale, dir: &BenchDir) -> Result<()> {
    println!("\n{:<24} {:<18} {:>8} {:>12} {:>10}", "Idle connections", "", "number", "KiB each", "peak MiB");
    let mut figures = Vec::new();
    for tls in [false, true] {
        let protocol = if tls { "TLS" } else { "plain" };
        for make in Make::by_default() {
            let clients = if make == Make::Stock { scale.idle_at_stock } else { scale.idle };
            let runs = (0..scale.runs.min(3)).map(|_| memory_of_idle(make, tls, clients, dir));
            let runs = runs.collect::<Result<Vec<_>>>()?;
            let each = median(runs.iter().map(|(each, _)| *each));
            let peak = median(runs.iter().map(|(_, peak)| *peak)) / 1024.0;
            println!("{protocol:<24} {:<18} {clients:>8} {each:>12.1} {peak:>10.1}", make.name());
            if make == OURS {
                figures.push(each);
            }
        }
    }
    println!();
    for (what, each, most) in [("plain", figures[0], 4.0), ("TLS", figures[1], 32.0)] {
        verdict(&format!("<= {most} KiB for an idle {what} connection"), &format!("{each:.1} KiB"), each <= most);
    }
    Ok(())
}

/// What each connection adds to what the server has once it has seen one, and the most it had, in KiB.
fn memory_of_idle(make: Make, tls: bool, clients: usize, dir: &BenchDir) -> Result<(f64, f64)> {
    let server = Server::start(make, tls, &dir.storage()?, dir, &[])?;
    have(Op::Stay { clients: 1 }, server.address())?;
    let before = memory(&server.id().to_string(), "VmRSS")?;
    let mut staying = Clients::ready(Op::Stay { clients }, server.address())?;
    staying.run()?;
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    let each = (memory(&server.id().to_string(), "VmRSS")? - before) / clients as f64;
    Ok((each, memory(&server.id().to_string(), "VmHWM")?))
}

/// Another client's files, while many others drip a byte a second, and without those; the disk is left out of it.
fn beside_dripping(scale: &Scale, dir: &BenchDir) -> Result<()> {
    print_heading(&format!("Storing beside {} drippers", scale.dripping));
    let op = Op::Send { clients: 1, files: scale.files };
    for make in Make::all().into_iter().filter(|make| *make != OURS) {
        let figures = take_turns(&[false, true], scale.runs, |dripping| {
            let server = Server::start(make, false, &dir.storage()?, dir, &[])?;
            let drip = Op::Drip { clients: scale.dripping };
            let mut dripping = dripping.then(|| Clients::ready(drip, server.address())).transpose()?;
            if let Some(dripping) = &mut dripping {
                dripping.run()?;
            }
            Run::going(&mut Clients::ready(op, server.address())?, &server)
        })?;
        print_row("without", make, &figures[0], None);
        print_row("beside them", make, &figures[1], None);
        if make != Make::Stock {
            let part = ratio(&figures[1], &figures[0]);
            verdict("as fast beside drippers (>= 90 %)", &format!("{:.0} %", 100.0 * part), part >= 0.9);
        }
    }
    Ok(())
}

/// A large file out of the plain server, against a bare loop around `sendfile`.
fn large(scale: &Scale, dir: &BenchDir) -> Result<()> {
    let storage = dir.storage()?;
    let file = storage.join(LARGE);
    File::create(&file)?.set_len(scale.large)?;
    let (server, baseline) = (Server::start(OURS, false, &storage, dir, &[])?, SendfileServer::start(&file)?);
    // The first time brings the file into memory.
    have(Op::Receive, &baseline.address)?;
    let before = memory(&server.id().to_string(), "VmRSS")?;
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..scale.runs {
        for (address, rates) in [server.address(), &baseline.address].into_iter().zip(&mut rates) {
            rates.push(have(Op::Receive, address)?.per_second() / f64::from(1 << 20));
        }
    }
    let part = median(rates[0].iter().zip(&rates[1]).map(|(ours, baseline)| ours / baseline));
    let growth = memory(&server.id().to_string(), "VmHWM")? - before;
    let [ours, baseline] = rates.map(median);
    println!(
        "\n{} MiB out of the plain server: {ours:.0} MiB/s, a bare sendfile loop: {baseline:.0} MiB/s",
        scale.large >> 20
    );
    verdict(">= 90 % of sendfile's rate", &format!("{:.0} %", 100.0 * part), part >= 0.9);
    verdict("<= 1 MiB more memory for it", &format!("{growth:.0} KiB"), growth <= 1024.0);
    Ok(())
}
