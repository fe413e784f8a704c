//! The lines a server answers with beyond stock's.

use super::super::reply::{Reply, ReplyError};
use super::super::size::parse_size;
use super::super::{Refusal, Verb};
use super::Capabilities;

/// A server's answer to an [`ExtensionCommand`](super::ExtensionCommand).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionReply {
    /// `CAPS 1 …`.
    Capabilities(Capabilities),
    /// `GET SIZE n MTIME t`: the bytes follow.
    File {
        /// So many.
        size: u64,
        /// When the file was written, in nanoseconds since 1970.
        mtime: u64,
    },
    /// `LIST SIZE n …`: the page follows.
    Page {
        /// Its bytes.
        size: u64,
        /// What follows the page; `None` if that is all.
        remaining: Option<Remaining>,
    },
    /// `DROP OK`, `PUT OK`: it is done. `DEFLATE OK`: it is from here on.
    Done,
    /// `X ERR …`: no, and the session goes on.
    Refused(Refusal),
}

/// What of a list follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// So many files, at least 1.
    pub files: u64,
    /// Of so many bytes.
    pub bytes: u64,
}

impl ExtensionReply {
    /// Reads a line, without its `\n`, as an answer to `verb`.
    pub fn parse(verb: Verb, line: &[u8]) -> Result<Self, ReplyError<'_>> {
        let rest = verb.strip_from(line).ok_or(ReplyError::Garbage)?;
        if let (Verb::Caps, Some(capabilities)) = (verb, Capabilities::parse(rest)) {
            return Ok(Self::Capabilities(capabilities));
        }
        if let Some(rest) = rest.strip_prefix(b"SIZE ") {
            let (size, rest) = split(rest).ok_or(ReplyError::Garbage)?;
            let size = sized(size)?;
            return match verb {
                Verb::Get => {
                    let mtime = rest.strip_prefix(b"MTIME ").ok_or(ReplyError::Garbage)?;
                    Ok(Self::File { size, mtime: sized(mtime)? })
                }
                Verb::List => Ok(Self::Page { size, remaining: remaining(rest)? }),
                _ => Err(ReplyError::Garbage),
            };
        }
        match (verb, Reply::parse(verb, line)?) {
            (_, Reply::Refused(refusal)) => Ok(Self::Refused(refusal)),
            (Verb::Drop | Verb::Put | Verb::Deflate, Reply::Ok) => Ok(Self::Done),
            _ => Err(ReplyError::Garbage),
        }
    }

    /// Appends the answer to `verb` as it goes over the wire.
    pub fn encode(&self, verb: Verb, out: &mut Vec<u8>) {
        let line = match self {
            Self::Capabilities(capabilities) => format!("{verb} {capabilities}\n"),
            Self::File { size, mtime } => format!("{verb} SIZE {size} MTIME {mtime}\n"),
            Self::Page { size, remaining: None } => format!("{verb} SIZE {size} END\n"),
            Self::Page { size, remaining: Some(Remaining { files, bytes }) } => {
                format!("{verb} SIZE {size} MORE {files} {bytes}\n")
            }
            Self::Done => format!("{verb} OK\n"),
            Self::Refused(refusal) => return Reply::Refused(refusal.clone()).encode(verb, out),
        };
        out.extend_from_slice(line.as_bytes());
    }
}

/// A word and what follows the blank behind it.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == b' ')?;
    Some((&text[..at], &text[at + 1..]))
}

fn sized(digits: &[u8]) -> Result<u64, ReplyError<'_>> {
    parse_size(digits).map_err(|error| ReplyError::of_size(error, digits))
}

fn remaining(text: &[u8]) -> Result<Option<Remaining>, ReplyError<'_>> {
    if text == b"END" {
        return Ok(None);
    }
    let (files, bytes) = text.strip_prefix(b"MORE ").and_then(split).ok_or(ReplyError::Garbage)?;
    Ok(Some(Remaining { files: sized(files)?, bytes: sized(bytes)? }))
}

#[cfg(test)]
mod tests {
    use super::super::super::{Excerpt, MAX_SIZE};
    use super::super::Capability;
    use super::*;

