//! One configuration round at each of some sites, for a command.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use log::warn;

use super::outcome::{ConfigOutcome, Interruption};
use super::runner::{RunSite, Runner, Work};
use super::site_config::{ConfigEnd, SAVED_EVERY, allowance, log_report};
use crate::collector::resources::{StartError, target};
use crate::collector::{Reason, warn_of_certificates};
use crate::config::{Settings, SiteSettings};
use crate::net::Net;
use crate::obs::LogThrottle;
use crate::store::{CentralFiles, InStepFile, Spool, StateDir, StoreError, agent_of};
use crate::sync::remote_config::{
    Allowance, Centre, CentreStep, ConfigReport, ConfigRound, ConfigStep, InStep, Item, Mode, RoundPolicy, SiteStep,
    StepOutcome, Steps, guard,
};
use crate::tls::Connectors;

/// What is to be done.
pub struct ConfigRounds<'a> {
    /// Of all sites together.
    pub settings: &'a Settings,
    /// The sites that have a round.
    pub sites: Vec<SiteSettings>,
    /// Other sites, whose items count where it is judged how much is missing at the centre.
    pub others: Vec<SiteSettings>,
    /// A dry run changes nothing, not even in the state directory, and works beside a daemon.
    pub mode: Mode,
    /// How many of the items that are believed to be in step are compared.
    pub rotation: usize,
    /// How many items of each kind an outcome names.
    pub named: usize,
}

impl ConfigRounds<'_> {
    /// Has the rounds, and calls `observer` with what each has come to. Waits for the disk.
    ///
    /// # Errors
    /// The state directory cannot be used, or another process works there; the loop.
    pub fn run(self, net: Net, observer: &mut dyn FnMut(ConfigOutcome)) -> Result<(), StartError> {
        let Self { settings, mode, .. } = self;
        let _lock = (mode == Mode::Apply).then(|| StateDir::enter(settings.state_dir())).transpose()?;
        let now = net.now();
        let (mut run_sites, mut unusable) = (Vec::new(), Vec::new());
        let (sites, others, centres) = (Vec::new(), Vec::new(), HashMap::new());
        let mut work = Rounds { sites, others, centres, policy: self.policy(), observer };
        let mut connectors = Connectors::default();
        for site in self.sites {
            let name = site.name.clone();
            let round_site = RoundSite::new(&site, settings, mode, now).map_err(Reason::from);
            let opened = round_site.and_then(|round_site| match work.open(site, &round_site, &mut connectors) {
                Ok(run_site) => Ok((run_site, round_site)),
                Err(reason) => {
                    work.others.push(round_site);
                    Err(reason)
                }
            });
            match opened {
                Ok((run_site, round_site)) => {
                    run_sites.push(run_site);
                    work.sites.push(round_site);
                }
                Err(reason) => unusable.push((name, reason)),
            }
        }
        // One whose incoming directory does not answer has another one than those that have a round.
        let others = self.others.iter().map(|site| RoundSite::new(site, settings, mode, now));
        work.others.extend(others.filter_map(Result::ok));
        warn_of_certificates(run_sites.iter().map(|site| (site.settings.name.as_str(), &*site.target)));
        for (name, reason) in unusable {
            work.not_begun(&name, Some(Interruption::Failed(reason)));
        }
        Ok(Runner::new(net, &run_sites, settings.max_connections, &mut work).run()?)
    }

    fn policy(&self) -> RoundPolicy {
        let (deletions, allowance) = (Ok(()), Allowance::ALL);
        RoundPolicy { rotation: self.rotation, deletions, allowance, named: self.named, mode: self.mode }
    }
}

/// What is known of a site.
struct RoundSite {
    name: String,
    settings: SiteSettings,
    incoming: PathBuf,
    file: InStepFile,
    /// What is in step, but for what the round under way has done.
    in_step: InStep,
    since: Instant,
    /// When what is in step was saved last.
    saved: Instant,
}

impl RoundSite {
    fn new(site: &SiteSettings, settings: &Settings, mode: Mode, now: Instant) -> Result<Self, StoreError> {
        let incoming = Spool::resolve(&site.incoming_dir)?;
        let file = InStepFile::new(settings.state_dir(), &site.name, &incoming);
        let in_step = match mode {
            Mode::DryRun => file.look_at()?,
            Mode::Apply => file.load().unwrap_or_else(|error| {
                warn!("{error}: all is compared anew");
                InStep::default()
            }),
        };
        let (name, settings) = (site.name.clone(), site.clone());
        Ok(Self { name, settings, incoming, file, in_step, since: now, saved: now })
    }
}

/// The centre's directories.
struct CentreDirectories {
    files: CentralFiles,
    /// What is in them, unless that has changed since.
    centre: Option<Arc<Centre>>,
}

impl CentreDirectories {
    fn centre(&mut self) -> Arc<Centre> {
        Arc::clone(self.centre.get_or_insert_with(|| Arc::new(self.files.centre())))
    }
}

/// A round, and the agents whose uploads it has seen.
struct NamedRound {
    round: ConfigRound,
    agents: BTreeMap<Item, Box<str>>,
}

impl Steps for NamedRound {
    fn next_step(&self) -> ConfigStep {
        self.round.next_step()
    }

