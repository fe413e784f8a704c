//! The programs' logs: each failure, in lines that nobody else can write.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{Fault, Setup, Verb};

use crate::daemon::{Sandbox, wait_until};
use crate::server_ops::Buffer;
use crate::server_process::{Options, ServerProcess};
use crate::site::Site;
use crate::support::{Certificates, Client, TIMEOUT, scratch};
use crate::terminal::{CLIENT, SERVER};

/// What no line of a log may hold: a terminal acts on it, or a reader takes it for the end of a line.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The values that a line has of `key`, outside of quotes.
fn values_of(line: &str, key: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    assert!(!quoted, "a quote without end: {line}");
    words.push(word);
    words.iter().filter_map(|word| word.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).collect()
}

#[test]
fn a_port_check_hides_no_other_failure_of_its_address() {
    let certificates = Certificates::new();
    let options = Options::usual().tls(&certificates).client_certificate(&certificates);
    let buffer = Buffer::with(options, "");
    let warnings = || buffer.log().lines().filter(|line| line.contains("[WARN] client=127.0.0.1 reason=tls")).count();
    // Starting the server has made such a check as well.
    drop(buffer.connect());
    wait_until("the port check in the log", || (warnings() == 1).then_some(()));
    let mut plain = buffer.connect();
    plain.send("LS <>\n");
    let _ = plain.receive(1000, TIMEOUT);
    wait_until("the plain client in the log", || (warnings() == 2).then_some(()));
    let without_certificate = Client::connect_tls(buffer.address(), certificates.client_config(false));
    drop(without_certificate.map(|mut client| client.receive(1, TIMEOUT)));
    wait_until("the client without a certificate in the log", || (warnings() == 3).then_some(()));
    let checks = || buffer.log().matches("connection during the TLS handshake").count();
    let before = checks();
    drop(buffer.connect());
    wait_until("the end of the second port check", || (checks() > before).then_some(()));
    assert_eq!(warnings(), 3, "the second port check is no news: {}", buffer.log());
}

#[test]
fn a_client_that_speaks_tls_to_a_plain_port_is_named_beside_one_that_speaks_http() {
    let buffer = Buffer::start("");
    let send = |bytes: &[u8]| {
        let mut client = buffer.connect();
        client.send(bytes);
        client.expect_closed();
    };
    send(b"GET / HTTP/1.0\r\n");
    send(b"\x16\x03\x01\x02\x00\x01random\n");
    send(b"\x16\x03\x01\x02\x00\x01others\n");
    buffer.wait_for_line(&["[WARN] client=127.0.0.1 reason=protocol", "that is HTTP"]);
    buffer.wait_for_line(&["[WARN] client=127.0.0.1 reason=protocol", "a TLS client, and this port is plain"]);
    assert_eq!(buffer.log().matches("[WARN]").count(), 2, "{}", buffer.log());
}

#[test]
fn failures_of_a_site_that_take_turns_are_each_logged_once() {
    let site = Site::fake("site", 3, Setup { faults: vec![Fault::Refuse.at(Verb::Ls)], ..Setup::default() });
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    let daemon = sandbox.start();
    for turn in 0..3 {
        let lists = site.peer().tally().count(Verb::Ls);
        let trick = if turn % 2 == 0 { Fault::Refuse } else { Fault::Close };
        site.peer().set_mischief(vec![trick.at(Verb::Ls)]);
        assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= lists + 2));
    }
    let log = daemon.stop().stderr;
    for reason in ["reason=listing", "reason=closed"] {
        assert_eq!(log.matches(reason).count(), 1, "{log}");
    }
}

#[test]
fn a_recovery_tells_after_how_many_failures_and_the_cause_comes_before_the_counters() {
    let site = Site::fake("site", 3, Setup { faults: vec![Fault::Refuse.at(Verb::Ls)], ..Setup::default() });
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    let daemon = sandbox.start();
    let line = daemon.wait_for_line(&["[WARN] site=site reason=listing the site answered LS ERR", "; failures=1 "]);
    assert!(!line.contains("repeated="), "{line}");
    assert_eq!(values_of(&line, "failures"), ["1"]);
    assert_eq!(values_of(&line, "collected"), ["0"]);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) >= 3));
    site.peer().set_mischief(Vec::new());
    let line = daemon.wait_for_line(&["site=site recovered after", "failures in", " s"]);
    let failures: usize = line.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(failures >= 2, "{line}");
}

#[test]
fn a_round_that_a_stop_cuts_off_is_no_recovery() {
    let site = Site::fake("site", 3, Setup { faults: vec![Fault::Refuse.at(Verb::Ls)], ..Setup::default() });
    let sandbox = Sandbox::with_sites([site.config("interval = 1")]);
    let daemon = sandbox.start();
    daemon.wait_for_line(&["site=site reason=listing"]);
    site.peer().set_mischief(vec![Fault::Hang.at(Verb::Ls)]);
    let lists = site.peer().tally().count(Verb::Ls);
    assert!(site.peer().wait_for(TIMEOUT, |tally| tally.count(Verb::Ls) > lists));
    let log = daemon.stop().stderr;
    assert!(log.contains("stopping: 1 round under way") && !log.contains("recovered"), "{log}");
}

