//! Sites that misbehave: each gets a reason that helps, loses nothing, and costs the others nothing.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tentacle_sync::proto::Secret;
use tentacle_sync::testing::fake_server::{
    Fault, FaultRule, Setup, StockClients, Verb, WritePattern, WrongSize, stock_tls,
};

use crate::daemon::{Sandbox, wait_until};
use crate::server_ops::Buffer;
use crate::server_process::is_emptied;
use crate::site::{Site, all_files, site_config};
use crate::support::{Certificates, LOOPBACK};

/// A site that misbehaves, what its configuration has besides, and what is to be reported of it.
struct BadSite {
    site: Site,
    lines: &'static str,
    says: &'static [&'static str],
}

/// Plays one trick over and over.
fn bad_site(name: &str, faults: FaultRule, lines: &'static str, says: &'static [&'static str]) -> BadSite {
    let setup = Setup { faults: vec![faults], write: WritePattern::Whole, ..Setup::default() };
    BadSite { site: Site::fake(name, 12, setup), lines, says }
}

/// Collects from all of them and a healthy one, looks at each, and then again when all of them behave.
fn collect_from(bad_sites: &[BadSite]) {
    let healthy = Site::fake("healthy", 50, Setup::default());
    let configs = bad_sites.iter().map(|bad_site| bad_site.site.config(bad_site.lines));
    let sandbox = Sandbox::with_sites(configs.chain([healthy.config("")]));
    let outcome = sandbox.once();
    outcome.assert_code(1).assert_says(&["healthy: 50 files"]);
    healthy.assert_emptied();
    for BadSite { site, says, .. } in bad_sites {
        let name = format!("{}: failed: ", site.name());
        outcome.assert_says(&[&[name.as_str()], *says].concat());
        site.assert_nothing_lost(&sandbox);
    }
    for BadSite { site, .. } in bad_sites {
        site.peer().set_mischief(Vec::new());
    }
    sandbox.once().assert_code(0);
    sandbox.assert_holds(&all_files(bad_sites.iter().map(|bad_site| &bad_site.site).chain([&healthy])));
    for bad_site in bad_sites {
        bad_site.site.assert_emptied();
    }
}

#[test]
fn answers_that_make_no_sense_are_told_from_each_other() {
    let lie = |text| Fault::WrongSize(WrongSize::Literally(text));
    collect_from(&[
        bad_site("refused-ls", Fault::Refuse.at(Verb::Ls), "", &["LS ERR", "check the directory"]),
        bad_site("garbage-ls", Fault::Garbage(4096).at(Verb::Ls), "", &["expected a reply to LS"]),
        bad_site("garbage-recv", Fault::Garbage(4096).at(Verb::Recv), "", &["expected a reply to RECV"]),
        bad_site("garbage-mv", Fault::Garbage(4096).at(Verb::Mv), "", &["expected a reply to MV"]),
        bad_site("huge-ls", lie("9223372036854775808").at(Verb::Ls), "", &["9223372036854775808"]),
        bad_site("huge-recv", lie("9223372036854775808").at(Verb::Recv), "", &["9223372036854775808"]),
        bad_site("huge-mv", lie("9223372036854775808").at(Verb::Mv), "", &["9223372036854775808"]),
        bad_site("digits", lie("111111111122222222223333333333").at(Verb::Recv), "", &["11111111112222222222"]),
        bad_site("letters", lie("12abc").at(Verb::Recv), "", &["expected a reply to RECV", "12abc"]),
        bad_site("negative", lie("-1").at(Verb::Ls), "", &["expected a reply to LS", "-1"]),
    ]);
}

#[test]
fn connections_that_end_too_early_are_told_from_each_other() {
    let (cut, reset) = (Fault::CutBody { after: 100 }, Fault::ResetBody { after: 100 });
    collect_from(&[
        bad_site("close-ls", Fault::Close.at(Verb::Ls), "", &["closed the connection", "LS", "lacks -I"]),
        bad_site("close-recv", Fault::Close.at(Verb::Recv), "", &["close-recv0", "instead of answering RECV"]),
        bad_site("close-mv", Fault::Close.at(Verb::Mv), "", &["close-mv0", "instead of answering MV"]),
        bad_site("reset-ls", Fault::Reset.at(Verb::Ls), "", &["the connection broke: connection reset"]),
        bad_site(
            "reset-recv",
            Fault::Reset.at(Verb::Recv),
            "",
            &["reset-recv0", "the connection broke: connection reset"],
        ),
        bad_site("reset-mv", Fault::Reset.at(Verb::Mv), "", &["reset-mv0", "the connection broke: connection reset"]),
        bad_site("cut-ls", Fault::CutBody { after: 10 }.at(Verb::Ls), "", &["bytes of the LS body still to come"]),
        bad_site("cut-recv", cut.clone().at(Verb::Recv), "", &["cut-recv0", "bytes of the RECV body still to come"]),
        bad_site("cut-mv", cut.at(Verb::Mv), "", &["cut-mv0", "bytes of the MV body still to come"]),
        bad_site("reset-body", reset.clone().at(Verb::Recv), "", &["reset-body0", "the connection broke"]),
        bad_site("reset-mv-body", reset.at(Verb::Mv), "", &["reset-mv-body0", "the connection broke"]),
    ]);
}

#[test]
fn a_file_that_a_stock_site_cannot_read_is_named() {
    let cut = Fault::CutBody { after: 0 };
    collect_from(&[
        bad_site("unread-recv", cut.clone().at(Verb::Recv), "", &["unread-recv0", "still to come", "cannot read"]),
        bad_site("unread-mv", cut.at(Verb::Mv), "", &["unread-mv0", "still to come", "cannot read"]),
    ]);
}

#[test]
fn a_site_that_falls_silent_is_given_up_in_time() {
    let drip = Fault::DripBody { bytes: 1, every: Duration::from_millis(100) };
    let stall = Fault::StallBody { after: 100 };
    collect_from(&[
        bad_site(
            "hang",
            Fault::HangAfterAccept.always(),
            "timeout = 1",
            &["the listing did not come in time (timeout 1 s)"],
        ),
        bad_site(
            "hang-ls",
            Fault::Hang.at(Verb::Ls),
            "timeout = 1",
            &["the listing did not come in time (timeout 1 s)"],
        ),
        bad_site("hang-recv", Fault::Hang.at(Verb::Recv), "timeout = 1", &["hang-recv0", "did not come in time"]),
        bad_site("hang-mv", Fault::Hang.at(Verb::Mv), "timeout = 1", &["hang-mv0", "did not come in time"]),
        bad_site("stall-ls", Fault::StallBody { after: 10 }.at(Verb::Ls), "timeout = 1", &["bytes of the listing"]),
        bad_site("stall-recv", stall.clone().at(Verb::Recv), "timeout = 1", &["bytes of stall-recv0"]),
        bad_site("stall-mv", stall.at(Verb::Mv), "timeout = 1", &["bytes of stall-mv0"]),
        bad_site("drip", drip.at(Verb::Recv), "timeout = 1\nmin_rate = \"10KB\"", &["bytes of drip0", "min_rate"]),
        bad_site(
            "more-announced",
            Fault::WrongSize(WrongSize::Over(10)).at(Verb::Recv),
            "timeout = 1",
            &["the last 10 bytes of more-announced0"],
        ),
    ]);
}

#[test]
fn more_bytes_than_announced_are_no_file() {
    let under = |fewer| Fault::WrongSize(WrongSize::Under(fewer));
    collect_from(&[
        bad_site("fewer-announced", under(10).at(Verb::Recv), "", &["unasked"]),
        bad_site("none-announced", under(1).at(Verb::Ls), "", &["unasked"]),
    ]);
}

#[test]
fn passwords_that_do_not_fit_are_called_that() {
    let password = |text: &str| Setup { password: Some(Secret::new(text.into())), ..Setup::default() };
    let wrong = Site::fake("wrong", 5, password("right"));
    let missing = Site::fake("missing", 5, password("right"));
    let needless = Site::fake("needless", 5, Setup::default());
    let closed = Site::fake("closed", 5, Setup { insecure: false, ..Setup::default() });
    let sandbox = Sandbox::with_sites([
        wrong.config("password = \"wrong-one\""),
        missing.config(""),
        needless.config("password = \"needless-one\""),
        closed.config(""),
    ]);
    let outcome = sandbox.once();
    outcome.assert_code(1);
    outcome.assert_says(&["wrong: failed: ", "the password is wrong", "check the site's password setting"]);
    outcome.assert_says(&["missing: failed: ", "wants a password (-x)"]);
    outcome.assert_says(&["needless: failed: ", "or where it has none (-x)"]);
    outcome.assert_says(&["closed: failed: ", "lacks -I"]);
    assert!(!outcome.to_string().contains("-one"), "no secrets: {outcome}");
    [wrong, missing, needless, closed].iter().for_each(Site::assert_untouched);
    assert!(sandbox.spool().is_empty());
}

#[test]
fn a_site_that_cannot_be_reached_says_at_which_step() {
    let certificates = Certificates::new();
    let healthy = Site::fake("healthy", 20, Setup::default());
    let refused = TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap();
    let hole = BlackHole::open();
    let tls = Some(stock_tls(&certificates.server, StockClients::Anyone).unwrap());
    let faults = vec![Fault::HangInTls.always()];
    let half = Site::fake("half", 5, Setup { tls, faults, ..Setup::default() });
    let sandbox = Sandbox::with_sites([
        site_config("refused", refused, ""),
        site_config("hole", hole.address, "timeout = 1"),
        half.config(&format!("timeout = 1\ntls = {{ ca = {:?} }}", certificates.path("ca.pem"))),
        "\n[[site]]\nname = \"nameless\"\naddress = \"no-such-host.invalid\"\ntimeout = 1\n".into(),
        healthy.config(""),
    ]);
    let outcome = sandbox.once();
    outcome.assert_code(1).assert_says(&["healthy: 20 files"]);
    outcome.assert_says(&["refused: failed: cannot connect to ", "is the Tentacle server running there"]);
    outcome.assert_says(&["hole: failed: ", "in time", "does a firewall drop it?"]);
    outcome.assert_says(&["half: failed: TLS was not done in time"]);
    // A name server that is out of reach answers with silence.
    outcome.assert_says(&["nameless: failed: ", " name"]);
    healthy.assert_emptied();
    half.assert_untouched();
}

/// Takes no connection, and refuses none: its queue is full.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _queue: Vec<std::os::fd::OwnedFd>,
}

