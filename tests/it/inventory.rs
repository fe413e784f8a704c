//! Sites and groups in files that the configuration includes, by the hundred.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{Setup, Verb};

use crate::control::{OFTEN, start};
use crate::daemon::{Daemon, Outcome, Sandbox, wait_until};
use crate::program::as_nobody;
use crate::site::{Site, site_config};
use crate::support::TIMEOUT;

/// A daemon's configuration with a directory of sites beside it.
struct Inventory {
    sandbox: Sandbox,
}

impl Inventory {
    /// With these sites in the configuration itself.
    fn new<S: AsRef<str>>(sites: impl IntoIterator<Item = S>) -> Self {
        let sandbox = Sandbox::with_sites(sites);
        fs::create_dir(sandbox.path("sites.d")).unwrap();
        Self { sandbox }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.sandbox.path("sites.d").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn reload(&self) -> Outcome {
        self.sandbox.run("reload", &[])
    }

    /// A reload that changes nothing, for this reason, which the daemon tells: it is found by what its configuration's own
    /// file says, whatever is wrong with the others.
    #[track_caller]
    fn assert_refused(&self, daemon: &Daemon, why: &[&str]) {
        let outcome = self.reload();
        self.sandbox.run("status", &[]).assert_says(&["tentacle-syncd"]);
        outcome.assert_code(1).assert_logs(&["nothing is changed, tentacle-syncd goes on as before"]).assert_logs(why);
        daemon.wait_for_line(&[&["[ERROR] not reloaded, going on as before: "], why].concat());
    }
}

/// A site where nobody answers.
fn dead(name: &str, number: usize, lines: &str) -> String {
    let [high, low] = u16::try_from(number + 1).unwrap().to_be_bytes();
    // Nobody listens at the discard service's port; ports of the tests' own are too few for a thousand sites.
    let address = SocketAddr::from(([127, 9, high, low], 9));
    site_config(name, address, &format!("interval = \"1h\"\n{lines}"))
}

#[test]
fn a_thousand_files_are_a_thousand_sites_of_which_each_comes_and_goes_alone() {
    let (first, late) = (Site::fake("first", 3, Setup::default()), Site::fake("late", 3, Setup::default()));
    let inventory = Inventory::new([first.config(OFTEN)]);
    for number in 0..1000 {
        let name = format!("site-{number:04}");
        inventory.write(&format!("{name}.toml"), dead(&name, number, ""));
    }
    let sandbox = &inventory.sandbox;
    sandbox.run("check", &["--syntax-only"]).assert_code(0).assert_says(&["1001 sites, 1001 enabled", "1000 files"]);
    let daemon = start(sandbox);
    daemon.wait_for_line(&["tentacle-syncd.toml and 1000 files that it includes: collecting from 1001 sites"]);
    inventory.reload().assert_code(0).assert_says(&["1001 sites: 0 added, 0 changed, 0 removed"]);

    // As a package adds one.
    inventory.write("late.new", late.config(OFTEN));
    inventory.reload().assert_says(&["1001 sites: 0 added, 0 changed, 0 removed"]);
    fs::rename(inventory.path("late.new"), inventory.path("late.toml")).unwrap();
    let outcome = inventory.reload();
    outcome.assert_code(0).assert_says(&["1002 sites: 1 added, 0 changed, 0 removed"]).assert_says(&["+ late"]);
    outcome.assert_says(&["read: ", "tentacle-syncd.toml and 1001 files that it includes"]);
    wait_until("the site that was added", || late.left().is_empty().then_some(()));

    for number in [7, 500] {
        fs::remove_file(inventory.path(format!("site-{number:04}.toml"))).unwrap();
    }
    let outcome = inventory.reload();
    outcome.assert_says(&["1000 sites: 0 added, 0 changed, 2 removed"]).assert_says(&["- site-0007"]);

    let whole = fs::read_to_string(inventory.path("site-0008.toml")).unwrap();
    inventory.write("site-0008.toml", whole.replace("address", "adress"));
    inventory
        .assert_refused(&daemon, &["sites.d/site-0008.toml:4: unknown key \"adress\"", "did you mean \"address\"?"]);
    let rounds = first.peer().tally().count(Verb::Ls);
    assert!(
        first.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) > rounds + 1),
        "the others are collected from"
    );
    inventory.write("site-0008.toml", dead("site-0009", 9, ""));
    let (again, taken) = ("sites.d/site-0009.toml:2: site \"site-0009\"", "sites.d/site-0008.toml:2; names are unique");
    inventory.assert_refused(&daemon, &[again, taken]);
    inventory.write("site-0008.toml", whole);
    inventory.reload().assert_code(0).assert_says(&["1000 sites: 0 added, 0 changed, 0 removed"]);
    daemon.stop().assert_code(0);
}

