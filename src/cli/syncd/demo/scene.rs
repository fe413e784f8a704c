//! The sites that the demo collects from.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::SiteSettings;
use crate::config::server::{Mode, Passphrase, ServerConfig, ServerTls};
use crate::testing::InProcessServer;
use crate::testing::fake_server::{Agent, AgentFiles, Authority, FakeServer, Fault, Setup, Verb, files_below};
use crate::tls::{ClientCertPolicy, Connector, TlsSettings, UnixTime, Verify};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Agents at each site; at our server, so many connections.
const AGENTS: usize = 20;

/// What the slow site takes for each command.
const SLOWNESS: Duration = Duration::from_millis(2);

/// How long our server waits: a busy machine is no reason to fail.
const UNHURRIED: Duration = Duration::from_secs(60);

/// How long the hanging site is waited for.
const TIMEOUT: Duration = Duration::from_secs(2);

type Files = BTreeMap<String, Vec<u8>>;

/// The sites, alive as long as this is.
pub(super) struct Scene {
    sites: Vec<SiteSettings>,
    plant: Plant,
    ship: FakeServer,
    _bank: FakeServer,
    /// What has to be in the spool in the end.
    expected: Files,
}

/// Our own server, and agents that send to it.
struct Plant {
    /// `None` once it has been stopped.
    server: Option<InProcessServer>,
    storage: PathBuf,
    tls: TlsSettings,
    files: Files,
}

impl Scene {
    pub(super) fn set(place: &Path, spool: &Path, files: usize) -> Result<Self, Box<dyn Error>> {
        let plant = Plant::open(place, files)?;
        let slow = [Verb::Recv, Verb::Mv].map(|verb| Fault::Slow(SLOWNESS).at(verb));
        let ship = FakeServer::start(Setup { faults: slow.into(), ..Setup::default() })?;
        let bank = FakeServer::start(Setup { faults: vec![Fault::HangAfterAccept.always()], ..Setup::default() })?;
        let mut expected = plant.files.clone();
        for (name, bytes) in reports("ship", 1, files) {
            ship.put(&name, &bytes)?;
            expected.insert(name, bytes);
        }
        let site = |name: &str, port: u16| SiteSettings {
            port,
            incoming_dir: spool.to_owned(),
            retries: 0,
            ..SiteSettings::new(name, LOOPBACK.to_string())
        };
        let sites = vec![
            SiteSettings { tls: Some(plant.tls.clone()), ..site("plant", plant.port()?) },
            site("ship", ship.address().port()),
            SiteSettings { timeout: TIMEOUT, ..site("bank", bank.address().port()) },
        ];
        Ok(Self { sites, plant, ship, _bank: bank, expected })
    }

    pub(super) fn sites(&self) -> &[SiteSettings] {
        &self.sites
    }

    /// Files at the sites, once they are [sent](Self::send).
    pub(super) fn waiting(&self) -> usize {
        self.expected.len()
    }

    /// Has the agents send their files to our server; how long that took.
    pub(super) fn send(&self) -> Result<Duration, Box<dyn Error>> {
        self.plant.send()
    }

    /// Whether each file has arrived as it was, and is gone where it came from.
    pub(super) fn compare(&mut self, spool: &Path) -> Result<Comparison, Box<dyn Error>> {
        let arrived =
            |(name, bytes): &(&String, &Vec<u8>)| fs::read(spool.join(name)).is_ok_and(|found| found == **bytes);
        let (all, whole) = (self.expected.len(), self.expected.iter().filter(arrived).count());
        let left = self.plant.close()? + self.ship.files()?.len();
        Ok(Comparison { all, whole, left })
    }
}

/// What has become of all files.
pub(super) struct Comparison {
    all: usize,
    /// In the spool, byte for byte.
    whole: usize,
    /// Still at their sites.
    left: usize,
}

impl Comparison {
    pub(super) fn is_complete(&self) -> bool {
        self.whole == self.all && self.left == 0
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { all, whole, left } = self;
        if self.is_complete() {
            writeln!(f, "\nAll {all} files are in the spool, byte for byte, and none is left at the sites.")?;
            f.write_str("The site that hangs cost the others nothing; the daemon would try it again.")
        } else {
            write!(
                f,
                "\nNOT complete: {whole} of {all} files are in the spool as they were, {left} are left at the sites."
            )
        }
    }
}

impl Plant {
    fn open(place: &Path, files: usize) -> Result<Self, Box<dyn Error>> {
        let authority = Authority::new("Demo CA")?;
        let identity = authority.server(LOOPBACK)?;
        let [ca, cert, key, storage] = ["ca.pem", "server.pem", "server.key", "plant"].map(|name| place.join(name));
        fs::write(&ca, authority.certificate_pem())?;
        fs::write(&cert, identity.certificate_pem)?;
        fs::write(&key, identity.key_pem)?;
        fs::create_dir(&storage)?;
        let mut config = ServerConfig::storing(storage.clone(), LOOPBACK, 0);
        config.limits.max_connections = 2 * AGENTS;
        config.limits.idle_timeout = UNHURRIED;
        config.tls =
            Some(ServerTls { cert, key, passphrase: Passphrase::None, client_ca: None, versions: None, ciphers: None });
        if let Mode::Store(settings) = &mut config.mode {
            settings.insecure = true;
        }
        let tls =
            TlsSettings { ca: Some(ca), identity: None, verify: Verify::ChainAndName, offer: ClientCertPolicy::Never };
        let files = reports("plant", 0, files).collect();
        Ok(Self { server: Some(InProcessServer::start(config)?), storage, tls, files })
    }

    fn port(&self) -> Result<u16, Box<dyn Error>> {
        Ok(self.server.as_ref().ok_or("it has been stopped")?.address()?.port())
    }

    #[expect(clippy::disallowed_methods, reason = "a stopwatch for people, and the day the certificate is looked at")]
    fn send(&self) -> Result<Duration, Box<dyn Error>> {
        let (began, server) = (Instant::now(), (LOOPBACK, self.port()?).into());
        let connector = Connector::new(&self.tls, UnixTime::now())?;
        let files: Vec<_> = self.files.iter().collect();
        thread::scope(|scope| {
            let shares = files.chunks(files.len().div_ceil(AGENTS).max(1));
            let agents: Vec<_> = shares
                .map(|share| {
                    let connector = &connector;
                    scope.spawn(move || {
                        let mut agent = Agent::connect(server, Some(connector))?;
                        share.iter().try_for_each(|(name, bytes)| agent.send(name, bytes))?;
                        agent.quit()
                    })
                })
                .collect();
            agents.into_iter().try_for_each(|agent| {
                agent.join().map_err(|_| "an agent has panicked")?.map_err(Box::<dyn Error>::from)
            })
        })?;
        Ok(began.elapsed())
    }

    /// Stops the server after it has carried out all orders; returns how many files it has kept.
    fn close(&mut self) -> Result<usize, Box<dyn Error>> {
        self.server = None;
        Ok(files_below(&self.storage)?.keys().filter(|path| path.parent() == Some(Path::new(""))).count())
    }
}

fn reports(site: &str, seed: u64, files: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
    AgentFiles { prefix: site.into(), agents: AGENTS, seed }.files(files)
}
