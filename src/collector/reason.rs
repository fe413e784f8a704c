//! Why a round broke off, in words for the person who has to mend it.

use std::path::PathBuf;

use crate::config::{SiteSettings, UnreadSecret};
use crate::net::{DriverError, Failure};
use crate::proto::{COLLECTOR_MARK, Error, FileName, Verb, quoted};
use crate::store::StoreError;
use crate::tls::{AlertDescription, SetupError, StreamError, TlsFailure, looks_like_tls};

/// Why a round broke off.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The connection.
    #[error(transparent)]
    Net(#[from] Failure),
    /// The site did not keep to the protocol, or closed in the middle of it.
    #[error("{error}{}", advice(.error, *.has_password, *.has_tls, *.port))]
    Protocol {
        /// What happened.
        error: Error,
        /// Whether a password is configured for the site.
        has_password: bool,
        /// Whether TLS is configured for the site.
        has_tls: bool,
        /// The site's port.
        port: u16,
    },
    /// The site cannot list.
    #[error(
        "the site answered LS ERR: its tentacle_server cannot read its storage directory (check the directory, -s), or its \
         allow rules do not let us list"
    )]
    ListingRefused,
    /// The site serves an incoming directory of ours: this one.
    #[error(
        "what it serves is {}, the incoming directory of this tentacle-syncd itself, as the name {COLLECTOR_MARK}… in its \
         listing shows: check the site's address and port (if it is a copy of that directory, remove the empty directory of \
         that name there)",
        quoted(.0)
    )]
    OwnSpool(PathBuf),
    /// The password.
    #[error("the site refused the password: check the site's password setting")]
    PasswordRefused,
    /// The connection, or the protocol, in the middle of a file.
    #[error("{file}: {reason}{}", cut_advice(.reason, *.came))]
    Amid {
        /// What was asked for.
        file: FileName,
        /// Whether any of it came.
        came: BodyProgress,
        /// What happened.
        reason: Box<Reason>,
    },
    /// A listing's announced size is beyond reason.
    #[error("the site announced a listing of {size} bytes; at most {most} are taken. Something is wrong there")]
    ListingTooLarge {
        /// Bytes announced.
        size: u64,
        /// Bytes taken at most.
        most: u64,
    },
    /// No answer, or not enough of a body, in time.
    #[error(
        "{what} did not come in time ({limit}); does the site hang or take no more clients (stock takes 10), or is its disk or the link too slow for timeout and min_rate?"
    )]
    Slow {
        /// What was awaited.
        what: String,
        /// The limit, with its key.
        limit: String,
    },
    /// The site's disk.
    #[error("the site cannot read {0}: look at its disk, and at the log of its tentacle_server")]
    Unreadable(FileName),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificates, keys or passphrases of the site's configuration.
    #[error("{}{}", .0, where_the_passphrase_goes(.0))]
    Certificate(#[from] SetupError),
    /// A file with a password or passphrase.
    #[error(transparent)]
    Secret(#[from] UnreadSecret),
}

fn where_the_passphrase_goes(error: &SetupError) -> &'static str {
    if error.is_for_want_of_a_passphrase() { " (passphrase_file or passphrase_env)" } else { "" }
}

/// What has come of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProgress {
    /// Not one of them.
    Nothing,
    /// Some, if not all.
    Part,
}

impl Reason {
    /// The protocol's `error` at `site`.
    pub fn protocol(error: Error, site: &SiteSettings) -> Self {
        Self::Protocol { error, has_password: site.password.is_some(), has_tls: site.tls.is_some(), port: site.port }
    }

    /// What ended the session with `site`.
    pub(crate) fn session(error: DriverError, site: &SiteSettings) -> Self {
        match error {
            DriverError::Net(failure) => failure.into(),
            DriverError::Protocol(error) | DriverError::Surplus(error) => Self::protocol(error, site),
        }
    }

