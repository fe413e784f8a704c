//! A policy: an edit of all agents of all sites.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::collecting::Collecting;
use super::configuration::Configuration;
use super::fresh_dir::fresh_dir;
use super::idle::FILTERS;
use super::pairs::{Agent, Pairs, md5_of};
use super::tentacle_server::{BenchDir, Make, Server};
use super::threads::cpu_times;
use super::usage::cpu_time;
use super::{Scale, stamp, wait_until};
use crate::support::{Result, clock, median, verdict};

/// How much later 99 of 100 data files may be beside the edit, in ms.
const LATER: f64 = 100.0;

/// How long all may take to be in step, in seconds.
const LONGEST: f64 = 60.0;

/// What all configurations have after the edit.
const EDITED: &str = "edited by a policy";

struct Site {
    storage: PathBuf,
    pairs: Pairs,
    server: Server,
}

/// What the data files of a time came to: how many, and how late they were, in ms.
struct Data {
    files: usize,
    latenesses: Vec<f64>,
}

/// How long an edit took.
#[derive(Default)]
struct Edit {
    written: Duration,
    /// From the last file that was written until all sites were in step.
    followed: Duration,
}

pub(crate) fn measure(scale: &Scale, dir: &BenchDir) -> Result<()> {
    println!("\nA policy for {} agents at each of {} sites, ours, TLS", scale.agents, scale.sites);
    let (near, incoming) = fresh_dir(dir.path())?;
    let centre = Pairs::make(&incoming)?;
    let sites = (0..scale.sites).map(|site| start(site, &centre, scale, dir)).collect::<Result<Vec<_>>>()?;
    let mut configuration = Configuration::new(&near, 10);
    for (number, site) in sites.iter().enumerate() {
        let address = site.server.address();
        configuration.add(number, address.tcp.port(), address.ca.as_deref());
    }
    let begin = clock();
    let mut collecting = Collecting::start(&near, configuration.text())?;
    wait_until("all to be compared", || {
        let in_step = (0..sites.len()).map(|site| configuration.in_step(site)).collect::<Result<Vec<_>>>()?;
        Ok(in_step.iter().all(|&count| count == scale.agents))
    })
    .map_err(|error| format!("{error}; the log is {}", collecting.log().to_string_lossy()))?;
    println!("all compared, none known before: {:.1} s", begin.elapsed().as_secs_f64());
    let without = beside(&sites, scale.data, &incoming, || Ok(()))?;

    let (threads, servers) = (cpu_times(collecting.id())?, cpu_of(&sites)?);
    let mut took = Edit::default();
    let with = beside(&sites, scale.data, &incoming, || {
        took = edit(scale, &centre, &sites)?;
        Ok(())
    })?;
    println!("written by the console: {:.1} s", took.written.as_secs_f64());
    println!("all sites in step after that: {:.1} s", took.followed.as_secs_f64());
    let used = cpu_of(&sites)?.saturating_sub(servers);
    let of_threads = cpu_times(collecting.id())?.into_iter().map(|(name, time)| {
        let time = time.saturating_sub(threads.get(&name).copied().unwrap_or_default());
        format!("{name} {:.1} s", time.as_secs_f64())
    });
    let of_threads = of_threads.collect::<Vec<_>>().join(", ");
    println!("CPU: servers {:.1} s; the collector's threads {of_threads}", used.as_secs_f64());
    let turn = collecting.stop(super::TIMEOUT)?;
    println!("the loop's longest turn: {:.0} ms", 1e3 * turn.unwrap_or(f64::INFINITY));
    judge(&took, &without, &with);
    Ok(())
}

/// Edits all, and waits until all sites are in step.
fn edit(scale: &Scale, centre: &Pairs, sites: &[Site]) -> Result<Edit> {
    let start = clock();
    for agent in agents(scale) {
        centre.save(agent, &agent.conf(EDITED))?;
    }
    let (written, end) = (start.elapsed(), clock());
    let mut left: VecDeque<Agent> = agents(scale).collect();
    wait_until("all sites to be in step", || {
        while let Some(agent) = left.front() {
            if !sites[agent.site].pairs.has_md5(*agent, &md5_of(&agent.conf(EDITED))) {
                return Ok(false);
            }
            left.pop_front();
        }
        Ok(true)
    })?;
    Ok(Edit { written, followed: end.elapsed() })
}