#[test]
fn names_of_sites_and_files_forge_nothing() {
    let sandbox = Sandbox::new();
    let names = [
        "a b.1.data",
        "a\u{202e}b.2.data",
        "a\u{9b}31mb.3.data",
        "a\u{85}b.4.data",
        "a\u{2028}b.5.data",
        "\"q\".6.data",
    ];
    let mut site = Site::fake("a reason=b", 0, Setup::default());
    for name in names {
        site.add(name, name);
    }
    site.add_other("x=y reason=lost.7.data", "not taken");
    sandbox.configure("", [site.config("")]);
    let outcome = sandbox.run("once", &["--log-level", "debug"]);
    outcome.assert_code(0);
    for line in outcome.stderr.lines().chain(outcome.stdout.lines()) {
        assert!(!line.contains(acts), "{line:?}");
        assert_eq!(values_of(line, "reason"), Vec::<String>::new(), "{line}");
    }
    for shown in [
        r#"site="a reason=b" file="a b.1.data""#,
        r#"site="a reason=b" file="a\u{202e}b.2.data""#,
        r#"site="a reason=b" file="a\u{9b}31mb.3.data""#,
        r#"site="a reason=b" file="a\u{85}b.4.data""#,
        r#"site="a reason=b" file="a\u{2028}b.5.data""#,
        r#"site="a reason=b" file="\"q\".6.data""#,
    ] {
        outcome.assert_logs(&[shown, "collected"]);
    }
    assert!(names.iter().all(|name| sandbox.spool().contains_key(Path::new(name))), "{outcome}");
}

#[test]
fn what_clients_send_forges_nothing() {
    let buffer = Buffer::start("");
    for line in [
        "SEND <\u{9b}31m b\u{202e}.1.data> SIZE 3\n",
        "SEND <a reason=x\u{85}> SIZE 3\n",
        "FOO\u{2028}\" reason=forged\n",
    ] {
        let mut client = buffer.connect();
        client.send(line);
        let _ = client.receive(20, Duration::from_millis(200));
        client.send("abc");
    }
    buffer.wait_for_line(&["reason=protocol"]);
    buffer.wait_for_line(&[r#"stored="\u{9b}31m b\u{202e}.1.data""#]);
    for line in buffer.log().lines() {
        assert!(!line.contains(acts), "{line:?}");
        assert!(
            values_of(line, "reason").iter().all(|reason| ["protocol", "cut", "broken"].contains(&reason.as_str())),
            "{line}"
        );
    }
}

#[test]
fn a_log_that_nobody_reads_keeps_no_client_and_no_signal_waiting() {
    let home = scratch();
    let mut server = ServerProcess::ours(&Options::usual().arg("-V"), home.path());
    // More than the pipe holds, whose other end nobody reads.
    for _ in 0..150 {
        let mut client = Client::connect(server.address());
        client.send(format!("SEND <{}?> SIZE 3\n", "a".repeat(900)));
        let _ = client.receive(9, TIMEOUT);
    }
    let mut client = Client::connect(server.address());
    client.send("SEND <web01.1.data> SIZE 3\n");
    client.expect("SEND OK\n");
    client.send("abc");
    client.expect("SEND OK\n");
    drop(client);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_keeps_no_site_waiting() {
    let site = Site::fake("site", 200, Setup::default());
    let sandbox = Sandbox::with_sites([site.config("")]);
    let (unread, log) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    fcntl_setpipe_size(&log, 4096).unwrap();
    let config = sandbox.config();
    let arguments = ["once", "--allow-root", "--log-level", "debug", "--config"].map(AsRef::as_ref);
    let arguments = arguments.into_iter().chain([config.as_os_str()]);
    let program = env!("CARGO_BIN_EXE_tentacle-syncd").as_ref();
    sandbox
        .launch_as(program, arguments, |command| {
            command.stderr(log);
        })
        .wait()
        .assert_code(0);
    sandbox.assert_holds(&site.files);
    drop(unread);
}

#[test]
fn files_of_a_site_that_cannot_be_taken_are_named_up_to_a_number() {
    let mut site = Site::fake("site", 1, Setup::default());
    for number in 0..300 {
        site.add_other(format!("bell\x07.{number}.data"), "");
    }
    let sandbox = Sandbox::with_sites([site.config("")]);
    let outcome = sandbox.once();
    let named = outcome.stderr.lines().filter(|line| line.contains("left there")).count();
    assert!((1..=20).contains(&named), "{named}: {outcome}");
}

#[test]
fn no_program_shows_a_path_that_a_terminal_acts_on() {
    let home = scratch();
    let path = home.path().join("a\u{9b}31m\u{85}\u{202e}\u{2028}\x1b[2J b");
    fs::create_dir(&path).unwrap();
    let syncd = env!("CARGO_BIN_EXE_tentacle-syncd");
    for (program, arguments) in [
        (SERVER, &["--check", "--allow-root", "-s"][..]),
        (SERVER, &["--check", "-s", "/", "-F"]),
        (SERVER, &["--allow-root", "-s", "/", "-l"]),
        (SERVER, &["--check", "-s", "/", "-k", "/absent", "-e"]),
        (CLIENT, &["-v", "-a", "127.0.0.1", "-p", "1", "-k", "/absent", "-e"]),
        (syncd, &["check", "--config"]),
    ] {
        let output = Command::new(program).args(arguments).arg(&path).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(r"a\u{9b}31m\u{85}\u{202e}\u{2028}\x1b[2J b"), "{program} {arguments:?}: {said:?}");
        assert!(said.lines().all(|line| !line.contains(acts)), "{program} {arguments:?}: {said:?}");
    }
}