    /// `what` did not come from `site`; `of_body`: more of a body, which has to come at a rate as well.
    pub(crate) fn slow(what: String, of_body: bool, site: &SiteSettings) -> Self {
        let (seconds, rate) = (site.timeout.as_secs(), site.min_rate);
        let limit = if of_body && rate > 0 {
            format!("timeout {seconds} s, min_rate {rate} bytes/s")
        } else {
            format!("timeout {seconds} s")
        };
        Self::Slow { what, limit }
    }

    /// The same, with the file that was asked for, unless it is named already.
    pub(super) fn with_file(self, file: &FileName, came: BodyProgress) -> Self {
        match self {
            Self::Net(_) | Self::Protocol { .. } => Self::Amid { file: file.clone(), came, reason: Box::new(self) },
            other => other,
        }
    }

    /// One word for logs: `reason=…`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Net(failure) => failure.reason(),
            Self::Amid { reason, .. } => reason.code(),
            Self::Protocol { error: Error::ClosedAfter { .. }, .. } => "closed",
            Self::Protocol { error: Error::Truncated { .. }, .. } => "truncated",
            Self::Protocol { .. } => "protocol",
            Self::PasswordRefused => "password",
            Self::ListingRefused | Self::ListingTooLarge { .. } => "listing",
            Self::OwnSpool(_) => "own-spool",
            Self::Slow { .. } => "timeout",
            Self::Unreadable(_) => "unreadable",
            Self::Store(_) if self.lacks_files() => "files",
            Self::Store(error) if error.is_silence() => "directory-hangs",
            Self::Store(_) => "store",
            Self::Certificate(_) => "certificate",
            Self::Secret(_) => "secret",
        }
    }

    /// What is wrong, whichever file it showed with.
    pub(super) fn log_key(&self) -> String {
        match self {
            _ if self.lacks_files() => self.code().into(),
            Self::Store(error) => error.log_key(),
            Self::Amid { reason, .. } => reason.log_key(),
            Self::Slow { .. } | Self::Unreadable(_) | Self::Protocol { error: Error::Truncated { .. }, .. } => {
                self.code().into()
            }
            other => other.to_string(),
        }
    }

    /// Whether this process has too many files open, which is no site's doing.
    pub(super) fn lacks_files(&self) -> bool {
        match self {
            Self::Net(failure) => failure.lacks_files(),
            Self::Store(error) => error.lacks_files(),
            Self::Amid { reason, .. } => reason.lacks_files(),
            _ => false,
        }
    }

    /// Whether the site demands a certificate of ours.
    pub(super) fn is_certificate_demand(&self) -> bool {
        matches!(self, Self::Net(Failure::Stream(StreamError::Tls(TlsFailure::ClientCertificateDemanded(_)))))
    }

    /// The site does not have the authority of our certificate.
    pub(super) fn unknown_client_ca() -> Self {
        Failure::Stream(TlsFailure::ClientCertificateRefused(AlertDescription::UnknownCA).into()).into()
    }

    /// Whether the site takes no certificate of ours, like a stock server without `-f`.
    pub(super) fn is_certificate_refusal(&self) -> bool {
        matches!(self, Self::Net(Failure::Stream(failure)) if failure.client_certificate_refused())
    }
}

/// A stock server announces a file that it cannot read, and closes where its bytes should come.
fn cut_advice(reason: &Reason, came: BodyProgress) -> &'static str {
    match reason {
        Reason::Protocol { error: Error::Truncated { .. }, .. } if came == BodyProgress::Nothing => {
            "; a stock server closes like this at a file that it cannot read: look at the file's rights there"
        }
        _ => "",
    }
}

