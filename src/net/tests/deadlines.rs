use std::io::Write as _;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use super::{ConnId, Event, Read, Server};

const TIMEOUT: Duration = Duration::from_millis(2);

/// A client is given little time and sends something; meanwhile the loop is kept busy for longer.
fn stall(server: &mut Server, id: ConnId, client: &mut TcpStream, says: &[u8]) {
    server.poll_once();
    server.io(id).set_deadline(Some(TIMEOUT));
    client.write_all(says).unwrap();
    sleep(10 * TIMEOUT);
}

fn is_ready(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Ready(_)))
}

fn has_failed(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Failed(..)))
}

#[test]
fn what_came_while_the_loop_was_busy_is_not_late() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    stall(&mut server, id, &mut client, b"in time");
    let events = server.poll_once();
    assert!(is_ready(&events) && !has_failed(&events), "{events:?}");
    assert_eq!(server.io(id).read(64, <[u8]>::len).unwrap(), Read::Bytes(7));
}

#[test]
fn who_is_ready_and_late_in_the_turn_after_is_late() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    stall(&mut server, id, &mut client, b"never enough");
    assert!(is_ready(&server.poll_once()));
    server.net.wake(id);
    assert!(has_failed(&server.poll_once()), "it has had its turn");
}

#[test]
fn who_says_nothing_is_late_at_once() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    stall(&mut server, id, &mut client, b"");
    assert!(has_failed(&server.poll_once()));
}
