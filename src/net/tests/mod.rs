//! The accepting side over loopback, against clients of the standard library's.

mod accepting;
mod compressed;
mod deadlines;
mod encrypted;
mod exchange;
mod local;
mod resolving;
mod shutdown;

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::{ConnId, Event, Io, ListenerConfig, ListenerId, Net, Read};
use crate::tls::Acceptor;

/// Turns that a loop gets until what is awaited has to have come; each may wait a little.
const TURNS: usize = 2_000;
const WAIT: Duration = Duration::from_millis(5);

struct Server {
    net: Net,
    listener: ListenerId,
    address: SocketAddr,
    /// Whether who comes is admitted in the same turn.
    admits: bool,
}

fn listener_config(tls: Option<Acceptor>) -> Arc<ListenerConfig> {
    Arc::new(ListenerConfig { tls, quick_ack: true, timeout: Duration::from_secs(10) })
}

impl Server {
    fn new(listener_config: Arc<ListenerConfig>) -> Self {
        let mut net = Net::new().unwrap();
        let listener = net.listen((Ipv4Addr::LOCALHOST, 0).into(), listener_config).unwrap();
        let address = net.local_address(listener).unwrap();
        Self { net, listener, address, admits: true }
    }

    fn plain() -> Self {
        Self::new(listener_config(None))
    }

    fn client(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    fn poll_once(&mut self) -> Vec<Event> {
        let until = self.net.now() + WAIT;
        let events = self.net.poll_once(Some(until)).unwrap();
        for event in &events {
            if let Event::Accepted(id, ..) = event
                && self.admits
            {
                self.net.admit(*id);
            }
        }
        events
    }

    /// Runs the loop until `step` has a result.
    fn until<T>(&mut self, mut step: impl FnMut(&mut Net, Vec<Event>) -> Option<T>) -> T {
        for _ in 0..TURNS {
            let events = self.poll_once();
            if let Some(result) = step(&mut self.net, events) {
                return result;
            }
        }
        panic!("nothing came of it");
    }

    /// Runs the loop until an event is what `wanted` makes something of.
    fn event<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        self.until(|_, events| events.iter().find_map(&mut wanted))
    }

    fn accepted(&mut self) -> ConnId {
        self.event(|event| match event {
            Event::Accepted(id, ..) => Some(*id),
            _ => None,
        })
    }

    fn opened(&mut self) -> ConnId {
        self.event(|event| match event {
            Event::Opened(id) => Some(*id),
            Event::Failed(_, failure) => panic!("{failure}"),
            _ => None,
        })
    }

    fn io(&mut self, id: ConnId) -> Io<'_> {
        self.net.io(id).unwrap()
    }

    /// The next bytes, or the end.
    fn read(&mut self, id: ConnId) -> Result<Vec<u8>, Read> {
        self.until(|net, _| {
            let mut bytes = Vec::new();
            let read = net.io(id).unwrap().read(u64::MAX, |shown| {
                bytes.extend_from_slice(shown);
                shown.len()
            });
            match read.unwrap() {
                Read::Bytes(0) | Read::Blocked => None,
                Read::Bytes(_) => Some(Ok(bytes)),
                end @ Read::Eof { .. } => Some(Err(end)),
            }
        })
    }
}

/// Everything up to the end.
fn read_all(mut client: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Reads everything in a thread of its own.
fn read_aside(mut client: TcpStream) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        bytes
    })
}
