//! The lines a server answers with.

use std::fmt;

use super::size::{SizeError, parse_size};
use super::{Excerpt, Verb};

/// A server's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `X OK`: the password is right, the body may come, or the body is stored.
    Ok,
    /// `X SIZE n`: so many bytes are ready, if the client wants them.
    Size(u64),
    /// `X ERR …`: no, and the session goes on.
    Refused(Refusal),
}

/// Why a line is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError<'a> {
    /// No reply to this verb.
    Garbage,
    /// A size no file can have; its digits.
    Size(&'a [u8]),
}

impl<'a> ReplyError<'a> {
    /// For a number that is none, or too large.
    pub(super) fn of_size(error: SizeError, digits: &'a [u8]) -> Self {
        match error {
            SizeError::TooLarge => Self::Size(digits),
            SizeError::NotDigits => Self::Garbage,
        }
    }
}

/// Why a server does not do what it was asked; the session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name holds a character no name may hold.
    InvalidName,
    /// The body is over the server's limit, or empty.
    TooBig,
    /// The server has a file of that name and may not overwrite it.
    Exists,
    /// The server has no such file.
    Missing,
    /// The file holds other bytes than those named. Of the [extension](super::extension) alone.
    Changed,
    /// What was sent with `ZSEND` is no ZIP archive.
    BadArchive,
    /// The server keeps as much as it may. Stock never sends this.
    NoRoom,
    /// The server's rules do not let this client do it. Stock never sends this.
    NotAllowed,
    /// The server's disk failed. Stock never sends this.
    Failed,
    /// The server gave no reason, as for every refused `LS` and `MV`: no such file or directory, or a bad name.
    Unspecified,
    /// A reason stock does not give.
    Other(Excerpt),
}

impl Reply {
    /// Reads a line, without its `\n`, as a reply to `verb`.
    pub fn parse(verb: Verb, line: &[u8]) -> Result<Self, ReplyError<'_>> {
        let rest = verb.strip_from(line).ok_or(ReplyError::Garbage)?;
        if rest == b"OK" {
            return Ok(Self::Ok);
        }
        if let Some(digits) = rest.strip_prefix(b"SIZE ") {
            return parse_size(digits).map(Self::Size).map_err(|error| ReplyError::of_size(error, digits));
        }
        let reason = rest.strip_prefix(b"ERR").ok_or(ReplyError::Garbage)?;
        Refusal::parse(verb, reason).map(Self::Refused).ok_or(ReplyError::Garbage)
    }

    /// Appends the reply to `verb` as it goes over the wire.
    pub fn encode(&self, verb: Verb, out: &mut Vec<u8>) {
        let line = match self {
            Self::Ok => format!("{verb} OK\n"),
            Self::Size(size) => format!("{verb} SIZE {size}\n"),
            Self::Refused(refusal) => match refusal.text(verb) {
                Some(text) => format!("{verb} ERR ({text})\n"),
                None => format!("{verb} ERR\n"),
            },
        };
        out.extend_from_slice(line.as_bytes());
    }
}

