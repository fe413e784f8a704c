//! The ways to publish against each other.

use std::thread;
use std::time::Duration;

use super::Scale;
use super::filesystem::Filesystem;
use super::load::Load;
use super::publisher::{Publisher, Strategy};
use super::stopwatch::Stopwatch;
use crate::support::{Result, clock, median, verdict};

/// Files on their way at once, where many are waiting.
const WINDOW: usize = 1024;

/// Between two lone files.
const PAUSE: Duration = Duration::from_millis(5);

/// What a run came to.
struct Run {
    files_per_second: f64,
    /// Of files that come alone: from before each is staged until it is published, in ms.
    lone: Vec<f64>,
    /// What staging each file took the loop while others were being published, waits for a processor aside, in ms; sorted.
    staging: Vec<f64>,
}

/// Compares all of them; `bytes` is what another program keeps writing.
pub(crate) fn compare(filesystem: &Filesystem, bytes: Option<u64>, scale: &Scale) -> Result<()> {
    let mut runs: Vec<Vec<Run>> = Strategy::ALL.map(|_| Vec::new()).into();
    for _ in 0..scale.runs {
        for (way, runs) in Strategy::ALL.into_iter().zip(&mut runs) {
            runs.push(run(way, filesystem, bytes, scale)?);
        }
    }
    println!("\n{:<41} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}", "", "", "of one", "lone, ms", "", "stage, ms", "");
    let beside = bytes.map_or_else(String::new, |bytes| format!(", beside {} MiB dirty", bytes >> 20));
    println!(
        "{:<41} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
        filesystem.name().to_owned() + &beside,
        "files/s",
        "by one",
        "median",
        "longest",
        "99 % <=",
        "longest"
    );
    let one_by_one = &runs[index_of(Strategy::OneByOne)];
    for (way, runs) in Strategy::ALL.into_iter().zip(&runs) {
        print(way, runs, one_by_one);
    }
    let product = &runs[index_of(Strategy::Product)];
    println!();
    let gain = ratio(product, one_by_one);
    verdict(&format!("{}{beside}: >= 20x one by one", filesystem.name()), &format!("{gain:.1}x"), gain >= 20.0);
    let (stall, bare) = (longest_stall(product), longest_stall(&runs[index_of(Strategy::Unflushed)]));
    let figure = format!("{stall:.1} ms (with nothing flushed {bare:.1} ms)");
    verdict(&format!("{}{beside}: loop never stalled for 5 ms by staging", filesystem.name()), &figure, stall < 5.0);
    Ok(())
}

fn index_of(wanted: Strategy) -> usize {
    Strategy::ALL.iter().position(|way| *way == wanted).expect("all ways are there")
}

fn print(way: Strategy, runs: &[Run], one_by_one: &[Run]) {
    let lone = || runs.iter().flat_map(|run| run.lone.iter().copied());
    println!(
        "{:<41} {:>8.0} {:>7.1}x {:>9.2} {:>9.1} {:>9.3} {:>9.1}",
        way.name(),
        median(runs.iter().map(|run| run.files_per_second)),
        ratio(runs, one_by_one),
        median(lone()),
        lone().fold(0.0, f64::max),
        median(runs.iter().map(|run| run.staging[run.staging.len() * 99 / 100])),
        longest_stall(runs),
    );
}

/// How many times faster each of the runs was than its counterpart, in the middle.
fn ratio(runs: &[Run], counterparts: &[Run]) -> f64 {
    median(runs.iter().zip(counterparts).map(|(run, other)| run.files_per_second / other.files_per_second))
}

/// Of each run, in the middle of all runs.
fn longest_stall(runs: &[Run]) -> f64 {
    median(runs.iter().filter_map(|run| run.staging.last().copied()))
}

/// Lone files first, then as many as it can take; both with the other program's file just written.
fn run(way: Strategy, filesystem: &Filesystem, bytes: Option<u64>, scale: &Scale) -> Result<Run> {
    let dir = tempfile::tempdir_in(filesystem.dir())?;
    let mut publisher = way.start(dir.path())?;
    filesystem.sync()?;
    let mut load = bytes.map(|bytes| Load::start(filesystem.dir(), bytes)).transpose()?;
    load.as_mut().map_or(Ok(()), Load::fill)?;
    let lone = one_at_a_time(&mut *publisher, scale)?;
    load.as_mut().map_or(Ok(()), Load::fill)?;
    let (files_per_second, staging) = all_at_once(publisher, scale.seconds)?;
    drop((load, dir));
    filesystem.sync()?;
    Ok(Run { files_per_second, lone, staging })
}

fn one_at_a_time(publisher: &mut dyn Publisher, scale: &Scale) -> Result<Vec<f64>> {
    let (start, mut latencies) = (clock(), Vec::new());
    while latencies.len() < scale.lone && start.elapsed() < scale.seconds {
        thread::sleep(PAUSE);
        let staged = clock();
        publisher.stage()?;
        publisher.wait()?;
        latencies.push(milliseconds(staged.elapsed()));
    }
    Ok(latencies)
}

/// Files a second, and what each took to stage.
fn all_at_once(mut publisher: Box<dyn Publisher>, time: Duration) -> Result<(f64, Vec<f64>)> {
    let (start, mut staging, mut stopwatch) = (clock(), Vec::new(), Stopwatch::new()?);
    while start.elapsed() < time {
        publisher.stage()?;
        staging.push(milliseconds(stopwatch.lap()?));
        while publisher.pending() >= WINDOW {
            publisher.wait()?;
            stopwatch.start()?;
        }
    }
    publisher.finish()?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let files_per_second = staging.len() as f64 / start.elapsed().as_secs_f64();
    staging.sort_by(f64::total_cmp);
    Ok((files_per_second, staging))
}

fn milliseconds(duration: Duration) -> f64 {
    1e3 * duration.as_secs_f64()
}
