//! What runs came to, and how that compares with what is aimed at.

use super::kind::Kind;
use crate::support::{median, verdict};

/// How much later 99 of 100 good files may be, in ms.
const LATER: f64 = 100.0;

/// What the collector may take of the memory, in MiB.
const MEMORY: f64 = 128.0;

/// What it may log, in KiB/s.
const LOG: f64 = 10.0;

/// What a run came to; times are in ms.
pub(crate) struct Figures {
    /// Files of good sites.
    pub(crate) appeared: usize,
    /// Of those that came, in order.
    pub(crate) latenesses: Vec<f64>,
    /// Infinite where the collector has hung.
    pub(crate) stall: f64,
    /// In MiB.
    pub(crate) memory: f64,
    /// In KiB/s.
    pub(crate) log: f64,
    /// Of one processor: the collector, the good sites, the bad ones where there are any.
    pub(crate) cpu: Vec<f64>,
    /// Files that came, of those that were to be collected from bad sites.
    pub(crate) wanted: (usize, usize),
}

impl Figures {
    /// So many of 100 files are no later; infinite where one of them never came.
    fn within(&self, per_cent: usize) -> f64 {
        let index = (self.appeared.max(1) - 1) * per_cent / 100;
        self.latenesses.get(index).copied().unwrap_or(f64::INFINITY)
    }
}

pub(crate) fn print(cases: &[(Kind, Vec<Figures>)]) {
    println!(
        "\n{:<13} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>11} {:>6} {:>6} {:>6}",
        "bad", "files", "median", "99 % <=", "latest", "turn", "memory", "log", "CPU", "good's", "bad's"
    );
    for (kind, runs) in cases {
        let middle = |figure: &dyn Fn(&Figures) -> f64| median(runs.iter().map(figure));
        let (came, appeared) = files(runs);
        let [center, late, latest] = [50, 99, 100].map(|per_cent| ms(middle(&|run| run.within(per_cent)), "never"));
        let turn = ms(middle(&|run| run.stall), "hung");
        let memory = format!("{:.0} MiB", middle(&|run| run.memory));
        let log = format!("{:.1} KiB/s", middle(&|run| run.log));
        let cpu = [0, 1, 2].map(|process| {
            let shares = runs.iter().filter_map(|run| run.cpu.get(process).copied());
            let share = median(shares);
            if share.is_nan() { String::new() } else { format!("{:.0} %", 100.0 * share) }
        });
        let [ours, good, bad] = cpu;
        println!(
            "{:<13} {:>9} {center:>8} {late:>8} {latest:>8} {turn:>8} {memory:>9} {log:>11} {ours:>6} {good:>6} {bad:>6}",
            kind.name(),
            format!("{came}/{appeared}"),
        );
    }
}

pub(crate) fn judge(cases: &[(Kind, Vec<Figures>)]) {
    let [(_, none_bad), others @ ..] = cases else { return };
    println!(
        "\nBeside each kind all good files come, 99 % of them <= {LATER} ms later than where no site is bad; memory <="
    );
    println!("{MEMORY} MiB, log <= {LOG} KiB/s, and the collector ends when it is told to:\n");
    for (kind, runs) in others {
        let more = median(runs.iter().zip(none_bad).map(|(run, base)| run.within(99) - base.within(99)));
        let worst = |figure: fn(&Figures) -> f64| runs.iter().map(figure).fold(0.0, f64::max);
        let (memory, log) = (worst(|run| run.memory), worst(|run| run.log));
        let (came, appeared) = files(runs);
        let has_ended = worst(|run| run.stall).is_finite();
        let met = came == appeared && more <= LATER && memory <= MEMORY && log <= LOG && has_ended;
        let hung = if has_ended { "" } else { ", hung" };
        let figure =
            format!("{came}/{appeared} files, {} later, {memory:.0} MiB, {log:.1} KiB/s{hung}", ms(more, "for ever"));
        verdict(&format!("{:<13}", kind.name()), &figure, met);
        let (came, wanted) = runs.iter().fold((0, 0), |sum, run| (sum.0 + run.wanted.0, sum.1 + run.wanted.1));
        if wanted > 0 {
            verdict(
                "what is wanted behind those names is collected",
                &format!("{came}/{wanted} files"),
                came == wanted,
            );
        }
    }
}

/// How many came, and appeared, in all runs.
fn files(runs: &[Figures]) -> (usize, usize) {
    runs.iter().fold((0, 0), |sum, run| (sum.0 + run.latenesses.len(), sum.1 + run.appeared))
}

fn ms(figure: f64, infinite: &str) -> String {
    if figure.is_finite() { format!("{figure:.0} ms") } else { infinite.to_owned() }
}

#[expect(clippy::cast_precision_loss, reason = "no log is that long")]
pub(crate) fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
