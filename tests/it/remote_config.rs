//! Agents' configuration and collections, between the console's directories at the centre and a site's server.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Cursor, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tentacle_sync::proto::Md5Sum;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::daemon::{Daemon, Outcome, Sandbox};
use crate::server_process::{Options, ServerProcess, hand_over_to_server};
use crate::site::site_config;
use crate::stock::start_stock;
use crate::support::{TIMEOUT, scratch};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) const K: &str = "0123456789abcdef0123456789abcdef";

/// The directories that configuration is in, at the centre and at a site.
pub(crate) struct Directories(pub(crate) PathBuf);

impl Directories {
    pub(crate) fn make(root: &Path) -> Self {
        for name in ["conf", "md5", "collections"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        Self(root.to_owned())
    }

    pub(crate) fn conf(&self, k: &str) -> PathBuf {
        self.0.join(format!("conf/{k}.conf"))
    }

    pub(crate) fn zip(&self, name: &str) -> PathBuf {
        self.0.join(format!("collections/{name}.zip"))
    }

    pub(crate) fn md5(&self, name: &str) -> PathBuf {
        self.0.join(format!("md5/{name}.md5"))
    }

    /// Writes both files as the console does: in place, the content first.
    pub(crate) fn save(&self, content: &Path, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        fs::write(content, bytes).unwrap();
        let name = content.file_stem().unwrap().to_str().unwrap();
        fs::write(self.md5(name), md5_of(bytes)).unwrap();
    }

    /// As the console deletes: the content first.
    pub(crate) fn delete(&self, k: &str) {
        fs::remove_file(self.conf(k)).unwrap();
        fs::remove_file(self.md5(k)).unwrap();
    }

    pub(crate) fn has_pair(&self, content: &Path, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        let name = content.file_stem().unwrap().to_str().unwrap();
        read(content) == Some(bytes.into()) && read(&self.md5(name)) == Some(md5_of(bytes).into())
    }

    pub(crate) fn lacks(&self, k: &str) -> bool {
        !self.conf(k).exists() && !self.md5(k).exists()
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

pub(crate) fn md5_of(bytes: impl AsRef<[u8]>) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5Sum::of(bytes.as_ref()).md5))
}

/// `tentacle-syncd config` with this command.
pub(crate) fn config_command(sandbox: &Sandbox, command: &str, arguments: &[&str]) -> Outcome {
    let config = sandbox.config();
    let words = ["config", command, "--config"].map(OsStr::new).into_iter().chain([config.as_os_str()]);
    sandbox.launch(words.chain(arguments.iter().map(OsStr::new))).wait()
}

/// A centre and a site's server.
pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) centre: Directories,
    pub(crate) site: Directories,
    pub(crate) server: ServerProcess,
    _storage: TempDir,
}

/// What starts a server on a storage directory.
pub(crate) type Start = fn(&Options, &Path) -> Option<ServerProcess>;

pub(crate) const SERVERS: [Start; 2] = [|options, storage| Some(ServerProcess::ours(options, storage)), start_stock];

impl Scene {
    pub(crate) fn new(start: Start, options: &Options) -> Option<Self> {
        let (sandbox, storage) = (Sandbox::new(), scratch());
        let (centre, site) = (Directories::make(&sandbox.incoming()), Directories::make(storage.path()));
        let server = start(options, storage.path())?;
        let lines = "interval = 1\nremote_config = true\nremote_config_interval = 1";
        sandbox.configure("", [site_config("site", server.address(), lines)]);
        Some(Self { sandbox, centre, site, server, _storage: storage })
    }

    /// What an agent uploads.
    pub(crate) fn upload(&self, k: &str, bytes: &str) {
        self.site.save(&self.site.conf(k), bytes);
        hand_over_to_server(&self.site.0);
    }

