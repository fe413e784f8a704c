//! What can be wrong with TLS settings and the files they name.

use std::io;
use std::path::{Path, PathBuf};

use crate::proto::quoted;

/// Why TLS could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A file cannot be used.
    #[error("{}: {problem}", quoted(path))]
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
    #[error("{}: the certificate is for another key than the one in {}{}", quoted(cert), quoted(key), hint(*.fits))]
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
    /// It is a FIFO, which may never have anything to be read.
    #[error("is a FIFO, and a regular file is expected")]
    Fifo,
    /// It is no PEM file by its size.
    #[error("is larger than {0} bytes: not a PEM file")]
    TooLarge(usize),
    /// It holds nothing.
    #[error("is empty")]
    Empty,
    /// It holds no PEM at all.
    #[error("holds no PEM (no line begins with -----BEGIN)")]
    NotPem,
    /// It is text in an encoding that is not read; what it is, and the command that converts it.
    #[error("{0}")]
    Encoding(String),
    /// It is DER; the openssl command that makes PEM of it.
    #[error("is DER where PEM is expected: convert it with `openssl {0} -inform der -in FILE -out FILE.pem`")]
    Der(&'static str),
    /// It is PKCS#12: a certificate and its key under a password.
    #[error(
        "is PKCS#12 (.p12, .pfx) where PEM is expected: convert it with `openssl pkcs12 -in FILE -nodes -out FILE.pem` \
         (and -legacy, where openssl says that the algorithm is not supported), which writes certificate and key into \
         one file that serves as both"
    )]
    Pkcs12,
    /// It is PKCS#7: certificates in a wrapping; in DER, or in PEM.
    #[error(
        "is PKCS#7 (.p7b) where plain certificates are expected: convert it with \
         `openssl pkcs7 -print_certs{} -in FILE -out FILE.pem`", if *.0 { " -inform der" } else { "" }
    )]
    Pkcs7(bool),
    /// One of its blocks is broken.
    #[error("line {line}: the {label} is not whole or was altered: {fault}")]
    Broken {
        /// Where it shows.
        line: usize,
        /// The block's label.
        label: String,
        /// What is wrong.
        fault: BlockFault,
    },
    /// Something else where certificates should be; the labels found.
    #[error("holds no certificate (-----BEGIN CERTIFICATE-----), only {}: is it mixed up with another file?", .0.join(", "))]
    NoCertificate(Vec<String>),
    /// Something else where a key should be; the labels found.
    #[error("holds no private key that can be used, only {}: is it mixed up with another file?", .0.join(", "))]
    NoKey(Vec<String>),
    /// One of its certificates is none.
    #[error("line {line}: certificate {number} in it, which begins there, cannot be read as X.509: it is damaged")]
    BadCertificate {
        /// Counted from 1.
        number: usize,
        /// Where its block begins.
        line: usize,
    },
    /// One of its certificates is of a shape that cannot vouch for others here.
    #[error(
        "line {line}: certificate {number} in it, which begins there, is not as X.509 writes certificates \
         ({what}), so it cannot vouch for others: have a new one made, or take it out and pin the certificates it signed"
    )]
    OddCertificate {
        /// Counted from 1.
        number: usize,
        /// Where its block begins.
        line: usize,
        /// What is odd about it.
        what: String,
    },
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

/// What is wrong with a block of PEM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// It goes on to the end of the file, or to where another begins.
    #[error("it begins there and has no -----END")]
    NoEnd,
    /// It ends as something else.
    #[error("it ends as {0}")]
    OtherEnd(String),
    /// It ends without having begun.
    #[error("it ends there and begins nowhere; is its -----BEGIN damaged?")]
    NoBegin,
    /// It stands whole in one line, behind something else.
    #[error("it stands behind other text in one line: put -----BEGIN at the start of a line")]
    TextBefore,
    /// A marker without its last dashes.
    #[error("-----BEGIN has to be followed by what it is and five dashes")]
    CutMarker,
    /// A character that is none of base64's.
    #[error("{0:?} cannot stand in it")]
    NotBase64(char),
    /// Not a whole number of bytes.
    #[error("its base64 does not come to whole bytes: a line is missing or cut")]
    NotWhole,
    /// Bytes that are not what the label names.
    #[error("what is in it is not that")]
    NotThat,
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
