//! What durability costs, and what the two sinks do.
//!
//! `cargo bench --bench disk [-- DIRECTORY]`: works in a fresh directory inside `DIRECTORY`, by default inside the build
//! directory. With `BENCH_SMOKE=1` it does very little of everything. Each row is the median of several runs, with the
//! slowest and the fastest beside it; before each run the disk is left to settle, so that none pays for another's writes.
#![expect(clippy::print_stdout, reason = "the table is the point")]

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tentacle_sync::store::{Chain, Committer, Durability, Publication, SinkKind, Spool, Staged};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SMALL: usize = 4 * 1024;
const RUNS: usize = 5;
const LARGE: usize = 64 * 1024 * 1024;
/// What comes out of one TLS record, and what the loop gathers before it writes.
const PIECES: [usize; 2] = [16 * 1024, 256 * 1024];

fn main() -> Result<()> {
    let smoke = std::env::var_os("BENCH_SMOKE").is_some_and(|value| value == "1");
    let given = std::env::args_os().skip(1).find(|arg| !arg.as_encoded_bytes().starts_with(b"-"));
    let parent = given.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    fs::create_dir_all(&parent)?;
    let dir = tempfile::Builder::new().prefix("disk-bench").tempdir_in(parent)?;
    println!("in {}", dir.path().display());
    schemes(dir.path(), if smoke { (64, 8) } else { (16_384, 1024) })?;
    sinks(dir.path(), if smoke { (64, 1) } else { (16_384, 8) })
}

/// Files a second until they are published, for each way to make them durable.
fn schemes(dir: &Path, (many, few): (usize, usize)) -> Result<()> {
    println!("\n{:<50} {:>6} {:>8} {:>17}", "publish 4 KiB files, files/s", "files", "median", "slowest..fastest");
    let row = |what: &str, count: usize, run: &dyn Fn(&Path) -> Result<Duration>| -> Result<()> {
        let (slowest, median, fastest) = measured(dir, run)?;
        let rate = |took| format!("{:.0}", per_second(count, took));
        println!("{what:<50} {count:>6} {:>8} {:>17}", rate(median), format!("{}..{}", rate(slowest), rate(fastest)));
        Ok(())
    };
    row("nothing flushed", many, &|dir| publish(dir, Durability::None, many, many))?;
    row("group commit, as they come", many, &|dir| publish(dir, Durability::Fsync, many, many))?;
    row("group commit, at most 64 waiting", many, &|dir| publish(dir, Durability::Fsync, many, 64))?;
    row("group commit, each file waited for", few, &|dir| publish(dir, Durability::Fsync, few, 1))?;
    row("fsync file, rename, fsync directory; no journal", few, &|dir| one_by_one(dir, few))
}

/// The slowest, the median and the fastest of some runs, each in a fresh directory on a disk that has settled.
fn measured(dir: &Path, run: &dyn Fn(&Path) -> Result<Duration>) -> Result<(Duration, Duration, Duration)> {
    let mut took = Vec::new();
    for _ in 0..RUNS {
        let fresh = tempfile::tempdir_in(dir)?;
        rustix::fs::syncfs(File::open(fresh.path())?)?;
        took.push(run(fresh.path())?);
    }
    took.sort();
    Ok((took[RUNS - 1], took[RUNS / 2], took[0]))
}

/// Publishes `count` files with at most `window` of them on their way.
fn publish(dir: &Path, durability: Durability, count: usize, window: usize) -> Result<Duration> {
    let incoming = dir.join("in");
    fs::create_dir_all(&incoming)?;
    let spool = Spool::open(&incoming)?;
    let (told, calls) = mpsc::channel();
    // Nobody listens any more once all is published.
    let notify = Box::new(move || told.send(()).unwrap_or(()));
    let (committer, _) = Committer::start(&dir.join("state"), durability, std::slice::from_ref(&spool), notify)?;
    let site: Arc<str> = "bench".into();
    timed(|| {
        for number in 0..count {
            let staged = stage(&spool, SMALL, SMALL)?;
            let name = format!("agent.{number}.data").parse()?;
            committer.publish(Publication {
                ticket: number as u64,
                site: site.clone(),
                name,
                staged,
                chain: Chain::default(),
            });
            while committer.pending() >= window {
                calls.recv()?;
                drain(&committer)?;
            }
        }
        while committer.pending() > 0 {
            calls.recv()?;
            drain(&committer)?;
        }
        Ok(())
    })
}

fn drain(committer: &Committer) -> Result<()> {
    for completion in committer.completions() {
        completion.result?;
    }
    Ok(())
}

/// What a program does that has no groups.
fn one_by_one(dir: &Path, count: usize) -> Result<Duration> {
    fs::create_dir_all(dir)?;
    let (bytes, parent) = (vec![b'x'; SMALL], File::open(dir)?);
    timed(|| {
        for number in 0..count {
            let (draft, name) = (dir.join("draft"), dir.join(format!("agent.{number}.data")));
            let mut file = File::create(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(draft, name)?;
            parent.sync_all()?;
        }
        Ok(())
    })
}

/// Staging alone, nothing flushed: what each sink costs the loop.
fn sinks(dir: &Path, (small, large): (usize, usize)) -> Result<()> {
    println!("\n{:<30} {:>14} {:>14} {:>16}", "stage and remove", "append", "mapped", "mapped / append");
    let staging = |kind: SinkKind, count: usize, size: usize, piece: usize| {
        let run = |dir: &Path| {
            let spool = Spool::open(dir)?.with_sink(kind);
            timed(|| (0..count).try_for_each(|_| stage(&spool, size, piece).map(drop)))
        };
        measured(dir, &run).map(|(_, median, _)| median)
    };
    for (count, size, piece) in [(small, SMALL, SMALL), (large, LARGE, PIECES[0]), (large, LARGE, PIECES[1])] {
        let append = staging(SinkKind::Append, count, size, piece)?;
        let mapped = staging(SinkKind::Mapped, count, size, piece)?;
        let what = format!("{} KiB in pieces of {} KiB", size / 1024, piece / 1024);
        let rate = |took: Duration| {
            if size == SMALL {
                format!("{:.1} us/file", took.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
            } else {
                format!("{:.0} MiB/s", per_second(count * size, took) / f64::from(1 << 20))
            }
        };
        let ratio = mapped.as_secs_f64() / append.as_secs_f64();
        println!("{what:<30} {:>14} {:>14} {ratio:>15.2}x", rate(append), rate(mapped));
    }
    Ok(())
}

fn stage(spool: &Spool, size: usize, piece: usize) -> Result<Staged> {
    let bytes = vec![b'x'; piece];
    let mut stage = spool.stage(size as u64)?;
    for _ in 0..size / piece {
        stage.write(&bytes)?;
    }
    Ok(stage.finish()?)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "a rate is read to three digits")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
