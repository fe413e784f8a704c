//! Collecting from hundreds of TLS sites: time, CPU, memory; what sites that hang cost the others; how much memory a
//! connection takes that waits for its next round.
//!
//! `cargo bench --bench sites [-- [DIRECTORY] [--data OPTIONS]]`: works in a fresh directory inside `DIRECTORY`, by default inside
//! the build directory; `--help` has the options. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! With `--data` it does something else: up to 10,000 TLS sites have a file and a round a minute each ([`data`]).
//!
//! The peers run in a process of their own, on the same processors, and each run of the collector in a fresh one: CPU and
//! memory are the collector's alone, and no run finds a heap that an earlier one has left. Cases that are compared take
//! turns, and each figure is the median of its runs.
//!
//! The cost of hanging sites shows in the healthy half of the sites: the time from the start until the last of them has
//! been collected from, with the other half healthy too, hanging after accept, and not there at all. The hanging ones
//! are started first, which is the worst order for the others. Against no others at all, the difference is the CPU that
//! starting a TLS connection takes.
#![expect(clippy::print_stdout, reason = "the tables are the point")]

#[path = "sites/chart.rs"]
mod chart;
#[path = "support/child_process.rs"]
mod child_process;
#[path = "sites/data.rs"]
mod data;
#[path = "support/fresh_dir.rs"]
mod fresh_dir;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/memory.rs"]
mod memory;
#[path = "support/peers.rs"]
mod peers;
#[path = "support/processor.rs"]
mod processor;
#[path = "sites/rounds.rs"]
mod rounds;
#[path = "support/settings.rs"]
mod settings;
mod support;
#[path = "support/svg.rs"]
mod svg;

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use data::{Also, Plan};
use fresh_dir::fresh_dir;
use memory::memory;
use peers::{Order, PeerConfig, Peers};
use processor::cpu_time;
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use settings::{settings, site};
use support::{Result, clock, median, verdict};
use tentacle_sync::collector::{Collector, Mode, RoundReport};
use tentacle_sync::config::{Settings, SiteSettings};
use tentacle_sync::net::Net;
use tentacle_sync::store::Durability;
use tentacle_sync::testing::fake_server::WritePattern;

/// How long a site may hang: longer than the others take, so that the hanging ones are there until the end.
const TIMEOUT: Duration = Duration::from_secs(5);

/// From one round of an idle site to the next: short enough for its connection to be kept.
const INTERVAL: Duration = Duration::from_secs(2);

/// Rounds of each site before its connection counts as idle: the first collects, the second finds nothing.
const ROUNDS: usize = 2;

/// What a process is started for: one round of each site.
const ONCE: &str = "once";

/// What a process is started for: keeping the connections.
const IDLE: &str = "idle";

/// Collecting from hundreds of TLS sites.
#[derive(Parser)]
struct Args {
    /// Where to work, instead of the build directory; this comes first.
    #[arg(id = "DIRECTORY")]
    _directory: Option<PathBuf>,
    /// Sites with a file a minute each, and nothing else.
    #[arg(long)]
    data: bool,
    /// How many sites, in TLS.
    #[arg(long, requires = "data", value_delimiter = ',', default_values_t = [100, 1_000, 3_000, 10_000])]
    sites: Vec<usize>,
    /// What else to measure, of the most of them.
    #[arg(long, requires = "data", value_delimiter = ',')]
    also: Vec<Also>,
    /// Draws a chart of CPU and memory.
    #[arg(long, requires = "data", value_name = "FILE")]
    svg: Option<PathBuf>,
    /// `cargo bench` gives this.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn plan(&self) -> Plan {
        let Self { sites, also, svg, .. } = self;
        Plan { sites: sites.clone(), interval: Duration::from_secs(60), also: also.clone(), svg: svg.clone() }
    }
}

/// How much of everything.
struct Scale {
    sites: usize,
    files: usize,
    runs: usize,
}

