//! Thousands of sites, each with a file in each interval: is the schedule kept, is there a storm at the start, what do the
//! sites take, and what does it cost to ask for their status ten times a second?

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tentacle_sync::collector::{Collector, Mode, RoundReport};
use tentacle_sync::control::{Answer, Command};
use tentacle_sync::net::Net;
use tentacle_sync::store::Durability;
use tentacle_sync::testing::fake_server::WritePattern;

use super::fresh_dir::fresh_dir;
use super::memory::memory;
use super::peers::{Order, PeerConfig, Peers};
use super::processor::cpu_time;
use super::settings::{settings, site};
use crate::support::{self, Result, clock, verdict};

/// The role of the collector's process.
pub(crate) const ROLE: &str = "data";

/// Stands for the CA of sites that speak plainly, and for no control socket.
const NONE: &str = "-";

/// Asks for a control socket.
const ASKED: &str = "asked";

/// The control socket's name in a run's directory.
const SOCKET: &str = "control.sock";

/// From one time that the status of all sites is asked for to the next.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// One way to run.
#[derive(Clone, Copy)]
struct Case {
    sites: usize,
    tls: bool,
    /// Whether the status of all sites is asked for all the time.
    is_asked: bool,
}

/// What a run came to; lateness is of rounds that began in the second interval.
struct Figures {
    files: usize,
    wanted: usize,
    failed: usize,
    /// Half of the rounds, 99 of 100 and all of them were no later than this, in ms.
    late: [f64; 3],
    /// The most rounds that began in one second of the first interval, in which all sites have their first.
    burst: usize,
    /// Of the latest round of that interval, in ms.
    late_at_start: f64,
    /// Of one processor, in the second interval.
    cpu: f64,
    /// KiB for each site, after two intervals.
    memory: f64,
    /// ms.
    turn: f64,
    /// Whole answers with the status of all sites.
    answers: usize,
}

pub(crate) fn measure(counts: &[usize], interval: Duration, place: &Path) -> Result<()> {
    println!("\nA file and a round in each {} s at each site, durably", interval.as_secs());
    println!(
        "{:>6} {:>6} {:>8} {:>12} {:>7} {:>9} {:>9} {:>9} {:>9} {:>11} {:>6} {:>9} {:>8}",
        "sites",
        "",
        "statuses",
        "files",
        "failed",
        "median",
        "99 % <=",
        "latest",
        "at start",
        "most in 1 s",
        "CPU",
        "KiB/site",
        "turn"
    );
    let mut all = Vec::new();
    for tls in [false, true] {
        for &sites in counts {
            all.push(print(Case { sites, tls, is_asked: false }, interval, place)?);
        }
    }
    let most = counts.last().copied().unwrap_or_default();
    let asked = print(Case { sites: most, tls: true, is_asked: true }, interval, place)?;
    println!();
    let worst = |figure: fn(&Figures) -> f64| all.iter().map(figure).fold(0.0, f64::max);
    let missing: usize = all.iter().map(|run| run.wanted - run.files.min(run.wanted) + run.failed).sum();
    verdict("every file comes, no round fails", &format!("{missing} did not"), missing == 0);
    let late = worst(|run| run.late[2].max(run.late_at_start));
    verdict("rounds begin <= 1 s late", &format!("{late:.0} ms"), late <= 1e3);
    let cpu = worst(|run| run.cpu);
    verdict("<= one processor", &format!("{:.1} %", 100.0 * cpu), cpu <= 1.0);
    let last = all.last().ok_or("there are runs")?;
    verdict("<= 32 KiB for each of most TLS sites", &format!("{:.1} KiB", last.memory), last.memory <= 32.0);
    let later = asked.late[1] - last.late[1];
    let goal = format!("99 % of rounds <= 10 ms later where status is asked for each {} ms", ASKED_EVERY.as_millis());
    verdict(&goal, &format!("{later:+.0} ms"), later <= 10.0);
    Ok(())
}

fn print(case: Case, interval: Duration, place: &Path) -> Result<Figures> {
    let figures = run(case, interval, place)?;
    let [middle, late, latest] = figures.late.map(|late| format!("{late:.0} ms"));
    println!(
        "{:>6} {:>6} {:>8} {:>12} {:>7} {middle:>9} {late:>9} {latest:>9} {:>9} {:>11} {:>6} {:>9.1} {:>8}",
        case.sites,
        if case.tls { "TLS" } else { "plain" },
        figures.answers,
        format!("{}/{}", figures.files, figures.wanted),
        figures.failed,
        format!("{:.0} ms", figures.late_at_start),
        figures.burst,
        format!("{:.1} %", 100.0 * figures.cpu),
        figures.memory,
        format!("{:.0} ms", figures.turn),
    );
    Ok(figures)
}

