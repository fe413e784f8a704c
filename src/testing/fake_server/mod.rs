//! A scripted imitation of a stock Tentacle server, on loopback and inside the process: what tests, benches and the
//! demo collect from.
//!
//! It behaves as recordings of stock show (`tests/vectors/server`), traps included: what one read brought is one
//! command, anything unknown closes the session, bodies trickle out in small writes without `TCP_NODELAY`, a moved
//! file is gone once its last write returned. And it can misbehave on demand: see [`Fault`].
//!
//! What it leaves out: opening ZIP archives. `ZSEND` of one closes the session.
//!
//! ```
//! use tentacle_sync::testing::fake_server::{FakeServer, Setup, Fault, Verb};
//!
//! let peer = FakeServer::start(Setup { faults: vec![Fault::Close.at(Verb::Ls).once()], ..Setup::default() })?;
//! peer.put("web01.1700000000.data", b"<agent_data/>")?;
//! assert_eq!(peer.files()?.len(), 1);
//! println!("collect from {}", peer.address());
//! # std::io::Result::Ok(())
//! ```

mod agent;
mod agents;
mod command;
mod faults;
mod session;
mod setup;
mod shared;
mod store;
mod stream;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use agent::Agent;
pub use agents::AgentFiles;
pub use command::Verb;
pub use faults::{Fault, FaultRule, WrongSize};
pub use setup::{Filter, Setup, Storage, WritePattern};
pub use shared::{LoggedCommand, Tally};
pub use store::{Files, files_below};

pub use crate::tls::test_pki::{Authority, Identity, StockClients, stock_tls};

use session::{Closed, Session};
use shared::{Peer, Shared};
use stream::Stream;

/// Room for a TLS handshake, and for a compressor, in a debug build; hundreds of threads must be cheap.
const STACK: usize = 1024 * 1024;

/// How long to wait after `accept` failed, most likely because there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running imitation; dropping it ends its threads and connections.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Binds, listens, and serves from now on.
    ///
    /// # Errors
    /// The address cannot be bound, or no thread can be started.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let listener = TcpListener::bind((setup.address, setup.port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(setup));
        let acceptor = spawn("fake-accept", {
            let shared = Arc::clone(&shared);
            move || accept_until_stopped(&listener, &shared)
        })?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All files it holds now, by path below its storage.
    pub fn files(&self) -> io::Result<Files> {
        self.shared.store.files()
    }

    /// Adds a file, or overwrites it, behind every client's back.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        self.shared.store.write(path.as_ref(), bytes)
    }

    /// What it has counted so far.
    pub fn tally(&self) -> Tally {
        self.shared.tally()
    }

    /// Every command it understood, in the order they came.
    pub fn log(&self) -> Vec<LoggedCommand> {
        self.shared.log()
    }

    /// Waits until its tally is as `wanted`; `false` when `timeout` ran out before.
    pub fn wait_for(&self, timeout: Duration, wanted: impl Fn(&Tally) -> bool) -> bool {
        self.shared.wait_for(timeout, wanted)
    }

    /// Misbehaves like this from now on, and in no other way; occasions are counted anew.
    pub fn set_mischief(&self, faults: Vec<FaultRule>) {
        self.shared.set_mischief(faults);
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.stop();
        // `accept` has no portable way of being interrupted but by a connection.
        let is_woken = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| is_woken) {
            drop(acceptor.join());
        }
        self.shared.wait_for(Duration::from_secs(5), |tally| tally.open == 0);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).stack_size(STACK).spawn(work)
}

fn accept_until_stopped(listener: &TcpListener, shared: &Arc<Shared>) {
    while shared.wait_for_room() {
        let Ok((socket, _)) = accept(listener) else {
            if shared.pause(ACCEPT_PAUSE).is_err() {
                return;
            }
            continue;
        };
        let Some(peer) = Peer::accept(shared, socket) else { return };
        // Without a thread for it the connection is dropped, as by a server out of processes.
        drop(spawn("fake-session", move || drop(serve(&peer))));
    }
}

/// Waits for a client before it asks for one: whoever waits in accept(2) holds a descriptor for it, and there may be thousands.
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    listener.accept()
}

fn serve(peer: &Peer) -> Result<(), Closed> {
    let shared = peer.shared();
    let socket = peer.socket();
    let setup = &shared.setup;
    let faults = shared.tricks_at_connection();
    socket.set_nodelay(setup.write == WritePattern::Whole)?;
    if faults.contains(&Fault::HangAfterAccept) {
        return Err(stream::drain(socket));
    }
    socket.set_read_timeout(Some(setup.idle))?;
    socket.set_write_timeout(Some(setup.idle))?;
    let stream = match &setup.tls {
        Some(acceptor) if faults.contains(&Fault::HangInTls) => return Err(stream::hang_in_tls(socket, acceptor)),
        Some(acceptor) if !faults.contains(&Fault::PlainWhereTls) => {
            let (stream, client_certificate) = Stream::accept_tls(socket, acceptor)?;
            shared.count_handshake(client_certificate);
            stream
        }
        _ => Stream::plain(socket),
    };
    Session::new(shared, peer.number(), stream).run()
}
