//! How a fake server is set up.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::faults::FaultRule;
use crate::proto::Secret;
use crate::tls::Acceptor;

/// How a fake server is set up. The default is a stock server with `-I`, the usual filters, and its files in memory.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where to listen.
    pub address: IpAddr,
    /// The port; 0 for a free one.
    pub port: u16,
    /// Where the files are.
    pub storage: Storage,
    /// Stock's `-x`: the password that `PASS` must prove.
    pub password: Option<Secret>,
    /// Stock's `-I`: whether `LS` and `MV` are served; without it they close the session.
    pub insecure: bool,
    /// Whether it knows `ZRECV`.
    pub packs: bool,
    /// Stock's `-o`: whether `SEND` may overwrite.
    pub overwrite: bool,
    /// Stock's `-i`: which names live in a directory of their own; the first match counts.
    pub filters: Vec<Filter>,
    /// Stock's `-m`: the largest body taken, in bytes.
    pub max_size: u64,
    /// Stock's `-c`: connections served at a time; the next one waits to be accepted.
    pub max_connections: usize,
    /// How long a client may stay silent, or leave our writes unread.
    pub idle: Duration,
    /// Speaks TLS by this; plain without. [`stock_tls`](super::stock_tls) makes one that is like stock's.
    pub tls: Option<Acceptor>,
    /// How bodies are written.
    pub write: WritePattern,
    /// How it misbehaves.
    pub faults: Vec<FaultRule>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            storage: Storage::Memory,
            password: None,
            insecure: true,
            packs: true,
            overwrite: false,
            filters: Filter::usual(),
            max_size: 2_000_000,
            max_connections: 10,
            idle: Duration::from_secs(4),
            tls: None,
            write: WritePattern::Stock,
            faults: Vec::new(),
        }
    }
}

/// Where a fake server's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory, empty at first; the filters' directories exist.
    Memory,
    /// In this directory; the filters' directories exist if they were made there.
    Directory(PathBuf),
}

/// Names that live in a directory of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What the name contains: the unanchored `.*\.conf` of a stock server is `.conf` here.
    pub contains: String,
    /// The directory below the storage.
    pub directory: String,
}

impl Filter {
    /// Names that contain `contains` live in `directory`.
    pub fn new(contains: &str, directory: &str) -> Self {
        Self { contains: contains.into(), directory: directory.into() }
    }

    /// The three that every Pandora FMS buffer has.
    pub fn usual() -> Vec<Self> {
        vec![Self::new(".conf", "conf"), Self::new(".md5", "md5"), Self::new(".zip", "collections")]
    }
}

/// How bodies are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WritePattern {
    /// As stock does: `RECV` in blocks of 1 KiB, `MV` line by line, and Nagle's algorithm left on.
    #[default]
    Stock,
    /// Each body in one write, without Nagle's algorithm.
    Whole,
}
