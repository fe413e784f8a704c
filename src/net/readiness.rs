//! What a socket was last known to be ready for. Whether it can be written to shows when that is tried.

use mio::event::Event;

/// Sockets are registered once, for both directions and edge-triggered: what is set here stays until the socket itself
/// returns `WouldBlock`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness {
    pub(super) read: bool,
    /// The peer sends no more than what has come, read or not.
    pub(super) ended: bool,
    /// The peer is gone: neither direction is there any more.
    pub(super) reset: bool,
}

impl Readiness {
    /// Adds an event. A closed or broken socket is ready to be read: the next read returns its state.
    pub(super) fn merge(&mut self, event: &Event) {
        self.read |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.ended |= event.is_read_closed();
        self.reset |= event.is_error() || event.is_read_closed() && event.is_write_closed();
    }
}
