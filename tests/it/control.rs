//! The control socket of a daemon that runs, and the commands on it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tentacle_sync::testing::fake_server::{Fault, Setup, Verb, WrongSize};

use crate::daemon::{Daemon, Outcome, Sandbox, wait_until};
use crate::server_process::free_address;
use crate::site::{Access, Kind, Site, site_config};
use crate::support::{Certificates, TIMEOUT};

/// What each of these asks for a round now and then.
pub(crate) const OFTEN: &str = "interval = 1";

pub(crate) fn socket(sandbox: &Sandbox) -> PathBuf {
    sandbox.state().join("control.sock")
}

/// The daemon, once it can be asked.
pub(crate) fn start(sandbox: &Sandbox) -> Daemon {
    let daemon = sandbox.start();
    wait_until("the control socket", || UnixStream::connect(socket(sandbox)).ok());
    daemon
}

fn status(sandbox: &Sandbox, arguments: &[&str]) -> (Outcome, Value) {
    let outcome = sandbox.run("status", &[&["--json"], arguments].concat());
    let json = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    (outcome, json)
}

/// One site of a status.
fn site<'a>(status: &'a Value, name: &str) -> &'a Value {
    let found = status["sites"].as_array().unwrap().iter().find(|site| site["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {status}"))
}

/// Waits until a site is as `wanted`.
pub(crate) fn wait_for_site(sandbox: &Sandbox, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_until(name, || Some(site(&status(sandbox, &[]).1, name).clone()).filter(&wanted))
}

pub(crate) fn ask(path: &Path, request: &[u8]) -> Vec<Value> {
    let mut client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    // The daemon may have read enough of it.
    drop(client.write_all(request));
    let lines = BufReader::new(client).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// A thousand clients that cost without being of use: some send this request and do not read, some say nothing, some never end
/// their line, and some send garbage. `meanwhile` is done after each hundred. All that are turned away see that.
pub(crate) fn crowd(path: &Path, request: &[u8], mut meanwhile: impl FnMut(usize)) {
    let mut clients: Vec<UnixStream> = Vec::new();
    for number in 0..1000 {
        let mut client = UnixStream::connect(path).unwrap();
        let sent = match number % 4 {
            0 => client.write_all(request),
            1 => Ok(()),
            2 => client.write_all(b"{\"version\":1"),
            _ => client.write_all(&[0xff; 1000]),
        };
        // It may have made room for others by now.
        drop(sent);
        clients.push(client);
        if number % 100 == 99 {
            meanwhile(number);
        }
    }
    let closed = clients.iter_mut().filter_map(|client| {
        client.set_nonblocking(true).unwrap();
        let mut block = vec![0; 1 << 20];
        while client.read(&mut block).ok()? > 0 {}
        Some(())
    });
    assert!(closed.count() >= 1000 - 16 - 1);
}

#[test]
fn status_tells_which_site_fails_and_why_and_what_waits_where() {
    let (ours, stock) = (Site::ours("ours", 7), Site::fake("stock", 12, Setup::default()));
    stock.peer().put("late.1700000000.data", b"old").unwrap();
    stock.peer().set_mischief(vec![Fault::WrongSize(WrongSize::Literally("12abc")).at(Verb::Recv)]);
    let dead = free_address();
    let sandbox =
        Sandbox::with_sites([ours.config(OFTEN), stock.config(OFTEN), site_config("de\"ad one", dead, OFTEN)]);
    let _daemon = start(&sandbox);
    wait_for_site(&sandbox, "ours", |site| site["collected"]["files"] == 7 && site["last_success_seconds"].is_u64());
    wait_for_site(&sandbox, "stock", |site| site["is_failing"] == true);
    wait_for_site(&sandbox, "de\"ad one", |site| site["is_failing"] == true);

    let (outcome, json) = status(&sandbox, &[]);
    outcome.assert_code(1);
    assert!(!outcome.stdout.contains('\u{1b}') && outcome.stdout.lines().count() == 1, "{outcome}");
    assert_eq!(
        (&json["version"], &json["daemon"]["sites"], &json["daemon"]["failing"]),
        (&1.into(), &3.into(), &2.into())
    );
    let daemon = &json["daemon"];
    assert_eq!(daemon["program_version"], env!("CARGO_PKG_VERSION"));
    assert!(daemon["memory_bytes"].as_u64() > Some(1 << 20) && daemon["journal_bytes"].as_u64() > Some(0), "{daemon}");
    assert!(daemon["disks"][0]["free_bytes"].as_u64() <= daemon["disks"][0]["total_bytes"].as_u64(), "{daemon}");
    assert!(daemon["commits"]["files"].as_u64() >= Some(7), "{daemon}");
    let found = site(&json, "ours");
    assert_eq!(
        (&found["is_failing"], &found["problem"], &found["waiting"]["files"]),
        (&false.into(), &Value::Null, &0.into())
    );
    let found = site(&json, "stock");
    assert_eq!(found["waiting"]["files"], 13);
    assert!(found["waiting"]["oldest_seconds"].as_u64() > Some(60_000_000), "{found}");
    assert!(found["problem"]["message"].as_str().unwrap().contains("expected a reply to RECV"), "{found}");
    let found = site(&json, "de\"ad one");
    assert_eq!((&found["problem"]["reason"], &found["last_success_seconds"]), (&"connect".into(), &Value::Null));
    assert!(found["problem"]["failures"].as_u64() > Some(0) && found["waiting"].is_null(), "{found}");

    let outcome = sandbox.run("status", &[]);
    outcome.assert_code(1).assert_says(&["3 sites, 2 fail"]);
    outcome.assert_says(&["! \"de\\\"ad one\"", "never"]).assert_says(&["! stock", "~"]).assert_says(&["  ours", "7"]);
    outcome.assert_says(&["connection refused;"]);
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80), "{outcome}");
    let row = |name: &str| outcome.stdout.lines().position(|line| line.contains(name)).unwrap();
    assert!(row("ad one") < row("ours") && row("! stock") < row("ours"), "the worst first: {outcome}");
    sandbox.run("status", &["ours"]).assert_code(0);
    sandbox.run("status", &["our"]).assert_code(2).assert_logs(&["named our;", "ours, stock"]);
}

