//! How a group of staged files is best flushed, by its size.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise, fsync, syncfs};

use super::Scale;
use super::candidate::{flush, flush_from};
use super::filesystem::Filesystem;
use super::load::Load;
use super::publisher::SIZE;
use crate::support::{Result, clock, median};
use crate::thread_pool::ThreadPool;

/// How many threads the product flushes a group from.
const THREADS: usize = 16;

/// A way to flush.
enum Flush {
    /// One file after the other.
    InTurn,
    /// Writing is begun for all of them before the first is waited for.
    Begun,
    /// From some threads at once, which are started for it.
    Started(usize),
    /// From as many as the product, which are kept.
    Kept(ThreadPool),
    /// The whole filesystem.
    Syncfs,
}

/// Prints the median time for each group size and way; `bytes` is what another program keeps writing.
pub(crate) fn compare(filesystem: &Filesystem, bytes: Option<u64>, scale: &Scale) -> Result<()> {
    let beside = bytes.map_or_else(String::new, |bytes| format!(", beside {} MiB dirty", bytes >> 20));
    println!("\n{}{beside}: ms to flush a group of 4 KiB files, and their directory", filesystem.name());
    println!(
        "{:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "files", "in turn", "begun", "4 threads", "16 thr.", "16 kept", "syncfs"
    );
    let kept = Flush::Kept(ThreadPool::new("flush", THREADS - 1));
    let ways = [Flush::InTurn, Flush::Begun, Flush::Started(4), Flush::Started(THREADS), kept, Flush::Syncfs];
    let mut load = bytes.map(|bytes| Load::start(filesystem.dir(), bytes)).transpose()?;
    load.as_mut().map_or(Ok(()), Load::fill)?;
    for &files in scale.groups {
        let mut took = ways.each_ref().map(|_| Vec::new());
        for _ in 0..scale.flushes {
            for (way, took) in ways.iter().zip(&mut took) {
                took.push(measure(way, files, filesystem.dir())?);
            }
            // The last way has flushed it.
            load.as_mut().map_or(Ok(()), Load::fill)?;
        }
        let [in_turn, begun, few, many, kept, syncfs] = took.map(median);
        println!("{files:>6} {in_turn:>9.2} {begun:>9.2} {few:>9.2} {many:>9.2} {kept:>9.2} {syncfs:>9.2}");
    }
    Ok(())
}

/// In ms.
fn measure(way: &Flush, files: usize, dir: &Path) -> Result<f64> {
    let dir = tempfile::tempdir_in(dir)?;
    let bytes = [b'x'; SIZE];
    let paths: Vec<PathBuf> = (0..files).map(|number| dir.path().join(number.to_string())).collect();
    paths.iter().try_for_each(|path| fs::write(path, bytes))?;
    let directory = File::open(dir.path())?;
    let start = clock();
    match way {
        Flush::InTurn => paths.iter().try_for_each(|path| flush(path))?,
        Flush::Begun => {
            paths.iter().try_for_each(|path| begin(path))?;
            paths.iter().try_for_each(|path| flush(path))?;
        }
        Flush::Started(threads) => flush_from(*threads, &paths)?,
        Flush::Kept(threads) => flush_from_kept(threads, &paths)?,
        Flush::Syncfs => syncfs(&directory)?,
    }
    fsync(&directory)?;
    Ok(1e3 * start.elapsed().as_secs_f64())
}

/// Each of the threads flushes its share.
fn flush_from_kept(threads: &ThreadPool, paths: &[PathBuf]) -> Result<()> {
    let share = |paths: &[PathBuf]| {
        let paths = paths.to_owned();
        move || paths.iter().try_for_each(|path| flush(path))
    };
    let shares = paths.chunks(paths.len().div_ceil(THREADS)).map(share).collect();
    Ok(threads.run(shares).into_iter().collect::<io::Result<()>>()?)
}

/// Has the kernel begin to write a file out: it does so with what is no longer needed in memory.
fn begin(path: &Path) -> Result<()> {
    Ok(fadvise(File::open(path)?, 0, None::<NonZeroU64>, Advice::DontNeed)?)
}
