//! The rounds for agents' configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::super::{NotConfigured, Problem};
use super::json::Line;
use crate::collector::{ConfigOutcome, ConfigRounds, Interruption, ItemLine};
use crate::config::{Settings, SiteSettings};
use crate::net::Net;
use crate::obs::{LogTarget, Output, OutputError, StatusLine, finish_log};
use crate::proto::{Count, quoted};
use crate::store::CentralFiles;
use crate::sync::remote_config::Mode;

/// How many of the items that are believed to be the same are compared after a round of data: as many as in a daemon's round.
pub(super) const ROTATION: usize = 16;

/// How many items of each kind are named where something is changed.
const NAMED: usize = 20;

/// The sites whose configuration is kept the same as the centre's.
pub(super) struct Configured {
    /// Those that have a round.
    sites: Vec<SiteSettings>,
    /// The others, whose items count where it is judged how much is missing at the centre.
    others: Vec<SiteSettings>,
}

impl Configured {
    /// Those that are named, or else enabled, have a round.
    pub(super) fn of(settings: &Settings, names: &[String]) -> Self {
        let is_named = |site: &SiteSettings| names.contains(&site.name);
        let mut are_there = BTreeMap::<PathBuf, bool>::new();
        let mut has_directories = |incoming: &PathBuf| {
            *are_there.entry(incoming.clone()).or_insert_with_key(|incoming| CentralFiles::are_there(incoming))
        };
        let meant = settings.sites.iter().filter(|site| site.enabled || is_named(site));
        let known = meant.filter(|site| site.remote_config.unwrap_or_else(|| has_directories(&site.incoming_dir)));
        let (sites, others) = known.cloned().partition(|site| names.is_empty() || is_named(site));
        Self { sites, others }
    }

    /// Refuses names of sites that have no configuration to be kept the same.
    pub(super) fn check(&self, names: &[String]) -> Result<(), NotConfigured> {
        match names.iter().find(|name| !self.sites.iter().any(|site| site.name == **name)) {
            Some(name) => Err(NotConfigured::Named(name.clone())),
            None if self.sites.is_empty() => Err(NotConfigured::Any),
            None => Ok(()),
        }
    }

    /// Only sites with these names have a round.
    pub(super) fn only(self, names: &BTreeSet<Arc<str>>) -> Self {
        let (sites, left_out): (Vec<_>, Vec<_>) =
            self.sites.into_iter().partition(|site| names.contains(site.name.as_str()));
        Self { sites, others: self.others.into_iter().chain(left_out).collect() }
    }

    /// Whether there is anything to be done.
    pub(super) fn has_sites(&self) -> bool {
        !self.sites.is_empty()
    }

    /// Has the rounds. Whether all sites have the same as the centre by now; of a dry run, whether they would.
    pub(super) fn run(self, settings: &Settings, view: View, rotation: usize) -> Result<bool, Problem> {
        let mut net = Net::new()?;
        net.take_signals(&[SIGTERM, SIGINT])?;
        let (Self { sites, others }, mode) = (self, view.mode);
        let named = if mode == Mode::DryRun { usize::MAX } else { NAMED };
        let mut progress = Progress::new(sites.len(), view);
        let rounds = ConfigRounds { settings, sites, others, mode, rotation, named };
        rounds.run(net, &mut |outcome| progress.note(&outcome))?;
        finish_log();
        Ok(progress.finish()?)
    }
}

/// How it is shown what rounds come to.
pub(super) struct View {
    mode: Mode,
    /// On a terminal.
    line: Option<StatusLine>,
    is_json: bool,
}

impl View {
    pub(super) fn new(log: &LogTarget, mode: Mode, is_json: bool) -> Self {
        // The lines of a dry run are what it is for.
        let is_line = mode == Mode::Apply && !is_json && std::io::stdout().is_terminal();
        Self { mode, line: is_line.then(|| log.status_line()), is_json }
    }
}