    #[track_caller]
    fn wait_for(&self, daemon: &Daemon, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..TIMEOUT.as_millis() / PAUSE.as_millis() {
            if condition(self) {
                return;
            }
            thread::sleep(PAUSE);
        }
        panic!("in vain: waited for {what}; the daemon's log:\n{}", daemon.log());
    }
}

#[test]
fn what_agents_upload_comes_up_and_what_the_console_does_goes_down() {
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &Options::usual()) else { continue };
        let (first, second) = ("agent_name web01\n", "agent_name web01\nfile_collection fc_1\n");
        scene.upload(K, first);
        scene.upload(&"f".repeat(32), "one that stays");
        let daemon = scene.sandbox.start();
        scene.wait_for(&daemon, "the upload", |scene| scene.centre.has_pair(&scene.centre.conf(K), first));

        scene.centre.save(&scene.centre.zip("fc_1"), "an archive");
        scene.centre.save(&scene.centre.zip("fc_2"), "of nobody here");
        scene.centre.save(&scene.centre.conf(K), second);
        scene.wait_for(&daemon, "the edit", |scene| scene.site.has_pair(&scene.site.conf(K), second));
        scene.wait_for(&daemon, "the collection", |scene| scene.site.has_pair(&scene.site.zip("fc_1"), "an archive"));
        assert!(!scene.site.zip("fc_2").exists() && !scene.site.md5("fc_2").exists());

        // What an agent uploads whose fetch failed once is no edit.
        scene.upload(K, first);
        scene.wait_for(&daemon, "the centre's again", |scene| scene.site.has_pair(&scene.site.conf(K), second));
        assert!(scene.centre.has_pair(&scene.centre.conf(K), second));

        scene.centre.delete(K);
        scene.wait_for(&daemon, "the deletion", |scene| scene.site.lacks(K));
        daemon.stop().assert_code(0);
    }
}

#[test]
fn it_goes_on_after_a_restart_and_deletes_only_what_it_had_in_step() {
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &Options::usual()) else { continue };
        let ks: Vec<String> = (0..5).map(|number| format!("{number:032x}")).collect();
        for k in &ks {
            scene.upload(k, k);
        }
        let daemon = scene.sandbox.start();
        daemon.wait_for_line(&["site=site configuration: taken-up=5"]);
        assert!(ks.iter().all(|k| scene.centre.has_pair(&scene.centre.conf(k), k)));
        daemon.stop().assert_code(0);
        scene.centre.delete(&ks[0]);
        scene.centre.save(&scene.centre.conf(&ks[1]), "edited meanwhile");
        let daemon = scene.sandbox.start();
        scene.wait_for(&daemon, "what was done meanwhile", |scene| {
            scene.site.lacks(&ks[0]) && scene.site.has_pair(&scene.site.conf(&ks[1]), "edited meanwhile")
        });
        // An emptied directory is none of the console's doing.
        for k in &ks[1..] {
            scene.centre.delete(k);
        }
        daemon.wait_for_line(&["WARN", "reason=remote-config-guard", "4 of 4"]);
        assert!(ks[2..].iter().all(|k| scene.site.has_pair(&scene.site.conf(k), k)));
        daemon.stop().assert_code(0);
    }
}

#[test]
fn a_site_whose_server_lacks_an_option_is_reported_with_it() {
    let filters = r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections";
    let without = [
        (Options::default().arg("-I").arg("-o"), "start it with -i"),
        (Options::default().arg("-I").arg("-i").arg(filters), "start it with -o"),
    ];
    for start in SERVERS {
        for (options, advice) in &without {
            let Some(scene) = Scene::new(start, options) else { continue };
            scene.upload(K, "agent_name web01\n");
            let daemon = scene.sandbox.start();
            if advice.ends_with("-o") {
                scene.wait_for(&daemon, "the upload", |scene| {
                    scene.centre.conf(K).exists() && scene.centre.md5(K).exists()
                });
                scene.centre.save(&scene.centre.conf(K), "edited");
            }
            daemon.wait_for_line(&["WARN", "reason=remote-config-server", advice]);
            daemon.stop().assert_code(0);
        }
    }
}