#[test]
fn a_site_that_is_named_is_told_of_in_full() {
    let certificates = Certificates::new();
    let mut ours = Site::behind(Access::TlsWithClientCertificate, Kind::Ours, 12, &certificates).unwrap();
    let stock = Site::fake("stock", 2, Setup::default());
    stock.peer().put("large.1700000001.data", &vec![b'x'; 200_000]).unwrap();
    let sandbox = Sandbox::new();
    let lines = Access::TlsWithClientCertificate.lines(&certificates) + "\nextension = true\n" + OFTEN;
    sandbox.configure("", [ours.config(&lines), stock.config(&format!("max_file_size = 100000\n{OFTEN}"))]);
    let _daemon = start(&sandbox);
    let found = wait_for_site(&sandbox, "stock", |site| site["not_taken"][0]["name"] == "large.1700000001.data");
    let reason = found["not_taken"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("max_file_size is 100000"), "{reason}");
    assert!(found["encryption"] == "none", "{found}");
    sandbox.run("status", &[]).assert_says(&["files are left at stock, and not taken", "skipped ls"]);
    let outcome = sandbox.run("status", &["site", "stock"]);
    outcome.assert_says(&["not taken", "large.1700000001.data: it has 200000 bytes"]);
    // It is there no more.
    stock.remove(Path::new("large.1700000001.data"));
    wait_for_site(&sandbox, "stock", |site| site["not_taken"].as_array().is_some_and(Vec::is_empty));
    wait_for_site(&sandbox, "site", |site| site["collected"]["files"] == 12);

    // From now on nothing can be stored, and files wait.
    fs::remove_dir_all(sandbox.incoming().join(".tentacle-sync")).unwrap();
    ours.add("late.1700000000.data", vec![b'x'; 3000]);
    let found = wait_for_site(&sandbox, "site", |site| site["waiting"]["files"] == 1);
    let listed = &found["waiting"];
    assert!(listed["bytes"] == 3000 && listed["age_source"] == "written", "{found}");
    assert!(listed["ages"][0]["files"] == 1 && listed["ages_unknown"] == 0, "{found}");
    assert!(listed["oldest_seconds"].as_u64() < Some(1000), "since it is there: {found}");
    assert_eq!((&found["protocol"], &found["encryption"]), (&"extension".into(), &"TLS 1.3".into()));
    assert!(found["site_certificate_days"].as_i64() > Some(0), "{found}");
    assert!(found["own_certificate_days"].as_i64() > Some(0), "{found}");
    assert!(found["rates"][0]["files_per_hour"].as_u64() > Some(0), "{found}");
    assert!(found["drain_seconds"].as_u64() > Some(0), "{found}");
    let outcome = sandbox.run("status", &["site", "stock"]);
    outcome.assert_says(&["certificates", "ours has"]).assert_says(&["ages", "up to 60s: 1 (by the site's clock)"]);
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80), "{outcome}");
}

