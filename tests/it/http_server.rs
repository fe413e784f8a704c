//! The status port of a server at a site.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use crate::daemon::wait_until;
use crate::http::{TOKEN, assert_no_finding, is_installed, wait_for_port};
use crate::http_client::{Answer, exchange, get, request};
use crate::server_ops::Buffer;
use crate::server_process::{Options, free_address, hand_over_to_server};
use crate::support::{Certificates, Client, TIMEOUT, scratch};
use crate::terminal::SERVER;

/// A server with a status port, and with these lines in its file.
pub(crate) fn serve(keys: &str) -> (SocketAddr, Buffer) {
    serve_with(Options::usual(), keys)
}

fn serve_with(options: Options, keys: &str) -> (SocketAddr, Buffer) {
    let address = free_address();
    let buffer = Buffer::with(options, &format!("http_listen {address}\n{keys}"));
    wait_for_port(address);
    (address, buffer)
}

/// What a server tells that has all there is to be told of: TLS, limits, files that came and went.
pub(crate) fn all_metrics() -> Answer {
    let certificates = Certificates::new();
    let keys = "max_spool_files 9\nmax_spool_bytes 9MB\nmin_free 1\nidle_timeout 60s\n";
    let (address, buffer) = serve_with(Options::usual().tls(&certificates), keys);
    let mut client = Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap();
    client.store("a.1700000000.data", "12345");
    client.store("b.1700000000.data", "123");
    client.names("");
    assert_eq!(client.take("MV", "a.1700000000.data"), b"12345");
    client.ask("RECV <missing.conf>", "RECV ERR (file does not exist)");
    wait_until("the count of now", || {
        let metrics = get(address, "/metrics");
        let is_whole = metrics.series("tentacle_server_waiting_files") == Some(1.0)
            && metrics.series("tentacle_server_collected_files_total") == Some(1.0);
        is_whole.then_some(metrics)
    })
}