    #[test]
    fn each_answer_has_one_form() {
        let some = Capabilities::default().with(Capability::Get);
        let refused = ExtensionReply::Refused;
        for (verb, line, reply) in [
            (Verb::Caps, "CAPS 1 GET", ExtensionReply::Capabilities(some)),
            (Verb::Get, "GET SIZE 5 MTIME 17", ExtensionReply::File { size: 5, mtime: 17 }),
            (Verb::List, "LIST SIZE 0 END", ExtensionReply::Page { size: 0, remaining: None }),
            (
                Verb::List,
                "LIST SIZE 9 MORE 2 300",
                ExtensionReply::Page { size: 9, remaining: Some(Remaining { files: 2, bytes: 300 }) },
            ),
            (Verb::Drop, "DROP OK", ExtensionReply::Done),
            (Verb::Put, "PUT OK", ExtensionReply::Done),
            (Verb::Deflate, "DEFLATE OK", ExtensionReply::Done),
            (Verb::Deflate, "DEFLATE ERR (not allowed)", refused(Refusal::NotAllowed)),
            (Verb::Deflate, "DEFLATE ERR (no room for compression)", refused(Refusal::NoRoom)),
            (Verb::Get, "GET ERR (file does not exist)", refused(Refusal::Missing)),
            (Verb::Get, "GET ERR (file cannot be read)", refused(Refusal::Failed)),
            (Verb::List, "LIST ERR (not allowed)", refused(Refusal::NotAllowed)),
            (Verb::Drop, "DROP ERR (file has changed)", refused(Refusal::Changed)),
            (Verb::Drop, "DROP ERR (file cannot be removed)", refused(Refusal::Failed)),
            (Verb::Drop, "DROP ERR (invalid file name)", refused(Refusal::InvalidName)),
            (Verb::Put, "PUT ERR (file already exists)", refused(Refusal::Exists)),
            (Verb::Put, "PUT ERR (file is too big)", refused(Refusal::TooBig)),
            (Verb::Put, "PUT ERR (no room for the file)", refused(Refusal::NoRoom)),
            (Verb::Put, "PUT ERR (file cannot be stored)", refused(Refusal::Failed)),
        ] {
            assert_eq!(ExtensionReply::parse(verb, line.as_bytes()), Ok(reply.clone()), "{line}");
            let mut said = Vec::new();
            reply.encode(verb, &mut said);
            assert_eq!(said, format!("{line}\n").as_bytes());
        }
        let other = ExtensionReply::parse(Verb::Drop, b"DROP ERR (full moon)");
        assert_eq!(other, Ok(refused(Refusal::Other(Excerpt::of(b"full moon")))));
    }

    #[test]
    fn what_does_not_answer_the_verb_is_garbage() {
        for (verb, line) in [
            (Verb::Caps, "CAPS"),
            (Verb::Caps, "CAPS x"),
            (Verb::Caps, "RECV SIZE 5"),
            (Verb::Caps, "CAPS OK"),
            (Verb::Get, "GET OK"),
            (Verb::Get, "GET SIZE 5"),
            (Verb::Get, "GET SIZE 5 "),
            (Verb::Get, "GET SIZE 5 MTIME"),
            (Verb::Get, "GET SIZE 5 MTIME "),
            (Verb::Get, "GET SIZE 5 MTIME 1 "),
            (Verb::Get, "GET SIZE -5 MTIME 1"),
            (Verb::Get, "GET SIZE 5 END"),
            (Verb::List, "LIST SIZE 5"),
            (Verb::List, "LIST SIZE 5 MTIME 1"),
            (Verb::List, "LIST SIZE 5 MORE"),
            (Verb::List, "LIST SIZE 5 MORE 1"),
            (Verb::List, "LIST SIZE 5 MORE 1 2 3"),
            (Verb::List, "LIST OK"),
            (Verb::Drop, "DROP SIZE 5"),
            (Verb::Drop, "PUT OK"),
            (Verb::Put, "PUT OK "),
            (Verb::Deflate, "DEFLATE SIZE 5"),
            (Verb::Deflate, "DEFLATE"),
        ] {
            assert_eq!(ExtensionReply::parse(verb, line.as_bytes()), Err(ReplyError::Garbage), "{line}");
        }
        let line = format!("GET SIZE {MAX_SIZE}0 MTIME 1");
        assert!(matches!(ExtensionReply::parse(Verb::Get, line.as_bytes()), Err(ReplyError::Size(_))));
    }
}
