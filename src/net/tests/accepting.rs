use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Server, listener_config, read_all};
use crate::net::{Event, Net, Read};

#[test]
fn who_comes_in_is_named_first_and_open_in_the_turn_after_it_is_admitted() {
    let mut server = Server::plain();
    server.admits = false;
    let client = server.client();
    let (id, peer) = server.event(|event| match event {
        Event::Accepted(id, peer, _) => Some((*id, *peer)),
        _ => None,
    });
    assert_eq!(peer, client.local_addr().unwrap());
    assert!(server.net.io(id).is_none());
    server.net.admit(id);
    let events = server.poll_once();
    assert!(matches!(events[..], [Event::Opened(opened), ..] if opened == id), "{events:?}");
    assert!(server.net.io(id).is_some());
}

#[test]
fn who_is_turned_away_is_heard_of_no_more() {
    let mut server = Server::plain();
    server.admits = false;
    let client = server.client();
    let id = server.accepted();
    server.net.abort(id);
    assert_eq!(read_all(client), b"");
    for _ in 0..3 {
        assert!(server.poll_once().is_empty());
    }
    assert_eq!(server.net.connections(), 0);
}

#[test]
fn who_is_not_admitted_waits_with_what_it_sent_and_costs_no_turns() {
    let mut server = Server::plain();
    server.admits = false;
    let mut clients = [server.client(), server.client()];
    clients[0].write_all(b"first").unwrap();
    let mut ids = Vec::new();
    server.until(|_, events| {
        ids.extend(
            events.iter().filter_map(|event| if let Event::Accepted(id, ..) = event { Some(*id) } else { None }),
        );
        (ids.len() == clients.len()).then_some(())
    });
    // The sockets' readiness is reported once; from then on there is nothing to do but wait.
    server.poll_once();
    for _ in 0..3 {
        let until = server.net.now() + Duration::from_millis(2);
        assert!(server.net.poll_once(Some(until)).unwrap().is_empty());
        assert!(server.net.now() >= until, "the loop turned without a reason");
    }
    for (&id, sent) in ids.iter().zip(["first", "second"]) {
        clients[1].write_all(sent.as_bytes()).unwrap();
        server.net.admit(id);
        assert_eq!(server.opened(), id);
    }
    assert_eq!(server.read(ids[0]), Ok(b"first".to_vec()));
    assert_eq!(server.read(ids[1]), Ok(b"firstsecond".to_vec()));
}

#[test]
fn who_resets_the_connection_before_it_is_admitted_has_failed() {
    let mut server = Server::plain();
    server.admits = false;
    let client = server.client();
    let id = server.accepted();
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    server.event(|event| matches!(event, Event::Failed(failed, _) if *failed == id).then_some(()));
    assert_eq!(server.net.connections(), 0);
}

#[test]
fn more_than_one_turns_worth_of_clients_all_come_in() {
    let mut server = Server::plain();
    let clients: Vec<TcpStream> = (0..150).map(|_| server.client()).collect();
    let mut accepted = 0;
    server.until(|_, events| {
        accepted += events.iter().filter(|event| matches!(event, Event::Accepted(..))).count();
        (accepted == clients.len()).then_some(())
    });
}

#[test]
fn both_families_can_have_one_port() {
    let mut net = Net::new().unwrap();
    let everywhere = net.listen((Ipv4Addr::UNSPECIFIED, 0).into(), listener_config(None)).unwrap();
    let port = net.local_address(everywhere).unwrap().port();
    match net.listen((Ipv6Addr::UNSPECIFIED, port).into(), listener_config(None)) {
        Ok(six) => assert_eq!(net.local_address(six).unwrap().port(), port),
        // A machine without IPv6.
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}"),
    }
    let taken = net.listen((Ipv4Addr::LOCALHOST, port).into(), listener_config(None)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_closed_listener_takes_nobody_and_keeps_those_it_took() {
    let mut server = Server::plain();
    let mut client = server.client();
    let id = server.opened();
    server.net.stop_listening(server.listener);
    assert!(server.net.local_address(server.listener).is_err());
    assert_eq!(TcpStream::connect(server.address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    client.write_all(b"still here").unwrap();
    assert_eq!(server.read(id), Ok(b"still here".to_vec()));
}

#[test]
fn a_client_that_leaves_at_once_leaves_nothing_behind() {
    let mut server = Server::plain();
    drop(server.client());
    let id = server.opened();
    assert_eq!(server.read(id), Err(Read::Eof { orderly: true }));
    server.net.close(id);
    server.until(|net, _| (net.connections() == 0).then_some(()));
}

const ALONE: &str = "net::tests::accepting::in_a_process_of_its_own_descriptors_run_out";

#[test]
fn when_descriptors_run_out_it_is_said_once_and_waited_until_there_are_some() {
    let test = Command::new(std::env::current_exe().unwrap()).args(["--exact", ALONE, "--ignored"]).output().unwrap();
    let said = String::from_utf8_lossy(&test.stdout).into_owned();
    assert!(test.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "takes the whole process's descriptors: the test above runs it"]
fn in_a_process_of_its_own_descriptors_run_out() {
    let mut server = Server::plain();
    let clients: Vec<TcpStream> = (0..20).map(|_| server.client()).collect();
    let limit = getrlimit(Resource::Nofile);
    // Room for a few of those who wait: descriptors are given out from the lowest.
    let lowest_free = std::fs::File::open("/dev/null").map(|file| std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
    let few = u64::try_from(lowest_free).unwrap() + 5;
    setrlimit(Resource::Nofile, Rlimit { current: Some(few), ..limit }).unwrap();
    let (mut accepted, mut failed) = (0, 0);
    for _ in 0..20 {
        for event in server.poll_once() {
            accepted += usize::from(matches!(event, Event::Accepted(..)));
            failed += usize::from(matches!(event, Event::AcceptFailed(_)));
        }
    }
    assert_eq!((accepted, failed), (5, 1));
    setrlimit(Resource::Nofile, limit).unwrap();
    server.until(|_, events| {
        accepted += events.iter().filter(|event| matches!(event, Event::Accepted(..))).count();
        (accepted == clients.len()).then_some(())
    });
}
