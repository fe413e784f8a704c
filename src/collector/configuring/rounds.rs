//! One configuration round at each of some sites, for a command.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use log::warn;

use super::outcome::{ConfigOutcome, Interruption};
use super::problems::log_report;
use super::runner::{RunSite, Runner, Work};
use super::saving::Saving;
use super::site_config::{ConfigEnd, allowance};
use crate::collector::resources::{StartError, target};
use crate::collector::{Reason, warn_of_certificates};
use crate::config::{Settings, SiteSettings};
use crate::net::Net;
use crate::obs::LogThrottle;
use crate::store::{CentralFiles, GuardFile, InStepFile, Spool, StateDir, StoreError, agent_of};
use crate::sync::remote_config::{
    Allowance, Centre, CentreStep, ConfigReport, ConfigRound, ConfigStep, EndedEarly, Guard, GuardReason, InStep, Item,
    Mode, Owners, RoundPolicy, SiteStep, StepId, StepOutcome, Steps,
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
        let state_dir = settings.state_dir().to_owned();
        let mut work = Rounds { state_dir, sites, others, centres, policy: self.policy(), observer };
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
        work.adopt_owners();
        warn_of_certificates(run_sites.iter().map(|site| (site.settings.name.as_str(), &*site.target)));
        for (name, reason) in unusable {
            work.not_begun(&name, Some(Interruption::Failed(reason)));
        }
        Ok(Runner::new(net, &run_sites, settings, &mut work).run()?)
    }

    fn policy(&self) -> RoundPolicy {
        let (deletions, allowance) = (Ok(()), Allowance::ALL);
        RoundPolicy { rotation: self.rotation, deletions, allowance, named: self.named, mode: self.mode }
    }
}

/// What is known of a site.
struct RoundSite {
    name: Arc<str>,
    settings: SiteSettings,
    incoming: PathBuf,
    file: InStepFile,
    /// What is in step, but for what the round under way has done.
    in_step: InStep,
    since: Instant,
    saving: Saving,
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
        let (name, settings) = (Arc::from(site.name.as_str()), site.clone());
        Ok(Self { name, settings, incoming, file, in_step, since: now, saving: Saving::new(now) })
    }
}

/// The centre's directories.
struct CentreDirectories {
    files: CentralFiles,
    /// What is in them, unless that has changed since.
    centre: Option<Arc<Centre>>,
    owners: Owners,
    guard_file: GuardFile,
    guard: Guard,
}

impl CentreDirectories {
    /// Those in `incoming`.
    fn open(state_dir: &Path, incoming: &Path, mode: Mode) -> Result<Self, StoreError> {
        let guard_file = GuardFile::new(state_dir, incoming);
        let (files, guard) = match mode {
            Mode::Apply => (CentralFiles::recover(incoming)?, guard_file.load()?),
            Mode::DryRun => (CentralFiles::look_at(incoming)?, guard_file.look_at()?),
        };
        Ok(Self { files, centre: None, owners: Owners::default(), guard_file, guard })
    }

    fn centre(&mut self) -> Arc<Centre> {
        Arc::clone(self.centre.get_or_insert_with(|| Arc::new(self.files.centre())))
    }
}

/// A round, and the agents whose uploads it has seen.
struct NamedRound {
    round: ConfigRound,
    agents: BTreeMap<Item, Box<str>>,
    /// Contents that are on their way.
    fetched: HashMap<StepId, Item>,
}

impl Steps for NamedRound {
    fn begin(&mut self) -> Option<(StepId, ConfigStep)> {
        let begun = self.round.begin();
        if let Some((id, ConfigStep::Do(SiteStep::Fetch { name }))) = &begun
            && let Some(item) = Item::configuration(name.as_bytes()).filter(|item| item.content_name() == *name)
        {
            self.fetched.insert(*id, item);
        }
        begun
    }

    fn after(&mut self, step: StepId, outcome: StepOutcome) {
        if let (Some(item), StepOutcome::Fetched(Some(content))) = (self.fetched.remove(&step), &outcome) {
            self.agents.extend(agent_of(content).map(|agent| (item, agent)));
        }
        self.round.after(step, outcome);
    }

    fn interrupted(&mut self) {
        self.fetched.clear();
        self.round.interrupted();
    }

    fn is_finished(&self) -> bool {
        self.round.is_finished()
    }
}

