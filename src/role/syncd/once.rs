//! `once`: one round of each site.

use std::cell::Cell;
use std::io::IsTerminal;
use std::rc::Rc;

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::cli::Common;
use super::{FAILURE, Outcome, SUCCESS, UnknownSite, check_open_files, find_site};
use crate::config::Settings;
use crate::net::Net;
use crate::role::collect::{Collector, Mode, RoundReport};
use crate::store::Waiting;
use crate::sync::Ending;

pub(super) fn run(common: &Common, names: &[String], wait: bool) -> Outcome {
    let mut settings = common.start()?;
    select(&mut settings, names)?;
    let sites = settings.sites.iter().filter(|site| site.enabled).count();
    let mut net = Net::new()?;
    check_open_files(&settings);
    net.take_signals(&[SIGTERM, SIGINT])?;
    let progress = Rc::new(Progress::new(sites));
    let watcher = Rc::clone(&progress);
    info!("state in {}", settings.state_dir.display());
    let mode = if wait { Mode::OnceAndWait } else { Mode::Once };
    let collector = Collector::new(net, &settings, mode, Box::new(move |report| watcher.note(report)))?;
    let ended = collector.run(settings.shutdown_timeout, |_, _| false)?;
    Ok(progress.finish(ended.waiting))
}

/// Leaves only the named sites enabled; naming a disabled one enables it.
fn select(settings: &mut Settings, names: &[String]) -> Result<(), UnknownSite> {
    for name in names {
        find_site(settings, name)?;
    }
    if !names.is_empty() {
        for site in &mut settings.sites {
            site.enabled = names.contains(&site.name);
        }
    }
    Ok(())
}

fn files(count: usize) -> String {
    if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") }
}

/// What the rounds have come to: one moving line on a terminal, a line for each site elsewhere.
struct Progress {
    terminal: bool,
    sites: usize,
    done: Cell<usize>,
    failed: Cell<usize>,
    files: Cell<usize>,
    bytes: Cell<u64>,
}

impl Progress {
    fn new(sites: usize) -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            sites,
            done: Cell::new(0),
            failed: Cell::new(0),
            files: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    #[expect(clippy::print_stdout, reason = "a command's output")]
    fn note(&self, report: &RoundReport) {
        self.files.set(self.files.get() + report.tally.collected);
        self.bytes.set(self.bytes.get() + report.tally.bytes);
        if report.is_final {
            match report.ending {
                Ending::Done => self.done.set(self.done.get() + 1),
                Ending::Failed => self.failed.set(self.failed.get() + 1),
                // Stopped with files left at the site.
                Ending::Backlog => {}
            }
        }
        if self.terminal {
            print!(
                "\r\x1b[K{} of {} sites, {} failed, {} files, {} bytes",
                self.done.get(),
                self.sites,
                self.failed.get(),
                self.files.get(),
                self.bytes.get()
            );
            // A terminal that is gone ends in SIGHUP, not here.
            let _ = std::io::Write::flush(&mut std::io::stdout());
        } else if report.is_final {
            match &report.failure {
                Some(reason) => println!("{}: failed: {reason}", report.site),
                None => println!("{}: {} files, {} bytes", report.site, report.tally.collected, report.tally.bytes),
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "a command's output")]
    fn finish(&self, waiting: Waiting) -> u8 {
        if self.terminal {
            println!();
        }
        if waiting.files > 0 {
            println!(
                "{} safe here and waiting until the data server has taken what the same agents sent before: run, or the next \
                 once, publishes them; once --wait waits for that",
                files(waiting.files)
            );
        }
        let unfinished = self.sites - self.done.get() - self.failed.get();
        if unfinished > 0 {
            println!("stopped before {unfinished} of {} sites were done", self.sites);
        }
        if self.failed.get() + unfinished == 0 { SUCCESS } else { FAILURE }
    }
}
