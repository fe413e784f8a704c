//! The lines a client sends.

use std::fmt;
use std::str::FromStr;

use super::name::{check_characters, check_length};
use super::size::{SizeError, parse_size};
use super::{Excerpt, FileName, NameError, PasswordDigest, RawName, Verb};

/// What a client asks of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `PASS`: log in. Only where the server has a password, and before anything else.
    Pass(PasswordDigest),
    /// `LS`: list a directory.
    List(ListArg),
    /// `RECV`: fetch a copy of a file.
    Receive(FileName),
    /// `ZRECV`: fetch a copy of a file inside a ZIP archive.
    ReceiveZip(FileName),
    /// `MV`: fetch a file; the server deletes it once it has written the last byte.
    Move(FileName),
    /// `SEND`: store a file.
    Send {
        /// Under this name.
        name: FileName,
        /// Bytes to come, at most [`MAX_SIZE`](super::MAX_SIZE); stock refuses 0.
        size: u64,
    },
    /// `ZSEND`: store the file inside a ZIP archive.
    SendZip {
        /// Under this name.
        name: FileName,
        /// Bytes of the archive, at most [`MAX_SIZE`](super::MAX_SIZE).
        size: u64,
    },
    /// `QUIT`: the server closes.
    Quit,
}

/// Why a line is no command a server could carry out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No command: the session cannot go on.
    #[error("{0} is no command")]
    Unknown(Excerpt),
    /// A command with a name no file may have.
    #[error("{verb}: {error}")]
    Name {
        /// The command.
        verb: Verb,
        /// What is wrong with the name.
        error: NameError,
        /// The size announced with it, if a file can have that.
        size: Option<u64>,
    },
    /// A command announcing a body no file can hold: refuse it as too big.
    #[error("{verb}: the size is more than a file can have")]
    Size {
        /// The command.
        verb: Verb,
    },
}

impl Command {
    /// What the replies to this command begin with; `QUIT` has none.
    pub fn verb(&self) -> Option<Verb> {
        Some(match self {
            Self::Pass(_) => Verb::Pass,
            Self::List(_) => Verb::Ls,
            Self::Receive(_) => Verb::Recv,
            Self::ReceiveZip(_) => Verb::Zrecv,
            Self::Move(_) => Verb::Mv,
            Self::Send { .. } => Verb::Send,
            Self::SendZip { .. } => Verb::Zsend,
            Self::Quit => return None,
        })
    }

    /// Appends the command as it goes over the wire, `\n` included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.verb().map_or("QUIT", Verb::as_str).as_bytes());
        match self {
            Self::Pass(digest) => {
                out.push(b' ');
                out.extend_from_slice(digest.expose());
            }
            Self::List(word) => encode_name(word.as_bytes(), out),
            Self::Receive(name) | Self::ReceiveZip(name) | Self::Move(name) => encode_name(name.as_bytes(), out),
            Self::Send { name, size } | Self::SendZip { name, size } => {
                encode_name(name.as_bytes(), out);
                out.extend_from_slice(format!(" SIZE {size}").as_bytes());
            }
            Self::Quit => {}
        }
        out.push(b'\n');
    }

    /// Reads a line, without its `\n`.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        if line == b"QUIT" {
            return Ok(Self::Quit);
        }
        let verb_and_rest = ALL_VERBS.iter().find_map(|&verb| Some((verb, verb.strip_from(line)?)));
        let (verb, rest) = verb_and_rest.ok_or_else(|| unknown(line))?;
        let unknown = || unknown(line);
        let bad_name = |error| CommandError::Name { verb, error, size: None };
        let file = || FileName::new(bracketed(rest).ok_or_else(unknown)?).map_err(bad_name);
        let file_and_size = || {
            let (name, size) = bracketed_and_size(rest).ok_or_else(unknown)?;
            match (FileName::new(name), size) {
                (Ok(name), Some(size)) => Ok((name, size)),
                // The order of stock's checks.
                (Err(error), size) if size.is_some() || error.is_refused() => {
                    Err(CommandError::Name { verb, error, size })
                }
                (_, _) => Err(CommandError::Size { verb }),
            }
        };
        match verb {
            Verb::Pass => PasswordDigest::from_hex(rest).map(Self::Pass).ok_or_else(unknown),
            Verb::Ls => ListArg::new(bracketed(rest).ok_or_else(unknown)?).map(Self::List).map_err(bad_name),
            Verb::Recv => file().map(Self::Receive),
            Verb::Zrecv => file().map(Self::ReceiveZip),
            Verb::Mv => file().map(Self::Move),
            Verb::Send => file_and_size().map(|(name, size)| Self::Send { name, size }),
            Verb::Zsend => file_and_size().map(|(name, size)| Self::SendZip { name, size }),
            Verb::Caps | Verb::Get | Verb::List | Verb::Drop | Verb::Put | Verb::Deflate => Err(unknown()),
        }
    }
}

