//! What bad sites cost the others: how late their files come, beside hundreds of sites that are bad in every way.
//!
//! `cargo bench --bench isolation [-- DIRECTORY]`: works in a fresh directory inside `DIRECTORY`, by default inside the
//! build directory. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! 500 TLS sites, all on loopback in a process of their own. At 50 of them, the same in all cases, agents report once a
//! second. The other 450 are healthy, with nothing to be collected, or some of them are bad: they refuse, swallow, hang
//! at each phase, drip, send garbage, lie about sizes, list without end. So the least is to be done where none is bad,
//! which is what the others are compared with. Bad sites are retried as by default, and served by the same processors.
//!
//! A file's lateness is the time from its appearing at its site until it has its name here; most of it is the wait for
//! the site's next round. The first rounds, when all sites are connected to, are over before what is measured begins.
//! Cases take turns, and each figure is the median of its runs.
//!
//! # What came of it
//! Two shared cores, the sites on the same ones:
//!
//! | of 500, bad | 99 % of the files within | later by | loop's longest turn | CPU |
//! |---|---|---|---|---|
//! | 0 | 2,038 ms | | 15 ms | 7 % |
//! | 250 | 2,086 ms | 45 ms | 12 ms | 13 % |
//! | 450 | 2,058 ms | 29 ms | 11 ms | 18 % |
#![expect(clippy::print_stdout, reason = "the table is the point")]

#[path = "isolation/mischief.rs"]
mod mischief;
#[path = "support/other.rs"]
mod other;
#[path = "isolation/peers.rs"]
mod peers;
#[path = "support/processor.rs"]
mod processor;
#[path = "support/settings.rs"]
mod settings;
#[path = "isolation/stamp.rs"]
mod stamp;
mod support;

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use peers::{Crew, Peers};
use processor::cpu_time;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use settings::{fresh_dir, settings, site};
use support::{Result, median, verdict};
use tentacle_sync::config::defaults;
use tentacle_sync::net::Net;
use tentacle_sync::role::collect::{Collector, Mode};
use tentacle_sync::store::Durability;

/// What a process is started for: collecting until it is told to end.
const COLLECT: &str = "collect";

/// From one round of a site to its next.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long a site may hang.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of everything.
struct Extent {
    busy: usize,
    others: usize,
    /// How many of the others.
    bad: [usize; 3],
    /// Until each site has had some rounds.
    warm_up: Duration,
    measured: Duration,
    runs: usize,
}

const FULL: Extent = Extent {
    busy: 50,
    others: 450,
    bad: [0, 250, 450],
    warm_up: Duration::from_secs(5),
    measured: Duration::from_secs(15),
    runs: 3,
};

const SMOKE: Extent = Extent {
    busy: 5,
    others: 20,
    bad: [0, 10, 20],
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(1),
    runs: 1,
};

/// What a run came to; times are in ms.
struct Figures {
    files: usize,
    median: f64,
    /// 99 of 100 files are no later.
    late: f64,
    latest: f64,
    stall: f64,
    /// Of one processor.
    cpu: f64,
}

fn main() -> Result<()> {
    match support::role() {
        None => bench(if support::is_smoke() { &SMOKE } else { &FULL }),
        Some((role, args)) if role == COLLECT => collect(&args),
        Some((_, args)) => peers::serve(&args),
    }
}

fn bench(extent: &Extent) -> Result<()> {
    raise_descriptor_limit()?;
    let place = tempfile::Builder::new().prefix("isolation-bench-").tempdir_in(support::place()?)?;
    println!("Collecting each {} s from {} TLS sites,", INTERVAL.as_secs(), extent.busy + extent.others);
    println!("durably, in {}", place.path().display());
    if support::is_in_memory(place.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    let mut figures = extent.bad.map(|_| Vec::new());
    for _ in 0..extent.runs {
        for (bad, figures) in extent.bad.into_iter().zip(&mut figures) {
            figures.push(run(extent, bad, place.path())?);
        }
    }
    print(extent, &figures);
    println!();
    for (bad, runs) in extent.bad.iter().zip(&figures).skip(1) {
        judge(*bad, runs, &figures[0]);
    }
    Ok(())
}

fn print(extent: &Extent, figures: &[Vec<Figures>]) {
    println!(
        "\n{:>6} {:>6} {:>8} {:>11} {:>11} {:>11} {:>14} {:>6}",
        "bad", "of", "files", "median", "99 % <=", "latest", "longest stall", "CPU"
    );
    for (bad, runs) in extent.bad.iter().zip(figures) {
        let middle = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure));
        let [center, late, latest] = [middle(|run| run.median), middle(|run| run.late), middle(|run| run.latest)]
            .map(|ms| format!("{ms:.0} ms"));
        let files: usize = runs.iter().map(|run| run.files).sum();
        let stall = format!("{:.1} ms", middle(|run| run.stall));
        let cpu = format!("{:.0} %", 100.0 * middle(|run| run.cpu));
        let sites = extent.busy + extent.others;
        println!("{bad:>6} {sites:>6} {files:>8} {center:>11} {late:>11} {latest:>11} {stall:>14} {cpu:>6}");
    }
}