fn judge(took: &Edit, without: &Data, with: &Data) {
    println!("\n{:<18} {:>9} {:>9} {:>9} {:>9}", "data", "files", "median", "99 % <=", "latest");
    for (what, data) in [("without the edit", without), ("beside it", with)] {
        let middle = format!("{:.0} ms", median(data.latenesses.iter().copied()));
        let [late, latest] = [99, 100].map(|per_cent| format!("{:.0} ms", data.within(per_cent)));
        let files = format!("{}/{}", data.latenesses.len(), data.files);
        println!("{what:<18} {files:>9} {middle:>9} {late:>9} {latest:>9}");
    }
    println!();
    let seconds = took.followed.as_secs_f64();
    verdict(&format!("all in step <= {LONGEST} s after the edit"), &format!("{seconds:.1} s"), seconds <= LONGEST);
    let later = with.within(99) - without.within(99);
    verdict(&format!("99 % of data <= {LATER} ms later beside it"), &format!("{later:.0} ms"), later <= LATER);
}

fn agents(scale: &Scale) -> impl Iterator<Item = Agent> + use<> {
    let agents = scale.agents;
    (0..scale.sites).flat_map(move |site| (0..agents).map(move |number| Agent { site, number }))
}

/// A site whose agents' configuration is what the centre has.
fn start(number: usize, centre: &Pairs, scale: &Scale, dir: &BenchDir) -> Result<Site> {
    let storage = dir.storage()?;
    let pairs = Pairs::make(&storage)?;
    for agent in (0..scale.agents).map(|agent| Agent { site: number, number: agent }) {
        centre.save(agent, &agent.conf("first"))?;
        pairs.upload(agent, &agent.conf("first"))?;
    }
    let server = Server::start(Make::by_default()[0], true, &storage, dir, &FILTERS)?;
    Ok(Site { storage, pairs, server })
}

fn cpu_of(sites: &[Site]) -> Result<Duration> {
    sites.iter().map(|site| cpu_time(site.server.id())).sum()
}

/// Has data come until `what` is done, and for `least` at the least.
fn beside(sites: &[Site], least: Duration, incoming: &Path, what: impl FnOnce() -> Result<()>) -> Result<Data> {
    let (is_done, start) = (AtomicBool::new(false), clock());
    let files = thread::scope(|scope| -> Result<usize> {
        let report = scope.spawn(|| report(sites, &is_done).map_err(|error| error.to_string()));
        let done = what();
        thread::sleep(least.saturating_sub(start.elapsed()));
        is_done.store(true, Ordering::Relaxed);
        let reported = report.join().map_err(|_| "agents have panicked")?;
        done?;
        Ok(reported?)
    })?;
    wait_until("the last data", || Ok(stamp::arrived(incoming)? >= files))?;
    let latenesses = stamp::latenesses(incoming)?;
    for entry in fs::read_dir(incoming)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "data") {
            fs::remove_file(path)?;
        }
    }
    Ok(Data { files, latenesses })
}

/// One file a second at each site in the middle, each at a moment of its own; their number.
fn report(sites: &[Site], is_done: &AtomicBool) -> Result<usize> {
    let mean = Duration::from_secs(1) / u32::try_from(sites.len())?;
    let mut files = 0;
    while !is_done.load(Ordering::Relaxed) {
        thread::sleep(mean.mul_f64(2.0 * fastrand::f64()));
        let number = fastrand::usize(..sites.len());
        let storage = &sites[number].storage;
        let draft = storage.with_file_name("draft");
        fs::write(&draft, "<agent_data/>\n".repeat(100))?;
        fs::rename(draft, storage.join(stamp::name(number)?))?;
        files += 1;
    }
    Ok(files)
}

impl Data {
    /// So many of 100 files are no later.
    fn within(&self, per_cent: usize) -> f64 {
        let index = (self.files.max(1) - 1) * per_cent / 100;
        self.latenesses.get(index).copied().unwrap_or(f64::INFINITY)
    }
}
