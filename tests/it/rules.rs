//! Who may do what.

use std::path::Path;

use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::support::{Certificates, Client};

const NOT_ALLOWED: &str = "ERR (not allowed)";

/// What a client can do, one letter a verb: send, recv, ls, mv, or `-`.
fn rights(client: &mut Client, name: &str) -> String {
    let mut answer = |line: String| {
        client.send(line);
        client.line()
    };
    let send = answer(format!("SEND <{name}> SIZE 1\n"));
    if send == "SEND OK" {
        assert_eq!(answer("1".into()), "SEND OK");
    }
    let [recv, mv] = ["RECV", "MV"].map(|verb| {
        let line = answer(format!("{verb} <{name}>\n"));
        if line.contains("SIZE") {
            assert!(answer("no\nRECV <?>\n".into()).contains("invalid"), "the session goes on");
        }
        line
    });
    let ls = answer(format!("LS <{}>\n", name.replace('a', "")));
    if ls.contains("SIZE") {
        answer("no\nRECV <?>\n".into());
    }
    let has = |line: &str| !line.contains("not allowed") && line != "LS ERR" && line != "MV ERR";
    [(send, 's'), (recv, 'r'), (ls, 'l'), (mv, 'm')]
        .map(|(line, letter)| if has(&line) { letter } else { '-' })
        .iter()
        .collect()
}

/// A server with these rules and a file in each directory.
fn server(options: Options, rules: &str) -> Buffer {
    let fill = |storage: &Path| {
        std::fs::write(storage.join("a.data"), "1").unwrap();
        std::fs::write(storage.join("conf/a.conf"), "1").unwrap();
    };
    Buffer::prepared(options, &format!("idle_timeout 10s\n{rules}"), fill)
}

#[track_caller]
fn assert_rights(rules: &str, in_root: &str, in_conf: &str) {
    let buffer = server(Options::usual(), rules);
    let mut client = buffer.connect();
    assert_eq!(rights(&mut client, "a.data"), in_root, "{rules}");
    assert_eq!(rights(&mut client, "a.conf"), in_conf, "{rules}");
    assert_eq!(buffer.files().len(), 2);
}

#[test]
fn without_rules_everybody_may_everything() {
    assert_rights("", "srlm", "srlm");
}

#[test]
fn rules_go_by_address() {
    assert_rights("allow send,recv from 127.0.0.0/8\nallow all from 192.0.2.1\n", "sr--", "sr--");
    assert_rights("allow ls,mv from 127.0.0.1\n", "--lm", "--lm");
    assert_rights("allow all from 192.0.2.0/24\n", "----", "----");
    assert_rights("allow all from any\n", "srlm", "srlm");
}

#[test]
fn rules_go_by_directory() {
    assert_rights("allow send in / from any\nallow recv in conf from any\n", "s---", "-r--");
    assert_rights("allow all in conf from any\n", "----", "srlm");
}

#[test]
fn what_is_not_allowed_is_said_and_the_session_goes_on() {
    let buffer = server(Options::usual(), "allow recv from any\n");
    let mut client = buffer.connect();
    client.ask("SEND <b.data> SIZE 5", &format!("SEND {NOT_ALLOWED}"));
    client.ask("ZSEND <b.data> SIZE 5", &format!("ZSEND {NOT_ALLOWED}"));
    assert_eq!(client.take("RECV", "a.data"), b"1");
    let buffer = server(Options::usual(), "allow send from any\n");
    let mut client = buffer.connect();
    client.ask("RECV <a.data>", &format!("RECV {NOT_ALLOWED}"));
    client.ask("ZRECV <a.data>", &format!("ZRECV {NOT_ALLOWED}"));
    client.store("b.data", "2");
}

#[test]
fn rules_go_by_the_name_in_a_certificate_of_our_authority() {
    let certificates = Certificates::new();
    for (name, rights_of_client) in [("CN=collector", "srlm"), ("CN=another", "s---")] {
        let options = Options::usual().tls(&certificates).client_certificate(&certificates);
        let buffer = server(options, &format!("allow send from any\nallow all from any cert \"{name}\"\n"));
        let mut client = Client::connect_tls(buffer.address(), certificates.client_config(true)).unwrap();
        assert_eq!(rights(&mut client, "a.data"), rights_of_client, "{name}");
    }
}

#[test]
fn rules_go_by_a_certificates_pin_and_others_need_none() {
    let certificates = Certificates::new();
    let der = CertificateDer::from_pem_slice(certificates.client.certificate_pem.as_bytes()).unwrap();
    let pin = digest(&SHA256, &der).as_ref().iter().fold(String::new(), |pin, byte| format!("{pin}{byte:02x}"));
    let options = Options::usual().tls(&certificates);
    let buffer = server(options, &format!("allow send from any\nallow all from any pin {pin}\n"));
    for (with_certificate, expected) in [(true, "srlm"), (false, "s---")] {
        let config = certificates.client_config(with_certificate);
        let mut client = Client::connect_tls(buffer.address(), config).unwrap();
        assert_eq!(rights(&mut client, "a.data"), expected);
    }
}

#[test]
fn no_rule_gives_what_insecure_does_not() {
    let buffer = server(Options::default().arg("-o"), "allow all from any\n");
    let mut client = buffer.connect();
    client.send("LS <>\n");
    client.expect_closed();
}