#[test]
fn a_daemon_that_is_not_running_is_told_from_one_that_is() {
    let site = Site::fake("site", 1, Setup::default());
    let sandbox = Sandbox::with_sites([site.config(OFTEN)]);
    for command in ["status", "reload"] {
        sandbox.run(command, &[]).assert_code(3).assert_logs(&["not running", "state/control.sock"]);
    }
    let daemon = start(&sandbox);
    let mode = fs::symlink_metadata(socket(&sandbox)).unwrap();
    assert!(mode.file_type().is_socket() && mode.permissions().mode() & 0o777 == 0o660, "{mode:?}");
    // Whatever becomes of its configuration.
    sandbox.write("tentacle-syncd.toml", "[[");
    wait_until("an answer", || (sandbox.run("status", &["--state-dir", "state"]).code() == Some(0)).then_some(()));
    let path = socket(&sandbox).to_string_lossy().into_owned();
    let outcome = sandbox.launch(["status", "--control-socket", &path].map(AsRef::as_ref)).wait();
    outcome.assert_code(0).assert_says(&["site"]);
    daemon.stop().assert_code(0);
    assert!(!socket(&sandbox).exists());
    // What it has left is known all the same.
    let outcome = sandbox
        .launch(["status", "--state-dir"].map(AsRef::as_ref).into_iter().chain([sandbox.state().as_os_str()]))
        .wait();
    outcome.assert_code(3).assert_says(&["not running"]).assert_logs(&["not running"]);
}

#[test]
fn what_a_daemon_that_was_killed_has_left_is_told_without_one() {
    // It fetches, and cannot delete.
    let site = Site::fake("site", 3, Setup::default());
    site.peer().set_mischief(vec![Fault::WrongSize(WrongSize::Literally("12abc")).at(Verb::Mv)]);
    let sandbox = Sandbox::with_sites([site.config(OFTEN)]);
    let mut daemon = start(&sandbox);
    wait_until("the files", || (sandbox.spool().len() == 3).then_some(()));
    daemon.kill();
    let (outcome, json) = status(&sandbox, &[]);
    outcome.assert_code(3);
    assert!(json["daemon"].is_null() && json["version"] == 1, "{json}");
    assert_eq!(json["sites"][0]["name"], "site");
    assert_eq!(json["sites"][0]["held"]["files"], 3, "{json}");
    let outcome = sandbox.run("status", &[]);
    outcome.assert_code(3).assert_says(&["site", "3"]).assert_says(&["STILL THERE"]);
}

