//! Whose an agent's configuration is: sites know agents by names that any of them can list.

use tempfile::TempDir;

use crate::daemon::{Sandbox, wait_until};
use crate::remote_config::{Directories, SERVERS, Start, config_command, md5_of};
use crate::server_process::{Options, ServerProcess, hand_over_to_server};
use crate::site::site_config;
use crate::support::scratch;

/// A site's server, and its directories.
struct Site {
    name: &'static str,
    directories: Directories,
    server: ServerProcess,
    _storage: TempDir,
}

impl Site {
    fn new(name: &'static str, start: Start) -> Option<Self> {
        let storage = scratch();
        let directories = Directories::make(storage.path());
        let server = start(&Options::usual(), storage.path())?;
        Some(Self { name, directories, server, _storage: storage })
    }

    fn upload(&self, k: &str, bytes: &str) {
        self.directories.save(&self.directories.conf(k), bytes);
        hand_over_to_server(&self.directories.0);
    }

    fn has(&self, k: &str, bytes: &str) -> bool {
        self.directories.has_pair(&self.directories.conf(k), bytes)
    }
}

/// What each of the sites has in the configuration.
const OFTEN: &str = "interval = 1\nremote_config = true\nremote_config_interval = 1";

/// A centre and two sites of these names.
fn scene(names: [&'static str; 2], start: Start) -> Option<(Sandbox, Directories, [Site; 2])> {
    let [one, other] = names.map(|name| Site::new(name, start));
    let (sandbox, sites) = (Sandbox::new(), [one?, other?]);
    let centre = Directories::make(&sandbox.incoming());
    configure(&sandbox, &sites, [OFTEN; 2]);
    Some((sandbox, centre, sites))
}

fn configure(sandbox: &Sandbox, sites: &[Site; 2], lines: [&str; 2]) {
    let configured = sites.iter().zip(lines).map(|(site, lines)| site_config(site.name, site.server.address(), lines));
    sandbox.configure("", configured);
}

/// The lines of `config assign`.
fn assign(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let outcome = config_command(sandbox, "assign", arguments);
    outcome.assert_code(0);
    outcome.stdout
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    wait_until(what, || condition().then_some(()));
}

#[test]
fn what_a_site_knows_of_another_s_agent_gets_it_nothing() {
    for start in SERVERS {
        let Some((sandbox, centre, [owner, other])) = scene(["owner", "other"], start) else { continue };
        let (k, uploaded, edited) = (md5_of("web01"), "agent_name web01\n", "agent_name web01\nserver_pwd secret\n");
        owner.upload(&k, uploaded);
        let daemon = sandbox.start();
        wait_for("the upload", || centre.has_pair(&centre.conf(&k), uploaded));
        other.upload(&k, "agent_name web01\n# what another site says\n");
        centre.save(&centre.conf(&k), edited);
        wait_for("the edit", || owner.has(&k, edited));
        daemon.wait_for_line(&["WARN", "site=other reason=remote-config-owner", &k, "site owner"]);
        assert!(other.has(&k, "agent_name web01\n# what another site says\n"));
        assert!(centre.has_pair(&centre.conf(&k), edited));

        // Its agent has moved, says the operator. The site that it was at keeps what it has.
        let told = assign(&sandbox, &["other", "web01"]);
        assert!(told.contains(&format!("{k}.conf")) && told.contains("owner had it"), "{told}");
        wait_for("the centre's at its new site", || other.has(&k, edited));
        daemon.stop().assert_code(0);
        let daemon = sandbox.start();
        centre.save(&centre.conf(&k), "agent_name web01\n# edited again\n");
        wait_for("the edit at its new site", || other.has(&k, "agent_name web01\n# edited again\n"));
        assert!(owner.has(&k, edited));
        daemon.stop().assert_code(0);
    }
}

#[test]
fn what_nobody_owns_waits_for_the_operator_unless_it_is_the_same() {
    for start in SERVERS {
        let Some((sandbox, centre, [site, _other])) = scene(["site", "other"], start) else { continue };
        let [same, another] = ["same", "another"].map(md5_of);
        for k in [&same, &another] {
            centre.save(&centre.conf(k), "of the centre");
        }
        site.upload(&same, "of the centre");
        site.upload(&another, "of the site");
        let daemon = sandbox.start();
        daemon.wait_for_line(&["WARN", "site=site reason=remote-config-owner", &another, "no site's"]);
        centre.save(&centre.conf(&same), "edited");
        wait_for("the edit of what is the site's", || site.has(&same, "edited"));
        assert!(site.has(&another, "of the site"));
        let told = assign(&sandbox, &["--all", "site"]);
        assert!(told.contains(&format!("{another}.conf")) && told.contains("no site had it"), "{told}");
        wait_for("the centre's", || site.has(&another, "of the centre"));
        let unknown = config_command(&sandbox, "assign", &["site", "no-such-agent"]);
        unknown.assert_code(2);
        assert!(unknown.stderr.contains("no-such-agent"), "{unknown}");
        daemon.stop().assert_code(0);
    }
}

#[test]
fn what_once_has_given_to_a_site_stays_its() {
    let Some((sandbox, centre, [owner, other])) = scene(["owner", "other"], SERVERS[0]) else { return };
    let k = md5_of("web01");
    owner.upload(&k, "of the owner");
    let once = |expected: i32| {
        let outcome = sandbox.run("once", &["--config-only"]);
        outcome.assert_code(expected);
        outcome.stdout
    };
    once(0);
    assert!(centre.has_pair(&centre.conf(&k), "of the owner"));
    other.upload(&k, "of the other");
    centre.save(&centre.conf(&k), "edited");
    let lines = once(1);
    assert!(lines.contains(&format!("other {k}.conf leave it is site owner's")), "{lines}");
    assert!(owner.has(&k, "edited") && other.has(&k, "of the other"));
    assert!(sandbox.state().join("remote-config/owner").is_file());

    // No daemon runs: what is kept is changed.
    let told = assign(&sandbox, &["other", &k]);
    assert!(told.contains(&format!("other has {k}.conf")) && told.contains("owner had it"), "{told}");
    once(1);
    assert!(other.has(&k, "edited"));
    centre.delete(&k);
    once(1);
    assert!(other.has(&k, "edited"), "it was the only one");
    let told = config_command(&sandbox, "confirm-deletions", &[]);
    told.assert_code(0);
    assert!(told.stdout.contains(&format!("{k}.conf")), "{told}");
    // The one that lists it after that is its owner.
    (0..2).for_each(|_| drop(sandbox.run("once", &["--config-only"])));
    assert!(other.directories.lacks(&k) && centre.has_pair(&centre.conf(&k), "edited"));
}

#[test]
fn a_site_without_rounds_is_given_nothing_and_nobody_loses_anything_to_it() {
    let Some((sandbox, centre, sites)) = scene(["owner", "other"], SERVERS[0]) else { return };
    let k = md5_of("web01");
    sites[0].upload(&k, "of the owner");
    sandbox.run("once", &["--config-only"]).assert_code(0);
    for without in ["remote_config = false", "enabled = false"] {
        configure(&sandbox, &sites, [OFTEN, without]);
        let outcome = config_command(&sandbox, "assign", &["other", "web01"]);
        outcome.assert_code(2);
        assert!(outcome.stderr.contains("remote_config = false"), "{outcome}");
    }
    configure(&sandbox, &sites, [OFTEN; 2]);
    centre.save(&centre.conf(&k), "edited");
    sandbox.run("once", &["--config-only"]).assert_code(0);
    assert!(sites[0].has(&k, "edited"));
}
