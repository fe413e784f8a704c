//! `once`: one round of each site.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::ops::Add;
use std::rc::Rc;
use std::sync::Arc;

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::cli::Collecting;
use super::{FAILURE, Outcome, SUCCESS, UnknownSite, check_open_files, find_site};
use crate::config::{Settings, SiteSettings};
use crate::net::Net;
use crate::obs::{Output, StatusLine};
use crate::proto::{Count, printable, quoted};
use crate::role::collect::{Collector, Mode, NotTaken, RoundReport};
use crate::store::Waiting;
use crate::sync::Ending;

pub(super) fn run(arguments: &Collecting, names: &[String], wait: bool) -> Outcome {
    let mut net = Net::new()?;
    net.take_signals(&[SIGTERM, SIGINT])?;
    let common = &arguments.common;
    let (mut settings, log) = common.start(common.path())?;
    select(&mut settings, names)?;
    arguments.check_user(&settings)?;
    let sites = settings.sites.iter().filter(|site| site.enabled).count();
    check_open_files(&settings);
    let line = std::io::stdout().is_terminal().then(|| log.status_line());
    let progress = Rc::new(RefCell::new(Progress::new(sites, line)));
    let watcher = Rc::clone(&progress);
    info!("state in {}", quoted(&settings.state_dir));
    let mode = if wait { Mode::OnceAndWait } else { Mode::Once };
    let observer = Box::new(move |report: &RoundReport| watcher.borrow_mut().note(report));
    let collector = Collector::new(net, &settings, mode, observer)?;
    let ended = collector.run(settings.shutdown_timeout, |_, _| false)?;
    progress.take().finish(ended.waiting)
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

/// What the rounds have come to: one moving line on a terminal, a line for each site elsewhere. Where it cannot be written,
/// collecting goes on.
#[derive(Default)]
struct Progress {
    out: Output,
    /// On a terminal.
    line: Option<StatusLine>,
    sites: usize,
    done: usize,
    failed: usize,
    files: usize,
    bytes: u64,
    not_taken: HashMap<Arc<str>, NotTaken>,
}

impl Progress {
    fn new(sites: usize, line: Option<StatusLine>) -> Self {
        Self { line, sites, ..Self::default() }
    }

    fn note(&mut self, report: &RoundReport) {
        self.files += report.tally.collected;
        self.bytes += report.tally.bytes;
        let not_taken = self.add_not_taken(report);
        if report.is_final {
            match report.ending {
                Ending::Done => self.done += 1,
                Ending::Failed => self.failed += 1,
                // Stopped with files left at the site.
                Ending::Backlog => {}
            }
        }
        let Self { sites, done, failed, files, bytes, .. } = self;
        if let Some(line) = &self.line {
            let text = format!("{done} of {}, {failed} failed, {}", Count(*sites, "site"), gained(*files, *bytes));
            self.out.attempt(|| line.show(&text));
        } else if report.is_final {
            let site = quoted(&*report.site);
            if let Some(reason) = &report.failure {
                self.out.line(format_args!("{site}: failed: {}", printable(&reason.to_string())));
            } else {
                let gained = gained(report.tally.collected, report.tally.bytes);
                let left = if not_taken.count() == 0 { String::new() } else { format!("; left there: {not_taken}") };
                self.out.line(format_args!("{site}: {gained}{left}"));
            }
        }
    }

    fn finish(mut self, waiting: Waiting) -> Outcome {
        if let Some(line) = &self.line {
            self.out.attempt(|| line.end());
        }
        if waiting.files > 0 {
            let (files, is) = (Count(waiting.files, "file"), if waiting.files == 1 { "is" } else { "are" });
            self.out.line(format_args!(
                "{files} {is} safe here and waiting until the data server has taken what the same agents sent before: run, or \
                 the next once, publishes them; once --wait waits for that"
            ));
        }
        let unfinished = self.sites - self.done - self.failed;
        if unfinished > 0 {
            self.out.line(format_args!("stopped before {unfinished} of {} finished", Count(self.sites, "site")));
        }
        let not_taken = self.not_taken.values().copied().fold(NotTaken::default(), Add::add);
        if not_taken.count() > 0 {
            self.out.line(format_args!(
                "left at their sites, and not taken by later rounds: {not_taken}; the log names them"
            ));
        }
        self.out.finish()?;
        Ok(if self.failed + unfinished == 0 && not_taken.count() == 0 { SUCCESS } else { FAILURE })
    }

    /// What the site of `report` keeps so far.
    fn add_not_taken(&mut self, report: &RoundReport) -> NotTaken {
        let of_site = self.not_taken.entry(Arc::clone(&report.site)).or_default();
        *of_site = of_site.and_later(report.not_taken);
        *of_site
    }
}
