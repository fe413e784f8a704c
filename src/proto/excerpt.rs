//! What may be shown of bytes a peer sent.

use std::fmt;

use super::quote::write_escaped;
use super::{Count, Verb};

/// How many bytes are kept: enough to recognise another protocol or an error page's first line.
const KEPT: usize = 80;

/// Runs of hex digits this long are masked where a peer may be echoing a password digest.
const DIGEST_LIKE: usize = 8;

/// Hex digits of a whole digest: in a command there are sizes, too.
const DIGEST: usize = 32;

/// How speakers of other protocols begin.
const OTHER_PROTOCOLS: &[(&str, &[&[u8]])] = &[
    ("SSH", &[b"SSH-"]),
    ("HTTP", &[b"HTTP/", b"<!DOCTYPE", b"<html", b"GET /", b"HEAD /", b"POST /", b"OPTIONS ", b"PRI * HTTP/2"]),
    ("SMTP or FTP", &[b"220 ", b"220-", b"421 ", b"554 ", b"EHLO ", b"HELO "]),
    ("IMAP", &[b"* OK", b"* BYE"]),
    ("POP3", &[b"+OK"]),
    ("VNC", &[b"RFB 0"]),
    ("Redis", &[b"-ERR ", b"-DENIED"]),
];

/// What commands begin with that hold no secret.
const OPEN_VERBS: [Verb; 6] = [Verb::Ls, Verb::Mv, Verb::Recv, Verb::Send, Verb::Zrecv, Verb::Zsend];

/// What commands of the extension begin with. (`GET` alone is another protocol's.)
const EXTENSION_VERBS: [Verb; 4] = [Verb::Get, Verb::List, Verb::Drop, Verb::Put];

/// The beginning of what a peer sent, safe to print: at most 80 bytes, escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt {
    head: Box<[u8]>,
    cut: bool,
    /// Of so many bytes, none of which is shown.
    hidden: Option<usize>,
}

/// What may be shown of what came where the answer to `verb` was due.
pub(super) fn excerpt_of_reply(verb: Verb, bytes: &[u8]) -> Excerpt {
    if verb == Verb::Pass { Excerpt::without_digests(bytes) } else { Excerpt::of(bytes) }
}

impl Excerpt {
    /// Keeps the beginning of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let head = &bytes[..bytes.len().min(KEPT)];
        Self { head: head.into(), cut: head.len() < bytes.len(), hidden: None }
    }

    /// Of a client's line, what is no secret: all of what has a command's form, its first word of what begins like one, and
    /// of anything else its length, since it may be a password.
    pub fn of_command(line: &[u8]) -> Self {
        let begins = |verb: &Verb| line.strip_prefix(verb.as_str().as_bytes());
        let named = OPEN_VERBS.iter().chain(&EXTENSION_VERBS).filter_map(begins).any(|rest| rest.starts_with(b" <"));
        if named || matches!(line.trim_ascii_end(), b"QUIT" | b"DEFLATE") {
            return Self::masked(line, DIGEST);
        }
        let is_word =
            |verb: &&Verb| begins(verb).is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric));
        match OPEN_VERBS.iter().find(is_word) {
            Some(verb) => Self { cut: line.len() > verb.as_str().len(), ..Self::of(verb.as_str().as_bytes()) },
            None => Self { hidden: Some(line.len()), ..Self::of(line) },
        }
    }

    /// As [`of`](Self::of), with everything that could be a password digest masked: whatever answers `PASS` may be
    /// an echo of it, and the digest is as good as the password.
    pub fn without_digests(bytes: &[u8]) -> Self {
        Self::masked(bytes, DIGEST_LIKE)
    }

    /// With runs of at least so many hex digits masked.
    fn masked(bytes: &[u8], least: usize) -> Self {
        let mut excerpt = Self::of(bytes);
        excerpt
            .head
            .chunk_by_mut(|a, b| a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
            .filter(|run| run.len() >= least)
            .for_each(|run| run.fill(b'*'));
        excerpt
    }

    /// The bytes kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.head
    }

    /// The protocol whose banner, request or answer begins like this: not Tentacle, so the port is most likely wrong.
    pub fn protocol(&self) -> Option<&'static str> {
        let begins = |start: &[u8]| self.head.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
        OTHER_PROTOCOLS.iter().find(|(_, starts)| starts.iter().any(|start| begins(start))).map(|(name, _)| *name)
    }

    /// Whether there was more than was kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(length) = self.hidden {
            return write!(f, "{} (not shown)", Count(length as u64, "byte"));
        }
        f.write_str("\"")?;
        write_escaped(&self.head, f)?;
        f.write_str(if self.cut { "\"..." } else { "\"" })
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        assert_eq!(Excerpt::of(b"a\x1b[2J\"\xff\r").to_string(), r#""a\x1b[2J\"\xff\r""#);
    }

    #[test]
    fn other_protocols_are_known_by_how_they_begin() {
        let protocol = |text: &str| Excerpt::of(text.as_bytes()).protocol();
        assert_eq!(protocol("SSH-2.0-OpenSSH_9.2p1 Debian\r"), Some("SSH"));
        assert_eq!(protocol("http/1.1 400 Bad Request\r"), Some("HTTP"));
        assert_eq!(protocol("GET / HTTP/1.0\r"), Some("HTTP"));
        assert_eq!(protocol("220 mail.example.org ESMTP\r"), Some("SMTP or FTP"));
        for text in ["", "LS SIZE 3", "RECV ERR (file does not exist)", "SS", "2200"] {
            assert_eq!(protocol(text), None, "{text}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        let shown = |line: &str| Excerpt::of_command(line.as_bytes()).to_string();
        for secret in
            ["hunter2", "PASS hunter2", "PASS", "pass hunter2", "SENDhunter2", "QUIThunter2", "GET /?hunter2", ""]
        {
            assert_eq!(shown(secret), format!("{} (not shown)", Count(secret.len() as u64, "byte")));
        }
        assert_eq!(shown("SEND hunter2"), "\"SEND\"...");
        assert_eq!(shown("LS"), "\"LS\"");
        assert_eq!(shown("LS\r"), "\"LS\"...");
        assert_eq!(shown("LS <>\r"), r#""LS <>\r""#);
        assert_eq!(shown("QUIT\r"), r#""QUIT\r""#);
        assert_eq!(shown("SEND <a b> SIZE x"), r#""SEND <a b> SIZE x""#);
    }

    #[test]
    fn only_the_beginning_is_kept() {
        let whole = Excerpt::of(&[b'a'; KEPT]);
        assert!(!whole.is_cut());
        let cut = Excerpt::of(&[b'a'; KEPT + 1]);
        assert!(cut.is_cut());
        assert_eq!(cut.as_bytes(), whole.as_bytes());
        assert_eq!(cut.to_string(), format!("\"{}\"...", "a".repeat(KEPT)));
    }

    #[test]
    fn an_echoed_digest_is_masked_and_other_text_is_not() {
        let echo = Excerpt::without_digests(b"PASS 703b089710823916d4bb7ff2deff4d8f");
        assert_eq!(echo.to_string(), format!("\"PASS {}\"", "*".repeat(32)));
        let cut =
            Excerpt::without_digests(&[b"x ".repeat(36).as_slice(), b"703b089710823916d4bb7ff2deff4d8f"].concat());
        assert!(cut.to_string().ends_with("x ********\"..."), "{cut}");
        assert_eq!(Excerpt::without_digests(b"HTTP/1.1 400 Bad"), Excerpt::of(b"HTTP/1.1 400 Bad"));
    }
}
