//! Why a server cannot start.

use std::io;

use crate::store::StoreError;
use crate::tls::{SetupError, SuitesError, VersionsError};

/// Why the server cannot start, or cannot take a configuration over.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The storage directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificates and keys.
    #[error("{}{}", .0, where_the_passphrase_goes(.0))]
    Tls(#[from] SetupError),
    /// Certificates and keys of the status port, without which it is not served.
    #[error("status port (http_cert): {0}")]
    Http(SetupError),
    /// `-z`.
    #[error("ssl_version (-z): {0}")]
    Versions(#[from] VersionsError),
    /// `-u`.
    #[error("ssl_cipher (-u): {0}")]
    Suites(#[from] SuitesError),
    /// An address to listen on.
    #[error("cannot listen on {address}: {error}{}", listen_advice(.error, *.port))]
    Listen {
        /// The address, or the name that comes to none.
        address: String,
        /// The port.
        port: u16,
        /// The system's error.
        error: io::Error,
    },
    /// The loop.
    #[error("cannot set up the event loop: {0}")]
    Io(#[from] io::Error),
}

impl StartError {
    /// Whether a value, or a file that it names, is to blame: not an address that is taken.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::Store(error) => error.is_of_configuration(),
            Self::Listen { .. } | Self::Io(_) => false,
            Self::Tls(_) | Self::Http(_) | Self::Versions(_) | Self::Suites(_) => true,
        }
    }
}

fn where_the_passphrase_goes(error: &SetupError) -> &'static str {
    if error.is_for_want_of_a_passphrase() {
        " (-w; ssl_password_file, and upstream_ssl_password_file with -b)"
    } else {
        ""
    }
}

fn listen_advice(error: &io::Error, port: u16) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; is another Tentacle server running?",
        io::ErrorKind::AddrNotAvailable => "; it is none of this machine's addresses",
        io::ErrorKind::PermissionDenied if port < 1024 => "; ports below 1024 are root's: start as root, with --user",
        io::ErrorKind::PermissionDenied => "; a sandbox or a security module (SELinux, AppArmor) does not allow it",
        _ => "",
    }
}
