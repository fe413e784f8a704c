//! Why a connection ended.

use std::path::PathBuf;

use crate::net::Failure;
use crate::proto::quoted;
use crate::proto::server::{CloseReason, Misuse};
use crate::store::StoreError;
use crate::tls::{AlertDescription, CertificateProblem, Refusal, StreamError, TlsFailure};

/// Why a client's connection ended otherwise than in good order.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// What the client sent, or did not.
    #[error("{0}")]
    Session(#[from] CloseReason),
    /// The connection itself.
    #[error("{0}")]
    Connection(#[from] Failure),
    /// The filters lead to a directory that is not there: stock closes there, too.
    #[error("{0}, or change the filters (-i)")]
    NoDirectory(StoreError),
    /// Another program made the file shorter while it was being sent.
    #[error("{}: became shorter while it was being sent", quoted(.0))]
    Shortened(PathBuf),
    /// Nothing came for too long, or too little.
    #[error("{awaited} did not come in time ({limits})")]
    TooSlow {
        /// What the client did not send or take.
        awaited: String,
        /// The keys of the limits that it may have run into.
        limits: &'static str,
    },
    /// Others waited, and it made less progress than all the rest.
    #[error("it moved {rate} bytes a second while other clients waited {awaited}")]
    Crowded {
        /// Bytes a second.
        rate: u64,
        /// What the others waited for.
        awaited: &'static str,
    },
    /// The server to relay to cannot be reached or has failed.
    #[error("the server that is relayed to: {}", upstream(.0))]
    Upstream(Failure),
    /// A defect of this program.
    #[error("{0}")]
    Defect(#[from] Misuse),
}

/// The failure's text, which names the configuration's keys for that server.
fn upstream(failure: &Failure) -> String {
    let Failure::Stream(StreamError::Tls(tls)) = failure else { return failure.to_string() };
    let words = match tls {
        TlsFailure::ClientCertificateDemanded(_) => {
            "it demands a client certificate, of the authority that its -f names (upstream_ssl_cert, upstream_ssl_key)"
        }
        TlsFailure::ClientCertificateRefused(AlertDescription::UnknownCA) => {
            "it does not know the authority of our certificate (upstream_ssl_cert): its -f has to name that one; if it has \
             no -f, leave our certificate out"
        }
        TlsFailure::NotTls => "it answers, but not in TLS: without -e and -k it speaks none (upstream_ssl 0)",
        TlsFailure::ClosedInHandshake => {
            "it closed the connection during the TLS handshake: without -e and -k it speaks no TLS (upstream_ssl 0)"
        }
        TlsFailure::Certificate(Refusal { problem: problem @ CertificateProblem::NameMismatch { .. }, .. }) => {
            return format!("its certificate is not accepted: {problem}, or use upstream_ssl_verify chain");
        }
        TlsFailure::Certificate(Refusal { problem: problem @ CertificateProblem::PinMismatch { found }, .. }) => {
            return format!("its certificate is not accepted: {problem}: add it (upstream_ssl_pin {found})");
        }
        TlsFailure::Certificate(Refusal { problem, pin: Some(sha256) }) => {
            return format!(
                "its certificate is not accepted: {problem}, or pin this one (upstream_ssl_pin {sha256}) once you have \
                 compared it there"
            );
        }
        _ => return failure.to_string(),
    };
    words.to_owned()
}

impl Reason {
    /// One word for logs: `reason=…`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Session(ending) => ending.reason(),
            Self::Connection(failure) => failure.reason(),
            Self::NoDirectory(_) => "directory",
            Self::Shortened(_) => "shortened",
            Self::TooSlow { .. } => "timeout",
            Self::Crowded { .. } => "slow",
            Self::Upstream(_) => "upstream",
            Self::Defect(_) => "defect",
        }
    }

    /// What identifies the failure in the log: the text, without the parts that a client can vary without limit.
    pub(super) fn log_key(&self) -> String {
        match self {
            Self::Session(ending) => ending.log_key(),
            Self::TooSlow { awaited, .. } => {
                let (words, _) = awaited.split_once(|c: char| c.is_ascii_digit()).unwrap_or((awaited, ""));
                format!("{} {words}", self.code())
            }
            Self::Shortened(_) => self.code().to_owned(),
            Self::Crowded { awaited, .. } => format!("{} {awaited}", self.code()),
            other => other.to_string(),
        }
    }
}
