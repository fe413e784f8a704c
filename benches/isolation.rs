//! What bad sites cost the others: how late their files come beside 20 sites of each bad kind, and beside hundreds that
//! are bad in every way; what the collector takes of memory, processors and the log meanwhile.
//!
//! `cargo bench --bench isolation [-- DIRECTORY [KIND...]]`: works in a fresh directory inside `DIRECTORY`, by default
//! inside the build directory, with these kinds of bad sites, by default all. With `BENCH_SMOKE=1` it does very little
//! of everything.
//!
//! 500 sites, all on loopback, each with a round a second. At 50 of them, the same in all cases, agents report once a
//! second. Of the others, some are bad, and the rest healthy, with nothing to be collected. So the least is to be done
//! where none is bad, which is what the other cases are compared with. Kinds of bad sites:
//!
//! - `mixed`: all 450. They refuse, swallow, hang at each phase, drip, send garbage, lie about sizes, list without end.
//! - `names`: 40 that are reached by name, while the name server does not answer. The good ones are reached by name, too,
//!   and have theirs in `/etc/hosts`. Both are files in a mount namespace of the bench's own: that takes root.
//! - `unwanted`: 20 that list 200,000 names which `include` does not match before 20 files that are to be collected.
//! - `withheld`: 20 that list 200,000 names, and answer `RECV ERR` to each.
//! - `long-listings`: 20 that list 200,000 names of 250 bytes, new ones each time, give the files, answer `MV ERR`, and
//!   close after 200 commands.
//! - `variants`: 20 with 20 files of 60 kB each, of the same names at all, which have other bytes at their ends whenever
//!   they are asked for.
//! - `alternating`: 20 that list 1,000 new names each time. Half of them answer ERR and a file in turn, and send other bytes
//!   where that is to be deleted; the others answer ERR with two reasons in turn.
//! - `frozen`: one that is collected into a directory of its own, on a filesystem of which nothing comes any more once
//!   the warm-up is over: bindfs, stopped. That takes root and FUSE.
//! - `filler`: one with 20,000 files of one agent, of which the second waits until the data server has taken the first;
//!   it takes none, and so many may wait for it as are collected in some seconds.
//!
//! Good sites speak TLS; so do the mixed ones. The other bad ones speak plainly, send bytes made in advance, and are in
//! a process of their own: their share of the two processors, which they use together with the others, is shown. All
//! other settings are the defaults, in a configuration file that the collector reads as the daemon does, and its log
//! goes to a file.
//!
//! A file's lateness is the time from its appearing at its site until it has its name here; most of it is the wait for
//! the site's next round. A file that has not come some seconds after the last one has appeared never does. The first
//! rounds, in which all sites are connected to, are over before the measurement begins. Memory is the most that the
//! process had. The log is counted from the start on, but for the 128 KiB that may be logged at once. The longest turn
//! is that of the loop until the collector is asked to end. Then it ends as `tentacle-syncd` does: by itself, or, where
//! a filesystem does not answer, cut off 5 seconds after its time to end is over. A collector that does not end has
//! hung; one has ended where the kernel keeps a last thread amid a request to that filesystem. Cases take turns, and
//! each figure is the median of its runs.
#![expect(clippy::print_stdout, reason = "the table is the point")]

#[path = "isolation/bad.rs"]
mod bad;
#[path = "isolation/case.rs"]
mod case;
#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/collecting.rs"]
mod collecting;
#[path = "isolation/configuration.rs"]
mod configuration;
#[path = "isolation/environment.rs"]
mod environment;
#[path = "isolation/faults.rs"]
mod faults;
#[path = "isolation/figures.rs"]
mod figures;
#[path = "support/fresh_dir.rs"]
mod fresh_dir;
#[path = "isolation/kind.rs"]
mod kind;
#[path = "support/memory.rs"]
mod memory;
#[path = "isolation/peers.rs"]
mod peers;
#[path = "isolation/scripted.rs"]
mod scripted;
#[path = "support/stamp.rs"]
mod stamp;
mod support;
#[path = "support/usage.rs"]
mod usage;

use std::path::Path;
use std::time::Duration;

