//! TLS as Tentacle users have it.
//!
//! [`Connector`] turns settings into connections: it reads PEM files, checks sites' certificates by the site's policy,
//! and presents our own. [`Acceptor`] does the same for a server and its clients. [`Stream`] is a connection, encrypted
//! or not. The verification policies follow what people hold: webpki judges ordinary certificates, and two narrow
//! exceptions (`v1.rs`, and self-signed certificates that are listed in the CA file) let in the shapes it refuses
//! though OpenSSL's defaults make them.

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
mod refusal;
mod report;
mod settings;
mod setup;
mod signature;
mod socket;
mod stream;
mod suites;
mod summary;
#[cfg(any(test, feature = "demo"))]
pub mod test_pki;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls_stream;
mod v1;
mod verify;
mod versions;
mod x509;

pub use acceptor::{Acceptor, AcceptorSettings, ClientAuth};
pub use certificate_problem::{
    CertificateProblem, Irregularity, Misnaming, UnknownExtension, UnsupportedShape, Weakness, Whose,
};
pub use client_failure::{ClientFailure, ClientPreface};
pub use connector::{ConnectError, Connector, Connectors};
pub use expiry::{Announcement, Expiries};
pub use failure::{Missing, Phase, StreamError, TlsFailure, looks_like_tls};
pub use hello::Hello;
pub use refusal::Refusal;
pub use report::{CertificateReport, Role, days_between};
pub use rustls::AlertDescription;
pub use rustls::pki_types::UnixTime;
pub use settings::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};
pub use setup::{BlockFault, FileProblem, SetupError};
pub use socket::Socket;
pub(crate) use socket::read_piece;
pub use stream::{FileSent, Handshake, Received, Sent, Stream};
pub use suites::{Suites, SuitesError};
pub use summary::{CertificateSummary, Sha256};
pub use tls_stream::{PeerDescription, TlsStream, Transport};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use v1::fuzz_v1;
pub use versions::{Versions, VersionsError};
pub use x509::{Purpose, Validity, Version};
