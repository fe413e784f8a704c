//! `once`: one round of each site: its data, then agents' configuration.

mod configuration;
mod json;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::ops::Add;
use std::rc::Rc;
use std::sync::Arc;

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};

use self::configuration::{Configured, ROTATION, View};
use self::json::{Line, SiteOutcome};
use super::args::Collecting;
use super::forced_end::ForcedEnd;
use super::{FAILURE, Outcome, SUCCESS, UnknownSite, check_open_files, find_site};
use crate::collector::{Collector, Mode, NotTaken, Reason, RoundReport};
use crate::config::{Settings, SiteSettings};
use crate::control::Amount;
use crate::net::Net;
use crate::obs::{Output, OutputError, StatusLine, finish_log};
use crate::proto::{Count, quoted};
use crate::store::Waiting;
use crate::sync::Ending;
use crate::sync::remote_config::Mode as RoundMode;

pub(super) fn run(arguments: &Collecting, names: &[String], wait: bool, is_json: bool) -> Outcome {
    let mut net = Net::new()?;
    net.take_signals(&[SIGTERM, SIGINT])?;
    let forced_end = ForcedEnd::after(&[SIGTERM, SIGINT])?;
    let common = &arguments.common;
    let (mut settings, log) = common.start(common.path())?;
    let configured = Configured::of(&settings, names);
    select(&mut settings, names)?;
    forced_end.set(settings.shutdown_timeout);
    arguments.check_user(&settings)?;
    let sites = settings.sites.iter().filter(|site| site.enabled).count();
    check_open_files(&settings);
    let line = (!is_json && std::io::stdout().is_terminal()).then(|| log.status_line());
    let progress = Rc::new(RefCell::new(Progress::new(sites, line, is_json)));
    let watcher = Rc::clone(&progress);
    info!("state in {}", quoted(settings.state_dir()));
    let mode = if wait { Mode::OnceAndWait } else { Mode::Once };
    let observer = Box::new(move |report: &RoundReport| watcher.borrow_mut().note(report));
    let collector = Collector::new(net, &settings, mode, observer)?;
    let is_stopped = Cell::new(false);
    let ended = collector.run(settings.shutdown_timeout, |_, _| {
        is_stopped.set(true);
        false
    })?;
    let end = match (is_stopped.get(), wait) {
        (false, _) => End::ByItself,
        (true, false) => End::Stopped,
        (true, true) => End::StoppedWaiting,
    };
    // What follows is what it came to: on a terminal, below what was logged.
    finish_log();
    let progress = progress.take();
    let configured = configured.only(&progress.come_to_an_end);
    let waiting = ended.waiting;
    let is_collected = progress.finish(end, waiting)?;
    let is_in_step = match configured {
        configured if !configured.has_sites() => true,
        _ if is_stopped.get() => {
            info!("stopped before agents' configuration was looked at");
            false
        }
        configured => configured.run(&settings, View::new(&log, RoundMode::Apply, is_json), ROTATION)?,
    };
    conclude(is_collected && is_in_step, is_json, Some(waiting))
}

/// `once --config-only`.
pub(super) fn configure(arguments: &Collecting, names: &[String], mode: RoundMode, is_json: bool) -> Outcome {
    let forced_end = ForcedEnd::after(&[SIGTERM, SIGINT])?;
    let common = &arguments.common;
    let (mut settings, log) = common.start(common.path())?;
    let configured = Configured::of(&settings, names);
    select(&mut settings, names)?;
    forced_end.set(settings.shutdown_timeout);
    configured.check(names)?;
    if mode == RoundMode::Apply {
        arguments.check_user(&settings)?;
    }
    info!("state in {}", quoted(settings.state_dir()));
    let is_in_step = configured.run(&settings, View::new(&log, mode, is_json), usize::MAX)?;
    conclude(is_in_step, is_json, None)
}

/// The exit status, and the last of the lines of JSON.
fn conclude(is_complete: bool, is_json: bool, waiting: Option<Waiting>) -> Outcome {
    if is_json {
        let mut out = Output::default();
        out.file(&Line::end(is_complete, waiting).print());
        out.finish()?;
    }
    Ok(if is_complete { SUCCESS } else { FAILURE })
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

/// Why no more rounds follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All sites are done, or as much waits for the data server as may.
    ByItself,
    /// By a signal.
    Stopped,
    /// By a signal, and what waits for the data server was to be waited for.
    StoppedWaiting,
}

/// What one site's rounds have come to.
#[derive(Debug, Default)]
struct SiteProgress {
    files: usize,
    bytes: u64,
    /// Files that its last round had not come to.
    left: usize,
    not_taken: NotTaken,
    is_told: bool,
}

impl SiteProgress {
    fn note(&mut self, report: &RoundReport) {
        self.files += report.tally.collected;
        self.bytes += report.tally.bytes;
        self.left = report.tally.left;
        self.not_taken = self.not_taken.and_later(report.not_taken);
    }

