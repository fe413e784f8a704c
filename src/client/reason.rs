//! Why a run failed. Where stock has words for it, they are these, for scripts look for them; advice is kept apart.

use std::ffi::OsStr;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::tls_reason;
use crate::config::client::ClientSettings;
use crate::net::ProxyError;
use crate::passphrase::PassphraseError;
use crate::proto::{Error, Excerpt, NameError, Refusal, Verb, shown};
use crate::store::ArchiveError;
use crate::tls::{ConnectError, SetupError, TlsFailure, looks_like_tls};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error("Cannot connect to {host} on port {port}: {why}.")]
    Connect { host: String, port: u16, why: String },
    #[error("Cannot connect to {host} on port {port}: {why}.")]
    Resolve { host: String, port: u16, why: String },
    #[error("Cannot connect to proxy server {host} on port {port}: {why}.")]
    ConnectToProxy { host: String, port: u16, why: String },
    #[error("CONNECT error: {}", proxy_words(.0))]
    Proxy(ProxyError),
    #[error("Connection from {peer} unexpectedly closed.")]
    ClosedByProxy { peer: IpAddr },
    #[error("{}", tls_reason::words(failure))]
    Tls {
        failure: TlsFailure,
        /// Where it was.
        reached: IpAddr,
    },
    #[error("{0}")]
    TlsName(#[from] ConnectError),
    #[error("{0}")]
    Setup(#[from] SetupError),
    #[error("{0}")]
    Passphrase(#[from] PassphraseError),
    #[error("Local address {name}: {why}.")]
    Local { name: String, why: String },
    #[error("Authentication failed.")]
    AuthenticationFailed,
    #[error("Connection from {peer} unexpectedly closed.")]
    Closed { peer: IpAddr, error: Error },
    #[error("Connection from {peer} timed out.")]
    TimedOut { peer: IpAddr },
    #[error("Read error from {peer}: {why}.")]
    Read { peer: IpAddr, why: String },
    #[error("Connection error from {peer}: {why}.")]
    Write { peer: IpAddr, why: String },
    #[error("Received too much data from {peer}")]
    TooMuch { peer: IpAddr },
    #[error("Server responded {}.", response.text())]
    Responded { response: Response },
    #[error("File '{}' does not exist.", shown(.0))]
    NoFile(PathBuf),
    #[error("The name of file '{}' cannot be sent: {error}", shown(path))]
    Name { path: PathBuf, error: NameError },
    #[error("File '{}' is empty at the server.", shown(.0))]
    Empty(PathBuf),
    #[error("Cannot open file '{}' for reading: {why}.", shown(path))]
    Unreadable { path: PathBuf, why: String },
    #[error("Cannot open file '{}' for writing: {why}.", shown(path))]
    Unwritable { path: PathBuf, why: String },
    #[error("Cannot write file '{}': {}.", shown(path), plain(error))]
    Unwritten { path: PathBuf, error: io::Error },
    #[error("File '{}' became shorter while it was sent.", shown(.0))]
    Shortened(PathBuf),
    #[error("Compression error: {0}")]
    Pack(ArchiveError),
    #[error("Uncompress error: {0}")]
    Unpack(ArchiveError),
    #[error("Cannot use a temporary file in {}: {}.", shown(&std::env::temp_dir()), plain(.0))]
    Temporary(io::Error),
    #[error("Interrupted.")]
    Interrupted,
    #[error("{0}")]
    System(#[from] io::Error),
    /// A defect of ours.
    #[error("{0}")]
    Internal(Error),
}

/// What the server sent instead of what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Refusal(Verb, Refusal),
    BadSize(Verb, Excerpt),
    Other(Excerpt),
}

impl Response {
    fn text(&self) -> String {
        match self {
            Self::Refusal(verb, Refusal::Other(why)) => format!("{verb} ERR ({})", escaped(why)),
            Self::Refusal(verb, refusal) => {
                let mut line = Vec::new();
                crate::proto::Reply::Refused(refusal.clone()).encode(*verb, &mut line);
                String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
            }
            Self::BadSize(verb, digits) => format!("{verb} SIZE {}", escaped(digits)),
            Self::Other(line) => escaped(line),
        }
    }
}

/// What a terminal can take.
fn escaped(excerpt: &Excerpt) -> String {
    let text = shown(OsStr::from_bytes(excerpt.as_bytes()));
    if excerpt.is_cut() { text + "..." } else { text }
}

impl Reason {
    /// What the server's refusal comes to.
    pub(super) fn refused(verb: Verb, refusal: Refusal) -> Self {
        Self::Responded { response: Response::Refusal(verb, refusal) }
    }

    /// What breaks the protocol, or ends it early.
    pub(super) fn protocol(error: Error, peer: IpAddr) -> Self {
        match error {
            Error::ClosedAfter { .. }
            | Error::Unconfirmed { .. }
            | Error::ReplyCut { .. }
            | Error::Truncated { .. } => Self::Closed { peer, error },
            Error::Garbage { verb: Verb::Pass, .. } => Self::AuthenticationFailed,
            Error::Garbage { excerpt, .. } => Self::Responded { response: Response::Other(excerpt) },
            Error::Size { verb, digits } => Self::Responded { response: Response::BadSize(verb, digits) },
            Error::LineTooLong { .. } | Error::Unsolicited { .. } => Self::TooMuch { peer },
            Error::Misuse { .. } => Self::Internal(error),
        }
    }

    /// What may help.
    pub(crate) fn advice(&self, settings: &ClientSettings) -> Option<String> {
        let words = match self {
            Self::Resolve { .. } => "No address was found for that name (-a).",
            Self::Connect { .. } if settings.local.is_some() => {
                "Is tentacle_server running there (-a), on this port (-p), and can it be reached from the address of ours \
                 that -b names?"
            }
            Self::Connect { .. } => {
                "Is tentacle_server running there (-a), on this port (-p), and no firewall in between?"
            }
            Self::ConnectToProxy { .. } => "Is this the proxy's address and port (-y)?",
            Self::Proxy(ProxyError::Refused { status: 407, .. }) => "Is this the proxy's user and password (-y)?",
            Self::Proxy(ProxyError::Refused { .. }) => {
                "Does the proxy reach the server (-a, -p), and allow CONNECT to it?"
            }
            Self::Proxy(_) | Self::ClosedByProxy { .. } => "Is this an HTTP proxy's address and port (-y)?",
            Self::Tls { failure, .. } => return Some(tls_reason::advice(failure, settings)),
            Self::Setup(error) => tls_reason::setup_advice(error),
            Self::AuthenticationFailed => "Is this the server's password (-x)?",
            Self::Closed { error, .. } => closed_advice(error, settings),
            Self::TimedOut { .. } => return Some(timeout_advice(settings)),
            Self::Responded { response } => return response_advice(response),
            Self::Empty(_) => "Nothing was got: what was here before stays.",
            Self::Shortened(_) => "Another program writes to it: send it when that is done.",
            Self::Unwritten { error, .. } | Self::Temporary(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                "The process may write no file of that size (ulimit -f)."
            }
            Self::Pack(_) | Self::Unpack(_) => "Without -z it goes as it is.",
            _ => return None,
        };
        Some(words.to_owned())
    }
}

fn timeout_advice(settings: &ClientSettings) -> String {
    let seconds = settings.timeout.as_secs();
    let tls =
        if settings.tls.is_none() { " One that wants TLS (-c, or -e and -k) may say nothing as well." } else { "" };
    format!(
        "The server was silent for {seconds} s, as -t and -r have it. A stock server serves 10 clients at a time: the next \
         one waits.{tls}"
    )
}

/// A stock server closes without a reason.
fn closed_advice(error: &Error, settings: &ClientSettings) -> &'static str {
    match error {
        Error::ReplyCut { excerpt, .. } if settings.tls.is_none() && looks_like_tls(excerpt.as_bytes()) => {
            "That was TLS: the server wants -c, or -e and -k."
        }
        Error::ClosedAfter { verb: Verb::Pass } => {
            "The password is wrong (-x), or the server has none; it may also want TLS (-c, or -e and -k)."
        }
        Error::ClosedAfter { .. } if settings.password.is_none() => {
            "The server may want a password (-x), or TLS (-c, or -e and -k)."
        }
        Error::Unconfirmed { .. } => "It is unknown whether the server has stored the file: send it again.",
        _ => "The server's log may say why.",
    }
}

fn response_advice(response: &Response) -> Option<String> {
    let words = match response {
        Response::Refusal(_, Refusal::TooBig) => {
            "Tentacle servers refuse empty files, and files larger than their limit (tentacle_server -m)."
        }
        Response::Refusal(_, Refusal::Exists) => "The server replaces no files (tentacle_server -o lets it).",
        Response::Refusal(_, Refusal::InvalidName) => "Names cannot hold any of ? [ ] / \\ = + < > : ; ' , * ~",
        Response::Refusal(_, Refusal::BadArchive) => {
            "The server cannot use the archive, or it unfolds too far (tentacle_server's unzip_max and unzip_ratio): \
             without -z the file goes as it is."
        }
        Response::Other(line) if looks_like_tls(line.as_bytes()) => "That is TLS: the server wants -c, or -e and -k.",
        Response::Other(line) => {
            return line
                .protocol()
                .map(|protocol| format!("That is {protocol}, not Tentacle: is this the server's port (-p)?"));
        }
        _ => return None,
    };
    Some(words.to_owned())
}

fn proxy_words(error: &ProxyError) -> String {
    match error {
        ProxyError::Refused { minor, status, phrase } => format!("HTTP/1.{minor} {status} {phrase}"),
        other => other.to_string(),
    }
}

/// The system's words without its "(os error 111)", and without the library's before them.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responded(verb: Verb, refusal: Refusal) -> String {
        Reason::refused(verb, refusal).to_string()
    }

    #[test]
    fn a_refusal_is_shown_as_it_came() {
        assert_eq!(responded(Verb::Send, Refusal::Exists), "Server responded SEND ERR (file already exists).");
        assert_eq!(responded(Verb::Send, Refusal::Unspecified), "Server responded SEND ERR.");
        assert_eq!(responded(Verb::Zsend, Refusal::BadArchive), "Server responded ZSEND ERR.");
        let other = Refusal::Other(Excerpt::of(b"on \x1b[2Jholiday"));
        assert_eq!(responded(Verb::Recv, other), "Server responded RECV ERR (on \\x1b[2Jholiday).");
    }

    #[test]
    fn anything_else_is_shown_so_that_a_terminal_can_take_it() {
        let garbage = |bytes: &[u8]| {
            let error = Error::Garbage { verb: Verb::Send, excerpt: Excerpt::of(bytes) };
            Reason::protocol(error, IpAddr::from([127, 0, 0, 1])).to_string()
        };
        assert_eq!(garbage(b"HTTP/1.1 400 Bad Request\r"), "Server responded HTTP/1.1 400 Bad Request\\r.");
        assert_eq!(garbage(&[b'a'; 100]), format!("Server responded {}....", "a".repeat(80)));
    }

    #[test]
    fn another_protocol_on_the_port_is_named() {
        let advice = |line: &[u8]| response_advice(&Response::Other(Excerpt::of(line)));
        let ssh = advice(b"SSH-2.0-OpenSSH_9.2\r");
        assert_eq!(ssh.as_deref(), Some("That is SSH, not Tentacle: is this the server's port (-p)?"));
        assert_eq!(advice(b"anything"), None);
    }

    #[test]
    fn the_systems_words_come_without_the_librarys() {
        assert_eq!(plain(&io::Error::from_raw_os_error(111)), "Connection refused");
        let lookup = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(plain(&lookup), "Name or service not known");
    }
}