#[test]
fn reloads_that_come_together_are_each_answered_with_what_is_there() {
    let inventory = Inventory::new([dead("main", 0, "")]);
    let daemon = start(&inventory.sandbox);
    let config = inventory.sandbox.config();
    let reload = [OsStr::new("reload"), "--config".as_ref(), config.as_ref()];
    for number in 1..=3 {
        // What was written just now is waited for, and others ask meanwhile.
        inventory.write(&format!("{number}.toml"), dead(&format!("site-{number}"), number, ""));
        let asking: Vec<Daemon> = (0..4).map(|_| inventory.sandbox.launch(reload)).collect();
        let sites = format!("reloaded: {} sites: ", number + 1);
        for outcome in asking.into_iter().map(Daemon::wait) {
            outcome.assert_code(0).assert_says(&[&sites]);
        }
    }
    daemon.signal(Signal::HUP);
    daemon.stop().assert_code(0);
}

#[test]
fn a_daemon_waits_for_its_first_site_and_outlives_its_last() {
    let site = Site::fake("first", 3, Setup::default());
    let inventory = Inventory::new::<&str>([]);
    let sandbox = &inventory.sandbox;
    let none = "no site is configured, so nothing is collected; add one: [[site]]";
    sandbox.run("check", &[]).assert_code(0).assert_says(&["warning", none]).assert_says(&["0 sites, 0 enabled"]);
    sandbox.once().assert_code(0).assert_logs(&["[WARN]", none]);
    sandbox.run("probe", &["first"]).assert_code(2).assert_logs(&["no site is named first; none is configured"]);

    let daemon = start(sandbox);
    daemon.wait_for_line(&["[WARN]", none]);
    let says_none = |outcome: &Outcome| {
        outcome.assert_code(0).assert_says(&["no site is configured"]).assert_says(&["`tentacle-syncd reload`"]);
    };
    says_none(&sandbox.run("status", &[]));
    inventory.write("first.toml", site.config(OFTEN));
    inventory.reload().assert_code(0).assert_says(&["1 site: 1 added, 0 changed, 0 removed"]);
    wait_until("its files", || (sandbox.spool().len() == 3).then_some(()));
    fs::remove_file(inventory.path("first.toml")).unwrap();
    inventory.reload().assert_code(0).assert_says(&["0 sites: 0 added, 0 changed, 1 removed"]).assert_says(&[none]);
    says_none(&sandbox.run("status", &[]));
    daemon.stop().assert_code(0);
}

#[test]
fn what_a_group_says_changes_its_sites_and_no_others() {
    let inventory = Inventory::new([dead("alone", 0, "")]);
    let group =
        |timeout: u32| format!("[group.ships]\ntimeout = {timeout}\nretries = 1\n[group.plants]\ntimeout = 5\n");
    inventory.write("groups.toml", group(5));
    for (number, name, lines) in [
        (1, "anna", "group = \"ships\""),
        (2, "berta", "group = \"ships\""),
        (3, "carla", "group = \"ships\"\ntimeout = 7"),
        (4, "plant", "group = \"plants\""),
    ] {
        inventory.write(&format!("{name}.toml"), dead(name, number, lines));
    }
    let daemon = start(&inventory.sandbox);
    inventory.write("groups.toml", group(6));
    let outcome = inventory.reload();
    outcome.assert_code(0).assert_says(&["5 sites: 0 added, 2 changed, 0 removed"]);
    outcome.assert_says(&["~ anna"]).assert_says(&["~ berta"]);
    daemon.wait_for_line(&["reloaded ", "2 changed (anna, berta), 0 removed"]);

    inventory.write("groups.toml", "[group.shops]\n[group.plants]\ntimeout = 5\n");
    inventory.assert_refused(&daemon, &["anna.toml:7: group: no group is named \"ships\"; did you mean \"shops\"?"]);
    daemon.stop();
}

#[test]
fn what_was_cut_off_is_refused_by_its_name_and_what_always_was_so_is_not_in_the_way() {
    let inventory = Inventory::new([dead("main", 0, "")]);
    inventory.write("always.toml", dead("always", 1, "").trim_end());
    inventory.write("whole.toml", dead("whole", 2, ""));
    let daemon = start(&inventory.sandbox);
    daemon.wait_for_line(&["[WARN]", "always.toml: the last line has no line feed"]);
    inventory.write("new.toml", dead("new", 3, ""));
    inventory.reload().assert_code(0).assert_says(&["4 sites: 1 added, 0 changed, 0 removed"]);
    let whole = fs::read_to_string(inventory.path("whole.toml")).unwrap();
    for (cut, why) in [(whole.trim_end(), "no line feed"), ("", "nothing in the file")] {
        inventory.write("whole.toml", cut);
        inventory.assert_refused(&daemon, &["sites.d/whole.toml: ", why]);
    }
    inventory.write("whole.toml", whole);
    inventory.write("password.toml", dead("guarded", 4, "password = \"x\""));
    inventory.reload().assert_code(0);
    inventory.write("password.toml", dead("guarded", 4, ""));
    inventory.assert_refused(&daemon, &["no password of site guarded any more", "only a restart"]);
    daemon.signal(Signal::HUP);
    daemon.stop();
}

