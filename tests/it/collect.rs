//! Collecting: every file arrives as it was, is gone at its site, and nothing else is touched.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tentacle_sync::testing::fake_server::{FakeServer, Fault, Files, Setup, Verb};

use crate::consumer::Consumer;
use crate::daemon::{Sandbox, assert_same, spool_of};
use crate::site::{Access, Kind, Site, all_files, site_config};
use crate::support::{Certificates, TIMEOUT};

/// Collects `count` files and looks at both ends.
fn collects_all(access: Access, kind: Kind, count: usize) {
    let certificates = Certificates::new();
    let Some(site) = Site::behind(access, kind, count, &certificates) else { return };
    let sandbox = Sandbox::with_sites([site.config(&access.lines(&certificates))]);
    let outcome = sandbox.once();
    outcome.assert_code(0).assert_says(&["site: ", &format!("{count} files")]);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

/// Collects from one site once.
fn collect(site: &Site, lines: &str) -> Sandbox {
    let sandbox = Sandbox::with_sites([site.config(lines)]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
    sandbox
}

macro_rules! accesses {
    ($($name:ident: $access:expr, $kind:expr, $count:expr;)*) => {
        $(#[test] fn $name() { collects_all($access, $kind, $count); })*
    };
}

accesses! {
    a_plain_double_is_collected_from: Access::Plain, Kind::FakeServer, 300;
    a_double_with_a_password_is_collected_from: Access::Password("s3cret"), Kind::FakeServer, 100;
    a_double_with_tls_is_collected_from: Access::Tls, Kind::FakeServer, 300;
    a_double_that_wants_a_certificate_is_collected_from: Access::TlsWithClientCertificate, Kind::FakeServer, 100;
    our_plain_server_is_collected_from: Access::Plain, Kind::Ours, 300;
    our_server_with_a_password_is_collected_from: Access::Password("s3cret"), Kind::Ours, 300;
    our_server_with_tls_is_collected_from: Access::Tls, Kind::Ours, 300;
    our_server_that_wants_a_certificate_is_collected_from: Access::TlsWithClientCertificate, Kind::Ours, 300;
    a_plain_stock_server_is_collected_from: Access::Plain, Kind::Stock, 300;
    a_stock_server_with_a_password_is_collected_from: Access::Password("s3cret"), Kind::Stock, 300;
    a_stock_server_with_tls_is_collected_from: Access::Tls, Kind::Stock, 300;
    a_stock_server_that_wants_a_certificate_is_collected_from: Access::TlsWithClientCertificate, Kind::Stock, 300;
    three_thousand_files_of_a_plain_stock_server: Access::Plain, Kind::Stock, 3_000;
    three_thousand_files_of_a_stock_server_that_wants_a_certificate: Access::TlsWithClientCertificate, Kind::Stock, 3_000;
}

#[test]
fn an_address_of_ip_version_6_is_collected_from() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("SKIPPED: no IPv6 on loopback");
        return;
    }
    let site = Site::fake("site", 20, Setup { address: Ipv6Addr::LOCALHOST.into(), ..Setup::default() });
    collect(&site, "");
}

#[test]
fn a_round_with_much_to_do_uses_both_connections() {
    let site = Site::fake("site", 300, Setup::default());
    collect(&site, "connections = 2");
    let fetching =
        |seen: tentacle_sync::testing::fake_server::LoggedCommand| (seen.verb == Verb::Recv).then_some(seen.connection);
    let connections: BTreeSet<u64> = site.peer().log().into_iter().filter_map(fetching).collect();
    assert_eq!(connections.len(), 2, "connections that fetched: {connections:?}");
}

#[test]
fn one_connection_is_enough_where_no_more_are_wanted() {
    let site = Site::fake("site", 60, Setup::default());
    collect(&site, "connections = 1");
    assert_eq!(site.peer().tally().accepted, 1);
}

#[test]
fn delivery_by_move_takes_one_command_a_file() {
    let site = Site::fake("site", 60, Setup::default());
    collect(&site, "delivery = \"move\"");
    let tally = site.peer().tally();
    assert_eq!((tally.count(Verb::Recv), tally.count(Verb::Mv)), (0, 60));
}

#[test]
fn without_durability_files_arrive_all_the_same() {
    let site = Site::ours("site", 60);
    let sandbox = Sandbox::new();
    sandbox.configure("durability = \"none\"", [site.config("")]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn empty_files_arrive_as_well() {
    for delivery in ["safe", "move"] {
        let mut site = Site::ours("site", 10);
        for number in 0..3 {
            site.add(format!("empty.{number}.data"), "");
        }
        collect(&site, &format!("delivery = {delivery:?}"));
    }
}

#[test]
fn a_file_of_five_megabytes_arrives() {
    let mut site = Site::ours("site", 10);
    let large: Vec<u8> = (0..5 * 1024 * 1024).map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    site.add("large.1700000000.data", large);
    collect(&site, "");
}

#[test]
fn names_are_bytes_and_those_that_cannot_be_stored_stay() {
    let mut site = Site::fake("site", 5, Setup::default());
    site.add("with some spaces.1700000000.data", "spaces");
    site.add("größe.1700000000.data", "UTF-8");
    site.add(b"latin\xe4.1700000000.data", "Latin-1");
    site.add(".hidden.1700000000.data", "dot");
    site.add_other("bell\x07.1700000000.data", "a control character");
    let sandbox = Sandbox::with_sites([site.config("")]);
    let outcome = sandbox.once();
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
    outcome.assert_code(1).assert_says(&["site: 9 files, ", "left there: 1 file with a name that cannot be used"]);
    outcome.assert_logs(&["site=site", "bell\\x07.1700000000.data", "left there"]);
}

#[test]
fn include_and_exclude_choose_what_is_collected() {
    let mut site = Site::ours("site", 0);
    site.add("web01.1.data", "data");
    site.add("report.xml", "xml");
    site.add_other("test.1.data", "excluded");
    site.add_other("more.txt", "not included");
    collect(&site, "include = [\"*.data\", \"*.xml\"]\nexclude = [\"test*\"]");
}

#[test]
fn a_site_has_an_incoming_directory_of_its_own_where_it_says_so() {
    let (plant, ship) = (Site::ours("plant", 10), Site::ours("ship", 10));
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("ships")).unwrap();
    let own = format!("incoming_dir = {:?}", sandbox.path("ships"));
    sandbox.configure("", [plant.config(""), ship.config(&own)]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&plant.files);
    assert_same(&spool_of(&sandbox.path("ships")), &ship.files);
}

#[test]
fn a_name_two_sites_have_with_the_same_bytes_arrives_twice_too() {
    let (mut one, mut two) = (Site::ours("one", 5), Site::ours("two", 5));
    for site in [&mut one, &mut two] {
        site.add("web01.1700000000.data", "the same");
    }
    let sandbox = Sandbox::with_sites([one.config(""), two.config("")]);
    sandbox.once().assert_code(0);
    let mut expected = all_files([&one, &two]);
    expected.insert("web01.170000000001.data".into(), "the same".into());
    sandbox.assert_holds(&expected);
    one.assert_emptied();
    two.assert_emptied();
}

#[test]
fn a_name_two_sites_have_with_other_bytes_arrives_twice() {
    let (mut one, mut two) = (Site::ours("one", 5), Site::ours("two", 5));
    one.add("web01.1700000000.data", "from the first");
    two.add("web01.1700000000.data", "from the second");
    let sandbox = Sandbox::with_sites([one.config(""), two.config("")]);
    sandbox.once().assert_code(0);
    one.assert_emptied();
    two.assert_emptied();
    let found = bodies_of(&sandbox.spool(), "web01");
    assert_eq!(found, ["from the first", "from the second"]);
    assert_eq!(sandbox.spool().len(), 12);
    assert!(sandbox.spool().keys().all(|path| is_for_the_data_server(path)), "{:?}", sandbox.spool().keys());
}

/// `^.*[._]\d+\.data$`
fn is_for_the_data_server(path: &Path) -> bool {
    let stem = path.to_str().and_then(|name| name.strip_suffix(".data"));
    let serial = stem.and_then(|stem| stem.rsplit(['.', '_']).next().filter(|serial| serial.len() < stem.len()));
    serial.is_some_and(|serial| !serial.is_empty() && serial.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The contents of an agent's files, sorted.
fn bodies_of(spool: &Files, agent: &str) -> Vec<String> {
    let of_agent = |path: &Path| path.to_str().is_some_and(|name| name.starts_with(agent));
    let mut bodies: Vec<_> = spool
        .iter()
        .filter(|(path, _)| of_agent(path))
        .map(|(_, bytes)| String::from_utf8_lossy(bytes).into())
        .collect();
    bodies.sort();
    bodies
}

const BEFORE: &str = "<agent_data>\n<module>before</module>\n</agent_data>\n";

/// One file is overwritten after its move was announced; what is in the spool in the end.
fn overwritten_in_the_move(after: &str, lines: &str) -> Vec<String> {
    let faults = vec![Fault::OverwriteBetween(after.into()).at(Verb::Mv).once()];
    let mut site = Site::fake("site", 0, Setup { faults, idle: Duration::from_secs(1), ..Setup::default() });
    site.add("web01.1700000000.data", BEFORE);
    let sandbox = Sandbox::with_sites([site.config(lines)]);
    let mut outcome = sandbox.once();
    if outcome.code() != Some(0) {
        outcome = sandbox.once();
    }
    outcome.assert_code(0);
    site.assert_emptied();
    assert!(sandbox.spool().keys().all(|path| is_for_the_data_server(path)), "{:?}", sandbox.spool().keys());
    bodies_of(&sandbox.spool(), "web01")
}

#[test]
fn a_file_overwritten_during_its_move_with_as_many_bytes_arrives_in_both_versions() {
    let after = BEFORE.replace("before", "beyond");
    assert_eq!(overwritten_in_the_move(&after, ""), [BEFORE, &after]);
}

#[test]
fn a_file_overwritten_during_its_move_with_fewer_bytes_arrives_in_both_versions() {
    let after = BEFORE.replace("before", "aft");
    let mut both = [after.as_str(), BEFORE];
    both.sort_unstable();
    assert_eq!(overwritten_in_the_move(&after, ""), both, "the site hangs up");
    assert_eq!(overwritten_in_the_move(&after, "timeout = 1"), both, "whoever is first to lose patience");
}

#[test]
fn a_file_overwritten_during_its_move_with_more_bytes_arrives_in_both_versions() {
    let after = BEFORE.replace("before", "behind the back of everybody");
    assert_eq!(overwritten_in_the_move(&after, ""), [BEFORE, &after]);
    // The announced size ends with a line, so that nothing more comes at once.
    let after = BEFORE.replace("</agent_data>\n", "<module>1</module>\n<module>2</module>\n</agent_data>\n");
    assert_eq!(overwritten_in_the_move(&after, ""), [BEFORE, &after]);
}

#[test]
fn a_file_overwritten_between_fetch_and_move_arrives_in_both_versions() {
    let faults = vec![Fault::Slow(Duration::from_millis(700)).at(Verb::Mv).once()];
    let mut site = Site::fake("site", 0, Setup { faults, ..Setup::default() });
    site.add("web01.1700000000.data", BEFORE);
    let sandbox = Sandbox::with_sites([site.config("")]);
    let daemon = sandbox.start();
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Mv) == 1));
    let after = BEFORE.replace("before", "quite a bit longer");
    site.peer().put("web01.1700000000.data", after.as_bytes()).unwrap();
    daemon.wait_for_line(&["overwritten"]);
    crate::daemon::wait_until("the site to be empty", || site.left().is_empty().then_some(()));
    daemon.stop().assert_code(0);
    assert_eq!(bodies_of(&sandbox.spool(), "web01"), [BEFORE, &after]);
}

#[test]
fn a_listed_file_that_is_gone_when_it_is_asked_for_is_no_error() {
    let faults = vec![Fault::Slow(Duration::from_millis(700)).at(Verb::Recv).once()];
    let mut site = Site::fake("site", 10, Setup { faults, ..Setup::default() });
    let sandbox = Sandbox::with_sites([site.config("connections = 1")]);
    let daemon = sandbox.start();
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Recv) == 1));
    let (last, _) = site.files.pop_last().unwrap();
    site.remove(&last);
    crate::daemon::wait_until("the rest to be collected", || (sandbox.spool() == site.files).then_some(()));
    let outcome = daemon.stop();
    outcome.assert_code(0);
    assert!(!outcome.stderr.contains("reason="), "{outcome}");
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn a_pandora_server_conf_is_all_it_takes() {
    let site = Site::ours("site", 30);
    let (sandbox, address) = (Sandbox::new(), site.address());
    let text = format!(
        "# A comment\nservername centre\nsyncserver 0\nsync_address {}\nsync_port {}\nsync_timeout 10\nincomingdir {}\n",
        address.ip(),
        address.port(),
        sandbox.incoming().to_string_lossy()
    );
    let (config, state) = (sandbox.write("pandora_server.conf", text), sandbox.state());
    let arguments = [
        "once".as_ref(),
        "--wait".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
        "--state-dir".as_ref(),
        state.as_os_str(),
    ];
    let data_server = Consumer::start(sandbox.incoming());
    sandbox.launch(arguments).wait().assert_code(0);
    data_server.assert_got(&site.files);
    site.assert_emptied();
}

