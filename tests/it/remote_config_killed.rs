//! Agents' configuration while the daemon is killed again and again: what the console has edited reaches the agents, and no agent
//! is shown a collection that is not there yet.
//!
//! `CONFIG_KILLS=300 cargo test --test it remote_config_killed:: -- --nocapture` goes on for longer.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;

use crate::consumer::seed;
use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::remote_config::{Directories, SERVERS, config_command, md5_of};
use crate::server_process::{Options, ServerProcess, hand_over_to_server};
use crate::site::site_config;
use crate::support::scratch;

/// Unless `CONFIG_KILLS` is set.
const KILLS: usize = 15;

/// Things that the console and agents do between two kills, at most.
const DEEDS: usize = 60;

/// From one of these to the next, at most.
const PAUSE: Duration = Duration::from_millis(8);

/// Agents of each site, beside one whose name both have.
const AGENTS: usize = 3;

const SHARED: &str = "shared";

/// An agent with remote configuration, which asks its site's server by its files.
struct Agent {
    k: String,
    configuration: Vec<u8>,
    /// The MD5 that the agent had with its collection.
    collection: Vec<u8>,
}

struct Site {
    name: &'static str,
    directories: Directories,
    server: ServerProcess,
    agents: Vec<Agent>,
    _storage: TempDir,
}

/// What the console has done last: the content, unless it has deleted it.
type Edits = BTreeMap<String, Option<Vec<u8>>>;

/// As `SEND` does: whole, or not at all.
fn put(directories: &Directories, path: &Path, bytes: &[u8]) {
    let draft = directories.0.join("draft");
    fs::write(&draft, bytes).unwrap();
    hand_over_to_server(&draft);
    fs::rename(draft, path).unwrap();
}

impl Agent {
    fn new(name: &str, site: &str) -> Self {
        let configuration = format!("agent_name {name}\n# first, at {site}\n").into_bytes();
        Self { k: md5_of(name), configuration, collection: Vec::new() }
    }

    /// One run of it.
    fn run(&mut self, site: &Directories) {
        let (conf, md5) = (site.conf(&self.k), site.md5(&self.k));
        match fs::read(&md5) {
            Err(_) => {
                put(site, &conf, &self.configuration);
                put(site, &md5, md5_of(&self.configuration).as_bytes());
            }
            Ok(shown) if shown != md5_of(&self.configuration).as_bytes() => {
                let fetched = fs::read(conf).unwrap_or_default();
                if !fetched.is_empty() {
                    self.configuration = fetched;
                }
            }
            Ok(_) => {}
        }
        if String::from_utf8_lossy(&self.configuration).contains("file_collection fc_1") {
            self.fetch_collection(site);
        }
    }

    /// Fails where the content is older than its MD5 promises.
    fn fetch_collection(&mut self, site: &Directories) {
        let Ok(shown) = fs::read(site.md5("fc_1")) else { return };
        if shown == self.collection {
            return;
        }
        let content = fs::read(site.zip("fc_1")).unwrap_or_default();
        let version = |content: &[u8]| String::from_utf8_lossy(content).parse::<usize>().unwrap_or(0);
        let is_older = (version(&content) + 1..version(&content) + DEEDS)
            .any(|newer| md5_of(newer.to_string()) == *String::from_utf8_lossy(&shown));
        assert!(!is_older, "a collection's MD5 was shown before its content");
        self.collection = shown;
    }
}

impl Site {
    fn has(&self, k: &str, bytes: &[u8]) -> bool {
        self.directories.has_pair(&self.directories.conf(k), bytes)
    }
}

