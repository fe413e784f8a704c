//! Where our connections come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crate::net::{Event, Failure, Net, Target};

fn target(port: u16, local: IpAddr) -> Arc<Target> {
    let timeout = Duration::from_secs(10);
    Arc::new(Target {
        host: "127.0.0.1".into(),
        port,
        local: Some(local),
        proxy: None,
        tls: None,
        timeout,
        quick_ack: true,
    })
}

/// What becomes of a connection.
fn outcome(net: &mut Net, target: Arc<Target>) -> Result<(), Failure> {
    net.open(target, false);
    loop {
        for event in net.poll_once(None).unwrap() {
            match event {
                Event::Opened(_) => return Ok(()),
                Event::Failed(_, failure) => return Err(failure),
                _ => {}
            }
        }
    }
}

#[test]
fn a_connection_comes_from_the_address_it_is_told_to() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let local = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let mut net = Net::new().unwrap();
    outcome(&mut net, target(listener.local_addr().unwrap().port(), local)).unwrap();
    assert_eq!(listener.accept().unwrap().1.ip(), local);
}

#[test]
fn an_address_that_is_not_ours_or_of_the_other_family_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut net = Net::new().unwrap();
    // TEST-NET-1 (RFC 5737).
    for local in [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let failure = outcome(&mut net, target(port, local)).unwrap_err();
        assert!(matches!(failure, Failure::Connect { .. }), "{failure}");
    }
}
