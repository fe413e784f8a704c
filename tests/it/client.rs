//! `tentacle_client` with servers: ours, the stock one where there is one, and some that misbehave.

use std::fs::{self, Permissions};
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tentacle_sync::testing::fake_server::{FakeServer, Setup, Verb, WritePattern};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::client_process::{Outcome, ScriptReply, ScriptStep, Scripted, WorkDir, at};
use crate::server_process::{Options, ServerProcess, stored_in};
use crate::stock::start_stock;
use crate::support::{Certificates, LOOPBACK, Proxy, scratch};

/// A way to a server: its options, and the client's.
struct Mode {
    server: Options,
    client: Vec<String>,
}

/// Plain, with a password, and TLS in its three ways.
fn modes(certificates: &Certificates) -> Vec<Mode> {
    let file = |name: &str| certificates.path(name).to_str().unwrap().to_owned();
    let plain = || Options::usual();
    let mode = |server, client: &[&str]| Mode { server, client: client.iter().map(|&arg| arg.to_owned()).collect() };
    let (cert, key, ca) = (&file("client.pem"), &file("client.key"), &file("ca.pem"));
    vec![
        mode(plain(), &[]),
        mode(plain().password("s3cret"), &["-x", "s3cret"]),
        mode(plain().tls(certificates), &["-c"]),
        mode(plain().tls(certificates).client_certificate(certificates), &["-e", cert, "-k", key]),
        mode(plain().tls(certificates).client_certificate(certificates), &["-e", cert, "-k", key, "-f", ca]),
        // A stock server without -f refuses the certificate.
        mode(plain().tls(certificates), &["-e", cert, "-k", key, "-f", ca]),
        mode(plain().tls(certificates).password("s3cret"), &["-c", "-f", ca, "-x", "s3cret"]),
    ]
}

