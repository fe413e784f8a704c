//! The lines a client sends beyond stock's.

use std::io::Write as _;

use super::super::size::{SizeError, parse_size};
use super::super::{FileName, ListArg, NameError, Verb};
use super::ContentHash;

/// What a client asks a server of ours; in [the module's](super) words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionCommand {
    /// `RECV <?caps>`: what can you do?
    Capabilities,
    /// `GET`: a copy of a file, at once.
    Get(FileName),
    /// `LIST`: a page of what is in a directory, the oldest first.
    List {
        /// What the filters turn into a directory.
        word: ListArg,
        /// What the page is to begin behind; `None` for the beginning.
        after: Option<Cursor>,
        /// The most files of the page, if not the server's own.
        limit: Option<u64>,
    },
    /// `DROP`: remove the file if it holds these bytes.
    Drop {
        /// The file's name.
        name: FileName,
        /// Its bytes.
        size: u64,
        /// And what they hash to.
        hash: ContentHash,
    },
    /// `PUT`: store the file whose bytes follow.
    Put {
        /// Under this name.
        name: FileName,
        /// Bytes to come.
        size: u64,
        /// And only if.
        condition: Condition,
    },
    /// `DEFLATE`: compress what follows, in both directions.
    Deflate,
}

/// Why a command of the extension cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// A name no file may have.
    #[error("{verb}: {error}")]
    Name {
        /// The command.
        verb: Verb,
        /// What is wrong with the name.
        error: NameError,
        /// Bytes of the body that follows.
        size: Option<u64>,
    },
    /// A size no file can have.
    #[error("{verb}: the size is more than a file can have")]
    Size {
        /// The command.
        verb: Verb,
    },
}

impl ExtensionError {
    /// What the answer begins with.
    pub fn verb(self) -> Verb {
        let (Self::Name { verb, .. } | Self::Size { verb }) = self;
        verb
    }
}

/// Where a list is to go on: behind the file of this mtime and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Nanoseconds since 1970.
    pub mtime: u64,
    /// The name's bytes: any that may stand in a list.
    pub name: ListArg,
}

/// When a file is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Where `SEND` may store it.
    None,
    /// If there is nothing of its name.
    Absent,
    /// In place of a file with these bytes.
    Hash(ContentHash),
}

impl ExtensionCommand {
    /// What the answers to this command begin with.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Capabilities => Verb::Caps,
            Self::Get(_) => Verb::Get,
            Self::List { .. } => Verb::List,
            Self::Drop { .. } => Verb::Drop,
            Self::Put { .. } => Verb::Put,
            Self::Deflate => Verb::Deflate,
        }
    }

    /// Appends the command as it goes over the wire, `\n` included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // A vector takes whatever is written to it.
        let _ = match self {
            Self::Capabilities => out.write_all(QUESTION),
            Self::Deflate => out.write_all(DEFLATE),
            Self::Get(name) => out.write_all(b"GET").and_then(|()| bracket(name.as_bytes(), out)),
            Self::List { word, after, limit } => {
                let _ = out.write_all(b"LIST").and_then(|()| bracket(word.as_bytes(), out));
                if let Some(Cursor { mtime, name }) = after {
                    let _ = write!(out, " AFTER {mtime}").and_then(|()| bracket(name.as_bytes(), out));
                }
                limit.map_or(Ok(()), |limit| write!(out, " LIMIT {limit}"))
            }
            Self::Drop { name, size, hash } => {
                let _ = out.write_all(b"DROP").and_then(|()| bracket(name.as_bytes(), out));
                write!(out, " SIZE {size} BLAKE3 {hash}")
            }
            Self::Put { name, size, condition } => {
                let _ = out.write_all(b"PUT").and_then(|()| bracket(name.as_bytes(), out));
                let _ = write!(out, " SIZE {size}");
                match condition {
                    Condition::None => Ok(()),
                    Condition::Absent => out.write_all(b" IF ABSENT"),
                    Condition::Hash(hash) => write!(out, " IF BLAKE3 {hash}"),
                }
            }
        };
        out.push(b'\n');
    }

    /// Reads a line, without its `\n`; `None` if it is no command of the extension.
    pub fn parse(line: &[u8]) -> Option<Result<Self, ExtensionError>> {
        if line == QUESTION {
            return Some(Ok(Self::Capabilities));
        }
        if line == DEFLATE {
            return Some(Ok(Self::Deflate));
        }
        let verbs = [Verb::Get, Verb::List, Verb::Drop, Verb::Put];
        let (verb, rest) = verbs.iter().find_map(|&verb| Some((verb, verb.strip_from(line)?)))?;
        let (text, rest) = bracketed(rest)?;
        match verb {
            Verb::List => parse_list(text, rest),
            Verb::Drop => parse_drop(text, rest),
            Verb::Put => parse_put(text, rest),
            _ if rest.is_empty() => Some(named(verb, text, None).map(Self::Get)),
            _ => None,
        }
    }
}

