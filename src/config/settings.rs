//! What the configuration files and the command line come down to: plain values, checked, with nothing left to parse;
//! and their keys, see `keys.rs`.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use super::defaults;
use super::http_settings::HttpSettings;
use super::keys::{Reload, Tables, keys};
use super::source::{SecretFile, SecretPurpose, UnreadSecret};
use super::toml_conf::{
    Bandwidth, FilePath, Flag, Globs, Number, Password, Permissions, Proxy, Size, Text, Time, Tls, Word,
};
use super::words::DURABILITIES;
use crate::bandwidth::Timetable;
use crate::proto::{Fingerprint, Secret, quoted};
use crate::store::{Durability, Publish, Waiting};
use crate::sync::{Delivery, FetchOrder, Patterns};
use crate::tls::TlsSettings;

/// `safe` or `move`.
const DELIVERIES: [(&str, Delivery); 2] = [("safe", Delivery::Safe), ("move", Delivery::Move)];

const FETCH_ORDERS: [(&str, FetchOrder); 2] = [("oldest", FetchOrder::Oldest), ("fresh-first", FetchOrder::FreshFirst)];

const PUBLISHES: [(&str, Publish); 2] = [("paced", Publish::Paced), ("at-once", Publish::AtOnce)];

/// More would be an interval of its own.
pub(super) const MOST_RETRIES: u64 = 1000;

/// Connections to one site; stock servers take 10 in all.
const MOST_CONNECTIONS: u64 = 64;

/// Connections to all sites.
const MOST_CONNECTIONS_OVERALL: u64 = 1_000_000;

/// Each takes some memory, and its record in the journal.
const MOST_SPOOLED: u64 = 10_000_000;

const SECOND: Duration = Duration::from_secs(1);

/// Far beyond any use, and far from overflowing any clock.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

keys! {
    /// Everything `tentacle-syncd` runs by.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Settings {
        /// Every site, enabled or not, in the order of the file; names are unique.
        sites: Vec<SiteSettings>,
        /// What was understood though it was not written in the file's format, or is dangerous: one line each, with
        /// file and line.
        warnings: Vec<String>,
        /// What the daemon tells the data server of itself.
        monitor: MonitorSettings,
        /// What all that was read from: the configuration's file, and then those that it includes.
        files: Vec<ReadFile>,
        /// The status port.
        http: HttpSettings,
    }

    /// The keys of `[sync]`.
    static SYNC: Reload = {
        /// Where the journal and what is remembered of sites is kept; see [`Settings::state_dir()`].
        state_dir: Option<PathBuf> = None, FilePath, AtRestart;

        /// When a file counts as safe.
        durability: Durability = Durability::Fsync, Word(&DURABILITIES), AtRestart;

        /// When a file that is safe here is shown to the data server.
        publish: Publish = Publish::Paced, Word(&PUBLISHES), AtRestart;

        /// How many files may wait here for their publication before files stay at their sites.
        max_spool_files: usize = 200_000, Number(1..=MOST_SPOOLED), AtOnce;

        /// How many bytes these may have.
        max_spool_bytes: u64 = 2 << 30, Size(1), AtOnce;

        /// How many bytes a second all sites together may send us, and we them, by the time of the week.
        bwlimit: Timetable = Timetable::OFF, Bandwidth, AtOnce;

        /// The most connections open at once, over all sites.
        max_connections: usize = 1024, Number(1..=MOST_CONNECTIONS_OVERALL), AtOnce;

        /// The control socket; see `cli::control_socket` for where it is otherwise.
        control_socket: Option<PathBuf> = None, FilePath, AtRestart;

        /// Who may use it.
        control_mode: u32 = 0o660, Permissions, AtRestart;

        /// Its group, where it is not that of the process.
        control_group: Option<String> = None, Text, AtRestart;

        /// How long a stop may take before what is under way is cut, see SIGTERM.
        shutdown_timeout: Duration = defaults::SHUTDOWN_TIMEOUT, Time(Duration::ZERO..=LONGEST), AtRestart;
    }
}

keys! {
    /// What the daemon tells the data server of itself.
    #[derive(Clone, Debug, PartialEq)]
    pub struct MonitorSettings {
    }

    /// The keys of `[monitor]`.
    static MONITOR: Reload = {
        /// The agent that the daemon is in the console; none where it tells nothing.
        agent: Option<String> = None, Text, AtOnce;

        /// How often it does.
        interval: Duration = 300 * SECOND, Time(SECOND..=LONGEST), AtOnce;

        /// Whether each site is an agent of its own.
        per_site: bool = false, Flag, AtOnce;

        /// Where its files go.
        incoming_dir: PathBuf = defaults::INCOMING_DIR.into(), FilePath, AtOnce;
    }
}

