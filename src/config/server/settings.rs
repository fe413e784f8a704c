//! What the command line and the file come down to: plain values, checked, with nothing left to parse.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::super::http_settings::HttpSettings;
use super::{Filters, HostsAccess, Rules, defaults};
use crate::proto::Secret;
use crate::store::Durability;
use crate::tls::TlsSettings;

/// Everything `tentacle_server` runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Where to listen; not empty.
    pub listen: Vec<ListenAddress>,
    /// TCP port of every address in `listen`.
    pub port: u16,
    /// What is done with a connection.
    pub mode: Mode,
    /// How clients speak TLS to us, `None` for plain TCP.
    pub tls: Option<ServerTls>,
    /// Who may connect at all, by the system's hosts.allow and hosts.deny; `None` for anyone.
    pub hosts_access: Option<HostsAccess>,
    /// What one client, and all of them together, may take.
    pub limits: Limits,
    /// How the process runs.
    pub process: ProcessSettings,
    /// The log.
    pub log: LogSettings,
    /// On which socket it is asked what it is at.
    pub control: ControlSettings,
    /// The status port.
    pub http: HttpSettings,
    /// What was understood though it was not written as it should be, or does not do what its author may think: one
    /// line each, with its option or its file and line.
    pub warnings: Vec<String>,
}

impl ServerConfig {
    /// What `-s DIRECTORY -a ADDRESS -p PORT` comes to, with everything else as it is by default. Port 0 is a free one.
    pub fn storing(directory: PathBuf, address: IpAddr, port: u16) -> Self {
        Self {
            listen: vec![ListenAddress::Ip(address)],
            port,
            mode: Mode::Store(StoreSettings::new(directory)),
            tls: None,
            hosts_access: None,
            limits: Limits::default(),
            process: ProcessSettings::default(),
            log: LogSettings::default(),
            control: ControlSettings::default(),
            http: HttpSettings::default(),
            warnings: Vec::new(),
        }
    }

    /// What keeps others out by `before`, and does not by this configuration: one word or two each. A reload must not take
    /// that over, since a file that was cut off looks the same.
    pub fn unprotected(&self, before: &Self) -> Vec<&'static str> {
        let lost = |had: bool, has: bool, what: &'static str| (had && !has).then_some(what);
        let client_ca = |config: &Self| config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let [allow, deny] = match (&self.hosts_access, &before.hosts_access) {
            (Some(now), Some(before)) => now.lost_since(before),
            _ => [false, false],
        };
        let of_mode = match (&self.mode, &before.mode) {
            (Mode::Store(now), Mode::Store(before)) => [
                lost(before.password.is_some(), now.password.is_some(), "password (-x)"),
                lost(!before.rules.is_empty(), !now.rules.is_empty(), "allow"),
            ],
            (Mode::Relay(now), Mode::Relay(before)) => match (&now.tls, &before.tls) {
                (Some(now), Some(before)) => {
                    let is_laxer = now.verify.lost_since(&before.verify).is_some();
                    [is_laxer.then_some("upstream_ssl_verify as strict"), None]
                }
                (now, before) => [lost(before.is_some(), now.is_some(), "upstream_ssl"), None],
            },
            _ => [None, None],
        };
        let of_all = [
            lost(before.tls.is_some(), self.tls.is_some(), "ssl_cert (-e)"),
            lost(client_ca(before), client_ca(self), "ssl_ca (-f)"),
            lost(before.hosts_access.is_some(), self.hosts_access.is_some(), "use_libwrap (-T)"),
            lost(allow, false, "lines for this server in hosts.allow"),
            lost(deny, false, "lines for this server in hosts.deny"),
            self.http.lost_since(&before.http).map(|lost| match lost {
                "token" => "http_token_file",
                _ => "http_client_ca",
            }),
        ];
        of_all.into_iter().chain(of_mode).flatten().collect()
    }

    /// The files with certificates and keys.
    pub fn pem_files(&self) -> Vec<PathBuf> {
        let of_tls = self.tls.iter().flat_map(|tls| [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()]);
        let of_relay = match &self.mode {
            Mode::Relay(relay) => relay.tls.as_ref(),
            Mode::Store(_) => None,
        };
        let files = of_tls.flatten().chain(of_relay.into_iter().flat_map(TlsSettings::files));
        files.chain(self.http.pem_files()).cloned().collect()
    }

    /// Whether the key's passphrase is still to be asked for.
    pub fn asks_for_passphrase(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.passphrase == Passphrase::Ask)
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Every address of the machine, IPv6 and IPv4.
    Any,
    /// One address.
    Ip(IpAddr),
    /// The addresses of a host name.
    Name(String),
}

/// What is done with a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// Its commands are carried out on a directory (`-s`).
    Store(StoreSettings),
    /// Its bytes go to another server and back (`-b`).
    Relay(RelaySettings),
}