#[test]
fn the_socket_is_where_the_configuration_and_the_surroundings_say() {
    let site = Site::fake("site", 1, Setup::default());
    let sandbox = Sandbox::new();
    let (named, runtime) = (sandbox.path("named.sock"), sandbox.path("runtime"));
    sandbox.configure(&format!("control_socket = {named:?}\ncontrol_mode = \"0600\"\n"), [site.config(OFTEN)]);
    let daemon = sandbox.start();
    wait_until("the control socket", || UnixStream::connect(&named).ok());
    assert_eq!(fs::symlink_metadata(&named).unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.run("status", &[]).assert_code(0);
    daemon.stop();

    fs::create_dir(&runtime).unwrap();
    sandbox.configure("", [site.config(OFTEN)]);
    let config = sandbox.config();
    let launch = |command: &str| {
        let arguments = [command.as_ref(), "--config".as_ref(), config.as_os_str()];
        let allowed = (command == "run").then_some("--allow-root".as_ref());
        sandbox.launch_as(
            env!("CARGO_BIN_EXE_tentacle-syncd").as_ref(),
            arguments.into_iter().chain(allowed),
            |command| {
                command.env("RUNTIME_DIRECTORY", &runtime);
            },
        )
    };
    let _daemon = launch("run");
    wait_until("the control socket", || UnixStream::connect(runtime.join("control.sock")).ok());
    launch("status").wait().assert_code(0);
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let site = Site::fake("site", 1, Setup::default());
    let sandbox = Sandbox::with_sites([site.config(OFTEN)]);
    let mut daemon = start(&sandbox);
    daemon.kill();
    assert!(socket(&sandbox).exists());
    let daemon = sandbox.start();
    wait_until("the new daemon's socket", || UnixStream::connect(socket(&sandbox)).ok());

    // Another one on the same state directory does not come so far.
    sandbox.start().wait().assert_code(3);
    // One with its own collects, and says why it cannot be asked.
    let (other, path) = (Sandbox::new(), socket(&sandbox));
    let further = Site::fake("further", 3, Setup::default());
    other.configure(&format!("control_socket = {path:?}\n"), [further.config(OFTEN)]);
    let second = other.start();
    second.wait_for_line(&["[WARN]", "reason=control", "another process serves the control socket"]);
    wait_until("its files", || (other.names().len() > 3).then_some(()));
    second.stop().assert_code(0);
    let (_, json) = status(&sandbox, &[]);
    assert_eq!(json["daemon"]["pid"], daemon.id());
    daemon.stop();
}

#[test]
fn a_reload_is_answered_with_what_came_of_it() {
    let (first, second) = (Site::fake("first", 1, Setup::default()), Site::fake("second", 1, Setup::default()));
    let sandbox = Sandbox::with_sites([first.config(OFTEN)]);
    let daemon = start(&sandbox);
    sandbox.configure("shutdown_timeout = 5", [first.config("interval = 2"), second.config(OFTEN)]);
    let outcome = sandbox.run("reload", &[]);
    outcome.assert_code(0).assert_says(&["reloaded: 2 sites: 1 added, 1 changed, 0 removed"]);
    outcome.assert_says(&["+ second"]).assert_says(&["change with a restart: shutdown_timeout"]);
    daemon.wait_for_line(&["reloaded", "2 sites: 1 added (second)"]);

    sandbox.configure("", [first.config("interval = 2"), second.config("tls = { ca = \"/missing.pem\" }")]);
    let outcome = sandbox.run("reload", &[]);
    outcome.assert_code(1).assert_says(&["1 cannot be used"]).assert_says(&["site second", "/missing.pem"]);

    let path = sandbox.write("tentacle-syncd.toml", "[[site]]\nname = \"x\"\naddres = \"1.2.3.4\"\n");
    let outcome = sandbox.run("reload", &["--control-socket", &socket(&sandbox).to_string_lossy()]);
    assert_eq!(outcome.code(), Some(2), "one sandbox at a time: {outcome}");
    let asked = socket(&sandbox).to_string_lossy().into_owned();
    let outcome = sandbox.launch(["reload", "--control-socket", &asked].map(AsRef::as_ref)).wait();
    outcome
        .assert_code(1)
        .assert_logs(&["nothing is changed"])
        .assert_logs(&[&format!("{}:3", path.to_string_lossy()), "address"]);
    let answers = ask(&socket(&sandbox), b"{\"version\":1,\"command\":{\"status\":{}}}\n");
    assert_eq!(answers.iter().filter(|line| line["type"] == "site").count(), 2, "the last good one stays");
}

#[test]
fn a_site_is_paused_resumed_and_collected_from_at_once() {
    let (site, other) = (Site::fake("site", 2, Setup::default()), Site::fake("other", 2, Setup::default()));
    let sandbox = Sandbox::with_sites([site.config(OFTEN), other.config("interval = \"1h\"")]);
    let _daemon = start(&sandbox);
    wait_until("the files", || (sandbox.spool().len() == 4).then_some(()));
    sandbox.run("pause", &["site"]).assert_code(0).assert_says(&["site is paused: no round"]);
    wait_for_site(&sandbox, "site", |site| site["state"] == "paused" && site["connections"] == 0);
    site.peer().put("paused.1700000000.data", b"later").unwrap();
    sandbox.run("sync-now", &["site"]).assert_code(0).assert_says(&["site is paused"]);
    // A reload changes nothing about it.
    sandbox.configure("", [site.config("interval = 2"), other.config("interval = \"1h\"")]);
    sandbox.run("reload", &[]).assert_code(0);
    let (_, json) = status(&sandbox, &["site"]);
    assert_eq!(json["sites"][0]["state"], "paused");

    // What comes to the other one waits for an hour, but for this.
    let before = site.peer().tally().accepted;
    other.peer().put("new.1700000000.data", b"new").unwrap();
    wait_for_site(&sandbox, "other", |site| site["state"] == "waiting");
    sandbox.run("sync-now", &["other"]).assert_code(0).assert_says(&["other has its next round now"]);
    wait_until("the new file", || sandbox.names().contains(&"new.1700000000.data".to_owned()).then_some(()));
    assert_eq!(site.peer().tally().accepted, before, "nobody goes to a paused site");
    assert!(!sandbox.names().contains(&"paused.1700000000.data".to_owned()));
    sandbox.run("resume", &["site"]).assert_code(0).assert_says(&["site is collected from again"]);
    wait_until("what waited", || sandbox.names().contains(&"paused.1700000000.data".to_owned()).then_some(()));
    sandbox.run("pause", &["site", "nobody"]).assert_code(2).assert_logs(&["nobody"]);
    let (_, json) = status(&sandbox, &["site"]);
    assert_ne!(json["sites"][0]["state"], "paused", "all of those named, or none");
}

#[test]
fn clients_that_say_or_read_nothing_keep_neither_rounds_nor_other_clients_waiting() {
    let site = Site::fake("site", 3, Setup::default());
    let dead = free_address();
    let many = (0..600).map(|number| site_config(&format!("dead-{number:0>100}"), dead, "interval = \"1h\""));
    let sandbox = Sandbox::with_sites(many.chain([site.config(OFTEN)]));
    let _daemon = start(&sandbox);
    let (path, request) = (socket(&sandbox), b"{\"version\":1,\"command\":{\"status\":{}}}\n");
    // Far more than a socket's buffers hold.
    let whole: Vec<Value> = ask(&path, request);
    assert_eq!(whole.iter().filter(|line| line["type"] == "site").count(), 601);
    assert_eq!(whole.last().unwrap()["type"], "end");

    crowd(&path, request, |number| {
        let name = format!("during.{}.data", 1_700_000_000 + number);
        site.peer().put(&name, b"collected all the same").unwrap();
        wait_until("a round", || sandbox.names().contains(&name).then_some(()));
        let answers = ask(&path, request);
        assert_eq!(answers.last().unwrap()["type"], "end", "with {number} others");
    });
}

#[test]
fn what_is_no_request_is_answered_with_what_was_expected() {
    let site = Site::fake("site", 1, Setup::default());
    let sandbox = Sandbox::with_sites([site.config(OFTEN)]);
    let _daemon = start(&sandbox);
    let long = [vec![b'x'; 100_000], vec![b'\n']].concat();
    for (request, word) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "expected one line such as"),
        (b"\n", "expected one line such as"),
        (b"{\"version\":7,\"command\":{\"status\":{}}}\n", "version 7"),
        (b"{\"version\":1,\"command\":{\"destroy\":{}}}\n", "expected one of `status`"),
        (&long, "65536"),
    ] {
        let answers = ask(&socket(&sandbox), request);
        assert_eq!(
            (answers.len(), &answers[0]["type"], &answers[0]["reason"]),
            (1, &"error".into(), &"request".into())
        );
        assert!(answers[0]["problems"].to_string().contains(word), "{answers:?}");
    }
    // A request that lacks its end alone, as a program without care writes it.
    let mut client = UnixStream::connect(socket(&sandbox)).unwrap();
    client.write_all(b"{\"version\":1,\"command\":{\"status\":{}}}").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let lines = BufReader::new(client).lines().count();
    assert_eq!(lines, 3);
}
