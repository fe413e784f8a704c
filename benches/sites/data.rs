//! Up to thousands of sites, each with a file in each interval: is the schedule kept, is there a storm at the start, what do
//! the sites take, and what does it cost to ask for their status ten times a second?
//!
//! The first file waits at each site when the collector starts, and the second one from the time on at which all have had
//! their first round. How late a round begins is the collector's own figure. CPU and lateness afterwards are those of the
//! second rounds: what was used until each site must have had its second one, divided by the rounds that began meanwhile, is
//! what a round takes; a site has one in each interval. All but the largest number of sites are measured at the same time.
//!
//! Each site has an address in 127.1.0.0/16, and a thread of the peers' process: that takes as many threads and descriptors
//! (`/proc/sys/kernel/threads-max`, `ulimit -Hn`).

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tentacle_sync::control::{Answer, Command};
use tentacle_sync::testing::fake_server::WritePattern;

use super::chart;
use super::child_process::ChildProcess;
use super::fresh_dir::fresh_dir;
use super::machine::machine;
use super::peers::{Order, PeerConfig, Peers};
use super::rounds::{ASKED, NONE, ROLE, SOCKET};
use crate::support::{self, Result, verdict};

/// From one time that the status of all sites is asked for to the next.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// Connections that are opened in any second of the start, at the most.
const MOST_IN_A_SECOND: usize = 300;

/// What is measured of the most sites besides.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Also {
    /// The same in plain.
    Plain,
    /// The same, with the status of all asked for ten times a second.
    Status,
}

/// What is to be measured.
pub(crate) struct Plan {
    /// How many sites, in TLS.
    pub(crate) sites: Vec<usize>,
    pub(crate) interval: Duration,
    pub(crate) also: Vec<Also>,
    /// Where the chart goes.
    pub(crate) svg: Option<PathBuf>,
}

impl Plan {
    /// A little of everything.
    pub(crate) fn smoke(place: &Path) -> Self {
        let svg = Some(place.join("sites.svg"));
        Self { sites: vec![10, 20], interval: Duration::from_secs(1), also: vec![Also::Plain, Also::Status], svg }
    }
}

/// One way to run.
#[derive(Clone, Copy)]
struct Case {
    sites: usize,
    tls: bool,
    /// Whether the status of all sites is asked for all the time.
    is_asked: bool,
    interval: Duration,
}

/// What a run came to; times without a unit are in ms.
pub(crate) struct Figures {
    pub(crate) sites: usize,
    files: usize,
    failed: usize,
    /// The most first rounds that began within a second: each opens a connection.
    burst: usize,
    /// The latest first round's.
    late_at_start: f64,
    /// From the first of the first rounds to their end, in seconds.
    start: f64,
    /// Half of the second rounds, 99 of 100 and all of them were no later than this.
    late: [f64; 3],
    /// Of one processor.
    pub(crate) cpu: f64,
    /// Of the process, in KiB: without sites, and with them after two rounds.
    memory: [f64; 2],
    turn: f64,
    /// Whole answers with the status of all sites.
    answers: usize,
}

pub(crate) fn measure(plan: &Plan, place: &Path) -> Result<()> {
    println!(
        "A file and a round in each {} s at each site, durably, in {}",
        plan.interval.as_secs(),
        place.to_string_lossy()
    );
    if support::is_in_memory(place)? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    println!("{}", machine()?);
    print_heading();
    let all = Case { sites: 0, tls: true, is_asked: false, interval: plan.interval };
    let mut sites = plan.sites.clone();
    sites.sort_unstable();
    let most = sites.pop().ok_or("there are sites")?;
    let most = Case { sites: most, ..all };
    let mut runs = beside_each_other(sites.into_iter().map(|sites| Case { sites, ..all }), place)?;
    runs.push(print(most, place)?);
    if plan.also.contains(&Also::Plain) {
        print(Case { tls: false, ..most }, place)?;
    }
    let asked = plan.also.contains(&Also::Status).then(|| print(Case { is_asked: true, ..most }, place)).transpose()?;
    judge(&runs, asked.as_ref())?;
    if let Some(path) = &plan.svg {
        std::fs::write(path, chart::draw(&runs, &machine()?))?;
        println!("\nThe chart is in {}.", path.to_string_lossy());
    }
    Ok(())
}

/// Runs of these at the same time. Together they have less to do than the one that is left.
fn beside_each_other(cases: impl Iterator<Item = Case>, place: &Path) -> Result<Vec<Figures>> {
    thread::scope(|scope| {
        let start = |case| (case, scope.spawn(move || run(case, place).map_err(|error| error.to_string())));
        let running: Vec<_> = cases.map(start).collect();
        let mut runs = Vec::new();
        for (case, thread) in running {
            let figures = thread.join().map_err(|_| "the thread of a run has panicked")??;
            print_row(case, &figures);
            runs.push(figures);
        }
        Ok(runs)
    })
}

