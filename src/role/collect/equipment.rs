//! What a site's settings name, opened: certificates, spool, target.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::warn;

use crate::config::{Settings, SiteSettings};
use crate::net::{HttpVersion, Target};
use crate::proto::{Count, quoted};
use crate::role::proxy::proxy;
use crate::store::{Spool, StoreError};
use crate::sync::Pace;
use crate::tls::{Connectors, SetupError, UnixTime};

/// What a site's settings name, opened.
#[derive(Clone)]
pub(super) struct Equipment {
    pub(super) settings: SiteSettings,
    pub(super) target: Arc<Target>,
    pub(super) spool: Spool,
}

impl Equipment {
    pub(super) fn pace(&self) -> Pace {
        Pace { interval: self.settings.interval, retries: self.settings.retries }
    }
}

/// What makes a start, or a reload, impossible.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool or the state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A site's certificates.
    #[error("site {}: {error}{}", quoted(.site), where_the_passphrase_goes(.error))]
    Tls {
        /// The site.
        site: String,
        /// What is wrong with them.
        error: SetupError,
    },
    /// The system.
    #[error("cannot set up the event loop: {0}")]
    Io(#[from] io::Error),
}

impl StartError {
    /// Whether it stays as it is until somebody changes the configuration, or a file that it names.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::Store(error) => error.is_lasting(),
            Self::Tls { .. } => true,
            Self::Io(_) => false,
        }
    }
}

fn where_the_passphrase_goes(error: &SetupError) -> &'static str {
    if error.is_for_want_of_a_passphrase() { " (passphrase_file or passphrase_env)" } else { "" }
}

/// Opens what the sites' settings name: certificates, spools. Disabled sites are left out.
pub(super) fn equip(settings: &Settings, spools: &mut HashMap<PathBuf, Spool>) -> Result<Vec<Equipment>, StartError> {
    let enabled = settings.sites.iter().filter(|site| site.enabled);
    let mut connectors = Connectors::default();
    let equipment = enabled.map(|site| {
        let spool = open_spool(&site.incoming_dir, spools)?;
        Ok(Equipment { settings: site.clone(), target: Arc::new(target(site, &mut connectors)?), spool })
    });
    let equipment: Vec<Equipment> = equipment.collect::<Result<_, StartError>>()?;
    warn_of_certificates(equipment.iter().map(|one| (one.settings.name.as_str(), &*one.target)));
    Ok(equipment)
}

/// Says what the sites' certificates and policies give rise to: of a file once, however many sites use it, and of a policy
/// once with the first site that has it.
pub(crate) fn warn_of_certificates<'a>(sites: impl Iterator<Item = (&'a str, &'a Target)>) {
    let mut said = HashSet::new();
    let mut policies: Vec<(&str, &str, usize)> = Vec::new();
    for (name, target) in sites {
        let Some(tls) = &target.tls else { continue };
        for warning in tls.file_warnings() {
            if !said.contains(&warning) {
                warn!("{warning}");
                said.insert(warning);
            }
        }
        if let Some(warning) = tls.policy_warning() {
            match policies.iter_mut().find(|(_, known, _)| *known == warning) {
                Some((.., others)) => *others += 1,
                None => policies.push((name, warning, 0)),
            }
        }
    }
    for (name, warning, others) in policies {
        match others {
            0 => warn!("site={} {warning}", quoted(name)),
            others => {
                let others = Count(others, "more site");
                warn!("site={} {warning} (the same for {others})", quoted(name));
            },
        }
    }
}

/// The spool in `incoming`: one and the same however the directory is spelled.
fn open_spool(incoming: &Path, spools: &mut HashMap<PathBuf, Spool>) -> Result<Spool, StoreError> {
    let path = incoming.canonicalize().unwrap_or_else(|_| incoming.to_owned());
    if let Some(spool) = spools.get(&path) {
        return Ok(spool.clone());
    }
    let spool = Spool::open(&path)?;
    spools.insert(path, spool.clone());
    Ok(spool)
}

/// The site as the loop sees it.
pub(crate) fn target(site: &SiteSettings, connectors: &mut Connectors) -> Result<Target, StartError> {
    let tls = site.tls.as_ref().map(|tls| connectors.get(tls, UnixTime::now())).transpose();
    let tls = tls.map_err(|error| StartError::Tls { site: site.name.clone(), error })?;
    Ok(Target {
        host: site.address.as_str().into(),
        port: site.port,
        local: None,
        proxy: site.proxy.as_ref().map(|settings| proxy(settings, HttpVersion::Http11)),
        tls,
        timeout: site.timeout,
        quick_ack: site.quick_ack,
    })
}
