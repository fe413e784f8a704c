//! What the configuration files and the command line come down to: plain values, checked, with nothing left to parse.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use super::defaults;
use super::source::{SecretFile, SecretPurpose, UnreadSecret};
use crate::proto::{Secret, quoted};
use crate::store::{Durability, Publish, Waiting};
use crate::sync::{Delivery, NameFilter};
use crate::tls::{TlsSettings, Verify};

/// Everything `tentacle-syncd` runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the journal and what is remembered of sites is kept.
    pub state_dir: PathBuf,
    /// When a file counts as safe.
    pub durability: Durability,
    /// When a file that is safe here is shown to the data server.
    pub publish: Publish,
    /// What may wait here for its publication before files stay at their sites.
    pub max_spool: Waiting,
    /// The most connections open at once, over all sites.
    pub max_connections: usize,
    /// How long a stop may take before what is under way is cut, see SIGTERM.
    pub shutdown_timeout: Duration,
    /// Every site, enabled or not, in the order of the file; names are unique.
    pub sites: Vec<SiteSettings>,
    /// What was understood though it was not written as the file's format wants it, or is dangerous: one line each,
    /// with file and line.
    pub warnings: Vec<String>,
}

/// One isolated network's Tentacle server, and how to collect from it.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteSettings {
    /// Unique; stands in every log line and in the journal.
    pub name: String,
    /// Whether it is collected from.
    pub enabled: bool,
    /// Host name or address, without brackets.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// From the start of one round to the start of the next.
    pub interval: Duration,
    /// The longest wait for a connection, a handshake, an answer, or the next bytes of a body.
    pub timeout: Duration,
    /// Quick retries after a failed round before the site waits for its next interval.
    pub retries: u32,
    /// The most connections to this site at once, at least 1.
    pub connections: usize,
    /// Files with passwords or passphrases of this site that could not be read: it cannot be collected from without.
    pub unread_secrets: Vec<UnreadSecret>,
    /// The site's password, if it asks for one.
    pub password: Option<Secret>,
    /// How to speak TLS, `None` for plain TCP.
    pub tls: Option<TlsSettings>,
    /// The HTTP proxy to go through.
    pub proxy: Option<ProxySettings>,
    /// Where this site's files land.
    pub incoming_dir: PathBuf,
    /// Which names are collected.
    pub filter: NameFilter,
    /// How a file leaves the site.
    pub delivery: Delivery,
    /// The largest file taken, in bytes; larger ones are reported and left.
    pub max_file_size: u64,
    /// The slowest a body may come, in bytes per second, on average after `timeout`; 0 for any.
    pub min_rate: u64,
    /// How long one round may go on taking new files; what is left is the next round's, which follows at once.
    pub round_limit: Duration,
    /// Connections stay open between rounds when the next is at most this far: below stock's idle limit of 4 s.
    pub keep_open: Duration,
    /// Acknowledge at once (`TCP_QUICKACK`): stock servers write line by line under Nagle and wait for it.
    pub quick_ack: bool,
}

impl SiteSettings {
    /// A site of which no more is known: built-in [`defaults`], without TLS, password or proxy.
    ///
    /// # Panics
    /// Never: the default patterns are valid.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            enabled: true,
            address: address.into(),
            port: defaults::PORT,
            interval: defaults::INTERVAL,
            timeout: defaults::TIMEOUT,
            retries: defaults::RETRIES,
            connections: defaults::CONNECTIONS,
            unread_secrets: Vec::new(),
            password: None,
            tls: None,
            proxy: None,
            incoming_dir: defaults::INCOMING_DIR.into(),
            filter: NameFilter::new(&defaults::INCLUDE, &defaults::EXCLUDE).expect("the default patterns are valid"),
            delivery: defaults::DELIVERY,
            max_file_size: defaults::MAX_FILE_SIZE,
            min_rate: defaults::MIN_RATE,
            round_limit: defaults::ROUND_LIMIT,
            keep_open: defaults::KEEP_OPEN,
            quick_ack: defaults::QUICK_ACK,
        }
    }
}

impl Settings {
    /// What protects connections to sites by `before`, and does not by these settings: the site and the key. A reload must
    /// not take that over, since a file that was cut off looks the same.
    pub fn unprotected(&self, before: &Self) -> Vec<String> {
        let before: HashMap<&str, &SiteSettings> = before.sites.iter().map(|site| (&*site.name, site)).collect();
        let sites = self.sites.iter().filter_map(|site| Some((site, before.get(&*site.name)?)));
        sites
            .filter_map(|(site, before)| Some(format!("{} of site {}", site.lost_since(before)?, quoted(&site.name))))
            .collect()
    }

    /// Takes `settings` over, but for the sites named `unusable`, which go on as before.
    pub fn replace_by(&mut self, settings: Self, unusable: &[String]) {
        let before = std::mem::replace(self, settings);
        for old in before.sites.into_iter().filter(|site| unusable.contains(&site.name)) {
            if let Some(new) = self.sites.iter_mut().find(|site| site.name == old.name) {
                *new = old;
            }
        }
    }

    /// The files with certificates and keys.
    pub fn pem_files(&self) -> Vec<PathBuf> {
        let files = self.sites.iter().flat_map(|site| &site.tls).flat_map(TlsSettings::files);
        files.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }
}

impl SiteSettings {
    /// The key that protected the site's connections by `before`, and is not there any more. To check nothing takes a word
    /// in the file, and is no oversight.
    fn lost_since(&self, before: &Self) -> Option<&'static str> {
        let has_password = |site: &Self| {
            site.password.is_some()
                || site.unread_secrets.iter().any(|unread| unread.purpose == SecretPurpose::Password)
        };
        match (&before.tls, &self.tls) {
            (Some(_), None) => Some("tls"),
            (Some(TlsSettings { verify: Verify::ChainAndName | Verify::Pin(_), .. }), Some(now))
                if now.verify == Verify::Chain =>
            {
                Some("verify")
            }
            // One that could not be read has protected nothing: the site was left out.
            _ if before.password.is_some() && !has_password(self) => Some("password"),
            _ => None,
        }
    }

    /// Reads the files again that could not be read when the configuration was.
    ///
    /// # Errors
    /// The first that still cannot be.
    pub fn read_secrets(&mut self) -> Result<(), UnreadSecret> {
        while let Some(unread) = self.unread_secrets.first() {
            let secret = unread.read(SecretFile::read)?;
            match self.unread_secrets.remove(0).purpose {
                SecretPurpose::Password => self.password = Some(secret),
                SecretPurpose::Passphrase => {
                    if let Some(identity) = self.tls.as_mut().and_then(|tls| tls.identity.as_mut()) {
                        identity.passphrase = Some(secret);
                    }
                }
                SecretPurpose::Proxy { user } => {
                    if let Some(proxy) = &mut self.proxy {
                        proxy.credentials = Some((user, secret));
                    }
                }
            }
        }
        Ok(())
    }
}

/// An HTTP proxy that takes CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySettings {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `user` and password for Basic auth.
    pub credentials: Option<(String, Secret)>,
}
