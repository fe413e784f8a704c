//! What may limit, as tables for README.md: processors where there is no line, bytes where there is one.

use std::thread::available_parallelism;

use super::way::Figures;
use super::{Row, on_the_line};
use crate::support::{Result, median};

pub(crate) fn print(rows: &[Row]) -> Result<()> {
    print_processors(rows)?;
    print_bytes(rows);
    Ok(())
}

/// What the near end and the server use of the processors, for each file and as shares of the time that passes: whoever has
/// 100 % in one thread, or both together as much as there are processors, can be no faster.
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a table of some thousand files")]
fn print_processors(rows: &[Row]) -> Result<()> {
    let processors = available_parallelism()?;
    let mut rows = rows.iter().filter(|row| row.case.line.round_trip.is_zero()).peekable();
    if rows.peek().is_some() {
        println!(
            "\n| processors at 0 ms | near: us/file | of one | server: us/file | of one | both, of {processors} |"
        );
        println!("|---|---|---|---|---|---|");
    }
    for row in rows {
        let of = |time: &dyn Fn(&Figures) -> Option<f64>| {
            let middle =
                |by: &dyn Fn(&Figures) -> f64| median(row.runs.iter().filter_map(|run| Some(time(run)? / by(run))));
            (1e6 * middle(&|_| row.case.files as f64), 100.0 * middle(&|run| run.seconds))
        };
        let cell = |figure: f64, unit: &str| if figure.is_nan() { String::new() } else { format!("{figure:.0}{unit}") };
        let (near, far) = (of(&|run| Some(run.cpu)), of(&|run| run.cpu_far));
        let both = (near.1 + far.1) / processors.get() as f64;
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            row.case.way.name(),
            cell(near.0, ""),
            cell(near.1, " %"),
            cell(far.0, ""),
            cell(far.1, " %"),
            cell(both, " %")
        );
    }
    Ok(())
}

/// What the shortest line carried, against what the files have.
#[expect(clippy::print_stdout, reason = "a table")]
fn print_bytes(rows: &[Row]) {
    let lines = || rows.iter().map(|row| row.case.line.round_trip).filter(|round_trip| !round_trip.is_zero());
    let Some(shortest) = lines().min() else { return };
    println!("\n| bytes at {} ms | files | have | there | back | carried |", shortest.as_millis());
    println!("|---|---|---|---|---|---|");
    for row in rows.iter().filter(|row| row.case.line.round_trip == shortest) {
        if let (Some(run), Some(share)) = (row.runs.last(), on_the_line(row))
            && let Some(counts) = &run.counts
        {
            let (name, percent) = (row.case.way.name(), 100.0 * share);
            println!(
                "| {name} | {} | {} | {} | {} | {percent:.1} % |",
                row.case.files, run.size, counts.up, counts.down
            );
        }
    }
}
