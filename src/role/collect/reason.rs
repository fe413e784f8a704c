//! Why a round broke off, in words for the person who has to mend it.

use crate::config::SiteSettings;
use crate::net::Failure;
use crate::proto::{Error, FileName, Verb};
use crate::store::StoreError;
use crate::tls::looks_like_tls;

/// Why a round broke off.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The connection.
    #[error(transparent)]
    Net(#[from] Failure),
    /// The site did not keep to the protocol, or closed in the middle of it.
    #[error("{error}{}", advice(.error, *.has_password, *.has_tls))]
    Protocol {
        /// What happened.
        error: Error,
        /// Whether a password is configured for the site.
        has_password: bool,
        /// Whether TLS is configured for the site.
        has_tls: bool,
    },
    /// The site cannot list.
    #[error(
        "the site answered LS ERR: it cannot read its storage directory; check the directory of its tentacle_server (-s)"
    )]
    ListingRefused,
    /// The password.
    #[error("the site refused the password: check the site's password setting")]
    PasswordRefused,
    /// The listing's announced size, in bytes, is beyond reason.
    #[error("the site announced a listing of {0} bytes; at most {max} are taken. Something is wrong there", max = super::session::MAX_LISTING)]
    ListingTooLarge(u64),
    /// No answer, or not enough of a body, in time.
    #[error(
        "{what} did not come in time ({seconds} s); does the site hang or take no more clients (stock takes 10), or is its disk or the link too slow for timeout and min_rate?"
    )]
    Slow {
        /// What was awaited.
        what: String,
        /// The site's timeout.
        seconds: u64,
    },
    /// The site's disk.
    #[error("the site cannot read {0}: look at its disk, and at the log of its tentacle_server")]
    Unreadable(FileName),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reason {
    /// The protocol's `error` at `site`.
    pub fn protocol(error: Error, site: &SiteSettings) -> Self {
        Self::Protocol { error, has_password: site.password.is_some(), has_tls: site.tls.is_some() }
    }

    /// One word for logs: `reason=…`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Net(failure) => failure.reason(),
            Self::Protocol { error: Error::ClosedAfter { .. }, .. } => "closed",
            Self::Protocol { error: Error::Truncated { .. }, .. } => "truncated",
            Self::Protocol { .. } => "protocol",
            Self::PasswordRefused => "password",
            Self::ListingRefused | Self::ListingTooLarge(_) => "listing",
            Self::Slow { .. } => "timeout",
            Self::Unreadable(_) => "unreadable",
            Self::Store(_) => "store",
        }
    }

    /// What is wrong, whichever file it showed with.
    pub(super) fn matter(&self) -> String {
        match self {
            Self::Store(error) => error.matter(),
            Self::Slow { .. } | Self::Unreadable(_) | Self::Protocol { error: Error::Truncated { .. }, .. } => {
                self.word().into()
            }
            other => other.to_string(),
        }
    }

    /// Whether the site wants no certificate of ours, as a stock server without `-f` does.
    pub(super) fn is_certificate_refusal(&self) -> bool {
        matches!(self, Self::Net(Failure::Pipe(failure)) if failure.client_certificate_refused())
    }
}

/// What a close in the protocol's early steps usually means at a stock server: it closes without a word.
fn advice(error: &Error, has_password: bool, has_tls: bool) -> &'static str {
    match error {
        Error::ClosedAfter { verb: Verb::Pass } => {
            "; the password is wrong, or the site has none (-x): check the site's password setting"
        }
        Error::ClosedAfter { verb: Verb::Ls } if has_password => {
            "; the site's tentacle_server lacks -I, without which it allows no listing"
        }
        Error::ClosedAfter { verb: Verb::Ls } if has_tls => {
            "; the site's tentacle_server lacks -I, without which it allows no listing, or wants a password (-x)"
        }
        Error::ClosedAfter { verb: Verb::Ls } => {
            "; the site's tentacle_server lacks -I, without which it allows no listing, or wants a password (-x) or TLS (-e)"
        }
        Error::Garbage { excerpt, .. } | Error::ReplyCut { excerpt, .. } | Error::Unsolicited { excerpt, .. }
            if !has_tls && looks_like_tls(excerpt.as_bytes()) =>
        {
            "; that is TLS: the site wants TLS (-e), and none is configured for it"
        }
        _ => "",
    }
}
