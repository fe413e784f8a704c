//! One run: fresh sites and a fresh collector, and what came of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::Scale;
use super::bad::{self, BadSites};
use super::collecting::Collecting;
use super::configuration::Configuration;
use super::environment::{DOMAIN, Environment};
use super::figures::{Figures, kib};
use super::fresh_dir::fresh_dir;
use super::kind::Kind;
use super::memory::memory;
use super::peers::Peers;
use super::stamp;
use super::usage::cpu_time;
use crate::support::{Result, clock};

/// From one look at what has come to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// What may be logged at once, in bytes, as the manual page has it.
const AT_ONCE: u64 = 128 * 1024;

const LOOPBACK: &str = "127.0.0.1";

/// Nothing listens there that is reached.
const NO_PORT: u16 = 9;

/// What runs. The fields are dropped in this order: what the collector may wait for ends before it is waited for.
pub(crate) struct Case {
    environment: Environment,
    collecting: Collecting,
    begin: Instant,
    peers: Peers,
    bad: Option<BadSites>,
    spool: PathBuf,
    /// Files that are to be collected from bad sites.
    wanted: usize,
}

impl Case {
    pub(crate) fn start(scale: &Scale, kind: Kind, place: &Path) -> Result<Self> {
        let (dir, spool) = fresh_dir(place)?;
        let count = scale.bad(kind);
        let peers = Peers::start(scale.busy, scale.others - count, &dir)?;
        let bad = match kind {
            Kind::None | Kind::Names => None,
            _ => Some(BadSites::start(kind, count, scale.names, &dir)?),
        };
        let good: Vec<String> = (0..scale.busy).map(|number| format!("good-{number}.{DOMAIN}")).collect();
        let environment = Environment::of(kind, &good, &dir)?;
        let mut configuration = Configuration::new(&dir, (kind == Kind::Filler).then_some(scale.max_spool));
        if kind == Kind::Names {
            for name in (0..count).map(|number| format!("silent-{number}.{DOMAIN}")) {
                configuration.add(&name, (&name, NO_PORT), None, None);
            }
        }
        if let Some(bad) = &bad {
            for (number, port) in bad.ports().iter().enumerate() {
                let name = format!("bad-{number}");
                configuration.add(&name, (LOOPBACK, *port), bad.ca(), environment.incoming());
            }
        }
        let by_name = if kind == Kind::Names { &good[..] } else { &[] };
        for (number, port) in peers.ports().iter().enumerate() {
            let host = by_name.get(number).map_or(LOOPBACK, String::as_str);
            configuration.add(&format!("good-{number}"), (host, *port), Some(peers.ca()), None);
        }
        let (begin, wanted) = (clock(), if kind == Kind::Unwanted { count * bad::WANTED } else { 0 });
        let collecting = Collecting::start(&dir, configuration.text())?;
        Ok(Self { environment, collecting, begin, peers, bad, spool, wanted })
    }

    /// Has agents report, and measures until their files are here, or the bench has waited for long enough.
    pub(crate) fn measure(mut self, scale: &Scale) -> Result<Figures> {
        thread::sleep(scale.warm_up);
        self.environment.freeze()?;
        let (start, before) = (clock(), self.used()?);
        let appeared = self.peers.report(scale.measured)?;
        let (took, after) = (start.elapsed(), self.used()?);
        let last = clock();
        while stamp::arrived(&self.spool)? < appeared && last.elapsed() < scale.timeout {
            thread::sleep(PAUSE);
        }
        let memory = memory(&self.collecting.id().to_string(), "VmHWM")? / 1024.0;
        let log = kib(fs::metadata(self.collecting.log())?.len().saturating_sub(AT_ONCE))
            / self.begin.elapsed().as_secs_f64();
        let stall = self.collecting.stop(scale.timeout)?;
        let share = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / took.as_secs_f64();
        Ok(Figures {
            appeared,
            latenesses: stamp::latenesses(&self.spool)?,
            stall: 1e3 * stall.unwrap_or(f64::INFINITY),
            memory,
            log,
            cpu: before.into_iter().zip(after).map(|(before, after)| share(before, after)).collect(),
            wanted: (stamp::count(&self.spool, bad::WANTED_PREFIX)?, self.wanted),
        })
    }

    /// What the processors were used for: the collector, the good sites, the bad ones where there are any.
    fn used(&self) -> Result<Vec<Duration>> {
        let bad = self.bad.as_ref().map(BadSites::id);
        [self.collecting.id(), self.peers.id()].into_iter().chain(bad).map(cpu_time).collect()
    }
}