/// One way to collect, from this half or all of the sites.
#[derive(Clone, Copy)]
struct Case {
    sites: usize,
    /// The first so many of them.
    hanging: usize,
}

/// What one round of each site came to.
struct Figures {
    /// Until the last healthy site had been collected from, in seconds.
    done: f64,
    /// In seconds.
    cpu: f64,
    /// In KiB.
    peak: f64,
    /// In seconds.
    stall: f64,
}

/// The memory of a process, in KiB.
#[derive(Clone, Copy)]
struct Memory {
    resident: f64,
    /// Of that, what is not a file's.
    anonymous: f64,
}

fn main() -> Result<()> {
    match support::role() {
        None => bench(&Args::parse()),
        Some((role, args)) if role == rounds::ROLE => rounds::collect(&args),
        Some((role, args)) if role == ONCE => once(&Task::from_args(&args)?),
        Some((role, args)) if role == IDLE => idle(&Task::from_args(&args)?),
        Some((_, args)) => peers::serve(&args),
    }
}

fn bench(args: &Args) -> Result<()> {
    raise_descriptor_limit()?;
    let scale = if support::is_smoke() {
        Scale { sites: 10, files: 2, runs: 1 }
    } else {
        Scale { sites: 500, files: 6, runs: 7 }
    };
    let place = tempfile::Builder::new().prefix("sites-bench-").tempdir_in(support::place()?)?;
    if args.data && !support::is_smoke() {
        return data::measure(&args.plan(), place.path());
    }
    println!(
        "Collecting from TLS sites with {} files each, durably, in {}",
        scale.files,
        place.path().to_string_lossy()
    );
    if support::is_in_memory(place.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    if support::is_smoke() {
        data::measure(&Plan::smoke(place.path()), place.path())?;
    }
    let mut peers =
        Peers::start(PeerConfig { count: scale.sites, write: WritePattern::Whole, tls: true }, place.path())?;
    let (over_healthy, over_none) = beside_hanging(&scale, &mut peers, place.path())?;
    let each = at_rest(&scale, &mut peers, place.path())?;
    println!();
    println!("beside half that hang, against half that are not there: {:+.1} %", 100.0 * over_none);
    let figure = format!("{:+.1} %", 100.0 * over_healthy);
    verdict("<= 10 % longer for the healthy half when the other half hangs", &figure, over_healthy <= 0.1);
    verdict("< 32 KiB for each idle TLS site", &format!("{each:.1} KiB"), each < 32.0);
    Ok(())
}

/// Hundreds of connections need more descriptors than a shell allows at first; processes started later inherit this.
fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// By how much the healthy sites take longer when the others hang: over what they take when the others are healthy too,
/// and over what they take when there are no others.
fn beside_hanging(scale: &Scale, peers: &mut Peers, place: &Path) -> Result<(f64, f64)> {
    let half = scale.sites / 2;
    let [all, alone, beside] = [(scale.sites, 0), (half, 0), (scale.sites, half)];
    let cases = [all, alone, beside].map(|(sites, hanging)| Case { sites, hanging });
    let mut figures = cases.map(|_| Vec::new());
    for _ in 0..scale.runs {
        for (case, figures) in cases.iter().zip(&mut figures) {
            figures.push(Figures::of(*case, scale.files, peers, place)?);
        }
    }
    println!(
        "\n{:>6} {:>8} {:>13} {:>9} {:>12} {:>14}",
        "sites", "hanging", "healthy done", "CPU", "peak memory", "longest stall"
    );
    for (Case { sites, hanging }, runs) in cases.iter().zip(&figures) {
        let middle = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure));
        let (done, cpu) = (format!("{:.3} s", middle(|run| run.done)), format!("{:.3} s", middle(|run| run.cpu)));
        let peak = format!("{:.1} MiB", middle(|run| run.peak) / 1024.0);
        let stall = format!("{:.1} ms", 1e3 * runs.iter().map(|run| run.stall).fold(0.0, f64::max));
        println!("{sites:>6} {hanging:>8} {done:>13} {cpu:>9} {peak:>12} {stall:>14}");
    }
    let growth = |of: usize, over: usize| {
        median(figures[of].iter().zip(&figures[over]).map(|(longer, shorter)| longer.done / shorter.done - 1.0))
    };
    Ok((growth(2, 0), growth(2, 1)))
}