/// Two sites, the centre, and what has happened.
struct Scene {
    sandbox: Sandbox,
    centre: Directories,
    sites: Vec<Site>,
    edits: Edits,
    versions: usize,
    rng: Rng,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let centre = Directories::make(&sandbox.incoming());
        let mut sites = Vec::new();
        for (number, name) in ["first", "second"].into_iter().enumerate() {
            let storage = scratch();
            let directories = Directories::make(storage.path());
            let server = SERVERS[number](&Options::usual(), storage.path());
            let server = server.unwrap_or_else(|| ServerProcess::ours(&Options::usual(), storage.path()));
            let own = (0..AGENTS).map(|agent| Agent::new(&format!("{name}{agent}"), name));
            let agents = own.chain([Agent::new(SHARED, name)]).collect();
            hand_over_to_server(&directories.0);
            sites.push(Site { name, directories, server, agents, _storage: storage });
        }
        let lines = "interval = 1\nremote_config_interval = 1";
        sandbox.configure("", sites.iter().map(|site| site_config(site.name, site.server.address(), lines)));
        Self { sandbox, centre, sites, edits: Edits::new(), versions: 0, rng: Rng::with_seed(seed()) }
    }

    fn some_key(&mut self) -> String {
        let site = self.rng.usize(..self.sites.len());
        let agent = self.rng.usize(..=AGENTS);
        self.sites[site].agents[agent].k.clone()
    }

    /// Something that the console or an agent does.
    fn deed(&mut self) {
        let k = self.some_key();
        match self.rng.u32(..40) {
            // The console edits what it sees.
            0..4 if self.centre.conf(&k).exists() => {
                self.versions += 1;
                let content = format!("edited {}\nfile_collection fc_1\n", self.versions).into_bytes();
                fs::write(self.centre.conf(&k), &content).unwrap();
                thread::sleep(PAUSE.mul_f64(self.rng.f64()));
                fs::write(self.centre.md5(&k), md5_of(&content)).unwrap();
                self.edits.insert(k, Some(content));
            }
            4 => {
                self.versions += 1;
                self.centre.save(&self.centre.zip("fc_1"), self.versions.to_string());
            }
            5 if self.rng.bool() && self.centre.conf(&k).exists() && self.centre.md5(&k).exists() => {
                self.centre.delete(&k);
                self.edits.insert(k, None);
            }
            _ => {
                let site = self.rng.usize(..self.sites.len());
                let Site { directories, agents, .. } = &mut self.sites[site];
                let agent = self.rng.usize(..agents.len());
                agents[agent].run(directories);
            }
        }
        thread::sleep(PAUSE.mul_f64(self.rng.f64()));
    }

    fn check_edits(&self) {
        for (k, edit) in &self.edits {
            if let Some(content) = edit {
                assert!(self.centre.has_pair(&self.centre.conf(k), content), "an edit of {k} is lost");
            }
        }
    }

    /// Whether each site has what the centre has of its own agents, and one has it of the agent whose name both have.
    fn is_in_step(&mut self) -> bool {
        for Site { directories, agents, .. } in &mut self.sites {
            for agent in agents {
                agent.run(directories);
            }
        }
        let at_centre = |k: &str| fs::read(self.centre.conf(k)).unwrap_or_default();
        let has = |site: &Site, agent: &Agent| {
            let content = at_centre(&agent.k);
            !content.is_empty() && site.has(&agent.k, &content) && agent.configuration == content
        };
        let (mut own, mut shared) = (true, 0);
        for site in &self.sites {
            for agent in &site.agents {
                if agent.k == md5_of(SHARED) {
                    shared += usize::from(has(site, agent));
                } else {
                    own &= has(site, agent);
                }
            }
        }
        // One that it was assigned away from keeps what it has.
        own && shared > 0
    }

    fn settle(&mut self, daemon: &Daemon) {
        wait_until("the control socket", || Some(()).filter(|()| self.sandbox.state().join("control.sock").exists()));
        for _ in 0..100 {
            if self.is_in_step() {
                return;
            }
            // What was edited after its owner was forgotten by a kill is the operator's.
            for site in ["first", "second"] {
                config_command(&self.sandbox, "assign", &["--all", site]);
            }
            config_command(&self.sandbox, "confirm-deletions", &[]);
            thread::sleep(Duration::from_millis(200));
        }
        panic!("not in step; the daemon's log:\n{}", daemon.log());
    }
}

#[test]
fn killed_again_and_again_what_the_console_does_reaches_the_agents() {
    let kills = env::var("CONFIG_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut scene = Scene::new();
    for _ in 0..kills {
        let mut daemon = scene.sandbox.start();
        for _ in 0..scene.rng.usize(1..DEEDS) {
            scene.deed();
        }
        daemon.kill();
        scene.check_edits();
    }
    let daemon = scene.sandbox.start();
    scene.settle(&daemon);
    scene.check_edits();
    let deleted = scene.edits.values().filter(|edit| edit.is_none()).count();
    println!("{kills} kills, {} edits and collections, {deleted} deleted last", scene.versions);
    daemon.stop().assert_code(0);
}
