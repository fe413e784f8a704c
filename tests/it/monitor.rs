//! What the daemon tells the data server of itself.

use std::fs;

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::Setup;

use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::data_server::DataServer;
use crate::server_process::free_address;
use crate::site::{Site, site_config};
use crate::{control, http, http_client};

/// An agent's file, as a data server reads it.
struct AgentData {
    name: String,
    text: String,
}

impl AgentData {
    /// The newest in the incoming directory of the agent whose name is written like this, which is taken away.
    fn take(sandbox: &Sandbox, agent: &str) -> Option<Self> {
        let mut found = None;
        for entry in fs::read_dir(sandbox.incoming()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // What is staged is somebody else's.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if text.contains(&format!("agent_name='{agent}'")) {
                fs::remove_file(&path).unwrap();
                found = Some(Self { name, text });
            }
        }
        found
    }

    /// What a module tells.
    fn value(&self, module: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(&format!("<module><name>{module}</name>"))?;
        let (of_module, _) = rest.split_once("</module>")?;
        Some(of_module.split_once("<data>")?.1.split_once("</data>")?.0)
    }
}

/// Three sites: one that works, one that is dead, one with a name that is written otherwise in XML.
fn watched(monitor: &str, files: usize) -> (Sandbox, Vec<Site>) {
    let sites = vec![Site::ours("plant", files), Site::fake("ship", files, Setup::default())];
    let sandbox = Sandbox::new();
    let often = "interval = 1";
    let dead = site_config("<dead> & 'gone'", free_address(), often);
    let configured = sites.iter().map(|site| site.config(often)).chain([dead]);
    sandbox.configure(&format!("\n[monitor]\ninterval = 1\n{monitor}"), configured);
    (sandbox, sites)
}

#[test]
fn the_data_server_is_told_which_sites_fail() {
    let (sandbox, _sites) = watched("agent = \"sync & <co>\"", 3);
    let daemon = sandbox.start();
    let file = wait_until("a file that tells of the dead site", || {
        AgentData::take(&sandbox, "sync &amp; &lt;co&gt;").filter(|file| file.value("Sites failing") == Some("1"))
    });
    let (stem, serial) = file.name.strip_suffix(".data").unwrap().rsplit_once('.').unwrap();
    assert!(stem.is_ascii() && serial.parse::<u64>().is_ok(), "{}", file.name);
    for (module, expected) in [
        ("Daemon", "1"),
        ("Sites silent", "0"),
        ("Files waiting at sites", "0"),
        ("Site plant", "1"),
        ("Site ship", "1"),
        ("Site &lt;dead&gt; &amp; &apos;gone&apos;", "0"),
    ] {
        assert_eq!(file.value(module), Some(expected), "{module} in {}", file.text);
    }
    assert!(file.value("Disk free").is_some() && file.value("Loop latency").is_some(), "{}", file.text);
    // A reload that takes it away.
    let (lines, off) = (fs::read_to_string(sandbox.config()).unwrap(), "#agent =");
    sandbox.write("tentacle-syncd.toml", lines.replace("agent =", off));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["reloaded"]);
    daemon.stop().assert_code(0);
}

#[test]
fn a_site_that_stops_shows_wherever_somebody_looks() {
    let (plant, ship) = (Site::ours("plant", 3), Site::ours("ship", 3));
    let sandbox = Sandbox::new();
    let lines = "[monitor]\ninterval = 1\nagent = \"sync\"\n";
    let address = http::configure(&sandbox, lines, [plant.config("interval = 1"), ship.config("interval = 1")]);
    let daemon = http::start(&sandbox, address);
    let told = |plant: &str, ship: &str| {
        wait_until("an agent's file that tells of both", || {
            let file = AgentData::take(&sandbox, "sync")?;
            (file.value("Site plant") == Some(plant) && file.value("Site ship") == Some(ship)).then_some(file)
        })
    };
    control::wait_for_site(&sandbox, "plant", |site| site["collected"]["files"] == 3);
    assert_eq!(told("1", "1").value("Sites failing"), Some("0"));
    sandbox.run("status", &[]).assert_code(0);

    // Its first round afterwards fails; a file that tells of that is no sooner than anything else that does.
    drop(plant);
    let file = told("0", "1");
    assert_eq!(file.value("Sites failing"), Some("1"), "{}", file.text);
    let outcome = sandbox.run("status", &[]);
    outcome.assert_code(1).assert_says(&["2 sites, 1 fails"]).assert_says(&["! plant"]).assert_says(&["! plant (127."]);
    outcome.assert_says(&["connection refused; is the"]);
    let status = http_client::get(address, "/status.json").json();
    assert_eq!(status["daemon"]["failing"], 1, "{status}");
    let plant = &status["sites"].as_array().unwrap().iter().find(|site| site["name"] == "plant").unwrap();
    assert_eq!((&plant["is_failing"], &plant["problem"]["reason"]), (&true.into(), &"connect".into()), "{plant}");
    wait_until("the answer of a second ago to be too old", || {
        let metrics = http_client::get(address, "/metrics");
        let failing = |site: &str| metrics.series(&format!("tentacle_sync_site_failing{{site=\"{site}\"}}"));
        (failing("plant") == Some(1.0) && failing("ship") == Some(0.0)).then_some(())
    });
    daemon.stop().assert_code(0);
}

#[test]
fn a_directory_that_cannot_be_used_is_tried_again() {
    let site = Site::ours("plant", 0);
    let sandbox = Sandbox::new();
    let directory = sandbox.path("told");
    let monitor = format!("\n[monitor]\ninterval = 1\nagent = \"sync\"\nincoming_dir = {directory:?}\n");
    sandbox.configure(&monitor, [site.config("interval = 1")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["[WARN]", "reason=monitor", "is tried again every 1 s", "told"]);
    let failures = |daemon: &Daemon| daemon.log().matches("reason=monitor").count();
    fs::create_dir(&directory).unwrap();
    daemon.wait_for_line(&["[INFO] files about this process are written from now on"]);
    wait_until("a file", || {
        fs::read_dir(&directory)
            .unwrap()
            .any(|entry| entry.unwrap().path().extension() == Some("data".as_ref()))
            .then_some(())
    });
    assert_eq!(failures(&daemon), 1, "each try is no line: {}", daemon.log());
    daemon.stop().assert_code(0);
}

#[test]
fn each_site_is_an_agent_of_its_own_where_that_is_asked_for() {
    let (sandbox, _sites) = watched("agent = \"sync\"\nper_site = true", 0);
    let data_server = DataServer::start(sandbox.incoming());
    let daemon = sandbox.start();
    wait_until("four agents", || (data_server.count() >= 4).then_some(()));
    daemon.stop().assert_code(0);
    let rows = data_server.end();
    let agents: Vec<&str> = rows.keys().map(String::as_str).collect();
    assert_eq!(agents, ["sync", "sync &lt;dead&gt; &amp; &apos;gone&apos;", "sync plant", "sync ship"]);
}
