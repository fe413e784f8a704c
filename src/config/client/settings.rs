//! What the command line comes down to.

use std::path::PathBuf;
use std::time::Duration;

use super::super::settings::ProxySettings;
use crate::proto::Secret;

/// Everything `tentacle_client` runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSettings {
    /// The server.
    pub server: Server,
    /// Which address of ours to come from: an address, or a name of this machine.
    pub local: Option<String>,
    /// The HTTP proxy to go through.
    pub proxy: Option<ProxySettings>,
    /// How to speak TLS, `None` for plain TCP.
    pub tls: Option<ClientTls>,
    /// What the server asks for.
    pub password: Option<Secret>,
    /// How long the server may stay silent: stock's timeout × (retries + 1).
    pub timeout: Duration,
    /// Which way the files go.
    pub direction: Direction,
    /// Whether they are compressed on the way.
    pub zip: bool,
    /// The files; directories as well if they are sent.
    pub files: Vec<PathBuf>,
    /// How much is logged.
    pub verbosity: Verbosity,
}

/// A Tentacle server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file with the authorities trusted at the server; `None` checks nothing.
    pub ca: Option<PathBuf>,
    /// Our own certificate, if there is one.
    pub identity: Option<ClientIdentity>,
}

/// Our own certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file with the certificate, then its chain.
    pub cert: PathBuf,
    /// PEM file with the private key: may be the same.
    pub key: PathBuf,
    /// Whether the key's passphrase is asked at the terminal.
    pub ask_passphrase: bool,
}

/// Which way the files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Send,
    /// From the server (`-g`).
    Get,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verbosity {
    /// No errors (`-q`).
    pub quiet: bool,
    /// What happens (`-v`).
    pub verbose: bool,
}