impl BlackHole {
    pub(crate) fn open() -> Self {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, listen, socket_with};
        let socket = |flags| socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        let listener = socket(SocketFlags::CLOEXEC);
        bind(&listener, &SocketAddr::new(LOOPBACK, 0)).unwrap();
        listen(&listener, 0).unwrap();
        let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
        let mut queue = vec![listener];
        for _ in 0..4 {
            let waiting = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
            // The first are taken into the queue, the others stay on their way.
            let _ = connect(&waiting, &address);
            queue.push(waiting);
        }
        Self { address, _queue: queue }
    }
}

#[test]
fn files_larger_than_wanted_stay_and_are_reported_once() {
    for connections in ["connections = 1", "connections = 2"] {
        let mut site = Site::fake("site", 30, Setup::default());
        for number in 0..3 {
            site.add_other(format!("large.170000000{number}.data"), vec![b'x'; 20_000]);
        }
        let sandbox =
            Sandbox::with_sites([site.config(&format!("max_file_size = 10000\ninterval = 1\n{connections}"))]);
        let daemon = sandbox.start();
        let done = |tally: &tentacle_sync::testing::fake_server::Tally| tally.count(Verb::Ls) >= 2;
        assert!(site.peer().wait_for(crate::support::TIMEOUT, done));
        let outcome = daemon.stop();
        outcome.assert_code(0).assert_logs(&["WARN", "site=site", "large.1700000000.data", "20000", "max_file_size"]);
        assert_eq!(outcome.stderr.matches("large.1700000000.data").count(), 1, "{outcome}");
        sandbox.assert_holds(&site.files);
        site.assert_emptied();
    }
}

#[test]
fn a_file_that_the_site_cannot_read_is_fetched_when_it_can() {
    let buffer = Buffer::start("");
    let (early, late) = ("web01.1700000000.data", "web01.1700000300.data");
    for name in [early, late, "web02.1700000000.data"] {
        buffer.put(name, name);
    }
    let files = buffer.files();
    let set_mode = |mode| fs::set_permissions(buffer.storage().join(early), Permissions::from_mode(mode)).unwrap();
    set_mode(0);
    let sandbox = Sandbox::with_sites([site_config("site", buffer.address(), "interval = 1")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["WARN", "site=site reason=unreadable", early, "look at its disk"]);
    wait_until("the other agent's file", || (sandbox.spool().len() == 1).then_some(()));
    set_mode(0o660);
    wait_until("the others", || is_emptied(&buffer.storage()).then_some(()));
    daemon.stop().assert_code(0);
    sandbox.assert_holds(&files);
}
