//! The collector's process that is measured while each site has a file in each interval.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use tentacle_sync::collector::{Collector, Mode, RoundReport};
use tentacle_sync::net::Net;
use tentacle_sync::store::Durability;

use super::memory::memory;
use super::processor::cpu_time;
use super::settings::{settings, site};
use crate::support::{Result, clock};

/// The role of this process.
pub(crate) const ROLE: &str = "data";

/// Stands for the CA of sites that speak plainly, and for no control socket.
pub(crate) const NONE: &str = "-";

/// Asks for a control socket.
pub(crate) const ASKED: &str = "asked";

/// The control socket's name in a run's directory.
pub(crate) const SOCKET: &str = "control.sock";

/// What the sites' names begin with; their numbers follow.
const SITE: &str = "site-";

/// How long all sites may take to have had a round.
const PATIENCE: Duration = Duration::from_secs(600);

/// A round that has ended.
struct Round {
    began: Instant,
    /// After it was due.
    late: Duration,
}

/// Of all sites.
struct Rounds {
    /// For each site, whether it has had a round.
    begun: Vec<bool>,
    first: Vec<Round>,
    later: Vec<Round>,
    failed: usize,
    /// Told once, when all sites have had a round.
    all_begun: Sender<AtStart>,
}

/// What the first rounds of all sites came to.
struct AtStart {
    /// The most that began within a second.
    burst: usize,
    /// The latest one's.
    late: Duration,
    /// From the start of the first to the end of the last.
    took: Duration,
}

/// What was measured from one moment to another.
struct Window {
    from: Instant,
    to: Instant,
    cpu: Duration,
    /// At its end, in KiB.
    memory: f64,
}

/// Prints what the first rounds came to as soon as each site has had one, waits for a line, and prints what the time from then
/// on came to, until each has had another one.
#[expect(clippy::print_stdout, reason = "the figures go to the process that has started this one")]
pub(crate) fn collect(args: &[OsString]) -> Result<()> {
    let [dir, ca, interval, asked, addresses @ ..] = args else {
        return Err("a run needs its directory and its sites".into());
    };
    let (dir, ca) = (PathBuf::from(dir), (ca != NONE).then_some(Path::new(ca)));
    let interval = Duration::from_millis(interval.to_string_lossy().parse()?);
    let sites = addresses.iter().enumerate().map(|(number, address)| {
        let address = address.to_string_lossy().parse()?;
        let mut site = site(&format!("{SITE}{number}"), address, &dir.join("data_in"), ca);
        site.interval = interval;
        Ok(site)
    });
    let settings = settings(&dir, Durability::Fsync, sites.collect::<Result<_>>()?);
    let before = memory("self", "VmRSS")?;
    let mut net = Net::new()?;
    net.take_signals(&[Signal::TERM.as_raw()])?;
    let (all_begun, at_start) = channel();
    let rounds = Rc::new(RefCell::new(Rounds::of(settings.sites.len(), all_begun)));
    let observer = {
        let rounds = Rc::clone(&rounds);
        Box::new(move |report: &RoundReport| rounds.borrow_mut().add(report))
    };
    let mut collector = Collector::new(net, &settings, Mode::Forever, observer)?;
    if asked == ASKED {
        let listener = UnixListener::bind(dir.join(SOCKET))?;
        listener.set_nonblocking(true)?;
        collector.listen_locally(listener)?;
    }
    let measuring = thread::spawn(move || measure(&at_start, interval).map_err(|error| error.to_string()));
    let turn = collector.run(settings.shutdown_timeout, |_, _| false)?.max_loop_latency;
    let window = measuring.join().map_err(|_| "the thread that measures has panicked")??;
    let rounds = rounds.borrow();
    let [middle, most, latest] = rounds.late_in(&window);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let each_cpu = window.cpu.as_secs_f64() / rounds.begun_in(&window).count() as f64;
    let turn = 1e3 * turn.as_secs_f64();
    println!("{} {middle} {most} {latest} {each_cpu} {before} {} {turn}", rounds.failed, window.memory);
    Ok(())
}

/// What it takes from the time when all sites have had a round until all have had another one; then, ends the collector.
#[expect(clippy::print_stdout, reason = "the figures go to the process that has started this one")]
fn measure(at_start: &Receiver<AtStart>, interval: Duration) -> Result<Window> {
    let AtStart { burst, late, took } = at_start.recv_timeout(PATIENCE)?;
    println!("{burst} {} {}", 1e3 * late.as_secs_f64(), took.as_secs_f64());
    io::stdin().read_line(&mut String::new())?;
    let (from, cpu) = (clock(), cpu_time()?);
    // A round comes up to a tenth of an interval later than an interval after the one before, and may be late.
    thread::sleep(interval + interval / 10 + Duration::from_secs(1));
    let window = Window { from, to: clock(), cpu: cpu_time()?.saturating_sub(cpu), memory: memory("self", "VmRSS")? };
    kill_process(getpid(), Signal::TERM)?;
    Ok(window)
}

impl Rounds {
    fn of(sites: usize, all_begun: Sender<AtStart>) -> Self {
        Self { begun: vec![false; sites], first: Vec::with_capacity(sites), later: Vec::new(), failed: 0, all_begun }
    }

    fn add(&mut self, report: &RoundReport) {
        let now = clock();
        let round = Round { began: now.checked_sub(report.took).unwrap_or(now), late: report.late };
        self.failed += usize::from(report.failure.is_some());
        let number = report.site.strip_prefix(SITE).and_then(|number| number.parse::<usize>().ok());
        let number = number.expect("sites are named by their numbers");
        if std::mem::replace(&mut self.begun[number], true) {
            return self.later.push(round);
        }
        self.first.push(round);
        if self.first.len() == self.begun.len() {
            // If nobody waits any more, that one has failed.
            let _ = self.all_begun.send(self.at_start());
        }
    }

    fn at_start(&self) -> AtStart {
        let began = self.first.iter().map(|round| round.began).min();
        AtStart {
            burst: most_in_a_second(self.first.iter().map(|round| round.began)),
            late: self.first.iter().map(|round| round.late).max().unwrap_or_default(),
            took: began.map_or(Duration::ZERO, |began| began.elapsed()),
        }
    }

    fn begun_in(&self, window: &Window) -> impl Iterator<Item = &Round> {
        let time = window.from..window.to;
        self.first.iter().chain(&self.later).filter(move |round| time.contains(&round.began))
    }

    /// Half of them, 99 of 100 and all of them were no later than this, in ms.
    fn late_in(&self, window: &Window) -> [f64; 3] {
        let mut late: Vec<f64> = self.begun_in(window).map(|round| 1e3 * round.late.as_secs_f64()).collect();
        late.sort_by(f64::total_cmp);
        [50, 99, 100].map(|per_cent| late.get((late.len().max(1) - 1) * per_cent / 100).copied().unwrap_or(f64::NAN))
    }
}

fn most_in_a_second(times: impl Iterator<Item = Instant>) -> usize {
    let mut times: Vec<Instant> = times.collect();
    times.sort();
    let until = |at: &Instant| times.partition_point(|other| *other < *at + Duration::from_secs(1));
    times.iter().enumerate().map(|(index, at)| until(at) - index).max().unwrap_or(0)
}
