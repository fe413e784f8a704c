//! `demo`: the real daemon and the real server, with two made-up sites beside it, inside this process.

mod scene;

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use log::LevelFilter;

use self::scene::Scene;
use super::{FAILURE, Outcome, SUCCESS};
use crate::collector::{Collector, Mode, RoundReport};
use crate::config::Settings;
use crate::net::Net;
use crate::obs::{self, LogFormat, Output};
use crate::proto::{printable, quoted};
use crate::store::Publish;

pub(super) fn run(files: u32) -> Outcome {
    obs::start_log(LevelFilter::Error, LevelFilter::Error, LogFormat::Text)?;
    let mut place = tempfile::Builder::new().prefix("tentacle-sync-demo-").tempdir()?;
    let spool = place.path().join("data_in");
    fs::create_dir(&spool)?;
    let mut scene = Scene::set(place.path(), &spool, files as usize)?;
    let out = Rc::new(RefCell::new(Output::default()));
    let say = |text: &str| out.borrow_mut().line(text);
    say("Three isolated networks on loopback, each with a Tentacle server in front:\n");
    for (site, about) in scene.sites().iter().zip([
        "our tentacle_server, with TLS",
        "an imitation of a stock server: plain, slow, writes line by line",
        "an imitation that takes the connection and never answers",
    ]) {
        say(&format!("  {:6} {}:{:<6} {about}", site.name, site.address, site.port));
    }
    let sending = scene.send()?;
    say(&format!(
        "\nplant's agents have sent {files} files, each flushed to disk before its SEND OK, in {sending:.1?}."
    ));
    say(&format!("{} files are waiting at the sites. Collecting into {} …\n", scene.waiting(), quoted(&spool)));

    let settings = Settings {
        state_dir: Some(place.path().join("state")),
        publish: Publish::AtOnce,
        max_connections: 64,
        shutdown_timeout: Duration::from_secs(1),
        ..Settings::of_sites(scene.sites().to_vec())
    };
    let (printer, mut total) = (Rc::clone(&out), 0);
    let observer = Box::new(move |report: &RoundReport| {
        total += report.tally.collected;
        printer.borrow_mut().line(line_of(report, total));
    });
    Collector::new(Net::new()?, &settings, Mode::Once, observer)?.run(settings.shutdown_timeout, |_, _| false)?;

    let comparison = scene.compare(&spool)?;
    say(&comparison.to_string());
    if comparison.is_complete() {
        say(&format!("\nThe spool is in {} until you remove it.", quoted(place.path())));
    }
    // Where the message could not be printed, the spool does not stay.
    out.take().finish()?;
    if comparison.is_complete() {
        place.disable_cleanup(true);
    }
    Ok(if comparison.is_complete() { SUCCESS } else { FAILURE })
}

fn line_of(report: &RoundReport, total: usize) -> String {
    let RoundReport { site, tally, took, failure, .. } = report;
    match failure {
        Some(reason) => {
            format!("  {site:6} failed after {:.1} s: {}", took.as_secs_f64(), printable(&reason.to_string()))
        }
        None => format!(
            "  {site:6} {} files, {} bytes, durable here and gone there in {:.1} s ({total} in all)",
            tally.collected,
            tally.bytes,
            took.as_secs_f64(),
        ),
    }
}