impl Default for MonitorSettings {
    fn default() -> Self {
        Self::built_in()
    }
}

keys! {
    /// One isolated network's Tentacle server, and how to collect from it.
    #[derive(Clone, Debug, PartialEq)]
    pub struct SiteSettings {
        /// Unique; stands in every log line and in the journal.
        name: String,
        /// Host name or address, without brackets.
        address: String,
        /// The group whose settings it has where it has none of its own.
        group: Option<String>,
        /// Files with passwords or passphrases of this site that could not be read: it cannot be collected from without.
        unread_secrets: Vec<UnreadSecret>,
    }

    /// The keys of a `[[site]]` that may stand in `[defaults]` too.
    static SITE: Tables = {
        /// Whether it is collected from.
        enabled: bool = true, Flag, Site;

        /// TCP port.
        port: u16 = defaults::PORT, Number(1..=65_535), Site;

        /// From the start of one round to the start of the next.
        interval: Duration = 30 * SECOND, Time(SECOND..=LONGEST), Site;

        /// The longest wait for a connection, a handshake, an answer, or the next bytes of a body.
        timeout: Duration = 10 * SECOND, Time(SECOND..=LONGEST), Site;

        /// Quick retries after a failed round before the site waits for its next interval.
        retries: u32 = 3, Number(0..=MOST_RETRIES), Site;

        /// The most connections to this site at once, at least 1.
        connections: usize = 2, Number(1..=MOST_CONNECTIONS), Site;

        /// The site's password, if it asks for one.
        password: Option<Secret> = None, Password, Site;

        /// How to speak TLS, `None` for plain TCP.
        tls: Option<TlsSettings> = None, Tls, Site;

        /// The HTTP proxy to go through.
        proxy: Option<ProxySettings> = None, Proxy, Site;

        /// Where this site's files land.
        incoming_dir: PathBuf = defaults::INCOMING_DIR.into(), FilePath, SiteAndSync;

        /// Names that are collected, unless they are excluded.
        include: Patterns = any_data(), Globs { if_none: Some(NONE_INCLUDED) }, Site;

        /// Names that are not.
        exclude: Patterns = Patterns::default(), Globs { if_none: None }, Site;

        /// How a file leaves the site.
        delivery: Delivery = Delivery::Safe, Word(&DELIVERIES), SiteAndSync;

        /// Which agent's files come first.
        order: FetchOrder = FetchOrder::Oldest, Word(&FETCH_ORDERS), Site;

        /// The largest file taken, in bytes; larger ones are reported and left.
        max_file_size: u64 = 64 << 20, Size(1), Site;

        /// The slowest a body may come, in bytes per second, on average after `timeout`; 0 for any.
        min_rate: u64 = 64, Size(0), Site;

        /// How many bytes a second the site may send us, and we it, by the time of the week.
        bwlimit: Timetable = Timetable::OFF, Bandwidth, Site;

        /// How long one round may go on taking new files; what is left is the next round's, which follows at once.
        round_limit: Duration = 300 * SECOND, Time(SECOND..=LONGEST), Site;

        /// Connections stay open between rounds when the next is at most this far: below stock's idle limit of 4 s.
        keep_open: Duration = 3 * SECOND, Time(Duration::ZERO..=LONGEST), Site;

        /// Acknowledge at once (`TCP_QUICKACK`): stock servers write line by line under Nagle and wait for it.
        quickack: bool = true, Flag, Site;

        /// Whether a server of ours is spoken to in the extension, in which files are asked for ahead. A stock server is
        /// asked whether it is one, and takes that for a file that it does not have.
        extension: bool = true, Flag, Site;

        /// Whether a server of ours is asked to compress, both ways, and a stock server to send files in archives.
        compression: bool = false, Flag, Site;

        /// Whether a stock server is sent commands ahead of its answers: over TLS, and in plain at a distance where the way is
        /// long.
        pipelining: bool = true, Flag, Site;

        /// Whether agents' configuration and their collections are kept the same here and at the site; `None` where
        /// `incoming_dir` and the site have the directories for that, and in silence where they do not.
        remote_config: Option<bool> = None, Flag, Site;

        /// From one comparison of the configuration to the next; what is edited here goes to the site at once.
        remote_config_interval: Duration = 60 * SECOND, Time(SECOND..=LONGEST), Site;

        /// How many of a site's agents may have their configuration here: more are not taken up.
        remote_config_max_agents: usize = 50_000, Number(0..=MOST_SPOOLED), Site;

        /// How many bytes these may have.
        remote_config_max_bytes: u64 = 256 << 20, Size(0), Site;

        /// What stays free on the filesystem, in bytes: where less would, nothing is taken up.
        remote_config_min_free: u64 = 256 << 20, Size(0), Site;
    }
}

