//! What a site has and what the centre has, for a command that shows it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::outcome::Interruption;
use super::runner::{RunSite, Runner, Work};
use crate::collector::Reason;
use crate::collector::resources::target;
use crate::config::{Settings, SiteSettings};
use crate::net::Net;
use crate::store::{CentralFiles, InStepFile, Spool, StoreError};
use crate::sync::remote_config::{AtSite, CentreStep, Comparison, EndedEarly, InStep, Item, StepOutcome};
use crate::tls::Connectors;

/// What was found.
#[derive(Debug)]
pub struct Compared {
    /// At the centre.
    pub centre: CentralFiles,
    /// At the site: of the item that was asked for, or of those that differ.
    pub at_site: Vec<AtSite>,
    /// When.
    pub now: Instant,
}

/// Why a site's configuration cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The centre's directories, or what is kept in the state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connection, or the settings for it.
    #[error(transparent)]
    Site(#[from] Reason),
    /// The site's server.
    #[error("{0}")]
    Server(EndedEarly),
    /// A signal.
    #[error("stopped")]
    Stopped,
    /// The system.
    #[error("cannot set up the event loop: {0}")]
    Io(#[from] io::Error),
}

/// Fetches what the site has of `item`, or of all items that are not the same as at the centre. Changes nothing; waits for the
/// disk.
///
/// # Errors
/// One side cannot be looked at.
pub fn compare(
    net: Net,
    settings: &Settings,
    site: &SiteSettings,
    item: Option<Item>,
) -> Result<Compared, CompareError> {
    let mut site = site.clone();
    site.read_secrets().map_err(Reason::from)?;
    let target = Arc::new(target(&site, &mut Connectors::default())?);
    let incoming = Spool::resolve(&site.incoming_dir)?;
    let in_step = InStepFile::new(settings.state_dir(), &site.name, &incoming).look_at()?;
    let centre = CentralFiles::look_at(&incoming)?;
    let mut comparing = Comparing { centre, in_step, item, now: net.now(), end: Ok(Vec::new()) };
    Runner::new(net, &[RunSite { settings: site, target }], settings, &mut comparing).run()?;
    let Comparing { centre, end, now, .. } = comparing;
    Ok(Compared { centre, at_site: end?, now })
}

struct Comparing {
    centre: CentralFiles,
    in_step: InStep,
    item: Option<Item>,
    now: Instant,
    end: Result<Vec<AtSite>, CompareError>,
}

impl Work for Comparing {
    type Steps = Comparison;

    fn begin(&mut self, _: usize, _: Instant) -> Comparison {
        match &self.item {
            Some(item) => Comparison::of(item.clone()),
            None => Comparison::of_all(Arc::new(self.centre.centre()), self.in_step.clone()),
        }
    }

    fn ask(&mut self, _: usize, step: CentreStep) -> StepOutcome {
        match step {
            CentreStep::Read { item } => StepOutcome::Read(self.centre.read(&item)),
            // A comparison asks for no such thing.
            CentreStep::Publish { .. } => StepOutcome::Published(Err("nothing is changed".to_owned())),
            CentreStep::Confirm { .. } => StepOutcome::Confirmed(false),
            // Whoever owns it: what differs is shown.
            CentreStep::Owner { .. } => StepOutcome::Owner(None),
            CentreStep::Claim { .. } => StepOutcome::Claimed(Ok(())),
        }
    }

    fn went_on(&mut self, _: usize, _: &Comparison, _: Option<&CentreStep>, _: Instant) {}

    fn ended(&mut self, _: usize, steps: Option<Comparison>, interruption: Option<Interruption>, now: Instant) {
        self.now = now;
        self.end = match (interruption, steps) {
            (Some(Interruption::Stopped), _) => Err(CompareError::Stopped),
            (Some(Interruption::Failed(reason)), _) => Err(reason.into()),
            (None, steps) => steps.map_or(Ok(Vec::new()), Comparison::finished).map_err(CompareError::Server),
        };
    }
}