/// Without its `\n`.
const QUESTION: &[u8] = b"RECV <?caps>";
const DEFLATE: &[u8] = b"DEFLATE";

fn bracket(text: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    out.write_all(b" <")?;
    out.write_all(text)?;
    out.write_all(b">")
}

/// What stands in `<…>`, where no `>` may, and what follows.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"<")?;
    let end = text.iter().position(|&byte| byte == b'>')?;
    Some((&text[..end], &text[end + 1..]))
}

/// A number and what follows it.
fn number(text: &[u8]) -> Option<(Result<u64, SizeError>, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (!digits.is_empty()).then(|| (parse_size(digits), rest))
}

fn named(verb: Verb, name: &[u8], size: Option<u64>) -> Result<FileName, ExtensionError> {
    FileName::new(name).map_err(|error| ExtensionError::Name { verb, error, size })
}

fn parse_list(word: &[u8], rest: &[u8]) -> Option<Result<ExtensionCommand, ExtensionError>> {
    let bad_name = |error| ExtensionError::Name { verb: Verb::List, error, size: None };
    let (after, rest) = match rest.strip_prefix(b" AFTER ") {
        None => (None, rest),
        Some(rest) => {
            let (mtime, rest) = number(rest)?;
            let (name, rest) = bracketed(rest.strip_prefix(b" ")?)?;
            (Some((mtime.ok()?, name)), rest)
        }
    };
    let (limit, rest) = match rest.strip_prefix(b" LIMIT ") {
        None => (None, rest),
        Some(rest) => {
            let (limit, rest) = number(rest)?;
            // More than there can be is no limit.
            (limit.ok(), rest)
        }
    };
    if !rest.is_empty() {
        return None;
    }
    let after = after.map(|(mtime, name)| Ok(Cursor { mtime, name: ListArg::new(name).map_err(bad_name)? }));
    let read = || {
        let word = ListArg::new(word).map_err(bad_name)?;
        Ok(ExtensionCommand::List { word, after: after.transpose()?, limit })
    };
    Some(read())
}

fn parse_drop(name: &[u8], rest: &[u8]) -> Option<Result<ExtensionCommand, ExtensionError>> {
    let (size, rest) = number(rest.strip_prefix(b" SIZE ")?)?;
    let hash = ContentHash::from_hex(rest.strip_prefix(b" BLAKE3 ")?)?;
    let read = || {
        let name = named(Verb::Drop, name, None)?;
        let size = size.map_err(|_| ExtensionError::Size { verb: Verb::Drop })?;
        Ok(ExtensionCommand::Drop { name, size, hash })
    };
    Some(read())
}

/// One whose body is longer than a file can be cannot be read past.
fn parse_put(name: &[u8], rest: &[u8]) -> Option<Result<ExtensionCommand, ExtensionError>> {
    let (size, rest) = number(rest.strip_prefix(b" SIZE ")?)?;
    let size = size.ok()?;
    let condition = match rest {
        b"" => Condition::None,
        b" IF ABSENT" => Condition::Absent,
        _ => Condition::Hash(ContentHash::from_hex(rest.strip_prefix(b" IF BLAKE3 ")?)?),
    };
    Some(named(Verb::Put, name, Some(size)).map(|name| ExtensionCommand::Put { name, size, condition }))
}

#[cfg(test)]
mod tests {
    use super::super::super::MAX_LINE;
    use super::*;

    fn parse(line: &str) -> Option<Result<ExtensionCommand, ExtensionError>> {
        ExtensionCommand::parse(line.as_bytes())
    }

    fn name(text: &str) -> FileName {
        text.parse().unwrap()
    }