/// Text that can be compressed, and bytes that cannot.
fn contents() -> [(&'static str, Vec<u8>); 3] {
    let mut random = fastrand::Rng::with_seed(4);
    [
        ("web01.1700000000.data", b"<agent_data agent_name=\"web01\">\n</agent_data>\n".to_vec()),
        ("with a space.data", (0..200_000).flat_map(|number: u32| format!("{number}\n").into_bytes()).collect()),
        ("noise.data", (0..1_000_000).map(|_| random.u8(..)).collect()),
    ]
}

#[track_caller]
fn assert_sends_and_gets(server: &ServerProcess, client: &[String]) {
    let contents = contents();
    let names = contents.each_ref().map(|(name, _)| (*name).to_owned());
    for zip in [&[][..], &["-z".to_owned()]] {
        let work_dir = WorkDir::new();
        for (name, bytes) in &contents {
            work_dir.write(name, bytes);
        }
        work_dir.run_at(server.address(), [client, zip, &names].concat()).assert_done();
        let stored = stored_in(server.storage());
        assert_eq!(stored.len(), 3, "{:?}", stored.keys());
        for (name, bytes) in &contents {
            assert!(stored[std::path::Path::new(name)] == *bytes, "{name} differs");
        }
        let work_dir = WorkDir::new();
        work_dir.run_at(server.address(), [client, zip, &["-g".to_owned()], &names].concat()).assert_done();
        assert!(work_dir.files() == stored, "what comes back is what was sent");
    }
}

#[test]
fn files_go_there_and_back_through_every_door_of_ours() {
    let certificates = Certificates::new();
    for mode in modes(&certificates) {
        let storage = scratch();
        assert_sends_and_gets(&ServerProcess::ours(&mode.server, storage.path()), &mode.client);
    }
}

#[test]
fn files_go_there_and_back_through_every_door_of_stocks() {
    let certificates = Certificates::new();
    for mode in modes(&certificates) {
        let storage = scratch();
        let Some(server) = start_stock(&mode.server, storage.path()) else { return };
        assert_sends_and_gets(&server, &mode.client);
    }
}

#[test]
fn a_proxy_leads_to_the_server() {
    let (storage, proxy) = (scratch(), Proxy::start("user", "p@ss:word"));
    let server = ServerProcess::ours(&Options::usual(), storage.path());
    let work_dir = WorkDir::with(&[("a.data", b"abc"), ("b.data", b"def")]);
    let through = |credentials: &str| format!("{credentials}{}", proxy.address());
    work_dir.run_at(server.address(), ["-y", &through("user:p@ss:word@"), "a.data", "b.data"]).assert_done();
    assert_eq!(stored_in(storage.path()), work_dir.files());
    assert_eq!((proxy.tunnels(), proxy.asked_for(server.address())), (1, true));
    let refused = work_dir.run_at(server.address(), ["-v", "-y", &through("user:wrong@"), "a.data"]);
    refused.assert_fails("CONNECT error: HTTP/1.1 407 Proxy Authentication Required");
    assert!(refused.stdout.contains("[log] Is this the proxy's user and password (-y)?"), "{refused}");
    let dead_end = SocketAddr::new(LOOPBACK, 1);
    work_dir
        .run_at(dead_end, ["-y", &through("user:p@ss:word@"), "a.data"])
        .assert_fails("CONNECT error: HTTP/1.1 502 Bad Gateway");
}

#[test]
fn a_directory_stands_for_its_files_and_all_go_over_one_connection() {
    let fake = FakeServer::start(Setup { write: WritePattern::Whole, ..Setup::default() }).unwrap();
    let work_dir = WorkDir::with(&[
        ("out/b.data", b"b"),
        ("out/a.data", b"a"),
        ("out/.hidden", b"h"),
        ("out/deeper/c.data", b"c"),
        ("z.data", b"z"),
    ]);
    work_dir.run_at(fake.address(), ["z.data", "out"]).assert_done();
    let names: Vec<_> = fake.files().unwrap().into_keys().collect();
    assert_eq!(names, ["a.data", "b.data", "z.data"].map(std::path::PathBuf::from));
    let tally = fake.tally();
    assert_eq!((tally.accepted, tally.count(Verb::Send)), (1, 3));
    let empty = WorkDir::new();
    fs::create_dir(empty.path("out")).unwrap();
    empty.run_at(fake.address(), ["out"]).assert_done();
}

#[test]
fn nothing_is_sent_where_a_file_is_missing() {
    let server = Scripted::sending(&[]);
    let work_dir = WorkDir::with(&[("a.data", b"abc")]);
    work_dir.run_at(server.address(), ["a.data", "gone.data"]).assert_fails("File 'gone.data' does not exist.");
    assert_eq!(server.received().pieces, [b""]);
}

/// Runs a get of `a.data`, where there is an old one, that has to fail.
#[track_caller]
fn assert_get_fails(args: &[&str], lines: &[&[u8]], says: &str) -> Outcome {
    let server = Scripted::sending(lines);
    let work_dir = WorkDir::with(&[("a.data", b"the old one")]);
    let outcome = work_dir.run_at(server.address(), [args, &["-g", "a.data"]].concat());
    outcome.assert_fails(says);
    assert_eq!(work_dir.files().into_iter().collect::<Vec<_>>(), [("a.data".into(), b"the old one".to_vec())]);
    outcome
}

#[test]
fn a_get_that_fails_leaves_the_old_file_and_nothing_else() {
    let closed = "Connection from 127.0.0.1 unexpectedly closed.";
    assert_get_fails(&[], &[b"RECV SIZE 10\n", b"half"], closed);
    assert_get_fails(&[], &[b"RECV SIZE 10\n", b""], closed);
    assert_get_fails(&[], &[], closed);
    assert_get_fails(&["-z"], &[b"ZRECV SIZE 10\n", b"half"], closed);
    assert_get_fails(&[], &[b"RECV SIZE 99999999999999999999\n"], "Server responded RECV SIZE 99999999999999999999.");
    assert_get_fails(&[], &[b"SEND OK\n"], "Server responded SEND OK.");
    let not_an_archive = "Uncompress error: not a sound ZIP archive: it is too short";
    assert_get_fails(&["-z"], &[b"ZRECV SIZE 4\n", b"body"], not_an_archive);
}

#[test]
fn an_archive_that_unfolds_out_of_proportion_is_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("a.data", SimpleFileOptions::default()).unwrap();
    writer.write_all(&vec![0; 50_000_000]).unwrap();
    let archive = writer.finish().unwrap().into_inner();
    let announced = format!("ZRECV SIZE {}\n", archive.len());
    let says =
        format!("Uncompress error: {} bytes that unpack to 50000000: more than the 200 times allowed", archive.len());
    assert_get_fails(&["-z"], &[announced.as_bytes(), &archive], &says);
}

