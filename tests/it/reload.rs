//! Our server's configuration, read again while it serves.

use std::fs;
use std::net::TcpStream;
use std::thread;

use rustix::process::{Signal, kill_process};

use crate::daemon::wait_until;
use crate::program::{Sandbox, as_nobody};
use crate::server_ops::Buffer;
use crate::server_process::{Options, ServerProcess, free_address};
use crate::support::{Certificates, Client, SETTLE, scratch};

#[test]
fn a_name_that_nobody_vouched_for_is_none_after_a_reload_either() {
    let (mut certificates, mut strangers) = (Certificates::new(), Certificates::new());
    std::mem::swap(&mut certificates.client, &mut strangers.client);
    let (storage, sandbox) = (scratch(), scratch());
    let file = sandbox.path().join("tentacle_server.conf");
    fs::write(&file, format!("insecure 1\nidle_timeout 1m\nallow all from any pin {}\n", "00".repeat(32))).unwrap();
    let options = Options::default().tls(&certificates).arg("-F").arg(&file);
    let server = ServerProcess::ours(&options, storage.path());

    // It has come in by the old rules, and authenticates by the new ones.
    let shaking = Client::connect(server.address());
    thread::sleep(SETTLE);
    let ca = certificates.path("ca.pem");
    fs::write(&file, format!("insecure 1\nssl_ca {}\nallow all from any cert collector\n", ca.to_string_lossy()))
        .unwrap();
    server.signal(Signal::HUP);
    thread::sleep(SETTLE);
    let mut client = shaking.secure(certificates.client_config(true)).unwrap();
    client.ask("LS <>", "LS ERR");
}

#[test]
fn stocks_examples_of_a_version_and_a_cipher_together_start_with_a_warning() {
    let certificates = Certificates::new();
    let keys = "insecure 1\nidle_timeout 20s\nssl_version TLSv1_3\nssl_cipher AES256-SHA\n";
    let buffer = Buffer::with(Options::default().tls(&certificates), keys);
    buffer.wait_for_line(&["WARN", "ssl_cipher", "AES256-SHA has no effect on TLS 1.3"]);
    let mut client = Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap();
    client.store("a.1.data", "body");
    // Without the version the cipher would leave nothing of TLS 1.2.
    buffer.reload("ssl_cipher AES256-SHA\n");
    buffer.wait_for_line(&["ERROR", "not reloaded", "AES256-SHA"]);
}

#[test]
fn no_beginning_of_a_configuration_lets_anybody_in() {
    let whole = "# Ours\ninsecure 1\nidle_timeout 20s\npassword s3cret\nallow recv from any\n";
    let buffer = Buffer::start(whole);
    let with_password = |expected: &str| {
        let mut client = buffer.connect();
        client.ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
        client.send("LS <>\n");
        client.expect(expected);
    };
    with_password("LS ERR\n");
    let cut = (0..whole.len()).step_by(3).map(|end| whole[..end].to_owned());
    let by_lines = whole.lines().map(|line| whole.replace(&format!("{line}\n"), "")).skip(3);
    let damaged = [whole.replace("s3cret", "s3\0cret"), "\n\n".to_owned()];
    for bad in cut.chain(by_lines).chain(damaged) {
        let refused = buffer.log().matches("not reloaded").count();
        buffer.reload(&bad);
        assert_eq!(buffer.log().matches("not reloaded").count(), refused + 1, "{bad:?}: {}", buffer.log());
        let mut without = buffer.connect();
        without.send("LS <>\n");
        without.expect_closed();
        with_password("LS ERR\n");
    }
    buffer.reload(&whole.replace("recv", "ls"));
    with_password("LS SIZE ");
}

#[test]
fn a_reload_keeps_tls_and_the_demand_for_certificates() {
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name).to_string_lossy().to_string();
    let tls = format!("ssl_cert {}\nssl_key {}\n", path("server.pem"), path("server.key"));
    let whole = format!("insecure 1\nidle_timeout 20s\n{tls}ssl_ca {}\n", path("ca.pem"));
    let buffer = Buffer::with(Options::default(), &whole);
    for (open, word) in [("insecure 1\n".to_owned(), "ssl_cert"), (format!("insecure 1\n{tls}"), "ssl_ca")] {
        buffer.reload(&open);
        buffer.wait_for_line(&["ERROR", "not reloaded", word, "restart"]);
        let without = Client::connect_tls(buffer.address(), certificates.client_config(false));
        if let Ok(mut client) = without {
            client.send("LS <>\n");
            client.expect_closed();
        }
    }
    let mut client = Client::connect_tls(buffer.address(), certificates.client_config(true)).unwrap();
    client.send("LS <>\n");
    client.expect("LS SIZE ");
}

#[test]
fn a_file_that_always_was_without_an_end_keeps_no_certificate_from_being_renewed() {
    let buffer = Buffer::start("insecure 1\nidle_timeout 20s");
    buffer.wait_for_line(&["WARN", "tentacle_server.conf", "no line feed"]);
    buffer.hang_up();
    assert!(!buffer.log().contains("not reloaded"), "{}", buffer.log());
    buffer.reload("insecure 1\nidle_timeout 30s");
    buffer.wait_for_line(&["ERROR", "not reloaded", "no line feed"]);
}

#[test]
fn a_configuration_with_the_line_ends_of_windows_is_in_force_as_it_was_meant() {
    let buffer = Buffer::start("insecure 1\r\nidle_timeout 20s\r\npassword s3cret\r\nallow all from any\r\n");
    buffer.wait_for_line(&["WARN", "tentacle_server.conf:1: ends in CR LF"]);
    let mut client = buffer.connect();
    client.ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
    client.send("LS <>\n");
    client.expect("LS SIZE ");
}

#[test]
fn a_reload_is_one_line_of_the_log_unless_that_is_quiet() {
    for (more, is_told) in [(&[][..], true), (&["-q"], false)] {
        let sandbox = Sandbox::new();
        sandbox.write("server.conf", "idle_timeout 20s\n");
        let address = free_address();
        let port = address.port().to_string();
        let usual = ["-s", "storage", "-a", "127.0.0.1", "-p", &port, "-F", "server.conf"];
        let running = sandbox.launch(as_nobody(&mut sandbox.command(&[&usual[..], more].concat())));
        wait_until("the server", || TcpStream::connect(address).ok());
        let path = sandbox.path("server.conf");
        let line = format!("[INFO] configuration reloaded from {}\n", path.to_string_lossy());
        kill_process(running.pid(), Signal::HUP).unwrap();
        if is_told {
            wait_until("the line", || sandbox.said().ends_with(&line).then_some(()));
        }
        assert_eq!(running.stop(), Some(0));
        assert_eq!(sandbox.said().lines().count(), usize::from(is_told), "{}", sandbox.said());
    }
}