use case::Case;
use collecting::collect;
use environment::{Environment, isolate};
use figures::{Figures, judge, print};
use fresh_dir::fresh_dir;
use kind::Kind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::Result;

/// How much of everything.
struct Scale {
    busy: usize,
    others: usize,
    /// How many of the others are bad, of most kinds.
    bad: usize,
    /// So too, where they are reached by name.
    silent: usize,
    /// Names in a long listing.
    names: usize,
    /// What may wait for the data server where it takes nothing.
    max_spool: usize,
    /// Until each site has had some rounds, and hundreds that are bad have been logged.
    warm_up: Duration,
    measured: Duration,
    /// How long files may take to come after the last has appeared, and then the collector to end.
    timeout: Duration,
    runs: usize,
}

const FULL: Scale = Scale {
    busy: 50,
    others: 450,
    bad: 20,
    silent: 40,
    names: 200_000,
    max_spool: 1_000,
    warm_up: Duration::from_secs(8),
    measured: Duration::from_secs(6),
    timeout: Duration::from_secs(4),
    runs: 3,
};

const SMOKE: Scale = Scale {
    busy: 5,
    others: 25,
    bad: 5,
    silent: 20,
    names: 20_000,
    max_spool: 50,
    warm_up: Duration::from_millis(500),
    measured: Duration::from_millis(500),
    timeout: Duration::from_secs(2),
    runs: 1,
};

impl Scale {
    /// How many sites are bad.
    fn bad(&self, kind: Kind) -> usize {
        match kind {
            Kind::None => 0,
            Kind::Mixed => self.others,
            Kind::Names => self.silent,
            Kind::Frozen | Kind::Filler => 1,
            _ => self.bad,
        }
    }
}

fn main() -> Result<()> {
    match support::role() {
        None => bench(if support::is_smoke() { &SMOKE } else { &FULL }),
        Some((role, args)) if role == collecting::ROLE => collect(&args),
        Some((role, args)) if role == peers::ROLE => peers::serve(&args),
        Some((_, args)) => bad::serve(&args),
    }
}

fn bench(scale: &Scale) -> Result<()> {
    raise_descriptor_limit()?;
    let place = tempfile::Builder::new().prefix("isolation-bench-").tempdir_in(support::place()?)?;
    println!("Collecting each second from {} sites,", scale.busy + scale.others);
    println!("durably, in {}", place.path().to_string_lossy());
    if support::is_in_memory(place.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    let kinds = possible(wanted_kinds()?, place.path());
    let mut cases: Vec<(Kind, Vec<Figures>)> = kinds.map(|kind| (kind, Vec::new())).collect();
    for _ in 0..scale.runs {
        for (kind, figures) in &mut cases {
            figures.push(Case::start(scale, *kind, place.path())?.measure(scale)?);
        }
    }
    print(&cases);
    println!();
    judge(&cases);
    Ok(())
}

/// The kinds that are asked for on the command line, after a directory; all where none is. What they are compared with is
/// always among them.
fn wanted_kinds() -> Result<Vec<Kind>> {
    let names = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).skip(1);
    let kinds = names.map(|name| Kind::named(&name).ok_or_else(|| format!("{name:?} is no kind of bad site")));
    let kinds = kinds.collect::<std::result::Result<Vec<_>, _>>()?;
    let is_wanted = |kind: &Kind| kinds.is_empty() || *kind == Kind::None || kinds.contains(kind);
    Ok(Kind::ALL.into_iter().filter(is_wanted).collect())
}

/// The `kinds` that this machine can run; prints why it cannot run others.
fn possible(kinds: Vec<Kind>, place: &Path) -> impl Iterator<Item = Kind> {
    let isolated = isolate().map_err(|why| why.to_string());
    let try_out = move |kind, place: &Path| {
        if [Kind::Names, Kind::Frozen].contains(&kind) {
            isolated.clone()?;
            Environment::of(kind, &[], &fresh_dir(place)?.0)?;
        }
        Result::Ok(())
    };
    kinds.into_iter().filter(move |kind| {
        try_out(*kind, place).inspect_err(|why| println!("{}: SKIPPED: {why}", kind.name())).is_ok()
    })
}

/// Hundreds of connections need more descriptors than a shell allows at first; processes started later inherit this.
fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
