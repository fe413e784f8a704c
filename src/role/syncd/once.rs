//! `once`: one round of each site.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::ops::Add;
use std::rc::Rc;
use std::sync::Arc;

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::cli::Common;
use super::{FAILURE, Outcome, SUCCESS, UnknownSite, check_open_files, find_site};
use crate::config::{Settings, SiteSettings};
use crate::net::Net;
use crate::proto::{Count, printable, quoted};
use crate::role::collect::{Collector, Mode, NotTaken, RoundReport};
use crate::store::Waiting;
use crate::sync::Ending;

pub(super) fn run(common: &Common, names: &[String], wait: bool) -> Outcome {
    let mut net = Net::new()?;
    net.take_signals(&[SIGTERM, SIGINT])?;
    let mut settings = common.start()?;
    select(&mut settings, names)?;
    let sites = settings.sites.iter().filter(|site| site.enabled).count();
    check_open_files(&settings);
    let progress = Rc::new(Progress::new(sites));
    let watcher = Rc::clone(&progress);
    info!("state in {}", quoted(&settings.state_dir));
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
    let is_named = |site: &SiteSettings| names.contains(&site.name);
    if names.is_empty() {
        let left_out: Vec<_> = settings.sites.iter().filter(|site| !site.enabled).collect();
        if let [first, rest @ ..] = left_out.as_slice() {
            let (first, more) = (quoted(&first.name), rest.len());
            let more = if more == 0 { String::new() } else { format!(" and {} more", Count(more, "site")) };
            info!("site={first}{more} left out: enabled = false; name a site to have it collected from all the same");
        }
        return Ok(());
    }
    for site in settings.sites.iter().filter(|site| is_named(site) && !site.enabled) {
        let site = quoted(&site.name);
        info!("site={site} collected from since it is named, though the configuration says enabled = false");
    }
    for site in &mut settings.sites {
        site.enabled = is_named(site);
    }
    Ok(())
}

fn gained(files: usize, bytes: u64) -> String {
    format!("{}, {}", Count(files, "file"), Count(bytes, "byte"))
}

/// What the rounds have come to: one moving line on a terminal, a line for each site elsewhere.
struct Progress {
    terminal: bool,
    sites: usize,
    done: Cell<usize>,
    failed: Cell<usize>,
    files: Cell<usize>,
    bytes: Cell<u64>,
    not_taken: RefCell<HashMap<Arc<str>, NotTaken>>,
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
            not_taken: RefCell::default(),
        }
    }

    #[expect(clippy::print_stdout, reason = "a command's output")]
    fn note(&self, report: &RoundReport) {
        self.files.set(self.files.get() + report.tally.collected);
        self.bytes.set(self.bytes.get() + report.tally.bytes);
        let not_taken = self.add_not_taken(report);
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
                "\r\x1b[K{} of {}, {} failed, {}",
                self.done.get(),
                Count(self.sites, "site"),
                self.failed.get(),
                gained(self.files.get(), self.bytes.get())
            );
            // A terminal that is gone ends in SIGHUP, not here.
            let _ = std::io::Write::flush(&mut std::io::stdout());
        } else if report.is_final {
            let site = quoted(&*report.site);
            match &report.failure {
                Some(reason) => println!("{site}: failed: {}", printable(&reason.to_string())),
                None if not_taken.count() == 0 => {
                    println!("{site}: {}", gained(report.tally.collected, report.tally.bytes));
                }
                None => {
                    let gained = gained(report.tally.collected, report.tally.bytes);
                    println!("{site}: {gained}; left there: {not_taken}");
                }
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
                "collected, and waiting until the data server has taken what their agents sent before: {}; the next run \
                 publishes them, or once --wait",
                gained(waiting.files, waiting.bytes)
            );
        }
        let unfinished = self.sites - self.done.get() - self.failed.get();
        if unfinished > 0 {
            println!("stopped before {unfinished} of {} finished", Count(self.sites, "site"));
        }
        let not_taken = self.not_taken.borrow().values().copied().fold(NotTaken::default(), Add::add);
        if not_taken.count() > 0 {
            println!("left at their sites, and not taken by later rounds: {not_taken}; the log names them");
        }
        if self.failed.get() + unfinished == 0 && not_taken.count() == 0 { SUCCESS } else { FAILURE }
    }

    /// What the site of `report` keeps so far.
    fn add_not_taken(&self, report: &RoundReport) -> NotTaken {
        let mut all = self.not_taken.borrow_mut();
        let of_site = all.entry(Arc::clone(&report.site)).or_default();
        *of_site = of_site.and_later(report.not_taken);
        *of_site
    }
}
