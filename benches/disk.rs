//! What durability costs: ways to publish 4 KiB files against each other, ways to flush a group of them, and the two sinks.
//!
//! `cargo bench --bench disk [-- DIRECTORY]`: works in a fresh directory inside `DIRECTORY`, by default inside the build
//! directory. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! Where images can be made and mounted (as root, with mkfs.ext4 and mkfs.xfs), the ways are compared on a journalled ext4
//! and on an XFS, else on the directory's own filesystem; each with nothing else to be written, and beside another program
//! that has just written a gigabyte without flushing it and goes on writing. Each way stages its files on one thread, as
//! the loop does, and publishes them on another, whatever has gathered as one group. Ways take turns, and each figure is
//! the median of its runs, unless it is called the longest of its column for lone files.
#![expect(clippy::print_stdout, reason = "the tables are the point")]

#[path = "disk/candidate.rs"]
mod candidate;
#[path = "support/child_process.rs"]
mod child_process;
#[path = "disk/compare.rs"]
mod compare;
#[path = "disk/filesystem.rs"]
mod filesystem;
#[path = "disk/flush.rs"]
mod flush;
#[path = "disk/load.rs"]
mod load;
#[path = "../src/mutex.rs"]
mod mutex;
#[path = "disk/publisher.rs"]
mod publisher;
#[path = "disk/sinks.rs"]
mod sinks;
#[path = "disk/stopwatch.rs"]
mod stopwatch;
mod support;
#[path = "../src/thread_pool.rs"]
#[expect(dead_code, unused_imports, reason = "what its tests need, which are run with the library's")]
mod thread_pool;

use std::time::Duration;

use filesystem::Filesystem;
use support::Result;

/// How much of everything.
struct Scale {
    runs: usize,
    /// For all that come at once, and at most for those that come alone.
    seconds: Duration,
    /// Files that come alone.
    lone: usize,
    /// Files in a group to be flushed.
    groups: &'static [usize],
    /// Flushes of each group.
    flushes: usize,
    /// What another program has written, in bytes.
    load: u64,
    /// Of a filesystem in a file, in bytes.
    image: u64,
}

const FULL: Scale = Scale {
    runs: 3,
    seconds: Duration::from_secs(1),
    lone: 30,
    groups: &[1, 2, 4, 8, 16, 32, 64],
    flushes: 7,
    load: 1 << 30,
    // Room for what a filesystem has not freed yet, too.
    image: 7 << 29,
};

const SMOKE: Scale = Scale {
    runs: 1,
    seconds: Duration::from_millis(20),
    lone: 2,
    groups: &[1, 8],
    flushes: 1,
    load: 16 << 20,
    image: 320 << 20,
};

fn main() -> Result<()> {
    match support::role() {
        None => bench(if support::is_smoke() { &SMOKE } else { &FULL }),
        Some((_, args)) => load::serve(&args),
    }
}

fn bench(scale: &Scale) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("disk-bench-").tempdir_in(support::place()?)?;
    println!("4 KiB files, in {}", dir.path().to_string_lossy());
    if support::is_in_memory(dir.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    let mut mounted = 0;
    for mount in [Filesystem::ext4, Filesystem::xfs] {
        match mount(dir.path(), scale.image) {
            Ok(filesystem) => {
                compare(&filesystem, scale)?;
                mounted += 1;
            }
            Err(error) => println!("\n(Not in an image, since none can be mounted: {error})"),
        }
    }
    if mounted == 0 {
        compare(&Filesystem::here(dir.path()), scale)?;
    }
    Ok(())
}

/// With nothing else to be written, and beside another program's file; then the sinks.
fn compare(filesystem: &Filesystem, scale: &Scale) -> Result<()> {
    for load in [None, Some(scale.load)] {
        compare::compare(filesystem, load, scale)?;
        flush::compare(filesystem, load, scale)?;
    }
    sinks::compare(filesystem)
}
