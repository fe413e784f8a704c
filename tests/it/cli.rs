//! The command line: each command's output, and its exit status.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::Duration;

use tentacle_sync::proto::Secret;
use tentacle_sync::testing::fake_server::{Fault, Identity, Setup, StockClients, Verb, WrongSize, stock_tls};

use crate::daemon::{Outcome, Sandbox};
use crate::site::{Access, Kind, Site};
use crate::support::{Certificates, LOOPBACK};

fn run(arguments: &[&str]) -> Outcome {
    Sandbox::new().launch(arguments.iter().map(OsStr::new)).wait()
}

#[test]
fn help_shows_examples_and_exit_statuses() {
    let outcome = run(&["--help"]);
    outcome.assert_code(0).assert_says(&["Examples:"]).assert_says(&["Exit status: 0"]);
    outcome.assert_says(&["tentacle-syncd run --config /etc/pandora/pandora_server.conf"]);
    for command in ["run", "once", "check", "probe", "import", "demo"] {
        outcome.assert_says(&["  ", command]);
        run(&[command, "--help"]).assert_code(0).assert_says(&["Usage: tentacle-syncd", command]);
    }
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    run(&[]).assert_code(2).assert_logs(&["Usage:"]);
    run(&["colect"]).assert_code(2).assert_logs(&["colect"]);
    run(&["once", "--config", "missing.toml"]).assert_code(2).assert_logs(&["missing.toml", "cannot read"]);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_file_and_line() {
    let (one, two) = (Site::fake("one", 1, Setup::default()), Site::fake("two", 1, Setup::default()));
    let sandbox = Sandbox::with_sites([one.config("intervall = 5")]);
    sandbox.once().assert_code(2).assert_logs(&["tentacle-syncd.toml:13", "intervall", "interval"]);
    let twice = two.config("").replace("\"two\"", "\"one\"");
    let sandbox = Sandbox::with_sites([one.config(""), twice]);
    for command in ["once", "run", "check"] {
        let outcome = sandbox.run(command, &[]);
        outcome.assert_code(2).assert_logs(&["tentacle-syncd.toml:15", "\"one\"", "line 9", "names are unique"]);
    }
    one.assert_untouched();
    two.assert_untouched();
}

#[test]
fn once_takes_the_sites_that_are_named() {
    let sites = ["plant", "ship", "bank"].map(|name| Site::fake(name, 5, Setup::default()));
    let sandbox = Sandbox::with_sites([sites[0].config(""), sites[1].config(""), sites[2].config("enabled = false")]);
    sandbox
        .run("once", &["plant", "bank"])
        .assert_code(0)
        .assert_says(&["plant: 5 files"])
        .assert_says(&["bank: 5 files"]);
    sites[0].assert_emptied();
    sites[1].assert_untouched();
    sites[2].assert_emptied();
    let outcome = sandbox.run("once", &["ship", "shop"]);
    outcome.assert_code(2).assert_logs(&["shop", "plant, ship, bank"]);
    sites[1].assert_untouched();
}

#[test]
fn once_exits_with_1_where_one_of_many_fails() {
    let good = Site::fake("good", 5, Setup::default());
    let bad = Site::fake("bad", 5, Setup { insecure: false, ..Setup::default() });
    let sandbox = Sandbox::with_sites([good.config(""), bad.config("")]);
    sandbox.once().assert_code(1).assert_says(&["good: 5 files"]).assert_says(&["bad: failed: "]);
    sandbox.run("once", &["good"]).assert_code(0);
}

/// A site whose TLS is set up by files of these names.
fn with_tls(certificates: &Certificates, [ca, cert, key]: [&str; 3]) -> Sandbox {
    let [ca, cert, key] = [ca, cert, key].map(|name| certificates.path(name));
    let site = "\n[[site]]\nname = \"plant\"\naddress = \"192.0.2.1\"\n";
    Sandbox::with_sites([format!("{site}tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}\n")])
}

fn write_identity(certificates: &Certificates, name: &str, identity: &Identity) {
    fs::write(certificates.path(&format!("{name}.pem")), &identity.certificate_pem).unwrap();
    fs::write(certificates.path(&format!("{name}.key")), &identity.key_pem).unwrap();
}

#[test]
fn check_looks_at_certificates_and_directories_and_connects_to_nothing() {
    let certificates = Certificates::new();
    let sandbox = with_tls(&certificates, ["ca.pem", "client.pem", "client.key"]);
    let pandora_conf =
        sandbox.write("pandora_server.conf", format!("incomingdir {}\n", sandbox.incoming().to_string_lossy()));
    let outcome = sandbox.run("check", &["--pandora-conf", pandora_conf.to_str().unwrap()]);
    outcome.assert_code(0).assert_says(&["ok", "1 site, 1 enabled"]).assert_says(&["0 problems"]);
    outcome.assert_says(&["ok", "ca.pem", "Test authority", "days left"]);
    outcome.assert_says(&["ok", "client.pem", "collector", "days left"]);
    outcome.assert_says(&["ok", "incoming directory"]).assert_says(&["ok", "state directory"]);
}

#[test]
fn check_finds_what_is_wrong_with_certificates_and_keys() {
    let certificates = Certificates::new();
    write_identity(&certificates, "expired", &certificates.authority.expired_server(LOOPBACK).unwrap());
    fs::write(certificates.path("empty.pem"), "").unwrap();
    fs::create_dir(certificates.path("directory.pem")).unwrap();
    for (files, says) in [
        (["ca.pem", "expired.pem", "expired.key"], &["expired.pem", "expired on 2000-01-01"][..]),
        (["missing.pem", "client.pem", "client.key"], &["missing.pem", "there is no such file"]),
        (["directory.pem", "client.pem", "client.key"], &["directory.pem", "it is a directory"]),
        (["empty.pem", "client.pem", "client.key"], &["empty.pem", "is empty"]),
        (["ca.pem", "client.key", "client.key"], &["client.key", "holds no certificate", "mixed up"]),
        (["ca.pem", "client.pem", "client.pem"], &["client.pem", "holds no private key", "mixed up"]),
        (["ca.pem", "client.pem", "server.key"], &["client.pem", "is for another key", "server.key"]),
        (["client.key", "client.pem", "client.key"], &["client.key", "holds no certificate"]),
        (["client.pem", "client.pem", "client.key"], &["client.pem", "vouches for nothing"]),
    ] {
        let sandbox = with_tls(&certificates, files);
        sandbox.run("check", &[]).assert_code(1).assert_says(&[&["PROBLEM"], says].concat());
        sandbox.run("check", &["--syntax-only"]).assert_code(0);
        if files[1] != "expired.pem" {
            sandbox.once().assert_code(3).assert_logs(&[&["tentacle-syncd: site plant: "], says].concat());
        }
    }
}

#[test]
fn check_finds_a_missing_incoming_directory() {
    let sandbox = with_tls(&Certificates::new(), ["ca.pem", "client.pem", "client.key"]);
    fs::remove_dir(sandbox.incoming()).unwrap();
    let outcome = sandbox.run("check", &[]);
    let incoming = sandbox.incoming();
    outcome.assert_code(1).assert_says(&["PROBLEM", incoming.to_str().unwrap(), "create it"]);
}

#[test]
fn check_says_what_the_data_server_makes_of_the_files() {
    let sandbox = Sandbox::new();
    let configure = |publish: &str| {
        sandbox.configure(publish, ["\n[[site]]\nname = \"plant\"\naddress = \"192.0.2.1\"\n"]);
    };
    configure("publish = \"paced\"");
    let incoming = sandbox.incoming();
    let check = |text: &str| {
        let conf = sandbox.write("pandora_server.conf", text);
        sandbox.run("check", &["--pandora-conf", conf.to_str().unwrap()])
    };
    let shipped =
        format!("dataserver_smart_queue 1\nmax_queue_files 5000\nincomingdir {}\n", incoming.to_string_lossy());
    let outcome = check(&shipped);
    outcome.assert_code(0).assert_says(&["ok", "the data server takes files from", "pandora_server.conf:3)"]);
    outcome.assert_says(&["ok", "one file waits at a time", "dataserver_smart_queue 1 and max_queue_files 5000"]);
    let outcome = check(&format!("{shipped}use_xml_timestamp 0\nsyncserver 1\nsync_address 192.0.2.1\n"));
    outcome.assert_code(0).assert_says(&["warning", "use_xml_timestamp 0 gives data the time of its file"]);
    outcome
        .assert_says(&["warning", "pandora_server.conf:5: syncserver is on"])
        .assert_says(&["0 problems, 3 warnings"]);
    let outcome = check("incomingdir /no/such/directory\n");
    outcome.assert_code(1).assert_says(&[
        "PROBLEM",
        incoming.to_str().unwrap(),
        "/no/such/directory",
        "pandora_server.conf:1",
    ]);
    configure("publish = \"at-once\"");
    check(&shipped).assert_code(0).assert_says(&["warning", "takes the newest waiting file of an agent first"]);
    check("[[site]]\n").assert_code(1).assert_says(&["PROBLEM", "is no pandora_server.conf"]);
    let missing = sandbox.run("check", &["--pandora-conf", "missing.conf"]);
    missing.assert_code(1).assert_says(&[
        "PROBLEM",
        "missing.conf",
        "no such file",
        "name another with --pandora-conf",
    ]);
}

#[test]
fn check_looks_for_the_data_server_in_the_configuration_itself() {
    let sandbox = Sandbox::new();
    let (incoming, state) = (sandbox.incoming(), sandbox.state());
    sandbox.write(
        "tentacle-syncd.toml",
        format!(
            "syncserver 0\nsync_address 192.0.2.1\ndataserver_smart_queue 0\nincomingdir {}\n",
            incoming.to_string_lossy()
        ),
    );
    let config = sandbox.path("pandora_server.conf");
    fs::rename(sandbox.config(), &config).unwrap();
    let check = |more: &[&str]| {
        let common = ["check", "--config", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
        sandbox.launch(common.iter().chain(more).map(OsStr::new)).wait()
    };
    check(&[]).assert_code(0).assert_says(&["ok", "takes files from", "pandora_server.conf:4)"]);
    let elsewhere = sandbox.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let outcome = check(&["--incoming-dir", elsewhere.to_str().unwrap()]);
    outcome.assert_code(1).assert_says(&[
        "PROBLEM",
        "files land in",
        elsewhere.to_str().unwrap(),
        incoming.to_str().unwrap(),
    ]);
}

#[test]
fn the_shipped_configurations_are_sound() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let is_one = |path: &Path| {
        let is_configuration = path.extension().is_some_and(|extension| extension == "toml" || extension == "conf");
        is_configuration && !path.ends_with("tentacle_server.conf")
    };
    let paths: Vec<_> = fs::read_dir(shipped).unwrap().map(|entry| entry.unwrap().path()).collect();
    let configs: Vec<_> = paths.iter().filter(|path| is_one(path)).collect();
    assert!(configs.len() >= 2, "{configs:?}");
    for config in configs {
        let outcome = run(&["check", "--syntax-only", "--state-dir", "state", "--config", config.to_str().unwrap()]);
        outcome.assert_code(0).assert_says(&["0 problems, 0 warnings"]);
    }
}

#[test]
fn probe_goes_through_all_steps_and_touches_nothing() {
    let certificates = Certificates::new();
    let password = Access::Password("s3cret");
    for (access, steps) in [
        (password, &["no TLS", "password accepted"][..]),
        (Access::Tls, &["TLS1", "the site's certificate: CN=127.0.0.1", "sha256"]),
        (Access::TlsWithClientCertificate, &["our certificate offered"]),
    ] {
        for kind in [Kind::FakeServer, Kind::Stock] {
            let Some(site) = Site::behind(access, kind, 7, &certificates) else { continue };
            let sandbox = Sandbox::with_sites([site.config(&access.lines(&certificates))]);
            let outcome = sandbox.run("probe", &["site"]);
            outcome.assert_code(0).assert_says(&["resolved"]).assert_says(&["connected to 127.0.0.1"]);
            for step in steps {
                outcome.assert_says(&[step]);
            }
            outcome.assert_says(&["7 to be collected"]).assert_says(&["nothing was fetched or deleted"]);
            assert!(!outcome.to_string().contains("s3cret"), "no secrets: {outcome}");
            site.assert_untouched();
            assert!(sandbox.spool().is_empty());
        }
    }
}

#[test]
fn probe_names_the_step_that_fails() {
    let (certificates, stranger) = (Certificates::new(), Certificates::new());
    let fake = |setup| Site::fake("site", 3, setup);
    let misbehaving = |trick: Fault| fake(Setup { faults: vec![trick.at(Verb::Ls)], ..Setup::default() });
    let tls = Some(stock_tls(&certificates.server, StockClients::Anyone).unwrap());
    let password = Some(Secret::new("right".into()));
    let idle = Duration::from_secs(1);
    let foreign_ca = format!("tls = {{ ca = {:?} }}", stranger.path("ca.pem"));
    for (site, lines, reason, says) in [
        (fake(Setup { tls: tls.clone(), ..Setup::default() }), foreign_ca.as_str(), "tls", "not accepted"),
        (fake(Setup { tls, idle, ..Setup::default() }), "", "closed", "or TLS (-e)"),
        (fake(Setup { password, ..Setup::default() }), "password = \"wrong\"", "closed", "the password is wrong"),
        (fake(Setup { insecure: false, ..Setup::default() }), "", "closed", "lacks -I"),
        (misbehaving(Fault::Refuse), "", "listing", "LS ERR"),
        (misbehaving(Fault::Garbage(4096)), "", "protocol", "expected a reply to LS"),
        (misbehaving(Fault::CutBody { after: 5 }), "", "truncated", "LS body still to come"),
        (misbehaving(Fault::WrongSize(WrongSize::Under(4))), "", "protocol", "unasked, after LS"),
        (misbehaving(Fault::Reset), "", "broken", "the connection broke"),
        (misbehaving(Fault::Hang), "timeout = 1", "timeout", "the listing did not come in time"),
    ] {
        let outcome = Sandbox::with_sites([site.config(lines)]).run("probe", &["site"]);
        outcome.assert_code(1).assert_says(&["connected to"]);
        outcome.assert_says(&[&format!("FAILED (reason={reason})"), says]);
        site.assert_untouched();
    }
    let gone = fake(Setup::default());
    let sandbox = Sandbox::with_sites([gone.config("")]);
    drop(gone);
    let outcome = sandbox.run("probe", &["site"]);
    outcome.assert_code(1).assert_says(&["resolved"]).assert_says(&["FAILED (reason=connect)", "refused"]);
    let sandbox =
        Sandbox::with_sites(["\n[[site]]\nname = \"site\"\naddress = \"no-such-host.invalid\"\ntimeout = 2\n"]);
    sandbox.run("probe", &["site"]).assert_code(1).assert_says(&["FAILED (reason=", " name"]);
    sandbox.run("probe", &["sight"]).assert_code(2).assert_logs(&["sight", "site"]);
}

/// Takes a connection and sends `banner`, as a server of another protocol does.
fn speaker_of(banner: &'static [u8]) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let speaker = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(banner).unwrap();
        // Until the other side has closed.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    (address, speaker)
}

#[test]
fn another_protocol_on_the_port_is_named() {
    for (banner, name) in [
        (&b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..], "SSH"),
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "HTTP"),
        (b"220 mail.example.org ESMTP\r\n", "SMTP or FTP"),
    ] {
        let (address, speaker) = speaker_of(banner);
        let (ip, port) = (address.ip(), address.port());
        let site = format!("\n[[site]]\nname = \"site\"\naddress = \"{ip}\"\nport = {port}\n");
        let outcome = Sandbox::with_sites([site]).run("probe", &["site"]);
        speaker.join().unwrap();
        outcome
            .assert_code(1)
            .assert_says(&["reason=protocol", &format!("that is {name}, not Tentacle, on port {port}")]);
    }
}