/// Memory for each connection that waits for its site's next round, in KiB, all that belongs to the site included.
fn at_rest(scale: &Scale, peers: &mut Peers, place: &Path) -> Result<f64> {
    let case = Case { sites: scale.sites, hanging: 0 };
    let mut runs = Vec::new();
    for _ in 0..scale.runs.min(3) {
        let samples = run(IDLE, case, scale.files, peers, place)?;
        let samples: Vec<Memory> =
            samples.chunks(2).map(|pair| Memory { resident: pair[0], anonymous: pair[1] }).collect();
        runs.push(samples);
    }
    println!("\n{:<38} {:>10} {:>12}", "memory", "resident", "of it heap");
    for (index, what) in
        ["warmed up", "all sites configured, none connected", "all sites connected, idle"].iter().enumerate()
    {
        let middle = |figure: fn(&Memory) -> f64| median(runs.iter().map(|samples| figure(&samples[index])));
        println!(
            "{what:<38} {:>6.0} KiB {:>8.0} KiB",
            middle(|memory| memory.resident),
            middle(|memory| memory.anonymous)
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let sites = scale.sites as f64;
    let each = |figure: fn(&Memory) -> f64| {
        median(runs.iter().map(|samples| (figure(&samples[2]) - figure(&samples[0])) / sites))
    };
    let (resident, anonymous) = (each(|memory| memory.resident), each(|memory| memory.anonymous));
    println!("{:<38} {resident:>6.1} KiB {anonymous:>8.1} KiB", "more, for each site");
    Ok(resident)
}

impl Figures {
    fn of(case: Case, files: usize, peers: &mut Peers, place: &Path) -> Result<Self> {
        let figures = run(ONCE, case, files, peers, place)?;
        let [done, cpu, peak, stall] = figures[..] else { return Err("a run has four figures".into()) };
        Ok(Self { done, cpu, peak, stall })
    }
}

/// Has another process do it; what it printed.
fn run(role: &str, case: Case, files: usize, peers: &mut Peers, place: &Path) -> Result<Vec<f64>> {
    peers.order(Order::Hang(case.hanging))?;
    peers.order(Order::Fill(files))?;
    let (dir, _) = fresh_dir(place)?;
    let addresses = &peers.addresses()[peers.addresses().len() - case.sites..];
    let ca = peers.ca().ok_or("sites have TLS")?;
    let output = support::again(role)?
        .args([dir.as_path(), ca])
        .args([case.hanging, files].map(|number| number.to_string()))
        .args(addresses.iter().map(SocketAddr::to_string))
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("a run failed: {}", output.status).into());
    }
    let figures = String::from_utf8(output.stdout)?;
    Ok(figures.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
}

/// What the process of a run is to collect.
struct Task {
    dir: PathBuf,
    hanging: usize,
    /// Waiting at each site.
    files: usize,
    sites: Vec<SiteSettings>,
}

impl Task {
    fn from_args(args: &[OsString]) -> Result<Self> {
        let [dir, ca, hanging, files, addresses @ ..] = args else { return Err("a run needs what it is to do".into()) };
        let [hanging, files] = [hanging, files].map(|number| number.to_string_lossy().parse());
        let dir = PathBuf::from(dir);
        let site = |(number, address): (usize, &OsString)| -> Result<SiteSettings> {
            let (name, address) = (format!("site-{number}"), address.to_string_lossy().parse()?);
            let mut site = site(&name, address, &dir.join("data_in"), Some(Path::new(ca)));
            site.timeout = TIMEOUT;
            site.interval = INTERVAL;
            Ok(site)
        };
        let sites = addresses.iter().enumerate().map(site).collect::<Result<_>>()?;
        Ok(Self { dir, hanging: hanging?, files: files?, sites })
    }

    fn settings(&self) -> Settings {
        settings(&self.dir, Durability::Fsync, self.sites.clone())
    }
}

/// One round of each site.
fn once(task: &Task) -> Result<()> {
    let settings = task.settings();
    let healthy = task.sites.len() - task.hanging;
    let done = Rc::new(RefCell::new(Vec::new()));
    let observer = {
        let done = Rc::clone(&done);
        Box::new(move |report: &RoundReport| {
            if report.failure.is_none() {
                done.borrow_mut().push((clock(), report.tally.moved));
            }
        })
    };
    let collector = Collector::new(Net::new()?, &settings, Mode::Once, observer)?;
    let (start, cpu) = (clock(), cpu_time()?);
    let stall = collector.run(settings.shutdown_timeout, |_, _| false)?.max_loop_latency;
    let cpu = cpu_time()?.saturating_sub(cpu);
    let done = done.borrow();
    let moved: usize = done.iter().map(|&(_, moved)| moved).sum();
    assert_eq!((done.len(), moved), (healthy, healthy * task.files), "healthy sites, and files gone there");
    let last = done.iter().map(|&(at, _)| at - start).max().unwrap_or_default();
    println!("{} {} {} {}", last.as_secs_f64(), cpu.as_secs_f64(), memory("self", "VmHWM")?, stall.as_secs_f64());
    Ok(())
}

/// Rounds that find nothing, until every connection has waited for one.
fn idle(task: &Task) -> Result<()> {
    let mut settings = task.settings();
    warm_up(&settings)?;
    let sites = settings.sites.len();
    // Connections at rest may take up half of the room.
    settings.max_connections = 2 * sites;
    settings.state_dir = Some(task.dir.join("idle-state"));
    let (before, sockets) = (Memory::now()?, sockets()?);
    let mut net = Net::new()?;
    net.take_signals(&[Signal::TERM.as_raw()])?;
    let seen = Rc::new(Cell::new(None));
    let observer = {
        let (seen, mut rounds) = (Rc::clone(&seen), 0);
        Box::new(move |report: &RoundReport| {
            assert!(report.failure.is_none(), "{report:?}");
            rounds += 1;
            if rounds == ROUNDS * sites {
                seen.set(Memory::now().ok().zip(self::sockets().ok()));
                kill_process(getpid(), Signal::TERM).expect("a process may signal itself");
            }
        })
    };
    let collector = Collector::new(net, &settings, Mode::Forever, observer)?;
    let configured = Memory::now()?;
    collector.run(settings.shutdown_timeout, |_, _| false)?;
    let (connected, open) = seen.get().ok_or("the memory could not be seen")?;
    assert!(open >= sockets + sites, "{} connections of {sites} are open", open - sockets);
    for Memory { resident, anonymous } in [before, configured, connected] {
        println!("{resident} {anonymous}");
    }
    Ok(())
}

/// Touches all the code there is.
fn warm_up(settings: &Settings) -> Result<()> {
    let settings = Settings { sites: settings.sites[..1].to_vec(), ..settings.clone() };
    Collector::new(Net::new()?, &settings, Mode::Once, Box::new(|_| {}))?
        .run(settings.shutdown_timeout, |_, _| false)?;
    Ok(())
}

impl Memory {
    fn now() -> Result<Self> {
        Ok(Self { resident: memory("self", "VmRSS")?, anonymous: memory("self", "RssAnon")? })
    }
}

/// Open sockets of this process.
fn sockets() -> Result<usize> {
    let is_socket = |entry: std::io::Result<fs::DirEntry>| {
        entry
            .and_then(|entry| fs::read_link(entry.path()))
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    Ok(fs::read_dir("/proc/self/fd")?.filter_map(|entry| is_socket(entry).then_some(())).count())
}