fn run(case: Case, interval: Duration, place: &Path) -> Result<Figures> {
    let peer_config = PeerConfig { count: case.sites, write: WritePattern::Whole, tls: case.tls };
    let mut peers = Peers::start(peer_config, place)?;
    let (dir, spool) = fresh_dir(place)?;
    let ca = peers.ca().map_or(OsString::from(NONE), OsString::from);
    let collector = support::again(ROLE)?
        .args([dir.as_os_str(), &ca])
        .arg(interval.as_millis().to_string())
        .arg(if case.is_asked { ASKED } else { NONE })
        .args(peers.addresses().iter().map(SocketAddr::to_string))
        .stdout(Stdio::piped())
        .spawn()?;
    let stop = Arc::new(AtomicBool::new(false));
    let asking = case.is_asked.then(|| {
        let (socket, stop) = (dir.join(SOCKET), Arc::clone(&stop));
        thread::spawn(move || ask(&socket, case.sites, &stop).map_err(|error| error.to_string()))
    });
    let wanted = peers.order(Order::Report(interval.as_millis().try_into()?))?;
    let output = collector.wait_with_output()?;
    stop.store(true, Ordering::Relaxed);
    let answers = match asking {
        Some(thread) => thread.join().map_err(|_| "the thread that asks has panicked")??,
        None => 0,
    };
    if !output.status.success() {
        return Err(format!("a run failed: {}", output.status).into());
    }
    let figures = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = figures.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    let [failed, middle, late, latest, burst, late_at_start, cpu, memory, turn] = figures[..] else {
        return Err("a run has nine figures".into());
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they were counted")]
    let [failed, burst] = [failed, burst].map(|figure| figure as usize);
    let files = std::fs::read_dir(spool)?.filter_map(std::result::Result::ok);
    let files = files.filter(|entry| entry.path().extension().is_some_and(|end| end == "data")).count();
    let late = [middle, late, latest];
    Ok(Figures { files, wanted, failed, late, burst, late_at_start, cpu, memory, turn, answers })
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

/// The collector's process: two intervals, and a longer one for what has not come by then.
pub(crate) fn collect(args: &[OsString]) -> Result<()> {
    let [dir, ca, interval, asked, addresses @ ..] = args else {
        return Err("a run needs its directory and its sites".into());
    };
    let (dir, ca) = (PathBuf::from(dir), (ca != NONE).then_some(Path::new(ca)));
    let interval = Duration::from_millis(interval.to_string_lossy().parse()?);
    let sites = addresses.iter().enumerate().map(|(number, address)| {
        let mut site = site(&format!("site-{number}"), address.to_string_lossy().parse()?, &dir.join("data_in"), ca);
        site.interval = interval;
        Ok(site)
    });
    let settings = settings(&dir, Durability::Fsync, sites.collect::<Result<_>>()?);
    let before = memory("self", "VmRSS")?;
    let mut net = Net::new()?;
    net.take_signals(&[Signal::TERM.as_raw()])?;
    let (start, failed, rounds) = (clock(), Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let observer = {
        let (failed, rounds) = (Rc::clone(&failed), Rc::clone(&rounds));
        Box::new(move |report: &RoundReport| {
            failed.set(failed.get() + usize::from(report.failure.is_some()));
            rounds.borrow_mut().push((start.elapsed().saturating_sub(report.took), report.late));
        })
    };
    let mut collector = Collector::new(net, &settings, Mode::Forever, observer)?;
    if asked == ASKED {
        let listener = UnixListener::bind(dir.join(SOCKET))?;
        listener.set_nonblocking(true)?;
        collector.listen_locally(listener)?;
    }
    let used = thread::spawn(move || {
        let used = used_in_second(interval).map_err(|error| error.to_string());
        // A round comes up to a tenth later than an interval after the one before.
        thread::sleep(interval + interval / 4);
        kill_process(getpid(), Signal::TERM).expect("a process may signal itself");
        used
    });
    let turn = collector.run(settings.shutdown_timeout, |_, _| false)?.max_loop_latency;
    let (cpu, after) = used.join().map_err(|_| "the thread that measures has panicked")??;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let each = (after - before) / settings.sites.len() as f64;
    let late = |from: Duration, to: Duration| {
        let rounds = rounds.borrow();
        let mut late: Vec<f64> =
            rounds.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, late)| 1e3 * late.as_secs_f64()).collect();
        late.sort_by(f64::total_cmp);
        [50, 99, 100].map(|per_cent| late.get((late.len().max(1) - 1) * per_cent / 100).copied().unwrap_or(f64::NAN))
    };
    let [middle, most, latest] = late(interval, 2 * interval);
    let [.., at_start] = late(Duration::ZERO, interval);
    let burst = most_in_a_second(rounds.borrow().iter().map(|(at, _)| *at).filter(|at| *at < interval));
    let (cpu, turn) = (cpu.as_secs_f64() / interval.as_secs_f64(), 1e3 * turn.as_secs_f64());
    println!("{} {middle} {most} {latest} {burst} {at_start} {cpu} {each} {turn}", failed.get());
    Ok(())
}

/// What is used of the processors in the second interval from now, and the memory after it, in KiB.
fn used_in_second(interval: Duration) -> Result<(Duration, f64)> {
    thread::sleep(interval);
    let before = cpu_time()?;
    thread::sleep(interval);
    Ok((cpu_time()?.saturating_sub(before), memory("self", "VmRSS")?))
}

fn most_in_a_second(times: impl Iterator<Item = Duration>) -> usize {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let until = |at: &Duration| times.partition_point(|other| *other < *at + Duration::from_secs(1));
    times.iter().enumerate().map(|(index, at)| until(at) - index).max().unwrap_or(0)
}
