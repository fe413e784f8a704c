//! TLS as Tentacle users have it.
//!
//! [`Connector`] turns settings into connections: it reads PEM files, checks sites' certificates by the site's policy,
//! and presents our own. [`Acceptor`] does the same for a server and its clients. [`Pipe`] is a connection, encrypted or not. The verification policies follow what people hold:
//! webpki judges ordinary certificates, and two narrow exceptions (`v1.rs`, and self-signed certificates that are listed
//! in the CA file) let in the shapes it refuses though OpenSSL's defaults make them.

mod acceptor;
mod authorities;
mod certificate_problem;
mod client_failure;
mod connector;
mod dn;
mod expiry;
mod extensions;
mod failure;
mod hello;
mod identity;
mod oids;
mod pem;
mod pipe;
mod refusal;
mod report;
mod settings;
mod setup;
mod signature;
mod suites;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "demo"))]
pub mod throwaway;
mod tls_pipe;
mod v1;
mod verify;
mod versions;
mod wire;
mod x509;

pub use acceptor::{Acceptor, AcceptorSettings, Clients};
pub use certificate_problem::{
    CertificateProblem, Irregularity, Misnaming, UnknownExtension, UnsupportedShape, Weakness, Whose,
};
pub use client_failure::{ClientFailure, Opening};
pub use connector::{ConnectError, Connector, Connectors};
pub use expiry::{Announcement, Expiries};
pub use failure::{Missing, Phase, PipeError, TlsFailure, looks_like_tls};
pub use hello::Hello;
pub use pipe::{FileSent, Handshake, Pipe, Received, Sent};
pub use refusal::Refusal;
pub use report::{CertificateReport, Role};
pub use rustls::AlertDescription;
pub use rustls::pki_types::UnixTime;
pub use settings::{IdentitySettings, Offer, TlsSettings, Verify};
pub use setup::{BlockFault, FileProblem, SetupError};
pub use suites::{Suites, SuitesError};
pub use summary::{CertificateSummary, Sha256};
pub use tls_pipe::{Carrier, PeerDescription, TlsPipe};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use v1::fuzz_v1;
pub use versions::{Versions, VersionsError};
pub use wire::Wire;
pub use x509::{Purpose, Validity, Version};