    /// `last` is its last round, where there is none to follow.
    fn json<'a>(&self, name: &'a str, last: Option<&'a RoundReport>) -> Line<'a> {
        let failure = last.and_then(|last| last.failure.as_ref());
        Line::Site {
            name,
            outcome: match last.map(|last| last.ending) {
                Some(Ending::Done) => SiteOutcome::Done,
                Some(Ending::Failed) => SiteOutcome::Failed,
                Some(Ending::Stalled) => SiteOutcome::Stalled,
                Some(Ending::Backlog | Ending::CutOff) | None => SiteOutcome::Unfinished,
            },
            collected: Amount { files: self.files as u64, bytes: self.bytes },
            left: self.left as u64,
            not_taken: self.not_taken.into(),
            reason: failure.map(Reason::code),
            message: failure.map(Reason::to_string),
        }
    }

    fn gained(&self) -> String {
        let left =
            if self.not_taken.count() == 0 { String::new() } else { format!("; left there: {}", self.not_taken) };
        gained(self.files, self.bytes) + &left
    }
}

/// What the rounds have come to: one moving line on a terminal, a line for each site elsewhere. Where it cannot be written,
/// collecting goes on.
#[derive(Default)]
struct Progress {
    out: Output,
    /// On a terminal.
    line: Option<StatusLine>,
    /// Lines of JSON, where they are asked for.
    is_json: bool,
    sites: usize,
    done: usize,
    failed: usize,
    /// Sites with files that no further round would have come to.
    stalled: usize,
    files: usize,
    bytes: u64,
    /// Those that have had a round.
    by_site: BTreeMap<Arc<str>, SiteProgress>,
    /// Those whose last round did not fail.
    come_to_an_end: BTreeSet<Arc<str>>,
}

impl Progress {
    fn new(sites: usize, line: Option<StatusLine>, is_json: bool) -> Self {
        Self { line, is_json, sites, ..Self::default() }
    }

    fn note(&mut self, report: &RoundReport) {
        self.files += report.tally.collected;
        self.bytes += report.tally.bytes;
        let of_site = self.by_site.entry(Arc::clone(&report.site)).or_default();
        of_site.note(report);
        if report.is_final {
            if matches!(report.ending, Ending::Done | Ending::Stalled) {
                self.come_to_an_end.insert(Arc::clone(&report.site));
            }
            match report.ending {
                Ending::Done => self.done += 1,
                Ending::Failed => self.failed += 1,
                Ending::Stalled => self.stalled += 1,
                // Stopped with files left at the site: reported at the end.
                Ending::Backlog | Ending::CutOff => {}
            }
        }
        let Self { sites, done, failed, files, bytes, .. } = self;
        if let Some(line) = &self.line {
            let text = format!("{done} of {}, {failed} failed, {}", Count(*sites, "site"), gained(*files, *bytes));
            self.out.attempt(|| line.show(&text));
        } else if report.is_final && !matches!(report.ending, Ending::Backlog | Ending::CutOff) {
            of_site.is_told = true;
            if self.is_json {
                return self.out.file(&of_site.json(&report.site, Some(report)).print());
            }
            let site = quoted(&*report.site);
            match &report.failure {
                Some(reason) => self.out.line(format_args!("{site}: failed: {reason}")),
                None if report.ending == Ending::Stalled => {
                    let files = Count(report.tally.left, "file");
                    self.out.line(format_args!(
                        "{site}: {files} left there, behind others that it does not give or delete; {}",
                        of_site.gained()
                    ));
                }
                None => self.out.line(format_args!("{site}: {}", of_site.gained())),
            }
        }
    }

    /// Whether all is collected that is to be.
    fn finish(mut self, end: End, waiting: Waiting) -> Result<bool, OutputError> {
        if let Some(line) = &self.line {
            self.out.attempt(|| line.end());
        } else {
            for (site, progress) in self.by_site.iter().filter(|(_, progress)| !progress.is_told) {
                if self.is_json {
                    self.out.file(&progress.json(site, None).print());
                    continue;
                }
                self.out.line(format_args!("{}: not finished: {}", quoted(&**site), progress.gained()));
            }
        }
        if waiting.files > 0 && !self.is_json {
            let (files, is) = (Count(waiting.files, "file"), if waiting.files == 1 { "is" } else { "are" });
            self.out.line(format_args!(
                "{files} {is} safe here and waiting until the data server has taken what the same agents sent before: run, or \
                 the next once, publishes them; once --wait waits for that"
            ));
        }
        let unfinished = self.sites - self.done - self.failed - self.stalled;
        if unfinished > 0 && !self.is_json {
            self.report_unfinished(unfinished, end);
        }
        let not_taken = self.by_site.values().map(|progress| progress.not_taken).fold(NotTaken::default(), Add::add);
        if not_taken.count() > 0 && !self.is_json {
            self.out.line(format_args!(
                "left at their sites, and not taken by later rounds: {not_taken}; the log names the first few, and all \
                 at --log-level debug"
            ));
        }
        self.out.finish()?;
        let is_all_published = end != End::StoppedWaiting || waiting.files == 0;
        Ok(self.failed + self.stalled + unfinished == 0 && not_taken.count() == 0 && is_all_published)
    }

    fn report_unfinished(&mut self, unfinished: usize, end: End) {
        let sites = Count(self.sites, "site");
        match end {
            End::ByItself => self.out.line(format_args!(
                "{unfinished} of {sites} not finished, as no more may wait here for the data server (max_spool_files, \
                 max_spool_bytes): is it running? once --wait, and run, go on as it takes files"
            )),
            End::Stopped | End::StoppedWaiting => {
                self.out.line(format_args!("stopped before {unfinished} of {sites} finished"));
            }
        }
    }
}