#[test]
fn a_get_that_is_interrupted_leaves_the_old_file_and_nothing_else() {
    let step = |says: &[u8]| ScriptStep { awaits: None, says: ScriptReply::Bytes(says.to_vec()) };
    let server = Scripted::start(vec![step(b"RECV SIZE 10\n"), step(b"half")]);
    let work_dir = WorkDir::with(&[("a.data", b"the old one")]);
    let process = work_dir.start(at(server.address(), ["-t", "60", "-g", "a.data"]));
    while work_dir.files().len() < 2 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_raw(process.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    Outcome::of(process).assert_fails("Interrupted.");
    assert_eq!(work_dir.files().into_values().collect::<Vec<_>>(), [b"the old one"]);
}

#[test]
fn a_get_keeps_rights_and_links_of_what_it_replaces() {
    let fake = FakeServer::start(Setup { write: WritePattern::Whole, ..Setup::default() }).unwrap();
    fake.put("a.data", b"new").unwrap();
    fake.put("link.data", b"newer").unwrap();
    let work_dir = WorkDir::with(&[("a.data", b"old"), ("elsewhere/real", b"old")]);
    fs::set_permissions(work_dir.path("a.data"), Permissions::from_mode(0o640)).unwrap();
    symlink("elsewhere/real", work_dir.path("link.data")).unwrap();
    work_dir.run_at(fake.address(), ["-g", "a.data", "link.data"]).assert_done();
    assert_eq!(fs::metadata(work_dir.path("a.data")).unwrap().permissions().mode() & 0o7777, 0o640);
    assert!(work_dir.path("link.data").is_symlink());
    assert_eq!((work_dir.read("a.data"), work_dir.read("elsewhere/real")), (b"new".to_vec(), b"newer".to_vec()));
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let work_dir = WorkDir::new();
    fs::create_dir(work_dir.path("a.data")).unwrap();
    for (name, why) in [("a.data", "is a directory"), ("no/b.data", "No such file or directory")] {
        let server = Scripted::sending(&[b"RECV SIZE 1\n"]);
        let says = format!("Cannot open file '{name}' for writing: {why}.");
        work_dir.run_at(server.address(), ["-g", name]).assert_fails(&says);
    }
}

/// A server's storage with an empty file between others.
fn with_an_empty_file() -> TempDir {
    let storage = scratch();
    for (name, bytes) in [("a.data", &b"a"[..]), ("empty.data", b""), ("z.data", b"z")] {
        fs::write(storage.path().join(name), bytes).unwrap();
    }
    storage
}

#[track_caller]
fn assert_gets_no_empty_file(server: &ServerProcess, options: &[&str]) {
    let work_dir = WorkDir::with(&[("empty.data", b"old")]);
    let arguments = [options, &["-g", "a.data", "empty.data", "z.data"]].concat();
    work_dir.run_at(server.address(), arguments).assert_fails("File 'empty.data' is empty at the server.");
    let expected = [("a.data", b"a".as_slice()), ("empty.data", b"old")];
    assert_eq!(work_dir.files(), expected.map(|(name, bytes)| (name.into(), bytes.to_vec())).into());
}

#[test]
fn an_empty_file_replaces_none() {
    for options in [&[][..], &["-z"]] {
        let storage = with_an_empty_file();
        assert_gets_no_empty_file(&ServerProcess::ours(&Options::usual(), storage.path()), options);
    }
    let storage = with_an_empty_file();
    if let Some(server) = start_stock(&Options::usual(), storage.path()) {
        assert_gets_no_empty_file(&server, &[]);
    }
}

#[test]
fn the_connection_goes_and_comes_from_where_it_is_told_to() {
    for local in ["127.0.0.5", "localhost"] {
        let server = Scripted::sending(&[b"SEND OK\n", b"SEND OK\n"]);
        let work_dir = WorkDir::with(&[("a.data", b"abc")]);
        work_dir.run_at(server.address(), ["-b", local, "a.data"]).assert_done();
        let from = server.received().from;
        assert_eq!(from, local.parse().unwrap_or(LOOPBACK));
    }
    let work_dir = WorkDir::with(&[("a.data", b"abc")]);
    work_dir
        .run(["-v", "-a", "no-such-host.invalid", "a.data"])
        .assert_fails_saying(&["[err] Cannot connect to no-such-host.invalid on port 41121: ", "that name (-a)"]);
    // TEST-NET-1 (RFC 5737).
    work_dir
        .run(["-p", "1", "-b", "192.0.2.1", "a.data"])
        .assert_fails("Cannot connect to 127.0.0.1 on port 1: Cannot assign requested address.");
}

/// Each way a run can end, and its exit code.
#[test]
fn the_exit_code_says_whether_all_was_done() {
    let storage = scratch();
    fs::write(storage.path().join("there.data"), "there").unwrap();
    let server = ServerProcess::ours(&Options::default().password("s3cret"), storage.path());
    let work_dir =
        WorkDir::with(&[("a.data", b"abc"), ("there.data", b"other"), ("empty.data", b""), ("bad+name", b"x")]);
    let closed = "Connection from 127.0.0.1 unexpectedly closed.";
    for (args, ends) in [
        (&["-x", "s3cret", "a.data"][..], Ok(())),
        (&["-x", "s3cret", "-g", "there.data"], Ok(())),
        (&["-x", "s3cret", "-g"], Ok(())),
        (&["-x", "s3cret", "a.data"], Err("Server responded SEND ERR (file already exists).")),
        (&["-x", "s3cret", "empty.data"], Err("Server responded SEND ERR (file is too big).")),
        (&["-x", "s3cret", "bad+name"], Err("Server responded SEND ERR (invalid file name).")),
        (&["-x", "s3cret", "-z", "a.data"], Err("Server responded ZSEND ERR (file already exists).")),
        (&["-x", "s3cret", "-g", "gone"], Err("Server responded RECV ERR (file does not exist).")),
        (&["-x", "s3cret", "-g", "a/b"], Err("Server responded RECV ERR (file has an invalid file name).")),
        (&["-x", "wrong", "a.data"], Err(closed)),
        (&["a.data"], Err(closed)),
        (&["-x", "s3cret", "gone.data"], Err("File 'gone.data' does not exist.")),
        (&["-c", "-x", "s3cret", "a.data"], Err("The server closed the connection during the TLS handshake.")),
        (&["-f", "ca.pem", "a.data"], Err("Flag -e must be set to enable peer certificate verify.")),
        (
            &["-y", "127.0.0.1:1", "a.data"],
            Err("Cannot connect to proxy server 127.0.0.1 on port 1: Connection refused."),
        ),
        (&["-a", "no-such-host.invalid", "-p", "70000", "a.data"], Err("Port 70000 is not valid.")),
        (&["-p", "1", "a.data"], Err("Cannot connect to 127.0.0.1 on port 1: Connection refused.")),
        (&[], Err("No files to send.")),
    ] {
        let outcome = work_dir.run_at(server.address(), args);
        match ends {
            Ok(()) => outcome.assert_done(),
            Err(says) => outcome.assert_fails(says),
        }
        let quiet = work_dir.run_at(server.address(), [&["-q"], args].concat());
        if ends.is_err() && !says_of_the_command_line(&outcome) {
            assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(1), ""), "{args:?}: {quiet}");
        }
    }
    assert_eq!(work_dir.run(["-h"]).code, Some(1));
    assert_eq!(work_dir.run(["--help"]).code, Some(0));
    assert_eq!(work_dir.run(["--version"]).code, Some(0));
    let unknown = work_dir.run(["-j"]);
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(1), "Unknown option: j\n"));
    assert!(unknown.stdout.starts_with("Usage: tentacle_client"), "{unknown}");
}