fn judge(runs: &[Figures], asked: Option<&Figures>) -> Result<()> {
    println!();
    let worst = |figure: fn(&Figures) -> f64| runs.iter().map(figure).fold(0.0, f64::max);
    let missing: usize = runs.iter().map(|run| (2 * run.sites).abs_diff(run.files) + run.failed).sum();
    verdict("every file comes, no round fails", &format!("{missing} did not"), missing == 0);
    let late = worst(|run| run.late_at_start);
    verdict("rounds begin <= 1 s late at the start", &format!("{late:.0} ms"), late <= 1e3);
    let late = worst(|run| run.late[2]);
    verdict("rounds begin <= 1 s late afterwards", &format!("{late:.0} ms"), late <= 1e3);
    let last = runs.last().ok_or("there are runs")?;
    let (sites, goal) = (last.sites, format!("<= {MOST_IN_A_SECOND} connections opened in any second of the start"));
    verdict(&format!("{goal}, {sites} sites"), &last.burst.to_string(), last.burst <= MOST_IN_A_SECOND);
    let cpu = format!("{:.1} %", 100.0 * last.cpu);
    verdict(&format!("<= one processor, {sites} sites"), &cpu, last.cpu <= 1.0);
    let each = last.memory_of_site();
    verdict(&format!("<= 32 KiB a site, {sites} sites"), &format!("{each:.1} KiB"), each <= 32.0);
    if let Some(asked) = asked {
        let later = asked.late[1] - last.late[1];
        let goal =
            format!("99 % of rounds <= 10 ms later where status is asked for each {} ms", ASKED_EVERY.as_millis());
        verdict(&goal, &format!("{later:+.0} ms"), later <= 10.0);
    }
    Ok(())
}

impl Figures {
    /// What each site adds to the memory of the process, in KiB.
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn memory_of_site(&self) -> f64 {
        (self.memory[1] - self.memory[0]) / self.sites as f64
    }

    /// Of the process, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        self.memory[1] / 1024.0
    }
}

/// As a table for README.md.
fn print_heading() {
    println!(
        "\n| sites | files | failed | start | connections in 1 s | latest at the start | later: median | 99 % | latest \
         | CPU | memory | a site | longest turn | statuses |\n|{}",
        "---|".repeat(14)
    );
}

fn print(case: Case, place: &Path) -> Result<Figures> {
    let figures = run(case, place)?;
    print_row(case, &figures);
    Ok(figures)
}

fn print_row(case: Case, figures: &Figures) {
    let [middle, late, latest] = figures.late;
    println!(
        "| {}{} | {} of {} | {} | {:.1} s | {} | {:.0} ms | {middle:.0} ms | {late:.0} ms | {latest:.0} ms | {:.1} % | {:.1} MiB \
         | {:.1} KiB | {:.0} ms | {} |",
        case.sites,
        if case.tls { "" } else { ", plain" },
        figures.files,
        2 * case.sites,
        figures.failed,
        figures.start,
        figures.burst,
        figures.late_at_start,
        100.0 * figures.cpu,
        figures.memory(),
        figures.memory_of_site(),
        figures.turn,
        if case.is_asked { figures.answers.to_string() } else { String::new() },
    );
}

fn run(case: Case, place: &Path) -> Result<Figures> {
    let (dir, spool) = fresh_dir(place)?;
    let peer_config = PeerConfig { count: case.sites, write: WritePattern::Whole, tls: case.tls };
    let mut peers = Peers::start(peer_config, &dir)?;
    peers.order(Order::Report(0))?;
    let ca = peers.ca().map_or(OsString::from(NONE), OsString::from);
    let mut command = support::again(ROLE)?;
    command.args([dir.as_os_str(), &ca]).arg(case.interval.as_millis().to_string());
    command.arg(if case.is_asked { ASKED } else { NONE });
    command.args(peers.addresses().iter().map(SocketAddr::to_string));
    let mut collector = ChildProcess::start(&mut command)?;
    let stop = Arc::new(AtomicBool::new(false));
    let asking = case.is_asked.then(|| {
        let (socket, stop) = (dir.join(SOCKET), Arc::clone(&stop));
        thread::spawn(move || ask(&socket, case.sites, &stop).map_err(|error| error.to_string()))
    });
    let at_start = numbers(&collector.answer()?)?;
    peers.order(Order::Report(1))?;
    let steady = numbers(&collector.request("go on")?)?;
    stop.store(true, Ordering::Relaxed);
    let answers = match asking {
        Some(thread) => thread.join().map_err(|_| "the thread that asks has panicked")??,
        None => 0,
    };
    let ([burst, late_at_start, start], [failed, middle, late, latest, cpu, before, after, turn]) =
        (&at_start[..], &steady[..])
    else {
        return Err("a run has eleven figures".into());
    };
    let files = std::fs::read_dir(spool)?.filter_map(std::result::Result::ok);
    let files = files.filter(|entry| entry.path().extension().is_some_and(|end| end == "data")).count();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they were counted")]
    let [failed, burst] = [failed, burst].map(|figure| *figure as usize);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let cpu = cpu * case.sites as f64 / case.interval.as_secs_f64();
    Ok(Figures {
        sites: case.sites,
        files,
        failed,
        burst,
        late_at_start: *late_at_start,
        start: *start,
        late: [*middle, *late, *latest],
        cpu,
        memory: [*before, *after],
        turn: *turn,
        answers,
    })
}

fn numbers(line: &str) -> Result<Vec<f64>> {
    Ok(line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
}

/// Asks for the status of all sites until it is to stop. How many whole answers came.
fn ask(socket: &Path, sites: usize, stop: &AtomicBool) -> Result<usize> {
    let request = Command::Status { sites: Vec::new() }.to_line();
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(ASKED_EVERY);
        // The collector is not there yet, or not any more.
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        let mut answer = Vec::new();
        if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer)).is_err() {
            continue;
        }
        let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(serde_json::from_slice).collect::<std::result::Result<Vec<Answer>, _>>()?;
        answers += usize::from(lines.iter().filter(|line| matches!(line, Answer::Site(_))).count() == sites);
    }
    Ok(answers)
}
