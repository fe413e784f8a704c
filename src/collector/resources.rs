//! What a site's settings name, opened: certificates, spool, target.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::warn;

use super::Reason;
use crate::config::proxy;
use crate::config::{Settings, SiteSettings};
use crate::net::{HttpVersion, Target};
use crate::proto::{Count, quoted};
use crate::store::{Spool, StoreError};
use crate::sync::PollPolicy;
use crate::tls::{Connector, Connectors, UnixTime};

/// The most sites that an error names.
const SITES_NAMED: usize = 10;

/// What a site's settings name, opened.
#[derive(Clone)]
pub(super) struct SiteResources {
    pub(super) settings: SiteSettings,
    pub(super) target: Arc<Target>,
    pub(super) spool: Spool,
}

impl SiteResources {
    pub(super) fn pace(&self) -> PollPolicy {
        PollPolicy { interval: self.settings.interval, retries: self.settings.retries }
    }

    /// Whether these are its settings, and the certificates in force for `target` its certificates.
    pub(super) fn is_like(&self, settings: &SiteSettings, target: &Target) -> bool {
        self.settings == *settings && certificates(&self.target) == certificates(target)
    }
}

/// The certificates that are in force for a target, by file and fingerprint.
fn certificates(target: &Target) -> Vec<(&Path, [u8; 32])> {
    let reports = target.tls.iter().flat_map(Connector::report);
    reports.map(|report| (report.file.as_path(), report.certificate.sha256.0)).collect()
}

/// A site of which something cannot be opened.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) settings: SiteSettings,
    pub(super) reason: Reason,
}

/// A site, opened or not.
pub(super) type Opened = Result<SiteResources, Box<Unusable>>;

/// What makes a start impossible.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory, or the thread that works on the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are sites, and not one of them can be opened: each with its name and why.
    #[error("{}", no_site(.0))]
    NoSite(Vec<(String, Reason)>),
    /// The system.
    #[error("cannot set up the event loop: {0}")]
    Io(#[from] io::Error),
}

impl StartError {
    /// Whether it stays as it is until somebody changes the configuration or sets something right by hand.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::Store(error) => error.is_lasting(),
            // As soon as one of the files can be used, the next start succeeds.
            Self::NoSite(_) | Self::Io(_) => false,
        }
    }

    /// [`StartError::NoSite`], if there are sites and all of them are unusable.
    pub(super) fn of_unusable(sites: Vec<Opened>) -> Result<Vec<Opened>, Self> {
        if sites.is_empty() || sites.iter().any(Result::is_ok) {
            return Ok(sites);
        }
        let failed = sites.into_iter().filter_map(Result::err);
        Err(Self::NoSite(failed.map(|unusable| (unusable.settings.name, unusable.reason)).collect()))
    }
}

fn no_site(sites: &[(String, Reason)]) -> String {
    if let [(name, reason)] = sites {
        return format!("site {}: {reason}", quoted(name));
    }
    let mut lines = vec![format!("none of the {} sites can be collected from:", sites.len())];
    lines.extend(sites.iter().take(SITES_NAMED).map(|(name, reason)| format!("site {}: {reason}", quoted(name))));
    if let Some(more @ 1..) = sites.len().checked_sub(SITES_NAMED) {
        lines.push(format!("and {} more", Count(more, "site")));
    }
    lines.join("\n")
}

/// Opens what the sites' settings name: certificates, spools. Disabled sites are left out.
pub(super) fn open_all(settings: &Settings, spools: &mut BTreeMap<PathBuf, Spool>) -> Vec<Opened> {
    let enabled = settings.sites.iter().filter(|site| site.enabled);
    let mut connectors = Connectors::default();
    // Each directory is looked at once, on a thread that is waited for, however many sites share it.
    let mut looked_at = BTreeMap::<&Path, Result<Spool, StoreError>>::new();
    let opened: Vec<Opened> = enabled
        .map(|site| {
            let incoming = site.incoming_dir.as_path();
            open(site.clone(), &mut connectors, |directory| {
                let look = || open_spool(directory, settings.state_dir(), spools);
                looked_at.entry(incoming).or_insert_with(look).clone()
            })
        })
        .collect();
    let usable = opened.iter().filter_map(|site| site.as_ref().ok());
    warn_of_certificates(usable.map(|one| (one.settings.name.as_str(), &*one.target)));
    opened
}

/// Logs what the sites' certificates and policies give rise to: of a file once, however many sites use it, and of a policy
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
        let name = quoted(name);
        match others {
            0 => warn!("site={name} {warning}"),
            others => warn!("site={name} {warning} (the same for {})", Count(others, "more site")),
        }
    }
}

/// Opens what one site's settings name. `open_spool` opens the spool in its incoming directory.
pub(super) fn open(
    mut settings: SiteSettings,
    connectors: &mut Connectors,
    open_spool: impl FnOnce(&Path) -> Result<Spool, StoreError>,
) -> Opened {
    let secrets = settings.read_secrets().map_err(Reason::from);
    let opened = secrets
        .and_then(|()| target(&settings, connectors))
        .and_then(|target| Ok((Arc::new(target), open_spool(&settings.incoming_dir)?)));
    match opened {
        Ok((target, spool)) => Ok(SiteResources { settings, target, spool }),
        Err(reason) => Err(Box::new(Unusable { settings, reason })),
    }
}

/// The spool in `incoming`: one and the same however the directory is spelled.
pub(super) fn open_spool(
    incoming: &Path,
    state_dir: &Path,
    spools: &mut BTreeMap<PathBuf, Spool>,
) -> Result<Spool, StoreError> {
    if let Some(spool) = spools.get(incoming).filter(|spool| spool.check_answers().is_err()) {
        // Where a path leads that is in a filesystem which does not answer cannot be found out.
        return Ok(spool.clone());
    }
    let path = Spool::resolve(incoming)?;
    if let Some(spool) = spools.get(&path) {
        return Ok(spool.clone());
    }
    let spool = Spool::open_beside(&path, state_dir)?;
    spools.insert(path, spool.clone());
    Ok(spool)
}

/// Takes the spool that `error` is about out of `spools`, and its sites out of those that are usable; returns whether there
/// was one.
pub(super) fn withdraw(error: &StoreError, spools: &mut BTreeMap<PathBuf, Spool>, sites: &mut [Opened]) -> bool {
    let is_about = |directory: &Path| error.path().is_some_and(|path| path.starts_with(directory));
    let Some(directory) = spools.keys().find(|directory| is_about(directory)).cloned() else { return false };
    spools.remove(&directory);
    for site in sites {
        if let Ok(resources) = site
            && resources.spool.incoming() == directory
        {
            let settings = resources.settings.clone();
            *site = Err(Box::new(Unusable { settings, reason: error.clone().into() }));
        }
    }
    true
}

/// The site as the loop sees it.
pub(crate) fn target(site: &SiteSettings, connectors: &mut Connectors) -> Result<Target, Reason> {
    let tls = site.tls.as_ref().map(|tls| connectors.get(tls, UnixTime::now())).transpose()?;
    Ok(Target {
        host: site.address.as_str().into(),
        port: site.port,
        local: None,
        proxy: site.proxy.as_ref().map(|settings| proxy(settings, HttpVersion::Http11)),
        tls,
        timeout: site.timeout,
        quick_ack: site.quickack,
    })
}