    #[test]
    fn each_command_has_one_form() {
        let hash = ContentHash::of(b"abc");
        let list = |word: &str, after: Option<(u64, &str)>, limit| ExtensionCommand::List {
            word: word.parse().unwrap(),
            after: after.map(|(mtime, name)| Cursor { mtime, name: name.parse().unwrap() }),
            limit,
        };
        let put = |condition| ExtensionCommand::Put { name: name("a"), size: 5, condition };
        for (line, command) in [
            ("RECV <?caps>", ExtensionCommand::Capabilities),
            ("GET <odd name.data>", ExtensionCommand::Get(name("odd name.data"))),
            ("LIST <>", list("", None, None)),
            ("LIST <.conf> LIMIT 10", list(".conf", None, Some(10))),
            ("LIST <> AFTER 17 <a b>", list("", Some((17, "a b")), None)),
            ("LIST <x> AFTER 0 <> LIMIT 0", list("x", Some((0, "")), Some(0))),
            (&format!("DROP <a> SIZE 3 BLAKE3 {hash}"), ExtensionCommand::Drop { name: name("a"), size: 3, hash }),
            ("PUT <a> SIZE 5", put(Condition::None)),
            ("DEFLATE", ExtensionCommand::Deflate),
            ("PUT <a> SIZE 5 IF ABSENT", put(Condition::Absent)),
            (&format!("PUT <a> SIZE 5 IF BLAKE3 {hash}"), put(Condition::Hash(hash))),
        ] {
            assert_eq!(parse(line), Some(Ok(command.clone())), "{line}");
            let mut said = Vec::new();
            command.encode(&mut said);
            assert_eq!(said, format!("{line}\n").as_bytes());
        }
    }

    #[test]
    fn what_has_another_form_is_no_command() {
        let hash = ContentHash::of(b"abc");
        let max = "9".repeat(30);
        for line in [
            "",
            "GET",
            "GET a",
            "GET <a",
            "GET <a> ",
            "GET <a>b>",
            "get <a>",
            "GET / HTTP/1.1\r",
            "RECV <?caps> ",
            "LIST",
            "LIST <> ",
            "LIST <>  LIMIT 1",
            "LIST <> LIMIT",
            "LIST <> LIMIT -1",
            "LIST <> LIMIT 1 AFTER 1 <a>",
            "LIST <> AFTER <a>",
            "LIST <> AFTER 1",
            "LIST <> AFTER 1 a",
            "LIST <> LIMIT 1 LIMIT 1",
            "DROP <a>",
            "DROP <a> SIZE 3",
            "DROP <a> SIZE 3 BLAKE3 abc",
            "DROP <a> SIZE 3 SHA256 abc",
            &format!("DROP <a> SIZE 3 BLAKE3 {hash}0"),
            &format!("DROP <a> SIZE  3 BLAKE3 {hash}"),
            "PUT <a>",
            "PUT <a> SIZE",
            "PUT <a> SIZE 5 IF",
            "PUT <a> SIZE 5 IF ABSENT ",
            "PUT <a> SIZE 5 IF BLAKE3 ",
            &format!("PUT <a> SIZE {max}"),
            &format!("LIST <> AFTER {max} <a>"),
            "DEFLATE ",
            "DEFLATE <a>",
            "LS <>",
            "QUIT",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_is_told_from_no_command() {
        let hash = ContentHash::of(b"abc");
        let long = "n".repeat(256);
        for (line, verb, error, size) in [
            ("GET <a*b>", Verb::Get, NameError::Forbidden(b'*'), None),
            ("GET <>", Verb::Get, NameError::Empty, None),
            (&format!("GET <{long}>"), Verb::Get, NameError::TooLong(256), None),
            ("LIST <?>", Verb::List, NameError::Forbidden(b'?'), None),
            ("LIST <> AFTER 1 <a\0>", Verb::List, NameError::Control(0), None),
            (&format!("DROP <..> SIZE 1 BLAKE3 {hash}"), Verb::Drop, NameError::Dots, None),
            ("PUT <a/b> SIZE 7", Verb::Put, NameError::Forbidden(b'/'), Some(7)),
        ] {
            assert_eq!(parse(line), Some(Err(ExtensionError::Name { verb, error, size })), "{line}");
        }
        let too_large = format!("DROP <a> SIZE {} BLAKE3 {hash}", "9".repeat(30));
        assert_eq!(parse(&too_large), Some(Err(ExtensionError::Size { verb: Verb::Drop })));
    }

    #[test]
    fn the_longest_commands_fit_into_a_line() {
        let text = "n".repeat(255);
        let list = ExtensionCommand::List {
            word: text.parse().unwrap(),
            after: Some(Cursor { mtime: u64::MAX, name: text.parse().unwrap() }),
            limit: Some(u64::MAX),
        };
        let mut line = Vec::new();
        list.encode(&mut line);
        assert!(line.len() <= MAX_LINE, "{}", line.len());
    }
}