/// What the rounds have come to: one moving line on a terminal and what is wrong below it, lines for each site elsewhere.
struct Progress {
    out: Output,
    /// On a terminal.
    line: Option<StatusLine>,
    is_json: bool,
    mode: Mode,
    sites: usize,
    done: usize,
    failed: usize,
    changes: [usize; 3],
    in_step: usize,
    not_in_step: usize,
    /// What is to be said below the moving line.
    below: Vec<String>,
}

impl Progress {
    fn new(sites: usize, View { mode, line, is_json }: View) -> Self {
        let (out, changes, below) = (Output::default(), [0; 3], Vec::new());
        Self { out, line, is_json, mode, sites, done: 0, failed: 0, changes, in_step: 0, not_in_step: 0, below }
    }

    fn note(&mut self, outcome: &ConfigOutcome) {
        let report = &outcome.report;
        for (all, count) in
            self.changes.iter_mut().zip([&report.pushed.count, &report.taken_up.count, &report.deleted.count])
        {
            *all += count;
        }
        self.in_step += report.in_step;
        self.not_in_step += outcome.not_in_step();
        if self.is_json {
            self.out.file(&Line::configuration(outcome).print());
        }
        let site = quoted(&outcome.site);
        if let Some(ended) = outcome.left_out() {
            self.done += 1;
            if !self.is_json {
                self.say(format!("{site}: configuration: left out: {ended}"));
            }
            return self.show();
        }
        let failure = match (&outcome.interruption, &report.ended) {
            (Some(Interruption::Failed(reason)), _) => Some(format!("{site}: configuration: failed: {reason}")),
            (Some(Interruption::Stopped), _) => Some(format!("{site}: configuration: not finished: {outcome}")),
            (None, Some(ended)) => Some(format!("{site}: configuration: failed: {ended}")),
            (None, None) => None,
        };
        *(if failure.is_some() { &mut self.failed } else { &mut self.done }) += 1;
        if self.is_json {
            return;
        }
        if self.mode == Mode::DryRun {
            outcome.changes().iter().for_each(|line| self.out.line(line));
        } else if failure.is_none() && self.line.is_none() {
            self.out.line(format_args!("{site}: configuration: {outcome}"));
        }
        let problems: Vec<String> = outcome.problems().iter().map(ItemLine::to_string).collect();
        problems.into_iter().chain(failure).for_each(|text| self.say(text));
        self.show();
    }

    /// At once, or below the moving line.
    fn say(&mut self, text: String) {
        if self.line.is_some() {
            self.below.push(text);
        } else {
            self.out.line(text);
        }
    }

    fn show(&mut self) {
        if let Some(line) = &self.line {
            let text = format!(
                "configuration: {} of {}, {} failed, {}",
                self.done,
                Count(self.sites, "site"),
                self.failed,
                self.counts()
            );
            self.out.attempt(|| line.show(&text));
        }
    }

    fn counts(&self) -> String {
        let [pushed, taken_up, deleted] = self.changes;
        match self.mode {
            Mode::Apply => format!("{pushed} pushed, {taken_up} taken up, {deleted} deleted"),
            Mode::DryRun => {
                format!("{pushed} to push, {taken_up} to take up, {deleted} to delete, {} in step", self.in_step)
            }
        }
    }

    fn finish(mut self) -> Result<bool, OutputError> {
        if let Some(line) = &self.line {
            self.out.attempt(|| line.end());
        }
        for text in std::mem::take(&mut self.below) {
            self.out.line(text);
        }
        if self.mode == Mode::DryRun && !self.is_json {
            let (sites, failed, counts) = (Count(self.sites, "site"), self.failed, self.counts());
            let not = self.not_in_step;
            self.out.line(format_args!("{sites}, {failed} failed: {counts}, {not} not in step; nothing was changed"));
        }
        self.out.finish()?;
        Ok(self.failed == 0 && self.not_in_step == 0)
    }
}
