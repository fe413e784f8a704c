//! Why a command line cannot be carried out. Where stock has words for it, they are these: scripts look for them.

use std::path::PathBuf;

use crate::proto::shown;

/// Why a command line cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientUsageError {
    /// No such letter; shown as Perl's getopts does.
    #[error("Unknown option: {}", char::from(*.0).escape_default())]
    UnknownLetter(u8),
    /// No such long option.
    #[error("Unknown option: {}{}", .0, did_you_mean(.1.as_deref()))]
    UnknownLong(String, Option<String>),
    /// Nothing after an option that takes a value.
    #[error("Option -{} needs a value.", char::from(*.0))]
    MissingValue(u8),
    /// `-a`.
    #[error("Address {0} is not valid.")]
    Address(String),
    /// `-b`.
    #[error("Local address {0} is not valid.")]
    LocalAddress(String),
    /// `-p`.
    #[error("Port {0} is not valid.")]
    Port(String),
    /// `-r`.
    #[error("Invalid number of retries for network operations.")]
    Retries,
    /// `-t`.
    #[error("Invalid timeout for network operations.")]
    Timeout,
    /// `-y`, but for user and password.
    #[error("Invalid proxy string: {0}")]
    Proxy(String),
    /// The port of `-y`.
    #[error("Proxy port {0} is not valid.")]
    ProxyPort(String),
    /// Both with and without a certificate.
    #[error("Flags -c and -e can not be used at the same time.")]
    CertificateOrNot,
    /// A CA, and no TLS.
    #[error("Flag -e must be set to enable peer certificate verify.")]
    CaWithoutTls,
    /// A key without its certificate.
    #[error("Flag -e must be set to use a private key file.")]
    KeyWithoutCertificate,
    /// A passphrase, and nothing it is for.
    #[error("Flag -k must be set to provide a private key password.")]
    PassphraseWithoutKey,
    /// A file of TLS that is not there.
    #[error("File {} does not exist.", shown(.0))]
    NoFile(PathBuf),
    /// Nothing to do.
    #[error("No files to send.")]
    NoFiles,
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default()
}

impl ClientUsageError {
    /// Whether the words are those of Perl's getopts, which stand alone, before the help.
    pub fn is_of_getopts(&self) -> bool {
        matches!(self, Self::UnknownLetter(_) | Self::UnknownLong(..) | Self::MissingValue(_))
    }
}
