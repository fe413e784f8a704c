//! Two hundred sites, of which twenty are bad in different ways.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use tempfile::TempDir;
use tentacle_sync::testing::InProcessServer;
use tentacle_sync::testing::fake_server::{
    Agent, AgentFiles, FakeServer, Fault, Files, Setup, StockClients, Verb, stock_tls,
};

use crate::bad_sites::BlackHole;
use crate::daemon::{Sandbox, assert_same, wait_until};
use crate::server_process::stored_in;
use crate::site::{hosted, site_config};
use crate::support::{Certificates, LOOPBACK, TIMEOUT, scratch};

const GOOD: usize = 180;

/// Of each way of being bad.
const BAD: usize = 4;

/// An attempt at a bad site takes this long, in seconds; a round of a good one begins every second.
const SITE_TIMEOUT: u32 = 2;

/// The bad sites, alive as long as this is.
struct BadSites {
    hanging: Vec<FakeServer>,
    configs: Vec<String>,
    names: Vec<String>,
    others: (Vec<FakeServer>, Vec<BlackHole>, Vec<OwnedFd>),
}

impl BadSites {
    fn set_up(certificates: &Certificates) -> Self {
        let start = |setup: &Setup| (0..BAD).map(|_| FakeServer::start(setup.clone()).unwrap()).collect::<Vec<_>>();
        let tls = Some(stock_tls(&certificates.server, StockClients::Anyone).unwrap());
        let hanging = start(&Setup { faults: vec![Fault::HangAfterAccept.always()], ..Setup::default() });
        let half = start(&Setup { faults: vec![Fault::HangInTls.always()], tls, ..Setup::default() });
        let garbage = start(&Setup { faults: vec![Fault::Garbage(4096).at(Verb::Ls)], ..Setup::default() });
        let holes: Vec<_> = (0..BAD).map(|_| BlackHole::open()).collect();
        let (refusing, refused): (Vec<_>, Vec<_>) = (0..BAD).map(|_| refusing()).unzip();
        let mut bad = Self { hanging, configs: Vec::new(), names: Vec::new(), others: Default::default() };
        let addresses = |fakes: &[FakeServer]| fakes.iter().map(FakeServer::address).collect::<Vec<_>>();
        let by_tls = format!("tls = {{ ca = {:?} }}", certificates.path("ca.pem"));
        bad.add("hanging", &addresses(&bad.hanging), "");
        bad.add("half", &addresses(&half), &by_tls);
        bad.add("garbage", &addresses(&garbage), "");
        bad.add("hole", &holes.iter().map(|hole| hole.address).collect::<Vec<_>>(), "");
        bad.add("refused", &refused, "");
        bad.others = (half.into_iter().chain(garbage).collect(), holes, refusing);
        bad
    }

    fn add(&mut self, kind: &str, addresses: &[SocketAddr], lines: &str) {
        for (number, &address) in addresses.iter().enumerate() {
            let name = format!("{kind}{number}");
            self.configs.push(site_config(&name, address, &format!("interval = 1\ntimeout = {SITE_TIMEOUT}\n{lines}")));
            self.names.push(name);
        }
    }
}

/// An address where nobody listens, and nobody else can for as long as the socket is there.
fn refusing() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(LOOPBACK, 0)).unwrap();
    let address = getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}

/// A good site: every third is our server, and every tenth of the others uses TLS.
enum Good {
    Ours(InProcessServer, TempDir),
    FakeServer(FakeServer),
}

impl Good {
    fn start(number: usize, certificates: &Certificates) -> Self {
        if number.is_multiple_of(3) {
            let storage = scratch();
            return Self::Ours(hosted(storage.path()), storage);
        }
        let by_tls = speaks_tls(number).then(|| stock_tls(&certificates.server, StockClients::Anyone).unwrap());
        Self::FakeServer(FakeServer::start(Setup { tls: by_tls, ..Setup::default() }).unwrap())
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Ours(server, _) => server.address().unwrap(),
            Self::FakeServer(fake) => fake.address(),
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        match self {
            Self::Ours(server, _) => {
                Agent::connect(server.address().unwrap(), None).unwrap().send(name, bytes).unwrap();
            }
            Self::FakeServer(fake) => fake.put(name, bytes).unwrap(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Ours(_, storage) => stored_in(storage.path()).is_empty(),
            Self::FakeServer(fake) => fake.files().unwrap().is_empty(),
        }
    }

    /// How often it has been listed, where it counts that.
    fn rounds(&self) -> Option<u64> {
        match self {
            Self::Ours(..) => None,
            Self::FakeServer(fake) => Some(fake.tally().count(Verb::Ls)),
        }
    }
}

fn speaks_tls(number: usize) -> bool {
    !number.is_multiple_of(3) && number.is_multiple_of(10)
}

/// A good site with three files.
fn good(number: usize, certificates: &Certificates) -> (Good, Files, String) {
    let name = format!("good{number:03}");
    let site = Good::start(number, certificates);
    let fleet = AgentFiles { prefix: format!("{name}-"), agents: 3, seed: number as u64 };
    let mut files = Files::new();
    for (name, body) in fleet.files(3) {
        site.put(&name, &body);
        files.insert(name.into(), body);
    }
    let ca = certificates.path("ca.pem");
    let lines = if speaks_tls(number) { format!("tls = {{ ca = {ca:?} }}") } else { String::new() };
    let config = site_config(&name, site.address(), &format!("interval = 1\n{lines}"));
    (site, files, config)
}

#[test]
fn twenty_bad_sites_among_two_hundred_cost_the_others_nothing() {
    let certificates = Certificates::new();
    let bad = BadSites::set_up(&certificates);
    let mut goods = Vec::new();
    let mut files = Files::new();
    let mut configs = bad.configs.clone();
    for number in 0..GOOD {
        let (site, its_files, config) = good(number, &certificates);
        goods.push(site);
        files.extend(its_files);
        configs.push(config);
    }
    let sandbox = Sandbox::with_sites(configs);
    let daemon = sandbox.start();
    // Three attempts at each hanging site have timed out when the fourth begins: that is time enough for twice as many
    // rounds of the others.
    for fake in &bad.hanging {
        assert!(fake.wait_for(TIMEOUT, |tally| tally.accepted > 3));
    }
    let rounds: Vec<u64> = goods.iter().filter_map(Good::rounds).collect();
    let (fewest, most) = (rounds.iter().min().unwrap(), rounds.iter().max().unwrap());
    assert!(*fewest >= 3 && *most <= 2 * fewest, "rounds of the good sites: {rounds:?}");
    for name in &bad.names {
        daemon.wait_for_line(&[&format!("site={name} "), "reason="]);
    }
    for (number, site) in goods.iter().enumerate() {
        let (name, body) = (format!("late{number:03}.1700000000.data"), format!("late {number}"));
        site.put(&name, body.as_bytes());
        files.insert(name.into(), body.into_bytes());
    }
    wait_until("what came later", || goods.iter().all(Good::is_empty).then_some(()));
    let outcome = daemon.stop();
    outcome.assert_code(0);
    assert!(!outcome.stderr.lines().any(|line| line.contains("site=good") && line.contains("reason=")), "{outcome}");
    assert_same(&sandbox.spool(), &files);
}
