//! When our server lets a moved file go, and when it keeps it.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use tentacle_sync::config::server::{Mode, ServerConfig};
use tentacle_sync::testing::InProcessServer;

use crate::daemon::wait_until;
use crate::server_process::stored_in;
use crate::site::hosted;
use crate::support::{Client, LOOPBACK, scratch};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

const BODY: &str = "moved\n";

/// A server with one file, and a client it has been moved to that sends nothing more.
fn moved(storage: &Path, idle: Duration) -> (InProcessServer, Client) {
    fs::write(storage.join("a.1.data"), BODY).unwrap();
    let mut config = ServerConfig::storing(storage.to_owned(), LOOPBACK, 0);
    config.limits.idle_timeout = idle;
    if let Mode::Store(settings) = &mut config.mode {
        settings.insecure = true;
    }
    let server = InProcessServer::start(config).unwrap();
    let mut client = Client::connect(server.address().unwrap());
    client.ask("MV <a.1.data>", "MV SIZE 6");
    client.ask("MV OK", BODY.trim_end());
    (server, client)
}

#[test]
fn an_idle_client_that_answers_our_end_with_its_own_has_the_file() {
    let storage = scratch();
    let (_server, mut client) = moved(storage.path(), SHORT);
    client.expect_closed();
    assert_eq!(stored_in(storage.path()).len(), 1, "not before it has shown that it lives");
    drop(client);
    wait_until("the file to go", || stored_in(storage.path()).is_empty().then_some(()));
}

#[test]
fn an_idle_client_that_breaks_off_leaves_the_file() {
    let storage = scratch();
    let (server, mut client) = moved(storage.path(), SHORT);
    client.expect_closed();
    client.reset();
    drop(server);
    assert_eq!(stored_in(storage.path()).len(), 1);
}

#[test]
fn an_idle_client_that_does_not_answer_leaves_the_file() {
    let storage = scratch();
    let (server, client) = moved(storage.path(), SHORT);
    drop(server);
    drop(client);
    assert_eq!(stored_in(storage.path()).len(), 1);
}

#[test]
fn a_server_that_stops_hears_its_clients_out() {
    let storage = scratch();
    let (server, mut client) = moved(storage.path(), LONG);
    let stopping = thread::spawn(move || drop(server));
    client.expect_closed();
    drop(client);
    stopping.join().unwrap();
    assert!(stored_in(storage.path()).is_empty());
}

#[test]
fn clients_who_answer_at_once_have_their_files() {
    let storage = scratch();
    let server = hosted(storage.path());
    for number in 0..200 {
        let name = format!("a.{number}.data");
        fs::write(storage.path().join(&name), BODY).unwrap();
        let mut client = Client::connect(server.address().unwrap());
        client.ask(&format!("MV <{name}>"), "MV SIZE 6");
        client.ask("MV OK", BODY.trim_end());
        client.send("QUIT\n");
    }
    drop(server);
    assert_eq!(stored_in(storage.path()).len(), 0);
}
