//! What was seen of a site on its connections.

use std::time::Instant;

use crate::sync::WaitingFiles;
use crate::tls::{PeerDescription, UnixTime};

/// What waits at a site to be collected, as its last listing showed.
#[derive(Clone, Copy, Debug)]
pub(in crate::collector) struct SeenWaiting {
    /// Files, without those that were collected since.
    pub(in crate::collector) files: usize,
    /// Their bytes, where the listing has sizes.
    pub(in crate::collector) bytes: u64,
    /// What the listing showed.
    pub(in crate::collector) listed: WaitingFiles,
    /// When the listing came.
    pub(in crate::collector) at: Instant,
}

impl SeenWaiting {
    pub(in crate::collector) fn new(listed: WaitingFiles, at: Instant) -> Self {
        Self { files: listed.files, bytes: listed.bytes, listed, at }
    }

    /// One of them was collected.
    pub(in crate::collector) fn collected(&mut self, size: u64) {
        self.files = self.files.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }
}

/// What a site's server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collector) enum Protocol {
    /// It was not asked: stock's commands alone are used.
    Unknown,
    /// Stock's commands.
    Stock,
    /// The extension as well.
    Extension,
}

/// How a connection was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collector) enum SeenTls {
    /// It was not.
    Plain,
    /// By TLS.
    Tls {
        /// `TLS 1.2` or `TLS 1.3`.
        version: &'static str,
        /// When the certificate ends that the site has shown, if it did and that can be read.
        certificate_end: Option<UnixTime>,
    },
}

impl SeenTls {
    /// What the peer of an open connection has shown.
    pub(in crate::collector) fn of(peer: Option<&PeerDescription>) -> Self {
        peer.map_or(Self::Plain, |peer| Self::Tls {
            version: peer.version,
            certificate_end: peer.certificate.as_ref().map(|certificate| certificate.validity.not_after),
        })
    }
}
