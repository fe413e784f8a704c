//! `demo`: the real daemon code against three made-up sites inside this process.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::{FAILURE, Outcome, SUCCESS};
use crate::config::{Settings, SiteSettings};
use crate::double::{Authority, Double, Fleet, Setup, StockClients, Trick, Verb, stock_tls};
use crate::net::Net;
use crate::obs;
use crate::role::collect::{Collector, Mode, RoundReport};
use crate::store::Durability;
use crate::tls::{Offer, TlsSettings, Verify};

/// What the slow site takes for each command.
const SLOWNESS: Duration = Duration::from_millis(2);

/// How long the hanging site is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The made-up sites, alive as long as this is.
struct Scene {
    sites: Vec<SiteSettings>,
    doubles: Vec<Double>,
    /// What has to be in the spool in the end.
    expected: BTreeMap<String, Vec<u8>>,
}

#[expect(clippy::print_stdout, reason = "a command's output")]
pub(super) fn run(files: u32) -> Outcome {
    obs::start_log(log::LevelFilter::Error)?;
    let place = tempfile::Builder::new().prefix("tentacle-sync-demo-").tempdir()?;
    let spool = place.path().join("data_in");
    fs::create_dir(&spool)?;
    let scene = Scene::set(place.path(), &spool, files as usize)?;
    println!("Three isolated networks, each with a Tentacle server in front (here: imitations, on loopback):\n");
    for (site, about) in scene.sites.iter().zip([
        "TLS, its certificate checked against the site's CA",
        "plain, slow, writes line by line as stock servers do",
        "takes the connection and never says a word",
    ]) {
        println!("  {:6} {}:{:<6} {about}", site.name, site.address, site.port);
    }
    println!("\n{} files are waiting there. Collecting into {} …\n", scene.expected.len(), spool.display());

    let settings = Settings {
        state_dir: place.path().join("state"),
        durability: Durability::Fsync,
        max_connections: 64,
        shutdown_timeout: Duration::from_secs(1),
        sites: scene.sites.clone(),
        warnings: Vec::new(),
    };
    let shown = Rc::new(Cell::new(0));
    let observer = Box::new(move |report: &RoundReport| show(report, &shown));
    Collector::new(Net::new()?, &settings, Mode::Once, observer)?.run(settings.shutdown_timeout, |_, _| false)?;

    let complete = scene.compare(&spool)?;
    if complete {
        drop(scene);
        println!("\nThe spool is in {} until you remove it.", place.keep().display());
    }
    Ok(if complete { SUCCESS } else { FAILURE })
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn show(report: &RoundReport, total: &Cell<usize>) {
    let RoundReport { site, tally, took, failure, .. } = report;
    total.set(total.get() + tally.collected);
    match failure {
        Some(reason) => println!("  {site:6} failed after {:.1} s: {reason}", took.as_secs_f64()),
        None => println!(
            "  {site:6} {} files, {} bytes, durable here and gone there in {:.1} s ({} in all)",
            tally.collected,
            tally.bytes,
            took.as_secs_f64(),
            total.get()
        ),
    }
}

impl Scene {
    fn set(place: &Path, spool: &Path, files: usize) -> Result<Self, Box<dyn Error>> {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        let authority = Authority::new("Demo CA")?;
        let ca = place.join("ca.pem");
        fs::write(&ca, authority.certificate_pem())?;
        let tls = stock_tls(&authority.server(loopback)?, StockClients::Anyone)?;
        let setups = [
            ("plant", Setup { tls: Some(tls), ..Setup::default() }),
            (
                "ship",
                Setup {
                    mischief: [Verb::Recv, Verb::Mv].map(|verb| Trick::Slow(SLOWNESS).at(verb)).into(),
                    ..Setup::default()
                },
            ),
            ("bank", Setup { mischief: vec![Trick::HangAfterAccept.always()], ..Setup::default() }),
        ];
        let mut scene = Self { sites: Vec::new(), doubles: Vec::new(), expected: BTreeMap::new() };
        for (seed, (name, setup)) in setups.into_iter().enumerate() {
            let hangs = name == "bank";
            let mut site = SiteSettings::new(name, loopback.to_string());
            spool.clone_into(&mut site.incoming_dir);
            site.retries = 0;
            site.tls = setup.tls.as_ref().map(|_| TlsSettings {
                ca: Some(ca.clone()),
                identity: None,
                verify: Verify::ChainAndName,
                offer: Offer::Never,
            });
            if hangs {
                site.timeout = PATIENCE;
            }
            let double = Double::start(setup)?;
            site.port = double.address().port();
            if !hangs {
                let fleet = Fleet { prefix: name.into(), agents: 20, seed: seed as u64 };
                for (file, bytes) in fleet.files(files) {
                    double.put(&file, &bytes)?;
                    scene.expected.insert(file, bytes);
                }
            }
            scene.sites.push(site);
            scene.doubles.push(double);
        }
        Ok(scene)
    }

    /// Whether each file has arrived as it was, and is gone where it came from; says so.
    #[expect(clippy::print_stdout, reason = "a command's output")]
    fn compare(&self, spool: &Path) -> Result<bool, Box<dyn Error>> {
        let arrived =
            |(name, bytes): &(&String, &Vec<u8>)| fs::read(spool.join(name)).is_ok_and(|found| found == **bytes);
        let whole = self.expected.iter().filter(arrived).count();
        let mut left = 0;
        for double in &self.doubles {
            left += double.files()?.len();
        }
        let all = self.expected.len();
        let complete = whole == all && left == 0;
        if complete {
            println!("\nAll {all} files are in the spool, byte for byte, and none is left at the sites.");
            println!("The site that hangs cost the others nothing; the daemon would try it again.");
        } else {
            println!(
                "\nNOT complete: {whole} of {all} files are in the spool as they were, {left} are left at the sites."
            );
        }
        Ok(complete)
    }
}