#[test]
fn what_a_server_is_at_is_told_to_prometheus_and_to_programs() {
    let metrics = all_metrics();
    assert_eq!(metrics.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let version = env!("CARGO_PKG_VERSION");
    for (series, expected) in [
        (&*format!("tentacle_server_build_info{{version=\"{version}\"}}"), 1.0),
        ("tentacle_server_connections", 1.0),
        ("tentacle_server_connections_limit", 10.0),
        ("tentacle_server_waiting_bytes", 3.0),
        ("tentacle_server_stored_files_total", 2.0),
        ("tentacle_server_stored_bytes_total", 8.0),
        ("tentacle_server_collected_bytes_total", 5.0),
        ("tentacle_server_quota_limit_files", 9.0),
        ("tentacle_server_quota_used_files", 1.0),
        ("tentacle_server_quota_limit_bytes", 9e6),
        ("tentacle_server_min_free_bytes", 1.0),
        ("tentacle_server_refused_commands_total{reason=\"missing\"}", 1.0),
    ] {
        assert_eq!(metrics.series(series), Some(expected), "{series} in {}", metrics.body);
    }
    for series in [
        "tentacle_server_start_timestamp_seconds",
        "tentacle_server_last_stored_timestamp_seconds",
        "tentacle_server_last_collected_timestamp_seconds",
        "tentacle_server_last_listed_timestamp_seconds",
        "tentacle_server_disk_free_bytes",
        "tentacle_server_disk_size_bytes",
        "tentacle_server_resident_memory_bytes",
        "tentacle_server_certificate_remaining_seconds",
    ] {
        assert!(metrics.series(series).is_some_and(|value| value > 0.0), "{series} in {}", metrics.body);
    }
    assert!(!metrics.body.contains("upstream"), "{}", metrics.body);

    let (address, _buffer) = serve("");
    let (told, ready) = (get(address, "/status.json").json(), get(address, "/readyz"));
    assert_eq!((&told["version"], &told["server"]["storage"]["waiting"]["files"]), (&1.into(), &0.into()), "{told}");
    assert_eq!((ready.status, ready.body.as_str()), (200, "ok\n"));
    assert_eq!(get(address, "/healthz").status, 200);
    let page = get(address, "/");
    assert!(page.status == 404 && page.body.contains("/metrics, /status.json"), "{page:?}");
}

#[test]
fn prometheus_finds_nothing_wrong_with_a_servers_metrics() {
    if !is_installed("promtool", "PROMTOOL_REQUIRED") {
        return;
    }
    assert_no_finding(&all_metrics());
    let behind = free_address();
    let options = Options::default().arg("-b").arg(behind.ip().to_string()).arg("-g").arg(behind.port().to_string());
    let (address, relay) = serve_with(options, "idle_timeout 10s\n");
    drop(Client::connect(relay.address()));
    let metrics = wait_until("a failure of the server behind", || {
        Some(get(address, "/metrics"))
            .filter(|metrics| metrics.series("tentacle_server_upstream_failures_total") > Some(0.0))
    });
    assert_no_finding(&metrics);
    assert_eq!(metrics.series("tentacle_server_problem{reason=\"upstream\"}"), Some(1.0), "{}", metrics.body);
    let ready = get(address, "/readyz");
    assert!(ready.status == 503 && ready.body.contains("127.0.0.1:"), "{ready:?}");
}

#[test]
fn a_server_that_takes_no_files_is_not_ready_and_says_why() {
    let (address, buffer) = serve("max_spool_files 1\n");
    buffer.connect().store("a.1700000000.data", "1");
    let full = wait_until("the quota", || Some(get(address, "/readyz")).filter(|answer| answer.status == 503));
    assert!(full.body.contains("100 % of max_spool_files 1"), "{full:?}");
    assert_eq!(get(address, "/healthz").status, 200);
}

#[test]
fn a_command_line_of_the_stock_program_serves_no_port() {
    let buffer = Buffer::start("");
    let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", buffer.id())).unwrap()
        + &fs::read_to_string(format!("/proc/{}/net/tcp6", buffer.id())).unwrap();
    let open = fs::read_dir(format!("/proc/{}/fd", buffer.id())).unwrap();
    let open: Vec<String> =
        open.filter_map(|fd| Some(fs::read_link(fd.ok()?.path()).ok()?.to_str()?.to_owned())).collect();
    let listening = sockets.lines().filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = fields.get(9).map(|inode| format!("socket:[{inode}]"));
        // LISTEN
        fields.get(3) == Some(&"0A") && inode.is_some_and(|inode| open.contains(&inode))
    });
    assert_eq!(listening.count(), 1, "{sockets}");
}

#[test]
fn who_asks_a_server_shows_a_token_or_a_certificate_where_that_is_configured() {
    let (certificates, secrets) = (Certificates::new(), scratch());
    let file = secrets.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    hand_over_to_server(secrets.path());
    let token = format!("http_token_file {}\n", file.to_string_lossy());
    let (address, buffer) = serve(&token);
    let listen = format!("http_listen {address}\n");
    for path in ["/metrics", "/status.json", "/readyz", "/nothing"] {
        assert_eq!(get(address, path).status, 401, "{path}");
    }
    assert_eq!(get(address, "/healthz").status, 200);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(exchange(&mut Client::connect(address), &request("/metrics", &bearer)).status, 200);

    // A reload takes no token away, and puts TLS and certificates before it.
    buffer.reload(&listen);
    buffer.wait_for_line(&["not reloaded", "no http_token_file any more"]);
    let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| certificates.path(name));
    let tls = format!(
        "http_cert {}\nhttp_key {}\nhttp_client_ca {}\n",
        cert.to_string_lossy(),
        key.to_string_lossy(),
        ca.to_string_lossy()
    );
    buffer.reload(&format!("{listen}{token}{tls}"));
    let ask = |with_certificate: bool| -> Option<Answer> {
        let mut client = Client::connect_tls(address, certificates.client_config(with_certificate)).ok()?;
        client.send(request("/metrics", &bearer));
        let (received, _) = client.receive(usize::MAX, TIMEOUT);
        (!received.is_empty()).then(|| Answer::read(&received))
    };
    assert_eq!(ask(true).unwrap().status, 200);
    assert!(ask(false).is_none());

    // What cannot be used leaves it as it was, and agents are served all the same.
    fs::write(certificates.path("server.pem"), "none\n").unwrap();
    buffer.reload(&format!("{listen}{token}{tls}"));
    buffer.wait_for_line(&["reason=http", "as it was before a reload", "server.pem"]);
    assert_eq!(ask(true).unwrap().status, 200);
    buffer.connect().store("a.1700000000.data", "1");
}