/// What a close in the protocol's early steps usually means at a stock server, which closes without a message; and what
/// speaks another protocol than Tentacle.
fn advice(error: &Error, has_password: bool, has_tls: bool, port: u16) -> String {
    let words = match error {
        Error::ClosedAfter { verb: Verb::Pass } => {
            "; a server closes like this where the password is wrong, or where it has none (-x): check the site's password \
             setting"
        }
        Error::ClosedAfter { verb: Verb::Ls } if has_password => {
            "; a server closes like this where it lacks -I, without which it allows no listing"
        }
        Error::ClosedAfter { verb: Verb::Ls } if has_tls => {
            "; a server closes like this where it lacks -I, without which it allows no listing, or wants a password (-x)"
        }
        Error::ClosedAfter { verb: Verb::Ls } => {
            "; a server closes like this where it lacks -I, without which it allows no listing, or wants a password (-x) or \
             TLS (-e)"
        }
        Error::Garbage { excerpt, .. }
        | Error::ReplyCut { excerpt, .. }
        | Error::Unsolicited { excerpt, .. }
        | Error::LineTooLong { excerpt, .. } => match excerpt.protocol() {
            _ if !has_tls && looks_like_tls(excerpt.as_bytes()) => {
                "; that is TLS: the site wants TLS (-e), and none is configured for it"
            }
            Some(protocol) => {
                return format!(
                    "; that is {protocol}, not Tentacle, on port {port}: check the site's address and port"
                );
            }
            None => "",
        },
        _ => "",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truncated(file: &str, remaining: u64, came: BodyProgress) -> Reason {
        let site = SiteSettings::new("site", "address");
        Reason::protocol(Error::Truncated { verb: Verb::Recv, remaining }, &site)
            .with_file(&file.parse().unwrap(), came)
    }

    #[test]
    fn a_cut_names_the_file_and_is_one_matter_whichever_it_was() {
        let (one, other) =
            (truncated("a.1.data", 7, BodyProgress::Nothing), truncated("b.2.data", 1, BodyProgress::Part));
        assert!(one.to_string().starts_with("a.1.data: the peer closed the connection with 7 bytes"), "{one}");
        assert!(one.to_string().contains("cannot read"), "{one}");
        assert!(!other.to_string().contains("cannot read"), "{other}");
        assert_eq!(one.code(), "truncated");
        assert_eq!(one.log_key(), other.log_key());
        let broke = |file: &str| {
            let failure = Failure::Io(std::io::ErrorKind::ConnectionReset.into());
            Reason::Net(failure).with_file(&file.parse().unwrap(), BodyProgress::Part)
        };
        assert!(broke("a.1.data").to_string().starts_with("a.1.data: the connection broke"));
        assert_eq!(broke("a.1.data").log_key(), broke("b.2.data").log_key());
    }

    #[test]
    fn what_is_too_slow_names_the_limits_that_it_may_have_met() {
        let site = SiteSettings { min_rate: 1_000, ..SiteSettings::new("site", "address") };
        let slow = |of_body, site: &SiteSettings| Reason::slow("x".into(), of_body, site).to_string();
        assert!(slow(false, &site).starts_with("x did not come in time (timeout 10 s);"), "{}", slow(false, &site));
        assert!(slow(true, &site).starts_with("x did not come in time (timeout 10 s, min_rate 1000 bytes/s);"));
        let any_rate = SiteSettings { min_rate: 0, ..site };
        assert!(slow(true, &any_rate).starts_with("x did not come in time (timeout 10 s);"));
    }

    #[test]
    fn other_protocols_are_named_with_the_port() {
        let site = SiteSettings { port: 22, ..SiteSettings::new("site", "address") };
        let excerpt = crate::proto::Excerpt::of(b"SSH-2.0-OpenSSH_9.2");
        let error = Error::Unsolicited { after: None, excerpt };
        let text = Reason::protocol(error, &site).to_string();
        assert!(text.ends_with("that is SSH, not Tentacle, on port 22: check the site's address and port"), "{text}");
    }

    #[test]
    fn what_names_its_file_itself_names_it_once() {
        let file: FileName = "a.1.data".parse().unwrap();
        let text = Reason::Unreadable(file.clone()).with_file(&file, BodyProgress::Nothing).to_string();
        assert_eq!(text.matches("a.1.data").count(), 1, "{text}");
    }
}