#[test]
fn a_file_that_may_not_be_read_is_named_to_whoever_may_not() {
    let inventory = Inventory::new([dead("main", 0, "")]);
    inventory.write("secret.toml", dead("secret", 1, ""));
    let check = |of_main: u32, of_directory: u32, of_file: u32| {
        let paths = [inventory.sandbox.config(), inventory.path(""), inventory.path("secret.toml")];
        for (path, mode) in paths.iter().zip([of_main, of_directory, of_file]) {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let config = inventory.sandbox.config();
        let arguments = [OsStr::new("check"), "--syntax-only".as_ref(), "--config".as_ref(), config.as_ref()];
        let prepare = |command: &mut std::process::Command| {
            as_nobody(command);
        };
        inventory.sandbox.launch_as(env!("CARGO_BIN_EXE_tentacle-syncd").as_ref(), arguments, prepare).wait()
    };
    check(0o644, 0o755, 0o644).assert_code(0).assert_says(&["2 sites"]);
    let advice = "permission denied; make it readable for the user this runs as";
    check(0o644, 0o755, 0o000).assert_code(2).assert_logs(&["sites.d/secret.toml: cannot read it: ", advice]);
    let directory = "tentacle-syncd.toml: include: cannot read the directory ";
    check(0o644, 0o000, 0o644).assert_code(2).assert_logs(&[directory, "sites.d: ", advice]);
    check(0o644, 0o755, 0o644).assert_code(0);
}

#[test]
fn a_list_is_made_a_file_of_sites_and_a_bad_one_nothing() {
    let inventory = Inventory::new([dead("main", 0, "")]);
    let sandbox = &inventory.sandbox;
    sandbox
        .write("ships.csv", "\u{feff}Name;Address;Port;Group\r\nanna;127.9.1.1;;ships\r\nberta;127.9.1.2;7;ships\r\n");
    let import = |arguments: &[&str]| {
        let all = [&["import"], arguments].concat();
        sandbox.launch(all.iter().map(OsStr::new)).wait()
    };
    let printed = import(&["ships.csv"]);
    printed.assert_code(0).assert_says(&["name = \"anna\""]).assert_says(&["need these tables", "[group.ships]"]);
    import(&["ships.csv", "--output", "sites.d/ships.toml"])
        .assert_code(0)
        .assert_says(&["sites.d/ships.toml: 2 sites"])
        .assert_says(&["need these tables", "[group.ships]"]);
    assert_eq!(fs::read_to_string(inventory.path("ships.toml")).unwrap(), printed.stdout);
    sandbox
        .run("check", &["--syntax-only"])
        .assert_code(2)
        .assert_logs(&["ships.toml:7: group: no group is named \"ships\""]);
    inventory.write("groups.toml", "[group.ships]\ninterval = \"1h\"\n");
    sandbox.run("check", &["--syntax-only"]).assert_code(0).assert_says(&["3 sites, 3 enabled", "2 files"]);

    // What is there is kept, unless it is to be replaced.
    sandbox.write("ships.csv", "name,address\nanna,127.9.1.1\n");
    let kept = import(&["ships.csv", "-o", "sites.d/ships.toml"]);
    kept.assert_code(2).assert_logs(&["sites.d/ships.toml: already exists, not replaced"]);
    assert_eq!(fs::read_to_string(inventory.path("ships.toml")).unwrap(), printed.stdout);
    import(&["ships.csv", "-o", "sites.d/ships.toml", "--force"]).assert_code(0).assert_says(&["1 site"]);
    sandbox.run("check", &["--syntax-only"]).assert_code(0).assert_says(&["2 sites"]);

    sandbox.write("bad.csv", "name,address,port\na,127.9.1.1,1\na,127.9.1.2,0\n");
    let bad = import(&["bad.csv", "-o", "sites.d/bad.toml"]);
    bad.assert_code(2)
        .assert_logs(&["bad.csv:3: name: \"a\" is the site of line 2 already"])
        .assert_logs(&["bad.csv:3: port:"]);
    let left: Vec<_> = fs::read_dir(inventory.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let advice = "none/x.toml: there is no directory none: make it first";
    import(&["ships.csv", "-o", "none/x.toml"]).assert_code(2).assert_logs(&[advice]);
    import(&["none.csv"]).assert_code(2).assert_logs(&["none.csv: cannot read it: no such file"]);
    let csv = sandbox.path("ships.csv");
    for (path, mode) in [(&csv, 0o644), (&inventory.path(""), 0o555)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let not_allowed = ["import", "ships.csv", "-o", "sites.d/y.toml"].map(OsStr::new);
    let prepare = |command: &mut std::process::Command| {
        as_nobody(command);
    };
    let outcome = sandbox.launch_as(env!("CARGO_BIN_EXE_tentacle-syncd").as_ref(), not_allowed, prepare).wait();
    outcome.assert_code(2).assert_logs(&["sites.d/y.toml: this user may not write into the directory sites.d"]);
}