#[test]
fn a_site_that_is_off_is_left_alone() {
    let (on, off) = (Site::ours("on", 5), Site::fake("off", 5, Setup::default()));
    let sandbox = Sandbox::with_sites([on.config(""), off.config("enabled = false")]);
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&on.files);
    off.assert_untouched();
    assert_eq!(off.peer().tally().accepted, 0);
}

#[test]
fn what_comes_later_is_collected_in_later_rounds() {
    let fake = FakeServer::start(Setup::default()).unwrap();
    let sandbox = Sandbox::with_sites([one_connection(fake.address())]);
    let daemon = sandbox.start();
    let mut all = Files::new();
    for round in 0..3 {
        let name = format!("web01.170000000{round}.data");
        fake.put(&name, name.as_bytes()).unwrap();
        all.insert(name.clone().into(), name.into_bytes());
        crate::daemon::wait_until("the round", || fake.files().unwrap().is_empty().then_some(()));
        assert_same(&sandbox.spool(), &all);
    }
    daemon.stop().assert_code(0);
    assert_eq!(fake.tally().accepted, 1, "the connection stays open between rounds");
}

fn one_connection(address: SocketAddr) -> String {
    site_config("site", address, "interval = 1\nconnections = 1")
}

#[test]
fn a_file_that_the_site_has_sent_and_not_let_go_comes_once() {
    let faults = vec![Fault::KeepMoved.at(Verb::Mv).once()];
    let site = Site::fake("site", 1, Setup { faults, ..Setup::default() });
    let sandbox = Sandbox::with_sites([site.config("")]);
    sandbox.once().assert_code(0);
    assert_same(&sandbox.spool(), &site.files);
    for path in site.files.keys() {
        // The data server takes it.
        fs::remove_file(sandbox.incoming().join(path)).unwrap();
    }
    assert_eq!(site.left(), site.files);
    sandbox.once().assert_code(0);
    assert_same(&sandbox.spool(), &Files::new());
    site.assert_emptied();
}
