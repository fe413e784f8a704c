//! The status port.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::{Fault, Setup, Verb, WrongSize};

use crate::control::{self, OFTEN};
use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::http_client::{Answer, exchange, get, request};
use crate::server_process::free_address;
use crate::site::{Site, site_config};
use crate::support::{Certificates, Client, TIMEOUT};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Configures these sites and a status port, whose table has these lines as well.
pub(crate) fn configure(sandbox: &Sandbox, lines: &str, sites: impl IntoIterator<Item = String>) -> SocketAddr {
    let address = free_address();
    sandbox.configure(&format!("[http]\nlisten = \"{address}\"\n{lines}"), sites);
    address
}

/// The daemon, once its status port can be asked.
pub(crate) fn start(sandbox: &Sandbox, address: SocketAddr) -> Daemon {
    let daemon = sandbox.start();
    wait_for_port(address);
    daemon
}

/// Whether a program that CI has and others may lack is there.
pub(crate) fn is_installed(program: &str, required: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    assert!(is_there || std::env::var_os(required).is_none(), "{required} is set, and there is no {program}");
    if !is_there {
        println!("skipped: there is no {program}");
    }
    is_there
}

#[test]
fn what_sites_are_at_is_told_to_prometheus_and_to_programs() {
    let (ours, stock) = (Site::ours("ours", 7), Site::fake("stock", 12, Setup::default()));
    stock.peer().put("late.1700000000.data", b"old").unwrap();
    stock.peer().set_mischief(vec![Fault::WrongSize(WrongSize::Literally("12abc")).at(Verb::Recv)]);
    let dead = site_config("de\"ad <b>\\ one", free_address(), OFTEN);
    let sandbox = Sandbox::new();
    let address = configure(&sandbox, "", [ours.config(OFTEN), stock.config(OFTEN), dead]);
    let daemon = start(&sandbox, address);
    control::wait_for_site(&sandbox, "ours", |site| site["collected"]["files"] == 7);
    control::wait_for_site(&sandbox, "stock", |site| site["is_failing"] == true);
    control::wait_for_site(&sandbox, "de\"ad <b>\\ one", |site| site["is_failing"] == true);

    let metrics = wait_until("the answer of a second ago to be too old", || {
        Some(get(address, "/metrics")).filter(|metrics| metrics.series("tentacle_sync_sites_failing") == Some(2.0))
    });
    assert_eq!(metrics.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let version = env!("CARGO_PKG_VERSION");
    let dead = r#"site="de\"ad <b>\\ one""#;
    for (series, expected) in [
        (format!("tentacle_sync_build_info{{version=\"{version}\"}}"), 1.0),
        ("tentacle_sync_sites".to_owned(), 3.0),
        (r#"tentacle_sync_site_collected_files_total{site="ours"}"#.to_owned(), 7.0),
        (r#"tentacle_sync_site_waiting_files{site="ours"}"#.to_owned(), 0.0),
        (r#"tentacle_sync_site_oldest_waiting_age_seconds{site="ours"}"#.to_owned(), 0.0),
        (r#"tentacle_sync_site_waiting_files{site="stock"}"#.to_owned(), 13.0),
        (r#"tentacle_sync_site_failing{site="stock"}"#.to_owned(), 1.0),
        (r#"tentacle_sync_site_interval_seconds{site="stock"}"#.to_owned(), 1.0),
        (format!("tentacle_sync_site_failing{{{dead}}}"), 1.0),
        (format!("tentacle_sync_site_state{{{dead},state=\"paused\"}}"), 0.0),
    ] {
        assert_eq!(metrics.series(&series), Some(expected), "{series} in {}", metrics.body);
    }
    for series in [
        r#"tentacle_sync_site_last_success_timestamp_seconds{site="ours"}"#,
        r#"tentacle_sync_site_round_duration_seconds{site="ours"}"#,
        "tentacle_sync_resident_memory_bytes",
        "tentacle_sync_journal_bytes",
        "tentacle_sync_loop_wait_longest_seconds",
        "tentacle_sync_committed_files_total",
        r#"tentacle_sync_site_problem{site="stock",reason="protocol"}"#,
        &format!("tentacle_sync_site_problem{{{dead},reason=\"connect\"}}"),
    ] {
        assert!(metrics.series(series).is_some_and(|value| value > 0.0), "{series} in {}", metrics.body);
    }
    assert!(metrics.series(r#"tentacle_sync_site_oldest_waiting_age_seconds{site="stock"}"#) > Some(6e7));
    // All on one machine.
    let ahead = metrics.series(r#"tentacle_sync_site_clock_ahead_seconds{site="ours"}"#);
    assert!(ahead.is_some_and(|seconds| seconds.abs() < 60.0), "{}", metrics.body);
    assert!(!metrics.body.contains(r#"clock_ahead_seconds{site="stock"}"#), "{}", metrics.body);
    let older = |site: &str, age: u32| {
        metrics.series(&format!("tentacle_sync_site_waiting_older_files{{site=\"{site}\",older_than=\"{age}\"}}"))
    };
    assert_eq!((older("ours", 60), older("stock", 86_400)), (Some(0.0), Some(13.0)), "{}", metrics.body);
    let states = metrics.body.lines().filter(|line| line.starts_with("tentacle_sync_site_state{site=\"ours\""));
    assert_eq!(states.filter(|line| line.ends_with(" 1")).count(), 1, "{}", metrics.body);
    // Of what never was there is nothing to be told.
    assert!(!metrics.body.contains(&format!("last_success_timestamp_seconds{{{dead}}}")), "{}", metrics.body);

    assert_told_to_programs(&sandbox, address);
    assert_eq!((get(address, "/healthz").status, get(address, "/readyz").status), (200, 200));
    daemon.stop().assert_code(0).assert_logs(&["status port: http://127.0.0.1:"]);
}

/// The same as on the control socket, but for what has happened between the two.
fn assert_told_to_programs(sandbox: &Sandbox, address: SocketAddr) {
    let (told, asked) = (get(address, "/status.json").json(), sandbox.run("status", &["--json", "--sort", "name"]));
    let asked: serde_json::Value = serde_json::from_str(&asked.stdout).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((&told["version"], keys(&told)), (&1.into(), keys(&asked)));
    assert_eq!(keys(&told["daemon"]), keys(&asked["daemon"]));
    assert_eq!(told["sites"].as_array().unwrap().len(), 3);
    assert_eq!(keys(&told["sites"][0]), keys(&asked["sites"][0]));
    let one = get(address, "/status.json?site=stock").json();
    assert_eq!((one["sites"].as_array().unwrap().len(), &one["sites"][0]["name"]), (1, &"stock".into()));
    assert_eq!(one["sites"][0]["waiting"]["files"], 13, "{one}");
    let odd = get(address, "/status.json?site=de%22ad+%3Cb%3E%5C+one&site=ours").json();
    assert_eq!(odd["sites"].as_array().unwrap().len(), 2);
    let unknown = get(address, "/status.json?site=%3Cscript%3E");
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("named <script>;") && unknown.field("Content-Type").unwrap().contains("plain"));
    let many = get(address, &format!("/status.json?{}", "site=ours&".repeat(17)));
    assert_eq!(many.status, 400, "{many:?}");
}

#[test]
fn prometheus_finds_nothing_wrong_with_the_metrics() {
    if !is_installed("promtool", "PROMTOOL_REQUIRED") {
        return;
    }
    let certificates = Certificates::new();
    let access = crate::site::Access::TlsWithClientCertificate;
    let tls = Site::behind(access, crate::site::Kind::Ours, 3, &certificates).unwrap();
    let ours = Site::ours("ours", 3);
    let sandbox = Sandbox::new();
    let sites = [
        tls.config(&format!("{}\n{OFTEN}", access.lines(&certificates))),
        ours.config(OFTEN),
        site_config("dead \\ \"'<é", free_address(), OFTEN),
    ];
    let address = configure(&sandbox, "", sites);
    let _daemon = start(&sandbox, address);
    control::wait_for_site(&sandbox, "ours", |site| site["collected"]["files"] == 3);
    control::wait_for_site(&sandbox, "site", |site| site["own_certificate_days"].is_i64());
    let metrics = wait_until("all that there is to be told", || {
        Some(get(address, "/metrics")).filter(|metrics| metrics.body.contains("owner=\"own\""))
    });
    assert_no_finding(&metrics);
}

/// Prometheus finds nothing wrong with these metrics.
pub(crate) fn assert_no_finding(metrics: &Answer) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.body.as_bytes()).unwrap();
    let found = promtool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success() && words.is_empty(), "{words}\n{}", metrics.body);
}

/// Waits until somebody listens there.
pub(crate) fn wait_for_port(address: SocketAddr) {
    wait_until("the status port", || TcpStream::connect(address).ok());
}

#[test]
fn a_daemon_that_cannot_collect_is_not_ready_and_says_why() {
    let site = Site::ours("site", 3);
    let sandbox = Sandbox::new();
    let address = configure(&sandbox, "", [site.config(OFTEN)]);
    let _daemon = start(&sandbox, address);
    let wait_for = |status: u16, words: &str| {
        wait_until(words, || Some(get(address, "/readyz")).filter(|answer| answer.status == status))
            .body
            .contains(words)
    };
    assert!(wait_for(200, "ok"));
    sandbox.run("pause", &["site"]).assert_code(0);
    assert!(wait_for(503, "all sites are paused"));
    sandbox.run("resume", &["site"]).assert_code(0);
    assert!(wait_for(200, "ok"));
    fs::rename(sandbox.incoming(), sandbox.path("elsewhere")).unwrap();
    assert!(wait_for(503, "incoming"));
    assert_eq!(get(address, "/healthz").status, 200);
    fs::rename(sandbox.path("elsewhere"), sandbox.incoming()).unwrap();
    assert!(wait_for(200, "ok"));
}

#[test]
fn what_is_no_request_for_something_here_is_answered_with_what_was_expected() {
    let site = Site::ours("site", 0);
    let sandbox = Sandbox::new();
    let address = configure(&sandbox, "hosts = [\"collector.example\"]", [site.config(OFTEN)]);
    let daemon = start(&sandbox, address);
    let long = "x".repeat(9000);
    for (request, status) in [
        ("\u{16}\u{3}\u{1}".to_owned(), 400),
        ("GET /metrics\r\n\r\n".to_owned(), 400),
        ("GET /metrics HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".to_owned(), 400),
        ("GET /status.json HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_owned(), 421),
        ("GET /status.json HTTP/1.1\r\nHost: collector.example:1\r\nConnection: close\r\n\r\n".to_owned(), 200),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_owned(), 200),
        ("GET /metrics HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("GET /../etc/passwd HTTP/1.0\r\n\r\n".to_owned(), 404),
        (format!("GET /{long} HTTP/1.1\r\n"), 431),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
    ] {
        let answer = exchange(&mut Client::connect(address), &request);
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.field("Cache-Control"), Some("no-store"), "{answer:?}");
    }
    let answer = exchange(&mut Client::connect(address), "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, HEAD")));
    let head =
        exchange(&mut Client::connect(address), "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.field("Content-Length").unwrap().parse::<u32>().unwrap() > 1000, "{head:?}");
    // One after the other on one connection, sent ahead.
    let mut client = Client::connect(address);
    let ahead = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    client.send(ahead + &request("/metrics", ""));
    let (received, is_closed) = client.receive(usize::MAX, TIMEOUT);
    let text = String::from_utf8_lossy(&received);
    assert!(is_closed);
    assert_eq!((text.matches("HTTP/1.1 200 OK").count(), text.matches("\r\n\r\nok\n").count()), (101, 100), "{text}");
    daemon.stop().assert_code(0);
}

#[test]
fn who_asks_shows_a_token_or_a_certificate_where_that_is_configured() {
    let (certificates, site) = (Certificates::new(), Site::ours("site", 0));
    let sandbox = Sandbox::new();
    sandbox.write("token", format!("{TOKEN}\n"));
    let address = configure(&sandbox, "token_file = \"token\"", [site.config(OFTEN)]);
    let daemon = start(&sandbox, address);
    let with = |path: &str, authorization: &str| {
        let fields = format!("Authorization: {authorization}\r\n");
        exchange(&mut Client::connect(address), &request(path, &fields)).status
    };
    for path in ["/metrics", "/status.json", "/readyz", "/nothing"] {
        let refused = get(address, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.field("WWW-Authenticate").is_some_and(|ways| ways.starts_with("Basic realm=")), "{refused:?}");
        assert_eq!(with(path, "Bearer 0123456789abcdef"), 401);
    }
    assert_eq!((get(address, "/healthz").status, with("/metrics", &format!("Bearer {TOKEN}"))), (200, 200));
    // anyone:TOKEN
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("anyone:{TOKEN}"));
    assert_eq!(with("/status.json", &format!("Basic {basic}")), 200);

    // From now on, over TLS, with a certificate in place of the token.
    let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| certificates.path(name));
    let lines = format!("cert = {cert:?}\nkey = {key:?}\nclient_ca = {ca:?}");
    let text = fs::read_to_string(sandbox.config()).unwrap();
    // Not that the file was cut off: a reload takes no token away.
    sandbox.write("tentacle-syncd.toml", text.replace("token_file = \"token\"", &lines));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["not reloaded", "token of [http]"]);
    sandbox.write("tentacle-syncd.toml", text.replace("token_file", &format!("{lines}\ntoken_file")));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["status port: https://"]);
    let ask = |with_certificate: bool| -> Option<Answer> {
        let mut client = Client::connect_tls(address, certificates.client_config(with_certificate)).ok()?;
        client.send(request("/metrics", &format!("Authorization: Bearer {TOKEN}\r\n")));
        let (received, _) = client.receive(usize::MAX, TIMEOUT);
        (!received.is_empty()).then(|| Answer::read(&received))
    };
    let answer = ask(true).unwrap();
    assert!(answer.status == 200 && answer.body.contains("tentacle_sync_build_info"), "{answer:?}");
    assert!(ask(false).is_none());

    // What cannot be used leaves it as it was, and `check` tells so before.
    fs::write(certificates.path("server.pem"), "none").unwrap();
    sandbox.run("check", &[]).assert_code(1).assert_says(&["PROBLEM", "[http]", "server.pem"]);
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["reason=http", "as it was before a reload", "server.pem"]);
    assert!(ask(true).is_some_and(|answer| answer.status == 200));
    daemon.stop().assert_code(0);
}

#[test]
fn a_port_that_cannot_be_had_keeps_nothing_from_being_collected() {
    let site = Site::ours("site", 3);
    let sandbox = Sandbox::new();
    let address = configure(&sandbox, "", [site.config(OFTEN)]);
    let taken = std::net::TcpListener::bind(address).unwrap();
    let daemon = sandbox.start();
    daemon.wait_for_line(&["reason=http", "not served", &format!("cannot listen on {address}")]);
    wait_until("the files", || (sandbox.spool().len() == 3).then_some(()));
    drop(taken);
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["status port: http://"]);
    assert_eq!(get(address, "/healthz").status, 200);
    // It moves, and where it cannot, it stays.
    let other = free_address();
    let text = fs::read_to_string(sandbox.config()).unwrap();
    sandbox.write("tentacle-syncd.toml", text.replace(&address.to_string(), &other.to_string()));
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&[&format!("status port: http://{other}/")]);
    assert_eq!(get(other, "/healthz").status, 200);
    let taken = std::net::TcpListener::bind(address).unwrap();
    sandbox.write("tentacle-syncd.toml", &text);
    daemon.signal(Signal::HUP);
    daemon.wait_for_line(&["reason=http", "as it was before a reload", &format!("cannot listen on {address}")]);
    assert_eq!(get(other, "/healthz").status, 200);
    drop(taken);
    // And it goes.
    sandbox.write("tentacle-syncd.toml", text.replace("listen", "#listen"));
    daemon.signal(Signal::HUP);
    wait_until("nobody to listen", || TcpStream::connect(other).err());
    daemon.stop().assert_code(0);
    let open = text.replace(&address.to_string(), "0.0.0.0:41122");
    sandbox.write("tentacle-syncd.toml", open);
    sandbox
        .run("check", &["--syntax-only"])
        .assert_code(2)
        .assert_logs(&["tentacle-syncd.toml:", "listen: 0.0.0.0:41122 can be reached from elsewhere"]);
}
