//! How a session ends.

use super::Want;
use crate::proto::{Count, Excerpt, MAX_LINE, NameError, Verb};

/// Why a session is over: for the operator's log. The client gets no message, as stock sends none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// `QUIT`.
    #[error("the client quit")]
    Quit,
    /// The end of the connection where a command could begin.
    #[error("the client closed the connection")]
    Closed,
    /// The end of the connection while a command was being answered.
    #[error("the client closed the connection in the middle of {verb}")]
    ClosedDuring {
        /// What it had asked.
        verb: Verb,
    },
    /// The end of the connection inside a line.
    #[error("the client closed the connection inside a line: it had sent {excerpt}")]
    LineCut {
        /// What came of the line.
        excerpt: Excerpt,
    },
    /// The end of the connection inside a body from the client.
    #[error("the client closed the connection with {} of the {verb} body still to come", Count(*remaining, "byte"))]
    Truncated {
        /// What it had asked.
        verb: Verb,
        /// Bytes of the body that were still due.
        remaining: u64,
    },
    /// The end of the connection before a body had left for the client.
    #[error(
        "the client closed the connection before the {verb} body had left; it was not sent the last {}",
        Count(*remaining, "byte")
    )]
    Unsent {
        /// What it had asked.
        verb: Verb,
        /// Bytes of the body that were still due.
        remaining: u64,
    },
    /// No command.
    #[error("expected LS, MV, QUIT, RECV, SEND, ZRECV or ZSEND, but the client sent {excerpt}{}", hint(excerpt))]
    Unknown {
        /// The line.
        excerpt: Excerpt,
    },
    /// Nothing where a command should be.
    #[error("expected a command, but the client sent an empty line")]
    EmptyLine,
    /// A line without end.
    #[error(
        "expected a line of at most {MAX_LINE} bytes, but the client's does not end there; it sent {excerpt}{}",
        hint(excerpt)
    )]
    LineTooLong {
        /// The line's beginning.
        excerpt: Excerpt,
    },
    /// Something else where the password should be.
    #[error("expected the password, but the client sent {excerpt}{}", hint(excerpt))]
    PasswordMissing {
        /// The line.
        excerpt: Excerpt,
    },
    /// Another password.
    #[error("the client's password is wrong")]
    PasswordWrong,
    /// A password where there is none, or a second one.
    #[error("the client sent a password, and this server has none (-x)")]
    PasswordUnasked,
    /// `LS` or `MV` where they are not allowed at all.
    #[error("the client asked for {verb}, which this server allows to nobody (-I, or insecure 1, would)")]
    NotAllowed {
        /// Which of them.
        verb: Verb,
    },
    /// A body under a name stock takes it for, and then cannot open.
    #[error("the client sent a {verb} body under a name no file can have: {error}")]
    Unstorable {
        /// What it had asked.
        verb: Verb,
        /// What is wrong with the name.
        error: NameError,
    },
}

impl CloseReason {
    /// Whether both sides were done.
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Quit | Self::Closed)
    }

    /// One word for logs: `reason=…`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Closed => "closed",
            Self::ClosedDuring { .. } | Self::LineCut { .. } | Self::Truncated { .. } | Self::Unsent { .. } => "cut",
            Self::Unknown { .. } | Self::EmptyLine | Self::LineTooLong { .. } => "protocol",
            Self::PasswordMissing { .. } | Self::PasswordWrong | Self::PasswordUnasked => "password",
            Self::NotAllowed { .. } => "forbidden",
            Self::Unstorable { .. } => "name",
        }
    }

    /// What identifies this end in a log: the text without counters, and without an excerpt whose meaning is known.
    pub fn log_key(&self) -> String {
        match self {
            Self::Truncated { verb, .. } => format!("truncated {verb}"),
            Self::Unsent { verb, .. } => format!("unsent {verb}"),
            Self::Unknown { excerpt } | Self::LineTooLong { excerpt } | Self::PasswordMissing { excerpt }
                if !hint(excerpt).is_empty() =>
            {
                format!("{}{}", self.reason(), hint(excerpt))
            }
            Self::Unknown { .. } | Self::LineTooLong { .. } | Self::PasswordMissing { .. } | Self::LineCut { .. } => {
                self.to_string().chars().filter(|c| !c.is_ascii_digit()).collect()
            }
            other => other.to_string(),
        }
    }

    /// For a line that is no command, where a command was due.
    pub(super) fn of_no_command(line: &[u8]) -> Self {
        match line {
            b"" => Self::EmptyLine,
            _ if Verb::Pass.strip_from(line).is_some() => Self::PasswordUnasked,
            _ => Self::Unknown { excerpt: Excerpt::of_command(line) },
        }
    }
}

/// What is probably wrong, where a line shows it.
fn hint(excerpt: &Excerpt) -> String {
    match (excerpt.as_bytes(), excerpt.protocol()) {
        ([0x16, 0x03, ..], _) => ": a TLS client, and this port is plain".to_owned(),
        (_, Some(protocol)) => format!(": that is {protocol}, and this is a Tentacle server's port"),
        ([.., b'\r'], None) => ": lines end in \\n alone".to_owned(),
        _ => String::new(),
    }
}

/// A defect of the caller: a call the session was not ready for, or that came after its end. It was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("internal error: {call} while the session wants {want:?}")]
pub struct Misuse {
    /// The call.
    pub call: &'static str,
    /// What the session wanted instead.
    pub want: Want,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_that_differ_by_counters_or_random_bytes_alone_have_one_key() {
        let truncated = |remaining| CloseReason::Truncated { verb: Verb::Send, remaining }.log_key();
        assert_eq!(truncated(1), truncated(2));
        let unknown = |line: &[u8]| CloseReason::of_no_command(line).log_key();
        assert_eq!(unknown(b"\x16\x03\x01\x02\x00random"), unknown(b"\x16\x03\x01\x02\x00other"));
        assert_ne!(unknown(b"\x16\x03\x01\x02\x00random"), unknown(b"GET / HTTP/1.0\r"));
        assert_ne!(unknown(b"GET / HTTP/1.0"), unknown(b"HELLO"));
        assert_eq!(unknown(b"NONSENSE 1"), unknown(b"NONSENSE 23"));
        assert_ne!(
            unknown(b"HELO\r"),
            CloseReason::PasswordMissing { excerpt: Excerpt::of_command(b"HELO\r") }.log_key()
        );
    }

    #[test]
    fn what_was_probably_meant_is_said() {
        let unknown = |line: &[u8]| CloseReason::of_no_command(line).to_string();
        assert!(
            unknown(b"\x16\x03\x01\x02\x00\x01").ends_with("6 bytes (not shown): a TLS client, and this port is plain")
        );
        assert!(unknown(b"LS <>\r").ends_with(r#"the client sent "LS <>\r": lines end in \n alone"#));
        assert!(unknown(b"FOO").ends_with("the client sent 3 bytes (not shown)"));
    }
}
