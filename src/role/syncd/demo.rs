//! `demo`: the real daemon and the real server, with two made-up sites beside it, inside this process.

mod scene;

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use self::scene::Scene;
use super::{FAILURE, Outcome, SUCCESS};
use crate::config::{Settings, defaults};
use crate::net::Net;
use crate::obs;
use crate::role::collect::{Collector, Mode, RoundReport};
use crate::store::{Durability, Publish};

#[expect(clippy::print_stdout, reason = "a command's output")]
pub(super) fn run(files: u32) -> Outcome {
    obs::start_log(log::LevelFilter::Error)?;
    let place = tempfile::Builder::new().prefix("tentacle-sync-demo-").tempdir()?;
    let spool = place.path().join("data_in");
    fs::create_dir(&spool)?;
    let mut scene = Scene::set(place.path(), &spool, files as usize)?;
    println!("Three isolated networks on loopback, each with a Tentacle server in front:\n");
    for (site, about) in scene.sites().iter().zip([
        "our tentacle_server, with TLS",
        "an imitation of a stock server: plain, slow, writes line by line",
        "an imitation that takes the connection and never says a word",
    ]) {
        println!("  {:6} {}:{:<6} {about}", site.name, site.address, site.port);
    }
    let sending = scene.send()?;
    println!("\nplant's agents have sent {files} files, each flushed to disk before its SEND OK, in {sending:.1?}.");
    println!("{} files are waiting at the sites. Collecting into {} …\n", scene.waiting(), spool.display());

    let settings = Settings {
        state_dir: place.path().join("state"),
        durability: Durability::Fsync,
        publish: Publish::AtOnce,
        max_spool: defaults::MAX_SPOOL,
        max_connections: 64,
        shutdown_timeout: Duration::from_secs(1),
        sites: scene.sites().to_vec(),
        warnings: Vec::new(),
    };
    let shown = Rc::new(Cell::new(0));
    let observer = Box::new(move |report: &RoundReport| show(report, &shown));
    Collector::new(Net::new()?, &settings, Mode::Once, observer)?.run(settings.shutdown_timeout, |_, _| false)?;

    let complete = scene.compare(&spool)?;
    if complete {
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