#[test]
fn a_port_that_cannot_be_had_keeps_no_agent_waiting() {
    let address = free_address();
    let taken = TcpListener::bind(address).unwrap();
    let keys = format!("http_listen {address}\n");
    let buffer = Buffer::start(&keys);
    buffer.wait_for_line(&["reason=http", "not served", &format!("cannot listen on {address}")]);
    buffer.connect().store("a.1700000000.data", "1");
    drop(taken);
    buffer.reload(&keys);
    assert_eq!(get(address, "/healthz").status, 200);
    // It moves, and goes.
    let other = free_address();
    buffer.reload(&format!("http_listen {other}\n"));
    assert_eq!(get(other, "/healthz").status, 200);
    assert!(TcpStream::connect(address).is_err());
    buffer.reload("verbose 2\n");
    assert!(TcpStream::connect(other).is_err());
    buffer.connect().store("b.1700000000.data", "1");
}

#[test]
fn a_server_stops_at_once_whoever_is_at_its_port() {
    let (address, mut buffer) = serve("");
    let mut idle = Client::connect(address);
    idle.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!idle.receive(1, TIMEOUT).0.is_empty());
    let silent = TcpStream::connect(address).unwrap();
    buffer.process().signal(rustix::process::Signal::TERM);
    assert_eq!(buffer.process().wait(), Some(0));
    let log = buffer.log();
    assert!(log.contains("stopping: 0 connections open"), "{log}");
    drop(silent);
}

#[test]
fn check_tells_where_it_would_be_served_and_what_is_wrong() {
    let directory = scratch();
    let file = directory.path().join("c.conf");
    let check = |keys: &str| {
        fs::write(&file, format!("directory {}\n{keys}", directory.path().to_string_lossy())).unwrap();
        let mut command = std::process::Command::new(SERVER);
        let output = command.arg("-F").arg(&file).args(["--allow-root", "--check"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text.into_owned())
    };
    let (code, text) = check("http_listen 127.0.0.1:41123\nhttp_hosts a.example\n");
    assert!(code == Some(0) && text.contains("http_listen 127.0.0.1:41123\nhttp_hosts a.example"), "{text}");
    let (code, text) = check("http_listen 0.0.0.0:41123\n");
    assert!(code == Some(2) && text.contains("can be reached from elsewhere"), "{text}");
    let (code, text) = check("http_listen 127.0.0.1:41123\nhttp_cert /missing.pem\n");
    assert!(code == Some(2) && text.contains("status port (http_cert)") && text.contains("/missing.pem"), "{text}");
}

#[test]
fn programs_are_told_the_same_on_the_port_and_on_the_control_socket() {
    let runtime = scratch();
    hand_over_to_server(runtime.path());
    let socket = runtime.path().join("control.sock");
    let (address, _buffer) = serve(&format!("control_socket {}\n", socket.to_string_lossy()));
    let told = get(address, "/status.json").json();
    let asked = crate::control::ask(&socket, b"{\"version\":1,\"command\":{\"status\":{}}}\n");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let mut expected = keys(&asked[0]);
    assert!(expected.remove("version") && expected.remove("type"), "{asked:?}");
    assert_eq!(keys(&told["server"]), expected);
}