#[test]
fn probe_counts_what_once_takes() {
    let mut site = Site::fake("site", 7, Setup::default());
    site.add("a.1.data", "1");
    site.add_other("b.1.xml", "included by no pattern");
    site.add_other("test.1.data", "excluded");
    let sandbox = Sandbox::with_sites([site.config("include = [\"*.data\"]\nexclude = [\"test*\"]")]);
    let probed = sandbox.run("probe", &["site"]);
    probed.assert_code(0).assert_says(&["8 to be collected", "left out by include and exclude"]);
    sandbox.once().assert_code(0).assert_says(&["site: 8 files, "]);
    site.assert_emptied();
}

#[test]
fn once_tells_what_nobody_takes_and_fails() {
    let mut site = Site::fake("site", 2, Setup::default());
    site.add_other("big.1.data", "x".repeat(50_000));
    let sandbox = Sandbox::with_sites([site.config("max_file_size = 40000")]);
    let outcome = sandbox.once();
    outcome.assert_code(1).assert_says(&["site: 2 files, ", "left there: 1 file larger than max_file_size"]);
    outcome.assert_says(&["left at their sites", "1 file larger than max_file_size; the log names"]);
    outcome.assert_logs(&["[WARN] site=site file=big.1.data", "50000 bytes, max_file_size is 40000", "raise that"]);
    site.assert_emptied();
    sandbox.configure("", [site.config("max_file_size = 60000")]);
    let outcome = sandbox.once();
    outcome.assert_code(0).assert_says(&["site: 1 file, 50000 bytes"]);
}