/// A storage directory, and what clients may do to it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct StoreSettings {
    /// Absolute; nobody looked whether it exists.
    pub directory: PathBuf,
    /// Which names go to which directories below it.
    pub filters: Filters,
    /// Whether `SEND` may replace a file.
    pub overwrite: bool,
    /// Whether there are `LS` and `MV`.
    pub insecure: bool,
    /// Whether the [extension](crate::proto::extension) is spoken.
    pub extension: bool,
    /// Whether a connection may be compressed in it.
    pub compression: bool,
    /// Who may do what, beyond that.
    pub rules: Rules,
    /// The password of clients.
    pub password: Option<Secret>,
    /// The largest body, in bytes.
    pub max_size: u64,
    /// When a file counts as safe, so that its sender may be answered.
    pub durability: Durability,
    /// How full the storage directory may become.
    pub quota: Quota,
    /// How far a `ZSEND` archive may unfold.
    pub unzip: UnzipLimits,
}

impl StoreSettings {
    /// A directory with everything as it is by default: no filters, no `LS`, no `MV`.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            filters: Filters::default(),
            overwrite: false,
            insecure: false,
            extension: true,
            compression: true,
            rules: Rules::default(),
            password: None,
            max_size: defaults::MAX_SIZE,
            durability: Durability::default(),
            quota: Quota::default(),
            unzip: UnzipLimits::default(),
        }
    }
}

/// How full the storage directory may become; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// All files together, in bytes.
    pub max_bytes: u64,
    /// How many files.
    pub max_files: u64,
    /// What must stay free on the filesystem, in bytes.
    pub min_free: u64,
}

/// How far a `ZSEND` archive may unfold: both hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnzipLimits {
    /// How many times the archive's size the file may have.
    pub ratio: u64,
    /// The largest file, in bytes.
    pub max_bytes: u64,
}

impl Default for UnzipLimits {
    fn default() -> Self {
        Self { ratio: defaults::UNZIP_RATIO, max_bytes: defaults::UNZIP_MAX }
    }
}

/// The server that bytes are relayed to.
#[derive(Clone, Debug, PartialEq)]
pub struct RelaySettings {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How TLS is spoken to it, `None` for plain TCP.
    pub tls: Option<TlsSettings>,
}

/// How clients speak TLS to us.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTls {
    /// PEM file with our certificate, then its chain.
    pub cert: PathBuf,
    /// PEM file with its key: may be the same.
    pub key: PathBuf,
    /// What the key is encrypted with.
    pub passphrase: Passphrase,
    /// PEM file with the authorities whose certificates clients must present; `None` if they need none.
    pub client_ca: Option<PathBuf>,
    /// Which versions of TLS, in the words of Perl's `IO::Socket::SSL` (`-z`); not looked into.
    pub versions: Option<String>,
    /// Which ciphers, in OpenSSL's words (`-u`); not looked into.
    pub ciphers: Option<String>,
}

/// Where a key's passphrase comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// The key is not encrypted.
    None,
    /// The user is asked at the terminal (`-w`).
    Ask,
    /// A value from a file.
    Known(Secret),
}

/// What one client, and all of them together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, at least 1; further ones wait to be accepted.
    pub max_connections: usize,
    /// Connections at once from one address; `None` for as many as there are.
    pub max_connections_per_client: Option<usize>,
    /// How long a client may stay silent: stock's timeout × (retries + 1), unless set otherwise.
    pub idle_timeout: Duration,
    /// The slowest a body may come, in bytes per second, on average after `idle_timeout`; 0 for any.
    pub body_min_rate: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: defaults::MAX_CONNECTIONS,
            max_connections_per_client: None,
            idle_timeout: defaults::TIMEOUT.saturating_mul(defaults::RETRIES + 1),
            body_min_rate: defaults::BODY_MIN_RATE,
        }
    }
}

/// How the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Whether it goes to the background.
    pub daemon: bool,
    /// The user it becomes once it listens.
    pub user: Option<String>,
    /// Whether it may stay root.
    pub allow_root: bool,
    /// The rights that files are not created with.
    pub umask: u32,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self { daemon: false, user: None, allow_root: false, umask: defaults::UMASK }
    }
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// Where it is; `None` for in systemd's `RUNTIME_DIRECTORY`, or nowhere without that.
    pub socket: Option<PathBuf>,
    /// Its rights.
    pub mode: u32,
    /// Its group, by name; nobody looked whether there is one.
    pub group: Option<String>,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self { socket: None, mode: defaults::CONTROL_MODE, group: None }
    }
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Where to; `None` for standard error.
    pub file: Option<PathBuf>,
    /// How much.
    pub verbosity: Verbosity,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing (`-q`). What happens is the same.
    Quiet,
    /// Errors and warnings.
    #[default]
    Normal,
    /// Each transfer as well (`-v`).
    Verbose,
    /// Whatever there is (`-V`).
    Everything,
}
