//! Ways to get a site's files, and a run of one.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use tentacle_sync::collector::{Collector, Mode, RoundReport};
use tentacle_sync::config::SiteSettings;
use tentacle_sync::net::Net;
use tentacle_sync::store::Durability;
use tentacle_sync::testing::fake_server::AgentFiles;

use super::data_files::{files_in, wait_until_empty};
use super::fresh_dir::fresh_dir;
use super::others::{self, Lftp, Rsync};
use super::processor::cpu_time;
use super::relay::{Counts, Line, Relay};
use super::settings::{settings, site};
use super::tentacle_server::{BenchDir, Make, Server};
use super::usage;
use crate::support::{Result, clock};

/// Agents that take turns.
const AGENTS: usize = 100;

/// Files where nothing but the machine and the line limit.
const MANY: usize = 3_000;

/// So many where they are asked for ahead: a day of an outage at a small site.
const AHEAD: usize = 6_000;

/// Files where each waits for answers: as many as take so long at four round trips each on two connections...
const SECONDS: f64 = 10.0;

/// ... but no fewer.
const FEW: usize = 16;

/// How the collector speaks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// It asks what the server understands, and goes by that.
    ByDefault,
    /// The same, compressed, or packed file by file at stock.
    Compressed,
    /// As to stock, without asking, and each command once the one before is answered.
    LockStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Our collector, from this server, in this dialect.
    Tentacle { make: Make, tls: bool, dialect: Dialect },
    /// An rsync client, from an rsync daemon.
    Rsync { fsync: bool },
    /// lftp, from an SFTP server.
    Lftp,
}

impl Way {
    pub(crate) const OURS: Self = Self::of(Make::Ours(Durability::Fsync), false);
    pub(crate) const OURS_TLS: Self = Self::of(Make::Ours(Durability::Fsync), true);
    pub(crate) const OURS_COMPRESSED: Self =
        Self::Tentacle { make: Make::Ours(Durability::Fsync), tls: false, dialect: Dialect::Compressed };
    pub(crate) const STOCK: Self = Self::of(Make::Stock, false);
    pub(crate) const STOCK_TLS: Self = Self::of(Make::Stock, true);
    pub(crate) const OURS_UNDURABLE: Self = Self::of(Make::Ours(Durability::None), false);
    pub(crate) const OURS_UNDURABLE_TLS: Self = Self::of(Make::Ours(Durability::None), true);
    pub(crate) const RSYNC: Self = Self::Rsync { fsync: false };
    pub(crate) const RSYNC_FSYNC: Self = Self::Rsync { fsync: true };

    const fn of(make: Make, tls: bool) -> Self {
        Self::Tentacle { make, tls, dialect: Dialect::ByDefault }
    }

    /// Those that can be measured here; prints which cannot.
    #[expect(clippy::print_stdout, reason = "what is left out has to be said")]
    pub(crate) fn installed() -> Vec<Self> {
        let makes = Make::by_default();
        if !makes.contains(&Make::Stock) {
            println!("stock SKIPPED: STOCK_TENTACLE_SERVER names no stock server");
        }
        let tentacle = makes.into_iter().flat_map(|make| {
            let of = move |dialect| [false, true].map(|tls| Self::Tentacle { make, tls, dialect });
            [Dialect::ByDefault, Dialect::Compressed, Dialect::LockStep].into_iter().flat_map(of)
        });
        let mut ways: Vec<Self> = tentacle.chain([Self::OURS_UNDURABLE, Self::OURS_UNDURABLE_TLS]).collect();
        match others::find(&["rsync"]) {
            Ok(()) => ways.extend([false, true].map(|fsync| Self::Rsync { fsync })),
            Err(lacking) => println!("rsync SKIPPED: {lacking}"),
        }
        match others::find(&["lftp", others::SFTP_SERVER]) {
            Ok(()) => ways.push(Self::Lftp),
            Err(lacking) => println!("lftp SKIPPED: {lacking}"),
        }
        ways
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Tentacle { make, tls, dialect } => {
                let dialect = match dialect {
                    Dialect::ByDefault => "",
                    Dialect::Compressed => " compressed",
                    Dialect::LockStep => " in lock-step",
                };
                format!("{}{dialect}, {}", make.name(), if tls { "TLS" } else { "plain" })
            }
            Self::Rsync { fsync: false } => "rsync".to_owned(),
            Self::Rsync { fsync: true } => "rsync --fsync".to_owned(),
            Self::Lftp => "lftp, SFTP".to_owned(),
        }
    }

    /// Whether it is our collector, as it is by default: it asks for files ahead.
    fn is_ahead(self) -> bool {
        matches!(self, Self::Tentacle { dialect: Dialect::ByDefault | Dialect::Compressed, .. })
    }

    /// Whether it waits for the answer before the next command.
    fn is_in_lock_step(self) -> bool {
        matches!(self, Self::Tentacle { dialect: Dialect::LockStep, .. } | Self::Lftp)
    }

    /// How many files are collected in a run.
    pub(crate) fn files(self, line: Line, is_smoke: bool) -> usize {
        let round_trip = line.round_trip.as_secs_f64();
        match is_smoke {
            true => 8,
            false if self.is_in_lock_step() && round_trip > 0.0 => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
                let files = (2.0 * SECONDS / (4.0 * round_trip)) as usize;
                files.clamp(FEW, MANY)
            }
            false if self.is_ahead() => AHEAD,
            false => MANY,
        }
    }
}

