//! Commands as stock takes them.

use std::fmt;

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words of the protocol")]
pub enum Verb {
    Pass,
    Send,
    Zsend,
    Recv,
    Zrecv,
    Ls,
    Mv,
    Quit,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Send => "SEND",
            Self::Zsend => "ZSEND",
            Self::Recv => "RECV",
            Self::Zrecv => "ZRECV",
            Self::Ls => "LS",
            Self::Mv => "MV",
            Self::Quit => "QUIT",
        })
    }
}

/// A command, its name unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Pass {
        digest: &'a [u8],
    },
    /// A size beyond `u64` counts as `u64::MAX`: too big either way.
    Send {
        zip: bool,
        name: &'a [u8],
        size: u64,
    },
    Recv {
        zip: bool,
        name: &'a [u8],
    },
    Ls {
        word: &'a [u8],
    },
    Mv {
        name: &'a [u8],
    },
    Quit,
}

impl<'a> Command<'a> {
    /// Understands `line`, which lacks its final newline; `None` is what stock hangs up on.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        if line.contains(&b'\n') {
            return None;
        }
        let (verb, rest) = line.split_at(line.iter().position(|&byte| byte == b' ').unwrap_or(line.len()));
        match verb {
            b"PASS" => Some(Self::Pass { digest: rest.strip_prefix(b" ")? }),
            b"SEND" => Self::parse_send(rest, false),
            b"ZSEND" => Self::parse_send(rest, true),
            b"RECV" => Some(Self::Recv { zip: false, name: in_brackets(rest)? }),
            b"ZRECV" => Some(Self::Recv { zip: true, name: in_brackets(rest)? }),
            b"LS" => Some(Self::Ls { word: in_brackets(rest)? }),
            b"MV" => Some(Self::Mv { name: in_brackets(rest)? }),
            b"QUIT" if rest.is_empty() => Some(Self::Quit),
            _ => None,
        }
    }

    fn parse_send(rest: &'a [u8], zip: bool) -> Option<Self> {
        const SIZE: &[u8] = b" SIZE ";
        let at = rest.windows(SIZE.len()).rposition(|window| window == SIZE)?;
        let (name, size) = (&rest[..at], &rest[at + SIZE.len()..]);
        Some(Self::Send { zip, name: in_brackets(name)?, size: number(size)? })
    }

    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::Pass { .. } => Verb::Pass,
            Self::Send { zip: false, .. } => Verb::Send,
            Self::Send { zip: true, .. } => Verb::Zsend,
            Self::Recv { zip: false, .. } => Verb::Recv,
            Self::Recv { zip: true, .. } => Verb::Zrecv,
            Self::Ls { .. } => Verb::Ls,
            Self::Mv { .. } => Verb::Mv,
            Self::Quit => Verb::Quit,
        }
    }

    /// The name or word it is about; empty where there is none.
    pub(super) fn name(&self) -> &'a [u8] {
        match *self {
            Self::Send { name, .. } | Self::Recv { name, .. } | Self::Mv { name } => name,
            Self::Ls { word } => word,
            Self::Pass { .. } | Self::Quit => b"",
        }
    }
}

fn in_brackets(rest: &[u8]) -> Option<&[u8]> {
    rest.strip_prefix(b" <")?.strip_suffix(b">")
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Whether stock refuses the name, and leaves it out of its listings.
pub(super) fn is_forbidden(name: &[u8]) -> bool {
    name.iter().any(|byte| b"?[]/\\=+<>:;',*~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_taken_greedily() {
        assert_eq!(Command::parse(b"MV <a<>"), Some(Command::Mv { name: b"a<" }));
        assert_eq!(
            Command::parse(b"SEND <a> SIZE 1> SIZE 02"),
            Some(Command::Send { zip: false, name: b"a> SIZE 1", size: 2 })
        );
    }

    #[test]
    fn a_size_too_long_for_a_number_is_merely_too_big() {
        let size = b"ZSEND <a> SIZE 99999999999999999999999";
        assert_eq!(Command::parse(size), Some(Command::Send { zip: true, name: b"a", size: u64::MAX }));
    }

    #[test]
    fn what_stock_hangs_up_on_is_no_command() {
        for line in [
            "",
            "FOO",
            "ls <>",
            "LS",
            "LS <>x",
            "LS <>\r",
            "LS <>\nLS <>",
            "QUIT ",
            "RECV  <a>",
            "SEND <a> SIZE -1",
            "SEND <a> SIZE 3 ",
            "SEND <a> SIZE ",
            "SEND <a>",
            "RECV <a",
            "PASS",
        ] {
            assert_eq!(Command::parse(line.as_bytes()), None, "{line:?}");
        }
    }
}
