//! One run of a server and its clients, and tables of many.

use std::path::Path;

use super::clients::{Clients, Op};
use super::data_files::wait_until_empty;
use super::memory::memory;
use super::tentacle_server::{BenchDir, Make, Server};
use super::usage::cpu_time;
use crate::support::{Result, median};

/// What a run came to.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) files_per_second: f64,
    /// Microseconds.
    pub(crate) cpu_per_file: f64,
    /// MiB.
    pub(crate) peak: f64,
}

impl Run {
    /// Has clients do it with a server whose storage is this.
    pub(crate) fn of(make: Make, tls: bool, op: Op, storage: &Path, dir: &BenchDir) -> Result<Self> {
        let server = Server::start(make, tls, storage, dir, &[])?;
        let mut clients = Clients::ready(op, server.address())?;
        let run = Self::going(&mut clients, &server)?;
        drop(clients);
        if let Op::Move = op {
            wait_until_empty(storage)?;
        }
        Ok(run)
    }

    /// Has these clients do what they are ready for.
    pub(crate) fn going(clients: &mut Clients, server: &Server) -> Result<Self> {
        let cpu = cpu_time(server.id())?;
        let done = clients.run()?;
        Ok(Self {
            files_per_second: done.per_second(),
            cpu_per_file: 1e6 * cpu_time(server.id())?.saturating_sub(cpu).as_secs_f64() / done.count,
            peak: memory(&server.id().to_string(), "VmHWM")? / 1024.0,
        })
    }
}

/// Each case's runs. What disturbs one case for a while disturbs the others as well.
pub(crate) fn take_turns<C: Copy>(cases: &[C], runs: usize, run: impl Fn(C) -> Result<Run>) -> Result<Vec<Vec<Run>>> {
    let mut figures = vec![Vec::with_capacity(runs); cases.len()];
    for _ in 0..runs {
        for (case, figures) in cases.iter().zip(&mut figures) {
            figures.push(run(*case)?);
        }
    }
    Ok(figures)
}

/// How many times faster than its counterpart each of the runs was, in the middle.
pub(crate) fn ratio(runs: &[Run], counterparts: &[Run]) -> f64 {
    let pairs = runs.iter().zip(counterparts);
    median(pairs.map(|(run, counterpart)| run.files_per_second / counterpart.files_per_second))
}

pub(crate) fn print_heading(what: &str) {
    println!("\n{what:<43} {:>8} {:>12} {:>10} {:>10}", "files/s", "CPU us/file", "peak MiB", "of stock");
}

/// `stock` is what its files/s are compared with.
pub(crate) fn print_row(what: &str, make: Make, runs: &[Run], stock: Option<&[Run]>) {
    let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    let ratio = stock.map(|stock| format!("{:.1}x", ratio(runs, stock))).unwrap_or_default();
    println!(
        "{what:<24} {:<18} {:>8.0} {:>12.0} {:>10.1} {ratio:>10}",
        make.name(),
        middle(|run| run.files_per_second),
        middle(|run| run.cpu_per_file),
        middle(|run| run.peak),
    );
}

/// Prints a row for each make, and compares the first one and the last one but stock with stock, if it is there.
pub(crate) fn print_rows(what: &str, makes: &[Make], figures: &[Vec<Run>]) -> Option<(f64, f64)> {
    let stock = makes.iter().position(|make| *make == Make::Stock).map(|index| &figures[index][..]);
    for (make, runs) in makes.iter().zip(figures) {
        print_row(what, *make, runs, stock);
    }
    let ours = figures.len() - 1;
    stock.map(|stock| (ratio(&figures[0], stock), ratio(&figures[ours - 1], stock)))
}
