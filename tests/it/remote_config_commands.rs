//! The commands for agents' configuration: `once`, `once --config-only`, `config diff`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::daemon::{Outcome, Sandbox};
use crate::remote_config::{Directories, K, SERVERS, Scene, config_command, md5_of};
use crate::server_process::{Options, ServerProcess, hand_over_to_server};
use crate::site::site_config;
use crate::support::{Certificates, scratch};
use crate::terminal::Terminal;

/// All below some directories: its kind, rights, times and bytes.
fn tree(roots: &[&Path]) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let bytes = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(path, (metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), bytes));
    }
    found
}

impl Scene {
    fn tree(&self) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
        tree(&[&self.sandbox.state(), &self.sandbox.incoming(), &self.site.0])
    }

    fn configure(&self, arguments: &[&str]) -> Outcome {
        self.sandbox.run("once", &[&["--config-only"], arguments].concat())
    }

    fn diff(&self, item: &[&str]) -> Outcome {
        config_diff(&self.sandbox, &[&["site"], item].concat())
    }
}

fn config_diff(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    config_command(sandbox, "diff", arguments)
}

/// The lines, sorted, but for the last one, which sums them up.
fn item_lines(outcome: &Outcome) -> Vec<&str> {
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.pop();
    lines.sort_unstable();
    lines
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:032x}")).collect()
}

#[test]
fn a_dry_run_prints_what_the_round_then_does_and_changes_nothing() {
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &Options::usual()) else { continue };
        let (k, conf) = (keys(4), |number: usize| format!("agent_name a{number}\n"));
        (0..3).for_each(|number| scene.upload(&k[number], &conf(number)));
        scene.configure(&[]).assert_code(0).assert_says(&["site: configuration:", "3 taken up"]);

        scene.upload(&k[3], &conf(3));
        scene.centre.save(&scene.centre.conf(&k[0]), "agent_name a0\nfile_collection fc_1\n");
        scene.centre.save(&scene.centre.zip("fc_1"), "an archive");
        scene.centre.delete(&k[1]);
        let before = scene.tree();
        let dry = scene.configure(&["--dry-run"]);
        dry.assert_code(0);
        let expected = [
            format!("site {}.conf push the site has another one (agent a0)", k[0]),
            format!("site {}.conf delete it was deleted at the centre", k[1]),
            format!("site {}.conf take-up the centre does not have it (agent a3)", k[3]),
            "site fc_1.zip push the site does not have it".to_owned(),
        ];
        assert_eq!(item_lines(&dry), expected, "{dry}");
        assert_eq!(scene.tree(), before);

        let done = scene.configure(&[]);
        done.assert_code(0).assert_says(&["2 pushed, 1 taken up, 1 deleted, 1 in step before"]);
        assert!(scene.site.has_pair(&scene.site.conf(&k[0]), "agent_name a0\nfile_collection fc_1\n"));
        assert!(scene.site.has_pair(&scene.site.zip("fc_1"), "an archive") && scene.site.lacks(&k[1]));
        assert!(scene.centre.has_pair(&scene.centre.conf(&k[3]), conf(3)));
        let dry = scene.configure(&["--dry-run"]);
        dry.assert_code(0).assert_says(&["0 to push, 0 to take up, 0 to delete, 4 in step, 0 not in step"]);
        assert_eq!(item_lines(&dry), [""; 0], "{dry}");
    }
}