#[test]
fn nobody_has_to_ask_for_it_and_what_is_not_made_for_it_is_left_out_in_silence() {
    for start in SERVERS {
        let (storage, plain, other) = (scratch(), scratch(), scratch());
        let Some(server) = start(&Options::usual(), storage.path()) else { continue };
        let Some(without) = start(&Options::default().arg("-I"), plain.path()) else { continue };
        let Some(elsewhere) = start(&Options::usual(), other.path()) else { continue };
        let sandbox = Sandbox::new();
        let (centre, site) = (Directories::make(&sandbox.incoming()), Directories::make(storage.path()));
        fs::create_dir(sandbox.path("no-directories")).unwrap();
        let no_directories = format!("interval = 1\nincoming_dir = {:?}", sandbox.path("no-directories"));
        let often = "interval = 1\nremote_config_interval = 1";
        Directories::make(plain.path());
        let sites = [
            site_config("site", server.address(), often),
            site_config("plain", without.address(), often),
            site_config("elsewhere", elsewhere.address(), &no_directories),
        ];
        sandbox.configure("", sites);
        site.save(&site.conf(K), "agent_name web01\n");
        hand_over_to_server(&site.0);
        let daemon = sandbox.start();
        daemon.wait_for_line(&["site=site configuration: taken-up=1"]);
        daemon.wait_for_line(&["INFO", "site=plain configuration: left out", "-i '"]);
        assert!(centre.has_pair(&centre.conf(K), "agent_name web01\n"));
        let log = daemon.log();
        daemon.stop().assert_code(0);
        assert!(!log.contains("WARN"), "{log}");
        assert_eq!(log.matches("left out").count(), 1, "{log}");
        sandbox.run("once", &[]).assert_code(0);
    }
}

