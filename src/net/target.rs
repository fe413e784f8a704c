//! Where a connection goes and how.

use std::sync::Arc;
use std::time::Duration;

use crate::proto::Secret;
use crate::tls::Connector;

/// A site as the loop sees it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name or address, without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// The HTTP proxy to go through.
    pub proxy: Option<Proxy>,
    /// How to speak TLS, `None` for plain TCP.
    pub tls: Option<Connector>,
    /// The longest wait in each phase until the connection is open.
    pub timeout: Duration,
    /// Have what is not answered yet acknowledged before each wait for more (`TCP_QUICKACK`).
    pub quick_ack: bool,
}

/// An HTTP proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Name or address, without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// User and password for Basic auth.
    pub credentials: Option<(String, Secret)>,
}

impl Target {
    /// The host and port the first TCP connection goes to.
    pub(super) fn first_hop(&self) -> (&Arc<str>, u16) {
        self.proxy.as_ref().map_or((&self.host, self.port), |proxy| (&proxy.host, proxy.port))
    }
}