#[test]
fn a_dry_run_works_beside_a_daemon_and_a_round_does_not() {
    let Some(scene) = Scene::new(SERVERS[0], &Options::usual()) else { return };
    scene.upload(K, "agent_name web01\n");
    fs::create_dir(scene.sandbox.state()).unwrap();
    let lock = File::create(scene.sandbox.state().join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    scene.configure(&["--dry-run"]).assert_code(0).assert_says(&["take-up", "web01"]);
    scene.diff(&[K]).assert_code(1);
    scene.configure(&[]).assert_code(3);
    assert!(scene.centre.lacks(K));
}

#[test]
fn nothing_is_deleted_by_hand_either_when_too_much_is_missing_at_the_centre() {
    let Some(scene) = Scene::new(SERVERS[0], &Options::usual()) else { return };
    let of_other = scratch();
    let other = Directories::make(of_other.path());
    let k = keys(8);
    k[..2].iter().for_each(|k| scene.upload(k, k));
    k[2..].iter().for_each(|k| other.save(&other.conf(k), k));
    hand_over_to_server(&other.0);
    let server = ServerProcess::ours(&Options::usual(), of_other.path());
    let lines = "remote_config = true";
    let sites = [site_config("site", scene.server.address(), lines), site_config("other", server.address(), lines)];
    scene.sandbox.configure("", sites);
    scene.configure(&[]).assert_code(0);
    // At this site alone it is little.
    k[1..6].iter().for_each(|k| scene.centre.delete(k));
    for arguments in [["site", "--dry-run"].as_slice(), &["site"]] {
        let outcome = scene.configure(arguments);
        outcome.assert_code(1).assert_says(&[&format!("site {}.conf keep 5 of 8", k[1])]);
    }
    assert!(scene.site.has_pair(&scene.site.conf(&k[1]), &k[1]));
}

#[test]
fn once_collects_data_and_then_keeps_configuration_the_same() {
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &Options::usual()) else { continue };
        scene.upload(K, "agent_name web01\n");
        fs::write(scene.site.0.join("web01.1700000000.data"), "a measurement").unwrap();
        hand_over_to_server(&scene.site.0);
        let outcome = scene.sandbox.once();
        outcome.assert_code(0).assert_says(&["site: 1 file, 13 bytes"]);
        outcome.assert_says(&["site: configuration: 0 pushed, 1 taken up, 0 deleted, 0 in step before"]);
        assert!(scene.centre.has_pair(&scene.centre.conf(K), "agent_name web01\n"));
        assert!(scene.sandbox.incoming().join("web01.1700000000.data").exists());

        scene.centre.save(&scene.centre.conf(K), "edited");
        fs::write(scene.site.0.join("web01.1700000001.data"), "left there").unwrap();
        hand_over_to_server(&scene.site.0);
        scene.configure(&["site"]).assert_code(0).assert_says(&["1 pushed"]);
        assert!(scene.site.has_pair(&scene.site.conf(K), "edited"));
        assert!(scene.site.0.join("web01.1700000001.data").exists(), "no data is touched");

        // By hand, or while the console writes.
        fs::write(scene.centre.conf(K), "edited without its md5").unwrap();
        let outcome = scene.sandbox.once();
        outcome.assert_code(1).assert_says(&["1 not in step"]);
        outcome.assert_says(&[&format!("site {K}.conf skip"), "has the MD5 of other bytes"]);
        assert!(scene.site.has_pair(&scene.site.conf(K), "edited"));
    }
}

/// A stock server closes after each file that is declined, and each connection goes on where the one before had to end.
#[test]
fn a_round_comes_to_its_end_over_as_many_connections_as_it_takes() {
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &Options::usual()) else { continue };
        let k = keys(7);
        for (number, k) in k.iter().enumerate() {
            scene.upload(k, if number % 2 == 0 { "" } else { "agent_name web\n" });
        }
        for arguments in [["--dry-run"].as_slice(), &[]] {
            let outcome = scene.configure(arguments);
            outcome.assert_code(1).assert_says(&[&format!("site {}.conf wait", k[6]), "empty"]);
            outcome.assert_says(&["4 not in step"]).assert_says(&[&format!("site {}.conf wait", k[0])]);
        }
        assert!(k.iter().enumerate().all(|(number, k)| scene.centre.lacks(k) == (number % 2 == 0)));
    }
}

#[test]
fn what_keeps_a_site_from_its_configuration_is_said_and_is_a_failure() {
    let filters = r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections";
    for start in SERVERS {
        let without_overwrite = Options::default().arg("-I").arg("-i").arg(filters);
        let Some(scene) = Scene::new(start, &without_overwrite) else { continue };
        scene.upload(K, "agent_name web01\n");
        scene.configure(&[]).assert_code(0);
        scene.centre.save(&scene.centre.conf(K), "edited");
        scene.configure(&[]).assert_code(1).assert_says(&["site: configuration: failed", "start it with -o"]);
        let Some(without_filters) = Scene::new(start, &Options::default().arg("-I").arg("-o")) else { continue };
        without_filters.configure(&["--dry-run"]).assert_code(1).assert_says(&["failed", "start it with -i"]);
        without_filters.sandbox.once().assert_code(1).assert_says(&["failed", "start it with -i"]);
        without_filters.diff(&[]).assert_code(2).assert_logs(&["start it with -i"]);
    }
    let sandbox = Sandbox::new();
    let dead = "127.0.0.1:1".parse().unwrap();
    sandbox.configure(
        "",
        [site_config("site", dead, "remote_config = true"), site_config("bare", dead, "remote_config = false")],
    );
    // The centre's directories are not there.
    for arguments in [["--config-only"].as_slice(), &["--config-only", "--dry-run"]] {
        sandbox.run("once", arguments).assert_code(1).assert_says(&["site: configuration: failed", "/conf"]);
    }
    Directories::make(&sandbox.incoming());
    let outcome = sandbox.run("once", &["--config-only"]);
    outcome.assert_code(1).assert_says(&["site: configuration: failed", "cannot connect"]);
    assert!(!outcome.stdout.contains("bare"), "{outcome}");
    config_diff(&sandbox, &["site"]).assert_code(2).assert_logs(&["cannot connect"]);
    sandbox.run("once", &["--config-only", "bare"]).assert_code(2).assert_logs(&["bare", "remote_config = false"]);
    sandbox.run("once", &["--dry-run"]).assert_code(2);
    sandbox.configure("", [site_config("bare", dead, "remote_config = false")]);
    sandbox.run("once", &["--config-only"]).assert_code(2).assert_logs(&["no site", "remote_config = false"]);
}

