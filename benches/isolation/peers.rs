//! The good sites, in a process of their own: some that agents report to, others where nothing is to be collected.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tentacle_sync::testing::fake_server::{
    AgentFiles, Authority, FakeServer, Setup, StockClients, WritePattern, stock_tls,
};
use tentacle_sync::tls::Acceptor;

use super::stamp;
use crate::child_process::ChildProcess;
use crate::support::{Result, again, clock};

/// The role that the other process is started with.
pub(crate) const ROLE: &str = "peers";

/// Sites that run until this is dropped.
pub(crate) struct Peers {
    process: ChildProcess,
    id: u32,
    /// The busy ones' first.
    ports: Vec<u16>,
    ca: PathBuf,
}

impl Peers {
    /// Starts them: `busy` ones that agents report to, and `quiet` ones. Their certificate authority goes to `dir`.
    pub(crate) fn start(busy: usize, quiet: usize, dir: &Path) -> Result<Self> {
        let ca = dir.join("ca.pem");
        let counts = [busy, quiet].map(|count| count.to_string());
        let mut process = ChildProcess::start(again(ROLE)?.args(counts).arg(&ca))?;
        let (id, ports) = announced(&process.answer()?)?;
        Ok(Self { process, id, ports, ca })
    }

    /// Where they listen; the busy ones come first.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Whom to trust.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// Their process.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Has agents report to the busy sites for so long; the number of their files.
    pub(crate) fn report(&mut self, time: Duration) -> Result<usize> {
        Ok(self.process.request(time.as_secs_f64())?.parse()?)
    }
}

/// The other process: starts the sites, prints where they listen, and has agents send when it is ordered to.
#[expect(clippy::print_stdout, reason = "answers go to the process that gives the orders")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let [busy, quiet, ca] = args else { return Err("peers need to know how many they are, and a CA".into()) };
    let [busy, quiet]: [usize; 2] = [busy.to_string_lossy().parse()?, quiet.to_string_lossy().parse()?];
    let tls = tls(Path::new(ca))?;
    let sites = (0..busy + quiet).map(|_| FakeServer::start(healthy(&tls))).collect::<io::Result<Vec<_>>>()?;
    println!("{}", announcement(sites.iter().map(FakeServer::address)));
    for order in io::stdin().lines() {
        println!("{}", report(&sites[..busy], Duration::from_secs_f64(order?.parse()?))?);
    }
    Ok(())
}

/// The first line of a process of sites: its number, and where they listen.
pub(crate) fn announcement(addresses: impl IntoIterator<Item = SocketAddr>) -> String {
    addresses.into_iter().fold(std::process::id().to_string(), |text, address| format!("{text} {}", address.port()))
}

pub(crate) fn announced(text: &str) -> Result<(u32, Vec<u16>)> {
    let (id, ports) = text.split_once(' ').ok_or("a number and ports are expected")?;
    Ok((id.parse()?, ports.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?))
}

/// One file a second at each site in the middle, each at a moment of its own; their number.
fn report(busy: &[FakeServer], time: Duration) -> Result<usize> {
    let mean = Duration::from_secs(1) / u32::try_from(busy.len())?;
    let (start, mut count) = (clock(), 0);
    let mut bodies = AgentFiles { prefix: String::new(), agents: 1, seed: 1 }.files(usize::MAX);
    while start.elapsed() < time {
        thread::sleep(mean.mul_f64(2.0 * fastrand::f64()));
        let site = fastrand::usize(..busy.len());
        let (_, body) = bodies.next().ok_or("a fleet never ends")?;
        busy[site].put(stamp::name(site)?, &body)?;
        count += 1;
    }
    Ok(count)
}

pub(crate) fn healthy(tls: &Acceptor) -> Setup {
    Setup { write: WritePattern::Whole, tls: Some(tls.clone()), ..Setup::default() }
}

/// A site's TLS identity, after its authority's certificate was written to `ca`.
pub(crate) fn tls(ca: &Path) -> Result<Acceptor> {
    let authority = Authority::new("Bench CA")?;
    std::fs::write(ca, authority.certificate_pem())?;
    Ok(stock_tls(&authority.server(IpAddr::from([127, 0, 0, 1]))?, StockClients::Anyone)?)
}
