//! A server on a thread of this process.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use crate::config::server::ServerConfig;
use crate::net::Net;
use crate::obs::Watchdog;
use crate::server::{Bound, StartError, StopHandle};

/// A server on a thread of this process, for demonstrations and tests; dropping it stops it.
#[derive(Debug)]
pub struct InProcessServer {
    addresses: Vec<SocketAddr>,
    stopper: StopHandle,
    thread: Option<JoinHandle<()>>,
}

impl InProcessServer {
    /// Listens, and serves from now on. What concerns the process as a whole, such as its user and its log, is left as
    /// it is.
    ///
    /// # Errors
    /// Whatever would keep the program from starting.
    pub fn start(config: ServerConfig) -> Result<Self, StartError> {
        let bound = Bound::new(Net::new()?, config)?;
        let (addresses, root) = (bound.addresses(), bound.open_storage()?);
        let service = bound.start(root)?;
        let stopper = service.stopper();
        let serve = move || {
            if let Err(error) = service.run(&mut Watchdog::default(), |_, _| false) {
                log::error!("{error}");
            }
        };
        let thread = Some(thread::Builder::new().name("tentacle-server".into()).spawn(serve)?);
        Ok(Self { addresses, stopper, thread })
    }

    /// Where it listens, first of all.
    ///
    /// # Errors
    /// It listens nowhere: its addresses' names came to nothing.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.addresses.first().copied().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Drop for InProcessServer {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // Its panic message has been printed.
            drop(thread.join());
        }
    }
}
