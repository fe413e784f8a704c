//! Collecting small agent files from far away: how fast, with how many round trips and bytes a file, and who else is how
//! fast over the same line.
//!
//! `[STOCK_TENTACLE_SERVER=PROGRAM] cargo bench --bench distance [-- [DIRECTORY] OPTIONS]`: works in a fresh directory
//! inside `DIRECTORY`, by default inside the build directory. `--help` has the options; those of the figures in
//! README.md are `--round-trips 0,20,100,600 --svg FILE`. With `BENCH_SMOKE=1` it does very little of everything.
//!
//! The line is a [relay](relay), in a process of its own; at a round-trip time of 0 there is none, and nothing is
//! counted. Servers are real processes. The collector is this process: a round of one site, durable, by the default
//! settings, from its first connection to its last file published; where the server is not durable, the collector is
//! not either. What waits at the site is 0.5 to 5 KiB of an agent's XML a file. The number of files differs: where each
//! takes some round trips there are fewer, so that a run ends in half a minute at most. Connecting and listing take
//! part in each figure, and count for more where files are few. What compression is worth depends on the files: these
//! have six kinds of modules, with values that are drawn evenly at random. Cases take turns, and each figure is the
//! median of its runs; bytes and round trips are those of the last one.
//!
//! Peers, where they are installed, with the files that [`Way::files`] says:
//! - rsync pulls from an rsync daemon, with `--remove-source-files`, and with and without `--fsync`.
//! - lftp mirrors over SFTP without encryption, from OpenSSH's `sftp-server`, and removes what it has. It flushes nothing.
#![expect(clippy::print_stdout, reason = "the tables are the point")]

#[path = "distance/chart.rs"]
mod chart;
#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/data_files.rs"]
mod data_files;
#[path = "support/fresh_dir.rs"]
mod fresh_dir;
#[path = "distance/limits.rs"]
mod limits;
#[path = "support/machine.rs"]
mod machine;
#[path = "distance/others.rs"]
mod others;
#[path = "support/processor.rs"]
mod processor;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/settings.rs"]
mod settings;
mod support;
#[path = "support/svg.rs"]
mod svg;
#[path = "support/tentacle_server.rs"]
mod tentacle_server;
#[path = "support/usage.rs"]
mod usage;
#[path = "distance/way.rs"]
mod way;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use machine::machine;
use relay::Line;
use support::{Result, median, verdict};
use tentacle_server::BenchDir;
use way::{Case, Figures, Way};

/// Collecting small agent files from far away.
#[derive(Parser)]
struct Args {
    /// Where to work, instead of the build directory; this comes first.
    #[arg(id = "DIRECTORY")]
    _directory: Option<PathBuf>,
    /// Round-trip times of the line, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 20, 100])]
    round_trips: Vec<u64>,
    /// Bytes per second in each direction of each connection, where there is a round-trip time.
    #[arg(long)]
    rate: Option<u32>,
    /// Those ways alone whose name holds this, or another one that is given.
    #[arg(long)]
    way: Vec<String>,
    /// Runs of each case.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Draws a chart of the files a second.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// `cargo bench` gives this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A case, and what its runs came to.
struct Row {
    case: Case,
    runs: Vec<Figures>,
}

fn main() -> Result<()> {
    match support::role() {
        None => bench(&Args::parse()),
        Some((role, args)) if role == relay::ROLE => relay::serve(&args),
        Some((role, args)) if role == others::SFTP_ROLE => others::serve_sftp(&args),
        Some((_, args)) => others::pipe(&args),
    }
}

fn bench(args: &Args) -> Result<()> {
    let dir = BenchDir::new("distance-bench-", &support::place()?)?;
    println!("Collecting agent files of 0.5 to 5 KiB from far away, in {}", dir.path().to_string_lossy());
    if support::is_in_memory(dir.path())? {
        println!("(That is tmpfs: nothing there is durable. Name a directory on a disk.)");
    }
    println!("{}", machine()?);
    let is_wanted = |way: &Way| args.way.is_empty() || args.way.iter().any(|part| way.name().contains(part));
    let ways: Vec<Way> = Way::installed().into_iter().filter(is_wanted).collect();
    let (round_trips, runs) = if support::is_smoke() { (&[0, 20][..], 1) } else { (&args.round_trips[..], args.runs) };
    let mut rows = Vec::new();
    for &round_trip in round_trips {
        let line = Line { round_trip: Duration::from_millis(round_trip), rate: args.rate };
        let cases = ways.iter().map(|&way| Case { way, line, files: way.files(line, support::is_smoke()) });
        rows.extend(take_turns(cases.collect(), runs, &dir)?);
        print_heading(line);
        rows.iter().filter(|row| row.case.line.round_trip == line.round_trip).for_each(print_row);
    }
    print_summary(&ways, round_trips, &rows);
    limits::print(&rows)?;
    judge(&rows);
    if let Some(path) = &args.svg {
        std::fs::write(
            path,
            chart::draw(&ways, round_trips, &machine()?, |way, round_trip| rate(&rows, way, round_trip)),
        )?;
        println!("\nThe chart is in {}.", path.to_string_lossy());
    }
    Ok(())
}

/// Each case's runs. What disturbs one case for a while disturbs the others as well.
fn take_turns(cases: Vec<Case>, runs: usize, dir: &BenchDir) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = cases.into_iter().map(|case| Row { case, runs: Vec::new() }).collect();
    for _ in 0..runs {
        for row in &mut rows {
            row.runs.push(row.case.run(dir)?);
        }
    }
    Ok(rows)
}