#[test]
fn a_centre_without_the_directories_is_reported() {
    let (sandbox, storage) = (Sandbox::new(), scratch());
    let server = ServerProcess::ours(&Options::usual(), storage.path());
    sandbox.configure("", [site_config("site", server.address(), "interval = 1\nremote_config = true")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["WARN", "reason=remote-config-directory", "/incoming/conf"]);
    fs::create_dir(sandbox.incoming().join("conf")).unwrap();
    daemon.stop().assert_code(0);
}

#[test]
fn another_incoming_directory_deletes_nothing_and_gets_all() {
    let Some(scene) = Scene::new(SERVERS[0], &Options::usual()) else { return };
    scene.upload(K, "agent_name web01\n");
    let daemon = scene.sandbox.start();
    daemon.wait_for_line(&["configuration: taken-up=1"]);
    let other = scene.sandbox.path("other");
    fs::create_dir(&other).unwrap();
    let other = Directories::make(&other);
    let lines = format!("interval = 1\nremote_config = true\nremote_config_interval = 1\nincoming_dir = {:?}", other.0);
    scene.sandbox.configure("", [site_config("site", scene.server.address(), &lines)]);
    daemon.signal(Signal::HUP);
    scene
        .wait_for(&daemon, "the pair in the other directory", |_| other.has_pair(&other.conf(K), "agent_name web01\n"));
    assert!(scene.site.has_pair(&scene.site.conf(K), "agent_name web01\n"));
    daemon.stop().assert_code(0);
}

#[test]
fn nothing_but_configuration_travels() {
    let Some(scene) = Scene::new(SERVERS[0], &Options::usual()) else { return };
    scene.upload(K, "agent_name web01\n");
    for other in ["pandora_ha_hosts", "F00"] {
        scene.upload(other, "dbhost 192.0.2.1\n");
        scene.centre.save(&scene.centre.conf(&format!("{other}0")), "dbhost 192.0.2.1\n");
    }
    scene.upload(&"1".repeat(32), "");
    let daemon = scene.sandbox.start();
    scene.wait_for(&daemon, "the upload", |scene| scene.centre.md5(K).exists());
    scene.upload(&"2".repeat(32), "the last");
    scene.wait_for(&daemon, "a later round", |scene| scene.centre.md5(&"2".repeat(32)).exists());
    assert!(scene.centre.lacks("pandora_ha_hosts") && scene.centre.lacks("F00") && scene.centre.lacks(&"1".repeat(32)));
    assert!(scene.site.lacks("pandora_ha_hosts0") && scene.site.lacks("F000"));
    assert!(scene.server.id() > 0);
    daemon.stop().assert_code(0);
}

/// What Debian's pandorafms-agent installs.
const AGENT: &str = "/usr/sbin/pandora_agent";

/// A real agent that asks for its configuration every few seconds, while it lives.
struct Agent {
    home: TempDir,
    process: Child,
}

impl Agent {
    fn start(name: &str, server: SocketAddr) -> Option<Self> {
        if !Path::new(AGENT).exists() {
            assert!(std::env::var_os("CI_REQUIRES_DEBIAN_CLIENT").is_none(), "there is no {AGENT}");
            writeln!(io::stderr(), "a real agent SKIPPED: there is no {AGENT}").unwrap();
            return None;
        }
        let home = scratch();
        for directory in ["out", "collections"] {
            fs::create_dir(home.path().join(directory)).unwrap();
        }
        let path = |name: &str| home.path().join(name).to_string_lossy().into_owned();
        let conf = format!(
            "server_ip {}\nserver_port {}\nserver_path /nowhere\ntransfer_mode tentacle\ntemporal {}\nlogfile {}\ninterval 1\n\
             agent_name {name}\nremote_config 1\n",
            server.ip(),
            server.port(),
            path("out"),
            path("agent.log")
        );
        fs::write(home.path().join("pandora_agent.conf"), conf).unwrap();
        let mut command = Command::new(AGENT);
        command.arg(home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { process: command.spawn().unwrap(), home })
    }

    fn conf(&self) -> Option<String> {
        fs::read_to_string(self.home.path().join("pandora_agent.conf")).ok()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A collection with one file, as the console packs it.
fn archive(name: &str, content: &str) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file(name, SimpleFileOptions::default()).unwrap();
    archive.write_all(content.as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn a_real_agent_is_configured_from_the_centre() {
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &Options::usual()) else { continue };
        let Some(agent) = Agent::start("web01", scene.server.address()) else { return };
        let daemon = scene.sandbox.start();
        let k = md5_of("web01");
        scene.wait_for(&daemon, "its configuration at the centre", |scene| {
            let conf = agent.conf();
            conf.is_some_and(|conf| scene.centre.has_pair(&scene.centre.conf(&k), conf.as_bytes()))
        });

        let edited = agent.conf().unwrap() + "file_collection fc_1\n# edited in the console\n";
        scene.centre.save(&scene.centre.zip("fc_1"), archive("check.sh", "#!/bin/sh\n"));
        scene.centre.save(&scene.centre.conf(&k), edited.as_bytes());
        scene.wait_for(&daemon, "the edit in the agent's own file", |_| agent.conf().as_ref() == Some(&edited));
        let unpacked = agent.home.path().join("collections/fc_1/check.sh");
        scene.wait_for(&daemon, "its collection", |_| read(&unpacked) == Some(b"#!/bin/sh\n".to_vec()));
        drop(agent);

        // It is the only one: that all are gone may have another reason.
        scene.centre.delete(&k);
        daemon.wait_for_line(&["WARN", "reason=remote-config-guard", "config confirm-deletions"]);
        let confirmed = config_command(&scene.sandbox, "confirm-deletions", &[]);
        confirmed.assert_code(0);
        assert!(confirmed.stdout.contains(&format!("{k}.conf")), "{confirmed}");
        scene.wait_for(&daemon, "the deletion", |scene| scene.site.lacks(&k));
        daemon.stop().assert_code(0);
    }
}