/// A way and a distance.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) way: Way,
    pub(crate) line: Line,
    pub(crate) files: usize,
}

/// What a run came to.
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    /// What the near end used of the processors, in seconds.
    pub(crate) cpu: f64,
    /// What the server used; `None` where its processes were not looked at.
    pub(crate) cpu_far: Option<f64>,
    /// `None` where there is no relay.
    pub(crate) counts: Option<Counts>,
    /// What the files have, in bytes.
    pub(crate) size: u64,
}

impl Case {
    pub(crate) fn run(self, dir: &BenchDir) -> Result<Figures> {
        let storage = dir.storage()?;
        let fleet = AgentFiles { prefix: "agent".into(), agents: AGENTS, seed: 1 };
        let mut total = 0;
        fleet.files(self.files).try_for_each(|(name, bytes)| {
            total += bytes.len() as u64;
            fs::write(storage.join(name), bytes)
        })?;
        let (near, spool) = fresh_dir(dir.path())?;
        let figures = match self.way {
            Way::Tentacle { make, tls, dialect } => {
                let server = Server::start(make, tls, &storage, dir, &[])?;
                let ca = server.address().ca.as_deref();
                let get = |address| {
                    let mut site = site("far", address, &spool, ca);
                    site.extension = dialect != Dialect::LockStep;
                    site.pipelining = dialect != Dialect::LockStep;
                    site.compression = dialect == Dialect::Compressed;
                    let durability = if let Make::Ours(durability) = make { durability } else { Durability::Fsync };
                    collect(site, durability, self.files, &near)
                };
                let before = usage::cpu_time(server.id())?;
                let figures = self.measure(server.address().tcp, &storage, get)?;
                let cpu_far = usage::cpu_time(server.id())?.saturating_sub(before);
                Ok(Figures { cpu_far: Some(cpu_far.as_secs_f64()), ..figures })
            }
            Way::Rsync { fsync } => {
                let daemon = Rsync::start(&storage, &near)?;
                self.measure(daemon.address(), &storage, |address| Rsync::get(address, fsync, &spool))
            }
            Way::Lftp => {
                let server = Lftp::start()?;
                self.measure(server.address(), &storage, |address| Lftp::mirror(address, &storage, &spool))
            }
        }?;
        assert_eq!(files_in(&spool)?, self.files, "files that came, {}", self.way.name());
        Ok(Figures { size: total, ..figures })
    }

    /// Over the line, if there is one. `get` returns the processors' time that it took, in seconds.
    fn measure(
        self,
        server: SocketAddr,
        storage: &Path,
        get: impl FnOnce(SocketAddr) -> Result<f64>,
    ) -> Result<Figures> {
        let is_line = !self.line.round_trip.is_zero();
        let mut relay = is_line.then(|| Relay::start(self.line, server)).transpose()?;
        let address = relay.as_ref().map_or(server, Relay::address);
        let start = clock();
        let cpu = get(address)?;
        let seconds = start.elapsed().as_secs_f64();
        let counts = relay.as_mut().map(Relay::counts).transpose()?;
        // While there is a server that still deletes.
        wait_until_empty(storage).map_err(|error| format!("{}: {error}", self.way.name()))?;
        Ok(Figures { seconds, cpu, cpu_far: None, counts, size: 0 })
    }
}

/// One round of our collector.
fn collect(site: SiteSettings, durability: Durability, files: usize, dir: &Path) -> Result<f64> {
    let settings = settings(dir, durability, vec![site]);
    let moved = Rc::new(Cell::new(0));
    let observer = {
        let moved = Rc::clone(&moved);
        Box::new(move |report: &RoundReport| {
            assert!(report.failure.is_none(), "{report:?}");
            moved.set(moved.get() + report.tally.moved);
        })
    };
    let cpu = cpu_time()?;
    let collector = Collector::new(Net::new()?, &settings, Mode::Once, observer)?;
    collector.run(settings.shutdown_timeout, |_, _| false)?;
    assert_eq!(moved.get(), files, "files gone from the site");
    Ok(cpu_time()?.saturating_sub(cpu).as_secs_f64())
}