const ALL_VERBS: [Verb; 7] = [Verb::Pass, Verb::Ls, Verb::Recv, Verb::Zrecv, Verb::Mv, Verb::Send, Verb::Zsend];

fn unknown(line: &[u8]) -> CommandError {
    CommandError::Unknown(Excerpt::without_digests(line))
}

fn encode_name(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b" <");
    out.extend_from_slice(name);
    out.push(b'>');
}

/// What stands in `<…>`; a `>` inside is the name's, for the name check to refuse.
fn bracketed(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"<")?.strip_suffix(b">")
}

/// What stands in `<…> SIZE n`, and the size if a file can have it.
fn bracketed_and_size(text: &[u8]) -> Option<(&[u8], Option<u64>)> {
    const BETWEEN: &[u8] = b" SIZE ";
    let at = text.windows(BETWEEN.len()).rposition(|window| window == BETWEEN)?;
    let name = bracketed(&text[..at])?;
    match parse_size(&text[at + BETWEEN.len()..]) {
        Ok(size) => Some((name, Some(size))),
        Err(SizeError::TooLarge) => Some((name, None)),
        Err(SizeError::NotDigits) => None,
    }
}

/// A transfer under a name that only the server judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `RECV`, or `ZRECV`: fetch a copy of a file.
    Receive {
        /// Of this name.
        name: RawName,
        /// Whether inside a ZIP archive.
        zip: bool,
    },
    /// `SEND`, or `ZSEND`: store a file.
    Send {
        /// Under this name.
        name: RawName,
        /// Whether inside a ZIP archive.
        zip: bool,
        /// Bytes to come, of the file or of the archive, at most [`MAX_SIZE`](super::MAX_SIZE).
        size: u64,
    },
}

impl Request {
    /// What the replies to this request begin with.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Receive { zip: false, .. } => Verb::Recv,
            Self::Receive { zip: true, .. } => Verb::Zrecv,
            Self::Send { zip: false, .. } => Verb::Send,
            Self::Send { zip: true, .. } => Verb::Zsend,
        }
    }

    /// Appends the request as it goes over the wire, `\n` included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.verb().as_str().as_bytes());
        match self {
            Self::Receive { name, .. } => encode_name(name.as_bytes(), out),
            Self::Send { name, size, .. } => {
                encode_name(name.as_bytes(), out);
                out.extend_from_slice(format!(" SIZE {size}").as_bytes());
            }
        }
        out.push(b'\n');
    }
}

/// What `LS` carries: not a pattern but a word the server's filters turn into a directory.
///
/// Empty, it lists the root; with the usual filters `.conf`, `.md5` and `.zip` list those directories.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ListArg(Box<[u8]>);

impl ListArg {
    /// Checks `word`: as a file name, but it may be empty, and dots lead nowhere.
    pub fn new(word: &[u8]) -> Result<Self, NameError> {
        check_characters(word)?;
        check_length(word)?;
        Ok(Self(word.into()))
    }

    /// The word that lists the root.
    pub fn root() -> Self {
        Self(Box::default())
    }

    /// The word that lists what agents' `.md5` files go into.
    pub fn md5() -> Self {
        Self(Box::from(b".md5".as_slice()))
    }

    /// The word's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for ListArg {
    type Err = NameError;

    fn from_str(word: &str) -> Result<Self, NameError> {
        Self::new(word.as_bytes())
    }
}

impl fmt::Display for ListArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::Quoted::of_bytes(&self.0).fmt(f)
    }
}

impl fmt::Debug for ListArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

/// A client's answer to an announced size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `X OK`: send the body.
    Accept,
    /// `X NO`: do not; the session goes on.
    Decline,
}

impl Answer {
    /// Appends the answer as it goes over the wire, `\n` included.
    pub fn encode(self, verb: Verb, out: &mut Vec<u8>) {
        out.extend_from_slice(verb.as_str().as_bytes());
        out.extend_from_slice(match self {
            Self::Accept => b" OK\n",
            Self::Decline => b" NO\n",
        });
    }

    /// Reads a line, without its `\n`: all but `X OK` declines.
    pub fn parse(verb: Verb, line: &[u8]) -> Self {
        if verb.strip_from(line) == Some(b"OK") { Self::Accept } else { Self::Decline }
    }
}

#[cfg(test)]
mod tests;