/// -q silences what concerns the files.
fn says_of_the_command_line(outcome: &Outcome) -> bool {
    ["Flag", "Port", "No files"].iter().any(|word| outcome.stderr.starts_with(&format!("[err] {word}")))
}

#[test]
fn what_may_help_is_said_with_v_and_never_where_scripts_read() {
    let server = || Scripted::sending(&[]);
    let work_dir = WorkDir::with(&[("a.data", b"abc")]);
    let closed = "Connection from 127.0.0.1 unexpectedly closed.";
    let silent = work_dir.run_at(server().address(), ["-x", "wrong", "a.data"]);
    silent.assert_fails(closed);
    assert_eq!(silent.stdout, "");
    let verbose = work_dir.run_at(server().address(), ["-v", "-x", "wrong", "a.data"]);
    verbose.assert_fails(closed);
    assert!(
        verbose.stdout.ends_with(
            "[log] The password is wrong (-x), or the server has none; it may also want TLS (-c, or -e and -k).\n"
        ),
        "{verbose}"
    );
    assert!(!verbose.to_string().contains("wrong-"), "{verbose}");
}

#[test]
fn a_silent_server_is_given_up_when_the_retries_are_over() {
    let step = ScriptStep { awaits: None, says: ScriptReply::Bytes(Vec::new()) };
    for args in [&["a.data"][..], &["-g", "b.data"], &["-x", "p", "a.data"]] {
        let server = Scripted::start(vec![step.clone()]);
        let work_dir = WorkDir::with(&[("a.data", b"abc")]);
        work_dir
            .run_at(server.address(), [&["-t", "1", "-r", "1"], args].concat())
            .assert_fails("Connection from 127.0.0.1 timed out.");
        assert_eq!(server.received().pieces.len(), 2);
    }
}

#[test]
fn the_longest_timeout_overflows_nothing() {
    let storage = scratch();
    let server = ServerProcess::ours(&Options::usual(), storage.path());
    let work_dir = WorkDir::with(&[("a.1.data", b"body")]);
    work_dir.run_at(server.address(), ["-t", "4294967295", "-r", "4294967295", "a.1.data"]).assert_done();
}

#[test]
fn more_than_was_announced_is_no_success() {
    let server = Scripted::sending(&[b"RECV SIZE 4\n", b"body and more"]);
    let work_dir = WorkDir::new();
    let outcome = work_dir.run_at(server.address(), ["-g", "a.1.data"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(work_dir.files().is_empty());
}

#[test]
fn a_server_that_drips_is_not_waited_for() {
    let listener = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let dripping = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"RECV SIZE 100\n").unwrap();
        // Until the client has had enough.
        while client.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    });
    let work_dir = WorkDir::new();
    let outcome = work_dir.run_at(address, ["-t", "1", "-r", "1", "-g", "a.1.data"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(work_dir.files().is_empty());
    dripping.join().unwrap();
}
