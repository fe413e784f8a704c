//! `once`: one round of each site.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::rc::Rc;

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::cli::Collecting;
use super::{FAILURE, Outcome, SUCCESS, UnknownSite, check_open_files, find_site};
use crate::config::Settings;
use crate::net::Net;
use crate::obs::{Output, StatusLine};
use crate::role::collect::{Collector, Mode, RoundReport};
use crate::sync::Ending;

pub(super) fn run(arguments: &Collecting, names: &[String]) -> Outcome {
    let common = &arguments.common;
    let (mut settings, log) = common.start(common.path())?;
    select(&mut settings, names)?;
    arguments.check_user(&settings)?;
    let sites = settings.sites.iter().filter(|site| site.enabled).count();
    let mut net = Net::new()?;
    check_open_files(&settings);
    net.take_signals(&[SIGTERM, SIGINT])?;
    let line = std::io::stdout().is_terminal().then(|| log.status_line());
    let progress = Rc::new(RefCell::new(Progress::new(sites, line)));
    let watcher = Rc::clone(&progress);
    info!("state in {}", settings.state_dir.display());
    let observer = Box::new(move |report: &RoundReport| watcher.borrow_mut().note(report));
    let collector = Collector::new(net, &settings, Mode::Once, observer)?;
    collector.run(settings.shutdown_timeout, |_, _| false)?;
    progress.take().finish()
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
}

impl Progress {
    fn new(sites: usize, line: Option<StatusLine>) -> Self {
        Self { line, sites, ..Self::default() }
    }

    fn note(&mut self, report: &RoundReport) {
        self.files += report.tally.collected;
        self.bytes += report.tally.bytes;
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
            let text = format!("{done} of {sites} sites, {failed} failed, {files} files, {bytes} bytes");
            self.out.attempt(|| line.show(&text));
        } else if report.is_final {
            match &report.failure {
                Some(reason) => self.out.line(format_args!("{}: failed: {reason}", report.site)),
                None => self.out.line(format_args!(
                    "{}: {} files, {} bytes",
                    report.site, report.tally.collected, report.tally.bytes
                )),
            }
        }
    }

    fn finish(mut self) -> Outcome {
        if let Some(line) = &self.line {
            self.out.attempt(|| line.end());
        }
        let unfinished = self.sites - self.done - self.failed;
        if unfinished > 0 {
            self.out.line(format_args!("stopped before {unfinished} of {} sites were done", self.sites));
        }
        self.out.finish()?;
        Ok(if self.failed + unfinished == 0 { SUCCESS } else { FAILURE })
    }
}
