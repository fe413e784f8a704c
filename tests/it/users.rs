//! Whose process it is: root among another user's files, and a check as the user who collects. Needs root.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use tentacle_sync::testing::fake_server::Setup;

use crate::daemon::{Daemon, Outcome, Sandbox, wait_until};
use crate::server_process::NOBODY;
use crate::site::Site;
use crate::support::Certificates;

const SYNCD: &str = env!("CARGO_BIN_EXE_tentacle-syncd");

/// Whether this is root; prints it where it is not.
fn is_root() -> bool {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can");
    }
    is_root
}

fn give_to_nobody(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// The command as root types it.
fn start(sandbox: &Sandbox, command: &str, arguments: &[&str]) -> Daemon {
    let config = sandbox.config();
    let all = [command.as_ref(), "--config".as_ref(), config.as_os_str()];
    sandbox.launch(all.into_iter().chain(arguments.iter().map(OsStr::new)))
}

fn as_nobody(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let as_nobody = |command: &mut std::process::Command| {
        command.uid(NOBODY).gid(NOBODY);
    };
    sandbox.launch_as(SYNCD.as_ref(), arguments.iter().map(OsStr::new), as_nobody).wait()
}

#[test]
fn root_is_refused_where_the_directories_are_another_users_and_told_what_to_run() {
    if !is_root() {
        return;
    }
    let directories: [fn(&Sandbox) -> std::path::PathBuf; 2] = [Sandbox::state, Sandbox::incoming];
    for directory in directories {
        let site = Site::fake("site", 5, Setup::default());
        let sandbox = Sandbox::with_sites([site.config("")]);
        fs::create_dir(sandbox.state()).unwrap();
        give_to_nobody(&directory(&sandbox));
        let (config, directory) = (sandbox.config(), directory(&sandbox));
        let (config, directory) = (config.to_str().unwrap(), directory.to_str().unwrap());
        for command in ["once", "run"] {
            let outcome = start(&sandbox, command, &[]).wait();
            let instead = format!("run `runuser -u nobody -- {SYNCD} {command} --config {config}`");
            outcome.assert_code(2).assert_logs(&["refusing to run as root", directory, "nobody", &instead]);
        }
        assert_eq!(fs::read_dir(sandbox.state()).unwrap().count(), 0, "nothing is left there");
        site.assert_untouched();
        assert!(sandbox.spool().is_empty());
        start(&sandbox, "once", &["--allow-root"]).wait().assert_code(0);
        sandbox.assert_holds(&site.files);
        let daemon = start(&sandbox, "run", &["--allow-root"]);
        daemon.wait_for_line(&["collecting from"]);
        daemon.stop().assert_code(0);
    }
}

#[test]
fn root_is_not_refused_where_the_directories_are_its_own_or_nobodys_yet() {
    if !is_root() {
        return;
    }
    let site = Site::fake("site", 5, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("")]);
    for _again in 0..2 {
        start(&sandbox, "once", &[]).wait().assert_code(0);
        assert_eq!(sandbox.state().metadata().unwrap().uid(), 0);
    }
}

#[test]
fn check_as_root_tests_what_the_owner_of_the_directories_can_do() {
    if !is_root() {
        return;
    }
    let certificates = Certificates::new();
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.path(name));
    let site = format!(
        "\n[[site]]\nname = \"site\"\naddress = \"127.0.0.1\"\ntls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}\n"
    );
    let sandbox = Sandbox::with_sites([site]);
    fs::create_dir(sandbox.state()).unwrap();
    for path in [&ca, &cert] {
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    sandbox.run("check", &[]).assert_code(0).assert_says(&["ok", "tested as root"]);

    give_to_nobody(&sandbox.state());
    let state = sandbox.state();
    let outcome = sandbox.run("check", &[]);
    outcome.assert_code(1).assert_says(&["ok", "tested as nobody, who owns", state.to_str().unwrap(), "--user"]);
    outcome.assert_says(&["PROBLEM", "tentacle-syncd.toml", "make it readable for the user this runs as"]);
    outcome.assert_says(&["PROBLEM", "client.key", "permission"]);
    outcome.assert_says(&["PROBLEM", "incoming directory", "cannot store files", "give the user this runs as"]);
    outcome.assert_says(&["ok", "state directory"]);
    sandbox.run("check", &["--user", "root"]).assert_code(0).assert_says(&["ok", "tested as root, as given by --user"]);

    for path in [sandbox.config(), sandbox.incoming(), key] {
        give_to_nobody(&path);
    }
    sandbox.run("check", &[]).assert_code(0);
    sandbox.run("check", &["--user", "daemon"]).assert_code(1).assert_says(&["PROBLEM", "client.key", "permission"]);
    sandbox.run("check", &["--user", "no-such-user"]).assert_code(2).assert_logs(&["no-such-user", "no such user"]);
}

#[test]
fn somebody_else_checks_and_collects_as_himself_and_as_nobody_else() {
    if !is_root() {
        return;
    }
    let site = Site::fake("site", 5, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("")]);
    fs::create_dir(sandbox.state()).unwrap();
    for path in [sandbox.state(), sandbox.incoming(), sandbox.config()] {
        give_to_nobody(&path);
    }
    let config = sandbox.config();
    let config = config.to_str().unwrap();
    as_nobody(&sandbox, &["check", "--config", config]).assert_code(0).assert_says(&["ok", "tested as nobody"]);
    let other = as_nobody(&sandbox, &["check", "--config", config, "--user", "daemon"]);
    other.assert_code(2).assert_logs(&["--user daemon", "only root can"]);
    as_nobody(&sandbox, &["once", "--config", config]).assert_code(0);
    wait_until("the site to be empty", || site.left().is_empty().then_some(()));
    assert_eq!(sandbox.spool(), site.files);
}