/// Where a daemon is reached, as far as its configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonPaths {
    /// `control_socket`.
    pub control_socket: Option<PathBuf>,
    /// `state_dir`.
    pub state_dir: Option<PathBuf>,
}

/// A file of the configuration, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFile {
    /// Where.
    pub path: PathBuf,
    /// What stood in it.
    pub fingerprint: Fingerprint,
}

const NONE_INCLUDED: &str = "no file is collected; leave it out, or set enabled = false";

fn any_data() -> Patterns {
    static ANY_DATA: LazyLock<Patterns> =
        LazyLock::new(|| Patterns::new(&["*.data"]).expect("the default pattern is valid"));
    ANY_DATA.clone()
}

/// The directories that the files of these sites go into, each once, in the order of the sites.
pub fn incoming_dirs<'a>(sites: impl IntoIterator<Item = &'a SiteSettings>) -> impl Iterator<Item = &'a Path> {
    let mut seen = BTreeSet::new();
    sites.into_iter().map(|site| site.incoming_dir.as_path()).filter(move |directory| seen.insert(*directory))
}

impl SiteSettings {
    /// A site of which no more is known: as it is by default, without TLS, password or proxy.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self { name: name.into(), address: address.into(), ..Self::built_in() }
    }

    /// Whether files of that name are collected.
    pub fn collects(&self, name: &[u8]) -> bool {
        self.include.matches(name) && !self.exclude.matches(name)
    }
}

impl Settings {
    /// These sites, and everything else as it is by default.
    pub fn of_sites(sites: Vec<SiteSettings>) -> Self {
        Self { sites, ..Self::built_in() }
    }

    /// Where the journal and what is remembered of sites is kept: the system's directory where nobody has chosen one.
    pub fn state_dir(&self) -> &Path {
        self.state_dir.as_deref().unwrap_or(Path::new(defaults::STATE_DIR))
    }

    /// What may wait here for its publication before files stay at their sites.
    pub fn max_spool(&self) -> Waiting {
        Waiting { files: self.max_spool_files, bytes: self.max_spool_bytes }
    }

    /// The keys of `[sync]` that are otherwise than at the start, and stay as they were until a restart.
    pub fn waiting_for_restart(&self, started: &Self) -> Vec<&'static str> {
        let fixed = SYNC.iter().filter(|key| key.note == Reload::AtRestart);
        fixed.filter(|key| !(key.is_same)(self, started)).flat_map(|key| (key.names)()).collect()
    }

    /// What protects connections to sites by `before`, and does not by these settings: the site and the key. A reload must
    /// not take that over, since a file that was cut off looks the same.
    pub fn unprotected(&self, before: &Self) -> Vec<String> {
        let before_http = &before.http;
        let before: HashMap<&str, &SiteSettings> = before.sites.iter().map(|site| (&*site.name, site)).collect();
        let sites = self.sites.iter().filter_map(|site| Some((site, before.get(&*site.name)?)));
        let of_sites = sites
            .filter_map(|(site, before)| Some(format!("{} of site {}", site.lost_since(before)?, quoted(&site.name))));
        let of_http = self.http.lost_since(before_http).map(|lost| format!("{lost} of [http]"));
        of_sites.chain(of_http).collect()
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

    /// The files that have not been read before, or have changed since.
    pub fn new_files(&self, before: &Self) -> impl Iterator<Item = &Path> {
        let before: HashMap<&Path, Fingerprint> =
            before.files.iter().map(|file| (&*file.path, file.fingerprint)).collect();
        let is_new = move |file: &&ReadFile| before.get(&*file.path) != Some(&file.fingerprint);
        self.files.iter().filter(is_new).map(|file| &*file.path)
    }

    /// How many files the configuration's file includes.
    pub fn included(&self) -> usize {
        self.files.len().saturating_sub(1)
    }

    /// The files with certificates and keys.
    pub fn pem_files(&self) -> Vec<PathBuf> {
        let files = self.sites.iter().flat_map(|site| &site.tls).flat_map(TlsSettings::files);
        files.chain(self.http.pem_files()).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }
}

impl SiteSettings {
    /// What protected the site's connections by `before`, and does not any more, in the words of the file's keys.
    fn lost_since(&self, before: &Self) -> Option<&'static str> {
        let has_password = |site: &Self| {
            site.password.is_some()
                || site.unread_secrets.iter().any(|unread| unread.purpose == SecretPurpose::Password)
        };
        let of_tls = match (&before.tls, &self.tls) {
            (Some(_), None) => Some("tls"),
            (Some(before), Some(now)) => now.verify.lost_since(&before.verify),
            (None, _) => None,
        };
        // One that could not be read has protected nothing: the site was left out.
        of_tls.or((before.password.is_some() && !has_password(self)).then_some("password"))
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
                SecretPurpose::Token => {}
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
