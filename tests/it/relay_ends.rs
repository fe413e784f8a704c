//! Our server in front of another: bytes both ways, for as long as there are any.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tentacle_sync::config::server::{Mode, RelaySettings, ServerConfig};
use tentacle_sync::testing::InProcessServer;

use crate::support::{Client, LOOPBACK, TIMEOUT};

/// How long a relay lets both sides be silent.
const IDLE: Duration = Duration::from_secs(1);

fn relay_to(upstream: SocketAddr) -> InProcessServer {
    let mode = Mode::Relay(RelaySettings { host: upstream.ip().to_string(), port: upstream.port(), tls: None });
    let mut config = ServerConfig { mode, ..ServerConfig::storing("unused".into(), LOOPBACK, 0) };
    config.limits.idle_timeout = IDLE;
    InProcessServer::start(config).unwrap()
}

/// A relay with a client on one side and us on the other.
fn relayed() -> (InProcessServer, TcpStream, TcpStream) {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let relay = relay_to(listener.local_addr().unwrap());
    let mut client = TcpStream::connect(relay.address().unwrap()).unwrap();
    // The server is connected to once there is something for it.
    client.write_all(b"x").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.read_exact(&mut [0]).unwrap();
    for side in [&client, &server] {
        side.set_read_timeout(Some(TIMEOUT)).unwrap();
    }
    (relay, client, server)
}

#[track_caller]
fn passes(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut arrived = vec![0; bytes.len()];
    to.read_exact(&mut arrived).unwrap();
    assert_eq!(arrived, bytes);
}

#[test]
fn a_relay_lasts_for_as_long_as_bytes_move() {
    let (_relay, client, server) = relayed();
    for _ in 0..8 {
        passes(&client, &server, b"question");
        passes(&server, &client, b"answer");
        thread::sleep(IDLE / 4);
    }
}

/// How a connection ends, as its peer sees it.
fn end_of(mut connection: &TcpStream) -> Result<usize, ErrorKind> {
    connection.read(&mut [0]).map_err(|error| error.kind())
}

#[test]
fn the_end_of_a_client_is_an_end_for_the_server_behind() {
    let (_relay, client, server) = relayed();
    passes(&client, &server, b"QUIT\n");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(end_of(&server), Ok(0));
    passes(&server, &client, b"still here");
    drop(server);
    assert_eq!(end_of(&client), Ok(0));
}

#[test]
fn a_client_that_breaks_off_breaks_off_for_the_server_behind() {
    let (_relay, client, server) = relayed();
    passes(&client, &server, b"MV OK\n");
    set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(end_of(&server), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_relay_where_nothing_moves_breaks_off() {
    let (_relay, client, server) = relayed();
    passes(&client, &server, b"MV OK\n");
    Client::Plain(client).expect_closed();
    assert_eq!(end_of(&server), Err(ErrorKind::ConnectionReset));
}
