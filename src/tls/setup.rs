//! What can be wrong with TLS settings and the files they name.

use std::io;
use std::path::{Path, PathBuf};

/// Why TLS could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// Nothing to check certificates against.
    #[error(
        "TLS is on, but there is nothing to check the site's certificate against: set `ca` to the PEM file of the site's \
         authority, or verify to \"pin\" with the certificate's SHA-256"
    )]
    NoAuthorities,
    /// Pins are wanted, and there are none.
    #[error("verify is \"pin\", but no pin is given: add the SHA-256 of the site's certificate")]
    NoPins,
    /// The certificate is for another key.
    #[error("{}: the certificate is for another key than the one in {}{}", cert.display(), key.display(), hint(*.fits))]
    KeyMismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Which certificate of the file the key does fit, counted from 1.
        fits: Option<usize>,
    },
    /// The TLS library does not take the settings.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

impl SetupError {
    /// Whether all that is missing is a key's passphrase.
    pub fn is_for_want_of_a_passphrase(&self) -> bool {
        matches!(self, Self::File { problem: FileProblem::PassphraseMissing, .. })
    }

    /// A problem with the file at `path`.
    pub(super) fn file(path: &Path, problem: FileProblem) -> Self {
        Self::File { path: path.to_owned(), problem }
    }
}

fn hint(fits: Option<usize>) -> String {
    fits.map_or_else(String::new, |position| {
        format!("; the key fits certificate {position} of that file: our own certificate has to come first")
    })
}

/// What is wrong with a PEM file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// It cannot be opened or read.
    #[error("cannot be read: {}", io_text(*.0))]
    Unreadable(io::ErrorKind),
    /// It is no PEM file by its size.
    #[error("is larger than {0} bytes: not a PEM file")]
    TooLarge(usize),
    /// It holds nothing.
    #[error("is empty")]
    Empty,
    /// It holds no PEM at all.
    #[error("holds no PEM (no line begins with -----BEGIN)")]
    NotPem,
    /// It is DER; the openssl command that makes PEM of it.
    #[error("is DER where PEM is expected: convert it with `openssl {0} -inform der -in FILE -out FILE.pem`")]
    Der(&'static str),
    /// Its PEM is broken.
    #[error("is not whole or was altered: {0}")]
    Broken(String),
    /// Something else where certificates should be; the labels found.
    #[error("holds no certificate (-----BEGIN CERTIFICATE-----), only {}: is it mixed up with another file?", .0.join(", "))]
    NoCertificate(Vec<String>),
    /// Something else where a key should be; the labels found.
    #[error("holds no private key that can be used, only {}: is it mixed up with another file?", .0.join(", "))]
    NoKey(Vec<String>),
    /// One of its certificates is none; counted from 1.
    #[error("certificate {0} in it cannot be read as X.509")]
    BadCertificate(usize),
    /// No certificate in it can vouch for another or for itself.
    #[error(
        "holds no authority and no self-signed certificate, so it vouches for nothing: put the certificate of the \
         authority (CA:TRUE) in it"
    )]
    NoAuthority,
    /// The encryption PEM itself once had.
    #[error(
        "holds a key encrypted the old way (Proc-Type: 4,ENCRYPTED): convert it with \
         `openssl pkcs8 -topk8 -in FILE -out FILE.new` and use the new file"
    )]
    OldEncryption,
    /// An encrypted key, and no passphrase.
    #[error("holds an encrypted key: its passphrase is needed")]
    PassphraseMissing,
    /// An encrypted key, and another passphrase.
    #[error("holds an encrypted key that the given passphrase does not open")]
    PassphraseWrong,
    /// An encryption we do not have.
    #[error(
        "holds a key encrypted in a way that is not known here ({0}): convert it with \
         `openssl pkcs8 -topk8 -in FILE -out FILE.new` and use the new file"
    )]
    UnknownEncryption(String),
    /// A key the provider does not take.
    #[error(
        "holds a key that cannot be used ({0}): RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, and Ed25519 can"
    )]
    UnusableKey(String),
}

fn io_text(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; the user this program runs as has to be able to read it".to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        other => other.to_string(),
    }
}