#[test]
fn a_diff_shows_what_the_agent_has_and_what_the_centre_has() {
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &Options::usual()) else { continue };
        let k = md5_of("web01");
        scene.upload(&k, "agent_name web01\ninterval 300\n#\x1b[2J\n");
        scene.configure(&[]).assert_code(0);
        scene.diff(&[]).assert_code(0);
        scene.diff(&["web01"]).assert_code(0);

        scene.centre.save(&scene.centre.conf(&k), "agent_name web01\ninterval 60\n#\x1b[2J\n");
        scene.upload(K, "agent_name web02");
        let before = scene.tree();
        let centre = scene.sandbox.incoming().canonicalize().unwrap();
        let edited = format!(
            "--- site:{k}.conf (agent web01)\n+++ {}/conf/{k}.conf\n@@ -1,3 +1,3 @@\n agent_name web01\n-interval 300\n\
             +interval 60\n #\\x1b[2J\n",
            centre.to_str().unwrap()
        );
        for name in ["web01", &k] {
            let outcome = scene.diff(&[name]);
            outcome.assert_code(1);
            assert_eq!(outcome.stdout, edited);
        }
        let missing = format!(
            "--- site:{K}.conf (agent web02)\n+++ /dev/null\n@@ -1 +0,0 @@\n-agent_name web02\n\
             \\ No newline at end of file\n"
        );
        let outcome = scene.diff(&[]);
        outcome.assert_code(1);
        // By their keys.
        assert_eq!(outcome.stdout, missing + &edited);
        assert_eq!(scene.tree(), before);

        scene.centre.save(&scene.centre.conf(&k), "agent_name web01\nfile_collection fc_1\n\0");
        scene.centre.save(&scene.centre.zip("fc_1"), "an archive");
        let outcome = scene.diff(&[]);
        outcome.assert_code(1).assert_says(&["Binary files", &format!("{k}.conf"), "differ"]);
        outcome.assert_says(&["Binary files", "fc_1.zip", "differ"]);
        scene.diff(&["nobody"]).assert_code(2).assert_logs(&["neither the site site nor the centre"]);
        config_diff(&scene.sandbox, &["elsewhere"]).assert_code(2).assert_logs(&["no site is named elsewhere"]);
        // The content is the same, and no agent sees that.
        scene.configure(&[]).assert_code(0);
        fs::write(scene.site.md5(&k), md5_of("another")).unwrap();
        hand_over_to_server(&scene.site.0);
        scene.diff(&[&k]).assert_code(1).assert_says(&["the content is the same", &format!("{k}.md5")]);
    }
}

#[test]
fn they_connect_as_a_round_of_data_does() {
    let certificates = Certificates::new();
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.path(name));
    let options = Options::usual().tls(&certificates).password("secret");
    for start in SERVERS {
        let Some(scene) = Scene::new(start, &options) else { continue };
        scene.upload(K, "agent_name web01\n");
        // A stock server without -f refuses clients that show a certificate.
        let tls = format!("remote_config = true\ntls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}\n");
        let configure = |password: &str| {
            let lines = format!("{tls}password = {password:?}");
            scene.sandbox.configure("", [site_config("site", scene.server.address(), &lines)]);
        };
        configure("wrong");
        scene.configure(&["--dry-run"]).assert_code(1).assert_says(&["site: configuration: failed", "password"]);
        configure("secret");
        scene.configure(&["--dry-run"]).assert_code(0).assert_says(&["take-up"]);
        scene.diff(&[]).assert_code(1).assert_says(&["-agent_name web01"]);
        scene.configure(&[]).assert_code(0);
        assert!(scene.centre.has_pair(&scene.centre.conf(K), "agent_name web01\n"));
    }
}

#[test]
fn on_a_terminal_one_line_moves_and_what_is_wrong_stands_below() {
    let Some(scene) = Scene::new(SERVERS[0], &Options::usual()) else { return };
    scene.upload(K, "agent_name web01\n");
    scene.upload(&"1".repeat(32), "");
    let config = scene.sandbox.config();
    let arguments = ["once", "--allow-root", "--log-level", "error", "--config"].map(OsStr::new);
    let terminal = Terminal::run(
        env!("CARGO_BIN_EXE_tentacle-syncd"),
        arguments.into_iter().chain([config.as_os_str()]),
        &scene.sandbox.path(""),
    );
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(1), "{shown}");
    let line = "\x1b[Kconfiguration: 1 of 1 site, 0 failed, 0 pushed, 1 taken up, 0 deleted\r\n";
    let (_, below) = shown.split_once(line).expect(&shown);
    assert!(below.starts_with(&format!("site {}.conf wait ", "1".repeat(32))), "{shown}");
}