impl Refusal {
    /// Reads what follows `X ERR`.
    fn parse(verb: Verb, reason: &[u8]) -> Option<Self> {
        Some(match reason {
            b"" if verb == Verb::Zsend => Self::BadArchive,
            b"" => Self::Unspecified,
            b" (invalid file name)" | b" (file has an invalid file name)" => Self::InvalidName,
            b" (file is too big)" => Self::TooBig,
            b" (file already exists)" => Self::Exists,
            b" (file does not exist)" => Self::Missing,
            b" (file has changed)" => Self::Changed,
            b" (no room for the file)" | b" (no room for compression)" => Self::NoRoom,
            b" (not allowed)" => Self::NotAllowed,
            b" (file cannot be stored)" | b" (file cannot be read)" | b" (file cannot be removed)" => Self::Failed,
            _ => {
                let text = reason.strip_prefix(b" ")?;
                let bare = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")"));
                Self::Other(Excerpt::of(bare.unwrap_or(text)))
            }
        })
    }

    /// The reason as the server that refuses logs it; `Display` is for the one who is refused.
    pub fn own_words(&self) -> &'static str {
        match self {
            Self::BadArchive => "not a ZIP archive",
            Self::Failed => "the disk failed",
            Self::Unspecified | Self::Other(_) => "no reason given",
            Self::InvalidName
            | Self::TooBig
            | Self::Exists
            | Self::Missing
            | Self::Changed
            | Self::NoRoom
            | Self::NotAllowed => self.text(Verb::Send).unwrap_or_default(),
        }
    }

    /// In one word, as a status counts it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::InvalidName => "invalid-name",
            Self::TooBig => "too-big",
            Self::Exists => "exists",
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::BadArchive => "bad-archive",
            Self::NoRoom => "no-room",
            Self::NotAllowed => "not-allowed",
            Self::Failed => "failed",
            Self::Unspecified | Self::Other(_) => "unspecified",
        }
    }

    /// The text in parentheses; none for `LS` and `MV`, nor where stock gives none.
    fn text(&self, verb: Verb) -> Option<&'static str> {
        match (self, verb) {
            (_, Verb::Ls | Verb::Mv) | (Self::BadArchive | Self::Unspecified | Self::Other(_), _) => None,
            (Self::InvalidName, Verb::Recv | Verb::Zrecv) => Some("file has an invalid file name"),
            (Self::InvalidName, _) => Some("invalid file name"),
            (Self::TooBig, _) => Some("file is too big"),
            (Self::Exists, _) => Some("file already exists"),
            (Self::Missing, _) => Some("file does not exist"),
            (Self::Changed, _) => Some("file has changed"),
            (Self::NoRoom, Verb::Deflate) => Some("no room for compression"),
            (Self::NoRoom, _) => Some("no room for the file"),
            (Self::NotAllowed, _) => Some("not allowed"),
            (Self::Failed, Verb::Recv | Verb::Zrecv | Verb::Get | Verb::List) => Some("file cannot be read"),
            (Self::Failed, Verb::Drop) => Some("file cannot be removed"),
            (Self::Failed, _) => Some("file cannot be stored"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName => f.write_str("invalid file name"),
            Self::TooBig => f.write_str("the file is empty or over the peer's size limit"),
            Self::Exists => f.write_str("the peer has a file of that name"),
            Self::Missing => f.write_str("the peer has no such file"),
            Self::Changed => f.write_str("the peer's file has changed"),
            Self::BadArchive => f.write_str("not a ZIP archive"),
            Self::NoRoom => f.write_str("the peer has no room for the file"),
            Self::NotAllowed => f.write_str("the peer's rules do not allow it"),
            Self::Failed => f.write_str("the peer's disk failed"),
            Self::Unspecified => f.write_str("the peer gave no reason"),
            Self::Other(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(verb: Verb, line: &str) -> Result<Reply, ReplyError<'_>> {
        Reply::parse(verb, line.as_bytes())
    }

    /// Every reply a stock server was seen to give.
    #[test]
    fn the_replies_of_stock_are_understood_and_ours_are_the_same_bytes() {
        use Refusal::{BadArchive, Exists, InvalidName, Missing, TooBig, Unspecified};
        use Verb::{Ls, Mv, Pass, Recv, Send, Zrecv, Zsend};
        for (verb, line, reply) in [
            (Pass, "PASS OK", Reply::Ok),
            (Ls, "LS SIZE 26", Reply::Size(26)),
            (Ls, "LS ERR", Reply::Refused(Unspecified)),
            (Recv, "RECV SIZE 0", Reply::Size(0)),
            (Recv, "RECV SIZE 102", Reply::Size(102)),
            (Recv, "RECV ERR (file does not exist)", Reply::Refused(Missing)),
            (Recv, "RECV ERR (file has an invalid file name)", Reply::Refused(InvalidName)),
            (Zrecv, "ZRECV SIZE 288", Reply::Size(288)),
            (Zrecv, "ZRECV ERR (file does not exist)", Reply::Refused(Missing)),
            (Zrecv, "ZRECV ERR (file has an invalid file name)", Reply::Refused(InvalidName)),
            (Mv, "MV SIZE 17", Reply::Size(17)),
            (Mv, "MV ERR", Reply::Refused(Unspecified)),
            (Send, "SEND OK", Reply::Ok),
            (Send, "SEND ERR", Reply::Refused(Unspecified)),
            (Send, "SEND ERR (invalid file name)", Reply::Refused(InvalidName)),
            (Send, "SEND ERR (file is too big)", Reply::Refused(TooBig)),
            (Send, "SEND ERR (file already exists)", Reply::Refused(Exists)),
            (Zsend, "ZSEND OK", Reply::Ok),
            (Zsend, "ZSEND ERR", Reply::Refused(BadArchive)),
            (Zsend, "ZSEND ERR (invalid file name)", Reply::Refused(InvalidName)),
            (Zsend, "ZSEND ERR (file is too big)", Reply::Refused(TooBig)),
            (Zsend, "ZSEND ERR (file already exists)", Reply::Refused(Exists)),
        ] {
            assert_eq!(parse(verb, line), Ok(reply.clone()), "{line}");
            let mut encoded = Vec::new();
            reply.encode(verb, &mut encoded);
            assert_eq!(encoded, format!("{line}\n").as_bytes());
        }
    }

    #[test]
    fn a_reason_stock_does_not_give_is_passed_on() {
        let other = |text: &str| Ok(Reply::Refused(Refusal::Other(Excerpt::of(text.as_bytes()))));
        assert_eq!(parse(Verb::Send, "SEND ERR (disk full)"), other("disk full"));
        assert_eq!(parse(Verb::Mv, "MV ERR busy"), other("busy"));
        assert_eq!(parse(Verb::Mv, "MV ERR (half"), other("(half"));
    }

    #[test]
    fn our_own_refusals_are_read_back() {
        use Refusal::{Failed, NoRoom, NotAllowed};
        for (verb, line, refusal) in [
            (Verb::Send, "SEND ERR (no room for the file)", NoRoom),
            (Verb::Zsend, "ZSEND ERR (file cannot be stored)", Failed),
            (Verb::Zsend, "ZSEND ERR (not allowed)", NotAllowed),
            (Verb::Recv, "RECV ERR (not allowed)", NotAllowed),
            (Verb::Zrecv, "ZRECV ERR (file cannot be read)", Failed),
        ] {
            let mut encoded = Vec::new();
            Reply::Refused(refusal.clone()).encode(verb, &mut encoded);
            assert_eq!(encoded, format!("{line}\n").as_bytes());
            assert_eq!(parse(verb, line), Ok(Reply::Refused(refusal)));
        }
        let mut encoded = Vec::new();
        Reply::Refused(NotAllowed).encode(Verb::Mv, &mut encoded);
        assert_eq!(encoded, b"MV ERR\n", "nobody expects more than stock says there");
    }

    #[test]
    fn every_refusal_is_read_back_as_itself_or_as_one_without_a_reason() {
        use Refusal::{BadArchive, Exists, Failed, InvalidName, Missing, NoRoom, NotAllowed, TooBig, Unspecified};
        for refusal in [InvalidName, TooBig, Exists, Missing, BadArchive, NoRoom, NotAllowed, Failed, Unspecified] {
            for verb in [Verb::Ls, Verb::Mv, Verb::Recv, Verb::Zrecv, Verb::Send, Verb::Zsend] {
                let mut encoded = Vec::new();
                Reply::Refused(refusal.clone()).encode(verb, &mut encoded);
                let bare = matches!(verb, Verb::Ls | Verb::Mv) || matches!(refusal, BadArchive | Unspecified);
                let expected = match verb {
                    _ if !bare => refusal.clone(),
                    Verb::Zsend => BadArchive,
                    _ => Unspecified,
                };
                let line = encoded.strip_suffix(b"\n").unwrap();
                assert_eq!(Reply::parse(verb, line), Ok(Reply::Refused(expected)), "{verb} {refusal:?}");
            }
        }
    }

    #[test]
    fn what_does_not_answer_the_verb_is_garbage() {
        for line in [
            "",
            "LS",
            "LS ",
            "ls OK",
            "LS OK ",
            "LS OK\r",
            " LS OK",
            "LS  OK",
            "LSOK",
            "MV OK",
            "RECV SIZE 1",
            "LS SIZE",
            "LS SIZE ",
            "LS SIZE -1",
            "LS SIZE +1",
            "LS SIZE 1 ",
            "LS SIZE 1\r",
            "LS SIZE ten",
            "LS ERROR",
            "LS ERR(x)",
            "HTTP/1.1 400 Bad Request",
            "SSH-2.0-OpenSSH_9.2",
        ] {
            assert_eq!(parse(Verb::Ls, line), Err(ReplyError::Garbage), "{line:?}");
        }
    }

    #[test]
    fn a_size_no_file_can_have_is_told_from_garbage() {
        assert_eq!(parse(Verb::Mv, "MV SIZE 9223372036854775807"), Ok(Reply::Size(super::super::MAX_SIZE)));
        assert_eq!(parse(Verb::Mv, "MV SIZE 9223372036854775808"), Err(ReplyError::Size(b"9223372036854775808")));
        let digits = "7".repeat(30);
        assert_eq!(parse(Verb::Mv, &format!("MV SIZE {digits}")), Err(ReplyError::Size(digits.as_bytes())));
    }
}
