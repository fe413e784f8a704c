//! What can end a session.

use super::excerpt::excerpt_of_reply;
use super::{Count, Excerpt, MAX_LINE, MAX_SIZE, Verb, Want};

/// Why a session cannot go on. All but [`Misuse`](Self::Misuse) are the peer's or the line's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The end of the connection where a reply should begin. Stock does so, and sends no reply, when the password is
    /// wrong, missing or not asked for, and when `LS` or `MV` are not allowed.
    #[error("the peer closed the connection instead of answering {verb}")]
    ClosedAfter {
        /// What was asked.
        verb: Verb,
    },
    /// The end of the connection after a whole body was sent: it is unknown whether it is stored.
    #[error("the peer closed the connection instead of confirming the {verb} body it was sent")]
    Unconfirmed {
        /// What was asked.
        verb: Verb,
    },
    /// The end of the connection inside a reply.
    #[error("the peer closed the connection inside its reply to {verb}, which began {excerpt}")]
    ReplyCut {
        /// What was asked.
        verb: Verb,
        /// What came of the reply.
        excerpt: Excerpt,
    },
    /// The end of the connection before a body was through, in either direction.
    #[error("the peer closed the connection with {} of the {verb} body still to come", Count(*remaining, "byte"))]
    Truncated {
        /// What was asked.
        verb: Verb,
        /// Bytes of the body that were still due.
        remaining: u64,
    },
    /// Bytes without a request: the peer sent more than it announced, sent first, or uses another protocol. What it
    /// sent last is not to be trusted either.
    #[error("the peer sent {excerpt} unasked, {}", after.map_or_else(|| "before any command".into(), |verb| format!("after {verb}")))]
    Unsolicited {
        /// The last command, if there was one.
        after: Option<Verb>,
        /// What came: as much of it as was handed over at once, so it depends on how the bytes arrived.
        excerpt: Excerpt,
    },
    /// A line that does not answer the command.
    #[error("expected a reply to {verb}, but the peer sent {excerpt}")]
    Garbage {
        /// What was asked.
        verb: Verb,
        /// The line.
        excerpt: Excerpt,
    },
    /// A line without end.
    #[error(
        "expected a reply to {verb} within {MAX_LINE} bytes, but the peer's line does not end there; it began {excerpt}"
    )]
    LineTooLong {
        /// What was asked.
        verb: Verb,
        /// The line's beginning.
        excerpt: Excerpt,
    },
    /// A size no file can have.
    #[error("the peer announced {digits} bytes in reply to {verb}; a file has at most {MAX_SIZE}")]
    Size {
        /// What was asked.
        verb: Verb,
        /// The number as the peer wrote it.
        digits: Excerpt,
    },
    /// A defect of the caller: a call the session was not ready for. It was ignored, and the session can go on.
    #[error("internal error: {call} while the session wants {want:?}")]
    Misuse {
        /// The call.
        call: &'static str,
        /// What the session wanted instead.
        want: Want,
    },
}

impl Error {
    /// That these bytes came where nothing was to, `after` that command.
    pub(super) fn unsolicited(after: Option<Verb>, bytes: &[u8]) -> Self {
        let excerpt = after.map_or_else(|| Excerpt::of(bytes), |verb| excerpt_of_reply(verb, bytes));
        Self::Unsolicited { after, excerpt }
    }
}
