//! One line of `pandora_server.conf`: as the stock parser takes it, and as its author intended it.
//!
//! To the stock parser a line counts if it begins with a letter and somewhere holds a word character, one blank and a
//! value character. A token then matches at the start of the line, in any case, followed by blanks; the rest is its
//! value, without the blanks around it.

/// The tokens that matter to a sync server, and to what a data server makes of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Token {
    Server,
    Address,
    Port,
    Ca,
    Cert,
    Key,
    Retries,
    Timeout,
    BlockSize,
    Threshold,
    IncomingDir,
    SmartQueue,
    MaxQueueFiles,
    UseXmlTimestamp,
}

/// Every [`Token`] as it is written.
pub(super) const TOKENS: [(&str, Token); 14] = [
    ("syncserver", Token::Server),
    ("sync_address", Token::Address),
    ("sync_port", Token::Port),
    ("sync_ca", Token::Ca),
    ("sync_cert", Token::Cert),
    ("sync_key", Token::Key),
    ("sync_retries", Token::Retries),
    ("sync_timeout", Token::Timeout),
    ("sync_block_size", Token::BlockSize),
    ("server_threshold", Token::Threshold),
    ("incomingdir", Token::IncomingDir),
    ("dataserver_smart_queue", Token::SmartQueue),
    ("max_queue_files", Token::MaxQueueFiles),
    ("use_xml_timestamp", Token::UseXmlTimestamp),
];

impl Token {
    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        TOKENS.iter().find(|(_, token)| *token == self).map_or("", |(name, _)| name)
    }

    /// Whether Pandora's other servers read it from the same file, so that it must mean the same to us.
    pub(super) fn is_shared(self) -> bool {
        self.is_of_data_server() || matches!(self, Self::Threshold | Self::IncomingDir)
    }

    /// Whether the data server reads it, and the sync server does not.
    pub(super) fn is_of_data_server(self) -> bool {
        matches!(self, Self::SmartQueue | Self::MaxQueueFiles | Self::UseXmlTimestamp)
    }

    /// Whether its value is text; of the others only the leading digits count.
    fn is_text(self) -> bool {
        matches!(self, Self::Address | Self::Ca | Self::Cert | Self::Key | Self::IncomingDir)
    }
}

const EQUALS_SIGN: &str = "`=` after the token";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a line comes down to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A token with its value.
    Setting(Setting<'a>),
    /// A token that begins like ours, and is none.
    Unknown(&'a [u8]),
    /// Blank, a comment, or another component's.
    Other,
}

/// A token with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting<'a> {
    pub(super) token: Token,
    /// What its author intended.
    pub(super) value: &'a [u8],
    /// Whether the stock parser takes the line at all.
    pub(super) counts_at_stock: bool,
    /// What in the line keeps the stock parser from reading that value.
    pub(super) slips: Vec<&'static str>,
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed.
    pub(super) fn read(line: &'a [u8]) -> Self {
        let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii_start();
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
        let (word, rest) = text.split_at(text.iter().position(|byte| !is_token(byte)).unwrap_or(text.len()));
        let known = TOKENS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        match known {
            Some((_, token)) => Self::setting(*token, line, rest),
            None if begins_like_ours(word) => Self::Unknown(word),
            None => Self::Other,
        }
    }

    fn setting(token: Token, line: &'a [u8], rest: &'a [u8]) -> Self {
        let counts_at_stock = line.first().is_some_and(u8::is_ascii_alphabetic) && has_value(line) && is_blank(rest);
        let mut slips = Vec::new();
        if line.starts_with(BYTE_ORDER_MARK) {
            slips.push("the byte order mark before the token");
        } else if line.first().copied().is_some_and(is_space) {
            slips.push("a blank before the token");
        }
        let value = separated(rest, counts_at_stock, &mut slips);
        let value = if token.is_text() { as_meant(value, &mut slips) } else { value };
        if !counts_at_stock && slips.is_empty() {
            slips.push("the first character of the value");
        }
        if value.is_empty() && !counts_at_stock {
            return Self::Other;
        }
        Self::Setting(Setting { token, value, counts_at_stock, slips })
    }
}

impl Setting<'_> {
    /// Whether it is written with `=`, as in other formats.
    pub(super) fn has_equals_sign(&self) -> bool {
        self.slips.contains(&EQUALS_SIGN)
    }
}

fn begins_like_ours(word: &[u8]) -> bool {
    word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"sync"))
}

/// A word character, one blank, a value character.
fn has_value(line: &[u8]) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let begins_value = |byte: u8| is_word(byte) || b"/?&=()!*@#%$~\"'".contains(&byte);
    line.windows(3).any(|three| is_word(three[0]) && is_space(three[1]) && begins_value(three[2]))
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

