//! Wrong passwords, one after the other.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use tentacle_sync::proto::{PasswordDigest, Secret};

use crate::server_ops::Buffer;
use crate::server_process::Options;
use crate::support::Client;

/// What asks for this password to be looked at.
pub(crate) fn pass(password: &str) -> String {
    let digest = PasswordDigest::of(&Secret::new(password.into()));
    format!("PASS {}\n", String::from_utf8_lossy(digest.expose()))
}

/// A client with this address of its own.
pub(crate) fn from(address: Ipv4Addr, server: SocketAddr) -> Client {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((address, 0))).unwrap();
    connect(&socket, &server).unwrap();
    Client::Plain(TcpStream::from(socket))
}

#[test]
fn wrong_passwords_wait_those_of_others_do_not_and_the_right_one_is_still_taken() {
    let buffer = Buffer::with(Options::usual().password("s3cret"), "idle_timeout 20s\n");
    let guesser = || from(Ipv4Addr::new(127, 0, 0, 5), buffer.address());
    for number in 0..6 {
        let mut client = guesser();
        client.send(pass(&format!("guess {number}")));
        client.expect_closed();
    }
    let mut held = guesser();
    held.send(pass("s3cret"));
    let mut other = from(Ipv4Addr::new(127, 0, 0, 6), buffer.address());
    other.send(pass("s3cret"));
    other.expect("PASS OK\n");
    held.expect_silence();
    held.expect("PASS OK\n");
    held.store("a.1.data", "body");
}

#[test]
fn a_password_that_is_sent_as_it_is_gets_into_no_log() {
    for options in [Options::usual().password("s3cret"), Options::usual()] {
        let buffer = Buffer::with(options, "");
        for line in ["hunter2", "PASS hunter2", "pass hunter2", "hunter2 ", "SEND hunter2", "hunter2\r"] {
            let mut client = buffer.connect();
            client.send(format!("{line}\n"));
            client.expect_closed();
        }
        for (line, times) in [("hunter2", 1), ("hunter2", 300)] {
            let mut client = buffer.connect();
            client.send(line.repeat(times));
            client.end_direction();
            client.expect_closed();
        }
        buffer.wait_for_line(&["client=127.0.0.1", "reason=cut"]);
        assert!(!buffer.log().contains("hunter2"), "{}", buffer.log());
    }
}

#[test]
fn one_with_the_right_password_is_not_held_back_for_long_by_those_who_guess_beside_it() {
    let buffer = Buffer::with(Options::usual().arg("-c").arg("40").password("s3cret"), "idle_timeout 60s\n");
    let guesser = || from(Ipv4Addr::new(127, 0, 0, 5), buffer.address());
    for number in 0..8 {
        let mut client = guesser();
        client.send(pass(&format!("guess {number}")));
        client.expect_closed();
    }
    let mut guessing: Vec<Client> = (0..30).map(|_| guesser()).collect();
    for client in &mut guessing {
        client.send(pass("guess"));
    }
    let mut good = guesser();
    good.send(pass("s3cret"));
    good.expect("PASS OK\n");
    good.store("a.1.data", "body");
}