fn print_heading(line: Line) {
    let rate = line.rate.map(|rate| format!(", {rate} bytes/s")).unwrap_or_default();
    println!("\nround-trip time {} ms{rate}", line.round_trip.as_millis());
    println!(
        "{:<18} {:>7} {:>9} {:>9} {:>11} {:>11} {:>12} {:>11} {:>12} {:>11}",
        "",
        "files",
        "seconds",
        "files/s",
        "connections",
        "trips/file",
        "bytes there",
        "bytes back",
        "CPU us/file",
        "far CPU us"
    );
}

#[expect(clippy::cast_precision_loss, reason = "a few million")]
fn print_row(row: &Row) {
    let files = row.case.files as f64;
    let middle = |figure: fn(&Figures) -> f64| median(row.runs.iter().map(figure));
    let seconds = middle(|run| run.seconds);
    let counts = row.runs.last().and_then(|run| run.counts.as_ref());
    let [connections, trips, up, down] = [
        counts.map(|counts| counts.connections.to_string()),
        counts.map(|counts| format!("{:.2}", counts.turns as f64 / files)),
        counts.map(|counts| format!("{:.0}", counts.up as f64 / files)),
        counts.map(|counts| format!("{:.0}", counts.down as f64 / files)),
    ]
    .map(Option::unwrap_or_default);
    let cpu = 1e6 * middle(|run| run.cpu) / files;
    let far = 1e6 * median(row.runs.iter().filter_map(|run| run.cpu_far)) / files;
    let far = if far.is_nan() { String::new() } else { format!("{far:.0}") };
    println!(
        "{:<18} {files:>7} {seconds:>9.2} {:>9.1} {connections:>11} {trips:>11} {up:>12} {down:>11} {cpu:>12.0} {far:>11}",
        row.case.way.name(),
        files / seconds
    );
}

/// Files a second of a way at a distance.
#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn rate(rows: &[Row], way: Way, round_trip: u64) -> Option<f64> {
    let is_wanted = |case: &Case| case.way == way && case.line.round_trip == Duration::from_millis(round_trip);
    let row = rows.iter().find(|row| is_wanted(&row.case))?;
    Some(median(row.runs.iter().map(|run| row.case.files as f64 / run.seconds)))
}

/// Files a second, as a table for README.md; and against what is compared with.
fn print_summary(ways: &[Way], round_trips: &[u64], rows: &[Row]) {
    let columns = |cell: &dyn Fn(u64) -> String| {
        let cells: Vec<String> = round_trips.iter().map(|&trip| cell(trip)).collect();
        format!(" {} |", cells.join(" | "))
    };
    println!("\n| files a second |{}", columns(&|trip| format!("{trip} ms")));
    println!("|---|{}", "---|".repeat(round_trips.len()));
    for &way in ways {
        let cell = |trip| rate(rows, way, trip).map_or_else(String::new, |rate| format!("{rate:.*}", decimals(rate)));
        println!("| {} |{}", way.name(), columns(&cell));
    }
    let compared = [
        (Way::OURS, Way::RSYNC_FSYNC),
        (Way::OURS_TLS, Way::RSYNC_FSYNC),
        (Way::OURS_UNDURABLE, Way::RSYNC),
        (Way::OURS_UNDURABLE_TLS, Way::RSYNC),
    ];
    for (way, of) in compared {
        let ratio = |trip| Some(rate(rows, way, trip)? / rate(rows, of, trip)?);
        if round_trips.iter().any(|&trip| ratio(trip).is_some()) {
            let cell = |trip| ratio(trip).map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
            println!("| {}, of {} |{}", way.name(), of.name(), columns(&cell));
        }
    }
}

/// What is aimed at: way, round-trip time in milliseconds, files a second.
const TARGETS: [(Way, u64, f64); 4] =
    [(Way::OURS, 100, 1_200.0), (Way::OURS_TLS, 600, 600.0), (Way::STOCK_TLS, 100, 200.0), (Way::STOCK, 100, 100.0)];

fn judge(rows: &[Row]) {
    println!();
    for (way, round_trip, least) in TARGETS {
        if let Some(rate) = rate(rows, way, round_trip) {
            let target = format!(">= {least} files/s at {round_trip} ms, {}", way.name());
            verdict(&target, &format!("{rate:.1}"), rate >= least);
        }
    }
    for row in rows {
        if let Some(share) = on_the_line(row)
            && row.case.way == Way::OURS_COMPRESSED
        {
            let target = format!("<= 10 % of the files' bytes on the line, {}", row.case.way.name());
            verdict(&target, &format!("{:.1} %", 100.0 * share), share <= 0.1);
        }
    }
}

/// The bytes that were carried, there and back, as a share of what the files have.
#[expect(clippy::cast_precision_loss, reason = "a few million")]
fn on_the_line(row: &Row) -> Option<f64> {
    let run = row.runs.last()?;
    let counts = run.counts.as_ref()?;
    Some((counts.up + counts.down) as f64 / run.size as f64)
}

fn decimals(rate: f64) -> usize {
    usize::from(rate < 10.0)
}