/// The rounds of all sites.
struct Rounds<'a> {
    state_dir: PathBuf,
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
            let centre = CentreDirectories::open(&self.state_dir, &site.incoming, self.policy.mode)?;
            self.centres.insert(site.incoming.clone(), centre);
        }
        Ok(RunSite { settings, target })
    }

    /// Each site owns what it was known to own.
    fn adopt_owners(&mut self) {
        for site in self.sites.iter_mut().chain(&mut self.others) {
            if let Some(centre) = self.centres.get_mut(&site.incoming) {
                centre.owners.adopt(&site.name, &mut site.in_step);
            }
        }
    }

    /// Whether what is missing at the centre may be deleted.
    fn judge(&mut self, incoming: &Path, centre: &Centre) -> Result<(), GuardReason> {
        let Self { sites, others, centres, policy, .. } = self;
        let all = sites.iter().chain(others.iter()).filter(|other| other.incoming == incoming);
        let CentreDirectories { guard, guard_file, .. } = centres.get_mut(incoming).expect("opened with the site");
        let before = guard.clone();
        let judged = guard.judge(centre, all.map(|other| &other.in_step));
        if policy.mode == Mode::Apply
            && *guard != before
            && let Err(error) = guard_file.save(guard)
        {
            warn!("{error}: whether deletions are held back is judged anew next time");
        }
        judged
    }

    fn centre(&mut self, site: usize) -> &mut CentreDirectories {
        self.centres.get_mut(&self.sites[site].incoming).expect("opened with the site")
    }

    fn save(&mut self, site: usize, in_step: &InStep, now: Instant) {
        let site = &mut self.sites[site];
        site.saving = Saving::new(now);
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
            is_asked_for: true,
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
        let deletions = self.judge(&incoming, &centre);
        let site = &mut self.sites[site];
        let allowance = allowance(&site.in_step, &centre, &site.settings);
        let policy = RoundPolicy { deletions, allowance, ..self.policy.clone() };
        (site.since, site.saving) = (now, Saving::new(now));
        let round = ConfigRound::new(centre, site.in_step.clone(), policy);
        NamedRound { round, agents: BTreeMap::new(), fetched: HashMap::new() }
    }

    fn ask(&mut self, site: usize, step: CentreStep) -> StepOutcome {
        let name = Arc::clone(&self.sites[site].name);
        let CentreDirectories { files, centre, owners, .. } = self.centre(site);
        match step {
            CentreStep::Owner { item } => StepOutcome::Owner(owners.other(&item, &name).cloned()),
            CentreStep::Claim { item } => {
                let claimed = owners.claim(item, &name);
                self.sites[site].saving.claimed();
                StepOutcome::Claimed(claimed)
            }
            CentreStep::Read { item } => StepOutcome::Read(files.read(&item)),
            CentreStep::Confirm { item } => StepOutcome::Confirmed(files.is_missing(&item)),
            CentreStep::Publish { item, content } => {
                *centre = None;
                StepOutcome::Published(files.publish(&item, &content).map_err(|error| error.to_string()))
            }
        }
    }

    fn went_on(&mut self, site: usize, steps: &NamedRound, next: Option<&CentreStep>, now: Instant) {
        let saving = &self.sites[site].saving;
        let is_due = saving.is_due(now) || next.is_some_and(|step| saving.is_due_before(step));
        if is_due && self.policy.mode == Mode::Apply {
            self.save(site, &steps.round.in_step(), now);
        }
    }

    fn ended(&mut self, site: usize, steps: Option<NamedRound>, interruption: Option<Interruption>, now: Instant) {
        let name = self.sites[site].name.to_string();
        let is_asked_for = self.sites[site].settings.remote_config == Some(true);
        let Some(NamedRound { round, mut agents, .. }) = steps else {
            return self.not_begun(&name, interruption);
        };
        let (in_step, report) = round.finished();
        if self.policy.mode == Mode::Apply && in_step != self.sites[site].in_step {
            self.save(site, &in_step, now);
        }
        let took = now.saturating_duration_since(self.sites[site].since);
        self.centre(site).owners.keep(&name, &in_step);
        self.sites[site].in_step = in_step;
        let directories = self.centre(site);
        let centre = directories.centre();
        let named = report.items().filter_map(|item| Some((item.clone(), centre.items.get(item)?.agent.clone()?)));
        agents.extend(named);
        let unfit = if report.unfit.count == 0 { Vec::new() } else { directories.files.unfit() };
        let unfit = unfit.into_iter().map(|pair| (pair.item.clone(), pair.to_string())).collect();
        let is_left_out = !is_asked_for && report.ended.as_ref().is_some_and(EndedEarly::is_unprepared);
        if self.policy.mode == Mode::Apply && !is_left_out {
            let end = if interruption.is_none() { ConfigEnd::Done } else { ConfigEnd::BrokenOff };
            log_report(&name, &report, &end, took, &mut LogThrottle::default(), now);
        }
        let mode = self.policy.mode;
        (self.observer)(ConfigOutcome { site: name, report, interruption, is_asked_for, agents, unfit, mode });
    }
}