fn judge(bad: usize, runs: &[Figures], none_bad: &[Figures]) {
    let pairs = || runs.iter().zip(none_bad);
    let more = median(pairs().map(|(run, base)| run.late - base.late));
    let growth = median(pairs().map(|(run, base)| run.late / base.late - 1.0));
    let figure = format!("{more:+.0} ms, {:+.1} %", 100.0 * growth);
    let target = format!("beside {bad} bad sites, 99 % of the others' files <= 50 ms or 10 % later");
    verdict(&target, &figure, more <= 50.0 || growth <= 0.1);
}

/// Hundreds of connections need more descriptors than a shell allows at first; processes started later inherit this.
fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Fresh sites, and a fresh collector.
fn run(extent: &Extent, bad: usize, place: &Path) -> Result<Figures> {
    let (dir, spool) = fresh_dir(place)?;
    let mut peers = Peers::start(Crew { busy: extent.busy, quiet: extent.others - bad, bad }, &dir)?;
    let collecting = Collecting::start(&dir, &peers)?;
    thread::sleep(extent.warm_up);
    let appeared = peers.report(extent.measured)?;
    // The last file's round is due within an interval, a little more for the jitter.
    thread::sleep(2 * INTERVAL);
    let [stall, cpu] = collecting.stop()?;
    let latenesses = stamp::latenesses(&spool)?;
    assert_eq!(latenesses.len(), appeared, "files published of those that appeared");
    let quantile = |per_cent: usize| latenesses[(latenesses.len() - 1) * per_cent / 100];
    let [center, late, latest] = [50, 99, 100].map(quantile);
    Ok(Figures { files: appeared, median: center, late, latest, stall: 1e3 * stall, cpu })
}

/// The collector's process, which is killed unless it is stopped.
struct Collecting(Child);

impl Collecting {
    fn start(dir: &Path, peers: &Peers) -> Result<Self> {
        let mut command = support::again(COLLECT)?;
        command.arg(dir).arg(peers.ca()).args(peers.ports().iter().map(u16::to_string));
        Ok(Self(command.stdout(Stdio::piped()).spawn()?))
    }

    /// The longest stall of its loop in seconds, and what it took of a processor.
    fn stop(mut self) -> Result<[f64; 2]> {
        let id = Pid::from_raw(self.0.id().cast_signed()).ok_or("a child has an id")?;
        kill_process(id, Signal::TERM)?;
        let mut figures = String::new();
        self.0.stdout.take().ok_or("the collector's pipe is missing")?.read_to_string(&mut figures)?;
        let figures: Vec<f64> = figures.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        Ok(figures.try_into().map_err(|_| "the collector has failed")?)
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// What the collector's process does.
fn collect(args: &[OsString]) -> Result<()> {
    let [dir, ca, ports @ ..] = args else { return Err("a collector needs its directory and a CA".into()) };
    let (dir, ca) = (Path::new(dir), Path::new(ca));
    let equip = |(number, port): (usize, &OsString)| -> Result<_> {
        let mut site = site(&format!("site-{number}"), port.to_string_lossy().parse()?, &dir.join("data_in"), Some(ca));
        site.interval = INTERVAL;
        site.timeout = PATIENCE;
        site.retries = defaults::RETRIES;
        Ok(site)
    };
    let sites = ports.iter().enumerate().map(equip).collect::<Result<_>>()?;
    let settings = settings(dir, Durability::Fsync, sites);
    let mut net = Net::new()?;
    net.take_signals(&[Signal::TERM.as_raw()])?;
    let collector = Collector::new(net, &settings, Mode::Forever, Box::new(|_| {}))?;
    let (start, cpu) = (support::clock(), cpu_time()?);
    let stall = collector.run(settings.shutdown_timeout, |_, _| false)?.longest_turn;
    let cpu = cpu_time()?.saturating_sub(cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    println!("{} {cpu}", stall.as_secs_f64());
    Ok(())
}
