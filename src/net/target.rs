//! Where a connection goes and how.

use std::net::IpAddr;
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
    /// Which address of ours the connection comes from, `None` for whichever the system takes. Addresses of the other
    /// family are then out of reach.
    pub local: Option<IpAddr>,
    /// The HTTP proxy to go through.
    pub proxy: Option<Proxy>,
    /// How to speak TLS, `None` for plain TCP.
    pub tls: Option<Connector>,
    /// The longest wait in each phase until the connection is open.
    pub timeout: Duration,
    /// Have what is not answered yet acknowledged before each wait for more (`TCP_QUICKACK`).
    pub quick_ack: bool,
}

/// What a proxy is asked in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0, without a `Host`: as stock sends it.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// An HTTP proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Name or address, without brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// What it is asked in.
    pub http: HttpVersion,
    /// User and password for Basic auth.
    pub credentials: Option<(String, Secret)>,
}

impl Target {
    /// The host and port the first TCP connection goes to.
    pub(super) fn first_hop(&self) -> (&Arc<str>, u16) {
        self.proxy.as_ref().map_or((&self.host, self.port), |proxy| (&proxy.host, proxy.port))
    }
}
