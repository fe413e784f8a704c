//! The collector's loop, as the status port uses it: its clients have no limit on their bandwidth.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::collector::limited_net::LimitedNet;
use crate::collector::ports;
use crate::net::{ByteStream, ConnId, Failure, ListenerConfig, ListenerId, Read};
use crate::status_port::{Connection, Network};
use crate::tls::UnixTime;

impl Network for LimitedNet {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn date(&self) -> UnixTime {
        (**self).date()
    }

    fn io(&mut self, id: ConnId) -> Option<Box<dyn Connection + '_>> {
        self.io(id).map(|io| Box::new(OnLoop(io)) as Box<dyn Connection>)
    }

    fn wake(&mut self, id: ConnId) {
        (**self).wake(id);
    }

    fn admit(&mut self, id: ConnId) {
        (**self).admit(id);
    }

    fn half_close(&mut self, id: ConnId) {
        (**self).half_close(id);
    }

    fn abort(&mut self, id: ConnId) {
        self.abort(id);
    }

    fn listen(&mut self, address: SocketAddr, listener_config: Arc<ListenerConfig>) -> io::Result<ListenerId> {
        (**self).listen(address, listener_config)
    }

    fn stop_listening(&mut self, listener: ListenerId) {
        (**self).stop_listening(listener);
    }
}

/// A client's connection.
struct OnLoop<'a>(Box<dyn ports::Connection + 'a>);

impl ByteStream for OnLoop<'_> {
    fn read(&mut self, most: u64, take: &mut dyn FnMut(&[u8]) -> usize) -> Result<Read, Failure> {
        self.0.read(most, take)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        self.0.flush()
    }
}

impl Connection for OnLoop<'_> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn set_deadline(&mut self, wait: Option<Duration>) {
        self.0.set_deadline(wait);
    }

    fn drain_by(&mut self, wait: Duration, drained_by: Option<Instant>) {
        self.0.drain_by(wait, drained_by);
    }
}
