//! Why a connection came to its end before its time.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::ProxyError;
use crate::proto::extension::InflateError;
use crate::proto::quoted;
use crate::tls::{ConnectError, StreamError};

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking the host up.
    Resolve,
    /// TCP.
    Connect,
    /// Asking the HTTP proxy.
    Proxy,
    /// TLS.
    Handshake,
    /// Tentacle.
    Session,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Handshake => "handshake",
            Self::Session => "session",
        })
    }
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host has no address.
    #[error("cannot resolve {}: {error}{}", quoted(host), resolve_advice(.error))]
    Resolve {
        /// The name.
        host: String,
        /// The system's error.
        error: io::Error,
    },
    /// No TCP connection.
    #[error("cannot connect to {address}{}: {}{}", if *is_proxy { ", the proxy" } else { "" }, plain(.error), connect_advice(.error, *is_proxy))]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// Whether it is the proxy's.
        is_proxy: bool,
        /// The system's error.
        error: io::Error,
    },
    /// The proxy did not let us through.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS, or the connection under the session.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// TLS cannot even begin.
    #[error(transparent)]
    Tls(#[from] ConnectError),
    /// Nothing came, or not enough, until the deadline.
    #[error("{}", timeout_text(*.0))]
    Timeout(Phase),
    /// The same, on a connection that was accepted.
    #[error("{}", client_timeout_text(*.0))]
    ClientTimeout(Phase),
    /// What came on a compressed connection is not what was agreed on.
    #[error(
        "what came cannot be decompressed: {0}; does something on the way change it? compression = false for the site, or \
         compression 0 at its server, goes on without"
    )]
    Inflate(#[from] InflateError),
    /// The connection broke.
    #[error("the connection broke: {}", plain(.0))]
    Io(io::Error),
}

/// What helps a process that has more connections than files.
pub(crate) const OPEN_MORE_FILES: &str =
    "let this process open more files (LimitNOFILE= of its systemd unit, ulimit -n), or lower max_connections";

impl Failure {
    /// Whether this process, or the whole system, has as many files open as it may: the peer has nothing to do with it.
    pub fn lacks_files(&self) -> bool {
        match self {
            Self::Resolve { error, .. } | Self::Connect { error, .. } | Self::Io(error) => lacks_files(error),
            _ => false,
        }
    }

    /// One word for logs: `reason=…`.
    pub fn reason(&self) -> &'static str {
        match self {
            _ if self.lacks_files() => "files",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } => "connect",
            Self::Proxy(_) => "proxy",
            Self::Tls(_) | Self::Stream(StreamError::Tls(_) | StreamError::Client(_)) => "tls",
            Self::Timeout(_) | Self::ClientTimeout(_) => "timeout",
            Self::Io(_) | Self::Stream(StreamError::Io { .. }) => "broken",
            Self::Stream(StreamError::File { .. }) => "file",
            Self::Inflate(_) => "compression",
        }
    }
}

/// The system's words without its "(os error 111)".
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Whether `error` means that this process, or the whole system, has as many files open as it may.
pub(crate) fn lacks_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn resolve_advice(error: &io::Error) -> String {
    let advice = if lacks_files(error) { OPEN_MORE_FILES } else { "check the name, or give an address instead" };
    format!("; {advice}")
}

fn connect_advice(error: &io::Error, is_proxy: bool) -> String {
    let advice = match error.kind() {
        _ if lacks_files(error) => OPEN_MORE_FILES,
        io::ErrorKind::ConnectionRefused if is_proxy => "is the proxy running there, on this port?",
        io::ErrorKind::ConnectionRefused => "is the Tentacle server running there, on this port?",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "is there a route to it?",
        io::ErrorKind::TimedOut => "does a firewall drop it?",
        io::ErrorKind::PermissionDenied => "does a firewall of this machine forbid it?",
        io::ErrorKind::AddrNotAvailable => "are all ports of this machine in use?",
        _ => return String::new(),
    };
    format!("; {advice}")
}

fn timeout_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolve => "the lookup of its name was not done in time; does the name server answer?",
        Phase::Connect => "no answer to the connection attempt in time; does a firewall drop it?",
        Phase::Proxy => "the proxy did not answer in time",
        Phase::Handshake => {
            "TLS was not done in time; does the site speak TLS, and is it busy (stock takes 10 clients)?"
        }
        Phase::Session => "the site did not answer in time",
    }
}

fn client_timeout_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Handshake => "TLS was not done in time; does the client speak TLS (its option -c, or -e and -k)?",
        _ => "the client was silent, or took nothing, for too long",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_about_what_failed() {
        let connect = |is_proxy, errno: Errno| {
            let address = ([192, 0, 2, 1], 3128).into();
            Failure::Connect { address, is_proxy, error: errno.into() }.to_string()
        };
        let refused = connect(false, Errno::CONNREFUSED);
        assert!(refused.starts_with("cannot connect to 192.0.2.1:3128: connection refused"), "{refused}");
        assert!(refused.ends_with("is the Tentacle server running there, on this port?"), "{refused}");
        let refused = connect(true, Errno::CONNREFUSED);
        assert!(refused.starts_with("cannot connect to 192.0.2.1:3128, the proxy: connection refused"), "{refused}");
        assert!(refused.ends_with("is the proxy running there, on this port?"), "{refused}");
        let resolve = |errno: Errno| Failure::Resolve { host: "site".into(), error: errno.into() }.to_string();
        assert!(resolve(Errno::MFILE).ends_with(OPEN_MORE_FILES));
        assert!(resolve(Errno::NOENT).ends_with("check the name, or give an address instead"));
    }
}
