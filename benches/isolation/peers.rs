//! Sites, in a process of their own: some that agents report to, others that are healthy or bad.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tentacle_sync::double::{Authority, Double, Fleet, Setup, StockClients, WritePattern, stock_tls};
use tentacle_sync::tls::Acceptor;

use super::mischief::{Bad, BlackHole, DeadPort};
use super::stamp;
use crate::other::Other;
use crate::support::{Result, again, clock};

/// What the other process is told to be.
pub(crate) const ROLE: &str = "peers";

/// How many sites there are of each sort.
#[derive(Clone, Copy)]
pub(crate) struct Crew {
    /// Healthy ones that agents report to.
    pub(crate) busy: usize,
    /// Healthy ones where nothing is to be collected.
    pub(crate) quiet: usize,
    pub(crate) bad: usize,
}

/// Sites that run until this is dropped.
pub(crate) struct Peers {
    process: Other,
    /// The busy ones' last.
    ports: Vec<u16>,
    ca: PathBuf,
}

impl Peers {
    /// Starts them; their certificate authority goes to `dir`.
    pub(crate) fn start(crew: Crew, dir: &Path) -> Result<Self> {
        let ca = dir.join("ca.pem");
        let counts = [crew.busy, crew.quiet, crew.bad].map(|count| count.to_string());
        let mut process = Other::start(again(ROLE)?.args(counts).arg(&ca))?;
        let ports = process.answer()?.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        Ok(Self { process, ports, ca })
    }

    /// Where they listen; the busy ones come last.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Whom to trust.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// Has agents report to the busy sites for so long; the number of their files.
    pub(crate) fn report(&mut self, time: Duration) -> Result<usize> {
        Ok(self.process.tell(time.as_secs_f64())?.parse()?)
    }
}

/// What the other process does: starts the sites, says where they listen, and has agents report when told to.
#[expect(clippy::print_stdout, reason = "answers go to the process that gives the orders")]
pub(crate) fn serve(args: &[OsString]) -> Result<()> {
    let [counts @ .., ca] = args else { return Err("peers need to know how many they are".into()) };
    let counts = counts.iter().map(|count| count.to_string_lossy().parse());
    let [busy, quiet, bad] = counts.collect::<std::result::Result<Vec<usize>, _>>()?[..] else {
        return Err("peers are of three sorts".into());
    };
    let (tls, hole, dead) = (tls(Path::new(ca))?, BlackHole::open()?, DeadPort::open()?);
    let mut ports = Vec::new();
    let mut doubles = Vec::new();
    for kind in Bad::kinds().iter().cycle().take(bad) {
        ports.push(match kind {
            Bad::Refuse => dead.port,
            Bad::Swallow => hole.port,
            Bad::Trick { mischief, names } => {
                let double = Double::start(Setup { mischief: mischief.clone(), ..healthy(&tls) })?;
                names.iter().try_for_each(|name| double.put(name, &[b'b'; 2_000]))?;
                doubles.push(double);
                doubles[doubles.len() - 1].address().port()
            }
        });
    }
    let start = |_| Double::start(healthy(&tls));
    doubles.extend((0..quiet).map(start).collect::<io::Result<Vec<_>>>()?);
    let busy = (0..busy).map(start).collect::<io::Result<Vec<_>>>()?;
    let port = |double: &Double| double.address().port();
    ports.extend(doubles[doubles.len() - quiet..].iter().chain(&busy).map(port));
    println!("{}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" "));
    for order in io::stdin().lines() {
        println!("{}", report(&busy, Duration::from_secs_f64(order?.parse()?))?);
    }
    Ok(())
}

/// One file a second at each site in the middle, each at a moment of its own; their number.
fn report(busy: &[Double], time: Duration) -> Result<usize> {
    let mean = Duration::from_secs(1) / u32::try_from(busy.len())?;
    let (start, mut count) = (clock(), 0);
    let mut bodies = Fleet { prefix: String::new(), agents: 1, seed: 1 }.files(usize::MAX);
    while start.elapsed() < time {
        thread::sleep(mean.mul_f64(2.0 * fastrand::f64()));
        let site = fastrand::usize(..busy.len());
        let (_, body) = bodies.next().ok_or("a fleet never ends")?;
        busy[site].put(stamp::name(site)?, &body)?;
        count += 1;
    }
    Ok(count)
}

fn healthy(tls: &Acceptor) -> Setup {
    Setup { write: WritePattern::Whole, tls: Some(tls.clone()), ..Setup::default() }
}

fn tls(ca: &Path) -> Result<Acceptor> {
    let authority = Authority::new("Bench CA")?;
    std::fs::write(ca, authority.certificate_pem())?;
    Ok(stock_tls(&authority.server(IpAddr::from([127, 0, 0, 1]))?, StockClients::Anyone)?)
}