fn is_blank(rest: &[u8]) -> bool {
    rest.first().copied().is_some_and(is_space)
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// What follows the token, without the blanks and signs between them.
fn separated<'a>(rest: &'a [u8], counts_at_stock: bool, slips: &mut Vec<&'static str>) -> &'a [u8] {
    let value = trimmed(rest);
    if let Some(after) = value.strip_prefix(b"=") {
        slips.push(EQUALS_SIGN);
        return trimmed(after);
    }
    if let Some(after) = rest.strip_prefix(b":") {
        slips.push("`:` after the token");
        return trimmed(after);
    }
    if !counts_at_stock && rest.get(1).copied().is_some_and(is_space) {
        slips.push("more than one blank before the value");
    }
    value
}

/// The value without a comment after it and quotes around it.
fn as_meant<'a>(value: &'a [u8], slips: &mut Vec<&'static str>) -> &'a [u8] {
    let begins_comment = |at: &usize| value[*at] == b'#' && (*at == 0 || is_space(value[at - 1]));
    let value = match (0..value.len()).find(begins_comment) {
        Some(at) => {
            slips.push("a comment after the value");
            trimmed(&value[..at])
        }
        None => value,
    };
    match value {
        [open @ (b'"' | b'\''), inside @ .., close] if open == close => {
            slips.push("quotes around the value");
            trimmed(inside)
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(line: &str) -> Option<(Token, &str, bool, Vec<&'static str>)> {
        match Line::read(line.as_bytes()) {
            Line::Setting(Setting { token, value, counts_at_stock, slips }) => {
                Some((token, std::str::from_utf8(value).unwrap(), counts_at_stock, slips))
            }
            Line::Unknown(_) | Line::Other => None,
        }
    }

    #[test]
    fn lines_that_stock_reads_as_meant() {
        for (line, token, value) in [
            ("syncserver 1", Token::Server, "1"),
            ("sync_address 10.142.50.10,20.152.50.20", Token::Address, "10.142.50.10,20.152.50.20"),
            ("SYNC_Port 41121\r", Token::Port, "41121"),
            ("sync_ca\t/home/ca cert.pem \t", Token::Ca, "/home/ca cert.pem"),
            ("sync_key /a#b", Token::Key, "/a#b"),
            ("sync_timeout 10 # seconds", Token::Timeout, "10 # seconds"),
            ("incomingdir /var/spool/pandora/data_in", Token::IncomingDir, "/var/spool/pandora/data_in"),
            // The pattern that makes a line count may match anywhere in it.
            ("sync_ca  /a b", Token::Ca, "/a b"),
        ] {
            assert_eq!(setting(line), Some((token, value, true, vec![])), "{line}");
        }
    }

    #[test]
    fn lines_that_stock_drops() {
        for (line, token, value, slip) in [
            ("sync_address  10.0.0.1", Token::Address, "10.0.0.1", "more than one blank before the value"),
            ("sync_port \t41121", Token::Port, "41121", "more than one blank before the value"),
            ("sync_port=41121", Token::Port, "41121", "`=` after the token"),
            ("sync_port: 41121", Token::Port, "41121", "`:` after the token"),
            ("sync_ca=/a b", Token::Ca, "/a b", "`=` after the token"),
            ("  sync_port 41121", Token::Port, "41121", "a blank before the token"),
            ("sync_address ::1", Token::Address, "::1", "the first character of the value"),
            ("sync_address [::1]:4000", Token::Address, "[::1]:4000", "the first character of the value"),
        ] {
            assert_eq!(setting(line), Some((token, value, false, vec![slip])), "{line}");
        }
    }

    #[test]
    fn lines_that_stock_misreads() {
        for (line, token, value, slip) in [
            ("sync_port = 41121", Token::Port, "41121", "`=` after the token"),
            ("sync_address 10.0.0.1 # plant", Token::Address, "10.0.0.1", "a comment after the value"),
            ("sync_ca \"/home/ca.pem\"", Token::Ca, "/home/ca.pem", "quotes around the value"),
            ("sync_ca '/home/ca.pem'", Token::Ca, "/home/ca.pem", "quotes around the value"),
            ("sync_ca #/home/ca.pem", Token::Ca, "", "a comment after the value"),
            ("sync_ca =", Token::Ca, "", "`=` after the token"),
        ] {
            assert_eq!(setting(line), Some((token, value, true, vec![slip])), "{line}");
        }
    }

    #[test]
    fn every_slip_of_a_line_is_named() {
        assert_eq!(
            setting("\tsync_key = '/a'   # ours"),
            Some((
                Token::Key,
                "/a",
                false,
                vec![
                    "a blank before the token",
                    "`=` after the token",
                    "a comment after the value",
                    "quotes around the value"
                ]
            ))
        );
    }

    #[test]
    fn what_is_none_of_ours_is_left_alone() {
        for line in [
            "",
            "#sync_port 1",
            "# sync_port 1",
            "dbname pandora",
            "sync_port",
            "sync_ca ",
            "async_recovery 1",
            "\"",
            "[x]",
        ] {
            assert_eq!(Line::read(line.as_bytes()), Line::Other, "{line}");
        }
    }

    #[test]
    fn a_misspelt_token_is_no_other_components() {
        assert_eq!(Line::read(b"sync_adress 10.0.0.1"), Line::Unknown(b"sync_adress"));
        assert_eq!(Line::read(b"Sync-Port 10"), Line::Unknown(b"Sync-Port"));
    }

    #[test]
    fn a_byte_order_mark_does_not_hide_the_first_line() {
        let expected = (Token::Port, "1", false, vec!["the byte order mark before the token"]);
        assert_eq!(setting("\u{feff}sync_port 1"), Some(expected));
    }
}