    fn after(&mut self, outcome: StepOutcome) {
        if let (ConfigStep::Do(SiteStep::Fetch { name }), StepOutcome::Fetched(Some(content))) =
            (self.round.next_step(), &outcome)
            && let Some(item) = Item::configuration(name.as_bytes()).filter(|item| item.content_name() == name)
        {
            self.agents.extend(agent_of(content).map(|agent| (item, agent)));
        }
        self.round.after(outcome);
    }
}

/// The rounds of all sites.
struct Rounds<'a> {
    /// Those that have a connection, or will.
    sites: Vec<RoundSite>,
    others: Vec<RoundSite>,
    centres: HashMap<PathBuf, CentreDirectories>,
    policy: RoundPolicy,
    observer: &'a mut dyn FnMut(ConfigOutcome),
}

impl Rounds<'_> {
    /// Opens what a site's round needs.
    fn open(
        &mut self,
        mut settings: SiteSettings,
        site: &RoundSite,
        connectors: &mut Connectors,
    ) -> Result<RunSite, Reason> {
        settings.read_secrets()?;
        let target = Arc::new(target(&settings, connectors)?);
        if !self.centres.contains_key(&site.incoming) {
            let files = match self.policy.mode {
                Mode::Apply => CentralFiles::recover(&site.incoming)?,
                Mode::DryRun => CentralFiles::look_at(&site.incoming)?,
            };
            self.centres.insert(site.incoming.clone(), CentreDirectories { files, centre: None });
        }
        Ok(RunSite { settings, target })
    }

    fn centre(&mut self, site: usize) -> &mut CentreDirectories {
        self.centres.get_mut(&self.sites[site].incoming).expect("opened with the site")
    }

    fn save(&mut self, site: usize, in_step: &InStep, now: Instant) {
        let site = &mut self.sites[site];
        site.saved = now;
        if let Err(error) = site.file.save(in_step) {
            warn!("{error}: after a restart more is compared anew");
        }
    }

    /// The site's round has not begun.
    fn not_begun(&mut self, site: &str, interruption: Option<Interruption>) {
        (self.observer)(ConfigOutcome {
            site: site.to_owned(),
            report: ConfigReport::default(),
            interruption,
            agents: BTreeMap::new(),
            unfit: BTreeMap::new(),
            mode: self.policy.mode,
        });
    }
}

impl Work for Rounds<'_> {
    type Steps = NamedRound;

    fn begin(&mut self, site: usize, now: Instant) -> NamedRound {
        let centre = self.centre(site).centre();
        let incoming = self.sites[site].incoming.clone();
        let all = self.sites.iter().chain(&self.others).filter(|other| other.incoming == incoming);
        let deletions = guard(&centre, all.map(|other| &other.in_step));
        let site = &mut self.sites[site];
        let allowance = allowance(site.in_step.iter().map(|(item, _)| item), &centre, &site.settings);
        let policy = RoundPolicy { deletions, allowance, ..self.policy.clone() };
        (site.since, site.saved) = (now, now);
        NamedRound { round: ConfigRound::new(centre, site.in_step.clone(), policy), agents: BTreeMap::new() }
    }

    fn ask(&mut self, site: usize, step: CentreStep) -> StepOutcome {
        let CentreDirectories { files, centre } = self.centre(site);
        match step {
            CentreStep::Read { item } => StepOutcome::Read(files.read(&item)),
            CentreStep::Confirm { item } => StepOutcome::Confirmed(files.is_missing(&item)),
            CentreStep::Publish { item, content } => {
                *centre = None;
                StepOutcome::Published(files.publish(&item, &content).map_err(|error| error.to_string()))
            }
        }
    }

    fn went_on(&mut self, site: usize, steps: &NamedRound, now: Instant) {
        let is_due = now.saturating_duration_since(self.sites[site].saved) >= SAVED_EVERY;
        if is_due && self.policy.mode == Mode::Apply {
            self.save(site, steps.round.in_step(), now);
        }
    }

    fn ended(&mut self, site: usize, steps: Option<NamedRound>, interruption: Option<Interruption>, now: Instant) {
        let name = self.sites[site].name.clone();
        let Some(NamedRound { round, mut agents }) = steps else {
            return self.not_begun(&name, interruption);
        };
        let (in_step, report) = round.finished();
        if self.policy.mode == Mode::Apply && in_step != self.sites[site].in_step {
            self.save(site, &in_step, now);
        }
        let took = now.saturating_duration_since(self.sites[site].since);
        self.sites[site].in_step = in_step;
        let directories = self.centre(site);
        let centre = directories.centre();
        let named = report.items().filter_map(|item| Some((item.clone(), centre.items.get(item)?.agent.clone()?)));
        agents.extend(named);
        let unfit = if report.unfit.count == 0 { Vec::new() } else { directories.files.unfit() };
        let unfit = unfit.into_iter().map(|pair| (pair.item.clone(), pair.to_string())).collect();
        if self.policy.mode == Mode::Apply {
            let end = if interruption.is_none() { ConfigEnd::Done } else { ConfigEnd::BrokenOff };
            log_report(&name, &report, &end, took, &mut LogThrottle::default(), now);
        }
        (self.observer)(ConfigOutcome { site: name, report, interruption, agents, unfit, mode: self.policy.mode });
    }
}