#[test]
fn once_tells_which_sites_are_disabled() {
    let sites = [Site::fake("on", 1, Setup::default()), Site::fake("off", 1, Setup::default())];
    let sandbox = Sandbox::with_sites([sites[0].config(""), sites[1].config("enabled = false")]);
    sandbox.once().assert_code(0).assert_logs(&["site=off left out: enabled = false"]);
    sites[1].assert_untouched();
    let outcome = sandbox.run("once", &["off"]);
    outcome.assert_code(0).assert_logs(&["site=off collected from since it is named", "enabled = false"]);
    sites[1].assert_emptied();
}

#[test]
fn what_import_prints_loads_and_collects() {
    let site = Site::fake("site", 10, Setup::default());
    let (sandbox, address) = (Sandbox::new(), site.address());
    let incoming = sandbox.incoming();
    let text = format!(
        "syncserver 0\nsync_address {}\nsync_port {}\nsync_retries 1\nsync_timeout 5\nserver_threshold 7\nincomingdir {}\n",
        address.ip(),
        address.port(),
        incoming.to_string_lossy()
    );
    let conf = sandbox.write("pandora_server.conf", text);
    let imported = sandbox.launch([OsStr::new("import"), conf.as_os_str()]).wait();
    imported.assert_code(0).assert_says(&["[[site]]"]);
    sandbox.write("tentacle-syncd.toml", &imported.stdout);
    let state = sandbox.state();
    let state_dir = ["--state-dir", state.to_str().unwrap()];
    sandbox.run("check", &[&["--syntax-only"], &state_dir[..]].concat()).assert_code(0).assert_says(&["0 problems"]);
    sandbox.run("once", &state_dir).assert_code(0);
    sandbox.assert_holds(&site.files);
    site.assert_emptied();
}

#[test]
fn import_says_what_is_missing() {
    let sandbox = Sandbox::new();
    let conf = sandbox.write("pandora_server.conf", "syncserver 0\n");
    let outcome = sandbox.launch([OsStr::new("import"), conf.as_os_str()]).wait();
    outcome.assert_code(2).assert_logs(&["pandora_server.conf", "sync_address"]);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn the_demo_collects_all_and_says_so() {
    let outcome = run(&["demo", "--files", "20"]);
    outcome
        .assert_code(0)
        .assert_says(&["All 40 files are in the spool, byte for byte, and none is left at the sites."]);
    run(&["demo", "--files", "0"]).assert_code(2).assert_logs(&["--files"]);
}
