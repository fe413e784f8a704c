//! The bad sites, in a process of their own.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tentacle_sync::testing::fake_server::{FakeServer, Setup};

use super::faults::{BadSite, BlackHole, DeadPort};
use super::kind::Kind;
use super::peers::{self, announced, announcement, healthy};
use super::scripted::{self, Script, listing};
use crate::child_process::ChildProcess;
use crate::support::{Result, again};

/// The role that the process is started with.
pub(crate) const ROLE: &str = "bad";

/// Files that are to be collected, at each site that lists others before them.
pub(crate) const WANTED: usize = 20;

/// What the names of those begin with.
pub(crate) const WANTED_PREFIX: &str = "wanted-";

/// Files of one agent at a site that has more than may wait here.
const BACKLOG: usize = 20_000;

/// Files that sites have in common, with bytes of their own.
const VARIANTS: usize = 20;

/// Files listed at a time, where each file's fate is given.
const TURNS: usize = 1_000;

/// Bad sites that run until this is dropped.
pub(crate) struct BadSites {
    _process: ChildProcess,
    id: u32,
    ports: Vec<u16>,
    /// Whom to trust, where they speak TLS.
    ca: Option<PathBuf>,
}

impl BadSites {
    /// Starts so many; where listings are long, of so many names. Their certificate authority goes to `dir`.
    pub(crate) fn start(kind: Kind, count: usize, names: usize, dir: &Path) -> Result<Self> {
        let ca = dir.join("bad-ca.pem");
        let numbers = [count, names].map(|number| number.to_string());
        let mut process = ChildProcess::start(again(ROLE)?.arg(kind.name()).args(numbers).arg(&ca))?;
        let (id, ports) = announced(&process.answer()?)?;
        Ok(Self { _process: process, id, ports, ca: (kind == Kind::Mixed).then_some(ca) })
    }

    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Their process.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }
}

/// The process: starts the sites, prints where they listen, and serves until its standard input ends.
#[expect(clippy::print_stdout, reason = "the answer goes to the process that gave the order")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let [kind, count, names, ca] = args else { return Err("bad sites need a kind, two numbers and a CA".into()) };
    let kind = Kind::named(&kind.to_string_lossy()).ok_or("no such kind of site")?;
    let [count, names] = [count.to_string_lossy().parse()?, names.to_string_lossy().parse()?];
    let (addresses, _sites) = match kind {
        Kind::Mixed => mixed(count, Path::new(ca))?,
        _ => (scripted(kind, count, names)?, Sites::new()),
    };
    println!("{}", announcement(addresses));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// What keeps sites alive.
type Sites = Vec<Box<dyn std::any::Any>>;

fn mixed(count: usize, ca: &Path) -> Result<(Vec<SocketAddr>, Sites)> {
    let (tls, hole, dead) = (peers::tls(ca)?, BlackHole::open()?, DeadPort::open()?);
    let (mut addresses, mut sites) = (Vec::new(), Sites::new());
    for kind in BadSite::kinds().iter().cycle().take(count) {
        addresses.push(match kind {
            BadSite::Refuse => dead.address,
            BadSite::Swallow => hole.address,
            BadSite::Fault { faults, names } => {
                let fake = FakeServer::start(Setup { faults: faults.clone(), ..healthy(&tls) })?;
                names.iter().try_for_each(|name| fake.put(name, &[b'b'; 2_000]))?;
                let address = fake.address();
                sites.push(Box::new(fake));
                address
            }
        });
    }
    sites.push(Box::new((hole, dead)));
    Ok((addresses, sites))
}

fn scripted(kind: Kind, count: usize, names: usize) -> Result<Vec<SocketAddr>> {
    let nothing: Arc<[u8]> = Arc::from([]);
    let text = |end: &'static str| listing((0..names).map(move |number| format!("held-{number:06}{end}"))).into();
    let others: Arc<[u8]> = text(".1700000000.txt");
    let withheld: Arc<[u8]> = text(".1700000000.data");
    let files = |agent: String, count| {
        (0..count).map(|number| format!("{agent}.{}.data", 1_700_000_000 + number).into_bytes()).collect()
    };
    let script = |site: usize| {
        Ok(match kind {
            Kind::Unwanted => {
                Script::Honest { others: Arc::clone(&others), files: files(format!("{WANTED_PREFIX}{site}"), WANTED) }
            }
            Kind::Withheld => Script::Withheld(Arc::clone(&withheld)),
            Kind::LongListings => Script::LongNames(names),
            Kind::Variants => Script::Variants(VARIANTS),
            Kind::Alternating => {
                Script::Alternating { prefix: format!("turn-{site}"), count: TURNS, gives: site.is_multiple_of(2) }
            }
            Kind::Frozen | Kind::Filler => {
                Script::Honest { others: Arc::clone(&nothing), files: files(format!("backlog-{site}"), BACKLOG) }
            }
            Kind::None | Kind::Mixed | Kind::Names => return Err(format!("{kind:?} is no script")),
        })
    };
    (0..count).map(|site| Ok(scripted::serve(script(site)?)?)).collect()
}
