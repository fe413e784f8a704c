//! A real stock server, where `STOCK_TENTACLE_SERVER` names one.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::{env, thread};

use tentacle_sync::testing::fake_server::AgentFiles;

use crate::server_process::{Options, ServerProcess};
use crate::support::{Certificates, Client, TIMEOUT, fill, scratch};

const VARIABLE: &str = "STOCK_TENTACLE_SERVER";

/// Starts a stock server on `storage`; `None`, after printing so, where none is named.
pub(crate) fn start_stock(options: &Options, storage: &Path) -> Option<ServerProcess> {
    Some(ServerProcess::start(&stock_program()?, options, storage))
}

/// Whether there is a stock server to test with; prints it where there is none.
pub(crate) fn stock_program() -> Option<OsString> {
    let program = env::var_os(VARIABLE);
    if program.is_none() {
        // Not `eprintln!`, which is shown only when a test fails.
        let test = thread::current();
        let name = test.name().unwrap_or("a test");
        writeln!(io::stderr(), "{name} SKIPPED: {VARIABLE} names no stock server").unwrap();
    }
    program
}

#[track_caller]
fn assert_lists(client: &mut Client, files: usize) {
    client.send("LS <>\n");
    let (answer, _) = client.receive(b"LS SIZE ".len(), TIMEOUT);
    assert_eq!(answer, b"LS SIZE ");
    let mut size = Vec::new();
    while size.last() != Some(&b'\n') {
        size.extend(client.receive(1, TIMEOUT).0);
    }
    let size: usize = std::str::from_utf8(&size).unwrap().trim_end().parse().unwrap();
    client.send("LS OK\n");
    let (listing, _) = client.receive(size, TIMEOUT);
    assert_eq!(listing.split(|&byte| byte == b'\n').filter(|name| name.ends_with(b".data")).count(), files);
}

#[test]
fn a_plain_stock_server_serves_what_its_storage_holds() {
    let storage = scratch();
    let fleet = AgentFiles { prefix: "plain".into(), agents: 3, seed: 1 };
    let files = fill(storage.path(), &fleet, 10);
    let Some(server) = start_stock(&Options::usual().password("s3cret"), storage.path()) else { return };
    let mut client = Client::connect(server.address());
    client.ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
    assert_lists(&mut client, files.len());
}

#[test]
fn a_stock_server_with_tls_takes_clients_without_a_certificate() {
    let storage = scratch();
    let certificates = Certificates::new();
    let Some(server) = start_stock(&Options::usual().tls(&certificates), storage.path()) else { return };
    let mut client = Client::connect_tls(server.address(), certificates.client_config(false)).unwrap();
    assert_lists(&mut client, 0);
}

#[test]
fn a_stock_server_with_an_authority_demands_a_certificate() {
    let storage = scratch();
    let certificates = Certificates::new();
    let options = Options::usual().tls(&certificates).client_certificate(&certificates);
    let Some(server) = start_stock(&options, storage.path()) else { return };
    let mut client = Client::connect_tls(server.address(), certificates.client_config(true)).unwrap();
    assert_lists(&mut client, 0);
    // Under TLS 1.3 a client learns of the refusal only when it reads.
    if let Ok(mut client) = Client::connect_tls(server.address(), certificates.client_config(false)) {
        client.expect_closed();
    }
}
